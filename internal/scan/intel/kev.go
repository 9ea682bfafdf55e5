package intel

import (
	"encoding/json"
	"errors"
	"io"
	"strconv"
	"strings"
	"time"
)

// readKEV reads CISA's catalogue of known exploited vulnerabilities. A new file is the whole truth: what it no longer
// lists is no longer known.
func readKEV(r io.Reader) (Set, error) {
	m := &meter{r: r, left: maxKEVBytes, each: maxElement}
	var set Set
	count := -1
	found := false
	err := eachMember(m, func(dec *json.Decoder, name string) error {
		switch name {
		case "catalogVersion":
			return texted(dec, func(v string) { set.Version = plain(v) })
		case "dateReleased":
			return texted(dec, func(v string) { set.Date = moment(v) })
		case "count":
			return dec.Decode(&count)
		case "vulnerabilities":
			found = true
			return eachElement(m, dec, func(n int) error {
				rec, err := kevEntry(dec, n)
				if err == nil && len(set.Records) == maxRecords {
					err = wrongEntry(n, "is beyond the largest number of rows")
				}
				set.Records = with(set.Records, rec)
				return err
			})
		}
		return skip(dec)
	})
	switch {
	case err != nil:
		return Set{}, err
	case !found:
		return Set{}, wrongFile("isn't the KEV catalogue: it has no list vulnerabilities")
	case len(set.Records) == 0:
		return Set{}, wrongFile("lists nothing")
	case count >= 0 && count != len(set.Records):
		return Set{}, wrongFile("lists another number of entries than it says")
	case inOrder(set.Records):
		return Set{}, wrongFile("names a CVE twice")
	}
	return set, nil
}

func kevEntry(dec *json.Decoder, n int) (Record, error) {
	var e struct {
		ID         string `json:"cveID"`
		Added      string `json:"dateAdded"`
		Due        string `json:"dueDate"`
		Ransomware string `json:"knownRansomwareCampaignUse"`
	}
	if err := dec.Decode(&e); err != nil {
		return Record{}, entryError(n, err)
	}
	id, ok := Canonical(e.ID)
	if !ok {
		return Record{}, wrongEntry(n, "cveID isn't a CVE id")
	}
	d := KEVDetail{Added: moment(e.Added), Due: moment(e.Due), Ransomware: strings.EqualFold(strings.TrimSpace(e.Ransomware), "Known")}
	if d.Added.IsZero() || (e.Due != "" && d.Due.IsZero()) {
		return Record{}, wrongEntry(n, "dateAdded and dueDate must be dates")
	}
	return Record{CVE: id, Detail: d.text()}, nil
}

// KEVDetail is what the catalogue says of an entry.
type KEVDetail struct {
	Added      time.Time
	Due        time.Time // zero where it has none
	Ransomware bool      // known to be used in ransomware campaigns
}

// text is how an entry is kept: two dates, "-" for none, and a flag.
func (d KEVDetail) text() string {
	due := "-"
	if !d.Due.IsZero() {
		due = d.Due.Format(time.DateOnly)
	}
	flag := "0"
	if d.Ransomware {
		flag = "1"
	}
	return d.Added.Format(time.DateOnly) + " " + due + " " + flag
}

// kevDetail is the inverse of text; what can't be read stays empty.
func kevDetail(text string) KEVDetail {
	var d KEVDetail
	added, rest, _ := strings.Cut(text, " ")
	due, flag, _ := strings.Cut(rest, " ")
	d.Added, d.Due, d.Ransomware = moment(added), moment(due), flag == "1"
	return d
}

// wrongEntry is wrongFile with the place of a list's entry, 1-based.
func wrongEntry(n int, message string) error {
	return wrongFile("entry " + strconv.Itoa(n) + ": " + message)
}

// entryError keeps bounds and broken input apart from entries of a wrong form.
func entryError(n int, err error) error {
	if errors.Is(err, errTooLong) || errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	}
	return wrongFile("entry " + strconv.Itoa(n) + ": has a wrong form").Because(err)
}

// eachMember walks the members of the one object that a document is; f must read each member's value.
func eachMember(m *meter, f func(dec *json.Decoder, name string) error) error {
	dec := json.NewDecoder(m)
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		if err == nil || errors.As(err, new(*json.SyntaxError)) || errors.Is(err, io.EOF) {
			return wrongFile("isn't a JSON object").Because(err)
		}
		return err
	}
	seen := map[string]bool{}
	for dec.More() {
		t, err := dec.Token()
		if err != nil {
			return err
		}
		name, _ := t.(string)
		if seen[name] || len(seen) > 1000 {
			return wrongFile("has a member twice, or too many")
		}
		seen[name] = true
		m.mark()
		if err := f(dec, name); err != nil {
			return err
		}
	}
	if _, err := dec.Token(); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return wrongFile("has data after its end")
	}
	return nil
}

// eachElement walks a list; f must read each element's value, n counts from 1.
func eachElement(m *meter, dec *json.Decoder, f func(n int) error) error {
	if t, err := dec.Token(); err != nil || t != json.Delim('[') {
		if err == nil {
			return wrongFile("has something else where a list should be")
		}
		return err
	}
	for n := 1; dec.More(); n++ {
		m.mark()
		if err := f(n); err != nil {
			return err
		}
	}
	_, err := dec.Token()
	return err
}

func texted(dec *json.Decoder, f func(string)) error {
	var v any
	err := dec.Decode(&v)
	if s, ok := v.(string); ok {
		f(s)
	}
	return err
}

func skip(dec *json.Decoder) error {
	var v json.RawMessage
	return dec.Decode(&v)
}
