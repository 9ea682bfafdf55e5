package platform

import (
	"context"
	"net/http"
	"strconv"
	"strings"

	"assay.dev/assay/internal/org/access"
	"assay.dev/assay/internal/scan/correlation"
	"assay.dev/assay/internal/scan/finding"
	"assay.dev/assay/internal/web/api"
	"assay.dev/assay/internal/web/mw"
	"assay.dev/assay/internal/web/problem"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/page"
	"assay.dev/assay/internal/word/uid"
)

const (
	cases    = "/api/cases"
	tagCases = "Cases"
)

// Cases is what the handlers need of package correlation.
type Cases interface {
	Get(ctx context.Context, org uid.Org, id uid.Case) (correlation.Detail, error)
	List(ctx context.Context, org uid.Org, q correlation.Query) (correlation.List, error)
	Split(ctx context.Context, a access.Actor, id uid.Case, f uid.Finding, reason string) (correlation.Detail, error)
	Join(ctx context.Context, a access.Actor, id, other uid.Case, list []uid.Finding, reason string) (correlation.Detail, error)
	// Risk weighs a finding in its case by what is known now; false where it wasn't correlated yet.
	Risk(ctx context.Context, org uid.Org, f finding.Finding, in uid.Case) (finding.Risk, bool, error)
}

func (h *handlers) caseRoutes() []api.Entry {
	return []api.Entry{
		api.Op(api.Route[casesIn, Out[Page[Case]]]{
			ID: "listCases", Method: http.MethodGet, Path: cases, Family: problem.Platform, Scope: access.FindingsRead,
			Audit: event.CaseListed, Tags: []string{tagCases}, Summary: "List cases",
			Description: "A case is one real issue: the findings of all engines that saw it, each kept as it is. Every finding is in one case. " +
				"Cases follow findings within moments of a scan's end.",
			Handle: h.listCases,
		}),
		api.Op(api.Route[CaseRef, Out[CaseDetail]]{
			ID: "getCase", Method: http.MethodGet, Path: cases + "/{id}", Family: problem.Platform, Scope: access.FindingsRead,
			Audit: event.CaseRead, Resource: "case", Tags: []string{tagCases}, Summary: "Get a case",
			Description: "With its findings and why each of them belongs, what its risk is made of, its history, and the engines that looked at " +
				"the same place since and did not report it. A case that went into another one says which.",
			Handle: h.getCase,
		}),
		api.Op(api.Route[splitIn, Out[CaseDetail]]{
			ID: "splitCase", Method: http.MethodPost, Path: cases + "/{id}/split", Family: problem.Platform, Scope: access.FindingsWrite,
			Audit: event.CaseSplit, Resource: "case", Tags: []string{tagCases}, Summary: "Take a finding out of a case",
			Description: "The finding gets a case of its own and stays there, whatever later scans see. One that had been joined by hand goes as it " +
				"came, with what belongs to it. Joining it again takes this back. The answer is the case without it.",
			Errors: []int{http.StatusConflict}, Handle: h.splitCase,
		}),
		api.Op(api.Route[joinIn, Out[CaseDetail]]{
			ID: "joinCase", Method: http.MethodPost, Path: cases + "/{id}/join", Family: problem.Platform, Scope: access.FindingsWrite,
			Audit: event.CaseJoined, Resource: "case", Tags: []string{tagCases}, Summary: "Put findings into a case",
			Description: "Those of another case, as a whole and for what later scans add to it, or single findings. It holds, whatever later scans " +
				"see; taking them out again takes it back.",
			Handle: h.joinCase,
		}),
	}
}

// CaseRef names a case.
type CaseRef struct {
	ID string `path:"id" doc:"The case's id."`
}

type casesIn struct {
	Paging
	Severity []string `query:"severity" maxItems:"5" enum:"critical,high,medium,low,info" doc:"One or several, with commas."`
	Status   []string `query:"status" maxItems:"5" enum:"open,confirmed,accepted,false_positive,fixed" doc:"One or several, with commas."`
	Engine   string   `query:"engine" maxLength:"64" doc:"One of the engines that saw it."`
	Host     string   `query:"host" maxLength:"255" doc:"A host by any name or address that is known of it, or an image."`
	CVE      string   `query:"cve" maxLength:"32" example:"CVE-2021-41773"`
	MinRisk  int      `query:"minRisk" minimum:"0" maximum:"100" doc:"Only cases of at least this risk."`
	Q        string   `query:"q" maxLength:"255" doc:"Words of title or asset, each of which may be cut short."`
	Sort     string   `query:"sort" enum:"risk,severity,lastSeen" default:"risk" doc:"Falling. severity: of one severity the one seen last first."`
}

func (in *casesIn) query(p page.Request) correlation.Query {
	return correlation.Query{
		Severities: typed[finding.Severity](in.Severity), Statuses: typed[correlation.Status](in.Status), Engine: in.Engine, Asset: in.Host,
		CVE: in.CVE, MinRisk: in.MinRisk, Q: in.Q, Sort: correlation.Sort(in.Sort), Page: p,
	}
}

func (in *casesIn) bound() string {
	return page.Filters("cases", strings.Join(in.Severity, ","), strings.Join(in.Status, ","), in.Engine, in.Host, in.CVE,
		strconv.Itoa(in.MinRisk), in.Q, in.Sort)
}

// Case is one real issue.
type Case struct {
	ID          string    `json:"id"`
	Title       string    `json:"title" doc:"That of its most confident finding."`
	Severity    string    `json:"severity" enum:"critical,high,medium,low,info" doc:"The highest of its findings that are neither fixed nor false."`
	Confidence  string    `json:"confidence,omitempty" enum:"certain,firm,tentative" doc:"That of the most confident finding, raised where independent engines agree."`
	Status      string    `json:"status" enum:"open,confirmed,accepted,false_positive,fixed,merged" doc:"Follows from its findings; fixed when all of them are. merged: all went into mergedInto."`
	Kind        string    `json:"kind" enum:"secret,certificate,advisory,weakness,alone" doc:"What ties its findings together."`
	Asset       string    `json:"asset,omitempty" doc:"What it is on, by its canonical name."`
	Engines     []string  `json:"engines" doc:"All that saw it."`
	CVE         []string  `json:"cve"`
	Findings    int       `json:"findings" doc:"How many belong to it."`
	RiskScore   int       `json:"riskScore" minimum:"0" maximum:"100" doc:"That of its most dangerous finding."`
	FirstSeenAt api.Time  `json:"firstSeenAt"`
	LastSeenAt  api.Time  `json:"lastSeenAt"`
	FixedAt     *api.Time `json:"fixedAt" nullable:"true"`
	MergedInto  string    `json:"mergedInto,omitempty" doc:"The case that its findings went into."`
}

// CaseDetail is a case with its findings.
type CaseDetail struct {
	Case

	RiskReasons []RiskReason  `json:"riskReasons" doc:"What the risk is made of, by what is known now; the points sum to riskScore."`
	Members     []CaseMember  `json:"members" doc:"The first 200, the most telling first."`
	Looked      []CaseLook    `json:"looked" doc:"Engines that looked at the same place to its end since it was first seen, and did not report it. That is no contradiction where an engine doesn't check for such a flaw; an engine that is not here didn't look."`
	History     []CaseHistory `json:"history" doc:"Newest first, at most 200."`
}

// RiskReason is one part of a risk score.
type RiskReason struct {
	Code   string `json:"code" enum:"impact,exploit_prediction,known_exploited,exposure,reach,login,confidence,status"`
	Points int    `json:"points" doc:"May be negative: what is fixed or false gives its points back."`
	Text   string `json:"text" doc:"Says so where something is not known, which never counts as nothing."`
}

// CaseMember is a finding in a case.
type CaseMember struct {
	FindingID  string         `json:"findingId"`
	Engine     string         `json:"engine"`
	Rule       string         `json:"rule"`
	Title      string         `json:"title"`
	Severity   string         `json:"severity" enum:"critical,high,medium,low,info"`
	Confidence string         `json:"confidence,omitempty" enum:"certain,firm,tentative"`
	Status     string         `json:"status" enum:"open,confirmed,false_positive,accepted,fixed"`
	Location   CaseLocation   `json:"location"`
	Why        CaseWhy        `json:"why"`
	Since      api.Time       `json:"since" doc:"Since when it is in this case."`
	LastSeenAt api.Time       `json:"lastSeenAt"`
	LastScanID string         `json:"lastScanId"`
	By         *FindingAuthor `json:"by,omitempty" doc:"Who put it here by hand."`
	Evidence   string         `json:"evidence" doc:"Where the finding with its evidence is read."`
}

// CaseLocation is where a finding of a case is.
type CaseLocation struct {
	Host      string `json:"host,omitempty"`
	Port      int    `json:"port,omitempty"`
	URL       string `json:"url,omitempty"`
	Method    string `json:"method,omitempty"`
	Parameter string `json:"parameter,omitempty"`
	File      string `json:"file,omitempty"`
	Line      int    `json:"line,omitempty"`
	Package   string `json:"package,omitempty"`
	Image     string `json:"image,omitempty"`
}

// CaseWhy says why a finding is in its case.
type CaseWhy struct {
	Text    string   `json:"text" doc:"For people."`
	Kind    string   `json:"kind" enum:"secret,certificate,advisory,weakness,alone"`
	Shared  []string `json:"shared,omitempty" doc:"What all findings of the group have in common: ids, families of weaknesses, a topic. Fingerprints of secrets are left out."`
	Overlap string   `json:"overlap,omitempty" enum:"exact,subset,superset,partial" doc:"How its ids compare with the leading finding's."`
	ByHand  bool     `json:"byHand" doc:"A person put it here, or took it out of another case."`
}

// CaseLook is a look that saw nothing of a case.
type CaseLook struct {
	Engine string   `json:"engine"`
	ScanID string   `json:"scanId"`
	Target string   `json:"target"`
	At     api.Time `json:"at"`
	Text   string   `json:"text"`
}

// CaseHistory is one thing that happened to a case.
type CaseHistory struct {
	Number     int64          `json:"number"`
	At         api.Time       `json:"at"`
	Kind       string         `json:"kind" enum:"grew,shrank,merged,split,joined" doc:"grew, shrank and merged by correlation; split and joined by people."`
	Findings   int            `json:"findings" doc:"How many came or went."`
	FindingIDs []string       `json:"findingIds" doc:"The first 20."`
	CaseID     string         `json:"caseId,omitempty" doc:"The case that they came from or went to."`
	By         *FindingAuthor `json:"by,omitempty"`
	Reason     string         `json:"reason,omitempty"`
}

type splitIn struct {
	CaseRef
	Body CaseSplit
}

// CaseSplit names a finding to take out of a case.
type CaseSplit struct {
	FindingID string `json:"findingId" maxLength:"36"`
	Reason    string `json:"reason,omitempty" maxLength:"2000" doc:"For colleagues; kept with the finding."`
}

type joinIn struct {
	CaseRef
	Body CaseJoin
}

// CaseJoin names what to put into a case: another case, or findings.
type CaseJoin struct {
	CaseID     string   `json:"caseId,omitempty" maxLength:"36" doc:"Another case, all of it."`
	FindingIDs []string `json:"findingIds,omitempty" maxItems:"100" doc:"Single findings."`
	Reason     string   `json:"reason,omitempty" maxLength:"2000" doc:"For colleagues; kept with the findings."`
}

func caseView(c correlation.Record) Case {
	return Case{
		ID: string(c.ID), Title: c.Title, Severity: string(c.Severity), Confidence: string(c.Confidence), Status: string(c.Status),
		Kind: string(c.Kind), Asset: c.Asset, Engines: orEmpty(c.Engines), CVE: orEmpty(c.CVE), Findings: c.Members, RiskScore: c.Risk,
		FirstSeenAt: api.At(c.FirstSeenAt), LastSeenAt: api.At(c.LastSeenAt), FixedAt: api.Moment(c.FixedAt), MergedInto: string(c.MergedInto),
	}
}

func orEmpty(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

func reasonsView(list []finding.RiskReason) []RiskReason {
	out := make([]RiskReason, len(list))
	for i, r := range list {
		out[i] = RiskReason(r)
	}
	return out
}

func detailView(d correlation.Detail) *Out[CaseDetail] {
	out := CaseDetail{
		Case: caseView(d.Record), RiskReasons: reasonsView(d.Reasons), Members: make([]CaseMember, len(d.Findings)),
		Looked: make([]CaseLook, len(d.Looks)), History: make([]CaseHistory, len(d.History)),
	}
	for i, f := range d.Findings {
		out.Members[i] = memberView(f)
	}
	for i, l := range d.Looks {
		out.Looked[i] = CaseLook{
			Engine: l.Engine, ScanID: string(l.Scan), Target: l.Target, At: api.At(l.At), Text: "looked there to the end, did not see it",
		}
	}
	for i, e := range d.History {
		v := CaseHistory{
			Number: e.Seq, At: api.At(e.At), Kind: string(e.Kind), Findings: e.Count, FindingIDs: make([]string, len(e.Findings)),
			CaseID: string(e.Other), By: caseAuthor(e.By), Reason: e.Reason,
		}
		for j, id := range e.Findings {
			v.FindingIDs[j] = string(id)
		}
		out.History[i] = v
	}
	return &Out[CaseDetail]{Body: out}
}

func memberView(f correlation.Standing) CaseMember {
	at, b := f.Location, f.Belief
	why := CaseWhy{Text: b.Text(), Kind: string(b.Kind), Overlap: string(b.Overlap), ByHand: b.By.ID != ""}
	if b.Kind != correlation.KindSecret && b.Kind != correlation.KindAlone {
		why.Shared = b.Marks
	}
	return CaseMember{
		FindingID: string(f.Finding), Engine: f.Engine, Rule: f.Rule, Title: f.Title, Severity: string(f.Severity),
		Confidence: string(f.Confidence), Status: string(f.Status),
		Location: CaseLocation{
			Host: at.Host, Port: at.Port, URL: at.URL, Method: at.Method, Parameter: at.Parameter, File: at.File, Line: at.Line,
			Package: at.Package, Image: at.Image,
		},
		Why: why, Since: api.At(f.Since), LastSeenAt: api.At(f.LastSeenAt), LastScanID: string(f.Scan), By: caseAuthor(b.By),
		Evidence: findings + "/" + string(f.Finding),
	}
}

func caseAuthor(a correlation.Author) *FindingAuthor {
	if a.ID == "" {
		return nil
	}
	return &FindingAuthor{Kind: string(a.Kind), ID: a.ID}
}

func (h *handlers) listCases(ctx context.Context, in *casesIn) (*Out[Page[Case]], error) {
	org, filters := mw.ActorFrom(ctx).Org, in.bound()
	p, err := in.request(org, filters)
	if err != nil {
		return nil, err
	}
	l, err := h.d.Cases.List(ctx, org, in.query(p))
	if err != nil {
		return nil, err
	}
	out := Page[Case]{Data: make([]Case, len(l.Items)), Meta: in.view(org, filters, l.Total, l.Next)}
	for i, c := range l.Items {
		out.Data[i] = caseView(c)
	}
	return &Out[Page[Case]]{Body: out}, nil
}

func (h *handlers) getCase(ctx context.Context, in *CaseRef) (*Out[CaseDetail], error) {
	d, err := h.d.Cases.Get(ctx, mw.ActorFrom(ctx).Org, uid.Case(in.ID))
	if err != nil {
		return nil, err
	}
	return detailView(d), nil
}

func (h *handlers) splitCase(ctx context.Context, in *splitIn) (*Out[CaseDetail], error) {
	d, err := h.d.Cases.Split(ctx, mw.ActorFrom(ctx), uid.Case(in.ID), uid.Finding(in.Body.FindingID), in.Body.Reason)
	if err != nil {
		return nil, err
	}
	return detailView(d), nil
}

func (h *handlers) joinCase(ctx context.Context, in *joinIn) (*Out[CaseDetail], error) {
	d, err := h.d.Cases.Join(ctx, mw.ActorFrom(ctx), uid.Case(in.ID), uid.Case(in.Body.CaseID), typed[uid.Finding](in.Body.FindingIDs), in.Body.Reason)
	if err != nil {
		return nil, err
	}
	return detailView(d), nil
}
