package asset

import (
	"net/netip"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"

	"assay.dev/assay/internal/word/fault"
)

// TargetType is the kind of thing a scan looks at (scans.md section 2, decisions C2).
type TargetType string

// Target types.
const (
	TypeHost       TargetType = "host"
	TypeURL        TargetType = "url"
	TypeDomain     TargetType = "domain"
	TypeIP         TargetType = "ip"
	TypeNetwork    TargetType = "network"
	TypeImage      TargetType = "image"
	TypeRepository TargetType = "repository"
	TypeFilesystem TargetType = "filesystem"
)

// MaxNetwork is the largest number of addresses that a network target may hold.
const MaxNetwork = 4096

// maxTarget bounds a target's text; a URL of this length is already a mistake.
const maxTarget = 2048

// Target is a parsed target. It is only made by ParseTarget, so whoever holds one knows that it has no leading '-',
// no control characters, no userinfo and no scheme but http or https, and that Canonical may stand on a command line.
type Target struct {
	typ     TargetType
	host    string       // lower-case ASCII (punycode) name; empty for address targets
	addr    netip.Addr   // for ip, and for urls and hosts given by address
	network netip.Prefix // for network
	url     *url.URL     // for url
	text    string       // canonical text of the others
}

// Type returns the target's type; the zero Target has none.
func (t Target) Type() TargetType { return t.typ }

// Host returns the name to resolve: of an image its registry, of a repository its server. It is empty where the target
// is or is given by an address, is a network, or is a folder.
func (t Target) Host() string { return t.host }

// Addr returns the address of a target given by address, unmapped; the zero Addr otherwise.
func (t Target) Addr() netip.Addr { return t.addr }

// Network returns the prefix of a network target; the zero Prefix otherwise.
func (t Target) Network() netip.Prefix { return t.network }

// URL returns a copy of a url target's URL, nil otherwise.
func (t Target) URL() *url.URL {
	if t.url == nil {
		return nil
	}
	u := *t.url
	return &u
}

// String returns the canonical text, which ParseTarget reads back to the same target.
func (t Target) String() string { return t.text }

// Port returns the port of a url target (its own or its scheme's), 0 otherwise.
func (t Target) Port() int {
	if t.url == nil {
		return 0
	}
	return urlPort(t.url)
}

// MarshalText implements encoding.TextMarshaler with the canonical text.
func (t Target) MarshalText() ([]byte, error) { return []byte(t.text), nil }

// ParseTarget reads a target of the given type; an empty type is inferred (network, then ip, url, and names as
// host). Image, repository and filesystem are never inferred: an engine that takes them says so by its own types. Faults
// are Invalid, name the field "target" or "targetType", and never repeat the text.
func ParseTarget(text string, typ TargetType) (Target, error) {
	if err := plain(text); err != nil {
		return Target{}, err
	}
	if typ == "" {
		typ = infer(text)
	}
	switch typ {
	case TypeURL:
		return parseURL(text)
	case TypeIP:
		a, err := netip.ParseAddr(text)
		if err != nil || a.Zone() != "" {
			return Target{}, fault.Wrong("target", "is not an IP address; give one such as 192.0.2.7 or 2001:db8::7, without a zone")
		}
		return ofAddr(TypeIP, a), nil
	case TypeNetwork:
		return parseNetwork(text)
	case TypeHost, TypeDomain:
		return parseName(text, typ)
	case TypeImage:
		return parseImage(text)
	case TypeRepository:
		return parseRepository(text)
	case TypeFilesystem:
		return parseFolder(text)
	}
	return Target{}, fault.Wrong("targetType", "must be one of host, url, domain, ip, network, image, repository, filesystem")
}

func plain(text string) error {
	switch {
	case text == "":
		return fault.Wrong("target", "is required")
	case len(text) > maxTarget:
		return fault.Wrong("target", "is too long; at most 2,048 bytes")
	case text[0] == '-':
		return fault.Wrong("target", "must not begin with '-'")
	}
	for _, r := range text {
		if r == utf8.RuneError || r == '\\' || unicode.IsSpace(r) || unicode.Is(unicode.C, r) {
			return fault.Wrong("target", "must not hold white space, control or invisible characters, or backslashes")
		}
	}
	return nil
}

func infer(text string) TargetType {
	if strings.Contains(text, "://") {
		return TypeURL
	}
	if _, err := netip.ParsePrefix(text); err == nil {
		return TypeNetwork
	}
	if _, err := netip.ParseAddr(text); err == nil {
		return TypeIP
	}
	return TypeHost
}

func ofAddr(typ TargetType, a netip.Addr) Target {
	a = a.Unmap()
	return Target{typ: typ, addr: a, text: a.String()}
}

func parseNetwork(text string) (Target, error) {
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return Target{}, fault.Wrong("target", "is not a network; give CIDR notation such as 192.0.2.0/24")
	}
	if p.Addr().Is4In6() {
		return Target{}, fault.Wrong("target", "is an IPv4 network in IPv6 clothing; give it as IPv4")
	}
	p = p.Masked()
	if p.Addr().BitLen()-p.Bits() > 12 {
		return Target{}, fault.Wrong("target", "holds more than 4,096 addresses; split it, or give a longer prefix (/20 for IPv4, /116 for IPv6)")
	}
	return Target{typ: TypeNetwork, network: p, text: p.String()}, nil
}

// hostProfile maps a name as browsers do (UTS #46), then checks letters, digits, hyphens and lengths.
func hostProfile() *idna.Profile {
	return idna.New(idna.MapForLookup(), idna.BidiRule(), idna.StrictDomainName(true), idna.VerifyDNSLength(true))
}

func parseName(text string, typ TargetType) (Target, error) {
	if a, err := netip.ParseAddr(text); err == nil && typ == TypeHost {
		if a.Zone() != "" {
			return Target{}, fault.Wrong("target", "must not name an address zone")
		}
		return ofAddr(TypeHost, a), nil
	}
	name, err := canonicalName(text)
	if err != nil {
		return Target{}, err
	}
	if typ == TypeDomain && !strings.Contains(name, ".") {
		return Target{}, fault.Wrong("target", "is not a domain; give one such as example.org")
	}
	return Target{typ: typ, host: name, text: name}, nil
}

// canonicalName returns a host name in lower-case ASCII without the trailing dot. Names that a resolver or an engine
// would read as an address (127.1, 0x7f000001, 2130706433) are refused: the scope check would see another host than
// the engine does.
func canonicalName(text string) (string, error) {
	name, err := hostProfile().ToASCII(strings.TrimSuffix(text, "."))
	if err != nil || name == "" {
		return "", fault.Wrong("target", "is not a host name; give one such as www.example.org")
	}
	name = strings.TrimSuffix(name, ".") // one that was written in another script
	// A name whose mapping isn't its own mapping (a broken punycode label) would be another name to whoever maps again.
	if again, err := hostProfile().ToASCII(name); err != nil || again != name || name == "" || name[0] == '-' {
		return "", fault.Wrong("target", "is not a host name; give one such as www.example.org")
	}
	if last := name[strings.LastIndexByte(name, '.')+1:]; numeric(last) {
		return "", fault.Wrong("target", "looks like an address but isn't one in dotted-decimal or IPv6 notation")
	}
	return name, nil
}

// numeric reports whether a resolver could read the last label of a name as a number: no top-level domain begins with a
// digit (RFC 3696 section 2), every notation of an IPv4 address does.
func numeric(last string) bool { return last == "" || (last[0] >= '0' && last[0] <= '9') }
