package config

import (
	"errors"
	"net/netip"
	"net/url"
	"strings"
)

// ResolverAddresses reads DNS servers, each an IP or IP:port; the port is 53 where none is given.
func ResolverAddresses(list []string) ([]netip.AddrPort, error) {
	var out []netip.AddrPort
	for _, text := range list {
		if a, err := netip.ParseAddr(text); err == nil {
			out = append(out, netip.AddrPortFrom(a, 53))
			continue
		}
		at, err := netip.ParseAddrPort(text)
		if err != nil {
			return nil, errors.New("must be IP addresses, with a port where it isn't 53")
		}
		out = append(out, at)
	}
	return out, nil
}

// Mirrors reads NAME=URL pairs: other addresses of the sources that engines ask.
func Mirrors(list []string) (map[string]*url.URL, error) {
	out := map[string]*url.URL{}
	for _, text := range list {
		name, address, ok := strings.Cut(text, "=")
		u, err := url.Parse(address)
		if !ok || name == "" || err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" || u.User != nil {
			return nil, errors.New("must be NAME=URL pairs with http or https URLs")
		}
		out[name] = u
	}
	return out, nil
}
