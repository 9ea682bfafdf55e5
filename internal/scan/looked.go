package scan

import (
	"context"

	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/scan/finding"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/uid"
)

// Bounds of the texts of what was looked at, in bytes.
const (
	maxLookName   = 100
	maxLookTarget = 300
)

// Looked returns what a scan looked at and with what. Of one whose engine told nothing it is at least what became of
// the scan's own target; a scan that hasn't ended has looked at nothing yet.
func (s *Service) Looked(ctx context.Context, org uid.Org, id uid.Scan) (engine.Looked, error) {
	found, err := s.Get(ctx, org, id)
	if err != nil || !found.Status.Terminal() {
		return engine.Looked{}, err
	}
	l, err := s.d.Store.Looked(ctx, org, id)
	return found.Own(l), err
}

// Own adds what became of the scan's own target to a look that names none.
func (s Scan) Own(l engine.Looked) engine.Looked {
	if len(l.Targets) > 0 {
		return l
	}
	own := engine.TargetLook{Target: finding.Line(s.Target, maxLookTarget), State: engine.LookPartial}
	switch {
	case s.Attempt == 0:
		own.State = engine.LookSkipped
	case s.Error != nil && s.Error.Code == fault.CodeScanTimeout:
		own.State = engine.LookTimedOut
	case s.Outcome == engine.Complete:
		own.State = engine.LookReached
	case s.Outcome == engine.NothingReachable:
		own.State = engine.LookUnreachable
	}
	switch {
	case own.State == engine.LookReached:
	case len(s.Reasons) > 0:
		own.Reason = s.Reasons[0]
	case s.Error != nil:
		own.Reason = finding.Line(s.Error.Message, maxReason)
	case s.Status == Cancelled:
		own.Reason = "the scan was cancelled before its end"
	}
	l.Targets = []engine.TargetLook{own}
	return l
}

// CleanLooked makes what an engine says that it looked at fit to be kept and shown: texts are single bounded lines,
// states are known ones, and lists end where their bounds are.
func CleanLooked(l engine.Looked) engine.Looked {
	var out engine.Looked
	for _, d := range l.Databases[:min(len(l.Databases), engine.MaxDatabases)] {
		d.Name, d.Version = finding.Line(d.Name, maxLookName), finding.Line(d.Version, maxLookName)
		d.Entries = max(d.Entries, 0)
		if d.Name != "" {
			out.Databases = append(out.Databases, d)
		}
	}
	for _, t := range l.Targets[:min(len(l.Targets), engine.MaxTargetLooks)] {
		t.Target, t.Reason = finding.Line(t.Target, maxLookTarget), finding.Line(t.Reason, maxReason)
		switch t.State {
		case engine.LookReached, engine.LookPartial, engine.LookUnreachable, engine.LookTimedOut, engine.LookSkipped:
		default:
			t.State = engine.LookPartial
		}
		if t.Target != "" {
			out.Targets = append(out.Targets, t)
		}
	}
	for _, s := range l.Sources[:min(len(l.Sources), engine.MaxSourceLooks)] {
		s.Source, s.Reason = finding.Line(s.Source, maxLookName), finding.Line(s.Reason, maxReason)
		switch s.State {
		case engine.SourceAnswered, engine.SourceFailed, engine.SourceNoKey, engine.SourceTimedOut, engine.SourceSkipped:
		default:
			s.State = engine.SourceFailed
		}
		s.Found = max(s.Found, 0)
		if s.Source != "" {
			out.Sources = append(out.Sources, s)
		}
	}
	return out
}
