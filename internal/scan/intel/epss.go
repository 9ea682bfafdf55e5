package intel

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strconv"
	"strings"
	"time"
)

// readEPSS reads FIRST's daily file: an optional comment "#model_version:…,score_date:…", the line
// "cve,epss,percentile", then one line for each CVE, in any order.
func readEPSS(r io.Reader) (Set, error) {
	in := bufio.NewReaderSize(&meter{r: r, left: maxEPSSBytes}, maxLine)
	var set Set
	var ids strings.Builder // all ids in one piece, so that a row is no allocation of its own
	head := false
	for n := 1; ; n++ {
		line, err := in.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			return Set{}, wrongLine(n, "is too long")
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return Set{}, err
		}
		line = bytes.TrimRight(line, "\r\n")
		switch {
		case n > maxRecords+maxBlank:
			return Set{}, wrongLine(n, "is beyond the largest number of rows")
		case len(line) == 0:
		case line[0] == '#':
			if n > 1 {
				return Set{}, wrongLine(n, "a comment may only lead the file")
			}
			set.Version, set.Date = epssComment(string(line[1:]))
		case !head:
			if string(line) != "cve,epss,percentile" {
				return Set{}, wrongLine(n, "must be cve,epss,percentile")
			}
			head = true
		default:
			rec, wrong := epssLine(line, &ids)
			if wrong != "" {
				return Set{}, wrongLine(n, wrong)
			}
			set.Records = with(set.Records, rec)
		}
		if err != nil {
			break
		}
	}
	if len(set.Records) == 0 {
		return Set{}, wrongFile("holds no scores")
	}
	if inOrder(set.Records) {
		return Set{}, wrongFile("names a CVE twice")
	}
	return set, nil
}

// epssComment reads what the first line says; what it doesn't say stays unknown.
func epssComment(text string) (version string, date time.Time) {
	for part := range strings.SplitSeq(text, ",") {
		name, value, _ := strings.Cut(part, ":")
		switch strings.TrimSpace(name) {
		case "model_version":
			version = plain(strings.TrimSpace(value))
		case "score_date":
			date = moment(strings.TrimSpace(value))
		}
	}
	return version, date
}

// moment reads a time as the sources write them; zero where it is none.
func moment(text string) time.Time {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05-0700", "2006-01-02T15:04:05.999999999", "2006-01-02"} {
		if t, err := time.Parse(layout, text); err == nil && t.Year() >= 1990 && t.Year() < 2200 {
			return t.UTC()
		}
	}
	return time.Time{}
}

func epssLine(line []byte, ids *strings.Builder) (rec Record, wrong string) {
	first := bytes.IndexByte(line, ',')
	last := bytes.LastIndexByte(line, ',')
	if first < 0 || last == first || bytes.Count(line, []byte{','}) != 2 {
		return rec, "must hold three columns"
	}
	id, ok := Canonical(string(line[:first]))
	if !ok {
		return rec, "doesn't begin with a CVE id"
	}
	var good bool
	if rec.Score, good = share(string(line[first+1 : last])); !good {
		return rec, "epss must be a number from 0 to 1"
	}
	if rec.Percentile, good = share(string(line[last+1:])); !good {
		return rec, "percentile must be a number from 0 to 1"
	}
	if ids.Cap()-ids.Len() < len(id) {
		*ids = strings.Builder{}
		ids.Grow(64 << 10)
	}
	from := ids.Len()
	ids.WriteString(id)
	rec.CVE = ids.String()[from:]
	return rec, ""
}

// share reads a decimal number from 0 to 1: no sign, no infinity, no hexadecimal.
func share(text string) (float64, bool) {
	if text == "" || len(text) > 32 || (text[0] < '0' || text[0] > '9') && text[0] != '.' ||
		strings.Trim(text, "0123456789.eE+-") != "" {
		return 0, false
	}
	v, err := strconv.ParseFloat(text, 64)
	if err != nil || !(v >= 0 && v <= 1) {
		return 0, false
	}
	return v, true
}
