package scanapi

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"assay.dev/assay/internal/org/access"
	"assay.dev/assay/internal/scan"
	"assay.dev/assay/internal/web/api"
	"assay.dev/assay/internal/web/mw"
	"assay.dev/assay/internal/web/problem"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/fault"
)

const (
	// maxStreams is how many event streams one principal may have open.
	maxStreams = 10
	// heartbeat is how long a stream may be silent.
	heartbeat = 15 * time.Second
	// recheck is how often a stream looks again whether its caller may still listen, and for events whose wake was
	// missed. A key that loses access loses its streams within 5 seconds.
	recheck = 4 * time.Second
	// writeTime is how long a reader may take for one event.
	writeTime = 10 * time.Second
	// settle is how long after a scan's end its last events may take to get their place in the outbox, which on
	// PostgreSQL they get after the commit that ended the scan.
	settle = 2 * time.Second
	// eventBatch bounds one read of events.
	eventBatch = 100
)

func (h *handlers) eventRoutes() []api.Entry {
	return []api.Entry{api.Op(api.Route[eventsIn, api.Stream]{
		ID: "watchScan", Method: http.MethodGet, Path: Base + "/scans/{id}/events", Family: problem.Scan,
		Scope: access.ScansRead, Audit: event.ScanStreamOpened, Closing: event.ScanStreamClosed, Resource: "scan",
		Tags: []string{tagScans}, Summary: "Watch a scan live",
		Description: "Server-sent events: first `scan.state` with where the scan stands, then what happens, each with its id. Send the last id as " +
			"`Last-Event-ID` to go on after it. A comment every 15 seconds; the stream ends when the scan is terminal. " +
			"At most 10 open for each key (429 `TOO_MANY_STREAMS`).",
		Produces: []api.Media{{Type: "text/event-stream", Doc: "Events named as in webhooks; data is a JSON object."}},
		Handle:   h.events,
	})}
}

type eventsIn struct {
	ScanRef
	LastEventID string `header:"Last-Event-ID" maxLength:"20" doc:"Id of the last event seen."`
}

// state is the data of the first event, and of the one that a stream sends where it has missed some.
type state struct {
	ScanID   string `json:"scanId"`
	Status   string `json:"status"`
	Progress int    `json:"progress"`
	Phase    string `json:"phase,omitempty"`
}

func (h *handlers) events(ctx context.Context, in *eventsIn) (*api.Stream, error) {
	var after int64
	if in.LastEventID != "" {
		n, err := strconv.ParseInt(in.LastEventID, 10, 64)
		if err != nil || n < 0 {
			return nil, fault.Wrong("header.Last-Event-ID", "must be the id of an event of this stream")
		}
		after = n
	}
	s, err := h.find(ctx, in.ID, in.ScanType)
	if err != nil {
		return nil, err
	}
	wake, stop, err := h.d.Events.Subscribe(s.Org, string(s.ID))
	if err != nil {
		return nil, err
	}
	leave, free := h.streams.enter(mw.ActorFrom(ctx).Principal())
	if !free {
		stop()
		return nil, fault.New(fault.Exhausted, fault.CodeTooManyStreams, "this key has 10 event streams open; close one first")
	}
	return api.Writes(ctx, func(w http.ResponseWriter) error {
		defer leave()
		defer stop()
		f := &feed{h: h, w: w, rc: http.NewResponseController(w), scan: s, after: after, wake: wake}
		f.run(ctx)
		return nil
	}), nil
}

// feed is one open stream.
type feed struct {
	h     *handlers
	w     http.ResponseWriter
	rc    *http.ResponseController
	scan  scan.Scan
	after int64
	wake  <-chan struct{}
	told  scan.Status // the status in the state that was sent last
	ended bool        // what ended the scan was sent, or won't come any more
}

// over reports whether there is nothing more to tell.
func (f *feed) over() bool {
	return f.scan.Status.Terminal() && (f.ended || f.h.d.Now().Sub(f.scan.EndedAt) >= settle)
}

// run sends until the scan is terminal, the caller is gone or may listen no more, or the server stops. Every end looks
// alike to the reader, who comes back with Last-Event-ID where the scan isn't finished.
func (f *feed) run(ctx context.Context) {
	head := f.w.Header()
	head.Set("Content-Type", "text/event-stream")
	head.Set("X-Accel-Buffering", "no")
	if !f.send("retry: 2000\n\n"+f.state()) || !f.catchUp(ctx) {
		return
	}
	look, beat := time.NewTicker(recheck), time.NewTicker(heartbeat)
	defer look.Stop()
	defer beat.Stop()
	for !f.over() {
		var late <-chan time.Time
		if f.scan.Status.Terminal() {
			late = time.After(settle)
		}
		going := true
		select {
		case <-ctx.Done():
			return
		case <-f.h.d.Stopping:
			return
		case <-f.wake:
			going = f.catchUp(ctx)
		case <-look.C:
			going = mw.From(ctx).StillAllowed(ctx) == nil && f.catchUp(ctx)
		case <-beat.C:
			going = f.send(": still here\n\n")
		case <-late:
			going, f.ended = f.catchUp(ctx), true
		}
		if !going {
			return
		}
	}
	if f.told != f.scan.Status {
		f.send(f.state())
	}
}

// catchUp sends what has happened since, and the scan's state where no event told it; a terminal state comes last of
// all, with the end of the stream.
func (f *feed) catchUp(ctx context.Context) bool {
	now, err := f.h.d.Scans.Get(ctx, f.scan.Org, f.scan.ID)
	if err != nil {
		return false
	}
	told := false
	for {
		list, err := f.h.d.Events.Events(ctx, f.scan.Org, string(f.scan.ID), f.after, eventBatch)
		if err != nil {
			return false
		}
		for _, e := range list {
			if !f.send(frame(strconv.FormatInt(e.Seq, 10), string(e.Type), e.Data)) {
				return false
			}
			f.after, told = e.Seq, true
			f.ended = f.ended || ends(e.Type)
		}
		if len(list) < eventBatch {
			break
		}
	}
	moved := now.Status != f.scan.Status || now.Progress != f.scan.Progress || now.Phase != f.scan.Phase
	f.scan = now
	if moved && !told && !now.Status.Terminal() {
		return f.send(f.state())
	}
	return true
}

// ends reports whether an event is the last of its scan.
func ends(t event.Type) bool {
	return t == event.ScanCompleted || t == event.ScanFailed || t == event.ScanCancelled
}

func (f *feed) state() string {
	f.told = f.scan.Status
	b, err := json.Marshal(state{
		ScanID: string(f.scan.ID), Status: string(f.scan.Status), Progress: f.scan.Progress, Phase: f.scan.Phase,
	})
	if err != nil {
		return ""
	}
	return frame("", "scan.state", b)
}

// frame writes one event down (WHATWG HTML, section 9.2.6). Data of the outbox is JSON without line breaks; one that
// had some would be cut into two fields.
func frame(id, name string, data []byte) string {
	var b strings.Builder
	if id != "" {
		b.WriteString("id: " + id + "\n")
	}
	b.WriteString("event: " + name + "\n")
	for line := range strings.Lines(string(data)) {
		b.WriteString("data: " + strings.TrimRight(line, "\r\n") + "\n")
	}
	if len(data) == 0 {
		b.WriteString("data: {}\n")
	}
	b.WriteString("\n")
	return b.String()
}

// send writes and flushes under a deadline of its own; the server's would cut every stream that lasts.
func (f *feed) send(text string) bool {
	_ = f.rc.SetWriteDeadline(f.h.d.Now().Add(writeTime)) // not every writer has one; those that have none don't block
	if _, err := f.w.Write([]byte(text)); err != nil {
		return false
	}
	return f.rc.Flush() == nil
}

// streams counts open streams by principal.
type streams struct {
	mu   sync.Mutex
	open map[string]int
}

func newStreams() *streams { return &streams{open: map[string]int{}} }

func (s *streams) enter(principal string) (leave func(), ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open[principal] >= maxStreams {
		return nil, false
	}
	s.open[principal]++
	return sync.OnceFunc(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.open[principal]--; s.open[principal] == 0 {
			delete(s.open, principal)
		}
	}), true
}
