package redact

import (
	"bytes"
	"io"
	"strings"
)

// Syntax is how a raw output is written down, which says where a text in it begins and ends.
type Syntax uint8

// Syntaxes.
const (
	Plain Syntax = iota // lines
	JSON                // a document or lines of them (RFC 8259)
	XML
)

// SyntaxOf returns the syntax of a media type; what isn't known is Plain.
func SyntaxOf(mediaType string) Syntax {
	name, _, _ := strings.Cut(strings.ToLower(mediaType), ";")
	switch name = strings.TrimSpace(name); {
	case name == "application/json", name == "application/x-ndjson", name == "application/jsonl", strings.HasSuffix(name, "+json"):
		return JSON
	case name == "application/xml", name == "text/xml", strings.HasSuffix(name, "+xml"):
		return XML
	}
	return Plain
}

// maxHeld is how much of one text is held back to be looked at as a whole; a longer one is looked at in parts.
const maxHeld = 256 << 10

// Stream masks credentials in a raw output that is written through it and leaves the document as well-formed as it was:
// it decodes each text of the document, masks it as Text and Value do, and encodes it again where it changed. Holding
// back at most maxHeld bytes it works on documents of any size, cut-off and malformed ones too. Close must be called.
type Stream struct {
	to     io.Writer
	syntax Syntax
	mark   Mark
	known  *strings.Replacer // the order's own secrets; nil = none

	held    []byte // the text under way, as written
	out     []byte // what is ready to be passed on
	inside  bool   // JSON: within a string; XML: within an attribute's value
	escaped bool   // JSON: behind a backslash
	quote   byte   // XML: what ends the attribute's value
	tag     bool   // XML: within a tag
	name    []byte // of the value to come: a JSON member, an XML element
	last    []byte // JSON: the last text, which a colon makes the name
}

// NewStream returns a stream into to. known are values that are credentials whatever they look like, as they are and as
// URLs hold them; ones of fewer than four bytes are left out.
func NewStream(to io.Writer, syntax Syntax, mark Mark, known ...string) *Stream {
	return &Stream{to: to, syntax: syntax, mark: mark, known: knownForms(known, mark)}
}

// Write implements io.Writer. An error is the writer's below.
func (s *Stream) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		n := s.run(rest)
		s.held = append(s.held, rest[:n]...)
		if rest = rest[n:]; len(rest) == 0 {
			break
		}
		switch c := rest[0]; s.syntax {
		case Plain:
			s.plain(c)
		case JSON:
			s.json(c)
		case XML:
			s.xml(c)
		}
		rest = rest[1:]
	}
	return len(p), s.pass(32 << 10)
}

// run returns how many bytes at the beginning of p do nothing but lengthen the text that is held, well below its bound.
func (s *Stream) run(p []byte) int {
	p = p[:min(len(p), max(maxHeld-1-len(s.held), 0))]
	var n int
	switch {
	case s.syntax == Plain:
		n = bytes.IndexByte(p, '\n')
	case s.syntax == JSON && s.inside && !s.escaped:
		n = bytes.IndexAny(p, "\"\\\n")
	case s.syntax == JSON:
		return 0
	case s.inside && s.quote == '"':
		n = bytes.IndexAny(p, `"<`)
	case s.inside:
		n = bytes.IndexAny(p, "'<")
	case s.tag:
		n = bytes.IndexAny(p, `"'>`)
	default:
		n = bytes.IndexByte(p, '<')
	}
	if n < 0 {
		return len(p)
	}
	return n
}

// Close masks and passes on what was held back. It doesn't close the writer below.
func (s *Stream) Close() error {
	s.flush()
	return s.pass(0)
}

// pass hands ready bytes on when there are more than atLeast.
func (s *Stream) pass(atLeast int) error {
	if len(s.out) <= atLeast {
		return nil
	}
	_, err := s.to.Write(s.out)
	s.out = s.out[:0]
	return err
}

// flush ends the text under way wherever it stands.
func (s *Stream) flush() {
	switch {
	case s.syntax == JSON && s.inside:
		s.text(decodeJSON, encodeJSON)
	case s.syntax == XML:
		s.text(decodeXML, encodeXML)
	default:
		s.text(asIs, asIs)
	}
}

// text masks what is held, as a value of s.name, and makes it ready.
func (s *Stream) text(decode func(string) (string, bool), encode func(string) (string, bool)) {
	raw := s.held
	s.held = s.held[:0]
	if len(raw) == 0 {
		return
	}
	s.last = s.last[:0]
	if s.idle(raw) {
		s.out = append(s.out, raw...)
		s.remember(raw)
		return
	}
	written := string(raw)
	plain, ok := decode(written)
	if !ok {
		plain, encode = written, asIs // malformed: looked at as it stands
	}
	s.remember([]byte(plain))
	masked := Value(string(s.name), plain, s.mark)
	if s.known != nil {
		masked = s.known.Replace(masked)
	}
	s.name = s.name[:0]
	if masked == plain {
		s.out = append(s.out, raw...)
		return
	}
	encoded, _ := encode(masked)
	s.out = append(s.out, encoded...)
}

// shortest is the fewest bytes of a token of a well-known form.
const shortest = 20

// idle reports whether nothing in a short text can be a credential: it has no name, is no token, and holds none of the
// signs between a name and its value.
func (s *Stream) idle(raw []byte) bool {
	return len(raw) < shortest && s.known == nil && len(s.name) == 0 && !bytes.ContainsAny(raw, `:=&\`)
}

// remember notes a text that may turn out to be a name.
func (s *Stream) remember(text []byte) {
	if len(text) <= maxName {
		s.last = append(s.last[:0], text...)
	}
}

// maxName is the longest name of a member that is remembered.
const maxName = 64

func asIs(s string) (string, bool) { return s, true }

// plain takes lines; a private key is held over its lines.
func (s *Stream) plain(c byte) {
	s.held = append(s.held, c)
	if c != '\n' && len(s.held) < maxHeld {
		return
	}
	line := string(s.held)
	if begin := strings.LastIndex(line, "-----BEGIN "); begin >= 0 && strings.Contains(line[begin:], "PRIVATE KEY") && !strings.Contains(line[begin:], "-----END ") && len(s.held) < maxHeld {
		return
	}
	s.text(asIs, asIs)
}
