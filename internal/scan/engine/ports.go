package engine

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"assay.dev/assay/internal/word/fault"
)

// MaxPortRanges is the most ranges that a port list may be written with.
const MaxPortRanges = 100

// maxPortsText bounds a port list's text: MaxPortRanges of the longest range and their commas.
const maxPortsText = MaxPortRanges * len("65535-65535,")

// PortRange is an inclusive range of port numbers, 1 ≤ From ≤ To ≤ 65535.
type PortRange struct {
	From int
	To   int
}

// Ports is a parsed list of TCP or UDP ports in canonical form: ascending, not overlapping, neighbours merged. It is
// made by ParsePorts or PortsOf and read-only from then on. An empty list means no port.
type Ports []PortRange

// ParsePorts reads "22,80,1000-2000": at most MaxPortRanges ports and ranges within 1–65535, in any order, overlaps
// allowed, no white space. A fault is Invalid, names the field and never repeats the text.
func ParsePorts(field, text string) (Ports, error) {
	if text == "" {
		return nil, fault.Wrong(field, "is empty; give ports and ranges such as 22,80,1000-2000")
	}
	if len(text) > maxPortsText || strings.Count(text, ",") >= MaxPortRanges {
		return nil, fault.Wrong(field, "is too long; at most 100 ports and ranges")
	}
	var ranges []PortRange
	for part := range strings.SplitSeq(text, ",") {
		from, to, isRange := strings.Cut(part, "-")
		if !isRange {
			to = from
		}
		r := PortRange{From: portOf(from), To: portOf(to)}
		if r.From == 0 || r.To == 0 || r.From > r.To {
			return nil, fault.Wrong(field, "is not a port list; give ports and ascending ranges within 1–65535, such as 22,80,1000-2000")
		}
		ranges = append(ranges, r)
	}
	return merged(ranges), nil
}

// PortsOf returns the canonical list of the given ports; numbers outside 1–65535 are left out.
func PortsOf(ports ...int) Ports {
	ranges := make([]PortRange, 0, len(ports))
	for _, p := range ports {
		if p >= 1 && p <= 65535 {
			ranges = append(ranges, PortRange{From: p, To: p})
		}
	}
	return merged(ranges)
}

// portOf reads a port in plain decimal, 0 where it isn't one: signs, leading zeros and spaces are refused, since
// engines differ in how they read them.
func portOf(s string) int {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || s[0] == '0' || s[0] == '+' {
		return 0
	}
	return int(n)
}

func merged(ranges []PortRange) Ports {
	slices.SortFunc(ranges, func(a, b PortRange) int { return cmp.Or(a.From-b.From, a.To-b.To) })
	var out Ports
	for _, r := range ranges {
		if n := len(out); n > 0 && r.From <= out[n-1].To+1 {
			out[n-1].To = max(out[n-1].To, r.To)
			continue
		}
		out = append(out, r)
	}
	return out
}

// String returns the canonical text, which ParsePorts reads back to the same list unless it holds more than
// MaxPortRanges ranges (Without may split some).
func (p Ports) String() string {
	var b strings.Builder
	for i, r := range p {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.Itoa(r.From))
		if r.To > r.From {
			b.WriteByte('-')
			b.WriteString(strconv.Itoa(r.To))
		}
	}
	return b.String()
}

// Count returns the number of ports, 0–65535.
func (p Ports) Count() int {
	n := 0
	for _, r := range p {
		n += r.To - r.From + 1
	}
	return n
}

// Contains reports whether port is in the list.
func (p Ports) Contains(port int) bool {
	for _, r := range p {
		if r.From <= port && port <= r.To {
			return true
		}
	}
	return false
}

// Expand returns every port, ascending.
func (p Ports) Expand() []int {
	out := make([]int, 0, p.Count())
	for _, r := range p {
		for port := r.From; port <= r.To; port++ {
			out = append(out, port)
		}
	}
	return out
}

// Without returns the list less the given ports; p stays as it is.
func (p Ports) Without(ports ...int) Ports {
	out := slices.Clone(p)
	for _, port := range ports {
		out = out.cut(port)
	}
	return out
}

func (p Ports) cut(port int) Ports {
	for i, r := range p {
		if port < r.From || port > r.To {
			continue
		}
		var rest []PortRange
		if r.From < port {
			rest = append(rest, PortRange{From: r.From, To: port - 1})
		}
		if port < r.To {
			rest = append(rest, PortRange{From: port + 1, To: r.To})
		}
		return slices.Replace(p, i, i+1, rest...)
	}
	return p
}

// MarshalText implements encoding.TextMarshaler with the canonical text, so that stored options read as submitted.
func (p Ports) MarshalText() ([]byte, error) { return []byte(p.String()), nil }
