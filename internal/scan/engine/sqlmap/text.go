package sqlmap

import (
	"strconv"
	"strings"
	"unicode"
)

// plain takes the terminal's control sequences and other invisible characters out of a line, and what is white at its
// end.
func plain(s string) string {
	if strings.IndexByte(s, 0x1b) >= 0 {
		s = sequences(s)
	}
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

// sequences drops ESC [ … letter, ESC ( x and ESC x (ECMA-48).
func sequences(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != 0x1b {
			b.WriteByte(s[i])
			continue
		}
		i++
		switch {
		case i >= len(s):
		case s[i] == '[':
			for i++; i < len(s) && (s[i] < 0x40 || s[i] > 0x7e); i++ {
			}
		case s[i] == '(' || s[i] == ')':
			i++
		}
	}
	return b.String()
}

// label makes one line of at most limit bytes.
func label(s string, limit int) string {
	s = strings.Join(strings.Fields(plain(s)), " ")
	if len(s) > limit {
		s = strings.ToValidUTF8(s[:limit], "")
	}
	return s
}

// whole reads a number that an expression has found; "?" is 0.
func whole(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		return 0
	}
	return n
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}
