package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// FindingQuery filters a list of findings; empty fields don't filter.
type FindingQuery struct {
	Severity, Status, Category, Engine, Host, CVE, Rule, Q string // severity and status: one or several, with commas
	Unseen                                                 bool
	Case, Asset                                            string // ids
	Sort                                                   string // severity (default), newest or risk
	Limit                                                  int
	Cursor                                                 string
}

func (q FindingQuery) values() url.Values {
	v := url.Values{}
	for name, value := range map[string]string{
		"severity": q.Severity, "status": q.Status, "category": q.Category, "engine": q.Engine, "host": q.Host, "cve": q.CVE,
		"rule": q.Rule, "q": q.Q, "sort": q.Sort, "cursor": q.Cursor, "caseId": q.Case, "assetId": q.Asset,
	} {
		if value != "" {
			v.Set(name, value)
		}
	}
	if q.Unseen {
		v.Set("unseen", "true")
	}
	if q.Limit > 0 {
		v.Set("limit", strconv.Itoa(q.Limit))
	}
	return v
}

// Meta says where a page stands in its list.
type Meta struct {
	Total         *int   `json:"total"`
	Limit         int    `json:"limit"`
	Offset        int    `json:"offset"`
	TotalIsCapped bool   `json:"totalIsCapped"`
	NextCursor    string `json:"nextCursor,omitempty"`
}

// Decision is what a person decides on findings.
type Decision struct {
	Status        string     `json:"status"`
	Reason        string     `json:"reason,omitempty"`
	Until         *time.Time `json:"until,omitempty"`
	Justification string     `json:"justification,omitempty"`
	Note          string     `json:"note,omitempty"`
}

// Author is who decided.
type Author struct {
	Kind string `json:"kind"`
	ID   string `json:"id"`
}

// Ruling is a decision in force.
type Ruling struct {
	Decision

	By             Author    `json:"by"`
	At             time.Time `json:"at"`
	PreviousStatus string    `json:"previousStatus"`
}

// Tracked is a finding over all scans, with what people made of it.
type Tracked struct {
	Finding

	Description  string     `json:"description"`
	Engine       string     `json:"engine"`
	Engines      []string   `json:"engines"`
	FirstSeenAt  time.Time  `json:"firstSeenAt"`
	LastSeenAt   time.Time  `json:"lastSeenAt"`
	FixedAt      *time.Time `json:"fixedAt,omitempty"`
	FirstScanID  string     `json:"firstScanId,omitempty"`
	LastScanID   string     `json:"lastScanId"`
	NotSeenSince *time.Time `json:"notSeenSince"`
	Decision     *Ruling    `json:"decision"`
	Revision     int64      `json:"revision"`

	CaseID      string       `json:"caseId,omitempty"`
	RiskScore   *int         `json:"riskScore"`
	RiskReasons []RiskReason `json:"riskReasons,omitempty"`
}

// Findings is one page of findings.
type Findings struct {
	Data []Tracked `json:"data"`
	Meta Meta      `json:"meta"`
}

// FindingEvent is one thing that happened to a finding.
type FindingEvent struct {
	Number   int64     `json:"number"`
	At       time.Time `json:"at"`
	Kind     string    `json:"kind"`
	From     string    `json:"from,omitempty"`
	To       string    `json:"to"`
	ScanID   string    `json:"scanId,omitempty"`
	By       *Author   `json:"by,omitempty"`
	Decision *Decision `json:"decision,omitempty"`
}

// FindingHistory is one page of what happened to a finding, newest first.
type FindingHistory struct {
	Data []FindingEvent `json:"data"`
	Meta Meta           `json:"meta"`
}

// FindingFilter names the findings of a decision by what they are. Empty fields don't narrow; one is required.
type FindingFilter struct {
	Severity []string `json:"severity,omitempty"`
	Status   []string `json:"status,omitempty"`
	Category string   `json:"category,omitempty"`
	Engine   string   `json:"engine,omitempty"`
	Host     string   `json:"host,omitempty"`
	CVE      string   `json:"cve,omitempty"`
	Rule     string   `json:"rule,omitempty"`
	Q        string   `json:"q,omitempty"`
	Unseen   bool     `json:"unseen,omitempty"`
}

// BulkDecision is a decision on many findings: IDs, or Filter with how many findings it is expected to match.
type BulkDecision struct {
	Decision

	IDs      []string       `json:"ids,omitempty"`
	Filter   *FindingFilter `json:"filter,omitempty"`
	Expected int            `json:"expected,omitempty"`
}

// TriageOutcome is what became of one finding: decided, unchanged, not_found or conflict.
type TriageOutcome struct {
	ID     string `json:"id"`
	Result string `json:"result"`
	Status string `json:"status,omitempty"`
}

// TriageResult is what became of each finding.
type TriageResult struct {
	Decided   int             `json:"decided"`
	Unchanged int             `json:"unchanged"`
	NotFound  int             `json:"notFound"`
	Conflicts int             `json:"conflicts"`
	Outcomes  []TriageOutcome `json:"outcomes"`
}

const findingsPath = "/api/findings"

// plainDo is do for answers without an envelope.
func plainDo[T any](ctx context.Context, c *Client, k call) (T, error) {
	var out T
	err := c.do(ctx, k, &out)
	return out, err
}

// Findings returns one page of findings.
func (c *Client) Findings(ctx context.Context, q FindingQuery) (Findings, error) {
	return plainDo[Findings](ctx, c, call{method: http.MethodGet, path: findingsPath, query: q.values()})
}

// Finding returns one finding.
func (c *Client) Finding(ctx context.Context, id string) (Tracked, error) {
	return plainDo[Tracked](ctx, c, call{method: http.MethodGet, path: findingsPath + "/" + url.PathEscape(id)})
}

// FindingHistory returns one page of what happened to a finding, newest first.
func (c *Client) FindingHistory(ctx context.Context, id, cursor string, limit int) (FindingHistory, error) {
	q := url.Values{}
	if cursor != "" {
		q.Set("cursor", cursor)
	}
	if limit > 0 {
		q.Set("limit", strconv.Itoa(limit))
	}
	return plainDo[FindingHistory](ctx, c, call{method: http.MethodGet, path: findingsPath + "/" + url.PathEscape(id) + "/history", query: q})
}

// Triage decides on one finding. revision is that of the finding as it was read; 0 decides whatever it is now.
func (c *Client) Triage(ctx context.Context, id string, d Decision, revision int64) (Tracked, error) {
	k := call{method: http.MethodPost, path: findingsPath + "/" + url.PathEscape(id) + "/triage", in: d}
	if revision > 0 {
		k.headers = map[string]string{"If-Match": `"` + strconv.FormatInt(revision, 10) + `"`}
	}
	return plainDo[Tracked](ctx, c, k)
}

// TriageMany decides on many findings.
func (c *Client) TriageMany(ctx context.Context, d BulkDecision) (TriageResult, error) {
	return plainDo[TriageResult](ctx, c, call{method: http.MethodPost, path: findingsPath + "/triage", in: d})
}
