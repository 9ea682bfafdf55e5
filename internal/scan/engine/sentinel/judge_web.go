package sentinel

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/scan/engine/sentinel/banner"
	"assay.dev/assay/internal/scan/finding"
)

// origin returns the location and URL of a web origin. Header findings are the origin's, whichever page showed them:
// a site sets them in one place, and each page would repeat them.
func (j *judge) origin(text, addr string, port int) (at finding.Location, base *url.URL, ok bool) {
	at, ok = j.place(addr, port)
	base, err := url.Parse(text)
	if !ok || port == 0 || err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" {
		j.damaged = true
		return at, nil, false
	}
	at.URL = clip(base.Scheme+"://"+base.Host+"/", maxText)
	return at, base, true
}

// site takes one web origin's answers.
func (j *judge) site(rec siteRecord) {
	at, base, ok := j.origin(rec.URL, rec.Addr, rec.Port)
	if !ok {
		return
	}
	if base.Path == "/" || base.Path == "" {
		j.cover.Of(at.Host).Done(at.Port, rec.Checked)
	} // the answers of one inner page close nothing that was seen at another
	var pages []exchange
	for _, e := range rec.Exchanges[:min(len(rec.Exchanges), 64)] {
		switch e.Name {
		case "page":
			pages = append(pages, e)
		case "cors":
			if e.first("Access-Control-Allow-Origin") == probeOrigin && e.first("Access-Control-Allow-Credentials") == "true" {
				j.add("http-cors-any", at, detail{evidence: "Origin: " + probeOrigin + " was answered with\nAccess-Control-Allow-Origin: " +
					probeOrigin + "\nAccess-Control-Allow-Credentials: true"})
			}
		case "options":
			j.options(e, at)
		case "trace":
			if e.Proof != "" {
				d := at
				d.Method = http.MethodTrace
				j.add("http-trace", d, detail{evidence: e.Proof})
			}
		case "listing":
			if e.Proof != "" {
				d := at
				d.URL = printable(e.URL, maxText)
				j.add("http-listing", d, detail{evidence: e.Proof})
			}
		}
	}
	if len(pages) == 0 {
		return
	}
	j.pages(pages, at, base.Scheme == "https")
	last := pages[len(pages)-1]
	j.saw(asset.KindURL, at.URL, map[string]any{"status": strconv.Itoa(last.Status), "server": printable(last.first("Server"), 128)})
}

// first returns a header's first value.
func (e exchange) first(name string) string {
	if v := e.Headers[name]; len(v) > 0 {
		return v[0]
	}
	return ""
}

// pages judges the way to the page and the page itself.
func (j *judge) pages(pages []exchange, at finding.Location, secure bool) {
	redirected := false
	for _, e := range pages {
		redirected = redirected || e.Status >= 300 && e.Status < 400 && strings.HasPrefix(strings.ToLower(e.first("Location")), "https://")
		j.disclosed(e, at)
		j.cookies(e, at)
	}
	last := pages[len(pages)-1]
	answer := detail{evidence: fmt.Sprintf("%s %s was answered with status %d", last.Method, printable(last.URL, maxText), last.Status)}
	if !secure && !redirected {
		j.add("http-no-https", at, answer)
	}
	if secure && maxAge(last.first("Strict-Transport-Security")) < 86_400 {
		j.header("http-hsts-missing", "strict-transport-security", at, answer)
	}
	if last.Status >= 300 {
		return // redirects and errors show no content worth protecting
	}
	if !strings.EqualFold(strings.TrimSpace(last.first("X-Content-Type-Options")), "nosniff") {
		j.header("http-nosniff-missing", "x-content-type-options", at, answer)
	}
	if !strings.Contains(last.first("Content-Type"), "html") {
		return
	}
	policy := strings.Join(last.Headers["Content-Security-Policy"], "; ")
	if policy == "" {
		j.header("http-csp-missing", "content-security-policy", at, answer)
	}
	if !strings.Contains(policy, "frame-ancestors") && last.first("X-Frame-Options") == "" {
		j.header("http-framing-allowed", "x-frame-options", at, answer)
	}
	if last.first("Referrer-Policy") == "" {
		j.header("http-referrer-missing", "referrer-policy", at, answer)
	}
}

// header adds a finding about a header that isn't there. Its name tells such flaws apart, as other engines do.
func (j *judge) header(id, name string, at finding.Location, d detail) {
	d.discern, d.title = name, j.book[id].Title
	j.add(id, at, d)
}

// maxAge reads the seconds of a Strict-Transport-Security header, -1 where there are none (RFC 6797 section 6.1.1).
func maxAge(header string) int {
	for part := range strings.SplitSeq(header, ";") {
		name, value, ok := strings.Cut(strings.TrimSpace(part), "=")
		if ok && strings.EqualFold(strings.TrimSpace(name), "max-age") {
			if n, err := strconv.Atoi(strings.Trim(strings.TrimSpace(value), `"`)); err == nil {
				return n
			}
		}
	}
	return -1
}

// disclosed looks for versions in the headers that name products.
func (j *judge) disclosed(e exchange, at finding.Location) {
	for _, name := range []string{"Server", "X-Powered-By", "X-Generator", "X-Aspnet-Version", "X-Aspnetmvc-Version"} {
		value := e.first(name)
		if _, v := product(value); v != "" || banner.VersionLike(value) {
			j.add("http-version", at, detail{discern: name, evidence: name + ": " + value})
		}
	}
}

func (j *judge) cookies(e exchange, at finding.Location) {
	for _, line := range e.Headers["Set-Cookie"][:min(len(e.Headers["Set-Cookie"]), 20)] {
		line = maskCookie(line) // as it was written; a hostile file may hold another
		c, err := http.ParseSetCookie(line)
		if err != nil || c.MaxAge < 0 {
			continue
		}
		d := detail{discern: c.Name, evidence: "Set-Cookie: " + line}
		if !c.Secure {
			j.add("http-cookie-insecure", at, d)
		}
		if !c.HttpOnly {
			j.add("http-cookie-script", at, d)
		}
		if c.SameSite != http.SameSiteLaxMode && c.SameSite != http.SameSiteStrictMode && c.SameSite != http.SameSiteNoneMode {
			j.add("http-cookie-samesite", at, d)
		}
	}
}

func (j *judge) options(e exchange, at finding.Location) {
	allowed := strings.ToUpper(strings.Join(slices.Concat(e.Headers["Allow"], e.Headers["Public"]), ","))
	for m := range strings.SplitSeq(allowed, ",") {
		m = strings.TrimSpace(m)
		if slices.Contains([]string{"PUT", "DELETE", "CONNECT", "COPY", "MOVE", "MKCOL", "PROPPATCH", "TRACK"}, m) {
			j.add("http-method", at, detail{discern: m, evidence: "Allow: " + allowed, confidence: finding.Tentative})
		}
	}
}

// filesOf takes what lay open at one origin. A file counts when its content proves its kind, and the answers to paths
// that can't exist neither prove the same nor are the same: so a server that says yes to everything yields nothing.
func (j *judge) filesOf(rec filesRecord) {
	at, base, ok := j.origin(rec.URL, rec.Addr, rec.Port)
	if !ok {
		return
	}
	if len(rec.Control) >= 2 {
		j.cover.Of(at.Host).Done(at.Port, rec.Checked)
	}
	done := map[string]bool{}
	for _, f := range rec.Seen[:min(len(rec.Seen), 256)] {
		if f.Status != http.StatusOK || f.Proof == "" || len(f.Proves) != 1 || len(rec.Control) < 2 {
			continue
		}
		kind := f.Proves[0]
		r, known := j.files[kind]
		echoed := slices.ContainsFunc(rec.Control, func(c fileSeen) bool {
			return c.Digest == f.Digest || slices.Contains(c.Proves, kind)
		})
		if !known || echoed || done[kind] {
			continue
		}
		done[kind] = true // several paths of one kind are one leak
		d := at
		d.URL = clip(base.ResolveReference(&url.URL{Path: printable(f.Path, 128)}).String(), maxText)
		j.add(strings.TrimPrefix(r.ID, prefix), d, detail{evidence: d.URL + "\n" + f.Proof})
	}
}
