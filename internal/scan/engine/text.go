package engine

import (
	"bytes"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Head is an io.Writer that keeps the first Left bytes in To and drops the rest, for what programs say of themselves.
type Head struct {
	To   *bytes.Buffer
	Left int
}

// Write implements io.Writer and never fails.
func (h *Head) Write(p []byte) (int, error) {
	n := min(len(p), h.Left)
	h.Left -= n
	h.To.Write(p[:n])
	return len(p), nil
}

// Clip makes one line of at most limit bytes: no control characters, no direction marks.
func Clip(s string, limit int) string {
	s = s[:min(len(s), 4*limit+64)]
	return Prefix(strings.Join(strings.Fields(visible(s, ' ')), " "), limit)
}

// Prose is Clip that keeps lines.
func Prose(s string, limit int) string {
	s = s[:min(len(s), 2*limit+64)]
	return strings.TrimSpace(Prefix(visible(s, '\n'), limit))
}

// visible drops what could deceive a reader or a terminal; line ends become end.
func visible(s string, end rune) string {
	if harmless(s, end) {
		return s
	}
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n':
			return end
		case r == '\t':
			return ' '
		case unicode.IsControl(r) || unicode.Is(unicode.Cf, r):
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
}

// harmless reports whether s is printable ASCII, as nearly all of it is.
func harmless(s string, end rune) bool {
	for i := range len(s) {
		if c := s[i]; (c < ' ' || c > '~') && (c != '\n' || end != '\n') {
			return false
		}
	}
	return true
}

// Prefix returns the first bytes of s, at most n, without a broken character at the end.
func Prefix(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
