package mw

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// ClientAddr is the one function that says who the client is: the peer, unless the peer is a trusted proxy. Then it is
// the rightmost address of X-Forwarded-For that isn't one. A header that can't be read stops the walk at what is known.
func ClientAddr(r *http.Request, trusted []netip.Prefix) netip.Addr {
	peer := peerAddr(r)
	if !within(peer, trusted) {
		return peer
	}
	chain := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	client := peer
	for _, element := range slices.Backward(chain) {
		addr, ok := forwarded(element)
		if !ok {
			return client
		}
		client = addr
		if !within(addr, trusted) {
			return client
		}
	}
	return client
}

// Secure reports whether the request came in over TLS, here or, as a trusted proxy says, there.
func Secure(r *http.Request, trusted []netip.Prefix) bool {
	if r.TLS != nil {
		return true
	}
	return r.Header.Get("X-Forwarded-Proto") == "https" && within(peerAddr(r), trusted)
}

func peerAddr(r *http.Request) netip.Addr {
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap().WithZone("")
}

// forwarded reads one element, with or without a port.
func forwarded(s string) (netip.Addr, bool) {
	s = strings.TrimSpace(s)
	if addr, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
		return addr.Unmap().WithZone(""), true
	}
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return ap.Addr().Unmap().WithZone(""), true
	}
	return netip.Addr{}, false
}

func within(addr netip.Addr, prefixes []netip.Prefix) bool {
	for _, p := range prefixes {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}
