package phase

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/scan"
	"assay.dev/assay/internal/scan/correlation"
	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/scan/finding"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/uid"
)

// Bounds of a merge.
const (
	maxMerged  = 50_000 // findings of all children that are merged, the worst of each child first
	mergeChunk = 250    // results of one unit: some 20 ms of writing
	maxReasons = 20
	maxUnited  = 50 // ids of one kind in a merged finding
)

// merge makes one result for each real issue of what the children have found, keeps them as the parent's own, and ends
// the parent. A merge that is cut off leaves nothing that is shown; the next one begins anew under a fence of its own.
func (s *Service) merge(ctx context.Context, parent scan.Scan, children []scan.Scan) error {
	now := instant(s.d.Now)
	members, from, cut, err := s.members(ctx, parent.Org, children)
	if err != nil {
		return err
	}
	results := merged(correlation.Group(members, s.aliases(ctx, parent)), from)
	f := verdict(parent, children, now)
	if cut {
		weaken(&f, fmt.Sprintf("the engines found more than %d things together; the worst of each were merged", maxMerged))
	}
	for _, r := range results {
		f.Summary.Add(r.Severity)
	}
	if f.Looked, err = s.looked(ctx, parent, children); err != nil {
		return err
	}
	fence, err := s.renew(ctx, parent)
	if err != nil {
		return err
	}
	for part := range slices.Chunk(results, mergeChunk) {
		ev := audit.Event{Type: event.FindingsIngested, Resource: resource(parent.ID), Bulk: true}
		err := s.d.Store.Change(ctx, parent.Org, ev, func(ctx context.Context, tx Tx) error {
			return tx.RecordMerged(ctx, parent.ID, fence, part)
		})
		if err != nil {
			return err
		}
	}
	return s.end(ctx, parent, children, fence, f)
}

func (s *Service) renew(ctx context.Context, parent scan.Scan) (int64, error) {
	var fence int64
	err := s.d.Store.Change(ctx, parent.Org, audit.Bookkeeping("lease and progress of a running scan"), func(ctx context.Context, tx Tx) error {
		var err error
		fence, err = tx.RenewParent(ctx, parent.ID)
		return err
	})
	return fence, err
}

// end writes the parent's end, unless something has happened to parent or children since.
func (s *Service) end(ctx context.Context, parent scan.Scan, children []scan.Scan, fence int64, f scan.Finish) error {
	was := mark(parent, children)
	ev := audit.Event{Type: event.ScanFinished, Resource: resource(parent.ID), Reason: string(f.Status)}
	err := s.d.Store.Change(ctx, parent.Org, ev, func(ctx context.Context, tx Tx) error {
		held, family, err := tx.HoldParent(ctx, parent.ID)
		if err != nil {
			return err
		}
		if mark(held, family) != was {
			return errMoved()
		}
		if err := tx.FinishParent(ctx, parent.ID, fence, f); err != nil {
			return err
		}
		ended := held
		ended.Status, ended.Outcome, ended.Reasons, ended.Error, ended.Summary, ended.Phase = f.Status, f.Outcome, f.Reasons, f.Error, f.Summary, ""
		switch f.Status {
		case scan.Completed:
			ended.Progress = 100
			return tx.Emit(ctx, event.ScanCompleted, string(parent.ID), ended.Notice())
		case scan.Failed:
			return tx.Emit(ctx, event.ScanFailed, string(parent.ID), ended.Notice())
		case scan.Cancelled, scan.Queued, scan.Running:
		}
		return nil // a cancellation was told when it was asked for
	})
	if err == nil && s.d.Ended != nil {
		s.d.Ended(scan.Ended{Engine: parent.Engine, Status: f.Status, Outcome: f.Outcome, Took: max(f.At.Sub(parent.StartedAt), 0)})
	}
	return err
}

// aliases are the names of the order's own host; what can't be resolved any more has none.
func (s *Service) aliases(ctx context.Context, parent scan.Scan) correlation.Aliases {
	root, err := asset.ParseTarget(parent.Target, parent.TargetType)
	if err != nil || root.Host() == "" {
		return correlation.NewAliases()
	}
	reach, err := s.d.Orders.Reach(ctx, parent.Org, root)
	if err != nil {
		return correlation.NewAliases()
	}
	names := []string{root.Host()}
	for _, a := range reach.Addrs {
		names = append(names, a.Unmap().String())
	}
	return correlation.NewAliases(names)
}

// seen is a child's result with the child that saw it.
type seen struct {
	scan.Result

	child uid.Scan
}

// members reads what the children have found, each finding once.
func (s *Service) members(ctx context.Context, org uid.Org, children []scan.Scan) (list []correlation.Member, from map[string]seen, cut bool, err error) {
	from = map[string]seen{}
	for _, c := range children {
		if c.Attempt == 0 {
			continue
		}
		err := s.d.Store.EachResult(ctx, org, c.ID, scan.ResultQuery{}, func(r scan.Result) error {
			if _, again := from[string(r.ID)]; again {
				return nil
			}
			if len(list) == maxMerged {
				cut = true
				return errEnough
			}
			from[string(r.ID)] = seen{r, c.ID}
			list = append(list, correlation.Member{Observation: r.Observation, ID: string(r.ID), Engine: c.Engine})
			return nil
		})
		if err != nil && !errors.Is(err, errEnough) {
			return nil, nil, false, err
		}
	}
	return list, from, cut, nil
}

// merged makes one result of each case: what the leading finding says, with the worst severity, the confidence that
// agreement gives, and all ids that any of them names.
func merged(cases []correlation.Case, from map[string]seen) []scan.Result {
	out := make([]scan.Result, 0, len(cases))
	for i, c := range cases {
		r := from[c.Lead().ID].Result
		r.Ordinal, r.Severity, r.Confidence, r.Engines = i, c.Severity, c.Confidence, c.Engines
		for _, m := range c.Members {
			s := from[m.ID]
			r.Members = append(r.Members, scan.Member{Finding: s.ID, Engine: m.Engine, Rule: s.Rule, Scan: s.child, Why: m.Why.Text()})
			r.CVE = united(r.CVE, s.CVE)
			r.CWE = united(r.CWE, s.CWE)
			r.Advisories = united(r.Advisories, s.Advisories)
			r.References = united(r.References, s.References)
			if r.Remediation == "" {
				r.Remediation = s.Remediation
			}
			if r.CVSS == nil {
				r.CVSS = s.CVSS
			}
		}
		if len(c.Members) == 1 {
			r.Members[0].Why = ""
		}
		out = append(out, r)
	}
	return out
}

func united[T comparable](a, b []T) []T {
	out := slices.Clone(a)
	for _, v := range b {
		if len(out) < maxUnited && !slices.Contains(out, v) {
			out = append(out, v)
		}
	}
	return out
}

// told reports whether a child's silence is worth something.
func told(c scan.Scan) bool { return c.Outcome == engine.Complete || c.Outcome == engine.Partial }

// verdict says how the parent ended, by how its children did: it is complete where all are, and failed only where none
// has told anything.
func verdict(parent scan.Scan, children []scan.Scan, now time.Time) scan.Finish {
	f := scan.Finish{Status: scan.Completed, At: now, Outcome: engine.Complete}
	var some, dead, blocked bool
	var first *scan.Error
	for _, c := range children {
		some = some || told(c) || c.Summary.Total > 0
		dead = dead || c.Outcome == engine.NothingReachable
		blocked = blocked || c.Outcome == engine.Blocked
		if first == nil {
			first = c.Error
		}
		if c.Version != "" && c.Engine == parent.Engine {
			f.Version = c.Version
		}
		if c.Outcome == engine.Complete {
			continue
		}
		weaken(&f, c.Engine+" at "+c.Target+": "+whyNot(c))
	}
	if parent.Course.Named {
		for _, l := range parent.Course.Left {
			weaken(&f, l.Reason)
		}
	}
	switch {
	case parent.Status == scan.Cancelled:
		f.Status, f.Outcome = scan.Cancelled, engine.Partial
		f.Reasons = prepend("the scan was cancelled before its end", f.Reasons)
	case over(parent, now):
		why := "the scan didn't end within its timeout of " + (time.Duration(parent.Timeout) * time.Second).String()
		f.Status, f.Outcome, f.Reasons = scan.Failed, engine.Partial, prepend(why, f.Reasons)
		f.Error = &scan.Error{Code: fault.CodeScanTimeout, Message: why}
	case some:
	case dead:
		f.Outcome = engine.NothingReachable
	case blocked:
		f.Outcome = engine.Blocked
	case len(children) == 0:
		fail(&f, parent, &scan.Error{Code: fault.CodeEngine, Message: "no engine could look at the target"})
	default:
		fail(&f, parent, first)
	}
	return f
}

// whyNot says why a child that has ended isn't complete.
func whyNot(c scan.Scan) string {
	switch {
	case len(c.Reasons) > 0:
		return c.Reasons[0]
	case c.Error != nil:
		return c.Error.Message
	case c.Status == scan.Cancelled:
		return "it was cancelled"
	case c.Outcome == engine.NothingReachable:
		return "nothing answered"
	}
	return "its outcome is " + string(c.Outcome)
}

// fail ends a parent of whose children none has told anything. One that had none at all is the platform's failure.
func fail(f *scan.Finish, parent scan.Scan, why *scan.Error) {
	if why == nil {
		why = &scan.Error{Code: fault.CodeScanFailed, Message: "none of its scans came to anything"}
	}
	f.Status, f.Outcome, f.Error, f.Free = scan.Failed, engine.Failed, why, why.Code == fault.CodeEngine
	f.Reasons = prepend(why.Message, f.Reasons)
	for _, l := range parent.Course.Left {
		weaken(f, l.Reason)
	}
}

// weaken says that the parent saw less than all, and why.
func weaken(f *scan.Finish, reason string) {
	if f.Outcome == engine.Complete {
		f.Outcome = engine.Partial
	}
	if reason = finding.Line(reason, 300); len(f.Reasons) < maxReasons && !slices.Contains(f.Reasons, reason) {
		f.Reasons = append(f.Reasons, reason)
	}
}

func prepend(reason string, reasons []string) []string {
	return append([]string{reason}, reasons[:min(len(reasons), maxReasons-1)]...)
}
