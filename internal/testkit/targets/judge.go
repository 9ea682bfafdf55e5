package targets

import (
	"slices"

	"assay.dev/assay/internal/scan/finding"
)

// Score is what one scan made of one target.
type Score struct {
	Found  []string `json:"found"`  // ids of flaws
	Missed []string `json:"missed"` // of flaws in their own right
	Twice  []string `json:"twice"`  // flaws that more than one finding tells, each as often as it is told again
	// False are findings that say that something is wrong where nothing was planted, as "rule at place".
	False []string `json:"false"`
	Notes int      `json:"notes"` // findings of severity info, which claim nothing
	// Told are the findings that tell each found flaw, as False names them.
	Told map[string][]string `json:"told"`
}

// Judge compares what a scan found with what was planted. Findings of severity info claim no flaw: they count where they
// tell one, and are never false.
func Judge(flaws []Flaw, seen []finding.Observation) Score {
	var s Score
	told := map[string][]string{}
	for _, o := range seen {
		own := slices.IndexFunc(flaws, func(f Flaw) bool { return f.Depends == "" && f.Is(o) && len(told[f.ID]) == 0 })
		if own < 0 {
			own = slices.IndexFunc(flaws, func(f Flaw) bool { return f.Depends == "" && f.Is(o) })
		}
		switch {
		case own >= 0:
			told[flaws[own].ID] = append(told[flaws[own].ID], o.Rule+" at "+place(o.Location))
		case slices.ContainsFunc(flaws, func(f Flaw) bool { return f.Is(o) }):
		case o.Severity == finding.Info:
			s.Notes++
		default:
			s.False = append(s.False, o.Rule+" at "+place(o.Location))
		}
	}
	for _, f := range flaws {
		switch n := len(told[f.ID]); {
		case f.Depends != "":
		case n == 0:
			s.Missed = append(s.Missed, f.ID)
		default:
			s.Found = append(s.Found, f.ID)
			for range n - 1 {
				s.Twice = append(s.Twice, f.ID)
			}
		}
	}
	slices.Sort(s.False)
	s.Told = told
	return s
}

func place(l finding.Location) string {
	p := l.Host
	if l.URL != "" {
		p = pathOf(l.URL)
	}
	if l.Parameter != "" {
		p += " " + l.Parameter
	}
	return p
}
