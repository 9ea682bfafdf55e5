package app_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"assay.dev/assay/internal/client"
)

// greeter is a service that says hello and hears nothing, until it is closed.
func greeter(t *testing.T, hello string) (port int, stop func()) {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(c, hello)
			_ = c.Close()
		}
	}()
	stop = func() { _ = l.Close(); <-done }
	t.Cleanup(stop)
	return l.Addr().(*net.TCPAddr).Port, stop
}

// of returns the findings at one port, by id.
func (c caller) of(port int) map[string]client.Tracked {
	c.t.Helper()
	out := map[string]client.Tracked{}
	var page client.Findings
	c.must(http.MethodGet, "/api/findings?limit=100&host=127.0.0.1", nil, &page)
	if page.Meta.NextCursor != "" {
		c.t.Fatal("there are more findings than a page holds")
	}
	for _, f := range page.Data {
		if f.Location.Port == port {
			out[f.ID] = f
		}
	}
	return out
}

func TestDecisionsSurviveWhatScansSee(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, h *house) {
		c := h.caller
		c.t = t
		ftp, stop := greeter(t, "220 ProFTPD 1.3.5 Server ready\r\n")
		ssh, _ := greeter(t, "SSH-2.0-OpenSSH_7.2p2 Ubuntu-4ubuntu2.1\r\n")
		scan := func() {
			t.Helper()
			s := c.ended(c.submit(sentinel("127.0.0.1", fmt.Sprintf("%d,%d", ftp, ssh))))
			if s.Outcome != "complete" {
				t.Fatalf("a scan ended as %+v", s)
			}
		}
		scan()
		at := c.of(ftp)
		if len(at) < 2 {
			t.Fatalf("%d findings at the FTP server; want some to decide on", len(at))
		}
		decisions := []client.Decision{
			{Status: "confirmed"}, {Status: "accepted", Reason: "until it moves", Until: new(time.Now().Add(time.Hour).UTC())},
		}
		decided := map[string]string{}
		for id, f := range at {
			if len(decided) == len(decisions) {
				break
			}
			d := decisions[len(decided)]
			a := c.call(http.MethodPost, "/api/findings/"+id+"/triage", d, "If-Match", fmt.Sprintf(`"%d"`, f.Revision))
			if a.status != http.StatusOK {
				t.Fatalf("deciding: %d %s", a.status, a.body)
			}
			decided[id] = d.Status
		}

		scan()
		for id, f := range c.of(ftp) {
			if want := decided[id]; want != "" && f.Status != want || f.NotSeenSince != nil {
				t.Errorf("after a scan that sees it: %s, not seen since %v; want %s", f.Status, f.NotSeenSince, want)
			}
		}

		stop()
		scan()
		scan()
		for id, f := range c.of(ftp) {
			switch want := decided[id]; {
			case want == "" && f.Status != "fixed":
				t.Errorf("nobody decided on a finding that is gone, and it is %s", f.Status)
			case want != "" && (f.Status != want || f.NotSeenSince == nil):
				t.Errorf("a finding that is gone is %s, not seen since %v; want %s with a time", f.Status, f.NotSeenSince, want)
			}
			if want := decided[id]; want != "" {
				var history client.FindingHistory
				c.must(http.MethodGet, "/api/findings/"+id+"/history", nil, &history)
				var kinds []string
				for _, e := range history.Data {
					kinds = append(kinds, e.Kind)
				}
				if fmt.Sprint(kinds) != "[unseen seen decided opened]" {
					t.Errorf("the history is %v", kinds)
				}
			}
		}
		var unseen client.Findings
		c.must(http.MethodGet, "/api/findings?unseen=true", nil, &unseen)
		if len(unseen.Data) != len(decided) {
			t.Errorf("%d findings are listed as not seen any more; want %d", len(unseen.Data), len(decided))
		}
	})
}
