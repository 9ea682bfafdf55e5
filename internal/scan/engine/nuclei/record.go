package nuclei

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
)

// maxLine bounds one line of output; longer ones are passed over.
const maxLine = 8 << 20

// record is one line of Nuclei's output, as far as it is read. What isn't here isn't decoded: the template itself, the
// machine's paths, and the values that a template tried (meta), which may be somebody's password.
type record struct {
	Template  string          `json:"template-id"`
	Info      info            `json:"info"`
	Matcher   string          `json:"matcher-name"`
	Extractor string          `json:"extractor-name"`
	Type      string          `json:"type"`
	Host      string          `json:"host"`
	Port      string          `json:"port"`
	URL       string          `json:"url"`
	Matched   string          `json:"matched-at"`
	Extracted []string        `json:"extracted-results"`
	Request   string          `json:"request"`
	Response  string          `json:"response"`
	Parameter string          `json:"fuzzing_parameter"`
	Status    *bool           `json:"matcher-status"`
	Meta      map[string]used `json:"meta"`
}

// used stands for a value that is not kept.
type used struct{}

// UnmarshalJSON implements json.Unmarshaler and forgets the value.
func (*used) UnmarshalJSON([]byte) error { return nil }

type info struct {
	Name           string         `json:"name"`
	Tags           texts          `json:"tags"`
	Description    string         `json:"description"`
	Impact         string         `json:"impact"`
	Remediation    string         `json:"remediation"`
	Reference      texts          `json:"reference"`
	Severity       string         `json:"severity"`
	Classification classification `json:"classification"`
}

type classification struct {
	CVE         texts   `json:"cve-id"`
	CWE         texts   `json:"cwe-id"`
	CVSSMetrics string  `json:"cvss-metrics"`
	CVSSScore   float64 `json:"cvss-score"`
}

// texts is a list of texts, or one text with commas: releases differ.
type texts []string

// UnmarshalJSON implements json.Unmarshaler. What is neither is left out.
func (t *texts) UnmarshalJSON(b []byte) error {
	*t = nil
	if len(b) == 0 {
		return nil
	}
	switch b[0] {
	case '[':
		var list []string
		if json.Unmarshal(b, &list) == nil {
			*t = list
		}
	case '"':
		var one string
		if json.Unmarshal(b, &one) == nil && one != "" {
			*t = strings.Split(one, ",")
		}
	}
	return nil
}

// read tells the records of the output in their order and holds one line at a time. Lines that aren't whole objects are
// passed over: the last one of a run that was killed. Errors are the source's own and those of tell.
func read(r io.Reader, tell func(*record) error) error {
	lines := bufio.NewReaderSize(r, 256<<10)
	var long []byte
	for {
		part, err := lines.ReadSlice('\n')
		line := part
		if errors.Is(err, bufio.ErrBufferFull) || len(long) > 0 {
			if len(long) <= maxLine {
				long = append(long, part...)
			}
			if errors.Is(err, bufio.ErrBufferFull) {
				continue
			}
			line, long = long, nil
		}
		if len(line) <= maxLine {
			if e := decode(line, tell); e != nil {
				return e
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func decode(line []byte, tell func(*record) error) error {
	line = bytes.TrimSpace(line)
	if len(line) < 2 || line[0] != '{' || line[len(line)-1] != '}' {
		return nil
	}
	var rec record
	if err := json.Unmarshal(line, &rec); err != nil {
		return nil //nolint:nilerr // a line that was cut or damaged says nothing
	}
	return tell(&rec)
}
