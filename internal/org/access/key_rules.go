package access

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/word/fault"
)

// Bounds of a key's fields (decisions G3, G6).
const (
	MaxKeyName        = 255
	MaxKeyDescription = 2000
	MaxKeyAddresses   = 100
	MaxExpiresInDays  = 3650
	DefaultGraceHours = 24
	MaxGraceHours     = 168
)

const day = 24 * time.Hour

// wrongs gathers all wrong places of an input, so that a caller mends them in one go.
type wrongs struct{ fault *fault.Error }

func (w *wrongs) add(location, message string) {
	if w.fault == nil {
		w.fault = fault.Wrong(location, message)
		return
	}
	w.fault = w.fault.With(location, message)
}

func (w *wrongs) err() error {
	if w.fault == nil {
		return nil
	}
	return w.fault
}

func at(list string, i int) string { return list + "[" + strconv.Itoa(i) + "]" }

// text checks a one-line or, with breaks, a longer text.
func (w *wrongs) text(location, s string, limit int, breaks bool) {
	switch {
	case !utf8.ValidString(s):
		w.add(location, "must be valid UTF-8")
	case utf8.RuneCountInString(s) > limit:
		w.add(location, "must have at most "+strconv.Itoa(limit)+" characters")
	case strings.ContainsFunc(s, func(r rune) bool {
		return unicode.IsControl(r) && (!breaks || !strings.ContainsRune("\n\t\r", r))
	}):
		w.add(location, "must not hold control characters")
	}
}

func (w *wrongs) name(s string) {
	if strings.TrimSpace(s) == "" {
		w.add("name", "is required")
		return
	}
	w.text("name", s, MaxKeyName, false)
}

// scopes returns the sorted set of the named scopes.
func (w *wrongs) scopes(names []string) Scopes {
	if len(names) == 0 {
		w.add("scopes", "must name at least one scope")
	}
	out := make(Scopes, 0, len(names))
	for i, n := range names {
		if !KnownScope(Scope(n)) {
			w.add(at("scopes", i), "is not a scope of this server")
			continue
		}
		out = append(out, Scope(n))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// engines returns the sorted set of the named engines; empty stands for all.
func (w *wrongs) engines(names, known []string) []string {
	out := make([]string, 0, len(names))
	for i, n := range names {
		if !slices.Contains(known, n) {
			w.add(at("allowedScanTypes", i), "is not a scan type of this server")
			continue
		}
		out = append(out, n)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// addresses returns the named addresses and CIDR blocks in canonical form, without repetition; empty stands for any.
func (w *wrongs) addresses(texts []string) []netip.Prefix {
	if len(texts) > MaxKeyAddresses {
		w.add("allowedIpAddresses", "must have at most "+strconv.Itoa(MaxKeyAddresses)+" entries")
		return nil
	}
	out := make([]netip.Prefix, 0, len(texts))
	for i, t := range texts {
		p, ok := ParseAddress(t)
		if !ok {
			w.add(at("allowedIpAddresses", i), "must be an IP address or a CIDR block, such as 192.0.2.7 or 2001:db8::/32")
			continue
		}
		if !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	return out
}

// ParseAddress reads one entry of an allow-list: an IP address or a CIDR block. Bits beyond a block's length are
// cleared and IPv4 written as IPv6 becomes IPv4, so that equal blocks are equal. Zones are refused.
func ParseAddress(s string) (netip.Prefix, bool) {
	if !strings.Contains(s, "/") {
		a, err := netip.ParseAddr(s)
		if err != nil || a.Zone() != "" {
			return netip.Prefix{}, false
		}
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), true
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, false
	}
	if p.Addr().Is4In6() {
		if p.Bits() < 96 {
			return netip.Prefix{}, false
		}
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p.Masked(), true
}

func (w *wrongs) days(n int) {
	if n < 1 || n > MaxExpiresInDays {
		w.add("expiresInDays", "must be between 1 and "+strconv.Itoa(MaxExpiresInDays))
	}
}

// window checks one window of a key against its ceiling; 0 stands for no window where none is allowed.
func (w *wrongs) window(location string, n, ceiling int) {
	switch {
	case ceiling == 0 && n < 0:
		w.add(location, "must be 0, for no window, or more")
	case ceiling > 0 && (n < 1 || n > ceiling):
		w.add(location, "must be between 1 and "+strconv.Itoa(ceiling))
	}
}

// MaxWindowsFor returns the highest windows that the actor may give a key: the documented maxima times the operator's
// ceiling. All 0 means that keys may be without windows (the operator, under a ceiling of 0).
func (s *Service) MaxWindowsFor(a Actor) Windows {
	if s.ceiling == 0 && a.Kind == audit.ActorOperator {
		return Windows{}
	}
	m, by := MaxWindows(), max(s.ceiling, 1)
	return Windows{PerMinute: m.PerMinute * by, PerHour: m.PerHour * by, PerDay: m.PerDay * by}
}

// bounds are the rights that an actor can hand on.
type bounds struct {
	scopes    Scopes
	engines   []string
	addresses []netip.Prefix
	windows   Windows
	expires   time.Time
}

// boundsOf returns what keys made or changed by the actor may hold at most: a key its own restrictions, a user the
// scopes of the role, the operator everything.
func boundsOf(a Actor) bounds {
	b := bounds{scopes: a.Scopes}
	if a.Key != nil {
		b.engines, b.addresses, b.windows, b.expires = a.Key.Engines, a.Key.Addresses, a.Key.Windows, a.Key.ExpiresAt
	}
	return b
}

// allow reports, as one Forbidden fault that names every such field, where k holds more than the bounds.
func (b bounds) allow(k Key) error {
	f := fault.New(fault.Forbidden, fault.CodeForbidden, "a key can't hold more than whoever creates, changes or rotates it")
	beyond := func(bad bool, location, message string) {
		if bad {
			f = f.With(location, message)
		}
	}
	beyond(!b.scopes.Covers(k.Scopes), "scopes", "name a scope that you don't hold")
	beyond(!within(b.engines, k.Engines), "allowedScanTypes", "must be some of your own")
	beyond(!addressesWithin(b.addresses, k.Addresses), "allowedIpAddresses", "must lie within your own")
	beyond(!windowWithin(b.windows.PerMinute, k.Windows.PerMinute), "rateLimitPerMinute", "must not be above your own")
	beyond(!windowWithin(b.windows.PerHour, k.Windows.PerHour), "rateLimitPerHour", "must not be above your own")
	beyond(!windowWithin(b.windows.PerDay, k.Windows.PerDay), "rateLimitPerDay", "must not be above your own")
	beyond(!b.expires.IsZero() && (k.ExpiresAt.IsZero() || k.ExpiresAt.After(b.expires)), "expiresInDays", "must not be later than your own end")
	if len(f.Fields) == 0 {
		return nil
	}
	return f
}

func within(own, wanted []string) bool {
	if len(own) == 0 {
		return true
	}
	for _, w := range wanted {
		if !slices.Contains(own, w) {
			return false
		}
	}
	return len(wanted) > 0
}

func addressesWithin(own, wanted []netip.Prefix) bool {
	if len(own) == 0 {
		return true
	}
	for _, w := range wanted {
		if !slices.ContainsFunc(own, func(o netip.Prefix) bool { return o.Bits() <= w.Bits() && o.Contains(w.Addr()) }) {
			return false
		}
	}
	return len(wanted) > 0
}

func windowWithin(own, wanted int) bool { return own == 0 || (wanted > 0 && wanted <= own) }
