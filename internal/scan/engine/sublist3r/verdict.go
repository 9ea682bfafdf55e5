package sublist3r

import "assay.dev/assay/internal/scan/engine"

// outcome is how a run went.
type outcome struct {
	domain     string
	version    string
	original   bool
	answers    []answer
	unresolved int // names that no resolver answered for
	stopped    bool
	cut        bool
}

// verdict decides how much the run's silence is worth: only sources that answered count, and where none did, nothing was
// looked at.
func (o outcome) verdict() engine.Verdict {
	v := engine.Verdict{Version: o.version, Outcome: engine.Complete}
	weaken := func(reason string) {
		if v.Outcome == engine.Complete {
			v.Outcome = engine.Partial
		}
		v.Reasons = append(v.Reasons, reason)
	}
	answered, found, silent := 0, 0, 0
	for _, a := range o.answers {
		v.Looked.Sources = append(v.Looked.Sources, a.SourceLook)
		found += a.Found
		if a.State == engine.SourceAnswered {
			answered++
		}
		if a.silent {
			silent++
		}
	}
	v.Looked.Targets = []engine.TargetLook{{Target: o.domain, State: engine.LookSkipped, Reason: "third parties were asked about it; it was not connected to"}}
	switch {
	case o.stopped:
		weaken("The scan was stopped before all sources had answered.")
	case answered == 0 && found == 0 && silent == len(o.answers):
		v.Outcome = engine.NothingReachable
		v.Reasons = append(v.Reasons, "None of the sources could be reached, so nothing is known about names below the domain.")
	case answered == 0 && found == 0:
		v.Outcome = engine.Failed
		v.Reasons = append(v.Reasons, "None of the sources gave a usable answer, so nothing is known about names below the domain.")
	case answered < len(o.answers):
		weaken(count(answered, "source") + " of " + count(len(o.answers), "source") + " answered in full; what the others know is missing.")
	}
	for _, a := range o.answers {
		if a.State != engine.SourceAnswered {
			v.Reasons = append(v.Reasons, "Source "+a.Source+": "+a.Reason+".")
		}
	}
	if o.unresolved > 0 {
		weaken(count(o.unresolved, "name") + " couldn't be looked up: no DNS resolver answered.")
	}
	if o.cut {
		weaken("The raw output was larger than what is kept; what came after it is missing.")
	}
	if !o.original {
		v.Reasons = append(v.Reasons, "Asked by the built-in backend: the original Sublist3r is no longer maintained.")
	}
	return v
}
