package asset

import (
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"assay.dev/assay/internal/word/fault"
)

// CanonicalName returns the one text by which an asset of the kind is known, so that what a person writes and what a
// scan sees are the same entry: addresses and names as ParseTarget prints them, services as host:port/proto, other
// kinds as ParseName returns them. A host may also have a name of several words, which no scan will see. A fault is Invalid at "kind" or "name".
func CanonicalName(kind Kind, name string) (string, error) {
	if !slices.Contains(Kinds(), kind) {
		return "", fault.Wrong("kind", "is not a kind of asset; the API document lists them")
	}
	name, err := ParseName("name", name)
	if err != nil {
		return "", err
	}
	var typ TargetType
	switch kind {
	case KindHost:
		if strings.ContainsRune(name, ' ') {
			return name, nil // what people call it; no address and no name that resolves holds a blank
		}
		typ = TypeHost
	case KindDomain:
		typ = TypeDomain
	case KindURL:
		typ = TypeURL
	case KindImage:
		typ = TypeImage
	case KindService:
		return canonicalService(name)
	case KindRepository:
		if !strings.Contains(name, "://") {
			return name, nil // owner/name, as forges and evidence packs call it
		}
		typ = TypeRepository
	case KindVault, KindSecret, KindKey, KindCertificate, KindApp, KindCloud:
		return name, nil
	}
	t, err := ParseTarget(name, typ)
	if err != nil {
		return "", fault.Wrong("name", messageOf(err))
	}
	if len(t.String()) > MaxName {
		return "", fault.Wrong("name", "is too long; at most 255 characters")
	}
	return t.String(), nil
}

// canonicalService reads host:port or host:port/proto; the protocol is tcp where it isn't said.
func canonicalService(name string) (string, error) {
	bad := fault.Wrong("name", "is not a service; give one such as www.example.org:443/tcp")
	place, proto, found := strings.Cut(name, "/")
	if !found {
		proto = "tcp"
	}
	if proto != "tcp" && proto != "udp" && proto != "sctp" {
		return "", bad
	}
	host, port, err := net.SplitHostPort(place)
	if err != nil {
		return "", bad
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return "", bad
	}
	t, err := ParseTarget(host, TypeHost)
	if err != nil {
		return "", bad
	}
	return ServiceName(t.String(), int(n), proto), nil
}

// ServiceName returns the canonical name of a service asset: host:port/proto, an IPv6 address in brackets.
func ServiceName(host string, port int, proto string) string {
	if a, err := netip.ParseAddr(host); err == nil {
		host = a.Unmap().String()
	}
	return net.JoinHostPort(host, strconv.Itoa(port)) + "/" + proto
}
