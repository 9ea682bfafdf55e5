package vex

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"time"

	"assay.dev/assay/internal/scan/finding"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/uid"
)

// writer writes one form of document.
type writer interface {
	begin(d *document, q Query, id string, at time.Time)
	add(d *document, s statement) error
	end(d *document)
}

// document is what is being written; the first error stops it.
type document struct {
	out   *bufio.Writer
	count int
	err   error
}

func (d *document) text(s string) {
	if d.err == nil {
		_, d.err = d.out.WriteString(s)
	}
}

func (d *document) json(v any) {
	if d.err != nil {
		return
	}
	b, err := json.Marshal(v)
	if err != nil {
		d.err = err
		return
	}
	_, d.err = d.out.Write(b)
}

// item writes one element of a list.
func (d *document) item(v any) {
	if d.count > 0 {
		d.text(",")
	}
	d.count++
	d.json(v)
}

// errBegun ends a look for the first statement.
var errBegun = errors.New("there is one")

// Export returns a function that streams a document of what people decided on the findings that q asks for. Findings
// without a CVE id are not spoken of. Errors come before the first byte: NotFound where the scan isn't there, or where
// the format is OpenVEX and there is nothing to state, since such a document must hold a statement.
func (s *Service) Export(ctx context.Context, org uid.Org, q Query) (func(io.Writer) error, error) {
	var w writer
	switch q.Format {
	case OpenVEX:
		w = openVEXWriter{}
	case CycloneDX:
		w = &bomWriter{places: map[string]place{}}
	default:
		return nil, fault.New(fault.Unsupported, fault.CodeFormat, "this format is not available; take openvex or cyclonedx")
	}
	err := s.each(ctx, org, q, func(statement) error { return errBegun })
	if err == nil && q.Format == OpenVEX {
		return nil, fault.New(fault.NotFound, fault.CodeNotFound,
			"no finding with a CVE id matches, and an OpenVEX document must state something")
	}
	if err != nil && !errors.Is(err, errBegun) {
		return nil, err
	}
	return func(out io.Writer) error {
		d := &document{out: bufio.NewWriterSize(out, 32<<10)}
		w.begin(d, q, s.d.IDs.New(), s.d.Now().UTC().Truncate(time.Second))
		err := s.each(ctx, org, q, func(st statement) error {
			if err := w.add(d, st); err != nil {
				return err
			}
			return d.err
		})
		if err != nil {
			return err
		}
		w.end(d)
		if d.err != nil {
			return d.err
		}
		return d.out.Flush()
	}, nil
}

// since is when what a statement says became true.
func (s statement) since() time.Time {
	switch {
	case s.found.Ruling != nil:
		return s.found.Ruling.At
	case s.found.Status == finding.Fixed && !s.found.FixedAt.IsZero():
		return s.found.FixedAt
	}
	return s.found.LastSeenAt
}

// reason is what a person gave as the reason.
func (s statement) reason() string {
	if s.found.Ruling == nil {
		return ""
	}
	return s.found.Ruling.Reason
}

// justification is why it doesn't matter, in the words of OpenVEX.
func (s statement) justification() string {
	if s.found.Ruling == nil {
		return ""
	}
	return s.found.Ruling.Justification
}

// action says what is done about it: by whoever accepted the risk, or by whoever confirmed it.
func (s statement) action() string {
	switch {
	case s.found.Status == finding.Accepted && s.found.Ruling != nil:
		text := "Risk accepted until " + s.found.Ruling.Until.UTC().Format(time.DateOnly)
		if r := s.reason(); r != "" {
			text += ": " + r
		}
		return text
	case s.reason() != "":
		return "Confirmed: " + s.reason()
	case s.found.Remediation != "":
		return s.found.Remediation
	}
	return "Confirmed, and not fixed yet."
}

// name is the finding's own name in documents.
func (s statement) name() string {
	return namespace + "finding/" + string(s.pair.Finding) + "#" + s.pair.CVE
}
