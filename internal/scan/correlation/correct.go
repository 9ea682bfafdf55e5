package correlation

import (
	"context"
	"slices"

	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/uid"
)

// correction is one act of a person on cases: pins that change, and what follows from them.
type correction struct {
	scene Scene
	in    Setting
	whole uid.Finding // stands for another case that joins as a whole

	added, dropped []Pin
}

func (c *correction) finding(id uid.Finding) (Standing, bool) {
	i := slices.IndexFunc(c.scene.Findings, func(f Standing) bool { return f.Finding == id })
	if i < 0 {
		return Standing{}, false
	}
	return c.scene.Findings[i], true
}

// add pins what isn't pinned yet.
func (c *correction) add(p Pin) {
	for _, have := range c.scene.Pins {
		if have.Finding == p.Finding && have.Other == p.Other || p.Other != "" && have.Finding == p.Other && have.Other == p.Finding {
			return
		}
	}
	c.added = append(c.added, p)
	c.scene.Pins = append(c.scene.Pins, p)
}

// drop takes pins back and returns them.
func (c *correction) drop(which func(Pin) bool) []Pin {
	var gone []Pin
	c.scene.Pins = slices.DeleteFunc(slices.Clone(c.scene.Pins), func(p Pin) bool {
		if which(p) {
			gone = append(gone, p)
			return true
		}
		return false
	})
	c.dropped = append(c.dropped, gone...)
	return gone
}

// takeOut parts a finding from its case: what a person put there goes as it came, with its group; another one alone.
// Whom people had joined to the rest through it stay joined.
func (c *correction) takeOut(f uid.Finding, pin Pin) {
	before, group := c.around(f)
	out := map[uid.Finding]bool{f: true}
	byHand := before.beliefs[f].By.ID != "" && len(before.groups) > 1
	if byHand {
		for _, m := range group {
			out[m] = true
		}
	}
	cut := c.drop(func(p Pin) bool { return p.Other != "" && out[p.Finding] != out[p.Other] })
	if !byHand && len(group) > 1 {
		pin.Finding = f
		c.add(pin)
	}
	// What only f held together is tied again, as whoever joined it said.
	var first uid.Finding
	for _, b := range c.scene.sets(c.in.Aliases) {
		i := slices.IndexFunc(b.members, func(m *Standing) bool { return before.holds(m.Finding) && !out[m.Finding] })
		switch {
		case i < 0:
		case first == "":
			first = b.members[i].Finding
		case len(cut) > 0:
			again := cut[0]
			again.Finding, again.Other = b.members[i].Finding, first
			c.add(again)
		}
	}
	if first != "" {
		for id := range c.in.Keep {
			c.in.Keep[id] = first
		}
	}
}

// putIn joins one finding to the case of the anchor. One that a person had taken out just goes back where correlation
// would put it, if that is there; one that has others around it leaves them.
func (c *correction) putIn(f, anchor uid.Finding, id uid.Case, pin Pin) error {
	at, ok := c.finding(f)
	if !ok {
		return fault.Missing("finding")
	}
	if at.Case == id || f == anchor {
		return nil
	}
	pin.Was = at.Case
	alone := func(p Pin) bool { return p.Finding == f && p.Other == "" }
	if i := slices.IndexFunc(c.scene.Pins, alone); i >= 0 {
		trial := Scene{Findings: c.scene.Findings, Pins: slices.DeleteFunc(slices.Clone(c.scene.Pins), alone)}
		for _, b := range trial.sets(c.in.Aliases) {
			if b.holds(f) && b.holds(anchor) {
				c.drop(alone)
				return nil
			}
		}
	} else if b, group := c.around(f); len(b.members) > 1 {
		c.drop(func(p Pin) bool { return p.Other != "" && (p.Finding == f || p.Other == f) })
		if len(group) > 1 {
			apart := pin
			apart.Finding = f
			c.add(apart)
		}
	}
	pin.Finding, pin.Other = f, anchor
	c.add(pin)
	return nil
}

// around returns the case to be that a finding is in, and the findings that correlation alone puts with it.
func (c *correction) around(f uid.Finding) (bunch, []uid.Finding) {
	for _, b := range c.scene.sets(c.in.Aliases) {
		for _, g := range b.groups {
			ids := make([]uid.Finding, len(g.Members))
			for i, m := range g.Members {
				ids[i] = uid.Finding(m.ID)
			}
			if slices.Contains(ids, f) {
				return b, ids
			}
		}
	}
	return bunch{}, nil
}

func (b *bunch) holds(f uid.Finding) bool {
	return slices.ContainsFunc(b.members, func(m *Standing) bool { return m.Finding == f })
}

// write keeps the pins and what follows from them.
func (c *correction) write(ctx context.Context, tx Tx) error {
	if err := tx.DropPins(ctx, c.dropped); err != nil {
		return err
	}
	var kept []Pin
	for _, p := range c.added {
		if slices.Contains(c.scene.Pins, p) {
			kept = append(kept, p)
		}
	}
	if err := tx.PutPins(ctx, kept); err != nil {
		return err
	}
	plan := Arrange(c.scene, c.in)
	if plan.Empty() {
		return nil
	}
	return tx.PutPlan(ctx, plan)
}
