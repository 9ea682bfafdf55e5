package api_test

import (
	"bufio"
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"assay.dev/assay/internal/org/access"
	"assay.dev/assay/internal/scan"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/uid"
)

// reader is an open event stream.
type reader struct {
	t    *testing.T
	resp *http.Response
	in   *bufio.Scanner
}

// open connects over a real connection, with a write timeout that would cut every stream that has no deadline of its
// own.
func (b *bundle) open(id string, opts ...func(*http.Request)) (*reader, context.CancelFunc) {
	b.t.Helper()
	srv := httptest.NewServer(b.chain)
	b.t.Cleanup(srv.Close)
	ctx, cancel := context.WithCancel(b.t.Context())
	b.t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, srv.URL+scans+"/"+id+"/events", nil)
	if err != nil {
		b.t.Fatal(err)
	}
	r.Header.Set("X-API-Key", b.key)
	for _, o := range opts {
		o(r)
	}
	resp, err := srv.Client().Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = resp.Body.Close() })
	return &reader{t: b.t, resp: resp, in: bufio.NewScanner(resp.Body)}, cancel
}

// next returns the next event's lines, "" at the end of the stream.
func (r *reader) next() string {
	var lines []string
	for r.in.Scan() {
		if r.in.Text() == "" {
			if len(lines) == 1 && strings.HasPrefix(lines[0], "retry:") {
				lines = nil
				continue
			}
			return strings.Join(lines, "|")
		}
		lines = append(lines, r.in.Text())
	}
	return ""
}

// until skips to the event that holds text; states in between are told as the timing has it.
func (r *reader) until(text string) string {
	r.t.Helper()
	for {
		got := r.next()
		if got == "" {
			r.t.Fatalf("the stream ended before %q", text)
		}
		if strings.Contains(got, text) {
			return got
		}
	}
}

func TestAStreamTellsWhatHappensAndEndsWithTheScan(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.now(t)
	s := b.someScan(b.ours, scan.Queued)
	r, _ := b.open(string(s.ID))
	if r.resp.Header.Get("Content-Type") != "text/event-stream" || r.resp.Header.Get("X-RateLimit-Limit") == "" {
		t.Error(r.resp.Header)
	}
	if got := r.next(); !strings.HasPrefix(got, "event: scan.state|data: {") || !strings.Contains(got, `"status":"queued"`) {
		t.Fatal(got)
	}
	s.Status, s.Progress = scan.Running, 40
	if err := b.scans.emit(t.Context(), s, event.ScanProgress); err != nil {
		t.Fatal(err)
	}
	got := r.until("|event: scan.progress|data: ")
	if !strings.HasPrefix(got, "id: ") || !strings.Contains(got, `"progress":40`) {
		t.Fatal(got)
	}
	seen := strings.TrimPrefix(strings.Split(got, "|")[0], "id: ")
	s.Status, s.Progress = scan.Completed, 100
	if err := b.scans.emit(t.Context(), s, event.ScanCompleted); err != nil {
		t.Fatal(err)
	}
	r.until("event: scan.completed")
	if got := r.until("event: scan.state"); !strings.Contains(got, `"status":"completed"`) {
		t.Fatal(got)
	}
	if got := r.next(); got != "" {
		t.Fatalf("after the end: %q", got)
	}
	// Whoever lost the connection goes on after the last event.
	again, _ := b.open(string(s.ID), with("Last-Event-ID", seen))
	again.until("event: scan.completed")
	trail := b.entries(b.ours)
	n := map[event.Audit]int{}
	for _, e := range trail {
		n[e.Type]++
	}
	if n[event.ScanStreamOpened] != 2 || n[event.ScanStreamClosed] < 1 {
		t.Errorf("%v", n)
	}
}

func TestAStreamEndsWhenTheServerStops(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.now(t)
	r, _ := b.open(string(b.someScan(b.ours, scan.Running).ID))
	r.next()
	close(b.stopping)
	if got := r.next(); got != "" {
		t.Error(got)
	}
}

func TestAStreamEndsWhenItsKeyLosesAccess(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("waits four seconds of real time")
	}
	b := setup(t)
	b.now(t)
	r, _ := b.open(string(b.someScan(b.ours, scan.Running).ID))
	r.next()
	ids, err := b.access.Keys(t.Context(), access.Operator(b.ours), pageOf(10))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.access.RevokeKey(t.Context(), access.Operator(b.ours), ids.Items[0].ID); err != nil {
		t.Fatal(err)
	}
	if got := r.next(); got != "" { // the test's own deadline is the bound
		t.Error(got)
	}
}

func TestAKeyHasTenStreamsAtMost(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.now(t)
	id := string(b.someScan(b.ours, scan.Running).ID)
	var last context.CancelFunc
	for range 10 {
		var r *reader
		r, last = b.open(id)
		if r.next() == "" {
			t.Fatal("no stream")
		}
	}
	if w := b.call("GET", scans+"/"+id+"/events", "", key(b.key)).want(429); w.text("code") != "TOO_MANY_STREAMS" {
		t.Error(w.Body)
	}
	last()
	for { // the server notices the end of one by and by
		r, _ := b.open(id)
		if r.resp.StatusCode == http.StatusOK {
			return
		}
		_ = r.resp.Body.Close()
	}
}

func TestStreamsOfOthersAndOfNoneAreMissing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	theirs := b.someScan(b.theirs, scan.Running)
	for _, id := range []uid.Scan{theirs.ID, missing} {
		b.call("GET", scans+"/"+string(id)+"/events", "", key(b.key)).want(404)
	}
	ours := b.someScan(b.ours, scan.Running)
	b.call("GET", scans+"/"+string(ours.ID)+"/events", "", key(b.key), with("Last-Event-ID", "x")).want(400)
}
