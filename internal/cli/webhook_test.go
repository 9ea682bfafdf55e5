package cli_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"assay.dev/assay/internal/client"
	"assay.dev/assay/internal/testkit"
)

// ear is a receiver that verifies what it hears with the public library and fails now and then.
type ear struct {
	t   *testing.T
	srv *httptest.Server

	mu     sync.Mutex
	lib    *standardwebhooks.Webhook
	fail   bool              // answer every other event with 503 at first
	n      int               // messages
	heard  map[string]int    // completed scan → messages that were taken
	bodies map[string]string // event id → body
}

func newEar(t *testing.T) *ear {
	t.Helper()
	e := &ear{t: t, heard: map[string]int{}, bodies: map[string]string{}}
	e.srv = httptest.NewServer(http.HandlerFunc(e.hear))
	t.Cleanup(e.srv.Close)
	return e
}

func (e *ear) hear(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the server was killed while it sent
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.lib.Verify(body, r.Header); err != nil {
		e.t.Errorf("not verified: %v", err)
	}
	id := r.Header.Get("webhook-id")
	before, again := e.bodies[id]
	if again && before != string(body) {
		e.t.Errorf("event %s came as %s and as %s", id, before, body)
	}
	e.bodies[id] = string(body)
	if e.n++; e.fail && !again && e.n%2 == 0 {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	e.heard[scanOf(e.t, body)]++
}

// scanOf returns which scan a message tells of.
func scanOf(t *testing.T, body []byte) string {
	t.Helper()
	var m struct {
		Data struct {
			ScanID string `json:"scanId"`
		} `json:"data"`
	}
	if err := json.Unmarshal(body, &m); err != nil {
		t.Error(err)
	}
	return m.Data.ScanID
}

// listens registers the receiver.
func (e *ear) listens(s *estate) client.Webhook {
	e.t.Helper()
	w, err := s.api.CreateWebhook(e.t.Context(), client.WebhookOrder{Name: "ear", URL: e.srv.URL, Events: []string{"scan.completed"}})
	if err != nil {
		e.t.Fatal(err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.lib, err = standardwebhooks.NewWebhook(w.Secret); err != nil {
		e.t.Fatal(err)
	}
	return w
}

func (e *ear) has(id string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.heard[id] > 0
}

// TestNoEventIsLostWhenTheServerIsKilled kills the server at moments that nobody chose, between the end of a scan and the
// answer of its receiver among them. Every scan that has ended must be heard of, under one event id with one body.
func TestNoEventIsLostWhenTheServerIsKilled(t *testing.T) {
	t.Parallel()
	const lives, perLife = 6, 5
	heard := newEar(t)
	heard.fail = true
	e := newEstate(t, "ASSAY_EGRESS_ALLOW=127.0.0.1/32")
	e.start()
	e.concurrency(perLife)
	heard.listens(e)
	var ids []string
	for life := range lives {
		killed := make(chan struct{})
		s := e.s
		time.AfterFunc(time.Duration(300+rand.IntN(700))*time.Millisecond, func() {
			s.kill()
			close(killed)
		})
		for n := range perLife {
			scan, err := e.api.Submit(t.Context(), client.Order{Target: fmt.Sprintf("127.0.1.%d", life*perLife+n+1), ScanType: "nmap"}, "")
			if err != nil {
				break // the server was killed under the call
			}
			ids = append(ids, scan.ID)
		}
		<-killed
		e.start()
	}
	for _, id := range ids {
		if s := e.wait(id, "ended", func(s scan) bool { return s.Terminal() }); s.Status == "completed" {
			e.until("the news of "+id, func() bool { return heard.has(id) })
		}
	}
	heard.mu.Lock()
	defer heard.mu.Unlock()
	scans := map[string]string{} // also those whose submission was answered by the kill
	for event, body := range heard.bodies {
		id := scanOf(t, []byte(body))
		if other, twice := scans[id]; twice {
			t.Errorf("the end of scan %s is %s and %s", id, other, event)
		}
		scans[id] = event
	}
	t.Logf("%d scans, %d messages", len(ids), heard.n)
}

func TestTwoServersOnOneDatabaseDeliverEachEventOnce(t *testing.T) {
	t.Parallel()
	key := filepath.Join(t.TempDir(), "master.key")
	if err := writeFile(key, "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\n"); err != nil {
		t.Fatal(err)
	}
	heard := newEar(t)
	e := newEstate(t, "ASSAY_EGRESS_ALLOW=127.0.0.1/32", "ASSAY_DATABASE="+testkit.Database(t), "ASSAY_MASTER_KEY_FILE="+key)
	e.start()
	second, _ := e.launch(filepath.Join(e.dir, "second"))
	t.Cleanup(second.kill)
	e.concurrency(10)
	heard.listens(e)
	var ids []string
	for n := range 20 {
		ids = append(ids, e.submit(fmt.Sprintf("127.0.1.%d", n+1)))
	}
	for _, id := range ids {
		e.until("the news of "+id, func() bool { return heard.has(id) })
	}
	heard.mu.Lock()
	defer heard.mu.Unlock()
	for _, id := range ids {
		if heard.heard[id] != 1 {
			t.Errorf("scan %s was told %d times", id, heard.heard[id])
		}
	}
}

// TestASecretIsNowhereInClear looks for secrets in everything that a server leaves behind.
func TestASecretIsNowhereInClear(t *testing.T) {
	t.Parallel()
	heard := newEar(t)
	e := newEstate(t, "ASSAY_EGRESS_ALLOW=127.0.0.1/32", "ASSAY_LOG_LEVEL=debug")
	e.start()
	w := heard.listens(e)
	rotated, err := e.api.RotateWebhookSecret(t.Context(), w.ID, 24)
	if err != nil {
		t.Fatal(err)
	}
	trial, err := e.api.TestWebhook(t.Context(), w.ID)
	if err != nil || !trial.Success {
		t.Fatalf("%+v, %v", trial, err)
	}
	detail, err := e.api.Delivery(t.Context(), w.ID, trial.DeliveryID)
	if err != nil {
		t.Fatal(err)
	}
	shown, err := json.Marshal(detail)
	if err != nil {
		t.Fatal(err)
	}
	exported := e.assay("log", "export", "--data", e.data, "--org", e.org)
	log := e.s.log.String()
	if code, err := e.s.stop(); err != nil || code != 0 {
		t.Fatalf("the server exits %d, %v", code, err)
	}
	places := map[string]string{"the log": log, "a delivery": string(shown), "the audit log": string(exported)}
	for _, f := range []string{"assay.db", "assay.db-wal"} {
		if text, err := os.ReadFile(filepath.Join(e.data, f)); err == nil {
			places[f] = string(text)
		}
	}
	if len(places["assay.db"]) == 0 {
		t.Fatal("there is no database")
	}
	for _, s := range []string{w.Secret, rotated.Secret} {
		bare := strings.TrimPrefix(s, "whsec_")
		raw := string(decode(t, bare))
		for name, text := range places {
			if strings.Contains(text, bare) || strings.Contains(text, raw) {
				t.Errorf("%s holds a secret in clear", name)
			}
		}
	}
}

func decode(t *testing.T, s string) []byte {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
