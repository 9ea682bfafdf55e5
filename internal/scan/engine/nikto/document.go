package nikto

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"regexp"
	"strings"
)

// maxObject bounds one object of the report, and one line of text; what is longer is passed over.
const maxObject = 256 << 10

// item is one thing that Nikto tells, from its report or its text.
type item struct {
	id, url, msg, refs string
	method             string
}

// failed is the id of what isn't a finding: Nikto couldn't connect.
const failed = "FAIL"

// host is to whom the items that follow belong, as far as the report said it before them.
type host struct{ name, ip string }

// document reads raw output, Nikto's JSON report or its text, and calls take for every item until take fails.
func document(raw io.Reader, take func(host, item) error) error {
	in := bufio.NewReaderSize(raw, 64<<10)
	head, _ := in.Peek(512) // an error shows again when it is read
	head = bytes.TrimLeft(bytes.TrimPrefix(head, []byte("\xef\xbb\xbf")), " \t\r\n")
	if len(head) > 0 && (head[0] == '[' || head[0] == '{') {
		return report(in, take)
	}
	return text(in, take)
}

// report reads the JSON. Releases differ in whether hosts stand in a list, and a run that was killed leaves half a
// document; but what Nikto found is always a flat object with an id and a message, which is all that is looked for. So
// the report is read in one pass, object by object, whatever stands around them.
func report(in *bufio.Reader, take func(host, item) error) error {
	s := &splitter{}
	var at host
	hostName := regexp.MustCompile(`"(host|ip)"\s*:\s*("(?:[^"\\]|\\.)*")`)
	for {
		c, err := in.ReadByte()
		if err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return nil //nolint:nilerr // a document that breaks off is read as far as it came
		}
		switch s.next(c) {
		case opened: // what stood before it is the beginning of a host
			for _, m := range hostName.FindAllSubmatch(s.before, 2) {
				var v string
				if json.Unmarshal(m[2], &v) != nil {
					continue
				}
				if string(m[1]) == "host" {
					at = host{name: v}
				} else {
					at.ip = v
				}
			}
		case closed:
			if i, ok := flat(s.before); ok {
				if err := take(at, i); err != nil {
					return err
				}
			}
		case inside:
		}
	}
}

// event is what a byte does to a document.
type event uint8

const (
	inside event = iota
	opened
	closed
)

// splitter finds objects that hold no others.
type splitter struct {
	object  []byte // of the present object, from its brace on, or what stands between two
	before  []byte // at an opened: what had been read before it; at a closed: the object
	open    bool   // object is one
	over    bool   // it is too long
	quoted  bool
	escaped bool
}

func (s *splitter) next(c byte) event {
	if s.quoted {
		s.keep(c)
		switch {
		case s.escaped:
			s.escaped = false
		case c == '\\':
			s.escaped = true
		case c == '"':
			s.quoted = false
		}
		return inside
	}
	switch c {
	case '"':
		s.quoted = true
	case '{':
		s.before, s.object = s.object, append(s.before[:0], c)
		s.open, s.over = true, false
		return opened
	case '}':
		if !s.open {
			return inside // of an object that held others
		}
		s.keep(c)
		s.open = false
		s.before, s.object = s.object, s.before[:0]
		if s.over {
			s.over = false
			return inside
		}
		return closed
	}
	s.keep(c)
	return inside
}

func (s *splitter) keep(c byte) {
	if len(s.object) >= maxObject {
		s.over = true
		return
	}
	s.object = append(s.object, c)
}

// flat reads one object; ok is false for what isn't a finding's.
func flat(object []byte) (i item, ok bool) {
	var v struct {
		ID         scalar `json:"id"`
		Method     scalar `json:"method"`
		URL        scalar `json:"url"`
		Msg        scalar `json:"msg"`
		References scalar `json:"references"`
	}
	if json.Unmarshal(object, &v) != nil || v.ID == "" || v.Msg == "" {
		return item{}, false
	}
	return item{id: string(v.ID), method: string(v.Method), url: string(v.URL), msg: string(v.Msg), refs: string(v.References)}, true
}

// scalar is a JSON string or number as text; anything else is empty.
type scalar string

// UnmarshalJSON implements json.Unmarshaler.
func (t *scalar) UnmarshalJSON(b []byte) error {
	*t = ""
	switch {
	case len(b) > 0 && b[0] == '"':
		var s string
		if err := json.Unmarshal(b, &s); err != nil {
			return err
		}
		*t = scalar(s)
	case len(b) > 0 && b[0] >= '0' && b[0] <= '9':
		*t = scalar(b[:min(len(b), 16)])
	}
	return nil
}

// text reads what Nikto prints: "+ [013587] /: Suggested security header missing: x. See: URL".
func text(in *bufio.Reader, take func(host, item) error) error {
	shape := regexp.MustCompile(`^\+ \[(\d{6})\] (?:(/\S*): )?(.+?)(?: See: (\S+(?: \S+)*))?$`)
	var at host
	for {
		line, err := readLine(in)
		if rest, ok := strings.CutPrefix(line, "+ Target Hostname:"); ok {
			at = host{name: strings.TrimSpace(rest)}
		}
		if m := shape.FindStringSubmatch(line); m != nil {
			i := item{id: m[1], url: m[2], msg: m[3], refs: m[4]}
			if i.url == "" {
				i.url = "/"
			}
			if err := take(at, i); err != nil {
				return err
			}
		}
		if err != nil {
			return nil //nolint:nilerr // text that breaks off is read as far as it came
		}
	}
}

// readLine returns the next line without its end; one that is too long is empty.
func readLine(in *bufio.Reader) (string, error) {
	var line []byte
	long := false
	for {
		part, err := in.ReadSlice('\n')
		long = long || len(line)+len(part) > maxObject
		if !long {
			line = append(line, part...)
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if long {
			line = nil
		}
		return strings.TrimRight(string(line), "\r\n"), err
	}
}
