package nmap

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strconv"
	"strings"

	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/word/fault"
)

// artifactName and mediaType are how the raw output is kept.
const (
	artifactName = "nmap.xml"
	mediaType    = "application/xml"
)

// Run implements engine.Engine. Nmap's exit code says little (it is 0 for hosts that aren't there): the verdict comes
// from what its output says of hosts and of its own end.
func (Engine) Run(ctx context.Context, env engine.Env, req engine.Request) (engine.Verdict, error) {
	all := orders(req)
	if len(all) == 0 {
		return engine.Verdict{Outcome: engine.NothingReachable, Reasons: []string{"The target has no address to look at."}}, nil
	}
	raw, err := env.Artifact(artifactName, mediaType)
	if err != nil {
		return engine.Verdict{}, err
	}
	run := &runner{env: env, req: req, raw: raw, progress: newProgress(env, req, len(all))}
	for i, o := range all {
		run.progress.start(i)
		if err := run.launch(ctx, o); err != nil {
			return engine.Verdict{}, err
		}
		if run.sum.canceled || !run.sum.finished {
			break // behind a document that was cut off another couldn't be read
		}
	}
	return run.sum.verdict(raw.Truncated(), len(req.SparedPorts()) > 0), nil
}

// runner is one run under way, over one or two starts of Nmap.
type runner struct {
	env      engine.Env
	req      engine.Request
	raw      engine.Artifact
	progress *progress
	sum      summary
}

func (r *runner) launch(ctx context.Context, o order) error {
	args, ok := o.arguments(r.req)
	if !ok {
		r.sum.spared = true
		return nil
	}
	stdout, watched := io.Pipe()
	done := make(chan struct{})
	one := summary{}
	go func() {
		defer close(done)
		// What can't be understood still has to be taken off the pipe, or Nmap would wait for ever.
		_ = read(stdout, one.events(r.progress))
		_, _ = io.Copy(io.Discard, stdout)
	}()
	limits := manifest().Limits
	stderr := &tail{}
	exit, err := r.env.Proc.Launch(ctx, engine.Process{
		Program: program, Args: args,
		Stdout: io.MultiWriter(r.raw, watched), Stderr: stderr,
		First: engine.Interrupt, Grace: limits.CancelGrace, MaxMemory: limits.MaxMemory,
	})
	_ = watched.Close() // always nil
	<-done
	if errors.Is(err, fault.New(fault.Unavailable, fault.CodeEngine, "")) {
		return manifest().Missing().Because(err)
	}
	if err != nil {
		return err
	}
	if !one.finished && !exit.Canceled || one.failed {
		r.env.Log.WarnContext(ctx, "nmap ended early", slog.Int("exit_code", exit.Code),
			slog.Bool("signaled", exit.Signaled), slog.String("nmap_error", label(one.message, 300)),
			slog.String("stderr", label(stderr.String(), 300)))
	}
	one.canceled = exit.Canceled
	one.rights = strings.Contains(stderr.String(), "requires root privileges")
	r.sum.add(one)
	return nil
}

// summary is what the output says of how it went.
type summary struct {
	version  string
	runs     int
	hosts    int // reported, up or down
	answered int // hosts that gave any answer of their own
	whole    int // hosts looked at to the end
	timedOut int
	finished bool // every start so far ended by itself and says so
	failed   bool // Nmap says that it gave up
	rights   bool
	message  string
	canceled bool
	spared   bool // nothing was left to look at
}

func (s *summary) events(p *progress) events {
	return events{
		start: func(version string) { s.version = version },
		task:  p.task,
		host: func(h *host) error {
			s.hosts++
			if h.timedOut {
				s.timedOut++
			} else {
				s.whole++
			}
			if h.answered() {
				s.answered++
			}
			p.host()
			return nil
		},
		finished: func(success bool, message string) {
			s.finished, s.failed, s.message = true, !success, message
		},
	}
}

func (s *summary) add(one summary) {
	first := s.runs == 0
	s.runs++
	s.version = one.version
	s.hosts += one.hosts
	s.answered += one.answered
	s.whole += one.whole
	s.timedOut += one.timedOut
	s.finished = one.finished && (first || s.finished)
	s.failed = s.failed || one.failed
	s.rights = s.rights || one.rights
	s.canceled = one.canceled
}

// verdict decides how much the run's silence is worth.
func (s *summary) verdict(truncated, spared bool) engine.Verdict {
	v := engine.Verdict{Version: s.version}
	add := func(outcome engine.Outcome, reason string) {
		if v.Outcome == "" {
			v.Outcome = outcome
		}
		v.Reasons = append(v.Reasons, reason)
	}
	switch {
	case s.spared && s.runs == 0:
		add(engine.Blocked, "All of the chosen ports belong to Assay itself, which isn't scanned.")
	case s.canceled:
		add(engine.Partial, "Nmap was stopped before its end; "+count(s.whole, "host")+" had been looked at.")
	case s.rights:
		add(engine.Failed, "Nmap needs the right to send raw packets for these options and doesn't have it.")
	case s.failed && s.whole == 0:
		add(engine.Failed, "Nmap gave up with an error; the raw output has its message.")
	case s.failed:
		add(engine.Partial, "Nmap gave up with an error before its end; the raw output has its message.")
	case !s.finished && s.whole == 0:
		add(engine.Failed, "Nmap ended without a result.")
	case !s.finished:
		add(engine.Partial, "Nmap ended early; "+count(s.whole, "host")+" had been looked at.")
	case truncated:
		add(engine.Partial, "The raw output was larger than what is kept; what came after it is missing.")
	case s.answered == 0 && s.timedOut == 0:
		add(engine.NothingReachable, "No host gave an answer.")
	}
	if s.timedOut > 0 {
		add(engine.Partial, count(s.timedOut, "host")+" took longer than hostTimeout and "+isAre(s.timedOut)+" missing.")
	}
	if v.Outcome == "" {
		v.Outcome = engine.Complete
	}
	if spared && v.Outcome != engine.Blocked {
		v.Reasons = append(v.Reasons, "Ports on which Assay itself listens were left out.")
	}
	return v
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}

func isAre(n int) string {
	if n == 1 {
		return "is"
	}
	return "are"
}

// tail keeps the first 4 KiB of standard error: Nmap says there why it didn't begin.
type tail struct{ strings.Builder }

// Write implements io.Writer and never fails.
func (t *tail) Write(p []byte) (int, error) {
	t.Builder.Write(p[:min(len(p), max(0, 4<<10-t.Len()))])
	return len(p), nil
}
