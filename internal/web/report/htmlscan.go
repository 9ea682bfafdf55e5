package report

import (
	"encoding/json"
	"html/template"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/scan"
	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/scan/finding"
)

// ScanDocument is a scan that has ended with what is told of it beside its findings.
type ScanDocument struct {
	Scan      scan.Scan
	Assets    []asset.Observation
	Artifacts []scan.Artifact
	Looked    engine.Looked
	Only      []string  // what the findings were narrowed to, one sentence each; empty = all findings
	Version   string    // of the product
	Now       time.Time // when the document is made
	// Packages tells what the target holds, and whether that is all that the engine listed; nil = nothing is known. Only
	// the bill of materials asks.
	Packages func(f func(finding.Package) error) (whole bool, err error)
}

// headView is everything above the findings.
type headView struct {
	Policy      string
	CSS         template.CSS
	Title       string
	Kicker      string
	Headline    string
	Lede        string
	Verdict     *verdict
	CountsTitle string
	Counts      []count
	Bar         []segment
	BarLabel    string
	FactsTitle  string
	Facts       []fact
	Lists       []listView
}

type verdict struct {
	Tone, Title, Text string
	Reasons           []string
}

type count struct{ Class, Name, N string }

type segment struct {
	Class    string
	X, Width int
}

type listView struct {
	ID, Title string
	Items     []string
}

func newHead(title, kicker, headline string) headView {
	return headView{
		Policy: policy(), CSS: template.CSS(pageStyle), //nolint:gosec // our own file, whose digest the policy names
		Title: visible(title), Kicker: kicker, Headline: visible(headline),
	}
}

func (d ScanDocument) head() headView {
	s := d.Scan
	h := newHead("Scan report: "+s.Target, "Assay scan report", s.Target)
	h.Lede = d.lede()
	v := judge(s)
	v.Reasons = visibles(s.Reasons)
	if s.Error != nil {
		v.Reasons = append(v.Reasons, visible(s.Error.Message))
	}
	slices.Sort(v.Reasons)
	v.Reasons = slices.Compact(v.Reasons)
	h.Verdict = &v
	h.tally("Findings by severity", s.Summary)
	h.FactsTitle, h.Facts = "The scan", d.facts()
	h.Lists = d.lists()
	return h
}

// tally shows counts by severity, as numbers and as one bar.
func (h *headView) tally(title string, s finding.Summary) {
	h.CountsTitle = title
	h.Counts = []count{
		{"critical", "Critical", thousands(s.Critical)},
		{"high", "High", thousands(s.High)},
		{"medium", "Medium", thousands(s.Medium)},
		{"low", "Low", thousands(s.Low)},
		{"info", "Information", thousands(s.Info)},
	}
	if s.Total == 0 {
		return
	}
	counts := []int{s.Critical, s.High, s.Medium, s.Low, s.Info}
	sum, labels := 0, []string{}
	for i, n := range counts {
		from := sum * 1000 / s.Total
		sum += n
		if n > 0 {
			h.Bar = append(h.Bar, segment{Class: h.Counts[i].Class, X: from, Width: max(sum*1000/s.Total-from, 1)})
			labels = append(labels, h.Counts[i].N+" "+strings.ToLower(h.Counts[i].Name))
		}
	}
	h.BarLabel = "Share of each severity: " + strings.Join(labels, ", ")
}

// lede is the one sentence for who reads one sentence.
func (d ScanDocument) lede() string {
	s := d.Scan
	text := engineName(s)
	switch n := s.Summary.Total; {
	case n == 0 && s.Outcome == engine.Complete:
		text += " found nothing"
	case n == 0:
		text += " has nothing to report"
	case n == 1:
		text += " found one thing"
	default:
		text += " found " + thousands(n) + " things"
	}
	if worst := worstOf(s.Summary); worst != "" {
		text += ", the worst of them of severity " + worst
	}
	return text + ". " + judge(s).Title + "."
}

func worstOf(s finding.Summary) string {
	switch {
	case s.Critical > 0:
		return "critical"
	case s.High > 0:
		return "high"
	case s.Medium > 0:
		return "medium"
	case s.Low > 0:
		return "low"
	case s.Info > 0:
		return "information"
	}
	return ""
}

func engineName(s scan.Scan) string { return visible(strings.TrimSpace(s.Engine + " " + s.Version)) }

// judge says how much the scan's silence is worth.
func judge(s scan.Scan) verdict {
	if s.Status == scan.Cancelled {
		return verdict{Tone: "warn", Title: "Cancelled before its end", Text: "Somebody stopped the scan. What it had found by then is listed; what isn't listed wasn't necessarily looked for."}
	}
	if s.Status == scan.Failed {
		return verdict{Tone: "bad", Title: "The scan failed", Text: "It didn't come to its end. That nothing is listed of a place says nothing about that place."}
	}
	switch s.Outcome {
	case engine.Complete:
		return verdict{Tone: "good", Title: "Complete", Text: "The engine came to its end and reached what it was asked to look at. What isn't listed was looked for and not found, within the bounds below."}
	case engine.Partial:
		return verdict{Tone: "warn", Title: "Partial: something was not looked at", Text: "Part of what was asked for wasn't looked at, for the reasons below. Silence about that part proves nothing, and no earlier finding there was closed."}
	case engine.Blocked:
		return verdict{Tone: "bad", Title: "Blocked", Text: "Something kept the engine from looking. Silence proves nothing here."}
	case engine.NothingReachable:
		return verdict{Tone: "bad", Title: "Nothing was reachable", Text: "The target didn't answer. That is no sign that it is secure."}
	case engine.Failed:
		return verdict{Tone: "bad", Title: "The scan failed", Text: "It didn't come to its end. That nothing is listed of a place says nothing about that place."}
	}
	return verdict{Tone: "warn", Title: "Ended", Text: "How much of the target was looked at isn't known."}
}

func (d ScanDocument) facts() []fact {
	s := d.Scan
	var out []fact
	add := func(name, value string, mono bool) {
		if value != "" {
			out = append(out, fact{Name: name, Value: visible(value), Mono: mono})
		}
	}
	add("Name", s.Name, false)
	add("Target", s.Target, false)
	add("Kind of target", string(s.TargetType), false)
	add("Engine", engineName(s), false)
	add("Ordered", timeText(s.CreatedAt), false)
	add("Started", timeText(s.StartedAt), false)
	add("Ended", timeText(s.EndedAt), false)
	add("Took", took(s.StartedAt, s.EndedAt), false)
	add("Tags", strings.Join(s.Tags, ", "), false)
	add("Scan", string(s.ID), true)
	return out
}

func timeText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return moment(t)
}

// took is a duration for people; nothing where either end is missing.
func took(from, to time.Time) string {
	if from.IsZero() || to.IsZero() || to.Before(from) {
		return ""
	}
	d := to.Sub(from)
	switch {
	case d < time.Second:
		return "less than a second"
	case d < time.Minute:
		return strconv.Itoa(int(d/time.Second)) + " s"
	case d < time.Hour:
		return strconv.Itoa(int(d/time.Minute)) + " min " + strconv.Itoa(int(d%time.Minute/time.Second)) + " s"
	}
	return strconv.Itoa(int(d/time.Hour)) + " h " + strconv.Itoa(int(d%time.Hour/time.Minute)) + " min"
}

func (d ScanDocument) lists() []listView {
	out := []listView{{ID: "looked", Title: "What was looked at", Items: d.looked()}, {ID: "not", Title: "What was not looked at", Items: d.notLooked()}}
	if len(d.Artifacts) > 0 {
		kept := listView{ID: "kept", Title: "Raw output kept as proof"}
		for _, a := range d.Artifacts {
			text := visible(a.Name) + ", " + thousands(int(a.Size)) + " bytes, SHA-256 " + visible(a.SHA256)
			if a.Truncated {
				text += ", cut off"
			}
			kept.Items = append(kept.Items, text)
		}
		out = append(out, kept)
	}
	return out
}

// looked lists what bounded the scan from the inside: the target, its options, and what answered.
func (d ScanDocument) looked() []string {
	s := d.Scan
	items := []string{"The target " + visible(s.Target) + ", by " + engineName(s) + "."}
	given := optionTexts(s.Options)
	if len(given) == 0 {
		items = append(items, "With the engine's default options.")
	}
	for _, o := range given {
		items = append(items, "With the option "+o+".")
	}
	seen := map[asset.Kind]int{}
	for _, a := range d.Assets {
		seen[a.Kind]++
	}
	var there []string
	for _, kind := range slices.Sorted(maps.Keys(seen)) {
		name := visible(strings.ReplaceAll(string(kind), "_", " "))
		if seen[kind] != 1 {
			name += "s"
		}
		there = append(there, thousands(seen[kind])+" "+name)
	}
	if len(there) > 0 {
		items = append(items, "Seen there: "+strings.Join(there, ", ")+".")
	}
	return append(items, d.covered()...)
}

// maxStates is how many targets or sources in one state an HTML document names.
const maxStates = 20

// covered says by what was judged, and what became of each target and source.
func (d ScanDocument) covered() []string {
	var items []string
	for _, db := range d.Looked.Databases {
		text := "Judged by " + strings.TrimSpace(visible(db.Name)+" "+visible(db.Version))
		if db.Entries > 0 {
			text += ", " + thousands(db.Entries) + " entries"
		}
		if !db.UpdatedAt.IsZero() {
			text += ", as of " + moment(db.UpdatedAt)
		}
		items = append(items, text+".")
	}
	for _, state := range []engine.LookState{engine.LookReached, engine.LookPartial} {
		var names []string
		for _, t := range d.Looked.Targets {
			if t.State == state {
				names = append(names, because(t.Target, t.Reason))
			}
		}
		title := map[engine.LookState]string{engine.LookReached: "Looked at to the end", engine.LookPartial: "Looked at in part"}[state]
		items = append(items, tellNames(title, names)...)
	}
	var asked []string
	for _, s := range d.Looked.Sources {
		if s.State == engine.SourceAnswered {
			asked = append(asked, visible(s.Source)+" ("+thousands(s.Found)+" found)")
		}
	}
	return append(items, tellNames("Asked about the target", asked)...)
}

// uncovered says which targets and sources told nothing.
func (d ScanDocument) uncovered() []string {
	var items, sources []string
	for _, s := range d.Looked.Sources {
		if s.State != engine.SourceAnswered {
			sources = append(sources, because(s.Source, strings.TrimSpace(words(string(s.State))+" "+s.Reason)))
		}
	}
	for _, state := range []engine.LookState{engine.LookUnreachable, engine.LookTimedOut, engine.LookSkipped} {
		var names []string
		for _, t := range d.Looked.Targets {
			if t.State == state {
				names = append(names, because(t.Target, t.Reason))
			}
		}
		title := map[engine.LookState]string{
			engine.LookUnreachable: "Gave no answer", engine.LookTimedOut: "Not looked at in time", engine.LookSkipped: "Left out",
		}[state]
		items = append(items, tellNames(title, names)...)
	}
	return append(items, tellNames("Sources that told nothing", sources)...)
}

func words(s string) string { return strings.ReplaceAll(s, "_", " ") }

func because(what, why string) string {
	if why == "" {
		return visible(what)
	}
	return visible(what) + " (" + visible(why) + ")"
}

// tellNames is a line that names some things and counts the rest.
func tellNames(title string, names []string) []string {
	if len(names) == 0 {
		return nil
	}
	rest := ""
	if n := len(names) - maxStates; n > 0 {
		names, rest = names[:maxStates], ", and "+thousands(n)+" more"
	}
	return []string{title + ": " + strings.Join(names, ", ") + rest + "."}
}

// optionTexts writes options down as name and value; lists and objects stay JSON.
func optionTexts(raw json.RawMessage) []string {
	var options map[string]json.RawMessage
	if json.Unmarshal(raw, &options) != nil {
		return nil
	}
	var out []string
	for _, name := range slices.Sorted(maps.Keys(options)) {
		value := string(options[name])
		var text string
		if json.Unmarshal(options[name], &text) == nil {
			value = text
		}
		out = append(out, visible(name)+" = "+visible(value))
	}
	return out
}

// notLooked lists what the document doesn't speak of.
func (d ScanDocument) notLooked() []string {
	s := d.Scan
	var items []string
	if s.Outcome != engine.Complete || s.Status != scan.Completed {
		items = append(items, visibles(s.Reasons)...)
	}
	for _, a := range d.Artifacts {
		if a.Truncated {
			items = append(items, "What the engine wrote behind the end of "+visible(a.Name)+", which was longer than is kept.")
		}
	}
	if !authenticated(s.Config) {
		items = append(items, "Anything behind a sign-in: the scan was given no credentials.")
	}
	items = append(items,
		"Anything but the target, and anything that its options leave out.",
		d.others())
	for _, o := range d.Only {
		items = append(items, visible(o))
	}
	slices.Sort(items[:len(items)-2-len(d.Only)])
	items = append(items, d.uncovered()...)
	return slices.Compact(items)
}

// others says whose word the document doesn't hold.
func (d ScanDocument) others() string {
	if d.Scan.Course != nil {
		return "What engines look for that had no part in this scan."
	}
	return "What other engines look for: this document holds one scan by one engine."
}

func authenticated(config json.RawMessage) bool {
	var c map[string]json.RawMessage
	if json.Unmarshal(config, &c) != nil {
		return false
	}
	return len(c["authentication"]) > 0 && string(c["authentication"]) != "null"
}

func (d ScanDocument) intro() string {
	if len(d.Only) > 0 {
		return "Worst first. " + visible(strings.Join(d.Only, " "))
	}
	if d.Scan.Summary.Total == 0 {
		return ""
	}
	return "Worst first. The state of each finding is the one it is in now."
}

func (d ScanDocument) none() string {
	switch {
	case len(d.Only) > 0:
		return "No finding of this scan matches."
	case d.Scan.Outcome == engine.Complete && d.Scan.Status == scan.Completed:
		return "Nothing was found."
	}
	return "No findings are recorded. That isn't the same as nothing being wrong: see what was not looked at."
}

func visibles(list []string) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = visible(s)
	}
	return out
}
