package harvester

import (
	"bufio"
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"strconv"
	"strings"
)

// maxLine bounds one JSONL record, in bytes; longer ones are passed over.
const maxLine = 256 << 10

// walk reads the sections of raw output in their order. Sizes are a stranger's: a section ends at the latest with the
// output.
func walk(raw io.Reader, each func(kind string, doc io.Reader)) {
	r := bufio.NewReaderSize(raw, 64<<10)
	for {
		line, err := r.ReadSlice('\n')
		kind, size, ok := header(line)
		if ok {
			doc := io.LimitReader(r, size)
			each(kind, doc)
			_, _ = io.Copy(io.Discard, doc)
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return
		}
	}
}

func header(line []byte) (kind string, size int64, ok bool) {
	rest, ok := strings.CutPrefix(strings.TrimSuffix(string(line), "\n"), "== ")
	if !ok {
		return "", 0, false
	}
	kind, text, ok := strings.Cut(rest, " ")
	size, err := strconv.ParseInt(text, 10, 64)
	return kind, size, ok && err == nil && size >= 0
}

// summaryOf returns the first record of the JSONL section, nil where there is none.
func summaryOf(documents []byte) *summary {
	var out *summary
	walk(bytes.NewReader(documents), func(kind string, doc io.Reader) {
		if kind != "jsonl" || out != nil {
			return
		}
		r := bufio.NewReaderSize(doc, maxLine)
		line, err := r.ReadSlice('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return
		}
		var one struct {
			summary

			Type string `json:"type"`
		}
		if json.Unmarshal(line, &one) == nil && one.Type == "summary" {
			out = &one.summary
		}
	})
	return out
}

// found is one thing that a document tells.
type found struct {
	kind    string // "host", "ip", "email", "url", "asn"
	value   string
	sources []string
}

// readJSON reads {"hosts":["name","name:address"],"ips":[…],"emails":[…],…} until it ends or breaks.
func readJSON(doc io.Reader, tell func(found)) {
	dec := json.NewDecoder(doc)
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return
	}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return
		}
		name, _ := key.(string)
		kind := map[string]string{"hosts": "host", "ips": "ip", "emails": "email", "asns": "asn", "urls": "url", "interesting_urls": "url"}[name]
		if kind == "" {
			if skip(dec) != nil {
				return
			}
			continue
		}
		if texts(dec, func(text string) { tell(found{kind: kind, value: text}) }) != nil {
			return
		}
	}
}

// skip passes over one value, token by token, so that none is ever held as a whole.
func skip(dec *json.Decoder) error {
	depth := 0
	for {
		t, err := dec.Token()
		if err != nil {
			return err
		}
		switch t {
		case json.Delim('{'), json.Delim('['):
			depth++
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
		if depth == 0 {
			return nil
		}
	}
}

// texts reads an array's texts and passes over what else it holds.
func texts(dec *json.Decoder, tell func(string)) error {
	t, err := dec.Token()
	if err != nil || t != json.Delim('[') {
		return err
	}
	depth := 1
	for depth > 0 {
		t, err := dec.Token()
		if err != nil {
			return err
		}
		switch v := t.(type) {
		case json.Delim:
			if v == '[' || v == '{' {
				depth++
			} else {
				depth--
			}
		case string:
			if depth == 1 {
				tell(v)
			}
		}
	}
	return nil
}

// readXML reads <host>name</host>, <host><ip/><hostname/></host> and <email>address</email> until it ends or breaks.
func readXML(doc io.Reader, tell func(found)) {
	dec := xml.NewDecoder(doc)
	var text strings.Builder
	nested := false
	for {
		t, err := dec.Token()
		if err != nil {
			return
		}
		switch v := t.(type) {
		case xml.StartElement:
			text.Reset()
			if v.Name.Local == "host" {
				nested = false
			}
		case xml.CharData:
			if text.Len() < 4<<10 {
				text.Write(v)
			}
		case xml.EndElement:
			value := strings.TrimSpace(text.String())
			text.Reset()
			switch v.Name.Local {
			case "hostname":
				nested = true
				tell(found{kind: "host", value: value})
			case "host":
				if !nested && value != "" {
					tell(found{kind: "host", value: value})
				}
			case "email":
				tell(found{kind: "email", value: value})
			}
		}
	}
}

// readJSONL reads the records behind the summary: {"type":"hostname","value":"…","sources":["…"]}.
func readJSONL(doc io.Reader, tell func(found)) {
	kinds := map[string]string{"hostname": "host", "ip": "ip", "email": "email", "url": "url", "asn": "asn"}
	r := bufio.NewReaderSize(doc, maxLine)
	for {
		line, err := r.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			for errors.Is(err, bufio.ErrBufferFull) {
				_, err = r.ReadSlice('\n')
			}
			line = nil
		}
		var one struct {
			Type    string   `json:"type"`
			Value   string   `json:"value"`
			Sources []string `json:"sources"`
		}
		if json.Unmarshal(line, &one) == nil && kinds[one.Type] != "" {
			tell(found{kind: kinds[one.Type], value: one.Value, sources: one.Sources})
		}
		if err != nil {
			return
		}
	}
}
