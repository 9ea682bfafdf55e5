package crawl_test

import (
	"context"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"assay.dev/assay/internal/scan/engine/sentinel/crawl"
)

// run walks a handler and returns the record and the requests that it got.
func run(t *testing.T, start string, limits crawl.Limits, handler http.HandlerFunc) (crawl.Record, []string) {
	t.Helper()
	var mu sync.Mutex
	var got []string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		mu.Lock()
		got = append(got, r.Method+" "+r.URL.Path)
		mu.Unlock()
		handler(w, r)
	}))
	defer s.Close()
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	send := func(ctx context.Context, r crawl.Request) (crawl.Answer, bool) {
		var body io.Reader
		if r.Method == http.MethodPost {
			body = strings.NewReader(r.Form.Encode())
		}
		req, err := http.NewRequestWithContext(ctx, r.Method, r.URL.String(), body)
		if err != nil {
			return crawl.Answer{}, false
		}
		if body != nil {
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		resp, err := client.Do(req)
		if err != nil {
			return crawl.Answer{}, false
		}
		defer func() { _ = resp.Body.Close() }()
		b, err := io.ReadAll(resp.Body)
		return crawl.Answer{Status: resp.StatusCode, Header: resp.Header, Body: b}, err == nil
	}
	base, err := url.Parse(s.URL + start)
	if err != nil {
		t.Fatal(err)
	}
	rec := crawl.Walk(t.Context(), crawl.Deps{Send: send, Token: "a1b2c3d4"}, base, limits)
	return rec, got
}

func roomy() crawl.Limits {
	return crawl.Limits{Pages: 50, Points: 50, Requests: 1000, Parallel: 4, Posts: true}
}

// told returns signs as "kind path parameter strength".
func told(rec crawl.Record) []string {
	out := []string{}
	for _, s := range rec.Signs {
		u, _ := url.Parse(s.URL)
		out = append(out, strings.Join(strings.Fields(fmt.Sprintf("%s %s %s %s", s.Kind, u.Path, s.Parameter, s.Strength)), " "))
	}
	return out
}

// shop is a site with every flaw; safe is the same without any.
func shop(safe bool) http.HandlerFunc {
	stock := func(cond string) bool { // a query that knows AND and quotes
		switch {
		case strings.Contains(cond, "'7'='8"), strings.Contains(cond, "7=8"):
			return false
		}
		return true
	}
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		q := func(name string) string { return r.Form.Get(name) }
		page := func(format string, args ...any) { _, _ = fmt.Fprintf(w, "<html>"+format+"</html>", args...) }
		switch r.URL.Path {
		case "/":
			page(`<a href="/item?id=1">a</a><a href=/item?id=2>b</a><a href="search?q=x">s</a><a href="/go?to=/about">g</a><a href="/download?f=readme.txt">d</a>
				<a href="/ping?host=lamp">p</a><a href="/debug?n=1">d</a><a href="/logout?now=1">out</a><a href="https://elsewhere.invalid/">x</a><a href="javascript:alert(1)">j</a>
				<form action="/login" method="post"><input name="user"><input name="pass" type="password">%s</form><form action="/find"><input name="term" value="t"></form>`,
				map[bool]string{true: `<input type="hidden" name="csrf_token" value="x">`}[safe])
		case "/robots.txt":
			w.Header().Set("Content-Type", "text/plain")
			if !safe {
				_, _ = io.WriteString(w, "User-agent: *\nDisallow: /admin/\nDisallow: /about\n")
			}
		case "/item", "/login":
			v := q("id") + q("user")
			if !safe && strings.Count(v, "'")%2 == 1 {
				w.WriteHeader(500)
				page("sqlite3.OperationalError: unrecognized token")
				return
			}
			if !safe && !stock(v) {
				page("none")
				return
			}
			page("one")
		case "/ping":
			if safe || stock(q("host")) {
				page("in stock")
				return
			}
			page("sold out")
		case "/search":
			if safe {
				page("<p>%s</p>", html.EscapeString(q("q")))
				return
			}
			page("<p>%s</p>", q("q"))
		case "/find":
			page(`<input value='%s'>`, strings.NewReplacer("<", "&lt;", ">", "&gt;").Replace(q("term")))
		case "/go":
			to := q("to")
			if safe {
				to = "/about"
			}
			w.Header().Set("Location", to)
			w.WriteHeader(302)
		case "/download":
			if !safe && strings.HasSuffix(q("f"), "etc/passwd") {
				_, _ = io.WriteString(w, "root:x:0:0:root:/root:/bin/sh\n")
				return
			}
			page("no such file")
		case "/debug":
			if !safe && q("n") != "1" {
				w.WriteHeader(500)
				page("<pre>Traceback (most recent call last)</pre>")
				return
			}
			page("1")
		case "/admin/":
			if safe {
				w.WriteHeader(403)
			}
			page("users")
		default:
			page("about")
		}
	}
}

func TestEveryFlawShowsOnce(t *testing.T) {
	t.Parallel()
	rec, got := run(t, "/", roomy(), shop(false))
	want := []string{
		"web-admin-open /admin/ tentative", "web-error-details /debug firm", "web-form-token /login tentative", "web-open-redirect /go to certain",
		"web-password-cleartext /login certain", "web-path-traversal /download f certain", "web-robots /robots.txt certain",
		"web-sql-injection /item id certain", "web-sql-injection /login user firm", "web-sql-injection /ping host firm",
		"web-xss /find term tentative", "web-xss /search q firm",
	}
	if diff := cmp.Diff(want, told(rec)); diff != "" {
		t.Errorf("signs (-want +got):\n%s", diff)
	}
	if !rec.Crawled || !rec.Asked {
		t.Errorf("crawled %v, asked %v", rec.Crawled, rec.Asked)
	}
	if slices.Contains(got, "GET /logout") {
		t.Error("the walk logged out")
	}
	posts := 0
	for _, g := range got {
		if strings.HasPrefix(g, "POST ") {
			posts++
		} else if !strings.HasPrefix(g, "GET ") {
			t.Errorf("it sent %s", g)
		}
	}
	if posts > 5 {
		t.Errorf("%d POST requests, at most five are promised", posts)
	}
	for _, s := range rec.Signs {
		if strings.Contains(s.Proof, "/root:/bin") || len(s.Proof) > 600 {
			t.Errorf("the proof holds content: %q", s.Proof)
		}
	}
}

func TestASoundSiteShowsNothing(t *testing.T) {
	t.Parallel()
	rec, _ := run(t, "/", roomy(), func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/find" {
			_, _ = io.WriteString(w, "<html>found</html>")
			return
		}
		shop(true)(w, r)
	})
	if diff := cmp.Diff([]string{"web-password-cleartext /login certain"}, told(rec)); diff != "" {
		t.Errorf("signs (-want +got); the form's place over plain HTTP is all that is wrong:\n%s", diff)
	}
}

func TestPagesThatChangeByThemselvesArentTakenForInjections(t *testing.T) {
	t.Parallel()
	n := 0
	var mu sync.Mutex
	rec, _ := run(t, "/", roomy(), func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		n++
		w.Header().Set("Content-Type", "text/html")
		_, _ = fmt.Fprintf(w, `<a href="/p?id=1">x</a> visit %d, you asked for %s`, n, html.EscapeString(r.URL.RawQuery))
	})
	if len(rec.Signs) > 0 {
		t.Errorf("signs %+v", rec.Signs)
	}
}

func TestTheWalkStaysWhereItBeganAndWithinItsBounds(t *testing.T) {
	t.Parallel()
	endless := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		for i := range 50 {
			_, _ = fmt.Fprintf(w, `<a href="%s/%d/?a%d=1">x</a>`, strings.TrimSuffix(r.URL.Path, "/"), i, i)
		}
		_, _ = io.WriteString(w, `<a href="/other/">o</a><a href="../">up</a><a href="/app/..//../x">x</a>`)
	}
	rec, got := run(t, "/app/", crawl.Limits{Pages: 10, Points: 5, Requests: 60, Parallel: 3}, endless)
	if len(rec.Pages) > 10 || len(got) > 60 || rec.Requests > 60 || rec.Crawled || rec.Asked {
		t.Errorf("%d pages, %d requests, crawled %v, asked %v", len(rec.Pages), len(got), rec.Crawled, rec.Asked)
	}
	for _, g := range got {
		if !strings.HasPrefix(g, "GET /app/") {
			t.Errorf("it left the folder: %s", g)
		}
	}
}

func FuzzPage(f *testing.F) {
	f.Add([]byte(`<base href="/x/"><a href="?a=1&a=2">b</a><form method=post action=//x><input name=a type=password><select name=b></form>`))
	f.Add([]byte("<a href='http://[::1'>\x00<script>"))
	f.Fuzz(func(t *testing.T, body []byte) {
		base, err := url.Parse("http://shop.test/a/")
		if err != nil {
			t.Fatal(err)
		}
		send := func(_ context.Context, r crawl.Request) (crawl.Answer, bool) {
			if r.URL.Host != "shop.test" || r.URL.Scheme != "http" || !strings.HasPrefix(r.URL.Path, "/a") {
				t.Errorf("a request elsewhere: %s", r.URL)
			}
			return crawl.Answer{Status: 200, Header: http.Header{"Content-Type": {"text/html"}}, Body: body}, true
		}
		rec := crawl.Walk(t.Context(), crawl.Deps{Send: send, Token: "a1b2c3d4"}, base, crawl.Limits{Pages: 5, Points: 3, Requests: 40, Parallel: 1, Posts: true})
		if rec.Requests > 40 || len(rec.Pages) > 5 {
			t.Errorf("out of bounds: %+v", rec)
		}
	})
}
