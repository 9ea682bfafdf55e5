package audit

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"strconv"
	"unicode/utf8"

	"assay.dev/assay/internal/word/uid"
)

// Lines of an export are read on two ways that must agree: a short one for the form that ExportWriter writes, and
// encoding/json for everything else that is the same JSON (other spacing, order or escapes). Fuzzing holds them equal.

var errLine = errors.New("the line is not one of an audit export")

// entryLine is one line of an entry. Leaf and strings are copies; nothing points into the reader's buffer.
type entryLine struct {
	index    uint64
	id       uid.Entry
	leaf     []byte
	personal *Personal
}

// anyLine is the slow way's view of every line after the header. Which members are there tells the kind of line.
type anyLine struct {
	Index         *uint64 `json:"index"`
	ID            *string `json:"id"`
	Leaf          *string `json:"leaf"`
	Salt          *string `json:"salt"`
	ClientAddress *string `json:"clientAddress"`
	UserAgent     *string `json:"userAgent"`
	ActorName     *string `json:"actorName"`
	First         *uint64 `json:"hashesFrom"`
	Hashes        *string `json:"hashes"`
	Node          *string `json:"node"`
	Checkpoint    *string `json:"checkpoint"`
}

// decoded is a line after the header: exactly one of its members is set.
type decoded struct {
	entry  *entryLine
	hashes *hashList
	note   []byte
}

// lineReader decodes lines; its buffers are reused for the entry's leaf.
type lineReader struct {
	entry    entryLine
	personal Personal
}

// decode reads one line. The entry it returns is valid until the next call.
func (r *lineReader) decode(b []byte) (decoded, error) {
	if r.fast(b) {
		return decoded{entry: &r.entry}, nil
	}
	return r.slow(b)
}

// cursor walks over a line; ok turns false at the first thing that the short way doesn't know.
type cursor struct {
	rest []byte
	ok   bool
}

func (c *cursor) lit(s string) {
	if !c.ok || len(c.rest) < len(s) || string(c.rest[:len(s)]) != s {
		c.ok = false
		return
	}
	c.rest = c.rest[len(s):]
}

// str reads up to the closing quote; escapes and control characters are not for the short way.
func (c *cursor) str() []byte {
	if !c.ok {
		return nil
	}
	end := bytes.IndexByte(c.rest, '"')
	if end < 0 {
		c.ok = false
		return nil
	}
	s := c.rest[:end]
	c.rest = c.rest[end+1:]
	for _, ch := range s {
		if ch < 0x20 || ch == '\\' {
			c.ok = false
			return nil
		}
	}
	return s
}

func (c *cursor) text() string {
	s := c.str()
	if !utf8.Valid(s) {
		c.ok = false
		return ""
	}
	return string(s)
}

func (c *cursor) number() uint64 {
	i := 0
	for i < len(c.rest) && c.rest[i] >= '0' && c.rest[i] <= '9' {
		i++
	}
	n, err := strconv.ParseUint(string(c.rest[:i]), 10, 64)
	if err != nil || i > 1 && c.rest[0] == '0' {
		c.ok = false
	}
	c.rest = c.rest[i:]
	return n
}

func (r *lineReader) fast(b []byte) bool {
	c := cursor{rest: bytes.TrimSuffix(b, []byte("\n")), ok: true}
	c.lit(`{"index":`)
	r.entry.index = c.number()
	c.lit(`,"id":"`)
	r.entry.id = uid.Entry(c.text())
	c.lit(`,"leaf":"`)
	leaf := c.str()
	if !c.ok {
		return false
	}
	var err error
	r.entry.leaf, err = base64.StdEncoding.Strict().AppendDecode(r.entry.leaf[:0], leaf)
	r.entry.personal = nil
	if err == nil && c.ok && len(c.rest) > 0 && c.rest[0] == ',' {
		err = r.fastPersonal(&c)
	}
	c.lit("}")
	return err == nil && c.ok && len(c.rest) == 0
}

func (r *lineReader) fastPersonal(c *cursor) error {
	c.lit(`,"salt":"`)
	salt, err := decodeSalt(string(c.str()))
	if err != nil {
		return err
	}
	r.personal.Salt = salt
	c.lit(`,"clientAddress":"`)
	r.personal.ClientAddress = c.text()
	c.lit(`,"userAgent":"`)
	r.personal.UserAgent = c.text()
	c.lit(`,"actorName":"`)
	r.personal.ActorName = c.text()
	r.entry.personal = &r.personal
	return nil
}

func decodeSalt(s string) (salt [16]byte, err error) {
	b, err := decode64(s)
	if err != nil || len(b) != len(salt) {
		return salt, errLine
	}
	return [16]byte(b), nil
}

// decode64 is strict base64: no line breaks, no stray bits after the last byte.
func decode64(s string) ([]byte, error) {
	for i := range len(s) {
		if s[i] == '\n' || s[i] == '\r' { // which encoding/base64 would skip
			return nil, errLine
		}
	}
	return base64.StdEncoding.Strict().DecodeString(s)
}

// strictJSON decodes one object without unknown, doubled or differently cased members and nothing after it.
func strictJSON(b []byte, v any) error {
	if !utf8.Valid(b) {
		return errLine
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return err
	}
	if _, err := dec.Token(); err != io.EOF {
		return errLine
	}
	seen := map[string]bool{}
	dec = json.NewDecoder(bytes.NewReader(b))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return errLine
	}
	for dec.More() {
		t, err := dec.Token()
		if err != nil {
			return err
		}
		name, _ := t.(string)
		if seen[name] || !lineMember(name) {
			return errLine
		}
		seen[name] = true
		var skip json.RawMessage
		if err := dec.Decode(&skip); err != nil || string(skip) == "null" {
			return errLine
		}
	}
	return nil
}

func lineMember(s string) bool {
	switch s {
	case "format", "organizationId", "first", "prefix",
		"index", "id", "leaf", "salt", "clientAddress", "userAgent", "actorName",
		"hashesFrom", "hashes", "node", "checkpoint":
		return true
	}
	return false
}

func (r *lineReader) slow(b []byte) (decoded, error) {
	var l anyLine
	if err := strictJSON(b, &l); err != nil {
		return decoded{}, err
	}
	entry := l.Index != nil && l.ID != nil && l.Leaf != nil
	personal := l.Salt != nil && l.ClientAddress != nil && l.UserAgent != nil && l.ActorName != nil
	noPersonal := l.Salt == nil && l.ClientAddress == nil && l.UserAgent == nil && l.ActorName == nil
	noEntry := l.Index == nil && l.ID == nil && l.Leaf == nil && noPersonal
	noHashes := l.First == nil && l.Hashes == nil && l.Node == nil
	switch {
	case entry && (personal || noPersonal) && noHashes && l.Checkpoint == nil:
		return r.slowEntry(&l)
	case l.First != nil && l.Hashes != nil && noEntry && l.Checkpoint == nil:
		return slowHashes(&l)
	case l.Checkpoint != nil && noEntry && noHashes:
		return decoded{note: []byte(*l.Checkpoint)}, nil
	}
	return decoded{}, errLine
}

func (r *lineReader) slowEntry(l *anyLine) (decoded, error) {
	leaf, err := decode64(*l.Leaf)
	if err != nil {
		return decoded{}, err
	}
	r.entry = entryLine{index: *l.Index, id: uid.Entry(*l.ID), leaf: leaf}
	if l.Salt != nil {
		salt, err := decodeSalt(*l.Salt)
		if err != nil {
			return decoded{}, err
		}
		r.personal = Personal{Salt: salt, ClientAddress: *l.ClientAddress, UserAgent: *l.UserAgent, ActorName: *l.ActorName}
		r.entry.personal = &r.personal
	}
	return decoded{entry: &r.entry}, nil
}

func slowHashes(l *anyLine) (decoded, error) {
	h := hashList{First: *l.First}
	var err error
	if h.Hashes, err = decode64(*l.Hashes); err != nil {
		return decoded{}, err
	}
	if l.Node != nil {
		if h.Node, err = decode64(*l.Node); err != nil {
			return decoded{}, err
		}
	}
	return decoded{hashes: &h}, nil
}
