package platform

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"assay.dev/assay/internal/org/access"
	"assay.dev/assay/internal/scan"
	"assay.dev/assay/internal/scan/finding"
	"assay.dev/assay/internal/scan/triage"
	"assay.dev/assay/internal/web/api"
	"assay.dev/assay/internal/web/mw"
	"assay.dev/assay/internal/web/problem"
	"assay.dev/assay/internal/web/report"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/page"
	"assay.dev/assay/internal/word/uid"
)

const findings = "/api/findings"

// Findings is what the handlers need of package triage.
type Findings interface {
	Get(ctx context.Context, org uid.Org, id uid.Finding) (triage.Finding, error)
	List(ctx context.Context, org uid.Org, q triage.Query) (triage.List, error)
	History(ctx context.Context, org uid.Org, id uid.Finding, kinds []triage.Kind, p page.Request) (triage.Entries, error)
	Counts(ctx context.Context, org uid.Org) ([]triage.Cell, error)
	DecideOne(ctx context.Context, a access.Actor, id uid.Finding, d triage.Decision, g triage.Guard) (triage.Finding, error)
	DecideGuarded(ctx context.Context, a access.Actor, ids []uid.Finding, d triage.Decision, g triage.Guard) (triage.Decided, error)
	DecideMatching(ctx context.Context, a access.Actor, f triage.Filter, expected int, d triage.Decision) (triage.Decided, error)
}

func (h *handlers) findingRoutes() []api.Entry {
	return []api.Entry{
		api.Op(api.Route[findingsIn, Out[Page[TrackedFinding]]]{
			ID: "listFindings", Method: http.MethodGet, Path: findings, Family: problem.Platform, Scope: access.FindingsRead,
			Audit: event.FindingListed, Tags: []string{tagFindings}, Summary: "List findings",
			Description: "All findings of the organization, of every scan, as they stand now. Worst first and of one severity the newest, or " +
				"the newest first. The order stays as it is while scans see findings again.",
			Handle: h.listFindings,
		}),
		api.Op(api.Route[struct{}, Out[FindingSummary]]{
			ID: "getFindingSummary", Method: http.MethodGet, Path: findings + "/summary", Family: problem.Platform,
			Scope: access.FindingsRead, Audit: event.FindingSummaryRead, Tags: []string{tagFindings}, Summary: "Count findings",
			Description: "How many findings of each severity stand in each status. The counts are kept, so this is exact and quick however many there are.",
			Handle:      h.findingSummary,
		}),
		api.Op(api.Route[FindingRef, findingOut]{
			ID: "getFinding", Method: http.MethodGet, Path: findings + "/{id}", Family: problem.Platform, Scope: access.FindingsRead,
			Audit: event.FindingRead, Resource: "finding", Tags: []string{tagFindings}, Summary: "Get a finding",
			Description: "With the decision in force and the last scans that saw it. `ETag` holds its revision, for `If-Match` of a decision.",
			Handle:      h.getFinding,
		}),
		api.Op(api.Route[historyIn, Out[Page[FindingEvent]]]{
			ID: "getFindingHistory", Method: http.MethodGet, Path: findings + "/{id}/history", Family: problem.Platform,
			Scope: access.FindingsRead, Audit: event.FindingHistoryRead, Resource: "finding", Tags: []string{tagFindings},
			Summary:     "Get a finding's history",
			Description: "Everything that happened to it, newest first: what scans did, what people decided and why, what time ended.",
			Handle:      h.findingHistory,
		}),
	}
}

// FindingRef names a finding.
type FindingRef struct {
	ID string `path:"id" doc:"The finding's id."`
}

type findingsIn struct {
	Paging
	Severity      []string  `query:"severity" maxItems:"5" enum:"critical,high,medium,low,info" doc:"One or several, with commas."`
	Status        []string  `query:"status" maxItems:"5" enum:"open,confirmed,false_positive,accepted,fixed" doc:"One or several, with commas."`
	Category      string    `query:"category" enum:"exposure,service,tls,configuration,vulnerability,disclosure,secret,cryptography"`
	Engine        string    `query:"engine" maxLength:"64" doc:"The engine that opened it."`
	Host          string    `query:"host" maxLength:"255" doc:"The host of its location, exactly."`
	CVE           string    `query:"cve" maxLength:"32" example:"CVE-2021-41773"`
	Rule          string    `query:"rule" maxLength:"255" doc:"The engine's own id of the check, exactly."`
	Q             string    `query:"q" maxLength:"255" doc:"Words of title, rule or package, each of which may be cut short; numbers don't count. Or a CVE id."`
	Unseen        bool      `query:"unseen" doc:"Only findings that a person has decided on and complete scans no longer see."`
	KEV           bool      `query:"kev" doc:"Only findings with a CVE that is known to be exploited."`
	MinEPSS       float64   `query:"minEpss" minimum:"0" maximum:"1" doc:"Only findings with a CVE of at least this EPSS score."`
	FirstSeenFrom time.Time `query:"firstSeenFrom"`
	FirstSeenTo   time.Time `query:"firstSeenTo" doc:"Exclusive."`
	LastSeenFrom  time.Time `query:"lastSeenFrom"`
	LastSeenTo    time.Time `query:"lastSeenTo" doc:"Exclusive."`
	CaseID        string    `query:"caseId" maxLength:"36" doc:"Only findings of this case."`
	AssetID       string    `query:"assetId" maxLength:"36" doc:"Only findings on the host of this asset: a host, a domain, a service or a URL."`
	Sort          string    `query:"sort" enum:"severity,newest,risk" default:"severity" doc:"severity: worst first, of one severity the newest. risk: the most dangerous first."`
}

func (in *findingsIn) filter() triage.Filter {
	return triage.Filter{
		Severities: typed[finding.Severity](in.Severity), Statuses: typed[finding.Status](in.Status),
		Category: finding.Category(in.Category), Engine: in.Engine, Host: in.Host, CVE: in.CVE, Rule: in.Rule, Q: in.Q, Unseen: in.Unseen, KEV: in.KEV, MinEPSS: in.MinEPSS, Case: uid.Case(in.CaseID),
		FirstFrom: in.FirstSeenFrom, FirstTo: in.FirstSeenTo, LastFrom: in.LastSeenFrom, LastTo: in.LastSeenTo,
	}
}

// bound is what a cursor of this list belongs to.
func (in *findingsIn) bound() string {
	texts := []string{
		"findings", strings.Join(in.Severity, ","), strings.Join(in.Status, ","), in.Category, in.Engine, in.Host, in.CVE, in.Rule, in.Q,
		strconv.FormatBool(in.Unseen), strconv.FormatBool(in.KEV), strconv.FormatFloat(in.MinEPSS, 'g', -1, 64), in.Sort, in.CaseID, in.AssetID,
	}
	for _, t := range []time.Time{in.FirstSeenFrom, in.FirstSeenTo, in.LastSeenFrom, in.LastSeenTo} {
		texts = append(texts, t.UTC().Format(time.RFC3339Nano))
	}
	return page.Filters(texts...)
}

func typed[T ~string](list []string) []T {
	out := make([]T, len(list))
	for i, s := range list {
		out[i] = T(s)
	}
	return out
}

// TrackedFinding is a finding over all scans, with what people made of it.
type TrackedFinding struct {
	report.Finding

	Engine       string         `json:"engine" doc:"The engine that opened it."`
	FirstScanID  string         `json:"firstScanId,omitempty" doc:"The scan that opened it."`
	LastScanID   string         `json:"lastScanId" doc:"The scan that saw it last."`
	NotSeenSince *api.Time      `json:"notSeenSince" nullable:"true" doc:"Since when complete scans no longer see a finding that a person has decided on; null while they do."`
	Decision     *FindingRuling `json:"decision,omitempty" doc:"The decision in force; absent where there is none."`
	CaseID       string         `json:"caseId,omitempty" doc:"The case that it is in, with findings of other engines that are the same issue; absent for moments after it was opened."`
	RiskScore    *int           `json:"riskScore" nullable:"true" minimum:"0" maximum:"100" doc:"How much danger lies in it; null until it was weighed."`
	RiskReasons  []RiskReason   `json:"riskReasons,omitempty" doc:"What the score is made of, by what is known now: the points sum to it. Of a single finding only."`
	Revision     int64          `json:"revision" doc:"Changes with status and decision, not when a scan sees the finding again."`
	SeenBy       []FindingSight `json:"seenBy,omitempty" doc:"The last scans that saw it, newest first; of a single finding only."`
}

// FindingDecision is what a person decided.
type FindingDecision struct {
	Status        string    `json:"status" enum:"open,confirmed,false_positive,accepted,fixed"`
	Reason        string    `json:"reason"`
	Until         *api.Time `json:"until" nullable:"true" doc:"When an acceptance ends."`
	Justification string    `json:"justification,omitempty" doc:"In the words of VEX."`
	Note          string    `json:"note,omitempty"`
}

// FindingRuling is a decision with who made it.
type FindingRuling struct {
	FindingDecision

	By             FindingAuthor `json:"by"`
	At             api.Time      `json:"at"`
	PreviousStatus string        `json:"previousStatus"`
}

// FindingAuthor is who decided.
type FindingAuthor struct {
	Kind string `json:"kind" enum:"user,api_key,operator,system"`
	ID   string `json:"id"`
}

// FindingSight is a scan that saw a finding.
type FindingSight struct {
	ScanID string   `json:"scanId"`
	At     api.Time `json:"at"`
}

type findingOut struct {
	ETag string `header:"ETag"`
	Body TrackedFinding
}

// maxSights is how many scans a finding names.
const maxSights = 10

func findingView(f triage.Finding) TrackedFinding {
	v := TrackedFinding{
		Finding: report.NewFinding(scan.Result{Finding: f.Finding}), Engine: f.Engine, FirstScanID: string(f.FirstScan),
		LastScanID: string(f.Scan), NotSeenSince: api.Moment(f.NotSeenSince), Revision: f.Revision, CaseID: string(f.Case),
	}
	if f.Risk >= 0 && f.Case != "" {
		v.RiskScore = &f.Risk
	}
	if r := f.Ruling; r != nil {
		v.Decision = &FindingRuling{
			FindingDecision: decisionView(r.Decision), By: FindingAuthor{Kind: string(r.By.Kind), ID: r.By.ID}, At: api.At(r.At), PreviousStatus: string(r.Before),
		}
	}
	return v
}

func decisionView(d triage.Decision) FindingDecision {
	return FindingDecision{
		Status: string(d.Status), Reason: d.Reason, Until: api.Moment(d.Until), Justification: d.Justification, Note: d.Note,
	}
}

func (h *handlers) listFindings(ctx context.Context, in *findingsIn) (*Out[Page[TrackedFinding]], error) {
	org, filters := mw.ActorFrom(ctx).Org, in.bound()
	p, err := in.request(org, filters)
	if err != nil {
		return nil, err
	}
	f := in.filter()
	if f.Host, err = h.hostOf(ctx, org, in); err != nil {
		return nil, err
	}
	l, err := h.d.Findings.List(ctx, org, triage.Query{Filter: f, Sort: triage.Sort(in.Sort), Page: p})
	if err != nil {
		return nil, err
	}
	out := Page[TrackedFinding]{Data: make([]TrackedFinding, len(l.Items)), Meta: in.view(org, filters, l.Total, l.Next)}
	for i, f := range l.Items {
		out.Data[i] = findingView(f)
	}
	return &Out[Page[TrackedFinding]]{Body: out}, nil
}

// hostOf is the host that a list of findings is narrowed to: the one that was named, or an asset's.
func (h *handlers) hostOf(ctx context.Context, org uid.Org, in *findingsIn) (string, error) {
	if in.AssetID == "" {
		return in.Host, nil
	}
	a, err := h.d.Assets.Get(ctx, org, uid.Asset(in.AssetID))
	if err != nil {
		return "", err
	}
	host := a.Host()
	if host == "" || (in.Host != "" && finding.CanonicalHost(in.Host) != finding.CanonicalHost(host)) {
		return "", fault.Wrong("assetId", "must be a host, a domain, a service or a URL, and agree with host")
	}
	return host, nil
}

func (h *handlers) getFinding(ctx context.Context, in *FindingRef) (*findingOut, error) {
	f, err := h.d.Findings.Get(ctx, mw.ActorFrom(ctx).Org, uid.Finding(in.ID))
	if err != nil {
		return nil, err
	}
	return h.whole(ctx, f)
}

// whole is one finding with the scans that saw it last.
func (h *handlers) whole(ctx context.Context, f triage.Finding) (*findingOut, error) {
	seen, err := h.d.Findings.History(ctx, mw.ActorFrom(ctx).Org, f.ID,
		[]triage.Kind{triage.KindOpened, triage.KindSeen, triage.KindReopened}, page.Request{Limit: maxSights})
	if err != nil {
		return nil, err
	}
	out := &findingOut{ETag: etag(f.Revision), Body: findingView(f)}
	risk, known, err := h.d.Cases.Risk(ctx, mw.ActorFrom(ctx).Org, f.Finding, f.Case)
	if err != nil {
		return nil, err
	}
	if known {
		out.Body.RiskScore, out.Body.RiskReasons = &risk.Score, reasonsView(risk.Reasons)
	}
	for _, e := range seen.Items {
		if e.Scan != "" {
			out.Body.SeenBy = append(out.Body.SeenBy, FindingSight{ScanID: string(e.Scan), At: api.At(e.At)})
		}
	}
	return out, nil
}

func etag(revision int64) string { return `"` + strconv.FormatInt(revision, 10) + `"` }

// revisionOf reads If-Match: one entity tag as GET gave it, or *; empty is no condition.
func revisionOf(ifMatch string) (int64, error) {
	if ifMatch == "" || ifMatch == "*" {
		return 0, nil
	}
	n, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimPrefix(ifMatch, `"`), `"`), 10, 64)
	if err != nil || n <= 0 || etag(n) != ifMatch {
		return 0, fault.Wrong("If-Match", "must be the ETag of the finding as it was read")
	}
	return n, nil
}

type historyIn struct {
	FindingRef
	Paging
	Kind []string `query:"kind" maxItems:"7" enum:"opened,seen,unseen,fixed,reopened,decided,expired" doc:"One or several, with commas."`
}

// FindingEvent is one thing that happened to a finding.
type FindingEvent struct {
	Number   int64            `json:"number" doc:"Entries of a finding are numbered from 1."`
	At       api.Time         `json:"at"`
	Kind     string           `json:"kind" enum:"opened,seen,unseen,fixed,reopened,decided,expired" doc:"opened, seen again, reopened and fixed by scans; unseen: a complete scan no longer sees it, and a person's decision stays; decided by a person; expired: an acceptance ended."`
	From     string           `json:"from,omitempty" doc:"The status before."`
	To       string           `json:"to" doc:"The status after."`
	ScanID   string           `json:"scanId,omitempty"`
	By       *FindingAuthor   `json:"by,omitempty"`
	Decision *FindingDecision `json:"decision,omitempty" doc:"What was decided, or what ended."`
}

func (h *handlers) findingHistory(ctx context.Context, in *historyIn) (*Out[Page[FindingEvent]], error) {
	org := mw.ActorFrom(ctx).Org
	filters := page.Filters("history", in.ID, strings.Join(in.Kind, ","))
	p, err := in.request(org, filters)
	if err != nil {
		return nil, err
	}
	l, err := h.d.Findings.History(ctx, org, uid.Finding(in.ID), typed[triage.Kind](in.Kind), p)
	if err != nil {
		return nil, err
	}
	out := Page[FindingEvent]{Data: make([]FindingEvent, len(l.Items)), Meta: in.view(org, filters, l.Total, l.Next)}
	for i, e := range l.Items {
		out.Data[i] = historyView(e)
	}
	return &Out[Page[FindingEvent]]{Body: out}, nil
}

func historyView(e triage.Entry) FindingEvent {
	v := FindingEvent{
		Number: e.Seq, At: api.At(e.At), Kind: string(e.Kind), From: string(e.From), To: string(e.To), ScanID: string(e.Scan),
	}
	if e.Kind == triage.KindDecided || e.Kind == triage.KindExpired {
		d := decisionView(e.Decision)
		v.By, v.Decision = &FindingAuthor{Kind: string(e.By.Kind), ID: e.By.ID}, &d
	}
	return v
}

// FindingSummary counts findings.
type FindingSummary struct {
	Total      int               `json:"total"`
	BySeverity report.BySeverity `json:"bySeverity"`
	ByStatus   StatusCounts      `json:"byStatus"`
	Matrix     SeverityStatus    `json:"matrix" doc:"For each severity the counts by status."`
}

// StatusCounts holds one count for each status.
type StatusCounts struct {
	Open          int `json:"open"`
	Confirmed     int `json:"confirmed"`
	FalsePositive int `json:"false_positive"`
	Accepted      int `json:"accepted"`
	Fixed         int `json:"fixed"`
}

// SeverityStatus holds counts by status for each severity.
type SeverityStatus struct {
	Critical StatusCounts `json:"critical"`
	High     StatusCounts `json:"high"`
	Medium   StatusCounts `json:"medium"`
	Low      StatusCounts `json:"low"`
	Info     StatusCounts `json:"info"`
}

func (c *StatusCounts) add(s finding.Status, n int) {
	switch s {
	case finding.Open:
		c.Open += n
	case finding.Confirmed:
		c.Confirmed += n
	case finding.FalsePositive:
		c.FalsePositive += n
	case finding.Accepted:
		c.Accepted += n
	case finding.Fixed:
		c.Fixed += n
	}
}

func (h *handlers) findingSummary(ctx context.Context, _ *struct{}) (*Out[FindingSummary], error) {
	cells, err := h.d.Findings.Counts(ctx, mw.ActorFrom(ctx).Org)
	if err != nil {
		return nil, err
	}
	var out FindingSummary
	rows := []*StatusCounts{&out.Matrix.Critical, &out.Matrix.High, &out.Matrix.Medium, &out.Matrix.Low, &out.Matrix.Info}
	sums := []*int{&out.BySeverity.Critical, &out.BySeverity.High, &out.BySeverity.Medium, &out.BySeverity.Low, &out.BySeverity.Info}
	for _, c := range cells {
		out.Total += c.N
		out.ByStatus.add(c.Status, c.N)
		rows[c.Severity.Rank()].add(c.Status, c.N)
		*sums[c.Severity.Rank()] += c.N
	}
	return &Out[FindingSummary]{Body: out}, nil
}
