package hook_test

import (
	"context"
	"crypto/rand"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/infra/store"
	"assay.dev/assay/internal/notice/hook"
	"assay.dev/assay/internal/org/access"
	"assay.dev/assay/internal/scan"
	"assay.dev/assay/internal/testkit"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/page"
	"assay.dev/assay/internal/word/uid"
)

type plainSealer struct{}

func (plainSealer) Seal(_ uid.Org, record string, plain []byte) ([]byte, error) {
	return append([]byte(record+"\x00"), plain...), nil
}

func (plainSealer) Open(_ uid.Org, record string, sealed []byte) ([]byte, error) {
	return []byte(strings.TrimPrefix(string(sealed), record+"\x00")), nil
}

type anywhere struct{}

func (anywhere) Check(*url.URL) error { return nil }

// bureau is an office on a real database, with receivers on loopback.
type bureau struct {
	t       *testing.T
	s       *store.Store
	clock   *testkit.Clock
	org     uid.Org
	actor   access.Actor
	hooks   *hook.Service
	office  *hook.Office
	seen    chan string // outcomes
	way     http.RoundTripper
	stopped func()
}

func newBureau(t *testing.T, s *store.Store) *bureau {
	t.Helper()
	b := &bureau{t: t, s: s, clock: testkit.NewClock(), seen: make(chan string, 10_000), way: &http.Transport{MaxIdleConnsPerHost: 32}}
	b.clock.Advance(-time.Until(b.clock.Now()))
	b.org = testkit.Org(t, s, "Ours")
	b.actor = access.Operator(b.org)
	testkit.Run(t, s)
	b.build()
	return b
}

func (b *bureau) build() {
	sender := hook.NewSender(b.way, plainSealer{}, b.clock.Now)
	b.office = hook.NewOffice(hook.OfficeDeps{
		Post: b.s.Post(), Store: b.s.Hooks(), Sender: sender, News: b.s.Hub().SubscribeAll, Base: "https://assay.example", Now: b.clock.Now,
		IDs: b.clock.IDs(), Chance: func() float64 { return 0 }, Log: slog.New(slog.DiscardHandler), Alone: true,
		Observe: func(outcome string, _ time.Duration) { b.seen <- outcome },
	})
	b.hooks = hook.New(hook.Deps{
		Store: b.s.Hooks(), Callbacks: b.s.Tenants(), Sealer: plainSealer{}, Sender: sender, Addresses: anywhere{}, Base: "https://assay.example",
		Now: b.clock.Now, IDs: b.clock.IDs(), Rand: rand.Reader, Changed: b.office.Wake,
	})
}

// open lets the office run for as long as the test, or until stopped.
func (b *bureau) open() {
	b.t.Helper()
	ctx, cancel := context.WithCancel(context.Background()) // ended by stopped
	ended := make(chan error, 1)
	office := b.office
	go func() { ended <- office.Run(ctx) }()
	b.stopped = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			b.t.Errorf("the office ends with %v", err)
		}
	})
	b.t.Cleanup(b.stopped)
}

func (b *bureau) register(address string, events ...string) hook.Issued {
	b.t.Helper()
	w, err := b.hooks.Create(b.t.Context(), b.actor, hook.Draft{Name: "hook", URL: address, Events: events})
	if err != nil {
		b.t.Fatal(err)
	}
	return w
}

func (b *bureau) emit(typ event.Type, subjects ...string) {
	b.t.Helper()
	err := b.s.Hooks().Change(b.t.Context(), b.org, audit.Bookkeeping("a test's event"), func(ctx context.Context, tx hook.Tx) error {
		for _, s := range subjects {
			if err := tx.Emit(ctx, typ, s, map[string]string{"n": s}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		b.t.Fatal(err)
	}
}

// outcome waits for the next outcome to be written.
func (b *bureau) outcome(want ...string) {
	b.t.Helper()
	for _, w := range want {
		select {
		case got := <-b.seen:
			if got != w {
				b.t.Fatalf("a delivery is %s, want %s", got, w)
			}
		case <-time.After(time.Minute):
			b.t.Fatalf("no delivery is %s", w)
		}
	}
}

// until waits for a state that a write brings about, at which something wakes.
func (b *bureau) until(what string, holds func() bool) {
	b.t.Helper()
	news, end := b.s.Hub().SubscribeAll()
	defer end()
	deadline := time.After(time.Minute)
	for !holds() {
		select {
		case <-news:
		case <-time.After(20 * time.Millisecond):
		case <-deadline:
			b.t.Fatalf("in vain waited for %s", what)
		}
	}
}

func (b *bureau) deliveries(id uid.Webhook, state hook.State) []hook.Delivery {
	b.t.Helper()
	l, err := b.hooks.Deliveries(b.t.Context(), b.org, hook.DeliveryQuery{Hook: id, State: state, Page: page.Request{Limit: 100}})
	if err != nil {
		b.t.Fatal(err)
	}
	return l.Items
}

func (b *bureau) webhook(id uid.Webhook) hook.Webhook {
	b.t.Helper()
	w, err := b.hooks.Get(b.t.Context(), b.org, id)
	if err != nil {
		b.t.Fatal(err)
	}
	return w
}

// message is what a receiver got.
type message struct {
	id, body string
	header   http.Header
}

// receiver answers as told and hands on what it got.
func receiver(t *testing.T, answer func(w http.ResponseWriter, n int)) (address string, got chan message) {
	t.Helper()
	got = make(chan message, 10_000)
	var mu sync.Mutex
	n := 0
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		mu.Lock()
		n++
		mine := n
		mu.Unlock()
		got <- message{r.Header.Get("webhook-id"), string(body), r.Header}
		answer(w, mine)
	}))
	t.Cleanup(srv.Close)
	return srv.URL + "/in", got
}

func always(status int) func(http.ResponseWriter, int) {
	return func(w http.ResponseWriter, _ int) { w.WriteHeader(status) }
}

func next(t *testing.T, got chan message) message {
	t.Helper()
	select {
	case m := <-got:
		return m
	case <-time.After(time.Minute):
		t.Fatal("nothing arrives")
		return message{}
	}
}

func each(t *testing.T, f func(t *testing.T, b *bureau)) {
	t.Helper()
	testkit.Each(t, func(t *testing.T, s *store.Store) {
		t.Parallel()
		f(t, newBureau(t, s))
	})
}

func TestEveryReceiverGetsItsEventsSigned(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *bureau) {
		b.open()
		allURL, all := receiver(t, always(204))
		endURL, ends := receiver(t, always(200))
		allHook, endHook := b.register(allURL, "*"), b.register(endURL)
		const n = 60
		for i := range n {
			b.emit(event.ScanStarted, "s"+strconv.Itoa(i))
			b.emit(event.ScanCompleted, "s"+strconv.Itoa(i))
		}
		ids := map[string]string{}
		lib, err := standardwebhooks.NewWebhook(allHook.Secret.Reveal())
		if err != nil {
			t.Fatal(err)
		}
		for range 2 * n {
			m := next(t, all)
			if err := lib.Verify([]byte(m.body), m.header); err != nil {
				t.Fatal(err)
			}
			if ids[m.id] != "" {
				t.Errorf("event %s came twice", m.id)
			}
			ids[m.id] = m.body
		}
		lib, err = standardwebhooks.NewWebhook(endHook.Secret.Reveal())
		if err != nil {
			t.Fatal(err)
		}
		for range n {
			m := next(t, ends)
			if err := lib.Verify([]byte(m.body), m.header); err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(m.body, `{"type":"scan.completed"`) || ids[m.id] != m.body {
				t.Errorf("one event is %s to one and %s to another", m.body, ids[m.id])
			}
		}
		for range 3 * n {
			b.outcome("delivered")
		}
		if w := b.webhook(endHook.Webhook.ID); w.LastOKAt.IsZero() || w.Failures != 0 {
			t.Errorf("health %+v", w.Health)
		}
	})
}

func TestAFailedDeliveryIsTriedAgainWithTheSameIdAndBytes(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *bureau) {
		b.open()
		address, got := receiver(t, func(w http.ResponseWriter, n int) {
			if n < 3 {
				w.WriteHeader(503)
			}
		})
		w := b.register(address).Webhook
		b.emit(event.ScanFailed, "s")
		first := next(t, got)
		b.outcome("pending")
		b.clock.Advance(5 * time.Second)
		b.office.Wake()
		second := next(t, got)
		b.outcome("pending")
		if b.webhook(w.ID).Failures != 2 {
			t.Errorf("health %+v", b.webhook(w.ID).Health)
		}
		b.clock.Advance(5*time.Minute - time.Second)
		b.office.Wake()
		if d := b.deliveries(w.ID, hook.Pending); len(d) != 1 || d[0].Attempts != 2 {
			t.Errorf("%+v", d)
		}
		b.clock.Advance(2 * time.Second)
		b.office.Wake()
		third := next(t, got)
		b.outcome("delivered")
		for _, m := range []message{second, third} {
			if m.id != first.id || m.body != first.body || m.header.Get("webhook-timestamp") == first.header.Get("webhook-timestamp") {
				t.Errorf("%+v follows %+v", m, first)
			}
		}
		d := b.deliveries(w.ID, hook.Delivered)
		if len(d) != 1 || d[0].Attempts != 3 {
			t.Fatalf("%+v", d)
		}
		one, err := b.hooks.Delivery(t.Context(), b.org, w.ID, d[0].ID)
		if err != nil || len(one.Tries) != 3 || one.Tries[0].Status != 503 || one.Tries[2].Status != 200 || string(one.Body) != first.body {
			t.Errorf("%+v, %v", one, err)
		}
		if b.webhook(w.ID).Failures != 0 {
			t.Errorf("health %+v", b.webhook(w.ID).Health)
		}
	})
}

func TestAHangingReceiverHoldsUpNobodyElse(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *bureau) {
		b.open()
		release := make(chan struct{})
		slowURL, slow := receiver(t, func(http.ResponseWriter, int) { <-release })
		t.Cleanup(func() { close(release) }) // before the receiver is closed
		fastURL, fast := receiver(t, always(200))
		b.register(slowURL, "*")
		b.register(fastURL, "*")
		const n = 300
		for i := range n {
			b.emit(event.ScanQueued, strconv.Itoa(i))
		}
		next(t, slow)
		for range n {
			next(t, fast)
		}
		if len(slow) > 31 {
			t.Errorf("the hanging receiver got %d at once", len(slow)+1)
		}
	})
}

func TestAReceiverThatIsGoneIsDisabledAndItsEventsWait(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *bureau) {
		b.open()
		var mu sync.Mutex
		status := 410
		address, got := receiver(t, func(w http.ResponseWriter, _ int) {
			mu.Lock()
			defer mu.Unlock()
			w.WriteHeader(status)
		})
		watchURL, watch := receiver(t, always(200))
		w := b.register(address, "scan.*").Webhook
		b.register(watchURL, "webhook.disabled")
		b.emit(event.ScanQueued, "a")
		first := next(t, got)
		told := next(t, watch)
		if !strings.Contains(told.body, `"reason":"gone"`) || !strings.Contains(told.body, string(w.ID)) {
			t.Errorf("told %s", told.body)
		}
		if now := b.webhook(w.ID); now.Active() || now.Stop != hook.StoppedGone {
			t.Errorf("the webhook is %+v", now)
		}
		b.emit(event.ScanQueued, "b", "c")
		b.until("held events", func() bool { return len(b.deliveries(w.ID, hook.Held)) == 3 })
		mu.Lock()
		status = 200
		mu.Unlock()
		on := true
		if _, err := b.hooks.Update(t.Context(), b.actor, w.ID, hook.Patch{Active: &on}); err != nil {
			t.Fatal(err)
		}
		seen := map[string]bool{}
		for range 3 {
			seen[next(t, got).id] = true
		}
		if len(seen) != 3 || !seen[first.id] {
			t.Errorf("replayed %v, of which %s should be one", seen, first.id)
		}
	})
}

func TestFiveDaysOfFailuresDisableAWebhook(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *bureau) {
		b.open()
		address, got := receiver(t, always(500))
		w := b.register(address, "*").Webhook
		for i := range 5 {
			b.emit(event.ScanQueued, strconv.Itoa(i))
			next(t, got)
			b.outcome("pending")
		}
		if now := b.webhook(w.ID); now.Healthy() || !now.Active() {
			t.Errorf("after five failures %+v", now)
		}
		b.clock.Advance(hook.DisabledAfter + time.Minute)
		b.office.Wake()
		b.until("the end of patience", func() bool { return !b.webhook(w.ID).Active() })
		if now := b.webhook(w.ID); now.Stop != hook.StoppedFailed {
			t.Errorf("stopped by %s", now.Stop)
		}
		b.until("held events", func() bool { return len(b.deliveries(w.ID, hook.Pending)) == 0 })
		if _, err := b.hooks.Replay(t.Context(), b.actor, w.ID, hook.ReplayOrder{}); err == nil {
			t.Error("a disabled webhook is replayed")
		}
	})
}

func TestAStoppedOfficeGivesBackWhatItHasNotSent(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *bureau) {
		b.open()
		release := make(chan struct{})
		let := sync.OnceFunc(func() { close(release) })
		address, got := receiver(t, func(_ http.ResponseWriter, n int) {
			if n <= 8 {
				<-release
			}
		})
		t.Cleanup(let) // before the receiver is closed
		w := b.register(address, "*").Webhook
		const n = 40
		for i := range n {
			b.emit(event.ScanQueued, strconv.Itoa(i))
		}
		for range 8 {
			next(t, got)
		}
		b.stopped() // breaks off what hangs
		let()
		seen := map[string]bool{}
		b.build()
		b.open()
		for len(seen) < n {
			seen[next(t, got).body] = true
		}
		b.until("all delivered", func() bool { return len(b.deliveries(w.ID, hook.Pending)) == 0 })
		for _, d := range b.deliveries(w.ID, hook.Delivered) {
			if d.Attempts != 1 {
				t.Errorf("a try that was broken off counts: %+v", d)
			}
		}
	})
}

func TestACallbackTellsTheEndOfItsScanOnly(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *bureau) {
		b.open()
		address, got := receiver(t, always(200))
		if err := b.hooks.CanSign(t.Context(), b.org); err == nil {
			t.Error("callbacks are signed with nothing")
		}
		err := b.s.Hooks().Change(t.Context(), b.org, audit.Bookkeeping("a test's secret"), func(ctx context.Context, tx hook.Tx) error {
			sealed, err := plainSealer{}.Seal(b.org, hook.CallbackRecord, []byte("0123456789abcdef0123456789abcdef"))
			if err != nil {
				return err
			}
			return tx.(interface {
				PutCallbackSecret(ctx context.Context, sealed []byte) error
			}).PutCallbackSecret(ctx, sealed)
		})
		if err != nil {
			t.Fatal(err)
		}
		s := scan.Scan{
			ID: uid.Scan(b.clock.IDs().New()), Engine: "nmap", Target: "127.0.0.1", TargetType: asset.TypeIP, Host: "127.0.0.1",
			Priority: scan.Normal, Timeout: 60, CreatedAt: b.clock.Now(), CreatedBy: "key:x", Callback: address,
		}
		err = b.s.Scans().Change(t.Context(), b.org, audit.Event{Type: event.ScanSubmitted}, func(ctx context.Context, tx scan.Tx) error { return tx.InsertScan(ctx, s) })
		if err != nil {
			t.Fatal(err)
		}
		b.emit(event.ScanStarted, string(s.ID))
		b.emit(event.ScanCompleted, "another")
		b.emit(event.ScanCompleted, string(s.ID))
		m := next(t, got)
		if !strings.HasPrefix(m.body, `{"type":"scan.completed"`) || !strings.Contains(m.body, string(s.ID)) {
			t.Errorf("told %s", m.body)
		}
		lib, err := standardwebhooks.NewWebhookRaw([]byte("0123456789abcdef0123456789abcdef"))
		if err != nil {
			t.Fatal(err)
		}
		if err := lib.Verify([]byte(m.body), m.header); err != nil {
			t.Error(err)
		}
		b.outcome("delivered")
		where, l, err := b.hooks.Callback(t.Context(), b.org, hook.DeliveryQuery{Scan: s.ID})
		if err != nil || where != address || len(l.Items) != 1 || l.Items[0].State != hook.Delivered {
			t.Errorf("%s %+v, %v", where, l.Items, err)
		}
		if len(got) != 0 {
			t.Errorf("told %d times more", len(got))
		}
	})
}
