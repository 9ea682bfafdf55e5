package egress

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"assay.dev/assay/internal/word/fault"
)

// Source is one third party: where engines and their programs believe it to be, and where it is really asked, which is
// another place only where the operator has set a mirror.
type Source struct {
	Public *url.URL
	Asked  *url.URL
}

// Mirrored is an http.RoundTripper that sends requests for a source to where it is asked. What belongs to no source
// passes unchanged: Sources decides what may pass. It is safe for concurrent use.
type Mirrored struct {
	to      http.RoundTripper
	sources []Source
}

// NewMirrored returns a round tripper before to.
func NewMirrored(to http.RoundTripper, sources []Source) *Mirrored {
	return &Mirrored{to: to, sources: slices.Clone(sources)}
}

// RoundTrip implements http.RoundTripper. The request itself is not changed.
func (m *Mirrored) RoundTrip(r *http.Request) (*http.Response, error) {
	for _, s := range m.sources {
		if r.URL.Scheme != s.Public.Scheme || !strings.EqualFold(r.URL.Host, s.Public.Host) || !below(r.URL, s.Public) {
			continue
		}
		if *s.Public == *s.Asked {
			break
		}
		out := r.Clone(r.Context())
		rest := strings.TrimPrefix(r.URL.JoinPath().Path, strings.TrimSuffix(s.Public.Path, "/"))
		out.URL.Scheme, out.URL.Host, out.Host = s.Asked.Scheme, s.Asked.Host, ""
		out.URL.Path, out.URL.RawPath = strings.TrimSuffix(s.Asked.Path, "/")+"/"+strings.TrimPrefix(rest, "/"), ""
		return m.to.RoundTrip(out)
	}
	return m.to.RoundTrip(r)
}

// SourceDialer connects programs to the sources of their run, under Transport's policy: public addresses, or what the
// operator allows. It knows a source by its public host and port, exactly, and nothing else. It is safe for concurrent
// use.
type SourceDialer struct {
	sources []Source
	guard   func(plain bool) guard
}

// NewSourceDialer returns a dialer of the sources under the policy of t.
func NewSourceDialer(t *Transport, sources []Source) *SourceDialer {
	return &SourceDialer{sources: slices.Clone(sources), guard: func(plain bool) guard {
		return guard{cfg: t.policy, plain: plain, connect: connect}
	}}
}

// Knows reports whether "host:port" is a source's.
func (d *SourceDialer) Knows(address string) bool {
	_, ok := d.find(address)
	return ok
}

// DialContext connects to the source behind "host:port", at its mirror where it has one. Anything else is a Forbidden
// fault, and so is a source whose name leads to an address that the policy doesn't let out.
func (d *SourceDialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	s, ok := d.find(address)
	if !ok {
		return nil, refused("it is not one of the sources that this scan asks")
	}
	at := hostPort(s.Asked)
	if at == "" {
		return nil, fault.New(fault.Internal, fault.CodeInternal, "a source has no address")
	}
	return d.guard(s.Asked.Scheme == "http").dial(ctx, network, at)
}

func (d *SourceDialer) find(address string) (Source, bool) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return Source{}, false
	}
	wanted := net.JoinHostPort(strings.ToLower(strings.TrimSuffix(host, ".")), port)
	for _, s := range d.sources {
		if at := hostPort(s.Public); at != "" && at == wanted {
			return s, true
		}
	}
	return Source{}, false
}

// hostPort returns a URL's host in lower case and its port, its scheme's where it names none.
func hostPort(u *url.URL) string {
	port := u.Port()
	switch {
	case port != "":
	case u.Scheme == "https":
		port = "443"
	case u.Scheme == "http":
		port = "80"
	}
	if u.Hostname() == "" || port == "" {
		return ""
	}
	return net.JoinHostPort(strings.ToLower(u.Hostname()), port)
}
