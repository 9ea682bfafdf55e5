package wapiti

import (
	"strconv"
	"strings"
	"unicode"
)

// maxLine bounds one line of output; what is over is dropped.
const maxLine = 64 << 10

// plain takes control and other invisible characters out of a line, and what is white at its end.
func plain(s string) string {
	return strings.TrimRightFunc(strings.Map(func(r rune) rune {
		if r == '\t' {
			return ' '
		}
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "?")), unicode.IsSpace)
}

// label makes one line of at most limit bytes.
func label(s string, limit int) string {
	s = strings.Join(strings.Fields(plain(s)), " ")
	if len(s) > limit {
		s = strings.ToValidUTF8(s[:limit], "")
	}
	return s
}

// slug makes a rule's name out of a category's.
func slug(s string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(label(s, 80)) {
		switch {
		case r >= 'a' && r <= 'z' || r >= '0' && r <= '9':
			b.WriteRune(r)
		case b.Len() > 0 && b.String()[b.Len()-1] != '-':
			b.WriteByte('-')
		}
	}
	return strings.Trim(b.String(), "-")
}

func number(n int) string { return strconv.Itoa(n) }

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}
