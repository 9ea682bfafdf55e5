package sentinel

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"assay.dev/assay/internal/scan/engine/sentinel/crawl"
	"assay.dev/assay/internal/scan/engine/sentinel/rule"
)

// Bounds of the HTTP probes.
const (
	maxBody      = 64 << 10
	maxPage      = 256 << 10 // of a page that is read for links and reflections
	maxRedirects = 3
	maxListings  = 12
	siteParallel = 4
	userAgent    = "Assay-Sentinel/1.0"
)

// probeOrigin is the foreign origin that the CORS check claims to be; .invalid names nobody (RFC 2606).
const probeOrigin = "https://sentinel.invalid"

// site is one web origin under probe.
type site struct {
	r      *run
	at     netip.AddrPort
	base   *url.URL // the page to begin with
	client *http.Client
	close  func()
}

// newSite returns the origin at an open port. Every connection goes to at, whatever name the request carries, and no
// redirect is followed by itself.
func (r *run) newSite(at netip.AddrPort, secure bool) *site {
	base := r.req.Target.URL()
	if base == nil || r.req.Target.Port() != int(at.Port()) {
		base = &url.URL{Scheme: "http", Host: strings.TrimSuffix(r.hostHeader(at), ":80"), Path: "/"}
		if secure {
			base.Scheme, base.Host = "https", strings.TrimSuffix(r.hostHeader(at), ":443")
		}
	}
	cfg := permissive()
	cfg.ServerName = r.req.Target.Host()
	cfg.InsecureSkipVerify = true
	tr := &http.Transport{
		Proxy: nil, // the scan's dialer is the only way out
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return r.env.Dial.DialContext(ctx, "tcp", at.String())
		},
		TLSClientConfig:        cfg,
		TLSHandshakeTimeout:    2 * r.depth.patience,
		ResponseHeaderTimeout:  2*r.depth.patience + r.depth.listen,
		MaxResponseHeaderBytes: 64 << 10,
		MaxIdleConnsPerHost:    siteParallel,
		MaxConnsPerHost:        siteParallel,
		IdleConnTimeout:        5 * time.Second,
		DisableCompression:     true,
	}
	return &site{r: r, at: at, base: base, close: tr.CloseIdleConnections, client: &http.Client{
		Transport:     tr,
		Timeout:       4*r.depth.patience + 2*r.depth.listen,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// answered is one response, read as far as the bound.
type answered struct {
	status  int
	headers http.Header
	body    []byte
}

// send makes one request. extra are headers of the check; the order's own headers go along unless bare, because an
// answer that echoes a request must not hold them.
func (s *site) send(ctx context.Context, method string, at *url.URL, extra map[string]string, bare bool) (answered, bool) {
	req, err := http.NewRequestWithContext(ctx, method, at.String(), nil)
	if err != nil {
		return answered{}, false
	}
	return s.do(req, extra, bare, maxBody)
}

// ask makes one request of a crawl.
func (s *site) ask(ctx context.Context, r crawl.Request) (crawl.Answer, bool) {
	var body io.Reader
	extra := map[string]string{}
	if r.Method == http.MethodPost {
		body = strings.NewReader(r.Form.Encode())
		extra["Content-Type"] = "application/x-www-form-urlencoded"
	}
	req, err := http.NewRequestWithContext(ctx, r.Method, r.URL.String(), body)
	if err != nil {
		return crawl.Answer{}, false
	}
	a, ok := s.do(req, extra, false, maxPage)
	return crawl.Answer{Status: a.status, Header: a.headers, Body: a.body}, ok
}

// do sends a request within the pace and reads the answer as far as the bound.
func (s *site) do(req *http.Request, extra map[string]string, bare bool, bound int64) (answered, bool) {
	if !s.r.pace.Wait(req.Context()) {
		return answered{}, false
	}
	req.Header.Set("User-Agent", userAgent)
	if ua := s.r.req.Config.UserAgent; ua != "" {
		req.Header.Set("User-Agent", ua)
	}
	if !bare {
		for _, h := range s.r.req.Config.Headers {
			req.Header.Set(h.Name, h.Value.Reveal())
		}
	}
	for name, value := range extra {
		req.Header.Set(name, value)
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return answered{}, false
	}
	defer func() { _ = resp.Body.Close() }()
	body, _ := io.ReadAll(io.LimitReader(resp.Body, bound)) // a body that breaks off is judged by what came
	return answered{status: resp.StatusCode, headers: resp.Header, body: s.scrub(body)}, true
}

// scrub takes the order's own header values out of a body that echoes them.
func (s *site) scrub(body []byte) []byte {
	for _, h := range s.r.req.Config.Headers {
		if v := h.Value.Reveal(); len(v) >= 4 {
			body = bytes.ReplaceAll(body, []byte(v), []byte("[redacted]"))
		}
	}
	return body
}

// exchange turns an answer into what is kept of it.
func (s *site) exchange(name, method string, at *url.URL, a answered, proof string) exchange {
	e := exchange{Name: name, Method: method, URL: bareURL(at), Status: a.status, Headers: map[string][]string{}}
	e.Proof = printable(proof, maxText)
	for _, name := range keptHeaders() {
		for i, v := range a.headers.Values(name) {
			if i == 20 {
				break
			}
			if name == "Set-Cookie" {
				v = maskCookie(v)
			}
			e.Headers[name] = append(e.Headers[name], printable(string(s.scrub([]byte(v))), maxText))
		}
	}
	return e
}

// keptHeaders are the answer's headers that some check reads.
func keptHeaders() []string {
	return []string{
		"Access-Control-Allow-Credentials", "Access-Control-Allow-Origin", "Allow", "Content-Security-Policy",
		"Content-Type", "Location", "Public", "Referrer-Policy", "Server", "Set-Cookie", "Strict-Transport-Security",
		"X-Aspnet-Version", "X-Aspnetmvc-Version", "X-Content-Type-Options", "X-Frame-Options", "X-Generator", "X-Powered-By",
	}
}

// maskCookie keeps a cookie's name and attributes.
func maskCookie(v string) string {
	pair, attributes, more := strings.Cut(v, ";")
	name, _, ok := strings.Cut(pair, "=")
	if !ok {
		return "[masked]"
	}
	if more {
		return name + "=[masked];" + attributes
	}
	return name + "=[masked]"
}

// bareURL is a URL without query: queries of redirects carry tokens.
func bareURL(u *url.URL) string {
	c := *u
	c.RawQuery, c.Fragment, c.User = "", "", nil
	return clip(c.String(), maxText)
}

// probeHTTP asks one origin. Each check that was answered throughout is named in Checked.
func (r *run) probeHTTP(ctx context.Context, s *site) siteRecord {
	rec := siteRecord{URL: bareURL(s.base), Addr: s.at.Addr().String(), Port: int(s.at.Port())}
	page, ok := s.follow(ctx, &rec)
	if !ok {
		return rec
	}
	rec.Checked = append(rec.Checked, rule.CheckHeaders)
	if !r.depth.thorough {
		return rec
	}
	if a, ok := s.send(ctx, http.MethodGet, s.base, map[string]string{"Origin": probeOrigin}, false); ok {
		rec.Exchanges = append(rec.Exchanges, s.exchange("cors", http.MethodGet, s.base, a, ""))
		rec.Checked = append(rec.Checked, rule.CheckCORS)
	}
	if s.methods(ctx, &rec) {
		rec.Checked = append(rec.Checked, rule.CheckMethods)
	}
	if s.listings(ctx, &rec, page) {
		rec.Checked = append(rec.Checked, rule.CheckListing)
	}
	return rec
}

// follow gets the page, along redirects that stay at the origin, and records each step as "page". What is behind a
// redirect elsewhere is another target.
func (s *site) follow(ctx context.Context, rec *siteRecord) (page answered, ok bool) {
	at := s.base
	for range maxRedirects + 1 {
		if page, ok = s.send(ctx, http.MethodGet, at, nil, false); !ok {
			return page, false
		}
		rec.Exchanges = append(rec.Exchanges, s.exchange("page", http.MethodGet, at, page, ""))
		next, err := at.Parse(page.headers.Get("Location"))
		if page.status < 300 || page.status > 399 || err != nil || next.Scheme != s.base.Scheme || next.Host != s.base.Host {
			return page, true
		}
		at = next
	}
	return page, true
}

// methods asks for the allowed methods and really sends a TRACE. Methods that change something are never tried.
func (s *site) methods(ctx context.Context, rec *siteRecord) bool {
	a, ok := s.send(ctx, http.MethodOptions, s.base, nil, false)
	if !ok {
		return false
	}
	rec.Exchanges = append(rec.Exchanges, s.exchange("options", http.MethodOptions, s.base, a, ""))
	token := s.r.token()
	a, ok = s.send(ctx, http.MethodTrace, s.base, map[string]string{"X-Sentinel": token}, true)
	if !ok {
		return false
	}
	var proof string
	if a.status == http.StatusOK && bytes.Contains(a.body, []byte(token)) && bytes.HasPrefix(a.body, []byte("TRACE ")) {
		proof = "the request came back with its headers"
	}
	rec.Exchanges = append(rec.Exchanges, s.exchange("trace", http.MethodTrace, s.base, a, proof))
	return true
}

// listings looks for directory listings in common folders and in those that the page links to.
func (s *site) listings(ctx context.Context, rec *siteRecord, page answered) bool {
	complete := true
	for _, dir := range folders(page.body, s.base) {
		at := s.base.ResolveReference(&url.URL{Path: dir})
		a, ok := s.send(ctx, http.MethodGet, at, nil, false)
		if !ok {
			complete = false
			continue
		}
		if proof := listing(a.body); a.status == http.StatusOK && proof != "" {
			rec.Exchanges = append(rec.Exchanges, s.exchange("listing", http.MethodGet, at, a, proof))
		}
	}
	return complete
}

// folders returns what is tried: folders that the page links to first, then the usual names, at most maxListings.
func folders(page []byte, base *url.URL) []string {
	var out []string
	add := func(p string) {
		if len(out) < maxListings && strings.HasPrefix(p, "/") && strings.HasSuffix(p, "/") && p != "/" && p != base.Path &&
			len(p) < 128 && !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	rest := string(page)
	for range 200 {
		var ok bool
		if _, rest, ok = strings.Cut(rest, "href=\""); !ok {
			break
		}
		link, _, _ := strings.Cut(rest, "\"")
		u, err := base.Parse(link)
		if err == nil && u.Host == base.Host && u.Scheme == base.Scheme && len(out) < maxListings/2 {
			add(u.Path[:strings.LastIndexByte(u.Path, '/')+1])
		}
	}
	for _, p := range []string{"/files/", "/uploads/", "/images/", "/backup/", "/static/", "/assets/", "/data/", "/tmp/", "/logs/"} {
		add(p)
	}
	return out
}

// listing returns the words by which Apache, nginx, IIS, Python and others title a listing, "" where there are none.
func listing(body []byte) string {
	text := string(body)
	for _, mark := range []string{
		"<title>Index of /", "<h1>Index of /", "<title>Directory listing for /", "[To Parent Directory]",
		"<title>Directory: /", "<h1>Directory listing for /",
	} {
		if strings.Contains(text, mark) && strings.Contains(text, "href=") {
			return strings.Trim(mark, "<>")
		}
	}
	return ""
}

// token derives a text that no server says by itself, the same for every run of one target.
func (r *run) token() string {
	sum := sha256.Sum256([]byte("sentinel|" + r.req.Target.String()))
	return hex.EncodeToString(sum[:6])
}
