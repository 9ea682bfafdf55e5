package nikto

import (
	"bytes"
	"regexp"
	"strconv"
)

// watch keeps what Nikto prints, and tells its progress. It is written to by one goroutine and read after that.
type watch struct {
	report  func(percent int, phase string)
	status  *regexp.Regexp
	kept    bytes.Buffer
	cut     bool
	line    []byte
	percent int
}

func newWatch(report func(int, string)) *watch {
	return &watch{report: report, status: regexp.MustCompile(`Completed \d+ requests \(~(\d{1,3})% complete`)}
}

// Write implements io.Writer and never fails.
func (w *watch) Write(p []byte) (int, error) {
	n := min(len(p), maxText-w.kept.Len())
	w.kept.Write(p[:n])
	w.cut = w.cut || n < len(p)
	for rest := p; len(rest) > 0; {
		line, after, whole := bytes.Cut(rest, []byte("\n"))
		if room := 4<<10 - len(w.line); room > 0 {
			w.line = append(w.line, line[:min(len(line), room)]...)
		}
		if whole {
			w.take()
			w.line = w.line[:0]
		}
		rest = after
	}
	return len(p), nil
}

func (w *watch) take() {
	if m := w.status.FindSubmatch(w.line); m != nil {
		n, err := strconv.Atoi(string(m[1]))
		if err == nil && n > w.percent {
			w.percent = min(n, 99)
			w.report(w.percent, "testing")
		}
	} else if bytes.HasPrefix(w.line, []byte("+ Target Port:")) && w.percent == 0 {
		w.percent = 1
		w.report(1, "testing")
	}
}

func (w *watch) said() string { return w.kept.String() }
