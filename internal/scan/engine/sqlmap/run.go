package sqlmap

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"strconv"

	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/scan/redact"
	"assay.dev/assay/internal/word/fault"
)

// artifactName and mediaType are how the raw output is kept.
const (
	artifactName = "sqlmap.log"
	mediaType    = "text/plain; charset=utf-8"
)

// Run implements engine.Engine. sqlmap's exit code says nothing (it is 0 for targets that aren't there), and behind the
// run's proxy a dead target answers with the proxy's 502: so the target is connected to first, and the verdict comes from
// the log.
func (Engine) Run(ctx context.Context, env engine.Env, req engine.Request) (engine.Verdict, error) {
	if v, dead := knock(ctx, env, req); dead {
		return v, nil
	}
	proxy, err := env.Proxy(ctx)
	if err != nil {
		return engine.Verdict{}, err
	}
	o, err := newOrder(req, proxy)
	if err != nil {
		return engine.Verdict{}, err
	}
	if err := env.Files.Write(configName, []byte(o.config)); err != nil {
		return engine.Verdict{}, fault.New(fault.Internal, fault.CodeInternal, "sqlmap's order can't be written").Because(err)
	}
	raw, err := env.Artifact(artifactName, mediaType)
	if err != nil {
		return engine.Verdict{}, err
	}
	sum := newSummary(req, o.crawls)
	sum.tell = env.Progress
	exit, err := launch(ctx, env, o, raw, sum)
	if err != nil {
		return engine.Verdict{}, err
	}
	sum.canceled = exit.Canceled
	if !sum.finished && !exit.Canceled {
		env.Log.WarnContext(ctx, "sqlmap ended early", slog.Int("exit_code", exit.Code), slog.Bool("signaled", exit.Signaled))
	}
	return sum.verdict(raw.Truncated()), nil
}

// knock connects to the target once; dead says that there is nothing to test, and v why.
func knock(ctx context.Context, env engine.Env, req engine.Request) (v engine.Verdict, dead bool) {
	u := req.Target.URL()
	if u == nil || env.Dial == nil {
		return v, false
	}
	c, err := env.Dial.DialContext(ctx, "tcp", net.JoinHostPort(u.Hostname(), strconv.Itoa(req.Target.Port())))
	if err == nil {
		_ = c.Close()
		return v, false
	}
	look := engine.TargetLook{Target: address(u), State: engine.LookUnreachable}
	switch {
	case ctx.Err() != nil:
		look.State = engine.LookSkipped
		v = engine.Verdict{Outcome: engine.Failed, Reasons: []string{"The scan was stopped before sqlmap was started."}}
	case fault.KindOf(err) == fault.Forbidden:
		look.State, look.Reason = engine.LookSkipped, "not within the scan's scope"
		v = engine.Verdict{Outcome: engine.Blocked, Reasons: []string{"The target is not within the scan's scope."}}
	default:
		look.Reason = "no connection"
		v = engine.Verdict{Outcome: engine.NothingReachable, Reasons: []string{"The target takes no connection."}}
	}
	v.Looked.Targets = []engine.TargetLook{look}
	return v, true
}

func launch(ctx context.Context, env engine.Env, o order, raw engine.Artifact, sum *summary) (engine.Exit, error) {
	reader, watched := io.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		// What can't be understood still has to be taken off the pipe, or sqlmap would wait for ever.
		_ = read(reader, sum.start, sum.watcher())
		_, _ = io.Copy(io.Discard, reader)
	}()
	masked := redact.NewLines(io.MultiWriter(raw, watched), o.secrets)
	limits := manifest().Limits
	exit, err := env.Proc.Launch(ctx, engine.Process{
		Program: program, Args: arguments(), Stdout: masked, Stderr: &crash{sum: sum},
		First: engine.Interrupt, Grace: limits.CancelGrace, MaxMemory: limits.MaxMemory, Network: engine.NetworkProxy,
	})
	if ferr := masked.Flush(); err == nil && ferr != nil {
		err = ferr
	}
	_ = watched.Close() // always nil
	<-done
	if errors.Is(err, fault.New(fault.Unavailable, fault.CodeEngine, "")) {
		return exit, manifest().Missing().Because(err)
	}
	return exit, err
}
