package zap

import (
	"context"
	"strconv"

	"assay.dev/assay/internal/scan/engine"
)

// verdict decides how much the run's silence is worth.
func (s *session) verdict(run context.Context, truncated bool) engine.Verdict {
	v := engine.Verdict{Version: s.version, Looked: engine.Looked{Databases: s.addons}}
	add := func(outcome engine.Outcome, reason string) {
		if v.Outcome == "" {
			v.Outcome = outcome
		}
		v.Reasons = append(v.Reasons, reason)
	}
	switch {
	case s.stopped || run.Err() != nil:
		outcome := engine.Partial
		if !s.reached {
			outcome = engine.Failed
		}
		add(outcome, "ZAP was stopped before its end; what it had found by then is kept.")
	case s.halted != nil:
		add(s.halted.outcome, s.halted.reason)
	case s.version == "":
		add(engine.Failed, "ZAP didn't start; the server's log has its last words.")
	case !s.reached:
		add(engine.Failed, "ZAP failed before it had reached the target.")
	case s.cause != nil && !s.noted():
		add(engine.Partial, "ZAP ended early or stopped answering; what it had found by then is kept.")
	}
	for _, n := range s.notes {
		add(engine.Partial, n)
	}
	if truncated {
		add(engine.Partial, "The raw output was larger than what is kept; what came after it is missing.")
	}
	if s.lost && v.Outcome == "" {
		add(engine.Partial, "Some of ZAP's alerts couldn't be read.")
	}
	if v.Outcome == "" {
		v.Outcome = engine.Complete
	}
	v.Looked.Targets = []engine.TargetLook{s.look(v.Outcome)}
	return v
}

// noted reports whether a step that failed has said so already.
func (s *session) noted() bool { return len(s.notes) > 0 && !s.lost }

func (s *session) look(outcome engine.Outcome) engine.TargetLook {
	look := engine.TargetLook{Target: s.target.String(), State: engine.LookReached}
	switch {
	case !s.reached && outcome == engine.NothingReachable:
		look.State = engine.LookUnreachable
		return look
	case !s.reached:
		look.State, look.Reason = engine.LookSkipped, "the scan ended before the target was reached"
		return look
	case outcome != engine.Complete:
		look.State = engine.LookPartial
	}
	if s.end.URLs > 0 {
		look.Reason = strconv.Itoa(s.end.URLs) + " URLs known"
	}
	return look
}
