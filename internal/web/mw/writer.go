package mw

import (
	"context"
	"fmt"
	"maps"
	"net/http"

	"assay.dev/assay/internal/web/problem"
	"assay.dev/assay/internal/word/fault"
)

// writer is the one response writer of the chain. Before the first byte of an answer leaves, the call's audit entry is
// durable; where it can't be, the answer becomes 503 and what the handler writes is dropped.
type writer struct {
	http.ResponseWriter

	q       *Request
	status  int // 0 until the header is out
	bytes   int64
	dropped bool
}

// Unwrap gives http.ResponseController the connection's own writer, for deadlines.
func (w *writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// WriteHeader settles the audit entry, then sends the header. Informational statuses pass.
func (w *writer) WriteHeader(status int) {
	if w.status != 0 {
		return
	}
	if status < http.StatusOK {
		w.ResponseWriter.WriteHeader(status)
		return
	}
	if err := w.q.settle(status); err != nil {
		w.refuse(err)
		return
	}
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Write sends b after the header; without one it sends 200 first.
func (w *writer) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if w.dropped {
		return len(b), nil
	}
	n, err := w.ResponseWriter.Write(b)
	w.bytes += int64(n)
	return n, err
}

// FlushError flushes what was written, after the header: without it a flush would send one past the audit entry.
func (w *writer) FlushError() error {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if w.dropped {
		return http.ErrAbortHandler // a stream whose opening couldn't be entered has nobody to go on for
	}
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// refuse answers with err in place of what the handler wanted to say.
func (w *writer) refuse(err error) {
	w.q.err = err
	h := w.Header()
	for name := range h {
		if !keptHeader(name) {
			delete(h, name)
		}
	}
	doc := problem.From(w.q.family(), w.q.ID, err)
	maps.Copy(h, doc.GetHeaders())
	h.Set("Content-Type", doc.ContentType(""))
	w.status, w.dropped = doc.GetStatus(), true
	w.ResponseWriter.WriteHeader(w.status)
	if b, err := doc.MarshalJSON(); err == nil {
		n, _ := w.ResponseWriter.Write(b)
		w.bytes += int64(n)
	}
}

// keptHeader names the headers that the chain sets before any handler runs.
func keptHeader(name string) bool {
	switch name {
	case "X-Request-Id", headerLimit, headerRemaining, headerReset, "X-Content-Type-Options", "Cache-Control",
		"Content-Security-Policy", "Referrer-Policy", "Strict-Transport-Security", "Cross-Origin-Resource-Policy",
		"Access-Control-Allow-Origin", "Access-Control-Expose-Headers", "Vary":
		return true
	}
	return false
}

// agrees refuses a success that isn't the one whose entry is durable.
func (q *Request) agrees(status int) error {
	if status >= http.StatusBadRequest || status == q.call.Status {
		return nil
	}
	return fault.Of(fmt.Errorf("the handler answered %d after a change was recorded with %d", status, q.call.Status))
}

// settle makes the call's audit entry durable, once, or counts the call where refusals are summarised.
func (q *Request) settle(status int) error {
	switch {
	case q.call == nil || (q.Route != nil && q.Route.Exempt):
		return nil
	case q.call.Recorded():
		return q.agrees(status)
	case q.summarise || !q.known:
		q.chain.refusals.add(q.start, q.Client, q.call.Type, status)
		return nil
	}
	// The caller may be gone by now; what happened is entered all the same.
	ctx := context.WithoutCancel(q.r.Context())
	if err := q.chain.audit.Record(ctx, q.Actor.Org, q.event(status)); err != nil {
		return fault.New(fault.Unavailable, fault.CodeAuditUnavailable,
			"this call can't be recorded in the audit log, so it isn't answered; try again").After(retryAudit).Because(err)
	}
	return nil
}
