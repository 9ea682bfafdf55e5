package sublist3r

import (
	"encoding/json"
	"strings"
	"sync"

	"assay.dev/assay/internal/scan/engine"
)

// artifactName and mediaType are how the raw output is kept: one record a line.
const (
	artifactName = "sublist3r.jsonl"
	mediaType    = "application/x-ndjson"
)

// Kinds of records.
const (
	kindRun      = "run"      // what ran: Backend, Domain
	kindName     = "name"     // Source told Name, as it wrote it
	kindSource   = "source"   // how Source answered: State, Found, Reason
	kindResolved = "resolved" // what the DNS said of Name: State, Addresses
)

// record is one line of the raw output.
type record struct {
	Kind      string   `json:"kind"`
	Backend   string   `json:"backend,omitempty"`
	Domain    string   `json:"domain,omitempty"`
	Source    string   `json:"source,omitempty"`
	Name      string   `json:"name,omitempty"`
	State     string   `json:"state,omitempty"`
	Found     int      `json:"found,omitempty"`
	Reason    string   `json:"reason,omitempty"`
	Addresses []string `json:"addresses,omitempty"`
}

// States of names in the DNS.
const (
	dnsKnown    = "known"
	dnsMissing  = "missing"
	dnsUnknown  = "unknown"  // no resolver answered
	dnsWildcard = "wildcard" // any name below the domain has this answer, so it proves nothing
)

// recorder writes the raw output and remembers which names it has written. It is safe for concurrent use.
type recorder struct {
	domain string
	mu     sync.Mutex
	to     engine.Artifact
	names  map[string]bool // clean names, of all sources
	err    error
}

func newRecorder(to engine.Artifact, domain string) *recorder {
	return &recorder{domain: domain, to: to, names: map[string]bool{}}
}

func (r *recorder) write(rec record) {
	line, err := json.Marshal(rec)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		return
	}
	if err == nil {
		_, err = r.to.Write(append(line, '\n'))
	}
	r.err = err
}

// note remembers a name that some source told, and reports whether it lies below the domain.
func (r *recorder) note(text string) (name string, ok bool) {
	if name, ok = clean(text, r.domain); !ok {
		return "", false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.names) < maxNames {
		r.names[name] = true
	}
	return name, true
}

// list writes down the names of one source, each once.
type list struct {
	r      *recorder
	source string
	seen   map[string]bool
	found  int  // of them below the domain
	cut    bool // more than maxSource came
}

func (r *recorder) list(source string) *list {
	return &list{r: r, source: source, seen: map[string]bool{}}
}

func (l *list) tell(text string) {
	text = strings.TrimSpace(text)
	if text == "" || len(text) > 300 || l.seen[text] {
		return
	}
	if len(l.seen) >= maxSource {
		l.cut = true
		return
	}
	l.seen[text] = true
	if _, ok := l.r.note(text); ok {
		l.found++
	}
	l.r.write(record{Kind: kindName, Source: l.source, Name: text})
}

// clean returns a name as DNS writes it, lower-case and without the trailing dot, if it lies below the domain or is it.
// Wildcards stand for the name that they hang on, and of an e-mail address the host is taken.
func clean(text, domain string) (string, bool) {
	name := strings.ToLower(strings.TrimSpace(text))
	if i := strings.LastIndexByte(name, '@'); i >= 0 {
		name = name[i+1:]
	}
	name = strings.TrimSuffix(name, ".")
	for strings.HasPrefix(name, "*.") {
		name = name[2:]
	}
	if domain == "" || len(name) > 253 || name != domain && !strings.HasSuffix(name, "."+domain) {
		return "", false
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return "", false
		}
	}
	return name, true
}
