package phase

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"assay.dev/assay/internal/scan"
	"assay.dev/assay/internal/scan/engine"
)

// looked is what the children looked at together, and what was left out on the way.
func (s *Service) looked(ctx context.Context, parent scan.Scan, children []scan.Scan) (engine.Looked, error) {
	var all []Look
	for _, c := range children {
		l, err := s.d.Store.Looked(ctx, parent.Org, c.ID)
		if err != nil {
			return engine.Looked{}, err
		}
		all = append(all, Look{Engine: c.Engine, Looked: c.Own(l)})
	}
	return scan.CleanLooked(Together(all, parent.Course.Left)), nil
}

// Look is what one engine looked at.
type Look struct {
	engine.Looked

	Engine string
}

// Together joins looks into one: each database and source once, and each target with the state in which all engines
// left it. Where they differ it was looked at in part, and the reason says by whom not. What was left out stands behind.
func Together(looks []Look, left []engine.TargetLook) engine.Looked {
	var out engine.Looked
	targets := map[string][]Look{}
	var order []string
	for _, l := range looks {
		for _, d := range l.Databases {
			same := func(o engine.Database) bool { return o.Name == d.Name && o.Version == d.Version }
			if !slices.ContainsFunc(out.Databases, same) {
				out.Databases = append(out.Databases, d)
			}
		}
		for _, s := range l.Sources {
			at := slices.IndexFunc(out.Sources, func(o engine.SourceLook) bool { return o.Source == s.Source && o.State == s.State })
			if at < 0 {
				out.Sources = append(out.Sources, s)
			} else {
				out.Sources[at].Found += s.Found
			}
		}
		for _, t := range l.Targets {
			if targets[t.Target] == nil {
				order = append(order, t.Target)
			}
			targets[t.Target] = append(targets[t.Target], Look{Engine: l.Engine, Looked: engine.Looked{Targets: []engine.TargetLook{t}}})
		}
	}
	slices.SortStableFunc(out.Databases, func(a, b engine.Database) int { return cmp.Compare(a.Name, b.Name) })
	for _, name := range order {
		out.Targets = append(out.Targets, agreed(name, targets[name]))
	}
	room := max(engine.MaxTargetLooks-len(left), 0)
	out.Targets = append(out.Targets[:min(len(out.Targets), room)], left...)
	return out
}

// agreed is one target as several engines left it.
func agreed(name string, looks []Look) engine.TargetLook {
	state := looks[0].Targets[0].State
	var why []string
	for _, l := range looks {
		t := l.Targets[0]
		if t.State != state {
			state = engine.LookPartial
		}
		if t.State == engine.LookReached {
			continue
		}
		text := l.Engine + ": " + strings.ReplaceAll(string(t.State), "_", " ")
		if t.Reason != "" {
			text += " (" + t.Reason + ")"
		}
		if !slices.Contains(why, text) {
			why = append(why, text)
		}
	}
	return engine.TargetLook{Target: name, State: state, Reason: strings.Join(why, "; ")}
}
