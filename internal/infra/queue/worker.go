package queue

import (
	"context"
	"errors"
	"log/slog"

	"github.com/riverqueue/river"

	"assay.dev/assay/internal/word/job"
)

// scanArgs is job.Scan as River wants to see it.
type scanArgs job.Scan

// Kind implements river.JobArgs.
func (scanArgs) Kind() string { return string(job.RunScan) }

// InsertOpts implements river.JobArgsWithInsertOpts.
func (scanArgs) InsertOpts() river.InsertOpts { return river.InsertOpts{Queue: name} }

// workingOn is the key under which a working context carries its job's id.
type workingOn struct{}

type worker struct {
	river.WorkerDefaults[scanArgs]

	work func(ctx context.Context, j job.Scan) job.Decision
}

// Work implements river.Worker.
func (w *worker) Work(ctx context.Context, j *river.Job[scanArgs]) error {
	switch w.work(context.WithValue(ctx, workingOn{}, j.ID), job.Scan(j.Args)) {
	case job.Done:
		return nil
	case job.Retry:
		return errRetry
	case job.Requeue:
		return river.JobSnooze(0) // gives it back without counting the attempt
	}
	return nil
}

// errRetry is all that River learns of a failure: its rows must hold no text of ours.
var errRetry = errors.New("the job asks for another try")

// levelled drops records below a level.
type levelled struct {
	slog.Handler

	min slog.Level
}

// Enabled implements slog.Handler.
func (l levelled) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= l.min && l.Handler.Enabled(ctx, level)
}

// WithAttrs implements slog.Handler.
func (l levelled) WithAttrs(attrs []slog.Attr) slog.Handler {
	return levelled{l.Handler.WithAttrs(attrs), l.min}
}

// WithGroup implements slog.Handler.
func (l levelled) WithGroup(group string) slog.Handler {
	return levelled{l.Handler.WithGroup(group), l.min}
}
