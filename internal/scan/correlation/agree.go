package correlation

import (
	"slices"
	"strings"

	"assay.dev/assay/internal/scan/finding"
)

// Agreed is the confidence of members together. It is that of the most confident one, raised by independent agreement:
//
//	two that are tentative or better → at least firm
//	two that are firm or better      → certain
//
// Two members are independent where no witness stands behind both: engines that rest on one another, or that ask the
// same sources, are one witness. A further member never lowers the confidence, and an engine that is silent says
// nothing here.
func Agreed(members []Member) finding.Confidence {
	best := finding.Confidence("")
	heard := map[string]bool{}
	var voices []voice
	for _, m := range members {
		if m.Confidence.Better(best) {
			best = m.Confidence
		}
		v := voice{m.Confidence, witnessesOf(m)}
		if key := string(v.confidence) + " " + strings.Join(v.witnesses, " "); !heard[key] {
			heard[key] = true
			voices = append(voices, v)
		}
	}
	for i, a := range voices {
		for _, b := range voices[i+1:] {
			if !disjoint(a.witnesses, b.witnesses) {
				continue
			}
			if c := together(a.confidence, b.confidence); c.Better(best) {
				best = c
			}
		}
	}
	return best
}

// voice is what some witnesses say, and how sure they are.
type voice struct {
	confidence finding.Confidence
	witnesses  []string
}

// together is the confidence of two independent voices; empty where one of them doesn't say how sure it is.
func together(a, b finding.Confidence) finding.Confidence {
	low := a
	if a.Better(b) {
		low = b
	}
	switch low {
	case finding.Tentative:
		return finding.Firm
	case finding.Firm, finding.Certain:
		return finding.Certain
	}
	return ""
}

func disjoint(a, b []string) bool {
	return !slices.ContainsFunc(a, func(w string) bool { return slices.Contains(b, w) })
}

func (m Member) witnesses() []string {
	if len(m.Engines) > 0 {
		return m.Engines
	}
	return []string{m.Engine}
}

// witnessesOf returns whose eyes stand behind a member, sorted and each once.
func witnessesOf(m Member) []string {
	var out []string
	for _, e := range m.witnesses() {
		out = append(out, witness(e))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// witness names whose eyes an engine looks through: collectors of names that ask the same public sources are one.
func witness(engine string) string {
	switch strings.ToLower(engine) {
	case "harvester", "sublist3r":
		return "public sources"
	}
	return engine
}
