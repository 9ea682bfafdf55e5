package trivy

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/scan/finding"
)

// verdict decides how much the run's silence is worth.
func (r *runner) verdict() engine.Verdict {
	v := engine.Verdict{Version: r.version}
	look := engine.TargetLook{Target: r.req.Target.String(), State: engine.LookReached}
	add := func(outcome engine.Outcome, reason string) {
		if v.Outcome == "" {
			v.Outcome = outcome
		}
		v.Reasons = append(v.Reasons, reason)
	}
	wanted := slices.Contains(r.req.Options.Set("scanners"), scanVuln)
	switch {
	case len(r.plan.scanners) == 0:
		add(engine.Failed, noDatabase)
		look.State, look.Reason = engine.LookSkipped, "no vulnerability database"
	case r.exit.Canceled:
		add(engine.Failed, "Trivy was stopped before its end; it reports nothing until then.")
		look.State = engine.LookPartial
	case !r.shape.whole():
		outcome, reason := r.gaveUp()
		add(outcome, reason)
		look.State = engine.LookPartial
		if outcome == engine.NothingReachable || outcome == engine.Blocked {
			look.State = engine.LookUnreachable
		}
	case r.raw.Truncated():
		add(engine.Partial, "The report was larger than what is kept; what came after it is missing.")
		look.State = engine.LookPartial
	default:
		r.judgeWhole(add, wanted)
		if r.plan.noJava || wanted && !r.hasDB {
			look.State = engine.LookPartial
		}
	}
	if v.Outcome == "" {
		v.Outcome = engine.Complete
	}
	r.ages(&v, wanted)
	cover := r.covered(v.Outcome)
	v.Coverage = &cover
	v.Looked = engine.Looked{Databases: r.databases(), Targets: []engine.TargetLook{look}}
	return v
}

// noDatabase is said where vulnerabilities were asked for in vain.
const noDatabase = "There is no vulnerability database, so nothing was looked for in it. The operator names its folder in trivy_db."

func (r *runner) judgeWhole(add func(engine.Outcome, string), wanted bool) {
	if wanted && !r.hasDB {
		add(engine.Partial, noDatabase)
	}
	if r.plan.noJava {
		add(engine.Partial, "The image holds Java archives, which weren't looked at: there is no database for them (trivy image --download-java-db-only).")
	}
}

// ages says how old the database is, where that matters.
func (r *runner) ages(v *engine.Verdict, wanted bool) {
	if !wanted || !r.hasDB || r.db.look.UpdatedAt.IsZero() {
		return
	}
	if age := r.env.Now().Sub(r.db.look.UpdatedAt); age > stale {
		v.Reasons = append(v.Reasons, "The vulnerability database is "+strconv.Itoa(int(age/(24*time.Hour)))+" days old.")
	}
}

// databases are what the run judged by.
func (r *runner) databases() []engine.Database {
	var out []engine.Database
	if r.hasDB {
		out = append(out, r.db.look)
	}
	if slices.ContainsFunc(r.plan.scanners, func(s string) bool { return s != scanVuln }) && r.version != "" {
		out = append(out, engine.Database{Name: "Trivy's own checks and secret rules", Version: r.version})
	}
	return out
}

// gaveUp reads why there is no whole report.
func (r *runner) gaveUp() (engine.Outcome, string) {
	text := r.log.fatal()
	has := func(signs ...string) bool {
		return slices.ContainsFunc(signs, func(s string) bool { return strings.Contains(text, s) })
	}
	switch {
	case r.exit.Signaled:
		return engine.Failed, "Trivy was killed before its end; it may have needed more memory than it may have."
	case r.plan.image && has("Forbidden", "403"):
		return engine.Blocked, "The registry sent Trivy to an address that this scan may not reach, or refused the image: allow the registry's domains in the organization's scan scope."
	case r.plan.image && has("UNAUTHORIZED", "DENIED", "Unauthorized", "401", "authentication required"):
		return engine.Failed, "The registry wants other credentials than it was given."
	case r.plan.image && has("MANIFEST_UNKNOWN", "NAME_UNKNOWN", "404 Not Found"):
		return engine.Failed, "The registry doesn't have this image."
	case r.plan.image && has("no child with platform", "platform"):
		return engine.Failed, "The reference holds no image of the wanted platform."
	case r.plan.image && has("unable to find the specified image", "dial tcp", "Bad Gateway", "502", "connection refused"):
		return engine.NothingReachable, "The registry could not be reached, or gave no image."
	case has("DB error", "DB schema", "vulnerability DB"):
		return engine.Failed, "Trivy can't read its vulnerability database; it may be of another release."
	case has("deadline exceeded"):
		return engine.Failed, "Trivy ran out of time."
	case r.shape.seen && !r.shape.bad:
		return engine.Partial, "The report ends early."
	}
	return engine.Failed, "Trivy ended without a report."
}

// covered is where silence counts: nowhere, unless the report is whole. What was left out for want of a database isn't
// covered; the rest is.
func (r *runner) covered(o engine.Outcome) finding.Coverage {
	if o != engine.Complete && o != engine.Partial || !r.shape.whole() || r.raw.Truncated() || r.plan.noJava {
		return finding.Coverage{}
	}
	return coverage(r.req, r.plan.scanners)
}
