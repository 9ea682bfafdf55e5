package platform

import (
	"context"
	"net/http"
	"time"

	"assay.dev/assay/internal/org/access"
	"assay.dev/assay/internal/scan/finding"
	"assay.dev/assay/internal/scan/triage"
	"assay.dev/assay/internal/web/api"
	"assay.dev/assay/internal/web/mw"
	"assay.dev/assay/internal/web/problem"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/uid"
)

func (h *handlers) triageRoutes() []api.Entry {
	return []api.Entry{
		api.Op(api.Route[triageOneIn, findingOut]{
			ID: "triageFinding", Method: http.MethodPost, Path: findings + "/{id}/triage", Family: problem.Platform,
			Scope: access.FindingsWrite, Audit: event.FindingDecided, Resource: "finding", Tags: []string{tagFindings},
			Summary: "Decide on a finding",
			Description: "`confirmed`, `false_positive` and `accepted` survive every scan. `fixed` holds until a scan that began later sees it again. " +
				"`open` takes a decision back. `accepted` needs a reason and an end, at most two years ahead, after which the finding is open again; " +
				"`false_positive` needs a reason or a justification. The same decision once more changes nothing. With `If-Match` or `expectedStatus`, " +
				"a finding that stands otherwise meanwhile is a conflict.",
			Errors: []int{http.StatusConflict}, Handle: h.triageOne,
		}),
		api.Op(api.Route[triageManyIn, Out[TriageResult]]{
			ID: "triageFindings", Method: http.MethodPost, Path: findings + "/triage", Family: problem.Platform,
			Scope: access.FindingsWrite, Audit: event.FindingsDecided, Tags: []string{tagFindings}, Summary: "Decide on many findings",
			Description: "One decision on up to 500 findings by `ids`, or on up to 10,000 by a `filter`, guarded by how many `expected` findings " +
				"it matches: otherwise nothing is decided. The answer holds an outcome for each finding. Ids are decided together or not at " +
				"all; a filter in portions of 500.",
			Errors: []int{http.StatusConflict}, Handle: h.triageMany,
		}),
	}
}

// NewDecision is what a person decides.
type NewDecision struct {
	Status         string     `json:"status" enum:"open,confirmed,false_positive,accepted,fixed"`
	Reason         string     `json:"reason,omitempty" maxLength:"2000" doc:"Why. Required for accepted, and for false_positive without a justification."`
	Until          *time.Time `json:"until,omitempty" doc:"When an acceptance ends; at most two years ahead. Required for accepted, and for it alone."`
	Justification  string     `json:"justification,omitempty" enum:"component_not_present,vulnerable_code_not_present,vulnerable_code_not_in_execute_path,vulnerable_code_cannot_be_controlled_by_adversary,inline_mitigations_already_exist" doc:"Of false_positive, in the words of VEX."`
	Note           string     `json:"note,omitempty" maxLength:"2000" doc:"For colleagues."`
	ExpectedStatus string     `json:"expectedStatus,omitempty" enum:"open,confirmed,false_positive,accepted,fixed" doc:"Decide only where a finding still stands so."`
}

func (d NewDecision) decision() triage.Decision {
	out := triage.Decision{Status: finding.Status(d.Status), Reason: d.Reason, Justification: d.Justification, Note: d.Note}
	if d.Until != nil {
		out.Until = *d.Until
	}
	return out
}

type triageOneIn struct {
	FindingRef
	IfMatch string `header:"If-Match" maxLength:"32" doc:"The ETag of the finding as it was read."`
	Body    NewDecision
}

type triageManyIn struct {
	Body BulkDecision
}

// BulkDecision is a decision on many findings: by ids, or by a filter.
type BulkDecision struct {
	NewDecision

	IDs      []string       `json:"ids,omitempty" minItems:"1" maxItems:"500"`
	Filter   *FindingFilter `json:"filter,omitempty"`
	Expected int            `json:"expected,omitempty" minimum:"1" maximum:"10000" doc:"How many findings the filter matches; required with it."`
}

// FindingFilter narrows as the parameters of the list do. At least one field is required.
type FindingFilter struct {
	Severity []string `json:"severity,omitempty" maxItems:"5" enum:"critical,high,medium,low,info"`
	Status   []string `json:"status,omitempty" maxItems:"5" enum:"open,confirmed,false_positive,accepted,fixed"`
	Category string   `json:"category,omitempty" enum:"exposure,service,tls,configuration,vulnerability,disclosure,secret,cryptography"`
	Engine   string   `json:"engine,omitempty" maxLength:"64"`
	Host     string   `json:"host,omitempty" maxLength:"255"`
	CVE      string   `json:"cve,omitempty" maxLength:"32"`
	Rule     string   `json:"rule,omitempty" maxLength:"255"`
	Q        string   `json:"q,omitempty" maxLength:"255"`
	Unseen   bool     `json:"unseen,omitempty"`
}

// TriageResult is what became of each finding.
type TriageResult struct {
	Decided   int             `json:"decided"`
	Unchanged int             `json:"unchanged"`
	NotFound  int             `json:"notFound"`
	Conflicts int             `json:"conflicts"`
	Outcomes  []TriageOutcome `json:"outcomes"`
}

// TriageOutcome is what became of one finding.
type TriageOutcome struct {
	ID     string `json:"id"`
	Result string `json:"result" enum:"decided,unchanged,not_found,conflict" doc:"unchanged: this very decision is in force already. conflict: it stands otherwise than was expected, or was changed meanwhile."`
	Status string `json:"status,omitempty" doc:"Where it stands now."`
}

func (h *handlers) triageOne(ctx context.Context, in *triageOneIn) (*findingOut, error) {
	revision, err := revisionOf(in.IfMatch)
	if err != nil {
		return nil, err
	}
	f, err := h.d.Findings.DecideOne(ctx, mw.ActorFrom(ctx), uid.Finding(in.ID), in.Body.decision(),
		triage.Guard{Revision: revision, Status: finding.Status(in.Body.ExpectedStatus)})
	if err != nil {
		return nil, err
	}
	return h.whole(ctx, f)
}

func (h *handlers) triageMany(ctx context.Context, in *triageManyIn) (*Out[TriageResult], error) {
	b, a := in.Body, mw.ActorFrom(ctx)
	var done triage.Decided
	var err error
	switch {
	case (len(b.IDs) > 0) == (b.Filter != nil):
		return nil, fault.Wrong("ids", "give either ids or a filter")
	case b.Filter != nil && b.Expected == 0:
		return nil, fault.Wrong("expected", "is required with a filter: how many findings it matches")
	case b.Filter != nil && b.ExpectedStatus != "":
		return nil, fault.Wrong("expectedStatus", "belongs to ids; a filter has status")
	case b.Filter != nil && b.Filter.empty():
		return nil, fault.Wrong("filter", "must narrow the findings by at least one field")
	case b.Filter != nil:
		done, err = h.d.Findings.DecideMatching(ctx, a, b.Filter.filter(), b.Expected, b.decision())
	case b.Expected != 0:
		return nil, fault.Wrong("expected", "belongs to a filter")
	default:
		done, err = h.d.Findings.DecideGuarded(ctx, a, typed[uid.Finding](b.IDs), b.decision(), triage.Guard{Status: finding.Status(b.ExpectedStatus)})
	}
	if err != nil {
		return nil, err
	}
	out := TriageResult{
		Decided: done.Counts[triage.Done], Unchanged: done.Counts[triage.Unchanged], NotFound: done.Counts[triage.Absent],
		Conflicts: done.Counts[triage.Stale], Outcomes: make([]TriageOutcome, len(done.Outcomes)),
	}
	for i, o := range done.Outcomes {
		out.Outcomes[i] = TriageOutcome{ID: string(o.ID), Result: string(o.Result), Status: string(o.Status)}
	}
	return &Out[TriageResult]{Body: out}, nil
}

func (f *FindingFilter) empty() bool {
	return len(f.Severity) == 0 && len(f.Status) == 0 && f.Category == "" && f.Engine == "" && f.Host == "" && f.CVE == "" &&
		f.Rule == "" && f.Q == "" && !f.Unseen
}

func (f *FindingFilter) filter() triage.Filter {
	return triage.Filter{
		Severities: typed[finding.Severity](f.Severity), Statuses: typed[finding.Status](f.Status), Category: finding.Category(f.Category),
		Engine: f.Engine, Host: f.Host, CVE: f.CVE, Rule: f.Rule, Q: f.Q, Unseen: f.Unseen,
	}
}
