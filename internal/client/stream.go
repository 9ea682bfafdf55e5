package client

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"assay.dev/assay/internal/word/fault"
)

// Event is one server-sent event of a scan.
type Event struct {
	ID       string `json:"-"`
	Type     string `json:"-"`
	Progress int    `json:"progress"`
	Phase    string `json:"phase"`
	Status   string `json:"status"` // empty in events that tell of something else than the scan's course
	Attempt  int    `json:"attempt"`
}

// maxLine bounds one line of an event stream.
const maxLine = 1 << 20

// Watch follows a scan's events until it is terminal and returns its final state. A stream that breaks is resumed
// after the last event seen; f is called in order, once per event.
func (c *Client) Watch(ctx context.Context, id string, f func(Event)) (Scan, error) {
	last := ""
	for tries := 0; ; tries++ {
		err := c.stream(ctx, id, &last, func(e Event) {
			tries = 0
			f(e)
		})
		if ctx.Err() != nil {
			return Scan{}, fault.Of(ctx.Err())
		}
		if err != nil && (fault.KindOf(err) != fault.Unavailable || tries >= 5) {
			return Scan{}, err
		}
		s, serr := c.Scan(ctx, id)
		if serr == nil && s.Terminal() {
			return s, nil
		}
		if serr != nil && fault.KindOf(serr) != fault.Unavailable {
			return Scan{}, serr
		}
		select {
		case <-ctx.Done():
			return Scan{}, fault.Of(ctx.Err())
		case <-time.After(time.Second):
		}
	}
}

func (c *Client) stream(ctx context.Context, id string, last *string, f func(Event)) error {
	k := call{
		method: http.MethodGet, path: "/scan-api/api/v1/scans/" + url.PathEscape(id) + "/events",
		headers: map[string]string{"Accept": "text/event-stream"},
	}
	if *last != "" {
		k.headers["Last-Event-ID"] = *last
	}
	resp, err := c.send(ctx, k)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	return readEvents(resp.Body, func(e Event) {
		if e.ID != "" {
			*last = e.ID
		}
		f(e)
	})
}

// readEvents parses a stream of server-sent events (WHATWG HTML, section 9.2.6). A cut-off event is dropped.
func readEvents(r io.Reader, f func(Event)) error {
	sc := bufio.NewScanner(r)
	sc.Buffer(make([]byte, 0, 4096), maxLine)
	var e Event
	var data strings.Builder
	for sc.Scan() {
		line := sc.Text()
		if line == "" {
			if data.Len() > 0 {
				// Data that isn't ours leaves the numbers at zero; the type still tells what happened.
				_ = json.Unmarshal([]byte(data.String()), &e)
				f(e)
			}
			e, data = Event{}, strings.Builder{}
			continue
		}
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch name {
		case "id":
			e.ID = value
		case "event":
			e.Type = value
		case "data":
			if data.Len()+len(value) > maxLine {
				return fault.New(fault.Unavailable, fault.CodeUnavailable, "the server sent an event that is too long")
			}
			data.WriteString(value)
		}
	}
	if err := sc.Err(); err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return fault.New(fault.Unavailable, fault.CodeUnavailable, "the event stream broke off").Because(err)
	}
	return nil
}
