package finding

import (
	"time"

	"assay.dev/assay/internal/word/uid"
)

// Fate is what a scan made of a finding.
type Fate string

// Fates.
const (
	Created    Fate = "created"    // never seen before
	Untouched  Fate = "untouched"  // seen again
	Reopened   Fate = "reopened"   // was fixed and is back
	Suppressed Fate = "suppressed" // a person decided on it; only the last-seen time moves
	Closed     Fate = "closed"     // a complete look no longer sees it
)

// Change is what became of one finding.
type Change struct {
	ID     uid.Finding
	Fate   Fate
	Status Status
}

// Next decides what an observation makes of a finding that was in status before ("" = unknown until now). Human
// decisions survive; only fixed comes back.
func Next(before Status) (Status, Fate) {
	switch before {
	case "":
		return Open, Created
	case Fixed:
		return Open, Reopened
	case Open:
		return Open, Untouched
	case Confirmed, FalsePositive, Accepted:
		return before, Suppressed
	}
	return before, Suppressed
}

// MayClose reports whether a run may close f: only an open finding of the same engine, last seen before this run, in
// a place that the run covered completely with the rule that saw it.
func MayClose(f Finding, engine string, started time.Time, cov Coverage) bool {
	return f.Status == Open && gone(f, engine, started, cov)
}

// MayMiss reports whether a run may note that it no longer sees f, on which a person has decided: where it could close
// f if nobody had. The decision stays.
func MayMiss(f Finding, engine string, started time.Time, cov Coverage) bool {
	return f.Status.Human() && gone(f, engine, started, cov)
}

func gone(f Finding, engine string, started time.Time, cov Coverage) bool {
	return f.Engine == engine && f.LastSeenAt.Before(started) && cov.Covers(f.Rule, f.Location)
}
