package client_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"assay.dev/assay/internal/client"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/secret"
)

func serve(t *testing.T, h http.HandlerFunc) *client.Client {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	c, err := client.New(s.URL, secret.New("asy_live_test"), nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestErrorsOfBothFamiliesComeBackAsFaults(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		status int
		body   string
		kind   fault.Kind
		code   fault.Code
		text   string
	}{
		"scan API":       {403, `{"success":false,"error":"Insufficient scope: requires scans:create","code":"INSUFFICIENT_SCOPE"}`, fault.Forbidden, fault.CodeScope, "requires scans:create"},
		"problem":        {422, `{"title":"x","status":422,"detail":"well-formed but wrong","error":"x","code":"VALIDATION_ERROR","errors":[{"location":"name","message":"is required"}]}`, fault.Invalid, fault.CodeValidation, "well-formed"},
		"not our server": {502, `<html>bad gateway</html>`, fault.Unavailable, fault.CodeUnavailable, "502"},
		"redirect":       {302, ``, fault.Unavailable, fault.CodeUnavailable, "302"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Location", "http://127.0.0.1:1/")
				w.WriteHeader(tc.status)
				_, _ = io.WriteString(w, tc.body)
			})
			_, err := c.Scan(t.Context(), "x")
			f := fault.Of(err)
			if f == nil || f.Kind != tc.kind || f.Code != tc.code || !strings.Contains(f.Text, tc.text) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestCredentialsTravelInTheHeaderOnly(t *testing.T) {
	t.Parallel()
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer asy_live_test" || strings.Contains(r.URL.String(), "asy_") {
			w.WriteHeader(http.StatusTeapot)
		}
		_, _ = io.WriteString(w, `{"success":true,"data":{"scans":[],"pagination":{"page":1,"limit":20}}}`)
	})
	if _, err := c.Scans(t.Context(), client.ListQuery{}); err != nil {
		t.Error(err)
	}
	if _, err := client.New("http://user:pass@127.0.0.1", secret.Text{}, nil); err == nil {
		t.Error("an address with credentials was accepted")
	}
}

func TestADeadServerIsNamedWithWhatToDo(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(http.NotFoundHandler())
	s.Close()
	c, err := client.New(s.URL, secret.Text{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = c.Healthy(t.Context())
	if !client.IsDown(err) || !strings.Contains(err.Error(), "assay serve") {
		t.Errorf("got %v", err)
	}
}

func TestWatchResumesABrokenStreamAfterTheLastEvent(t *testing.T) {
	t.Parallel()
	streams := 0
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.URL.Path, "/events") {
			status := "running"
			if streams > 1 {
				status = "completed"
			}
			_ = json.NewEncoder(w).Encode(map[string]any{"success": true, "data": map[string]any{"id": "s", "status": status, "createdAt": time.Unix(0, 0).UTC()}})
			return
		}
		streams++
		w.Header().Set("Content-Type", "text/event-stream")
		if streams == 1 {
			_, _ = io.WriteString(w, "id: 7\nevent: scan.progress\ndata: {\"progress\":40}\n\nid: 8\nevent: scan.prog") // cut off
			return
		}
		_, _ = fmt.Fprintf(w, ": heartbeat\n\nid: 9\nevent: scan.completed\ndata: {\"progress\":100,\"phase\":\"after %s\"}\n\n", r.Header.Get("Last-Event-ID"))
	})
	var got []string
	s, err := c.Watch(t.Context(), "s", func(e client.Event) {
		got = append(got, fmt.Sprintf("%s %s %d %s", e.ID, e.Type, e.Progress, e.Phase))
	})
	if err != nil || s.Status != "completed" {
		t.Fatalf("got %+v, %v", s, err)
	}
	want := "7 scan.progress 40 |9 scan.completed 100 after 7"
	if strings.Join(got, "|") != want {
		t.Errorf("events %q, want %q", strings.Join(got, "|"), want)
	}
}
