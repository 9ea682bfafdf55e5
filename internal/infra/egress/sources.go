package egress

import (
	"net/http"
	"net/url"
	"strings"
)

// Sources is an http.RoundTripper that asks the named third parties and nobody else: requests go to the scheme, host
// and port of one of the bases, below its path, over Transport's policy. It is safe for concurrent use.
type Sources struct {
	to    http.RoundTripper
	bases []*url.URL
}

// NewSources returns a round tripper for the bases. A base without scheme or host admits nothing.
func NewSources(to http.RoundTripper, bases ...*url.URL) *Sources {
	return &Sources{to: to, bases: bases}
}

// RoundTrip implements http.RoundTripper. What no base admits is a Forbidden fault.
func (s *Sources) RoundTrip(r *http.Request) (*http.Response, error) {
	for _, b := range s.bases {
		if b.Scheme != "" && b.Host != "" && r.URL.Scheme == b.Scheme && strings.EqualFold(r.URL.Host, b.Host) && below(r.URL, b) {
			return s.to.RoundTrip(r)
		}
	}
	return nil, closeBody(r, refused("it is not one of the sources that this engine asks"))
}

// below reports whether the URL's path lies under the base's, judged on the decoded path without dot segments.
func below(u, base *url.URL) bool {
	root := strings.TrimSuffix(base.Path, "/") + "/"
	return root == "/" || strings.HasPrefix(u.JoinPath().Path+"/", root)
}
