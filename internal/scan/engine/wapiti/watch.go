package wapiti

import (
	"bufio"
	"errors"
	"io"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync"

	"assay.dev/assay/internal/scan/engine"
)

// maxPages bounds the pages that are remembered.
const maxPages = 2_000

// summary is what Wapiti's output says of how it went. Both streams feed it.
type summary struct {
	tell    func(percent int, phase string)
	modules []string

	mu       sync.Mutex
	version  string
	pages    int // found
	counted  bool
	paths    map[string]bool // of pages that a module looked at
	begun    []string        // modules, in the order in which they were launched
	crashed  map[string]bool // modules that died; "" is one that isn't known
	unknown  []string        // modules that this release doesn't have
	skipped  int             // requests that got no answer
	refused  bool            // no connection to the target
	reported bool            // the report is written
	last     int
}

func newSummary(modules []string) *summary {
	return &summary{modules: modules, paths: map[string]bool{}, crashed: map[string]bool{}}
}

// lines feeds a stream line by line, for as long as it lasts.
func (s *summary) lines(r io.Reader, line func(string)) {
	b := bufio.NewReaderSize(r, maxLine)
	for {
		text, err := b.ReadSlice('\n')
		if len(text) > 0 {
			s.mu.Lock()
			line(strings.TrimSpace(plain(string(text))))
			s.mu.Unlock()
		}
		for errors.Is(err, bufio.ErrBufferFull) {
			_, err = b.ReadSlice('\n')
		}
		if err != nil {
			return
		}
	}
}

// expressions of the output, compiled once for each run.
type expressions struct{ found, page, skipped, module *regexp.Regexp }

func compile() expressions {
	return expressions{
		found:   regexp.MustCompile(`^\[\*\] Wapiti found (\d{1,9}) URLs? and forms`),
		page:    regexp.MustCompile(`^\[\+\] [A-Z]{1,10} (https?://\S+)`),
		skipped: regexp.MustCompile(`^(\d{1,9}) requests were skipped due to network issues`),
		module:  regexp.MustCompile(`attack/mod_([a-z_]{1,40})\.py`),
	}
}

// stdout reads one line of the standard output.
func (s *summary) stdout(re expressions) func(string) {
	trace := s.trace(re, false)
	return func(line string) {
		trace(line)
		switch {
		case strings.HasPrefix(line, "Wapiti"):
			if v := versionOf(line); v != "" {
				s.version = v
			}
		case strings.HasPrefix(line, "[*] Launching module "):
			s.begun = append(s.begun, label(strings.TrimPrefix(line, "[*] Launching module "), 40))
			s.progress("attacking: " + s.begun[len(s.begun)-1])
		case strings.HasPrefix(line, "[!] Unable to find a module named "):
			s.unknown = append(s.unknown, label(strings.TrimPrefix(line, "[!] Unable to find a module named "), 40))
		case strings.HasPrefix(line, "[!] Connection error with URL"):
			s.refused = true
		case strings.Contains(line, "report has been generated"):
			s.reported = true
		}
		if m := re.found.FindStringSubmatch(line); m != nil {
			s.pages, s.counted = whole(m[1]), true
			s.progress("attacking")
		}
		if m := re.skipped.FindStringSubmatch(line); m != nil {
			s.skipped += whole(m[1])
		}
		if m := re.page.FindStringSubmatch(line); m != nil {
			s.page(m[1])
		}
	}
}

// trace reads tracebacks, which name the module that died. Newer releases print them on the standard output, where
// addresses of pages stand, too; within says that all of the stream may be one.
func (s *summary) trace(re expressions, within bool) func(string) {
	return func(line string) {
		if strings.Contains(line, "Traceback (most recent call last)") {
			within = true
			if len(s.begun) == 0 {
				s.crashed[""] = true
			} else {
				s.crashed[s.begun[len(s.begun)-1]] = true
			}
		}
		if m := re.module.FindStringSubmatch(line); within && m != nil {
			s.crashed[m[1]] = true
		}
	}
}

func (s *summary) page(text string) {
	u, err := url.Parse(text)
	if err != nil || len(s.paths) > maxPages {
		return
	}
	path := u.Path
	if path == "" {
		path = "/"
	}
	s.paths[path] = true
	if len(s.begun) == 0 {
		s.progress("looking for pages")
	}
}

// progress counts modules; looking for pages is the first tenth.
func (s *summary) progress(phase string) {
	percent := 2
	if s.counted {
		percent = 10
	}
	if n := len(s.begun); n > 0 {
		percent = 10 + 89*(n-1)/max(len(s.modules), n)
	}
	s.last = min(max(s.last, percent), 99)
	if s.tell != nil {
		s.tell(s.last, phase)
	}
}

// ran reports whether a module, under either of its names, was launched and didn't die.
func (s *summary) ran(module string) bool {
	for _, name := range []string{module, renamed(module)} {
		for _, m := range s.begun {
			if name != "" && m == name && !s.crashed[m] && !s.crashed[""] {
				return true
			}
		}
	}
	return false
}

// missing are the modules that were asked for and didn't run to their end.
func (s *summary) missing() []string {
	var out []string
	for _, m := range s.modules {
		if !s.ran(m) {
			out = append(out, m)
		}
	}
	return out
}

func whole(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		return 0
	}
	return n
}

// looked says what was looked at.
func (s *summary) looked(target string, state engine.LookState, reason string) engine.Looked {
	l := engine.Looked{Targets: []engine.TargetLook{{Target: target, State: state, Reason: reason}}}
	if s.version != "" {
		l.Databases = []engine.Database{{Name: "Wapiti attack modules", Version: s.version, Entries: len(s.begun)}}
	}
	return l
}
