package engine

import "time"

// Looked is what a run looked at and with what, so that "nothing found" can be judged. It is kept and shown with the
// scan. Texts are the engine's; whoever keeps them bounds and cleans them.
type Looked struct {
	Databases []Database   `json:"databases,omitempty"`
	Targets   []TargetLook `json:"targets,omitempty"`
	Sources   []SourceLook `json:"sources,omitempty"`
}

// Bounds of a Looked; what is over is left out.
const (
	MaxDatabases   = 20
	MaxTargetLooks = 4_096
	MaxSourceLooks = 200
)

// Database is a body of knowledge that the engine judged by: rules, advisories, templates.
type Database struct {
	Name      string    `json:"name"`
	Version   string    `json:"version,omitempty"`
	UpdatedAt time.Time `json:"updatedAt,omitzero"`
	Entries   int       `json:"entries,omitempty"` // rules or templates that were loaded
}

// TargetLook is what became of one address, URL or file tree.
type TargetLook struct {
	Target string    `json:"target"`
	State  LookState `json:"state"`
	Reason string    `json:"reason,omitempty"`
}

// LookState is how far a look at something came.
type LookState string

// Look states.
const (
	LookReached     LookState = "reached"     // looked at to the end
	LookPartial     LookState = "partial"     // reached, but not looked at to the end
	LookUnreachable LookState = "unreachable" // gave no answer
	LookTimedOut    LookState = "timed_out"
	LookSkipped     LookState = "skipped" // left out on purpose; Reason says why
)

// SourceLook is what became of one third party that was asked.
type SourceLook struct {
	Source string      `json:"source"`
	State  SourceState `json:"state"`
	Found  int         `json:"found"`
	Reason string      `json:"reason,omitempty"`
}

// SourceState is how a source answered.
type SourceState string

// Source states.
const (
	SourceAnswered SourceState = "answered" // also with nothing
	SourceFailed   SourceState = "failed"
	SourceNoKey    SourceState = "no_key" // wants a key that isn't there
	SourceTimedOut SourceState = "timed_out"
	SourceSkipped  SourceState = "skipped"
)
