package mw_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/web/mw"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/uid"
)

func TestRefusalsComeInTheDocumentedOrderAndForm(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		method, target, body string
		opts                 []func(*http.Request)
		status               int
		code                 string
	}{
		"nothing sent":          {"GET", "/things/1", "", nil, 401, "UNAUTHENTICATED"},
		"nothing sent, scan":    {"GET", "/scan-api/x", "", nil, 401, "MISSING_API_KEY"},
		"unknown key":           {"GET", "/things/1", "", []func(*http.Request){key("bad")}, 401, "INVALID_API_KEY"},
		"two keys":              {"GET", "/things/1", "", []func(*http.Request){key("good"), key("poor")}, 400, "AMBIGUOUS_CREDENTIALS"},
		"basic":                 {"GET", "/things/1", "", []func(*http.Request){header("Authorization", "Basic x")}, 401, "UNAUTHENTICATED"},
		"scope":                 {"GET", "/things/1", "", []func(*http.Request){key("poor")}, 403, "INSUFFICIENT_SCOPE"},
		"password first":        {"GET", "/things/1", "", []func(*http.Request){header("Authorization", "Bearer reset")}, 403, "PASSWORD_CHANGE_REQUIRED"},
		"unknown route":         {"GET", "/nothing", "", nil, 404, "NOT_FOUND"},
		"unknown route, known":  {"GET", "/nothing", "", []func(*http.Request){key("good")}, 404, "NOT_FOUND"},
		"wrong method":          {"PUT", "/things", "", []func(*http.Request){key("good")}, 405, "METHOD_NOT_ALLOWED"},
		"options":               {"OPTIONS", "/things", "", []func(*http.Request){key("good")}, 405, "METHOD_NOT_ALLOWED"},
		"double slash":          {"GET", "//things/1", "", []func(*http.Request){key("good")}, 404, "NOT_FOUND"},
		"dots":                  {"GET", "/things/../things/1", "", []func(*http.Request){key("good")}, 404, "NOT_FOUND"},
		"encoded slash":         {"GET", "/things/a%2Fb", "", []func(*http.Request){key("good")}, 404, "NOT_FOUND"},
		"trailing slash":        {"GET", "/things/1/", "", []func(*http.Request){key("good")}, 404, "NOT_FOUND"},
		"twice in query":        {"GET", "/things/1?a=1&a=2", "", []func(*http.Request){key("good")}, 400, "VALIDATION_ERROR"},
		"bad query":             {"GET", "/things/1?a=%zz", "", []func(*http.Request){key("good")}, 400, "VALIDATION_ERROR"},
		"form body":             {"POST", "/things", "a=1", []func(*http.Request){key("good"), header("Content-Type", "application/x-www-form-urlencoded")}, 415, "UNSUPPORTED_MEDIA_TYPE"},
		"latin1":                {"POST", "/things", "{}", []func(*http.Request){key("good"), header("Content-Type", "application/json; charset=latin1")}, 415, "UNSUPPORTED_MEDIA_TYPE"},
		"brotli":                {"POST", "/things", "{}", []func(*http.Request){key("good"), header("Content-Encoding", "br")}, 415, "UNSUPPORTED_MEDIA_TYPE"},
		"not gzip":              {"POST", "/things", "{}", []func(*http.Request){key("good"), header("Content-Encoding", "gzip")}, 400, "VALIDATION_ERROR"},
		"garbage":               {"POST", "/things", "{]", []func(*http.Request){key("good")}, 400, "VALIDATION_ERROR"},
		"garbage, nobody":       {"POST", "/things", "{]", nil, 401, "UNAUTHENTICATED"},
		"too large":             {"POST", "/things", `"` + strings.Repeat("x", mw.DefaultMaxBody) + `"`, []func(*http.Request){key("good")}, 413, "PAYLOAD_TOO_LARGE"},
		"empty idempotency key": {"POST", "/things", "{}", []func(*http.Request){key("good"), header("Idempotency-Key", "")}, 400, "VALIDATION_ERROR"},
		"blank in key":          {"POST", "/things", "{}", []func(*http.Request){key("good"), header("Idempotency-Key", "a b")}, 400, "VALIDATION_ERROR"},
		"two idempotency keys":  {"POST", "/things", "{}", []func(*http.Request){key("good"), header("Idempotency-Key", "a"), header("Idempotency-Key", "b")}, 400, "VALIDATION_ERROR"},
		"cross-origin cookie":   {"POST", "/things", "{}", []func(*http.Request){header("Cookie", "assay_session=good"), header("Sec-Fetch-Site", "cross-site")}, 403, "CROSS_ORIGIN_REFUSED"},
		"cross-origin login":    {"POST", "/login", "{}", []func(*http.Request){header("Origin", "https://evil.example")}, 403, "CROSS_ORIGIN_REFUSED"},
		"database down":         {"GET", "/things/1", "", []func(*http.Request){key("broken")}, 500, "INTERNAL_ERROR"},
		"panic":                 {"GET", "/panic", "", []func(*http.Request){key("good")}, 500, "INTERNAL_ERROR"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, mw.Config{})
			w := b.call(c.method, c.target, c.body, c.opts...)
			if got := code(t, w); w.Code != c.status || got != c.code {
				t.Errorf("%d %s, want %d %s", w.Code, got, c.status, c.code)
			}
			for _, h := range []string{"X-Request-Id", "X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset", "X-Content-Type-Options", "Content-Security-Policy"} {
				if sent(w, h) == "" {
					t.Errorf("without %s", h)
				}
			}
			if strings.Contains(w.Body.String(), "secret") || strings.Contains(w.Body.String(), "down") {
				t.Errorf("tells too much: %s", w.Body)
			}
			if w.Code == http.StatusUnauthorized && w.Header().Get("WWW-Authenticate") == "" {
				t.Error("401 without WWW-Authenticate")
			}
			if w.Code == http.StatusMethodNotAllowed && w.Header().Get("Allow") == "" {
				t.Error("405 without Allow")
			}
		})
	}
}

func TestSameOriginCookieAndHeaderCredentialsMayWrite(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string][]func(*http.Request){
		"cookie, same origin": {header("Cookie", "assay_session=good"), header("Sec-Fetch-Site", "same-origin")},
		"key, cross origin":   {key("good"), header("Sec-Fetch-Site", "cross-site")},
		"both headers alike":  {key("good"), header("Authorization", "Bearer good")},
		"header over cookie":  {key("good"), header("Cookie", "assay_session=bad"), header("Sec-Fetch-Site", "cross-site")},
	} {
		b := setup(t, mw.Config{})
		if w := b.call("POST", "/things", "{}", opts...); w.Code != http.StatusCreated {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
}

func TestAReadIsEnteredOnceBeforeItsAnswer(t *testing.T) {
	t.Parallel()
	b := setup(t, mw.Config{})
	id := "01900000-0000-7000-8000-00000000000a"
	w := b.call("GET", "/things/"+id+"?q=hunter2", "", key("good"), header("X-Request-Id", "mine-1"))
	if w.Code != http.StatusOK || w.Header().Get("X-Request-Id") != "mine-1" {
		t.Fatal(w.Code, w.Header())
	}
	want := []audit.Entry{{
		Org: org, Type: event.AssetRead, Status: 200, Resource: audit.Resource{Kind: "asset", ID: id}, Method: "GET",
		Actor: audit.Actor{Kind: audit.ActorKey, ID: "k1", Name: "name of k1"}, Route: "/things/{id}",
		ClientAddress: "192.0.2.7", ClientRequestID: "mine-1",
	}}
	if diff := cmp.Diff(want, b.trail.entries); diff != "" {
		t.Error(diff)
	}
	if s := b.log.String(); strings.Contains(s, "hunter2") || strings.Contains(s, id) || !strings.Contains(s, `"route":"/things/{id}"`) {
		t.Errorf("log line: %s", s)
	}
}

func TestAnIDThatIsntOneStaysOutOfTheTrail(t *testing.T) {
	t.Parallel()
	b := setup(t, mw.Config{})
	b.call("GET", "/things/hunter2", "", key("good"))
	if len(b.trail.entries) != 1 || b.trail.entries[0].Resource != (audit.Resource{}) {
		t.Errorf("%+v", b.trail.entries)
	}
}

func TestARefusedCallOfAKnownActorIsEnteredWithItsStatus(t *testing.T) {
	t.Parallel()
	b := setup(t, mw.Config{})
	b.call("GET", "/things/x", "", key("poor"))
	b.call("POST", "/things", "{]", key("good"))
	b.call("GET", "/nothing", "", key("good"))
	var got []any
	for _, e := range b.trail.entries {
		got = append(got, e.Type, e.Status, e.Route)
	}
	want := []any{
		event.AssetRead, 403, "/things/{id}",
		event.AssetCreated, 400, "/things",
		event.RouteUnknown, 404, "unmatched",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestWithoutAnAuditTrailNothingIsAnswered(t *testing.T) {
	t.Parallel()
	b := setup(t, mw.Config{})
	b.trail.err = errors.New("disk full")
	w := b.call("GET", "/things/1", "", key("good"))
	if w.Code != http.StatusServiceUnavailable || code(t, w) != "AUDIT_UNAVAILABLE" || w.Header().Get("Retry-After") == "" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if sent(w, "X-RateLimit-Limit") == "" || w.Header().Get("X-Request-Id") == "" {
		t.Error("headers are lost")
	}
	if w := b.call("GET", "/health", ""); w.Code != http.StatusOK {
		t.Errorf("health: %d", w.Code)
	}
}

func TestSuccessAgainstTheRecordedStatusIsNeverAnswered(t *testing.T) {
	t.Parallel()
	b := setup(t, mw.Config{})
	w := b.call("POST", "/liar", "", key("good"))
	if w.Code != http.StatusInternalServerError || strings.Contains(w.Body.String(), "secret") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestAChangeIsNotEnteredASecondTime(t *testing.T) {
	t.Parallel()
	b := setup(t, mw.Config{})
	if w := b.call("POST", "/things", "{}", key("good")); w.Code != http.StatusCreated {
		t.Fatal(w.Code)
	}
	if len(b.trail.entries) != 0 {
		t.Errorf("%+v", b.trail.entries)
	}
}

func TestAStreamIsEnteredAtOpenAndClose(t *testing.T) {
	t.Parallel()
	b := setup(t, mw.Config{})
	w := b.call("GET", "/stream", "", key("good"))
	if !w.Flushed || w.Body.String() != "data: 1\n\n" {
		t.Errorf("%v %q", w.Flushed, w.Body)
	}
	if len(b.trail.entries) != 2 || b.trail.entries[0].Type != event.ScanStreamOpened || b.trail.entries[1].Type != event.ScanStreamClosed {
		t.Errorf("%+v", b.trail.entries)
	}
}

func TestExemptRoutesAreNeitherCountedNorEntered(t *testing.T) {
	t.Parallel()
	b := setup(t, mw.Config{})
	w := b.call("GET", "/health", "", key("bad"))
	if w.Code != http.StatusOK || sent(w, "X-RateLimit-Limit") != "" || len(b.windows.counts) != 0 || len(b.trail.entries) != 0 {
		t.Errorf("%d %v %v", w.Code, w.Header(), b.windows.counts)
	}
}

func TestCallsWithoutACredentialAreChargedToTheirAddress(t *testing.T) {
	t.Parallel()
	b := setup(t, mw.Config{})
	b.windows.perAddress = 2
	for i, want := range []int{401, 401, 429} {
		if w := b.call("GET", "/things/1", "", from("[2001:db8::"+string(rune('1'+i))+"]:1")); w.Code != want {
			t.Errorf("call %d: %d, want %d", i, w.Code, want)
		}
	}
	w := b.call("POST", "/login", "{}", from("[2001:db8::9]:1"))
	if w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") != "30" {
		t.Errorf("login: %d, retry after %q", w.Code, w.Header().Get("Retry-After"))
	}
	// A valid credential from the same address is not held up.
	if w := b.call("GET", "/things/1", "", key("good"), from("[2001:db8::9]:1")); w.Code != http.StatusOK {
		t.Errorf("good key: %d", w.Code)
	}
}

func TestAPrincipalIsRefusedOverItsWindowWithWhen(t *testing.T) {
	t.Parallel()
	b := setup(t, mw.Config{})
	for i, want := range []string{"2", "1", "0"} {
		if w := b.call("GET", "/things/1", "", key("good")); w.Code != 200 || sent(w, "X-RateLimit-Remaining") != want {
			t.Errorf("call %d: %d, remaining %s", i, w.Code, sent(w, "X-RateLimit-Remaining"))
		}
	}
	w := b.call("GET", "/things/1", "", key("good"))
	if w.Code != 429 || code(t, w) != "RATE_LIMIT_EXCEEDED" || w.Header().Get("Retry-After") != "30" || sent(w, "X-RateLimit-Limit") != "3" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	b.windows.plan = 0
	if w := b.call("GET", "/things/1", "", key("poor")); w.Code != 429 || code(t, w) != "QUOTA_EXCEEDED" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestRefusedCallsBecomeOneEntryOfTheOperatorPerMinuteAndAddress(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, mw.Config{})
		for range 3 {
			b.call("GET", "/things/1", "")
		}
		b.call("GET", "/things/1", "", from("198.51.100.1:1"))
		for range 5 {
			b.call("GET", "/things/1", "", key("good")) // three served, two over the window
		}
		served := len(b.trail.entries)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- b.chain.Run(ctx) }()
		synctest.Wait()
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		got := map[string]int64{}
		for _, e := range b.trail.entries[served:] {
			if e.Org != uid.System || e.Actor.Kind != audit.ActorAnonymous {
				t.Errorf("%+v", e)
			}
			got[string(e.Type)+" "+e.ClientAddress] = e.Count
		}
		want := map[string]int64{"auth.refused 192.0.2.7": 3, "auth.refused 198.51.100.1": 1, "rate.refused 192.0.2.7": 2}
		if diff := cmp.Diff(want, got); served != 3 || diff != "" {
			t.Errorf("%d served; %s", served, diff)
		}
	})
}

func TestAMinuteThatIsOverIsWrittenWithoutWaitingForTheEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, mw.Config{})
		b.call("GET", "/things/1", "")
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- b.chain.Run(ctx) }()
		time.Sleep(2 * time.Second) // synctest's time: two ticks
		synctest.Wait()
		if n := b.trail.len(); n != 0 {
			t.Errorf("%d entries before the minute is over", n)
		}
		b.advance(time.Minute)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if n := b.trail.len(); n != 1 {
			t.Errorf("%d entries after the minute", n)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestRefusalsThatCannotBeWrittenAreKept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, mw.Config{})
		b.call("GET", "/things/1", "")
		b.trail.fail(errors.New("disk full"))
		b.advance(time.Minute)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- b.chain.Run(ctx) }()
		time.Sleep(3 * time.Second)
		synctest.Wait()
		b.trail.fail(nil)
		time.Sleep(2 * time.Second)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if b.trail.len() != 1 || b.trail.entries[0].Count != 1 {
			t.Errorf("%+v", b.trail.entries)
		}
	})
}

func TestBodiesArriveWholeAndUnpacked(t *testing.T) {
	t.Parallel()
	b := setup(t, mw.Config{})
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = z.Write([]byte(`{"name":"x"}`))
	_ = z.Close()
	w := b.call("POST", "/things", packed.String(), key("good"), header("Content-Encoding", "gzip"), header("Content-Type", "application/json"))
	if w.Code != http.StatusCreated || string(b.router.got) != `{"name":"x"}` {
		t.Errorf("%d %q", w.Code, b.router.got)
	}
	packed.Reset()
	z.Reset(&packed)
	_, _ = z.Write(bytes.Repeat([]byte(" "), mw.DefaultMaxBody+1))
	_ = z.Close()
	if w := b.call("POST", "/things", packed.String(), key("good"), header("Content-Encoding", "gzip")); w.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("bomb of %d bytes: %d", packed.Len(), w.Code)
	}
}

func TestAPanicAfterTheFirstByteCutsTheConnection(t *testing.T) {
	t.Parallel()
	b := setup(t, mw.Config{})
	defer func() {
		if p := recover(); p != http.ErrAbortHandler { //nolint:errorlint // the panic's value itself
			t.Errorf("panicked with %v", p)
		}
	}()
	b.call("GET", "/late", "", key("good"))
	t.Error("no panic")
}

func TestOperatorsRulesOfHostAndTransport(t *testing.T) {
	t.Parallel()
	b := setup(t, mw.Config{Hosts: []string{"assay.example"}})
	if w := b.call("GET", "http://evil.example/health", ""); w.Code != http.StatusForbidden {
		t.Errorf("other host: %d", w.Code)
	}
	if w := b.call("GET", "http://assay.example:8443/health", ""); w.Code != http.StatusOK {
		t.Errorf("own host: %d", w.Code)
	}
	proxy := []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	b = setup(t, mw.Config{RequireTLS: true, TrustedProxies: proxy})
	if w := b.call("GET", "/health", ""); w.Code != http.StatusForbidden {
		t.Errorf("plain: %d", w.Code)
	}
	w := b.call("GET", "/health", "", header("X-Forwarded-Proto", "https"))
	if w.Code != http.StatusOK || w.Header().Get("Strict-Transport-Security") == "" {
		t.Errorf("behind a proxy: %d", w.Code)
	}
	if w := b.call("GET", "/health", "", header("X-Forwarded-Proto", "https"), from("203.0.113.1:1")); w.Code != http.StatusForbidden {
		t.Errorf("a stranger's word: %d", w.Code)
	}
}

func TestCORSAnswersConfiguredOriginsOnly(t *testing.T) {
	t.Parallel()
	asks := []func(*http.Request){header("Access-Control-Request-Method", "GET"), header("Origin", "https://ui.example")}
	off := setup(t, mw.Config{})
	if w := off.call("OPTIONS", "/things/1", "", asks...); w.Code != http.StatusMethodNotAllowed || w.Header().Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("off: %d %v", w.Code, w.Header())
	}
	on := setup(t, mw.Config{Origins: []string{"https://ui.example"}})
	if w := on.call("OPTIONS", "/things/1", "", asks...); w.Code != http.StatusNoContent || w.Header().Get("Access-Control-Allow-Origin") != "https://ui.example" {
		t.Errorf("on: %d %v", w.Code, w.Header())
	}
	if w := on.call("GET", "/things/1", "", key("good"), header("Origin", "https://evil.example")); w.Header().Get("Access-Control-Allow-Origin") != "" {
		t.Error("allowed a stranger")
	}
	if _, err := mw.New(mw.Deps{Config: mw.Config{Origins: []string{"ui.example"}}}); err == nil {
		t.Error("took an origin that isn't one")
	}
}

func TestTheClientIsTheRightmostUntrustedAddress(t *testing.T) {
	t.Parallel()
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	for name, c := range map[string]struct{ peer, forwarded, want string }{
		"no proxy":           {"192.0.2.1:5", "203.0.113.9", "192.0.2.1"},
		"one proxy":          {"10.0.0.1:5", "203.0.113.9", "203.0.113.9"},
		"a forged prefix":    {"10.0.0.1:5", "1.1.1.1, 203.0.113.9", "203.0.113.9"},
		"two proxies":        {"10.0.0.1:5", "1.1.1.1, 203.0.113.9, 10.0.0.2", "203.0.113.9"},
		"all proxies":        {"10.0.0.1:5", "10.0.0.3,10.0.0.2", "10.0.0.3"},
		"garbage in between": {"10.0.0.1:5", "203.0.113.9, nonsense, 10.0.0.2", "10.0.0.2"},
		"no header":          {"10.0.0.1:5", "", "10.0.0.1"},
		"mapped":             {"[::ffff:10.0.0.1]:5", "[2001:db8::1]:99", "2001:db8::1"},
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
		r.RemoteAddr = c.peer
		r.Header.Set("X-Forwarded-For", c.forwarded)
		if got := mw.ClientAddr(r, trusted); got != addr(c.want) {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

func TestRequestIDsOfStrangersAreTakenOnlyWhenSafe(t *testing.T) {
	t.Parallel()
	b := setup(t, mw.Config{})
	for id, kept := range map[string]bool{
		"abc-1.2:3_Z": true, strings.Repeat("a", 128): true, strings.Repeat("a", 129): false, "a b": false, "a\"b": false, "": false,
	} {
		got := b.call("GET", "/health", "", header("X-Request-Id", id)).Header().Get("X-Request-Id")
		if (got == id) != kept || got == "" {
			t.Errorf("%q: %q", id, got)
		}
	}
}

func TestMetricsSeePatternsNotPaths(t *testing.T) {
	t.Parallel()
	b := setup(t, mw.Config{})
	b.call("GET", "/things/7", "", key("good"))
	b.call("GET", "/hunter2", "")
	b.call("HUNTER2", "/hunter2", "")
	for i, want := range []string{"GET /things/{id}", "GET unmatched", "OTHER unmatched"} {
		if got := b.seen[i].Method + " " + b.seen[i].Route; got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

func TestRateHeadersAreSentInTheDocumentedSpelling(t *testing.T) {
	t.Parallel()
	b := setup(t, mw.Config{})
	s := httptest.NewServer(b.chain)
	t.Cleanup(s.Close)
	for path, status := range map[string]string{"/things/1": "200 OK", "/nothing": "404 Not Found"} {
		c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", s.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(c, "GET "+path+" HTTP/1.1\r\nHost: x\r\nX-API-Key: good\r\nConnection: close\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		raw, err := io.ReadAll(c)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		head, _, _ := strings.Cut(string(raw), "\r\n\r\n")
		for _, line := range []string{"HTTP/1.1 " + status + "\r\n", "\r\nX-RateLimit-Limit: 3\r\n", "\r\nX-RateLimit-Remaining: ", "\r\nX-RateLimit-Reset: "} {
			if strings.Count(head, line) != 1 {
				t.Errorf("%s: not one %q in\n%s", path, line, head)
			}
		}
		if n := strings.Count(strings.ToLower(head), "x-ratelimit-"); n != 3 {
			t.Errorf("%s: %d headers of the window, want 3", path, n)
		}
	}
}
