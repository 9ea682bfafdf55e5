package zap

import (
	"encoding/json"
	"io"
	"strings"

	"assay.dev/assay/internal/scan/engine"
)

// artifactName and mediaType are how the raw output is kept: a line of JSON for each record, in the order in which
// things became known, so that a file that was cut off still reads.
const (
	artifactName = "zap.jsonl"
	mediaType    = "application/jsonl"
)

// record is one line of the raw output; one of its fields is set.
type record struct {
	Run   *runRecord   `json:"run,omitempty"`
	Rules *rulesRecord `json:"rules,omitempty"`
	Alert *alert       `json:"alert,omitempty"`
	End   *ending      `json:"end,omitempty"`
}

// runRecord begins the output.
type runRecord struct {
	Version string `json:"version"`
	Target  string `json:"target"`
	Plan    string `json:"plan"`
	Driver  string `json:"driver"`
}

// rulesRecord names the rules by which was judged: passive ones that were switched on, active ones that came to their
// end. Only their silence counts.
type rulesRecord struct {
	Passive []string `json:"passive,omitempty"`
	Active  []string `json:"active,omitempty"`
}

// ending says how far each step came.
type ending struct {
	Spider  step `json:"spider,omitempty"`
	Ajax    step `json:"ajaxSpider,omitempty"`
	Passive step `json:"passive,omitempty"`
	Active  step `json:"active,omitempty"`
	URLs    int  `json:"urls"`
	Gone    bool `json:"gone,omitempty"` // the target was dead at the end
}

// step is how far a step came; empty = it wasn't ordered.
type step string

// Steps' ends.
const (
	stepDone    step = "done"
	stepCut     step = "time_limit" // ended by its own limit
	stepHung    step = "no_progress"
	stepStopped step = "stopped" // by a cancel or the scan's deadline
	stepMissing step = "not_installed"
	stepFailed  step = "failed"
)

// whole reports whether silence after the step counts.
func (s step) whole() bool { return s == stepDone }

// alert is what ZAP tells of one weakness at one place; what else it tells isn't kept.
type alert struct {
	ID          word            `json:"id,omitempty"`
	PluginID    word            `json:"pluginId,omitempty"`
	AlertRef    word            `json:"alertRef,omitempty"`
	Name        word            `json:"name,omitempty"`
	Risk        word            `json:"risk,omitempty"`
	Confidence  word            `json:"confidence,omitempty"`
	CWE         word            `json:"cweid,omitempty"`
	WASC        word            `json:"wascid,omitempty"`
	Method      word            `json:"method,omitempty"`
	URL         word            `json:"url,omitempty"`
	NodeName    word            `json:"nodeName,omitempty"`
	Param       word            `json:"param,omitempty"`
	InputVector word            `json:"inputVector,omitempty"`
	Attack      word            `json:"attack,omitempty"`
	Evidence    word            `json:"evidence,omitempty"`
	Description word            `json:"description,omitempty"`
	Solution    word            `json:"solution,omitempty"`
	Other       word            `json:"other,omitempty"`
	Reference   word            `json:"reference,omitempty"`
	SourceID    word            `json:"sourceid,omitempty"`
	Tags        map[string]word `json:"tags,omitempty"`
}

// texts are the fields that may repeat what was sent or answered.
func (a *alert) texts() []*word {
	return []*word{&a.URL, &a.NodeName, &a.Param, &a.Attack, &a.Evidence, &a.Other, &a.Description}
}

// recorder writes the raw output.
type recorder struct {
	to      engine.Artifact
	secrets *strings.Replacer // values of the order's headers, which an answer may have echoed
}

func newRecorder(to engine.Artifact, req engine.Request) *recorder {
	var pairs []string
	for _, h := range req.Config.Headers {
		if v := h.Value.Reveal(); len(v) >= minSecret {
			pairs = append(pairs, v, "[masked]")
		}
		// The part behind a scheme ("Bearer …") is the secret; it may be echoed without it.
		if _, v, ok := strings.Cut(h.Value.Reveal(), " "); ok && len(v) >= minSecret {
			pairs = append(pairs, v, "[masked]")
		}
	}
	return &recorder{to: to, secrets: strings.NewReplacer(pairs...)}
}

// minSecret is the length below which a header's value isn't looked for: "1" is no secret, and everywhere.
const minSecret = 4

func (r *recorder) write(rec record) error {
	if a := rec.Alert; a != nil {
		if revealing(string(a.PluginID)) {
			a.Evidence, a.Other, a.Attack = "", "", ""
		}
		for _, t := range a.texts() {
			*t = word(r.secrets.Replace(string(*t)))
		}
	}
	b, err := json.Marshal(rec)
	if err != nil {
		return err
	}
	_, err = r.to.Write(append(b, '\n'))
	return err
}

// tail keeps the last bytes of what the program prints, for the log.
type tail struct{ kept []byte }

var _ io.Writer = (*tail)(nil)

// Write implements io.Writer and never fails.
func (t *tail) Write(p []byte) (int, error) {
	const most = 4 << 10
	t.kept = append(t.kept, p[max(0, len(p)-most):]...)
	t.kept = t.kept[max(0, len(t.kept)-most):]
	return len(p), nil
}
