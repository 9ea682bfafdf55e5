package correlation

import (
	"slices"
	"strings"
)

// partition cuts the members of one bucket into cases.
//
// Sets of marks that are equal lie together. A set joins others that it overlaps with only where it and all of them
// share one mark: a set that touches several, which have nothing in common with each other, would chain things that
// don't belong together, so it stays by itself. Thus all members of a case share at least one mark, and whether two are
// in one case never depends on which came first.
func partition(in []tied) [][]tied {
	sets := map[string]*set{}
	for _, t := range in {
		text := strings.Join(t.Marks, "\x00")
		if sets[text] == nil {
			sets[text] = &set{text: text, marks: t.Marks}
		}
		sets[text].members = append(sets[text].members, t)
	}
	if len(sets) == 1 {
		return [][]tied{in}
	}
	holders := map[string][]*set{} // by mark
	for _, s := range sets {
		for _, m := range s.marks {
			holders[m] = append(holders[m], s)
		}
	}
	var out [][]tied
	done := map[*set]bool{}
	for _, s := range sets {
		if done[s] {
			continue
		}
		done[s] = true
		together := s.members
		if shared := s.shared(holders); shared != "" {
			for _, other := range holders[shared] {
				if !done[other] && other.shared(holders) != "" {
					done[other] = true
					together = append(together, other.members...)
				}
			}
		}
		out = append(out, together)
	}
	return out
}

// set is one distinct set of marks in a bucket.
type set struct {
	text    string
	marks   []string
	members []tied
}

// shared returns a mark that all sets which overlap with s hold, empty where there is none.
func (s *set) shared(holders map[string][]*set) string {
	best := slices.MaxFunc(s.marks, func(a, b string) int { return len(holders[a]) - len(holders[b]) })
	for _, m := range s.marks {
		if m == best {
			continue
		}
		for _, other := range holders[m] {
			if _, ok := slices.BinarySearch(other.marks, best); !ok {
				return ""
			}
		}
	}
	return best
}

func intersection(a, b []string) []string {
	var out []string
	for _, m := range a {
		if _, ok := slices.BinarySearch(b, m); ok {
			out = append(out, m)
		}
	}
	return out
}

func compareSets(a, b []string) Overlap {
	switch n := len(intersection(a, b)); {
	case n == len(a) && n == len(b):
		return Exact
	case n == len(a):
		return Subset
	case n == len(b):
		return Superset
	}
	return Partial
}
