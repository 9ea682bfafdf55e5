package app_test

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"assay.dev/assay/internal/client"
	"assay.dev/assay/internal/simulator"
)

// rules maps the weak target's flaws to the rules that see them; a flaw that is beyond the engine has none.
func rules(engine string) map[string]string {
	if engine == "nmap" {
		return map[string]string{
			"redis-open": "nmap:exposed-service", "banner-ssh": "nmap:service", "banner-ftp": "nmap:service",
			"banner-server": "nmap:service", "banner-portal": "nmap:service",
		}
	}
	return map[string]string{
		"csp-missing": "http-csp-missing", "nosniff-missing": "http-nosniff-missing", "framing-allowed": "http-framing-allowed",
		"referrer-policy-missing": "http-referrer-missing", "banner-server": "http-version", "banner-powered-by": "http-version",
		"cookie-not-secure": "http-cookie-insecure", "cookie-not-httponly": "http-cookie-script", "cookie-no-samesite": "http-cookie-samesite",
		"no-https": "http-no-https", "trace-enabled": "http-trace", "cors-reflects": "http-cors-any", "listing": "http-listing",
		"git-exposed": "file-git", "env-exposed": "file-env", "hsts-missing": "http-hsts-missing", "banner-portal": "http-version",
		"certificate-expired": "cert-expired", "certificate-name": "cert-name-mismatch", "certificate-self-signed": "cert-self-signed",
		"certificate-weak-key": "cert-weak-key", "certificate-weak-signature": "cert-weak-signature", "tls10": "tls-old-protocol",
		"tls11": "tls-old-protocol", "rc4": "tls-weak-cipher", "3des": "tls-weak-cipher", "no-forward-secrecy": "tls-no-forward-secrecy",
		"no-pq": "tls-no-pq-kex", "redis-open": "port-redis-open", "banner-ssh": "port-version", "banner-ftp": "port-version",
		"ftp-cleartext": "port-ftp-cleartext",
	}
}

func TestTheMainJobFindsWhatIsThere(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, h *house) {
		weak := weakTarget(t)
		for _, engine := range []string{"sentinel", "nmap"} {
			t.Run(engine, func(t *testing.T) {
				if engine == "nmap" {
					needNmap(t)
				}
				c := h.caller
				c.t = t
				ports, again := weak.PortList(), weak.PortList()
				if engine == "nmap" {
					// Nmap waits long for services that don't speak first; one look at those must do.
					again = fmt.Sprintf("%d,%d", weak.Addr(simulator.WeakSSH).Port(), weak.Addr(simulator.WeakFTP).Port())
					if h.cfg.Database != "" {
						ports = again
					}
				}
				mainJob(t, c, weak, job{engine: engine, ports: ports, again: again})
			})
		}
	})
}

// job is a scan of some ports, and a second one of all or some of them.
type job struct{ engine, ports, again string }

// options are those of an order that the engine carries out alone.
func (j job) options(ports string) map[string]any {
	if j.engine == "sentinel" {
		return map[string]any{"ports": ports, "engines": []string{"sentinel"}}
	}
	return map[string]any{"ports": ports}
}

func mainJob(t *testing.T, c caller, weak *simulator.WeakTarget, j job) {
	t.Helper()
	made := c.must(http.MethodPost, scanAPI+"/scans", order{
		Target: weak.Host().String(), ScanType: j.engine, Options: j.options(j.ports),
	}, nil)
	var queued client.Scan
	made.into(t, &queued)
	if made.status != http.StatusCreated || queued.Status != "queued" || queued.Progress != 0 || queued.Priority != "normal" ||
		made.header.Get("Location") != scanAPI+"/scans/"+queued.ID {
		t.Errorf("submission answered %d, %+v, Location %s", made.status, queued, made.header.Get("Location"))
	}
	watched(t, c, queued.ID)
	s := c.scan(queued.ID)
	if s.Status != "completed" || s.Outcome != "complete" || s.Progress != 100 || s.StartedAt == nil || s.CompletedAt == nil {
		t.Fatalf("the scan ended as %+v", s)
	}
	found, total := c.results(queued.ID)
	if len(found) != total || total != s.Summary.Total {
		t.Errorf("%d findings, the results count %d, the scan %d", len(found), total, s.Summary.Total)
	}
	planted(t, weak, j, found)
	documents(t, c, queued.ID, total)

	again := c.submit(order{Target: weak.Host().String(), ScanType: j.engine, Options: j.options(j.again)})
	if s := c.ended(again); s.Outcome != "complete" {
		t.Fatalf("the second scan ended as %+v", s)
	}
	second, _ := c.results(again)
	found = slices.DeleteFunc(found, func(f seen) bool { return !within(j.again, f.Location.Port) })
	if diff := cmp.Diff(ids(found), ids(second)); diff != "" {
		t.Errorf("a second scan of the same target has other findings (-first +second):\n%s", diff)
	}
}

func within(ports string, port int) bool {
	return slices.Contains(strings.Split(ports, ","), strconv.Itoa(port))
}

func ids(found []seen) []string {
	out := []string{}
	for _, f := range found {
		out = append(out, f.ID+" "+f.Status)
	}
	slices.Sort(out)
	return out
}

// planted compares what was found with what there is.
func planted(t *testing.T, weak *simulator.WeakTarget, j job, found []seen) {
	t.Helper()
	rules := rules(j.engine)
	for _, flaw := range weak.Flaws() {
		rule, known := rules[flaw.ID]
		if !known || !within(j.ports, flaw.Port) {
			if j.engine == "sentinel" && flaw.ID != "reflected-query" {
				t.Errorf("no rule is expected to see %s", flaw.ID)
			}
			continue
		}
		if j.engine == "sentinel" {
			rule = "sentinel:" + rule
		}
		if !slices.ContainsFunc(found, func(f seen) bool { return f.Rule == rule && f.Location.Port == flaw.Port && f.Status == "open" }) {
			t.Errorf("%s did not find %s (%s on port %d)", j.engine, flaw.ID, rule, flaw.Port)
		}
	}
	for _, f := range found {
		if !within(j.ports, f.Location.Port) {
			t.Errorf("%s on port %d, where nothing of the target is", f.Rule, f.Location.Port)
		}
		for _, value := range []string{"fake-db-password", "fake-app-key", "fake-session-0001"} {
			if strings.Contains(f.Evidence, value) {
				t.Errorf("the evidence of %s shows a secret", f.Rule)
			}
		}
	}
}

// event is one server-sent event.
type event struct {
	id, name string
	data     struct {
		Status   string `json:"status"`
		Progress int    `json:"progress"`
	}
}

// watched reads a scan's live events to the stream's end, twice: as it happens, and resumed after the first event.
func watched(t *testing.T, c caller, id string) {
	t.Helper()
	live := stream(t, c, id, "")
	if len(live) < 2 || live[0].name != "scan.state" {
		t.Fatalf("events: %+v", live)
	}
	last, at := int64(0), 0
	for _, e := range live {
		if e.data.Progress < at && e.name == "scan.progress" {
			t.Errorf("progress went back from %d to %d", at, e.data.Progress)
		}
		at = max(at, e.data.Progress)
		if e.id == "" {
			continue
		}
		n, err := strconv.ParseInt(e.id, 10, 64)
		if err != nil || n <= last {
			t.Errorf("event ids don't rise: %d after %d", n, last)
		}
		last = n
	}
	end := live[len(live)-1]
	if i := slices.IndexFunc(live, func(e event) bool { return e.name == "scan.completed" }); i < 0 {
		t.Errorf("no scan.completed among %d events, the last is %+v", len(live), end)
	}
	first := slices.IndexFunc(live, func(e event) bool { return e.id != "" })
	var rest []string
	for _, e := range stream(t, c, id, live[first].id) {
		if e.id != "" {
			rest = append(rest, e.id)
		}
	}
	var want []string
	for _, e := range live[first+1:] {
		if e.id != "" {
			want = append(want, e.id)
		}
	}
	if diff := cmp.Diff(want, rest); diff != "" {
		t.Errorf("a resumed stream tells something else (-live +resumed):\n%s", diff)
	}
}

func stream(t *testing.T, c caller, id, after string) (out []event) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, c.url+scanAPI+"/scans/"+id+"/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-API-Key", c.key)
	if after != "" {
		req.Header.Set("Last-Event-ID", after)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("the stream answers %s, %s", resp.Status, resp.Header.Get("Content-Type"))
	}
	var e event
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), ": ")
		switch name {
		case "id":
			e.id = value
		case "event":
			e.name = value
		case "data":
			if err := json.Unmarshal([]byte(value), &e.data); err != nil {
				t.Errorf("the event %s holds no JSON: %v", e.name, err)
			}
		case "":
			if e.name != "" {
				out = append(out, e)
			}
			e = event{}
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatalf("the stream broke: %v", err)
	}
	return out
}

// documents reads the results in all their other forms.
func documents(t *testing.T, c caller, id string, total int) {
	t.Helper()
	path := scanAPI + "/scans/" + id + "/results"
	table := c.must(http.MethodGet, path+"?format=csv", nil, nil)
	rows, err := csv.NewReader(bytes.NewReader(table.body)).ReadAll()
	if err != nil || len(rows) != total+1 || !strings.HasPrefix(table.header.Get("Content-Type"), "text/csv") {
		t.Errorf("CSV: %d rows of %d, %v, %s", len(rows), total+1, err, table.header.Get("Content-Type"))
	}
	var sarif struct {
		Version string
		Runs    []struct{ Results []json.RawMessage }
	}
	c.must(http.MethodGet, path+"?format=sarif", nil, &sarif)
	if sarif.Version != "2.1.0" || len(sarif.Runs) != 1 || len(sarif.Runs[0].Results) != total {
		t.Errorf("SARIF %s with %d runs", sarif.Version, len(sarif.Runs))
	}
	var page struct {
		Artifacts []struct {
			SHA256 string
			Size   int
		}
	}
	c.must(http.MethodGet, path, nil, &page)
	raw := c.must(http.MethodGet, path+"?format=raw", nil, nil)
	sum := sha256.Sum256(raw.body)
	if len(page.Artifacts) == 0 || page.Artifacts[0].SHA256 != hex.EncodeToString(sum[:]) || page.Artifacts[0].Size != len(raw.body) {
		t.Errorf("the raw output (%d bytes) is not the artifact %+v", len(raw.body), page.Artifacts)
	}
	if a := c.call(http.MethodGet, path+"?format=pdf", nil); a.status < 400 || a.code() != "FORMAT_NOT_SUPPORTED" {
		t.Errorf("an unknown format answers %d %s", a.status, a.code())
	}
}

func TestAFlawThatIsGoneIsFixedByACompleteLook(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, h *house) {
		var mended atomic.Bool
		l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		site := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch {
			case r.URL.Path == "/.env" && !mended.Load():
				_, _ = io.WriteString(w, "DB_PASSWORD=fake\nAPP_KEY=fake\n")
			case r.URL.Path == "/":
				w.Header().Set("Content-Type", "text/html")
				_, _ = io.WriteString(w, "<!doctype html><title>site</title>")
			default:
				http.NotFound(w, r)
			}
		})}
		go func() { _ = site.Serve(l) }()
		t.Cleanup(func() { _ = site.Close() })
		port := strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
		status := func(id, rule string) string {
			found, _ := h.results(id)
			for _, f := range found {
				if f.Rule == rule {
					return f.Status
				}
			}
			return "absent"
		}
		first := h.submit(sentinel("127.0.0.1", port))
		if s := h.ended(first); s.Outcome != "complete" || status(first, "sentinel:file-env") != "open" {
			t.Fatalf("the first look: %+v, the flaw is %s", s, status(first, "sentinel:file-env"))
		}
		// A look that leaves the probe out says nothing of it.
		narrow := sentinel("127.0.0.1", port)
		narrow.Options["probes"] = []string{"ports"}
		mended.Store(true)
		h.ended(h.submit(narrow))
		if got := status(first, "sentinel:file-env"); got != "open" {
			t.Errorf("after a look without the probe the flaw is %s", got)
		}
		second := h.submit(sentinel("127.0.0.1", port))
		if s := h.ended(second); s.Outcome != "complete" {
			t.Fatalf("the second look: %+v", s)
		}
		if got := status(first, "sentinel:file-env"); got != "fixed" {
			t.Errorf("after a complete look without it the flaw is %s", got)
		}
		if got := status(second, "sentinel:file-env"); got != "absent" {
			t.Errorf("the second look shows the flaw as %s", got)
		}
		if got := status(first, "sentinel:http-csp-missing"); got != "open" {
			t.Errorf("a flaw that is still there is %s", got)
		}
		// It comes back under its own name.
		mended.Store(false)
		third := h.submit(sentinel("127.0.0.1", port))
		h.ended(third)
		if got := status(first, "sentinel:file-env"); got != "open" {
			t.Errorf("a flaw that came back is %s", got)
		}
	})
}

func TestATargetThatWasNeverReachedIsNotClean(t *testing.T) {
	t.Parallel()
	h := open(t, "")
	h.must(http.MethodPut, "/api/org/scan-scope", map[string]any{"allow": []any{map[string]string{"value": "2001:db8::/32"}}}, nil)
	id := h.submit(sentinel("2001:db8::1", "81"))
	s := h.ended(id)
	if s.Status != "completed" || s.Outcome != "nothing_reachable" || len(s.OutcomeReasons) == 0 {
		t.Errorf("ended as %s, %s %v", s.Status, s.Outcome, s.OutcomeReasons)
	}
}

func TestATimedOutScanFailsAndKeepsWhatItFound(t *testing.T) {
	t.Parallel()
	h := open(t, "")
	weak := weakTarget(t)
	o := sentinel("127.0.0.1", weak.PortList()+","+tarpit(t, 8))
	o.Timeout, o.Config = 10, map[string]any{"rateLimit": 3}
	id := h.submit(o)
	s := h.ended(id)
	if s.Status != "failed" || s.Error == nil || s.Error.Code != "SCAN_TIMEOUT" || s.Outcome != "partial" {
		t.Fatalf("ended as %s, %+v, %s %v", s.Status, s.Error, s.Outcome, s.OutcomeReasons)
	}
	if found, total := h.results(id); total == 0 || len(found) != total {
		t.Errorf("%d of %d findings are kept", len(found), total)
	}
}

func TestACancelledScanIsGoneWithinFiveSeconds(t *testing.T) {
	t.Parallel()
	needNmap(t)
	each(t, func(t *testing.T, h *house) {
		id := h.submit(order{Target: "127.0.0.1", ScanType: "nmap", Options: map[string]any{"ports": tarpit(t, 10), "versionIntensity": 9}})
		h.until("the engine's process", patience, func() bool { return len(processes(id)) > 0 })
		a := h.must(http.MethodPost, scanAPI+"/scans/"+id+"/cancel", nil, nil)
		var s client.Scan
		a.into(t, &s)
		if a.status != http.StatusOK || s.Status != "cancelled" {
			t.Errorf("cancelling answers %d, %s", a.status, s.Status)
		}
		h.until("the end of its processes", 5*time.Second, func() bool { return len(processes(id)) == 0 })
		if a := h.call(http.MethodPost, scanAPI+"/scans/"+id+"/cancel", nil); a.status != http.StatusConflict || a.code() != "SCAN_NOT_CANCELLABLE" {
			t.Errorf("cancelling again answers %d %s", a.status, a.code())
		}
		if s := h.scan(id); s.Status != "cancelled" {
			t.Errorf("it is %s", s.Status)
		}
	})
}

// processes returns the processes that run for a scan.
func processes(id string) (out []string) {
	all, _ := filepath.Glob("/proc/[0-9]*")
	for _, p := range all {
		env, err := os.ReadFile(filepath.Join(p, "environ"))
		if err == nil && bytes.Contains(env, []byte("ASSAY_RUN=")) && bytes.Contains(env, []byte(":"+id+":")) {
			out = append(out, p)
		}
	}
	return out
}

func TestAQueuedScanIsCancelledBeforeItStarts(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, h *house) {
		h.must(http.MethodPatch, "/api/org", map[string]any{"concurrency": map[string]int{"organization": 1}}, nil)
		slow := sentinel("127.0.0.1", tarpit(t, 30))
		slow.Config = map[string]any{"rateLimit": 1}
		running, queued := h.submit(slow), h.submit(slow)
		h.until("the first to run", patience, func() bool { return h.scan(running).Status == "running" })
		if a := h.call(http.MethodGet, fmt.Sprintf("%s/scans/%s/results", scanAPI, queued), nil); a.code() != "RESULTS_NOT_READY" || a.status != http.StatusConflict {
			t.Errorf("results of a queued scan answer %d %s", a.status, a.code())
		}
		for _, id := range []string{queued, running} {
			h.must(http.MethodPost, scanAPI+"/scans/"+id+"/cancel", nil, nil)
		}
		if s := h.scan(queued); s.Status != "cancelled" || s.StartedAt != nil {
			t.Errorf("a queued scan is %s, started %v", s.Status, s.StartedAt)
		}
	})
}
