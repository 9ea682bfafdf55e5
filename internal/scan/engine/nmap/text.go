package nmap

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// label makes one short line out of what a stranger's service said: no control characters, no direction marks, and
// Nmap's \xHH escapes of binary as one "?" a run. It is cut to limit bytes.
func label(s string, limit int) string {
	if s = strings.TrimSpace(s); plain(s) {
		return strings.TrimRight(prefix(s, limit), " ")
	}
	var b strings.Builder
	for s != "" && b.Len() < limit {
		if escaped(s) {
			for escaped(s) {
				s = s[4:]
			}
			b.WriteByte('?')
			continue
		}
		r, size := utf8.DecodeRuneInString(s)
		s = s[size:]
		switch {
		case r == '\n' || r == '\t' || r == '\r':
			b.WriteByte(' ')
		case deceptive(r):
		default:
			b.WriteRune(r)
		}
	}
	return prefix(strings.Join(strings.Fields(b.String()), " "), limit)
}

// plain reports whether s is printable ASCII without escapes and doubled spaces, as nearly all of it is.
func plain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '\\' || c == ' ' && (i == 0 || s[i-1] == ' ') {
			return false
		}
	}
	return true
}

func labels(list []string, limit int) []string {
	var out []string
	for _, s := range list {
		if l := label(s, limit); l != "" {
			out = append(out, l)
		}
	}
	return out
}

// prose keeps lines and drops what could deceive a reader or a terminal.
func prose(s string) string {
	if plain(s) {
		return strings.TrimSpace(s)
	}
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r != '\n' && deceptive(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "?")))
}

// deceptive reports control characters and those that change the direction of text or are invisible.
func deceptive(r rune) bool {
	return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == unicode.ReplacementChar
}

func escaped(s string) bool {
	return len(s) >= 4 && s[0] == '\\' && s[1] == 'x' && hex(s[2]) && hex(s[3])
}

func hex(c byte) bool { return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F' }
