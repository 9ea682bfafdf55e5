package api_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/notice/hook"
	"assay.dev/assay/internal/org/access"
	"assay.dev/assay/internal/scan"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/uid"
)

// receiver is a way out that ends at once: it remembers what was sent and answers as it is told.
type receiver struct {
	mu     sync.Mutex
	status int
	got    []sent
}

type sent struct {
	url    string
	header http.Header
	body   []byte
}

func (r *receiver) RoundTrip(req *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.got = append(r.got, sent{req.URL.String(), req.Header, body})
	return &http.Response{StatusCode: r.status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader("thanks\x1b[1m")), Request: req}, nil
}

func (r *receiver) Check(u *url.URL) error {
	if u.Scheme != "https" {
		return fault.New(fault.Forbidden, fault.CodeTargetForbidden, "must begin with https://")
	}
	return nil
}

func (plainSealer) Open(_ uid.Org, _ string, sealed []byte) ([]byte, error) {
	return []byte(strings.TrimPrefix(string(sealed), "sealed ")), nil
}

func newHooks(b *bundle) *hook.Service {
	return hook.New(hook.Deps{
		Store: b.store.Hooks(), Callbacks: b.store.Tenants(), Sealer: plainSealer{}, Sender: hook.NewSender(b.receiver, plainSealer{}, b.clock.Now),
		Addresses: b.receiver, Base: "https://assay.example", Now: b.clock.Now, IDs: b.clock.IDs(), Rand: rand.Reader,
	})
}

func (b *bundle) someHook(org uid.Org) hook.Webhook {
	b.t.Helper()
	w, err := b.hooks.Create(b.t.Context(), access.Operator(org), hook.Draft{Name: "hook", URL: "https://hooks.example.org/x?token=t"})
	if err != nil {
		b.t.Fatal(err)
	}
	return w.Webhook
}

// someDelivery makes a delivery of a webhook and returns its id.
func (b *bundle) someDelivery(org uid.Org, id uid.Webhook) string {
	b.t.Helper()
	trial, err := b.hooks.Test(b.t.Context(), access.Operator(org), id)
	if err != nil {
		b.t.Fatal(err)
	}
	return string(trial.Delivery.ID)
}

// scanWithCallback puts a scan with a callback into the real store.
func (b *bundle) scanWithCallback(org uid.Org) string {
	b.t.Helper()
	s := scan.Scan{
		ID: uid.Scan(b.scans.ids.New()), Org: org, Engine: "nmap", Target: "127.0.0.1", TargetType: asset.TypeIP, Host: "127.0.0.1",
		Priority: scan.Normal, Timeout: 60, CreatedAt: b.clock.Now(), CreatedBy: "key:x", Callback: "https://hooks.example.org/once",
	}
	err := b.store.Scans().Change(b.t.Context(), org, audit.Event{Type: event.ScanSubmitted}, func(ctx context.Context, tx scan.Tx) error { return tx.InsertScan(ctx, s) })
	if err != nil {
		b.t.Fatal(err)
	}
	return string(s.ID)
}

const hooksPath = "/scan-api/api/v1/webhooks"

func TestAWebhooksSecretIsShownOnceAndSignsWhatIsSent(t *testing.T) {
	t.Parallel()
	b := setup(t)
	made := b.call("POST", hooksPath, `{"name":"Build","url":"https://hooks.example.org/in?token=abc"}`, key(b.key), with("Idempotency-Key", "one")).want(201)
	id, secret := made.text("data.id"), made.text("data.secret")
	if !strings.HasPrefix(id, "wh-") || !strings.HasPrefix(secret, "whsec_") || made.Header().Get("Location") != hooksPath+"/"+id {
		t.Fatalf("made %s", made.Body)
	}
	if made.at("data.isActive") != true || made.at("data.isHealthy") != true || !strings.Contains(made.Body.String(), `"events":["scan.completed","scan.failed"]`) {
		t.Errorf("made %s", made.Body)
	}
	again := b.call("POST", hooksPath, `{"name":"Build","url":"https://hooks.example.org/in?token=abc"}`, key(b.key), with("Idempotency-Key", "one")).want(201)
	if again.text("data.id") != id || again.text("data.secret") != "" || again.at("data.secretShown") != false {
		t.Errorf("a repeated call answers %s", again.Body)
	}
	for _, target := range []string{hooksPath + "/" + id, hooksPath} {
		if got := b.call("GET", target, "", key(b.key)).want(200); strings.Contains(got.Body.String(), secret) || strings.Contains(got.Body.String(), "sealed") {
			t.Errorf("%s shows the secret", target)
		}
	}
	b.now(t) // the library holds the timestamp against the real time
	trial := b.call("POST", hooksPath+"/"+id+"/test", "", key(b.key)).want(200)
	if trial.at("data.success") != true || trial.at("data.status") != 200.0 || trial.text("data.responseBody") != "thanks·[1m" {
		t.Errorf("the test answers %s", trial.Body)
	}
	got := b.receiver.got[0]
	lib, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		t.Fatal(err)
	}
	if err := lib.Verify(got.body, got.header); err != nil {
		t.Errorf("the receiver can't verify: %v", err)
	}
	if got.header.Get("webhook-id") != trial.text("data.eventId") || !json.Valid(got.body) {
		t.Errorf("sent %s %s", got.header, got.body)
	}
}

func TestARotationSignsTwiceUntilTheOverlapEnds(t *testing.T) {
	t.Parallel()
	b := setup(t)
	made := b.call("POST", hooksPath, `{"name":"n","url":"https://h.example/"}`, key(b.key)).want(201)
	id := made.text("data.id")
	rotate := func(body string) answer {
		return b.call("POST", hooksPath+"/"+id+"/rotate-secret", body, key(b.key), with("Idempotency-Key", body)).want(200)
	}
	signatures := func() int {
		b.call("POST", hooksPath+"/"+id+"/test", "", key(b.key)).want(200)
		return len(strings.Fields(b.receiver.got[len(b.receiver.got)-1].header.Get("webhook-signature")))
	}
	if n := signatures(); n != 1 {
		t.Errorf("%d signatures before a rotation", n)
	}
	first := rotate(`{"overlapHours":2}`)
	if first.text("data.secret") == made.text("data.secret") || first.text("data.previousSecretExpiresAt") == "" {
		t.Errorf("rotated %s", first.Body)
	}
	if again := rotate(`{"overlapHours":2}`); again.text("data.secret") != "" || again.at("data.secretShown") != false {
		t.Errorf("a repeated rotation answers %s", again.Body)
	}
	if n := signatures(); n != 2 {
		t.Errorf("%d signatures within the overlap", n)
	}
	b.clock.Advance(2*time.Hour + time.Second)
	if n := signatures(); n != 1 {
		t.Errorf("%d signatures after the overlap", n)
	}
	if cut := rotate(`{"overlapHours":0}`); cut.at("data.previousSecretExpiresAt") != nil {
		t.Errorf("cut %s", cut.Body)
	}
	if n := signatures(); n != 1 {
		t.Errorf("%d signatures after a cut", n)
	}
	b.call("POST", hooksPath+"/"+id+"/rotate-secret", `{"overlapHours":169}`, key(b.key)).want(400)
}

func TestAWebhookIsChangedDisabledAndDeleted(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w := b.someHook(b.ours)
	at := hooksPath + "/" + string(w.ID)
	off := b.call("PATCH", at, `{"isActive":false,"events":["*","scan.*","*"],"description":"d"}`, key(b.key)).want(200)
	if off.at("data.isActive") != false || off.text("data.disabledReason") != "user" || !strings.Contains(off.Body.String(), `"events":["*","scan.*"]`) {
		t.Errorf("changed to %s", off.Body)
	}
	b.call("POST", at+"/replay", "", key(b.key)).want(409)
	d := b.someDelivery(b.ours, w.ID)
	b.call("POST", at+"/deliveries/"+d+"/redeliver", "", key(b.key)).want(409)
	if on := b.call("PATCH", at, `{"isActive":true}`, key(b.key)).want(200); on.at("data.isActive") != true || on.text("data.disabledReason") != "" {
		t.Errorf("enabled as %s", on.Body)
	}
	again := b.call("POST", at+"/deliveries/"+d+"/redeliver", "", key(b.key), with("Idempotency-Key", "k")).want(200)
	if again.text("data.status") != "pending" || again.text("data.nextAttemptAt") == "" || again.text("data.request.headers.webhook-signature") != "v1,[masked]" {
		t.Errorf("redelivered %s", again.Body)
	}
	b.call("POST", at+"/deliveries/"+d+"/redeliver", "", key(b.key), with("Idempotency-Key", "k")).want(200)
	one := b.call("GET", at+"/deliveries/"+d, "", key(b.key)).want(200)
	if one.text("data.request.url") != w.URL || !strings.Contains(one.text("data.request.body"), `"type":"webhook.test"`) || one.text("data.request.headers.webhook-id") != one.text("data.eventId") {
		t.Errorf("detail %s", one.Body)
	}
	if page := b.call("GET", at+"/deliveries?status=pending&event=webhook.test", "", key(b.key)).want(200); !strings.Contains(page.Body.String(), d) {
		t.Errorf("page %s", page.Body)
	}
	if page := b.call("GET", at+"/deliveries?status=held", "", key(b.key)).want(200); strings.Contains(page.Body.String(), d) {
		t.Errorf("page %s", page.Body)
	}
	other := b.someHook(b.ours)
	b.call("GET", hooksPath+"/"+string(other.ID)+"/deliveries/"+d, "", key(b.key)).want(404)
	b.call("DELETE", at, "", key(b.key)).want(200)
	b.call("GET", at, "", key(b.key)).want(404)
	b.call("GET", at+"/deliveries", "", key(b.key)).want(404)
}

func TestWrongWebhooksAreRefusedByField(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for body, field := range map[string]string{
		`{"name":"n"}`: "url", `{"url":"https://h.example"}`: "name", `{"name":"n","url":"http://h.example"}`: "url",
		`{"name":"n","url":"https://u:hunter2@h.example"}`:        "url",
		`{"name":"n","url":"https://h.example","events":["x"]}`:   "events[0]",
		`{"name":"","url":"https://h.example"}`:                   "name",
		`{"name":"n","url":"https://h.example","isActive":false}`: "isActive",
	} {
		w := b.call("POST", hooksPath, body, key(b.key)).want(400)
		if w.text("code") != "VALIDATION_ERROR" || !strings.Contains(w.Body.String(), field) || strings.Contains(w.Body.String(), "hunter2") {
			t.Errorf("%s: %s", body, w.Body)
		}
	}
}

func TestACallbackShowsWhereAndWhat(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.scanWithCallback(b.ours)
	w := b.call("GET", "/scan-api/api/v1/scans/"+id+"/callback", "", key(b.key)).want(200)
	if w.text("data.url") != "https://hooks.example.org/once" || !strings.Contains(w.Body.String(), `"deliveries":[]`) {
		t.Errorf("%s", w.Body)
	}
}
