package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"assay.dev/assay/internal/client"
	"assay.dev/assay/internal/word/secret"
)

// estate is an installation whose server a test starts, kills and starts again, with a program named nmap of the
// test's own. What the program does is told by its target:
//
//	127.0.1.x       reports three findings after a moment
//	127.0.2.x       leaves a descendant that outlives it, and waits until the test releases it; then as above
//	127.0.3.x       as the file mood says: reports its findings, an unreachable host, a host without the service, or gives up
//	127.0.4.x       waits likewise, without the descendant
//	127.0.N.0/24    reports nine findings on each of 256 hosts
//
// Each start is noted with its parent's process id, and each end. A start while another one of the same target still has a process
// is noted as one too many: the lock on it is held by all that the start left behind.
type estate struct {
	t     *testing.T
	dir   string
	data  string
	env   []string
	org   string
	key   string
	s     *server
	lives []*server // all that were started, the present one last
	api   *client.Client
}

const engineProgram = `#!/bin/sh
if [ "$1" = --version ]; then
	echo "Nmap version 7.93 ( https://nmap.org )"
	exit 0
fi
for target; do :; done
dir='DIR'
name=$(echo "$target" | tr / _)
exec 9>"$dir/lock.$name"
flock -n 9 || echo "$target" >>"$dir/twice"
echo "$target $PPID" >>"$dir/starts"
case $target in
127.0.2.*)
	setsid sleep 300 &
	echo $! >>"$dir/survivors" ;;
esac
case $target in
127.0.2.* | 127.0.4.*)
	while [ ! -e "$dir/release" ]; do sleep 0.05; done ;;
127.0.1.*)
	sleep 0.2 ;;
esac
mood=good
case $target in
127.0.3.*)
	mood=$(cat "$dir/mood") ;;
esac
cat "$dir/head.xml"
case $target in
*/24)
	sed "s/NET/${target%.0/24}/" "$dir/many.xml" ;;
*)
	sed "s/ADDR/$target/" "$dir/$mood.xml" ;;
esac
[ $mood = broken ] || cat "$dir/tail.xml"
echo "$target" >>"$dir/ends"
`

const (
	engineHead = `<?xml version="1.0" encoding="UTF-8"?>
<nmaprun scanner="nmap" args="nmap" start="1795303921" version="7.93" xmloutputversion="1.05">
<scaninfo type="connect" protocol="tcp" numservices="1" services="6379"/>
`
	engineHost = `<host><status state="up" reason="user-set" reason_ttl="0"/><address addr="ADDR" addrtype="ipv4"/>
<ports><port protocol="tcp" portid="6379"><state state="open" reason="syn-ack" reason_ttl="64"/><service name="redis" product="Redis key-value store" method="probed" conf="10"/></port></ports></host>
`
	enginePorts = 3 // of each host of a network
	engineTail  = `<runstats><finished time="1795303922" elapsed="0.11" exit="success"/><hosts up="1" down="0" total="1"/></runstats>
</nmaprun>
`
)

// engineNetwork is the report on a network.
func engineNetwork() string {
	var b strings.Builder
	for host := range 256 {
		head, port, _ := strings.Cut(strings.Replace(engineHost, "ADDR", fmt.Sprintf("NET.%d", host), 1), "<ports>")
		b.WriteString(head + "<ports>")
		port, tail, _ := strings.Cut(port, "</ports>")
		for n := range enginePorts {
			b.WriteString(strings.Replace(port, "6379", strconv.Itoa(6379+n), 1))
		}
		b.WriteString("</ports>" + tail)
	}
	return b.String()
}

// newEstate makes the installation; nothing runs yet.
func newEstate(t *testing.T, env ...string) *estate {
	t.Helper()
	dir := t.TempDir()
	e := &estate{t: t, dir: dir, data: filepath.Join(dir, "data")}
	for name, text := range map[string]string{
		"nmap": strings.Replace(engineProgram, "DIR", dir, 1), "head.xml": engineHead, "tail.xml": engineTail, "good.xml": engineHost,
		"many.xml":   engineNetwork(),
		"closed.xml": strings.Replace(engineHost, `state="open" reason="syn-ack"`, `state="closed" reason="conn-refused"`, 1),
		"silent.xml": strings.Replace(engineHost, `state="open" reason="syn-ack" reason_ttl="64"`, `state="filtered" reason="no-response" reason_ttl="0"`, 1),
		"broken.xml": engineHost[:strings.Index(engineHost, "<ports>")],
	} {
		if err := writeFile(filepath.Join(dir, name), text); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(filepath.Join(dir, "nmap"), 0o700); err != nil {
		t.Fatal(err)
	}
	e.env = cleanEnv(append(env, "ASSAY_ENGINE_PATH="+dir+",/usr/bin,/bin", "ASSAY_RATE_LIMIT_CEILING=0", "ASSAY_SHUTDOWN_TIMEOUT=5s")...)
	var made struct {
		OrganizationID string `json:"organizationId"`
		APIKey         string `json:"apiKey"`
	}
	if err := json.Unmarshal(e.assay("init", "--data", e.data, "--json"), &made); err != nil {
		t.Fatal(err)
	}
	e.org, e.key = made.OrganizationID, made.APIKey
	t.Cleanup(func() {
		if e.s != nil {
			e.s.kill()
		}
		for i, s := range e.lives {
			if t.Failed() {
				t.Logf("the server's log, life %d:\n%s", i+1, s.log.String())
			}
		}
		for _, pid := range e.survivors() {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	})
	return e
}

// assay runs a command to its good end and returns its standard output.
func (e *estate) assay(args ...string) []byte {
	e.t.Helper()
	cmd := exec.Command("assay", args...)
	var out, stderr bytes.Buffer
	cmd.Env, cmd.Stdout, cmd.Stderr = e.env, &out, &stderr
	if err := cmd.Run(); err != nil {
		e.t.Fatalf("assay %s: %v\n%s", strings.Join(args, " "), err, stderr.String())
	}
	return out.Bytes()
}

// start starts the server and waits until it is healthy.
func (e *estate) start() {
	e.t.Helper()
	e.s, e.api = e.launch(e.data)
	e.lives = append(e.lives, e.s)
}

func (e *estate) launch(data string, args ...string) (*server, *client.Client) {
	e.t.Helper()
	s, err := startServer(e.env, append([]string{"--data", data, "--listen", "127.0.0.1:0"}, args...)...)
	if err != nil {
		e.t.Fatalf("starting the server: %v\n%s", err, s.log.String())
	}
	api, err := client.New(s.url, secret.New(e.key), nil)
	if err != nil {
		e.t.Fatal(err)
	}
	return s, api
}

// submit orders a scan and returns its id.
func (e *estate) submit(target string) string {
	e.t.Helper()
	s, err := e.api.Submit(e.t.Context(), client.Order{Target: target, ScanType: "nmap"}, "")
	if err != nil {
		e.t.Fatalf("submitting %s: %v", target, err)
	}
	return s.ID
}

// scan is a scan with what the Go client leaves out.
type scan struct {
	client.Scan

	Attempt int `json:"attempt"`
}

// get reads a scan.
func (e *estate) get(id string) scan {
	e.t.Helper()
	var s scan
	e.call(http.MethodGet, "/scan-api/api/v1/scans/"+id, nil, &struct{ Data *scan }{&s})
	return s
}

// call makes one call of the API that must succeed.
func (e *estate) call(method, path string, in, out any) {
	e.t.Helper()
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			e.t.Fatal(err)
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(e.t.Context(), method, e.s.url+path, body)
	if err != nil {
		e.t.Fatal(err)
	}
	req.Header.Set("X-API-Key", e.key)
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		e.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode >= 300 {
		e.t.Fatalf("%s %s: %s %v\n%s", method, path, resp.Status, err, text)
	}
	if out != nil {
		if err := json.Unmarshal(text, out); err != nil {
			e.t.Fatalf("%s %s: %v", method, path, err)
		}
	}
}

// concurrency sets how many scans run at once.
func (e *estate) concurrency(n int) {
	e.t.Helper()
	e.call(http.MethodPatch, "/api/org", map[string]any{"concurrency": map[string]int{"organization": n, "engine": n, "targetHost": min(n, 100)}}, nil)
}

// wait looks until the scan is as wanted.
func (e *estate) wait(id, want string, ok func(scan) bool) scan {
	e.t.Helper()
	var s scan
	e.until(fmt.Sprintf("scan %s to be %s", id, want), func() bool {
		s = e.get(id)
		if s.Terminal() && !ok(s) {
			e.t.Fatalf("scan %s ended as %s (%s %v %v), want %s", id, s.Status, s.Outcome, s.OutcomeReasons, s.Error, want)
		}
		return ok(s)
	})
	return s
}

// until looks again and again, and fails the test where it never comes to pass.
func (e *estate) until(what string, ok func() bool) {
	e.t.Helper()
	ctx, cancel := context.WithTimeout(e.t.Context(), patience)
	defer cancel()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for !ok() {
		select {
		case <-ctx.Done():
			e.t.Fatalf("waited in vain for %s", what)
		case <-again.C:
		}
	}
}

func completed(s scan) bool { return s.Status == "completed" }

func running(attempt int) func(scan) bool {
	return func(s scan) bool { return s.Status == "running" && s.Attempt == attempt }
}

// lines returns the lines of a file that the engine writes, none where it hasn't.
func (e *estate) lines(name string) []string {
	text, err := os.ReadFile(filepath.Join(e.dir, name))
	if err != nil {
		return nil
	}
	return strings.Fields(strings.ReplaceAll(string(text), " ", "|"))
}

// starts returns the parents of all starts on a target.
func (e *estate) starts(target string) (parents []int) {
	for _, line := range e.lines("starts") {
		if at, parent, _ := strings.Cut(line, "|"); at == target {
			pid, _ := strconv.Atoi(parent)
			parents = append(parents, pid)
		}
	}
	return parents
}

// survivors returns the descendants of engines that are alive.
func (e *estate) survivors() (alive []int) {
	for _, line := range e.lines("survivors") {
		pid, err := strconv.Atoi(line)
		if err != nil {
			continue
		}
		state, err := os.ReadFile(filepath.Join("/proc", line, "stat"))
		if err == nil && strings.Contains(string(state), "(sleep)") && !strings.Contains(string(state), ") Z ") {
			alive = append(alive, pid)
		}
	}
	return alive
}

// release lets waiting engines go on.
func (e *estate) release() {
	e.t.Helper()
	if err := writeFile(filepath.Join(e.dir, "release"), ""); err != nil {
		e.t.Fatal(err)
	}
}

// sound checks what must hold after every life of the server: it is healthy, no scan ever ran twice at once, and the
// log verifies offline.
func (e *estate) sound() {
	e.t.Helper()
	if err := healthy(e.s.url, http.DefaultClient); err != nil {
		e.t.Error(err)
	}
	if twice := e.lines("twice"); len(twice) > 0 {
		e.t.Errorf("ran twice at once: %v", twice)
	}
	log, keys := filepath.Join(e.dir, "log.jsonl"), filepath.Join(e.dir, "keys.json")
	e.assay("log", "export", "--data", e.data, "--org", e.org, "--out", log)
	e.assay("keys", "export", "--data", e.data, "--org", e.org, "--out", keys)
	e.assay("log", "verify", log, "--keys", keys)
}
