package hook_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/infra/store"
	"assay.dev/assay/internal/notice/hook"
	"assay.dev/assay/internal/org/access"
	"assay.dev/assay/internal/testkit"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/uid"
)

// BenchmarkDeliveries measures the way from the commit of an event to its arrival: as fast as it goes, and at the rates
// of the goals (500 a second on SQLite, 1,000 on PostgreSQL) alone and beside a receiver that never answers. Sender,
// receiver, database and whoever writes the events share the machine. Run it with -benchtime=5000x.
func BenchmarkDeliveries(b *testing.B) {
	for _, db := range []struct {
		name string
		open func(testing.TB, ...testkit.Option) *store.Store
		rate int
	}{{"sqlite", testkit.SQLite, 500}, {"postgres", testkit.Postgres, 1000}} {
		b.Run(db.name+"/flood", func(b *testing.B) { deliver(b, db.open(b), 0, false) })
		b.Run(db.name+"/alone", func(b *testing.B) { deliver(b, db.open(b), db.rate, false) })
		b.Run(db.name+"/beside a hanging one", func(b *testing.B) { deliver(b, db.open(b), db.rate, true) })
	}
}

func deliver(b *testing.B, s *store.Store, rate int, hanging bool) {
	b.Helper()
	testkit.Run(b, s)
	org := testkit.Org(b, s, "Bench")
	sent, took := make([]time.Time, b.N), make([]time.Duration, b.N)
	var mu sync.Mutex
	var left sync.WaitGroup
	left.Add(b.N)
	fast := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var m struct {
			Data struct {
				N string `json:"n"`
			} `json:"data"`
		}
		if err := json.NewDecoder(r.Body).Decode(&m); err != nil {
			return
		}
		n, err := strconv.Atoi(m.Data.N)
		if err != nil {
			return
		}
		mu.Lock()
		first := took[n] == 0
		took[n] = time.Since(sent[n])
		mu.Unlock()
		if first {
			left.Done()
		}
	}))
	defer fast.Close()
	release := make(chan struct{})
	slow := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}))
	defer slow.Close()
	defer close(release)

	ids := uid.NewSource(time.Now, rand.Reader)
	sender := hook.NewSender(&http.Transport{MaxIdleConnsPerHost: 32}, plainSealer{}, time.Now)
	office := hook.NewOffice(hook.OfficeDeps{
		Post: s.Post(), Store: s.Hooks(), Sender: sender, News: s.Hub().SubscribeAll, Now: time.Now, IDs: ids,
		Chance: func() float64 { return 0 }, Log: slog.New(slog.DiscardHandler), Alone: true, Observe: func(string, time.Duration) {},
	})
	svc := hook.New(hook.Deps{
		Store: s.Hooks(), Callbacks: s.Tenants(), Sealer: plainSealer{}, Sender: sender, Addresses: anywhere{}, Now: time.Now, IDs: ids, Rand: rand.Reader,
	})
	urls := []string{fast.URL}
	if hanging {
		urls = append(urls, slow.URL)
	}
	for _, u := range urls {
		if _, err := svc.Create(b.Context(), access.Operator(org), hook.Draft{Name: "h", URL: u, Events: []string{"*"}}); err != nil {
			b.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background()) // ended below
	ended := make(chan error, 1)
	go func() { ended <- office.Run(ctx) }()

	b.ResetTimer()
	start := time.Now()
	emit := func(n int) {
		err := s.Hooks().Change(b.Context(), org, audit.Bookkeeping("a benchmark"), func(ctx context.Context, tx hook.Tx) error {
			return tx.Emit(ctx, event.ScanQueued, "s", map[string]string{"n": strconv.Itoa(n)})
		})
		if err != nil {
			b.Error(err)
		}
	}
	var writers sync.WaitGroup
	next := make(chan int)
	for range 16 {
		writers.Go(func() {
			for n := range next {
				mu.Lock()
				sent[n] = time.Now()
				mu.Unlock()
				emit(n)
			}
		})
	}
	for n := range b.N {
		if rate > 0 {
			if wait := time.Until(start.Add(time.Duration(n) * time.Second / time.Duration(rate))); wait > 0 {
				time.Sleep(wait) // the pace of the load, not a wait for a state
			}
		}
		next <- n
	}
	close(next)
	writers.Wait()
	left.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/time.Since(start).Seconds(), "deliveries/s")
	slices.Sort(took)
	b.ReportMetric(took[len(took)/2].Seconds()*1000, "p50-ms")
	b.ReportMetric(took[len(took)*99/100].Seconds()*1000, "p99-ms")
	cancel()
	if err := <-ended; err != nil {
		b.Error(err)
	}
}
