// Package crawl is Sentinel's walk through one web origin and its harmless questions to what it finds there.
//
// It follows links and forms of the same origin within the start page's folder, in bounded number, leaves alone what
// sounds like logging out or deleting, and then asks parameters whether they come back unescaped, decide where a
// redirect leads, open files, or break a query. It sends nothing but GET requests, and to login forms at most five POST
// requests with a user that nobody is. It knows no connection: requests go through the function that is given. What
// pages say is a stranger's. Start with Walk; page.go reads pages, ask.go asks.
package crawl

import (
	"context"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"
)

// Request is one request. Values of forms travel in the query, or in the body where the method is POST.
type Request struct {
	Method string
	URL    *url.URL
	Form   url.Values // of POST
}

// Answer is one response, its body read as far as somebody's bound.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// Deps is what a walk needs.
type Deps struct {
	Send  func(context.Context, Request) (Answer, bool) // false = no answer
	Token string                                        // lower-case letters and digits that no page says by itself
}

// Limits bound a walk.
type Limits struct {
	Pages    int
	Points   int // parameters that are asked
	Requests int // of everything
	Parallel int
	Posts    bool // login forms are asked, too
}

// Kinds of signs, which are the rules' ids without prefix.
const (
	KindSQL       = "web-sql-injection"
	KindXSS       = "web-xss"
	KindRedirect  = "web-open-redirect"
	KindTraversal = "web-path-traversal"
	KindTrace     = "web-error-details"
	KindNoToken   = "web-form-token"
	KindCleartext = "web-password-cleartext"
	KindAdmin     = "web-admin-open"
	KindRobots    = "web-robots"
)

// Strengths of a sign, as findings know confidence.
const (
	Certain   = "certain"
	Firm      = "firm"
	Tentative = "tentative"
)

// Sign is one thing that a page or an answer showed.
type Sign struct {
	Kind      string `json:"kind"`
	Method    string `json:"method,omitempty"`
	URL       string `json:"url"` // without query
	Parameter string `json:"parameter,omitempty"`
	Strength  string `json:"strength"`
	Proof     string `json:"proof"` // printable, nothing secret
}

// Record is what a walk saw.
type Record struct {
	Pages    []string `json:"pages,omitempty"` // paths, in the order of their visits
	Points   int      `json:"points"`
	Requests int      `json:"requests"`
	Signs    []Sign   `json:"signs,omitempty"`
	Crawled  bool     `json:"crawled,omitempty"` // every page that was linked was visited
	Asked    bool     `json:"asked,omitempty"`   // and every parameter asked to the end
}

// maxSigns bounds a record.
const maxSigns = 300

type walk struct {
	d      Deps
	limits Limits
	base   *url.URL
	folder string

	mu     sync.Mutex
	rec    Record
	signs  map[string]bool
	passwd *regexp.Regexp // the line that every passwd(5) has
	missed bool           // a request had no answer, or none was left to send
}

// Walk visits pages from base on and asks their parameters. It ends with ctx or its limits.
func Walk(ctx context.Context, d Deps, base *url.URL, limits Limits) Record {
	w := &walk{
		d: d, limits: limits, base: base, folder: path.Dir(path.Clean("/" + base.Path)), signs: map[string]bool{},
		passwd: regexp.MustCompile(`(?m)^root:[^:\n]{0,128}:0:0:`),
	}
	if strings.HasSuffix(base.Path, "/") {
		w.folder = path.Clean(base.Path)
	}
	points, forms := w.visit(ctx)
	w.mu.Lock()
	w.rec.Crawled = w.rec.Crawled && !w.missed && ctx.Err() == nil
	w.rec.Points, w.missed = len(points), false
	w.mu.Unlock()
	all := len(points) <= limits.Points
	points = points[:min(len(points), limits.Points)]
	w.each(len(points), func(i int) { w.question(ctx, points[i]) })
	if limits.Posts {
		for _, f := range forms {
			w.login(ctx, f)
		}
	}
	w.rec.Asked = w.rec.Crawled && all && !w.missed && ctx.Err() == nil
	slices.SortFunc(w.rec.Signs, func(a, b Sign) int {
		return strings.Compare(a.Kind+"\x00"+a.URL+"\x00"+a.Parameter+"\x00"+a.Method, b.Kind+"\x00"+b.URL+"\x00"+b.Parameter+"\x00"+b.Method)
	})
	return w.rec
}

// each runs do for 0..n-1, some at a time, and returns when all have ended.
func (w *walk) each(n int, do func(int)) {
	var g errgroup.Group
	g.SetLimit(max(w.limits.Parallel, 1))
	for i := range n {
		g.Go(func() error {
			do(i)
			return nil
		})
	}
	_ = g.Wait() // do reports into the record
}

// send makes one request, within the number that is left. Whatever comes back is looked at for what errors give away.
func (w *walk) send(ctx context.Context, r Request) (Answer, bool) {
	w.mu.Lock()
	if w.rec.Requests >= w.limits.Requests || ctx.Err() != nil {
		w.missed = true
		w.mu.Unlock()
		return Answer{}, false
	}
	w.rec.Requests++
	w.mu.Unlock()
	a, ok := w.d.Send(ctx, r)
	if !ok {
		w.mu.Lock()
		w.missed = true
		w.mu.Unlock()
		return a, false
	}
	if proof := trace(a.Body); proof != "" {
		s := Sign{Kind: KindTrace, URL: bare(r.URL), Strength: Tentative, Proof: proof}
		if a.Status >= 500 {
			s.Strength = Firm
		}
		w.sign(s)
	}
	return a, true
}

// sign keeps a sign once a place.
func (w *walk) sign(s Sign) {
	w.mu.Lock()
	defer w.mu.Unlock()
	key := s.Kind + "\x00" + s.URL + "\x00" + s.Parameter
	if w.signs[key] || len(w.rec.Signs) == maxSigns {
		return
	}
	w.signs[key] = true
	w.rec.Signs = append(w.rec.Signs, s)
}

// bare is a URL without query and fragment.
func bare(u *url.URL) string {
	c := *u
	c.RawQuery, c.Fragment, c.RawFragment, c.User, c.ForceQuery = "", "", "", nil, false
	return c.String()
}

// within reports whether a link stays at the origin and in the start page's folder, and does nothing by its name.
func (w *walk) within(u *url.URL) bool {
	if u.Scheme != w.base.Scheme || u.Host != w.base.Host || u.User != nil || len(u.String()) > 1024 {
		return false
	}
	clean := path.Clean("/" + u.Path)
	if w.folder != "/" && clean != w.folder && !strings.HasPrefix(clean, w.folder+"/") {
		return false
	}
	low := strings.ToLower(u.Path + "?" + u.RawQuery)
	for _, word := range []string{"logout", "logoff", "signout", "sign-out", "sign_out", "log-out", "delete", "remove", "destroy", "unsubscribe", "cancel", "drop", "purge", "shutdown"} {
		if strings.Contains(low, word) {
			return false
		}
	}
	switch strings.ToLower(path.Ext(u.Path)) {
	case ".png", ".jpg", ".jpeg", ".gif", ".svg", ".ico", ".css", ".js", ".mjs", ".map", ".woff", ".woff2", ".ttf", ".eot", ".mp4", ".webm", ".mp3", ".zip", ".gz", ".tgz", ".pdf", ".exe", ".dmg", ".iso", ".webp", ".avif":
		return false
	}
	return true
}

// visit walks from page to page, breadth first, and returns the parameters and login forms that it met.
func (w *walk) visit(ctx context.Context) (points []point, logins []form) {
	seen, known := map[string]bool{}, map[string]bool{}
	queue := []*url.URL{w.base}
	seen[shape(w.base)] = true
	add := func(u *url.URL) {
		if u == nil || !w.within(u) {
			return
		}
		u.Fragment, u.RawFragment = "", ""
		for _, p := range pointsOf(u) {
			if key := p.key(); !known[key] {
				known[key] = true
				points = append(points, p)
			}
		}
		if key := shape(u); !seen[key] && len(seen) < 20*w.limits.Pages {
			seen[key] = true
			queue = append(queue, u)
		}
	}
	for _, u := range w.robots(ctx) {
		add(u)
	}
	for len(queue) > 0 && len(w.rec.Pages) < w.limits.Pages && ctx.Err() == nil {
		batch := queue[:min(len(queue), max(w.limits.Parallel, 1), w.limits.Pages-len(w.rec.Pages))]
		queue = queue[len(batch):]
		pages := make([]page, len(batch))
		w.each(len(batch), func(i int) { pages[i] = w.get(ctx, batch[i]) })
		for i, p := range pages {
			w.rec.Pages = append(w.rec.Pages, clip(batch[i].Path, 256))
			w.judgePage(batch[i], p)
			for _, u := range p.links {
				add(u)
			}
			for _, f := range p.forms {
				if !w.within(f.action) {
					continue
				}
				if f.post {
					if f.password && len(logins) < 3 {
						logins = append(logins, f)
					}
					continue
				}
				add(f.url())
			}
		}
	}
	w.rec.Crawled = len(queue) == 0
	return points, logins
}

// get asks for one page and reads it.
func (w *walk) get(ctx context.Context, u *url.URL) page {
	a, ok := w.send(ctx, Request{Method: http.MethodGet, URL: u})
	if !ok {
		return page{}
	}
	p := page{status: a.Status}
	if next, err := u.Parse(a.Header.Get("Location")); err == nil && a.Status >= 300 && a.Status < 400 && a.Header.Get("Location") != "" {
		p.links = append(p.links, next)
		return p
	}
	if isHTML(a) {
		p.links, p.forms = readPage(a.Body, u)
	}
	return p
}

// judgePage notes what a page shows without being asked.
func (w *walk) judgePage(at *url.URL, p page) {
	password := false
	for _, f := range p.forms {
		password = password || f.password
		if f.action.Scheme != w.base.Scheme || f.action.Host != w.base.Host {
			continue
		}
		place := Sign{Method: f.method(), URL: bare(f.action)}
		if f.password && f.action.Scheme == "http" {
			s := place
			s.Kind, s.Strength, s.Proof = KindCleartext, Certain, "a form at "+at.Path+" sends a password to "+place.URL
			w.sign(s)
		}
		if f.post && !f.token {
			s := place
			s.Kind, s.Strength, s.Proof = KindNoToken, Tentative, "the form at "+at.Path+" has the fields "+strings.Join(f.names(), ", ")
			w.sign(s)
		}
	}
	if p.status == http.StatusOK && !password && adminPath(at.Path) {
		w.sign(Sign{Kind: KindAdmin, Method: http.MethodGet, URL: bare(at), Strength: Tentative, Proof: "answered with status 200 and no form that asks for a password"})
	}
}

func adminPath(p string) bool {
	for segment := range strings.SplitSeq(strings.ToLower(p), "/") {
		switch segment {
		case "admin", "administrator", "administration", "backoffice", "adminpanel", "admin.php", "wp-admin", "manager", "phpmyadmin":
			return true
		}
	}
	return false
}

// robots reads what robots.txt wants left alone (RFC 9309) and returns those places, to be visited as any reader could.
func (w *walk) robots(ctx context.Context) []*url.URL {
	if w.folder != "/" {
		return nil // another folder's business
	}
	at := w.base.ResolveReference(&url.URL{Path: "/robots.txt"})
	a, ok := w.send(ctx, Request{Method: http.MethodGet, URL: at})
	if !ok || a.Status != http.StatusOK || isHTML(a) {
		return nil
	}
	var out []*url.URL
	var telling []string
	for line := range strings.Lines(string(a.Body[:min(len(a.Body), 32<<10)])) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		value, _, _ = strings.Cut(strings.TrimSpace(value), " ")
		if !strings.EqualFold(name, "disallow") || !strings.HasPrefix(value, "/") || value == "/" || strings.ContainsAny(value, "*$?#") || len(out) == 20 {
			continue
		}
		u, err := w.base.Parse(value)
		if err != nil {
			continue
		}
		out = append(out, u)
		if sensitive(value) {
			telling = append(telling, clip(value, 64))
		}
	}
	if len(telling) > 0 {
		w.sign(Sign{Kind: KindRobots, Method: http.MethodGet, URL: bare(at), Strength: Certain, Proof: "Disallow: " + strings.Join(telling, ", ")})
	}
	return out
}

func sensitive(p string) bool {
	p = strings.ToLower(p)
	for _, word := range []string{"admin", "backup", "private", "secret", "internal", "config", "database", "/db", "dump", "old", "staging", "debug", "hidden", "intranet", "upload", "install"} {
		if strings.Contains(p, word) {
			return true
		}
	}
	return false
}

func clip(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "")
}
