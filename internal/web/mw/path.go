package mw

import (
	"net/http"
	"net/url"
	"path"
	"strings"

	"assay.dev/assay/internal/web/problem"
)

// checkPath refuses what a router would redirect or two readers would see differently: empty, dot and dot-dot
// segments, encoded slashes and backslashes, control characters. All are 404: there is nothing at such a path.
func checkPath(r *http.Request) error {
	p := r.URL.Path
	if p == "" || p[0] != '/' || (p != "/" && path.Clean(p) != p) {
		return problem.UnknownRoute()
	}
	for i := range len(p) {
		if p[i] < ' ' || p[i] == 0x7f || p[i] == '\\' {
			return problem.UnknownRoute()
		}
	}
	if raw := r.URL.RawPath; raw != "" && (strings.Contains(raw, "%2F") || strings.Contains(raw, "%2f")) {
		return problem.UnknownRoute()
	}
	return nil
}

// checkQuery refuses a query that can't be read and parameters given more than once, of which readers take different
// ones.
func checkQuery(r *http.Request) error {
	if r.URL.RawQuery == "" {
		return nil
	}
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return problem.Malformed("query", "is not a valid query string")
	}
	for name, v := range values {
		if len(v) > 1 {
			return problem.Malformed("query."+name, "may be given only once")
		}
		if !validText(v[0]) {
			return problem.Malformed("query."+name, "must be UTF-8 without control characters")
		}
	}
	return nil
}
