package nuclei

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strconv"
	"strings"

	"assay.dev/assay/internal/scan/engine"
)

// talk reads what Nuclei says of itself on standard error: its log, and its counters as lines of JSON in which every
// number is a text.
type talk struct {
	progress func(requests, total, percent int)

	version   string
	templates string // version of the collection
	loaded    int    // templates
	broken    int    // templates that couldn't be read
	gaveUp    int    // targets left because of their errors
	requests  int
	total     int
	errors    int
	ended     bool // it says that it came to its end
	fatal     string
	counted   bool // counters came
	line      []byte
}

// maxSaid bounds one line.
const maxSaid = 8 << 10

// Write implements io.Writer and never fails.
func (t *talk) Write(p []byte) (int, error) {
	total := len(p)
	for len(p) > 0 {
		part, rest, whole := bytes.Cut(p, []byte("\n"))
		p = rest
		t.line = append(t.line, part[:min(len(part), max(0, maxSaid-len(t.line)))]...)
		if whole {
			t.said(t.line)
			t.line = t.line[:0]
		}
	}
	return total, nil
}

func (t *talk) said(line []byte) {
	if bytes.HasPrefix(line, []byte("{")) {
		t.count(line)
		return
	}
	text := plain(string(line))
	switch {
	case strings.Contains(text, "Current nuclei version: "):
		t.version = versionOf(text)
	case strings.Contains(text, "Current nuclei-templates version: "):
		_, rest, _ := strings.Cut(text, "version: ")
		if word, _, _ := strings.Cut(strings.TrimSpace(rest), " "); strings.HasPrefix(word, "v") {
			t.templates = engine.Clip(word, 32)
		}
	case strings.Contains(text, "Templates loaded for current scan: "):
		t.loaded = number(text[strings.LastIndexByte(text, ' ')+1:])
	case strings.HasPrefix(text, "[WRN] Found "):
		// "[WRN] Found 2 templates with syntax error (use -validate flag for further examination)"
		if words := strings.Fields(text); len(words) > 4 && strings.Contains(text, "error") {
			t.broken += number(words[2])
		}
	case strings.Contains(text, "from target list as found unresponsive"):
		t.gaveUp++
	case strings.Contains(text, "Scan completed in "):
		t.ended = true
	case strings.HasPrefix(text, "[FTL]"):
		t.fatal = engine.Clip(strings.TrimPrefix(text, "[FTL]"), 300)
	}
}

// plain is the text without the colours of terminals.
func plain(s string) string {
	if !strings.ContainsRune(s, 0x1b) {
		return s
	}
	return regexp.MustCompile("\x1b\\[[0-9;]*m").ReplaceAllString(s, "")
}

func (t *talk) count(line []byte) {
	var c struct {
		Requests  string `json:"requests"`
		Total     string `json:"total"`
		Errors    string `json:"errors"`
		Percent   string `json:"percent"`
		Templates string `json:"templates"`
	}
	if json.Unmarshal(line, &c) != nil || c.Requests == "" {
		return
	}
	t.counted = true
	t.requests, t.total, t.errors = number(c.Requests), number(c.Total), number(c.Errors)
	if t.loaded == 0 {
		t.loaded = number(c.Templates)
	}
	if t.progress != nil {
		t.progress(t.requests, t.total, number(c.Percent))
	}
}

func number(s string) int {
	n, err := strconv.Atoi(strings.TrimSpace(s))
	if err != nil || n < 0 || n > 1<<30 {
		return 0
	}
	return n
}
