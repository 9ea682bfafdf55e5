package wapiti

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// maxEntry bounds the texts of one entry that are looked at; longer ones are cut.
const maxEntry = 4 << 10

// entry is one entry of a report.
type entry struct {
	Method    string `json:"method"`
	Path      string `json:"path"`
	Info      string `json:"info"`
	Level     int    `json:"level"`
	Parameter string `json:"parameter"`
	Request   string `json:"http_request"`
	Module    string `json:"module"`
}

// lists are the report's members that hold entries by category.
func isList(name string) bool {
	return name == "vulnerabilities" || name == "anomalies" || name == "additionals"
}

// errForm says that a report has another form than it should. What was told before stays told.
var errForm = errors.New("the report has another form")

// read reads a report as a stream, to its end or to where it is cut off or has another form, and tells its entries in
// order. An error is the reader's or tell's own.
func read(r io.Reader, tell func(list, category string, e entry) error) error {
	source := &watched{from: r}
	var told error
	dec := json.NewDecoder(source)
	err := object(dec, func(list string) error {
		if !isList(list) {
			return skip(dec)
		}
		return object(dec, func(category string) error {
			return array(dec, func() error {
				var e entry
				if err := dec.Decode(&e); err != nil {
					if _, wrong := errors.AsType[*json.UnmarshalTypeError](err); wrong {
						return nil // an entry of another form is passed over
					}
					return err
				}
				told = tell(list, category, e)
				return told
			})
		})
	})
	switch {
	case told != nil:
		return told
	case source.err != nil && !errors.Is(source.err, io.EOF):
		return source.err
	}
	_ = err // a cut or another form ends the reading; what was told stays told
	return nil
}

// object walks over the members of an object.
func object(dec *json.Decoder, member func(name string) error) error {
	if err := open(dec, '{'); err != nil {
		return err
	}
	for dec.More() {
		t, err := dec.Token()
		if err != nil {
			return err
		}
		name, ok := t.(string)
		if !ok {
			return errForm
		}
		if err := member(name); err != nil {
			return err
		}
	}
	_, err := dec.Token()
	return err
}

func array(dec *json.Decoder, element func() error) error {
	if err := open(dec, '['); err != nil {
		return err
	}
	for dec.More() {
		if err := element(); err != nil {
			return err
		}
	}
	_, err := dec.Token()
	return err
}

func open(dec *json.Decoder, want json.Delim) error {
	t, err := dec.Token()
	if err != nil {
		return err
	}
	if d, ok := t.(json.Delim); !ok || d != want {
		return fmt.Errorf("%w: %v", errForm, t)
	}
	return nil
}

// skip passes over one value without keeping it.
func skip(dec *json.Decoder) error {
	for depth := 0; ; {
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

// watched remembers the reader's own error, which a decoder mixes with its own.
type watched struct {
	from io.Reader
	err  error
}

// Read implements io.Reader.
func (w *watched) Read(p []byte) (int, error) {
	n, err := w.from.Read(p)
	if err != nil {
		w.err = err
	}
	return n, err
}
