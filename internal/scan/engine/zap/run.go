package zap

import (
	"context"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/scan/finding"
	"assay.dev/assay/internal/word/fault"
)

// Times of a run's end. Together they stay below the grace of the manifest.
const (
	reachTime    = 20 * time.Second // to connect to the target
	windUp       = 2 * time.Second  // to stop steps and read the last alerts after a cancel
	killGrace    = 800 * time.Millisecond
	shutdownTime = 20 * time.Second // for ZAP to end by itself after all is said
)

// Run implements engine.Engine.
func (Engine) Run(ctx context.Context, env engine.Env, req engine.Request) (engine.Verdict, error) {
	target := req.Target.URL()
	if target == nil {
		return engine.Verdict{}, fault.New(fault.Unsupported, fault.CodeTargetType, "ZAP looks at URLs")
	}
	if v, there := knock(ctx, env, req); !there {
		return v, nil
	}
	o, err := prepare(ctx, env)
	if err != nil {
		return engine.Verdict{}, err
	}
	raw, err := env.Artifact(artifactName, mediaType)
	if err != nil {
		return engine.Verdict{}, err
	}
	s := newSession(env, req, newRecorder(raw, req))
	exit, err := o.launch(ctx, env, s)
	if errors.Is(err, fault.New(fault.Unavailable, fault.CodeEngine, "")) {
		return engine.Verdict{}, manifest().Missing().Because(err)
	}
	if err != nil {
		return engine.Verdict{}, err
	}
	if ctx.Err() == nil && (s.version == "" || s.cause != nil) {
		env.Log.WarnContext(ctx, "zap ended early", slog.Int("exit_code", exit.Code), slog.Bool("signaled", exit.Signaled),
			slog.Any("error", s.cause), slog.String("output", finding.Line(strings.ReplaceAll(string(o.said.kept), o.key, "[masked]"), 2000)))
	}
	return s.verdict(ctx, raw.Truncated()), nil
}

// knock connects to the target once. ZAP itself can't tell a dead target: behind the run's proxy everything answers,
// be it with "Bad Gateway".
func knock(ctx context.Context, env engine.Env, req engine.Request) (v engine.Verdict, there bool) {
	target := req.Target.URL()
	within, cancel := context.WithTimeout(ctx, reachTime)
	defer cancel()
	conn, err := env.Dial.DialContext(within, "tcp", net.JoinHostPort(target.Hostname(), strconv.Itoa(req.Target.Port())))
	if err == nil {
		_ = conn.Close()
		return engine.Verdict{}, true
	}
	look := engine.TargetLook{Target: target.String(), State: engine.LookUnreachable}
	switch {
	case ctx.Err() != nil:
		look.State = engine.LookTimedOut
		v = engine.Verdict{Outcome: engine.Failed, Reasons: []string{"The scan was stopped before the target was reached."}}
	case fault.KindOf(err) == fault.Forbidden:
		look.State, look.Reason = engine.LookSkipped, "out of scope"
		v = engine.Verdict{Outcome: engine.Blocked, Reasons: []string{"The target is outside of what may be scanned."}}
	default:
		v = engine.Verdict{Outcome: engine.NothingReachable, Reasons: []string{"The target takes no connection."}}
	}
	v.Looked.Targets = []engine.TargetLook{look}
	return v, false
}

// outset is what one ZAP is started with.
type outset struct {
	port int
	key  string
	said tail
}

// prepare makes a key and a port, and writes the settings into the scratch folder.
func prepare(ctx context.Context, env engine.Env) (*outset, error) {
	var random [26]byte
	if env.Rand == nil {
		return nil, fault.New(fault.Internal, fault.CodeInternal, "the run has no source of random keys")
	}
	if _, err := io.ReadFull(env.Rand, random[:]); err != nil {
		return nil, fault.New(fault.Internal, fault.CodeInternal, "no random key could be made").Because(err)
	}
	// Below the ports that systems hand out by themselves, so that nothing but another fixed listener is in the way.
	const first, many = 20_000, 12_000
	o := &outset{port: first + (int(random[0])<<8|int(random[1]))%many, key: hex.EncodeToString(random[2:])}
	proxy, err := env.Proxy(ctx)
	if err != nil {
		return nil, err
	}
	text, err := settings(o.key, proxy)
	if err == nil {
		err = env.Files.Write(configFile, text)
	}
	if err != nil {
		return nil, fault.New(fault.Internal, fault.CodeInternal, "ZAP's settings can't be written").Because(err)
	}
	return o, nil
}

// launch starts ZAP, lets the session lead it, and returns when both have ended. ZAP isn't killed at once when ctx
// ends: its steps are stopped and its alerts read first, which takes windUp at most.
func (o *outset) launch(ctx context.Context, env engine.Env, s *session) (engine.Exit, error) {
	hold, kill := context.WithCancel(context.WithoutCancel(ctx))
	defer kill()
	lead := newOnce()
	over := make(chan struct{})
	var watch sync.WaitGroup
	watch.Go(func() {
		defer kill()
		lead.guard(ctx, over)
	})
	s.tell(1, "starting ZAP")
	exit, err := env.Proc.Launch(hold, engine.Process{
		Program: program, Args: arguments(env.Work, o.port), Env: environment(env.Work, "-XX:+UseSerialGC"),
		Stdout: &o.said, Stderr: io.Discard, First: engine.Terminate, Grace: killGrace, Network: engine.NetworkProxy,
		Listens: o.port,
		Ready: func(life context.Context, dial func(context.Context) (net.Conn, error)) {
			lead.do(func() {
				s.api = newClient(dial, o.port, o.key)
				defer s.api.close()
				s.lead(ctx, life)
			})
		},
	})
	lead.close()
	close(over)
	watch.Wait()
	return exit, err
}

// once runs one function at most, and waits for it when it is closed.
type once struct {
	mu     sync.Mutex
	used   bool
	closed bool
	begun  chan struct{}
	ended  chan struct{}
}

func newOnce() *once { return &once{begun: make(chan struct{}), ended: make(chan struct{})} }

func (o *once) do(f func()) {
	o.mu.Lock()
	if o.used || o.closed {
		o.mu.Unlock()
		return
	}
	o.used = true
	close(o.begun)
	o.mu.Unlock()
	defer close(o.ended)
	f()
}

func (o *once) close() {
	o.mu.Lock()
	o.closed = true
	used := o.used
	o.mu.Unlock()
	if used {
		<-o.ended
	}
}

// guard returns when the program has had its time: it didn't come up, it was left a moment after a cancel, or it was
// asked to end and doesn't.
func (o *once) guard(ctx context.Context, over <-chan struct{}) {
	late := time.NewTimer(startTime)
	defer late.Stop()
	select {
	case <-o.begun:
	case <-late.C:
		return
	case <-ctx.Done():
		return
	case <-over:
		return
	}
	select {
	case <-o.ended:
		pause(over, shutdownTime)
	case <-over:
	case <-ctx.Done():
		late.Reset(windUp)
		select {
		case <-o.ended:
			pause(over, killGrace)
		case <-late.C:
		case <-over:
		}
	}
}

// pause waits for the channel, at most so long.
func pause(over <-chan struct{}, most time.Duration) {
	late := time.NewTimer(most)
	defer late.Stop()
	select {
	case <-over:
	case <-late.C:
	}
}
