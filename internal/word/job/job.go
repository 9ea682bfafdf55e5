// Package job is the vocabulary of ordered background work: kinds, arguments, and what a worker decides after a try.
//
// It knows no queue and no worker. Arguments hold ids only, so that a job row never carries data of an organization.
package job

import "assay.dev/assay/internal/word/uid"

// Kind names a job, dotted noun.verb. Kinds are stored, so one is never renamed.
type Kind string

// Job kinds.
const (
	RunScan Kind = "scan.run"
)

// Scan are the arguments of RunScan. Fence is the fencing number under which the dispatcher let the scan start; a
// worker that finds another number on the row does nothing.
type Scan struct {
	Org   uid.Org  `json:"org"`
	Scan  uid.Scan `json:"scan"`
	Fence int64    `json:"fence"`
}

// Decision is what happens to a job after a try.
type Decision uint8

// The three decisions.
const (
	Done    Decision = iota // finished, or not worth another try
	Retry                   // try again with the queue's backoff
	Requeue                 // give it back without counting the try: the process is stopping
)

// String returns the decision's name, as logs and metrics show it.
func (d Decision) String() string {
	switch d {
	case Done:
		return "done"
	case Retry:
		return "retry"
	case Requeue:
		return "requeue"
	}
	return "done"
}
