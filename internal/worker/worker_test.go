package worker_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"

	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/job"
	"assay.dev/assay/internal/worker"
)

type scans func(ctx context.Context, j job.Scan) error

func (f scans) Run(ctx context.Context, j job.Scan) error { return f(ctx, j) }

func TestEveryKindOfFaultHasADecision(t *testing.T) {
	t.Parallel()
	want := map[fault.Kind]job.Decision{
		fault.Internal: job.Retry, fault.Invalid: job.Done, fault.Unauthenticated: job.Done, fault.Forbidden: job.Done, fault.NotFound: job.Done,
		fault.Conflict: job.Done, fault.Exhausted: job.Retry, fault.Unavailable: job.Retry, fault.Unsupported: job.Done, fault.Canceled: job.Requeue,
	}
	for kind := fault.Internal; kind <= fault.Canceled; kind++ {
		decision, ok := want[kind]
		if !ok || worker.Decide(kind, false) != decision {
			t.Errorf("%s: %d, want %d (listed: %v)", kind, worker.Decide(kind, false), decision, ok)
		}
		if worker.Decide(kind, true) != job.Requeue {
			t.Errorf("%s while the process stops counts as a try", kind)
		}
	}
	if worker.Decide(fault.Kind(200), false) != job.Done {
		t.Error("a kind of no name is tried for ever")
	}
}

func TestJobsEndAsTheirRunDoes(t *testing.T) {
	t.Parallel()
	stopped, stop := context.WithCancel(t.Context())
	stop()
	want := job.Scan{Org: "o", Scan: "s", Fence: 7}
	for name, c := range map[string]struct {
		ctx  context.Context
		run  scans
		want job.Decision
	}{
		"done":            {t.Context(), func(context.Context, job.Scan) error { return nil }, job.Done},
		"plain error":     {t.Context(), func(context.Context, job.Scan) error { return errors.New("x") }, job.Retry},
		"not there":       {t.Context(), func(context.Context, job.Scan) error { return fault.Missing("scan") }, job.Done},
		"process stopped": {stopped, func(ctx context.Context, _ job.Scan) error { return ctx.Err() }, job.Requeue},
		"panic":           {t.Context(), func(context.Context, job.Scan) error { panic("boom") }, job.Done},
		"its arguments": {t.Context(), func(_ context.Context, j job.Scan) error {
			if j != want {
				t.Errorf("ran %+v", j)
			}
			return nil
		}, job.Done},
	} {
		w := worker.New(worker.Deps{Scans: c.run, Log: slog.New(slog.DiscardHandler)})
		if got := w.RunScan(c.ctx, want); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}
