package phase

import (
	"fmt"
	"slices"
	"time"

	"assay.dev/assay/internal/scan"
	"assay.dev/assay/internal/scan/engine"
)

// Move is what is to be done with a parent.
type Move string

// Moves.
const (
	Wait  Move = "wait"  // for its children
	Begin Move = "begin" // its next phase
	Stop  Move = "stop"  // its children: its time is over, or it was cancelled
	Merge Move = "merge" // what its children have found, and end it
	Rest  Move = "rest"  // it has ended, and nothing is left to say
)

// grace is how long a cancelled child's worker may take for its last words, which belong to the parent's results.
const grace = 20 * time.Second

// Decide says what is to be done with a parent. It is pure, and all that is known of a parent is in the rows: whoever
// looks next, on whichever node and after whatever crash, comes to the same answer.
func Decide(parent scan.Scan, children []scan.Scan, now time.Time) Move {
	open := slices.ContainsFunc(children, func(c scan.Scan) bool { return !c.Status.Terminal() })
	speaking := slices.ContainsFunc(children, func(c scan.Scan) bool {
		return c.Status == scan.Cancelled && c.Attempt > 0 && c.Outcome == "" && now.Before(c.EndedAt.Add(grace))
	})
	switch {
	case parent.Course == nil, parent.Status.Terminal() && parent.Status != scan.Cancelled:
		return Rest
	case parent.Status == scan.Cancelled && parent.Outcome != "":
		return Rest
	case open && (parent.Status == scan.Cancelled || over(parent, now)):
		return Stop
	case open:
		return Wait
	case !parent.Status.Terminal() && !over(parent, now) && parent.Course.Begun < len(parent.Course.Phases):
		return Begin
	case speaking:
		return Wait
	}
	return Merge
}

// over reports whether the parent's time is.
func over(parent scan.Scan, now time.Time) bool {
	return !parent.StartedAt.IsZero() && !now.Before(deadline(parent, now))
}

// deadline is when a parent must end: its time runs from the start of its first child, and stands still while all that
// is open waits in the line. Of one that hasn't begun it is the deadline if it did now.
func deadline(parent scan.Scan, now time.Time) time.Time {
	from := parent.StartedAt
	if from.IsZero() {
		from = now
	}
	idle := parent.Course.Idle
	if since := parent.Course.IdleSince; !since.IsZero() {
		idle += max(now.Sub(since), 0)
	}
	return from.Add(time.Duration(parent.Timeout)*time.Second + idle)
}

// clock brings the parent's start, and how long it has stood still, up to now.
func clock(parent *scan.Scan, children []scan.Scan, now time.Time) {
	waits, runs := false, false
	for _, c := range children {
		waits = waits || c.Status == scan.Queued
		runs = runs || c.Status == scan.Running
		if parent.StartedAt.IsZero() && !c.StartedAt.IsZero() {
			parent.StartedAt, parent.Status, parent.Attempt = now, scan.Running, 1
		}
	}
	c := parent.Course
	if since := c.IdleSince; !since.IsZero() {
		c.Idle += max(now.Sub(since), 0)
	}
	c.IdleSince = time.Time{}
	if waits && !runs && !parent.StartedAt.IsZero() {
		c.IdleSince = now
	}
}

// weight is a phase's part of the whole, in time and progress.
func weight(phase string) int {
	switch phase {
	case engine.PhaseInventory:
		return 40
	case engine.PhaseSurface:
		return 35
	}
	return 25
}

// progress is how far a parent is, 0–99: each phase counts by its weight, and within a phase its children count alike,
// each as far as it says. It never goes back: what has been written stays where children are further.
func progress(parent scan.Scan, children []scan.Scan) int {
	c := parent.Course
	all, done := 0, 0
	for i, p := range c.Phases {
		all += 100 * weight(p)
		switch {
		case i < c.Begun-1:
			done += 100 * weight(p)
		case i == c.Begun-1:
			done += weight(p) * mean(children, p)
		}
	}
	if all == 0 {
		return parent.Progress
	}
	return max(parent.Progress, min(99*done/all, 99))
}

// mean is how far the children of a phase are, 0–100.
func mean(children []scan.Scan, phase string) int {
	n, sum := 0, 0
	for _, c := range children {
		if c.Stage != phase {
			continue
		}
		n++
		if c.Status.Terminal() {
			sum += 100
		} else {
			sum += min(max(c.Progress, 0), 99)
		}
	}
	if n == 0 {
		return 100
	}
	return sum / n
}

// standing says in words where a parent is.
func standing(parent scan.Scan, children []scan.Scan) string {
	c := parent.Course
	if c.Begun == 0 || c.Begun > len(c.Phases) {
		return parent.Phase
	}
	phase := c.Phases[c.Begun-1]
	n, ended := 0, 0
	for _, child := range children {
		if child.Stage == phase {
			n++
			if child.Status.Terminal() {
				ended++
			}
		}
	}
	return fmt.Sprintf("%s: %d of %d scans ended", phase, ended, n)
}
