package zap

import (
	"html"
	"strings"
	"unicode"
	"unicode/utf8"
)

// plain turns a description, in which ZAP uses some HTML, into text: tags are left out, blocks end lines, entities are
// read once. What comes out is text and is shown as such; it needn't be safe as HTML.
func plain(s string) string {
	var b strings.Builder
	for s != "" {
		open := strings.IndexByte(s, '<')
		if open < 0 {
			b.WriteString(s)
			break
		}
		b.WriteString(s[:open])
		s = s[open:]
		name, end := tag(s)
		if end == 0 {
			b.WriteByte('<')
			s = s[1:]
			continue
		}
		if block(name) {
			b.WriteByte('\n')
		}
		s = s[end:]
	}
	return prose(html.UnescapeString(b.String()))
}

// tag reads a tag at the beginning of s and returns its name and where it ends; 0 where there is none. Tags with
// attributes longer than ZAP writes them stay as text.
func tag(s string) (name string, end int) {
	const most = 300
	i := 1
	if i < len(s) && s[i] == '/' {
		i++
	}
	from := i
	for i < len(s) && (s[i] >= 'a' && s[i] <= 'z' || s[i] >= 'A' && s[i] <= 'Z' || i > from && s[i] >= '0' && s[i] <= '9') {
		i++
	}
	shut := strings.IndexByte(s[:min(len(s), most)], '>')
	if i == from || shut < i {
		return "", 0
	}
	return strings.ToLower(s[from:i]), shut + 1
}

func block(name string) bool {
	switch name {
	case "p", "br", "li", "ul", "ol", "div", "tr", "h1", "h2", "h3":
		return true
	}
	return false
}

// label makes one line without control characters out of what a stranger said, cut to limit bytes.
func label(s string, limit int) string {
	s = s[:min(len(s), 16*limit)]
	return cut(strings.Join(strings.Fields(strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return ' '
		}
		if deceptive(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "?"))), " "), limit)
}

// brief is a word of ZAP's own.
func brief(s string, limit int) string { return label(s, limit) }

// prose keeps lines and drops what could deceive a reader or a terminal.
func prose(s string) string {
	s = strings.Map(func(r rune) rune {
		if r != '\n' && deceptive(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	for strings.Contains(s, "\n\n\n") {
		s = strings.ReplaceAll(s, "\n\n\n", "\n\n")
	}
	return strings.TrimSpace(s)
}

func deceptive(r rune) bool {
	return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == unicode.ReplacementChar
}

// cut returns at most limit bytes, ending between characters.
func cut(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit]
}
