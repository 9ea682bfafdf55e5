package nmap

import (
	"bytes"
	"errors"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

// markup cuts an XML document (XML 1.0, as Nmap writes it) into tags and texts. The standard library's decoder makes a
// tree of small objects of each tag, which is half of the work of reading a large document; here, values are made of
// those attributes only that somebody asks for.
//
// It resolves the five predefined entities and character references and nothing else, opens nothing, and holds one tag
// or text at a time. Bytes that aren't UTF-8 and control characters become '?': one bad byte of a banner mustn't hide
// all hosts behind it.
type markup struct {
	r     io.Reader
	buf   []byte
	from  int // of what isn't read yet
	ended bool
	err   error    // of the reader, apart from its end
	open  [][]byte // names of open elements; kept for reuse
	depth int
	tag   tag
}

// errMarkup ends the reading of a document that is malformed, cut off or beyond the bounds.
var errMarkup = errors.New("the document can't be read on")

// kind of a piece.
type kind uint8

const (
	opening kind = iota
	closing
	text
)

// tag is an opening or closing tag, or a text, which stands in name. All of it is good until the next call of next.
type tag struct {
	kind  kind
	name  []byte
	attrs attributes
	alone bool // an opening tag that closes itself: its closing comes next
}

func newMarkup(r io.Reader) *markup {
	return &markup{r: r, buf: make([]byte, 0, 64<<10)}
}

// next returns the next piece; nil with io.EOF at the end of a whole document, with errMarkup of another.
func (m *markup) next() (*tag, error) {
	if m.tag.alone {
		m.tag.alone, m.tag.kind = false, closing
		m.depth--
		return &m.tag, nil
	}
	for {
		if m.from == len(m.buf) && !m.more() {
			if m.depth > 0 {
				return nil, errMarkup
			}
			return nil, io.EOF
		}
		if m.buf[m.from] != '<' {
			return m.text()
		}
		switch m.at(1) {
		case '/':
			return m.closing()
		case '?', '!':
			if err := m.aside(); err != nil {
				return nil, err
			}
		default:
			return m.opening()
		}
	}
}

// more reads on; false at the end, and where a piece is too long.
func (m *markup) more() bool {
	if m.ended {
		return false
	}
	if m.from > 0 {
		m.buf = append(m.buf[:0], m.buf[m.from:]...)
		m.from = 0
	}
	if len(m.buf) > maxToken {
		return false
	}
	if cap(m.buf)-len(m.buf) < 16<<10 {
		m.buf = append(make([]byte, 0, 2*cap(m.buf)), m.buf...)
	}
	for range 100 {
		n, err := m.r.Read(m.buf[len(m.buf):cap(m.buf)])
		m.buf = m.buf[:len(m.buf)+n]
		if err != nil {
			m.ended = true
			if !errors.Is(err, io.EOF) {
				m.err = err
			}
		}
		if n > 0 || err != nil {
			return n > 0
		}
	}
	m.ended, m.err = true, io.ErrNoProgress
	return false
}

// at returns the byte at an offset of what isn't read yet, 0 behind the end.
func (m *markup) at(offset int) byte {
	for m.from+offset >= len(m.buf) {
		if !m.more() {
			return 0
		}
	}
	return m.buf[m.from+offset]
}

// until returns what stands before the mark and moves behind it; the search begins at an offset.
func (m *markup) until(mark string, offset int) ([]byte, bool) {
	for {
		rest := m.buf[m.from:]
		if offset <= len(rest) {
			if i := bytes.Index(rest[offset:], []byte(mark)); i >= 0 {
				m.from += offset + i + len(mark)
				return rest[:offset+i], offset+i <= maxToken
			}
			offset = max(offset, len(rest)-len(mark)+1)
		}
		if !m.more() {
			return nil, false
		}
	}
}

// text returns what stands before the next tag, as it is written.
func (m *markup) text() (*tag, error) {
	offset := 0
	for {
		rest := m.buf[m.from:]
		if i := bytes.IndexByte(rest[offset:], '<'); i >= 0 {
			m.from += offset + i
			m.tag = tag{kind: text, name: rest[:offset+i], attrs: m.tag.attrs[:0]}
			return &m.tag, nil
		}
		offset = len(rest)
		if m.more() {
			continue
		}
		if m.depth > 0 || len(m.buf)-m.from > maxToken {
			return nil, errMarkup
		}
		m.from = len(m.buf)
		return nil, io.EOF
	}
}

// aside passes over a comment, an instruction or a document type.
func (m *markup) aside() error {
	ok := false
	switch {
	case m.at(1) == '?':
		var told []byte
		if told, ok = m.until("?>", 2); ok {
			ok = readable(told)
		}
	case m.at(2) == '-' && m.at(3) == '-':
		_, ok = m.until("-->", 4)
	case m.at(2) == '[':
		_, ok = m.until("]]>", 3) // Nmap writes none
	default:
		ok = m.doctype()
	}
	if !ok {
		return errMarkup
	}
	return nil
}

// readable reports whether a declaration, where it is one, speaks of this kind of document.
func readable(instruction []byte) bool {
	rest, ok := bytes.CutPrefix(instruction, []byte("<?xml "))
	if !ok {
		return true
	}
	said := func(name string) string {
		_, after, ok := bytes.Cut(rest, []byte(name+"="))
		if !ok || len(after) < 2 {
			return ""
		}
		value, _, _ := bytes.Cut(after[1:], after[:1])
		return string(value)
	}
	version, encoding := said("version"), said("encoding")
	return (version == "" || version == "1.0") && (encoding == "" || strings.EqualFold(encoding, "utf-8"))
}

// doctype passes over a "<!…>" with what is nested in it.
func (m *markup) doctype() bool {
	nested, quote := 0, byte(0)
	for i := 0; i <= maxToken; i++ {
		switch c := m.at(i); {
		case c == 0 && m.from+i >= len(m.buf):
			return false
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
		case c == '<':
			nested++
		case c == '>':
			if nested--; nested == 0 {
				m.from += i + 1
				return true
			}
		}
	}
	return false
}

func (m *markup) closing() (*tag, error) {
	whole, ok := m.until(">", 2)
	if !ok || m.depth == 0 {
		return nil, errMarkup
	}
	name := local(bytes.TrimRight(whole[2:], " \t\r\n"))
	m.depth--
	if !bytes.Equal(name, m.open[m.depth]) {
		return nil, errMarkup
	}
	m.tag = tag{kind: closing, name: name, attrs: m.tag.attrs[:0]}
	return &m.tag, nil
}

func (m *markup) opening() (*tag, error) {
	whole, ok := m.whole()
	if !ok {
		return nil, errMarkup
	}
	inside := whole[1 : len(whole)-1]
	inside, alone := bytes.CutSuffix(inside, []byte("/"))
	n := nameEnd(inside)
	if n == 0 {
		return nil, errMarkup
	}
	m.tag = tag{kind: opening, name: local(inside[:n]), attrs: m.tag.attrs[:0], alone: alone}
	if !m.tag.attributes(inside[n:]) {
		return nil, errMarkup
	}
	if m.depth == len(m.open) {
		m.open = append(m.open, nil)
	}
	m.open[m.depth] = append(m.open[m.depth][:0], m.tag.name...)
	m.depth++
	return &m.tag, nil
}

// whole returns a tag with its brackets: '>' may stand in quotes, '<' may not.
func (m *markup) whole() ([]byte, bool) {
	quote := byte(0)
	for i := 1; i <= maxToken; {
		if m.from+i >= len(m.buf) && !m.more() {
			return nil, false
		}
		rest := m.buf[m.from+i:]
		if quote != 0 {
			j := bytes.IndexByte(rest, quote)
			until := j
			if j < 0 {
				until = len(rest)
			}
			if bytes.IndexByte(rest[:until], '<') >= 0 {
				return nil, false
			}
			if i += until; j >= 0 {
				i, quote = i+1, 0
			}
			continue
		}
		switch c := rest[0]; c {
		case '>':
			tag := m.buf[m.from : m.from+i+1]
			m.from += i + 1
			return tag, true
		case '<':
			return nil, false
		case '"', '\'':
			quote = c
		}
		i++
	}
	return nil, false
}

// attributes cuts what stands behind a tag's name.
func (t *tag) attributes(s []byte) bool {
	for {
		s = bytes.TrimLeft(s, " \t\r\n")
		if len(s) == 0 {
			return true
		}
		n := nameEnd(s)
		if n == 0 {
			return false
		}
		name := local(s[:n])
		s = bytes.TrimLeft(s[n:], " \t\r\n")
		if len(s) == 0 || s[0] != '=' {
			return false
		}
		if s = bytes.TrimLeft(s[1:], " \t\r\n"); len(s) < 2 || s[0] != '"' && s[0] != '\'' {
			return false
		}
		end := bytes.IndexByte(s[1:], s[0])
		if end < 0 {
			return false
		}
		t.attrs = append(t.attrs, attribute{name: name, value: s[1 : 1+end]})
		s = s[end+2:]
	}
}

// nameEnd returns the length of the name that s begins with.
func nameEnd(s []byte) int {
	for i, c := range s {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c == ':' || c >= utf8.RuneSelf
		if !letter && (i == 0 || (c < '0' || c > '9') && c != '-' && c != '.') {
			return i
		}
	}
	return len(s)
}

// local is a name without its namespace's prefix.
func local(name []byte) []byte {
	if i := bytes.IndexByte(name, ':'); i > 0 && i < len(name)-1 {
		return name[i+1:]
	}
	return name
}

type attribute struct{ name, value []byte }

type attributes []attribute

func (a attributes) raw(name string) []byte {
	for i := range a {
		if string(a[i].name) == name {
			return a[i].value
		}
	}
	return nil
}

// get returns an attribute's value, "" where there is none.
func (a attributes) get(name string) string { return value(a.raw(name)) }

// is reports whether an attribute has a value that needs no escapes.
func (a attributes) is(name, value string) bool { return string(a.raw(name)) == value }

// value returns a text without its escapes; one whose escapes are wrong is empty.
func value(raw []byte) string {
	if clean(raw) {
		return string(raw)
	}
	var b strings.Builder
	b.Grow(len(raw))
	for i := 0; i < len(raw); {
		c := raw[i]
		if c == '&' {
			end := bytes.IndexByte(raw[i:min(len(raw), i+12)], ';')
			if end < 0 {
				return ""
			}
			r, ok := entity(string(raw[i+1 : i+end]))
			if !ok {
				return ""
			}
			b.WriteRune(r)
			i += end + 1
			continue
		}
		if c == '\r' {
			if i++; i == len(raw) || raw[i] != '\n' {
				b.WriteByte('\n')
			}
			continue
		}
		r, size := utf8.DecodeRune(raw[i:])
		if r == utf8.RuneError && size == 1 || r < ' ' && r != '\n' && r != '\t' || r == 0xfffe || r == 0xffff {
			r = '?'
		}
		b.WriteRune(r)
		i += size
	}
	return b.String()
}

// clean reports whether a text is printable ASCII without escapes.
func clean(raw []byte) bool {
	for _, c := range raw {
		if c < ' ' && c != '\n' && c != '\t' || c == '&' || c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// entity returns what a reference stands for.
func entity(name string) (rune, bool) {
	switch name {
	case "lt":
		return '<', true
	case "gt":
		return '>', true
	case "amp":
		return '&', true
	case "quot":
		return '"', true
	case "apos":
		return '\'', true
	}
	digits, ok := strings.CutPrefix(name, "#")
	base := 10
	if hexDigits, is := strings.CutPrefix(digits, "x"); is {
		digits, base = hexDigits, 16
	}
	n, err := strconv.ParseUint(digits, base, 32)
	if !ok || err != nil || n > utf8.MaxRune || !utf8.ValidRune(rune(n)) || n < ' ' && n != '\n' && n != '\t' && n != '\r' || n == 0xfffe || n == 0xffff {
		return 0, false
	}
	return rune(n), true
}
