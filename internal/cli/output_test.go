package cli_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"assay.dev/assay/internal/cli"
)

// onTerminal runs a command whose output is a terminal of so many columns.
func onTerminal(t *testing.T, columns int, args ...string) []string {
	t.Helper()
	var out, err bytes.Buffer
	if code := cli.Main(args, cli.IO{Out: &out, Err: &err, Width: columns}); code != 0 {
		t.Fatalf("%v exits %d: %s", args, code, &err)
	}
	return strings.Split(strings.TrimRight(out.String(), "\n"), "\n")
}

func widest(lines []string) int {
	n := 0
	for _, l := range lines {
		n = max(n, utf8.RuneCountInString(l))
	}
	return n
}

func TestTextInTablesGoesOnInTheNextLineOfANarrowTerminal(t *testing.T) {
	t.Parallel()
	wide, narrow := onTerminal(t, 0, "config", "reference"), onTerminal(t, 100, "config", "reference")
	if widest(narrow) > 100 || widest(wide) <= 100 || len(narrow) <= len(wide) {
		t.Errorf("%d lines of up to %d columns without a width, %d of up to %d with 100", len(wide), widest(wide), len(narrow), widest(narrow))
	}
	words := func(lines []string) int { return len(strings.Fields(strings.Join(lines, " "))) }
	if words(narrow) < words(wide) {
		t.Errorf("%d of %d words are left", words(narrow), words(wide))
	}
}

func TestCellsAreCutOnANarrowTerminalButNeverIDs(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "data")
	name := strings.Repeat("Long Name ", 8) + "End"
	if _, stderr, code := run("init", "--data", data, "--organization", name); code != 0 {
		t.Fatal(stderr)
	}
	whole := onTerminal(t, 0, "org", "list", "--data", data)
	if !strings.Contains(whole[1], name) {
		t.Errorf("cut without a terminal: %s", whole[1])
	}
	cut := onTerminal(t, 110, "org", "list", "--data", data)
	id, _, _ := strings.Cut(whole[1], " ")
	if widest(cut) > 110 || !strings.HasPrefix(cut[1], id+" ") || !strings.Contains(cut[1], "…") || len(cut) != len(whole) {
		t.Errorf("at 110 columns:\n%s", strings.Join(cut, "\n"))
	}
}

// course is an API with one scan in its second attempt: its stream first tells where it stands, then what led there.
func course(t *testing.T) string {
	t.Helper()
	const id, base = "01900000-0000-7000-8000-000000000001", "/scan-api/api/v1/scans/01900000-0000-7000-8000-000000000001"
	var ended atomic.Bool
	answer := func(w http.ResponseWriter, format string, args ...any) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"success":true,"data":`+fmt.Sprintf(format, args...)+`}`)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+base, func(w http.ResponseWriter, _ *http.Request) {
		status := "running"
		if ended.Load() {
			status = "completed"
		}
		answer(w, `{"id":%q,"scanType":"nmap","target":"192.0.2.7","status":%q,"progress":40,"attempt":2}`, id, status)
	})
	mux.HandleFunc("GET "+base+"/results", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, `{"scanId":%q,"status":"completed","outcome":"complete","summary":{"total":0},"findings":[],"pagination":{}}`, id)
	})
	mux.HandleFunc("GET "+base+"/events", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for i, e := range []string{
			`scan.state {"status":"running","progress":40,"phase":"probing"}`,
			`scan.queued {"status":"queued","progress":0}`,
			`scan.started {"status":"running","progress":0,"phase":"starting","attempt":1}`,
			`scan.progress {"status":"running","progress":70,"phase":"first look","attempt":1}`,
			`scan.started {"status":"running","progress":0,"phase":"starting","attempt":2}`,
			`scan.progress {"status":"running","progress":40,"phase":"probing","attempt":2}`,
			`finding.opened {"scanId":"x","count":3}`,
			`scan.progress {"status":"running","progress":60,"phase":"reading\u001b[2J","attempt":2}`,
			`scan.started {"status":"running","progress":0,"phase":"starting","attempt":3}`,
			`scan.completed {"status":"completed","progress":100,"attempt":3}`,
		} {
			name, data, _ := strings.Cut(e, " ")
			_, _ = fmt.Fprintf(w, "id: %d\nevent: %s\ndata: %s\n\n", i+1, name, data)
		}
		ended.Store(true)
	})
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s.URL
}

func TestWatchingTellsWhereTheScanIsAndNotWhatLedThere(t *testing.T) {
	t.Parallel()
	watch := func(stdio cli.IO) (string, string) {
		var out, err bytes.Buffer
		stdio.Out, stdio.Err, stdio.Environ = &out, &err, []string{"ASSAY_API_KEY=x"}
		if code := cli.Main([]string{"scans", "watch", "01900000-0000-7000-8000-000000000001", "--server", course(t)}, stdio); code != 0 {
			t.Errorf("exits %d: %s", code, &err)
		}
		return out.String(), err.String()
	}
	_, told := watch(cli.IO{})
	want := "nmap 192.0.2.7: probing (40 %)\nnmap 192.0.2.7: reading·[2J (60 %)\nnmap 192.0.2.7: starting (0 %)\n" +
		"01900000-0000-7000-8000-000000000001: 0 findings, outcome complete\n"
	if diff := cmp.Diff(want, told); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
	out, drawn := watch(cli.IO{Terminal: true})
	if out != "none\n" || !strings.Contains(drawn, "probing") || strings.Contains(drawn, "first look") || strings.Contains(drawn, "reading\x1b") {
		t.Errorf("on a terminal: %q and %q", out, drawn)
	}
}

func TestMissingAndSurplusArgumentsAreNamedAsTheHelpDoes(t *testing.T) {
	t.Parallel()
	for want, args := range map[string][]string{
		"assay: scans submit wants TARGET, and nothing was given":       {"scans", "submit"},
		"assay: scans get wants ID; the number of arguments given is 2": {"scans", "get", "a", "b"},
		`assay: serve takes no arguments, so not "x"`:                   {"serve", "x"},
		`assay: there is no command "x"`:                                {"key", "x"},
	} {
		if _, stderr, code := run(args...); code != 2 || !strings.HasPrefix(stderr, want+"\n") {
			t.Errorf("%v exits %d with %q, want %q", args, code, stderr, want)
		}
	}
}
