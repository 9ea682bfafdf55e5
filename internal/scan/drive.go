package scan

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"runtime/debug"
	"time"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/scan/finding"
	"assay.dev/assay/internal/scan/redact"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/uid"
)

// stuckTime is how long an engine may take to return after its context has ended and its grace is over. Then it is left
// behind: its programs are dead, its output is closed, and a defect holds a goroutine.
const stuckTime = 10 * time.Second

// Bounds of what an engine says of a run.
const (
	maxReasons = 20
	maxReason  = 300 // bytes
	maxVersion = 100 // bytes
)

// end is how a run went, as it comes to be known.
type end struct {
	Finish

	eng      engine.Engine
	req      engine.Request
	cover    finding.Coverage // where silence counts
	given    bool             // cover is the engine's own word, and the parser's doesn't count
	raw      []Artifact
	progress int

	opened, reopened, fixed turn
}

// turn counts what a run has made of findings.
type turn struct {
	typ   event.Type
	count int
	ids   []uid.Finding
}

func (t *turn) add(id uid.Finding) {
	t.count++
	if len(t.ids) < MaxNoticeIDs {
		t.ids = append(t.ids, id)
	}
}

func (e *end) turns() []turn { return []turn{e.opened, e.reopened, e.fixed} }

// weaken says that a run saw less than all, and why.
func (e *end) weaken(reason string) {
	if e.Outcome == engine.Complete {
		e.Outcome = engine.Partial
	}
	if len(e.Reasons) < maxReasons {
		e.Reasons = append(e.Reasons, finding.Line(reason, maxReason))
	}
}

// fail makes the run a failed one.
func (e *end) fail(cause *Error) {
	e.Status, e.Error = Failed, cause
	e.weaken(cause.Message)
}

func newEnd() end {
	return end{
		Finish: Finish{Status: Completed, Outcome: engine.Failed},
		opened: turn{typ: event.FindingOpened}, reopened: turn{typ: event.FindingReopened}, fixed: turn{typ: event.FindingFixed},
	}
}

// drive prepares the run, runs the engine to its end, and says how it went. It writes nothing.
func (r *run) drive(ctx context.Context, beats *heart, kept *artifacts) (e end) {
	e = newEnd()
	defer func() { e.progress, _ = beats.progress() }()
	eng, ok := r.e.engines[r.scan.Engine]
	if !ok {
		e.fail(&Error{Code: fault.CodeEngine, Message: "this server doesn't have the engine any more"})
		e.Free = true
		return e
	}
	req, reach, err := r.request(ctx, eng.Manifest())
	if err != nil {
		r.failed(ctx, &e, err)
		return e
	}
	e.eng, e.req = eng, req
	env, done, err := r.e.d.Equip(ctx, Outfit{Scan: r.scan, Manifest: eng.Manifest(), Reach: reach})
	if err != nil {
		r.failed(ctx, &e, err)
		return e
	}
	defer func() {
		if err := done(); err != nil {
			r.log.WarnContext(ctx, "scratch folder not removed", slog.Any("error", err))
		}
	}()
	limits := eng.Manifest().Limits
	kept.limit, kept.known = limits.MaxOutput, ownSecrets(req.Config)
	if env.Fingerprint != nil {
		kept.mark = redact.Keyed(env.Fingerprint)
	}
	env.Now, env.Log, env.Progress, env.Artifact = r.e.d.Now, r.log, beats.set, kept.create
	within, stop := context.WithTimeout(ctx, time.Duration(r.scan.Timeout)*time.Second)
	defer stop()
	verdict, err := r.await(within, limits.CancelGrace, func() (engine.Verdict, error) { return eng.Run(within, env, req) })
	kept.close()
	r.judge(ctx, &e, verdict, err)
	if within.Err() != nil && ctx.Err() == nil && (err != nil || verdict.Outcome != engine.Complete) {
		e.timedOut(r.scan.Timeout)
	}
	return e
}

// await runs the engine and waits for it, within reason.
func (r *run) await(ctx context.Context, grace time.Duration, run func() (engine.Verdict, error)) (engine.Verdict, error) {
	type answer struct {
		verdict engine.Verdict
		err     error
	}
	answered := make(chan answer, 1)
	go func() {
		var a answer
		defer func() {
			if p := recover(); p != nil {
				r.log.ErrorContext(ctx, "engine panicked", slog.Any("panic", p), slog.String("stack", string(debug.Stack())))
				a = answer{err: fault.New(fault.Internal, fault.CodeInternal, "the engine failed; the log has the details")}
			}
			answered <- a
		}()
		a.verdict, a.err = run()
	}()
	select {
	case a := <-answered:
		return a.verdict, a.err
	case <-ctx.Done():
	}
	late := time.NewTimer(grace + stuckTime)
	defer late.Stop()
	select {
	case a := <-answered:
		return a.verdict, a.err
	case <-late.C:
		r.log.ErrorContext(ctx, "engine doesn't stop")
		return engine.Verdict{}, fault.New(fault.Internal, fault.CodeInternal, "the engine didn't stop when it was told to")
	}
}

// judge takes over what the engine says of its run.
func (r *run) judge(ctx context.Context, e *end, v engine.Verdict, err error) {
	e.Version = finding.Line(v.Version, maxVersion)
	switch v.Outcome {
	case engine.Complete, engine.Partial, engine.Failed, engine.Blocked, engine.NothingReachable:
		e.Outcome = v.Outcome
	default:
		e.Outcome = engine.Failed
	}
	for _, reason := range v.Reasons {
		if reason = finding.Line(reason, maxReason); reason != "" && len(e.Reasons) < maxReasons {
			e.Reasons = append(e.Reasons, reason)
		}
	}
	e.Looked = CleanLooked(v.Looked)
	if v.Coverage != nil {
		e.cover, e.given = *v.Coverage, true
	}
	switch {
	case err != nil:
		r.failed(ctx, e, err)
	case e.Outcome == engine.Failed:
		e.Status, e.Error = Failed, &Error{Code: fault.CodeScanFailed, Message: "the engine failed"}
		if len(e.Reasons) > 0 {
			e.Error.Message = e.Reasons[0]
		}
	}
}

// failed ends the run by an error.
func (r *run) failed(ctx context.Context, e *end, err error) {
	if ctx.Err() == nil && !errors.Is(err, context.DeadlineExceeded) {
		r.log.WarnContext(ctx, "scan failed", slog.Any("error", err))
	}
	e.fail(errorOf(err))
	e.Free = ours(err)
}

// ours reports whether a failure is the platform's and no matter of the target: a scan that ends by it costs nothing.
func ours(err error) bool {
	f := fault.Of(err)
	return f.Code == fault.CodeEngine || f.Kind == fault.Internal
}

// errorOf is a failure as a scan's error: the codes that say more than that it failed stay, and the text of a plain
// error stays inside.
func errorOf(err error) *Error {
	e := &Error{Code: fault.CodeScanFailed, Message: "the scan failed on our side; the server's log has the details"}
	var f *fault.Error
	if !errors.As(err, &f) {
		return e
	}
	if f.Code == fault.CodeTargetForbidden || f.Code == fault.CodeEngine {
		e.Code = f.Code
	}
	e.Message = f.Text
	if len(f.Fields) > 0 {
		e.Message = f.Fields[0].Location + " " + f.Fields[0].Message
	}
	return e
}

// timedOut ends the run by its timeout; what was found so far is kept.
func (e *end) timedOut(seconds int) {
	e.Status, e.Outcome, e.Free = Failed, engine.Partial, false
	message := "the scan didn't end within its timeout of " + (time.Duration(seconds) * time.Second).String()
	e.Error = &Error{Code: fault.CodeScanTimeout, Message: message}
	e.Reasons = append([]string{message}, e.Reasons[:min(len(e.Reasons), maxReasons-1)]...)
}

// request makes the engine's request of the stored scan: parsed, resolved and checked against the scope anew.
func (r *run) request(ctx context.Context, m engine.Manifest) (engine.Request, Reach, error) {
	s := r.scan
	req := engine.Request{Scan: string(s.ID)}
	var err error
	if req.Target, err = asset.ParseTarget(s.Target, s.TargetType); err != nil {
		return req, Reach{}, err
	}
	var options, config map[string]json.RawMessage
	if err := decode(s.Options, &options); err != nil {
		return req, Reach{}, err
	}
	if req.Options, err = engine.ParseOptions(m, options, r.e.d.Capabilities); err != nil {
		return req, Reach{}, err
	}
	if len(s.Sealed) > 0 {
		whole, err := r.e.d.Sealer.Open(s.Org, sealName(s.ID), s.Sealed)
		if err != nil {
			return req, Reach{}, err
		}
		if err := decode(whole, &config); err != nil {
			return req, Reach{}, err
		}
	}
	if req.Config, err = engine.ParseConfig(m, config); err != nil {
		return req, Reach{}, err
	}
	scope, err := r.e.d.Store.ScanScope(ctx, s.Org)
	if err != nil {
		return req, Reach{}, err
	}
	reach, err := r.e.d.Gate.Open(ctx, req.Target, scope)
	if err != nil {
		return req, Reach{}, err
	}
	req.Addrs, req.Excluded = reach.Addrs, reach.Excluded
	return req, reach, nil
}

// decode reads a stored JSON object; nothing is an empty one.
func decode(raw []byte, into *map[string]json.RawMessage) error {
	if len(raw) == 0 {
		return nil
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return fault.New(fault.Internal, fault.CodeInternal, "the stored order can't be read").Because(err)
	}
	return nil
}
