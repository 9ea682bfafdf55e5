package mw

import (
	"bytes"
	"sync"
	"unicode"
	"unicode/utf8"

	"assay.dev/assay/internal/web/problem"
)

// MaxDepth bounds how deep a body's objects and arrays nest.
const MaxDepth = 64

// CheckJSON walks a body once before any decoder sees it and refuses what decoders read differently: anything that
// isn't one JSON value (RFC 8259) in valid UTF-8, surrogates without their other half, members given twice in one
// object, also where they differ in case only, nesting over MaxDepth, and data after the value. The fault is
// VALIDATION_ERROR with 400 and names the place by names that are plainly names.
func CheckJSON(b []byte) error {
	w, _ := walkers.Get().(*walker)
	if w == nil {
		w = &walker{}
	}
	w.reset(b)
	err := w.document()
	if cap(w.arena) <= 1<<16 && cap(w.keys) <= 1<<12 {
		w.b = nil
		walkers.Put(w)
	}
	return err
}

var walkers sync.Pool //nolint:gochecknoglobals // scratch memory without meaning; a pool must be shared to be one

// linear is the number of members up to which an object's names are compared one by one; beyond, a map holds them.
const linear = 16

// walker is one walk. Its memory is kept for the next one.
type walker struct {
	b      []byte
	pos    int
	frames []frame
	keys   []span // names of the open objects, folded, as places in arena
	arena  []byte
}

// frame is an open object or array.
type frame struct {
	object bool
	index  int                 // of the present element
	first  int                 // of the object's names in keys
	arena  int                 // length of arena when it was opened
	name   span                // of the present member, as written (within quotes), in b
	seen   map[string]struct{} // the names, once there are many
}

type span struct{ from, to int }

func (w *walker) reset(b []byte) {
	w.b, w.pos = b, 0
	w.frames, w.keys, w.arena = w.frames[:0], w.keys[:0], w.arena[:0]
}

func (w *walker) document() error {
	if err := w.value(); err != nil {
		return err
	}
	for len(w.frames) > 0 {
		if err := w.step(); err != nil {
			return err
		}
	}
	w.space()
	if w.pos != len(w.b) {
		return w.bad("has data after its end")
	}
	return nil
}

// value reads a scalar, or opens an object or array.
func (w *walker) value() error {
	w.space()
	if w.pos >= len(w.b) {
		return w.bad("ends too early")
	}
	switch c := w.b[w.pos]; {
	case c == '{':
		return w.open(true)
	case c == '[':
		return w.open(false)
	case c == '"':
		return w.text()
	case c == '-' || ('0' <= c && c <= '9'):
		return w.number()
	case c == 't':
		return w.literal("true")
	case c == 'f':
		return w.literal("false")
	case c == 'n':
		return w.literal("null")
	}
	return w.bad("is not JSON")
}

func (w *walker) open(object bool) error {
	if len(w.frames) >= MaxDepth {
		return w.bad("nests deeper than 64 levels")
	}
	w.pos++
	w.frames = append(w.frames, frame{object: object, index: -1, first: len(w.keys), arena: len(w.arena)})
	return nil
}

// step reads the next member or element of the innermost open value, or its end.
func (w *walker) step() error {
	f := &w.frames[len(w.frames)-1]
	w.space()
	if w.pos >= len(w.b) {
		return w.bad("ends too early")
	}
	c := w.b[w.pos]
	if (f.object && c == '}') || (!f.object && c == ']') {
		w.pos++
		w.keys, w.arena = w.keys[:f.first], w.arena[:f.arena]
		w.frames = w.frames[:len(w.frames)-1]
		return nil
	}
	if f.index >= 0 {
		if c != ',' {
			return w.bad("is not JSON")
		}
		w.pos++
		w.space()
		if w.pos < len(w.b) && (w.b[w.pos] == '}' || w.b[w.pos] == ']') {
			return w.bad("is not JSON")
		}
	}
	f.index++
	if f.object {
		if err := w.member(f); err != nil {
			return err
		}
	}
	return w.value()
}

// member reads a name and its colon.
func (w *walker) member(f *frame) error {
	f.name = span{}
	if w.pos >= len(w.b) || w.b[w.pos] != '"' {
		return w.bad("is not JSON")
	}
	from := w.pos + 1
	if err := w.text(); err != nil {
		return err
	}
	f.name = span{from, w.pos - 1}
	if w.twice(f) {
		return w.bad("is given twice; names that differ only in case count as the same")
	}
	w.space()
	if w.pos >= len(w.b) || w.b[w.pos] != ':' {
		return w.bad("is not JSON")
	}
	w.pos++
	return nil
}

// twice notes the present name and reports whether its object has it already.
func (w *walker) twice(f *frame) bool {
	start := len(w.arena)
	w.arena = fold(w.arena, w.b[f.name.from:f.name.to])
	name := w.arena[start:]
	if f.seen != nil {
		if _, dup := f.seen[string(name)]; dup {
			return true
		}
		f.seen[string(name)] = struct{}{}
		w.arena = w.arena[:start]
		return false
	}
	for _, k := range w.keys[f.first:] {
		if bytes.Equal(w.arena[k.from:k.to], name) {
			return true
		}
	}
	w.keys = append(w.keys, span{start, len(w.arena)})
	if len(w.keys)-f.first > linear {
		f.seen = make(map[string]struct{}, 4*linear)
		for _, k := range w.keys[f.first:] {
			f.seen[string(w.arena[k.from:k.to])] = struct{}{}
		}
	}
	return false
}

func (w *walker) literal(s string) error {
	if !bytes.HasPrefix(w.b[w.pos:], []byte(s)) {
		return w.bad("is not JSON")
	}
	w.pos += len(s)
	return nil
}

// number reads -?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?
func (w *walker) number() error {
	if w.at('-') {
		w.pos++
	}
	switch {
	case w.at('0'):
		w.pos++
	case w.digits() == 0:
		return w.bad("is not JSON")
	}
	if w.at('.') {
		w.pos++
		if w.digits() == 0 {
			return w.bad("is not JSON")
		}
	}
	if w.at('e') || w.at('E') {
		w.pos++
		if w.at('+') || w.at('-') {
			w.pos++
		}
		if w.digits() == 0 {
			return w.bad("is not JSON")
		}
	}
	return nil
}

func (w *walker) at(c byte) bool { return w.pos < len(w.b) && w.b[w.pos] == c }

func (w *walker) digits() int {
	from := w.pos
	for w.pos < len(w.b) && '0' <= w.b[w.pos] && w.b[w.pos] <= '9' {
		w.pos++
	}
	return w.pos - from
}

func (w *walker) space() {
	for w.pos < len(w.b) {
		switch w.b[w.pos] {
		case ' ', '\t', '\n', '\r':
			w.pos++
		default:
			return
		}
	}
}

// text reads a string with its quotes.
func (w *walker) text() error {
	w.pos++
	for w.pos < len(w.b) {
		c := w.b[w.pos]
		switch {
		case c == '"':
			w.pos++
			return nil
		case c == '\\':
			if err := w.escape(); err != nil {
				return err
			}
		case c < ' ':
			return w.bad("holds a control character in a string")
		case c < utf8.RuneSelf:
			w.pos++
		default:
			r, n := utf8.DecodeRune(w.b[w.pos:])
			if r == utf8.RuneError && n == 1 {
				return w.bad("is not valid UTF-8")
			}
			w.pos += n
		}
	}
	return w.bad("ends too early")
}

func (w *walker) escape() error {
	if w.pos+1 >= len(w.b) {
		return w.bad("ends too early")
	}
	switch w.b[w.pos+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		w.pos += 2
		return nil
	case 'u':
	default:
		return w.bad("is not JSON")
	}
	r, n := unescape(w.b[w.pos:])
	switch {
	case n == 0:
		return w.bad("is not JSON")
	case r == utf8.RuneError && n == 0:
		return w.bad("is not JSON")
	case lone(r):
		return w.bad("holds half a surrogate pair")
	}
	w.pos += n
	return nil
}

func lone(r rune) bool { return 0xd800 <= r && r <= 0xdfff }

// unescape reads \uXXXX, both of them where the first is a high surrogate with its low one behind; n = 0 where b
// doesn't begin with one. A surrogate without its other half comes back as it is.
func unescape(b []byte) (r rune, n int) {
	hi, ok := hex4(b)
	if !ok {
		return 0, 0
	}
	if 0xd800 <= hi && hi < 0xdc00 && len(b) >= 12 {
		if lo, ok := hex4(b[6:]); ok && 0xdc00 <= lo && lo <= 0xdfff {
			return (hi-0xd800)<<10 + (lo - 0xdc00) + 0x10000, 12
		}
	}
	return hi, 6
}

func hex4(b []byte) (rune, bool) {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return 0, false
	}
	var r rune
	for _, c := range b[2:6] {
		switch {
		case '0' <= c && c <= '9':
			r = r<<4 | rune(c-'0')
		case 'a' <= c && c <= 'f':
			r = r<<4 | rune(c-'a'+10)
		case 'A' <= c && c <= 'F':
			r = r<<4 | rune(c-'A'+10)
		default:
			return 0, false
		}
	}
	return r, true
}

// fold appends a name as two names are compared: unescaped, each character as the least of those it equals without
// regard to case.
func fold(dst, name []byte) []byte {
	for i := 0; i < len(name); {
		c := name[i]
		switch {
		case c == '\\' && name[i+1] == 'u':
			r, n := unescape(name[i:])
			dst = utf8.AppendRune(dst, least(r))
			i += n
		case c == '\\':
			dst = append(dst, unescaped(name[i+1]))
			i += 2
		case 'a' <= c && c <= 'z':
			dst = append(dst, c-'a'+'A')
			i++
		case c < utf8.RuneSelf:
			dst = append(dst, c)
			i++
		default:
			r, n := utf8.DecodeRune(name[i:])
			dst = utf8.AppendRune(dst, least(r))
			i += n
		}
	}
	return dst
}

func unescaped(c byte) byte {
	switch c {
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	}
	return c
}

// least returns the least character of r's orbit under simple folding, so that K, k and the Kelvin sign are one.
func least(r rune) rune {
	low := r
	for x := unicode.SimpleFold(r); x != r; x = unicode.SimpleFold(x) {
		low = min(low, x)
	}
	return low
}

// bad names the present place. Only here is memory spent on it.
func (w *walker) bad(message string) error {
	where := []byte("body")
	for i := range w.frames {
		f := &w.frames[i]
		switch {
		case f.object && f.name.to > f.name.from:
			where = append(where, '.')
			where = append(where, safeName(w.b[f.name.from:f.name.to])...)
		case !f.object && f.index >= 0:
			where = append(where, '[')
			where = appendInt(where, f.index)
			where = append(where, ']')
		}
	}
	return problem.Malformed(string(where), message)
}

// safeName lets plain names pass; dots would read as two places.
func safeName(name []byte) string {
	s := problem.Location(string(name))
	if len(s) > 64 || bytes.ContainsRune(name, '.') {
		return "?"
	}
	return s
}

func appendInt(dst []byte, n int) []byte {
	if n >= 10 {
		dst = appendInt(dst, n/10)
	}
	return append(dst, byte('0'+n%10))
}

// validText reports whether s is UTF-8 without control characters.
func validText(s string) bool {
	for _, r := range s {
		if r < ' ' || r == 0x7f || r == utf8.RuneError {
			return false
		}
	}
	return true
}
