package harvester

import (
	"bytes"
	"strconv"
	"strings"

	"assay.dev/assay/internal/scan/engine"
)

// watcher reads what the program says, reports progress by it and keeps the first of it.
type watcher struct {
	env     engine.Env
	sources int
	seen    map[string]bool
	line    bytes.Buffer
	text    bytes.Buffer
}

// Write implements io.Writer and never fails.
func (w *watcher) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		i := bytes.IndexByte(rest, '\n')
		part := rest
		if i >= 0 {
			part = rest[:i]
		}
		w.line.Write(part[:min(len(part), max(0, 4<<10-w.line.Len()))])
		if i < 0 {
			break
		}
		w.end()
		rest = rest[i+1:]
	}
	return len(p), nil
}

// end takes the line that was begun.
func (w *watcher) end() {
	line := plain(w.line.String())
	w.line.Reset()
	_, _ = (&head{to: &w.text}).Write([]byte(line + "\n"))
	if name, ok := searching(line); ok && !w.seen[name] {
		w.seen[name] = true
		w.env.Progress(min(98, 1+len(w.seen)*97/max(1, w.sources)), "asking sources")
	}
}

// plain takes terminal colours out of a line.
func plain(line string) string {
	for {
		before, rest, found := strings.Cut(line, "\x1b[")
		code, after, closed := strings.Cut(rest, "m")
		if !found || !closed || strings.Trim(code, "0123456789;") != "" {
			return line
		}
		line = before + after
	}
}

// searching reads "[*] Searching CRTsh. " and returns the source's name in lower case.
func searching(line string) (string, bool) {
	rest, ok := strings.CutPrefix(strings.TrimSpace(line), "[*] Searching ")
	return strings.ToLower(strings.TrimSuffix(strings.TrimSpace(rest), ".")), ok
}

// outcome is how a run went.
type outcome struct {
	domain  string
	version string
	exit    engine.Exit
	said    string
	asked   []source
	looks   []engine.SourceLook // of sources that couldn't be asked
	summary *summary            // nil where the version writes none
	found   int
	cut     bool
}

// verdict decides how much the run's silence is worth.
func (o outcome) verdict() engine.Verdict {
	v := engine.Verdict{Version: o.version, Outcome: engine.Complete}
	weaken := func(outcome engine.Outcome, reason string) {
		if v.Outcome == engine.Complete {
			v.Outcome = outcome
		}
		v.Reasons = append(v.Reasons, reason)
	}
	answered, unreached := 0, 0
	for _, s := range o.asked {
		look, reached := o.look(s)
		v.Looked.Sources = append(v.Looked.Sources, look)
		if look.State == engine.SourceAnswered {
			answered++
		}
		if !reached {
			unreached++
		}
	}
	v.Looked.Sources = append(v.Looked.Sources, o.looks...)
	v.Looked.Targets = []engine.TargetLook{{Target: o.domain, State: engine.LookSkipped, Reason: "third parties were asked about it; it was not connected to"}}
	switch {
	case o.exit.Canceled:
		weaken(engine.Partial, "theHarvester was stopped before its end; it writes its results last.")
	case strings.Contains(o.said, "[!] Invalid source"):
		weaken(engine.Failed, "This version of theHarvester doesn't know one of the chosen sources.")
	case o.found == 0 && answered == 0 && unreached == len(o.asked):
		weaken(engine.NothingReachable, "None of the sources could be reached, so nothing is known about the domain.")
	case o.found == 0 && answered == 0:
		weaken(engine.Failed, "None of the sources gave a usable answer, so nothing is known about the domain.")
	case o.exit.Code != 0:
		weaken(engine.Partial, "theHarvester ended with an error; the raw output has what it said.")
	case answered < len(o.asked)+len(o.looks):
		weaken(engine.Partial, strconv.Itoa(answered)+" of "+strconv.Itoa(len(o.asked)+len(o.looks))+" sources answered in full; what the others know is missing.")
	}
	for _, l := range v.Looked.Sources {
		if l.State != engine.SourceAnswered {
			v.Reasons = append(v.Reasons, "Source "+l.Source+": "+l.Reason+".")
		}
	}
	if o.cut {
		weaken(engine.Partial, "The raw output was larger than what is kept; what came after it is missing.")
	}
	return v
}

// look says how a source behaved: by the run's own summary, else by what the program said. reached is false where no
// connection was made.
func (o outcome) look(s source) (l engine.SourceLook, reached bool) {
	l = engine.SourceLook{Source: s.ID, State: engine.SourceFailed}
	if o.exit.Canceled {
		l.State, l.Reason = engine.SourceSkipped, "the scan ended before its answer"
		return l, true
	}
	if o.summary != nil {
		return o.summary.look(s)
	}
	lower := strings.ToLower(o.said)
	host := strings.TrimPrefix(s.URL, "https://")
	switch {
	case missingKey(lower, s):
		l.State, l.Reason = engine.SourceNoKey, "the program says that its key is missing"
	case strings.Contains(lower, "cannot connect to host "+host+":"):
		l.Reason = "the program couldn't reach it"
		return l, false
	case strings.Contains(lower, "cannot connect to host 127.0.0.1:"), strings.Contains(lower, "message='forbidden', url='http://127.0.0.1"),
		strings.Contains(lower, "message='bad gateway', url='http://127.0.0.1"):
		l.Reason = "the program reports failed connections without saying to whom"
		return l, false
	case !o.searched(s):
		l.Reason = "the program didn't come to ask it"
	case strings.Contains(lower, host) && strings.Contains(lower, "an exception has occurred"):
		l.Reason = "the program reports an error of it"
	case o.found == 0:
		l.Reason = "it told nothing, and this version of the program doesn't tell an empty answer from a failed request"
	default:
		l.State = engine.SourceAnswered
	}
	return l, true
}

func missingKey(lower string, s source) bool {
	return strings.Contains(lower, "missing api key for "+strings.ToLower(s.ID)) || s.key != "" && strings.Contains(lower, "missing api key for "+strings.ToLower(s.key))
}

func (o outcome) searched(s source) bool {
	for line := range strings.SplitSeq(o.said, "\n") {
		if name, ok := searching(line); ok && name == strings.ToLower(s.ID) {
			return true
		}
	}
	return false
}

// summary is the first record of the JSONL document, which newer versions write.
type summary struct {
	Executions []struct {
		Source string `json:"source"`
		Status string `json:"status"`
		Count  int    `json:"result_count"`
		Error  string `json:"error_type"`
		Stop   string `json:"stop_reason"`
	} `json:"source_executions"`
}

// look says how a source behaved by the summary. An adapter that returned normally may still have swallowed an error, and
// nothing tells.
func (s *summary) look(of source) (l engine.SourceLook, reached bool) {
	l = engine.SourceLook{Source: of.ID, State: engine.SourceFailed, Reason: "the program didn't come to ask it"}
	for _, e := range s.Executions {
		if !strings.EqualFold(e.Source, of.ID) {
			continue
		}
		l.Found = max(0, e.Count)
		why := strings.ToLower(e.Error + " " + e.Stop)
		switch {
		case e.Status == "completed":
			l.State, l.Reason = engine.SourceAnswered, ""
		case e.Status == "rate-limited":
			l.Reason = "it has counted too many requests; try later"
		case strings.Contains(why, "missingkey"), strings.Contains(why, "missing_key"), strings.Contains(why, "missing-key"):
			l.State, l.Reason = engine.SourceNoKey, "the program says that its key is missing"
		case strings.Contains(why, "timeout"):
			l.State, l.Reason = engine.SourceTimedOut, "its answer didn't come in time"
		case e.Status == "skipped":
			l.State, l.Reason = engine.SourceSkipped, "the program left it out"
		case e.Status == "partial":
			l.Reason = "it answered in part"
		case strings.Contains(why, "connect"):
			l.Reason = "the program couldn't reach it"
			return l, false
		default:
			l.Reason = "the program reports an error of it"
		}
		return l, true
	}
	return l, true
}
