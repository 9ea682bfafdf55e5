package engine

// Conductor is what an engine also implements whose orders may have other engines work for them: such an order becomes
// a parent scan, which other scans carry out in phases.
type Conductor interface {
	// Conducts says whether an order with these options does, and how; an Invalid fault where options contradict each
	// other.
	Conducts(o Options) (Score, bool, error)
}

// Score is what an order says of the scans that carry it out.
type Score struct {
	Engines []string // to use; empty = all that fit
	Phases  []string // to go through, in order
}

// Phases of an order that several engines carry out.
const (
	PhaseInventory     = "inventory"     // what is there
	PhaseSurface       = "surface"       // what it shows
	PhaseVulnerability = "vulnerability" // what is wrong with it
)

// Phases lists the phases in their order.
func Phases() []string { return []string{PhaseInventory, PhaseSurface, PhaseVulnerability} }
