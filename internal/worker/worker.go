// Package worker maps the queue's jobs to calls of services, and what comes of them to what the queue does next.
//
// It knows no queue: app hands it to one as a function. It must never decide what a job does, only whether it is tried
// again; jobs carry ids only and are guarded by the rows that they name. Start with Worker.
package worker

import (
	"context"
	"log/slog"
	"runtime/debug"

	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/job"
)

// Scans runs admitted scans. A run that is no longer wanted returns nil.
type Scans interface {
	Run(ctx context.Context, j job.Scan) error
}

// Deps is what the worker calls.
type Deps struct {
	Scans Scans
	Log   *slog.Logger
}

// Worker works jobs. It is safe for concurrent use.
type Worker struct{ d Deps }

// New returns a worker.
func New(d Deps) *Worker { return &Worker{d: d} }

// RunScan works one job of kind job.RunScan. ctx ends when the process stops.
func (w *Worker) RunScan(ctx context.Context, j job.Scan) (d job.Decision) {
	log := w.d.Log.With(slog.String("job", string(job.RunScan)), slog.String("scan", string(j.Scan)))
	defer func() {
		if p := recover(); p != nil {
			log.ErrorContext(ctx, "job panicked", slog.Any("panic", p), slog.String("stack", string(debug.Stack())))
			d = job.Done // it would panic again; the scan's lease ends and the line decides
		}
	}()
	err := w.d.Scans.Run(ctx, j)
	if err == nil {
		return job.Done
	}
	d = Decide(fault.KindOf(err), ctx.Err() != nil)
	log.WarnContext(ctx, "job failed", slog.Any("error", err), slog.Bool("again", d != job.Done))
	return d
}

// Decide says what becomes of a job that failed in this way. It is one of the three total switches over the kinds of
// fault.
func Decide(kind fault.Kind, stopping bool) job.Decision {
	if stopping {
		return job.Requeue
	}
	switch kind {
	case fault.Internal, fault.Unavailable, fault.Exhausted:
		return job.Retry // a part that doesn't answer now may answer later
	case fault.Canceled:
		return job.Requeue
	case fault.Invalid, fault.Unauthenticated, fault.Forbidden, fault.NotFound, fault.Conflict, fault.Unsupported:
		return job.Done // it would fail the same way again
	}
	return job.Done
}
