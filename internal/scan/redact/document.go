package redact

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"html"
	"strings"
)

// json takes one byte of a JSON document. A line break ends a string too: it can't stand in one, and so one stray
// quote spoils one line.
func (s *Stream) json(c byte) {
	switch {
	case !s.inside && c == '"':
		s.outside()
		s.out = append(s.out, c)
		s.inside = true
	case !s.inside:
		s.between(c)
	case s.escaped:
		s.held = append(s.held, c)
		s.escaped = false
	case c == '\\':
		if len(s.held) >= maxHeld {
			s.text(decodeJSON, encodeJSON)
		}
		s.held = append(s.held, c)
		s.escaped = true
	case c == '"', c == '\n':
		s.text(decodeJSON, encodeJSON)
		s.out = append(s.out, c)
		s.inside = false
	default:
		s.held = append(s.held, c)
		if len(s.held) >= 2*maxHeld { // far beyond: no escape was met at which to part it
			s.text(decodeJSON, encodeJSON)
		}
	}
}

// between takes what stands between strings: structure and numbers, or, where the document is none, text.
func (s *Stream) between(c byte) {
	switch c {
	case ':':
		s.name = append(s.name[:0], s.last...)
		s.outside()
		s.out = append(s.out, c)
	case ' ', '\t', '\r':
		s.held = append(s.held, c)
	case ',', '{', '}', '[', ']', '\n':
		s.outside()
		s.out = append(s.out, c)
		s.name, s.last = s.name[:0], s.last[:0]
	default:
		s.held = append(s.held, c)
		if len(s.held) >= maxHeld {
			s.outside()
		}
	}
}

// outside makes ready what is held between strings. A number as the value of a name is masked by the name as a string
// is; blanks leave the name for what follows.
func (s *Stream) outside() {
	if len(s.held) == 0 {
		return
	}
	if strings.TrimSpace(string(s.held)) == "" {
		s.out = append(s.out, s.held...)
		s.held = s.held[:0]
		return
	}
	s.name = s.name[:0] // a number or a word is no credential by its name, and a mark there would break the document
	s.text(asIs, asIs)
}

func decodeJSON(s string) (string, bool) {
	if strings.IndexByte(s, '\\') < 0 {
		return s, true
	}
	var out string
	if err := json.Unmarshal([]byte(`"`+s+`"`), &out); err != nil {
		return "", false
	}
	return out, true
}

func encodeJSON(s string) (string, bool) {
	b, err := json.Marshal(s)
	if err != nil {
		return "", false
	}
	return string(b[1 : len(b)-1]), true
}

// xml takes one byte of an XML document: texts are what stands between tags and the values of attributes. A "<" ends
// a value too: it can't stand in one.
func (s *Stream) xml(c byte) {
	switch {
	case s.inside && (c == s.quote || c == '<'):
		s.text(decodeXML, encodeXML)
		s.out = append(s.out, c)
		s.inside, s.tag = false, true
	case s.inside:
		s.hold(c)
	case s.tag && (c == '"' || c == '\''):
		s.word()
		s.out = append(s.out, c)
		s.inside, s.quote = true, c
	case s.tag && c == '>':
		s.word()
		s.out = append(s.out, c)
		s.tag = false
		s.name = append(s.name[:0], s.last...)
	case s.tag:
		s.hold(c)
	case c == '<':
		s.text(decodeXML, encodeXML)
		s.out = append(s.out, c)
		s.tag, s.name, s.last = true, s.name[:0], s.last[:0]
	default:
		s.hold(c)
	}
}

// word makes ready what stands in a tag outside of values: its name, which names the text behind it, and those of
// attributes.
func (s *Stream) word() {
	if element, _, _ := bytes.Cut(s.held, []byte(" ")); len(s.last) == 0 && len(element) <= maxName {
		s.last = append(s.last, element...)
	}
	element, attribute := s.last, []byte(nil)
	if words := bytes.TrimSuffix(bytes.TrimSpace(s.held), []byte("=")); len(words) <= maxName {
		_, attribute, _ = bytes.Cut(words, []byte(" "))
	}
	s.last, s.name = nil, s.name[:0]
	attribute = bytes.Clone(attribute)
	s.text(asIs, asIs)
	s.last, s.name = element, append(s.name, attribute...)
}

func (s *Stream) hold(c byte) {
	s.held = append(s.held, c)
	if len(s.held) >= maxHeld && c != '&' {
		s.text(decodeXML, encodeXML)
	}
}

func decodeXML(s string) (string, bool) {
	if strings.IndexByte(s, '&') < 0 {
		return s, true
	}
	return html.UnescapeString(s), true
}

func encodeXML(s string) (string, bool) {
	var b strings.Builder
	if err := xml.EscapeText(&b, []byte(s)); err != nil {
		return "", false
	}
	return b.String(), true
}
