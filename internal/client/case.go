package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// CaseQuery filters a list of cases; empty fields don't filter.
type CaseQuery struct {
	Severity, Status, Engine, Host, CVE, Q string // severity and status: one or several, with commas
	MinRisk                                int
	Sort                                   string // risk (default), severity or lastSeen
	Limit                                  int
	Cursor                                 string
}

func (q CaseQuery) values() url.Values {
	v := url.Values{}
	for name, value := range map[string]string{
		"severity": q.Severity, "status": q.Status, "engine": q.Engine, "host": q.Host, "cve": q.CVE, "q": q.Q, "sort": q.Sort,
		"cursor": q.Cursor,
	} {
		if value != "" {
			v.Set(name, value)
		}
	}
	if q.MinRisk > 0 {
		v.Set("minRisk", strconv.Itoa(q.MinRisk))
	}
	if q.Limit > 0 {
		v.Set("limit", strconv.Itoa(q.Limit))
	}
	return v
}

// Case is one real issue, which one or several engines saw.
type Case struct {
	ID          string     `json:"id"`
	Title       string     `json:"title"`
	Severity    string     `json:"severity"`
	Confidence  string     `json:"confidence"`
	Status      string     `json:"status"`
	Kind        string     `json:"kind"`
	Asset       string     `json:"asset"`
	Engines     []string   `json:"engines"`
	CVE         []string   `json:"cve"`
	Findings    int        `json:"findings"`
	RiskScore   int        `json:"riskScore"`
	FirstSeenAt time.Time  `json:"firstSeenAt"`
	LastSeenAt  time.Time  `json:"lastSeenAt"`
	FixedAt     *time.Time `json:"fixedAt"`
	MergedInto  string     `json:"mergedInto,omitempty"`
}

// RiskReason is one part of a risk score.
type RiskReason struct {
	Code   string `json:"code"`
	Points int    `json:"points"`
	Text   string `json:"text"`
}

// CaseMember is a finding in a case.
type CaseMember struct {
	FindingID  string    `json:"findingId"`
	Engine     string    `json:"engine"`
	Rule       string    `json:"rule"`
	Title      string    `json:"title"`
	Severity   string    `json:"severity"`
	Confidence string    `json:"confidence"`
	Status     string    `json:"status"`
	Location   Location  `json:"location"`
	Since      time.Time `json:"since"`
	LastSeenAt time.Time `json:"lastSeenAt"`
	LastScanID string    `json:"lastScanId"`
	By         *Author   `json:"by"`
	Evidence   string    `json:"evidence"`
	Why        struct {
		Text    string   `json:"text"`
		Kind    string   `json:"kind"`
		Shared  []string `json:"shared"`
		Overlap string   `json:"overlap,omitempty"`
		ByHand  bool     `json:"byHand"`
	} `json:"why"`
}

// CaseLook is a complete look at where a case is that didn't report it.
type CaseLook struct {
	Engine string    `json:"engine"`
	ScanID string    `json:"scanId"`
	Target string    `json:"target"`
	At     time.Time `json:"at"`
	Text   string    `json:"text"`
}

// CaseEvent is one thing that happened to a case.
type CaseEvent struct {
	Number     int64     `json:"number"`
	At         time.Time `json:"at"`
	Kind       string    `json:"kind"`
	Findings   int       `json:"findings"`
	FindingIDs []string  `json:"findingIds"`
	CaseID     string    `json:"caseId,omitempty"`
	By         *Author   `json:"by,omitempty"`
	Reason     string    `json:"reason,omitempty"`
}

// CaseDetail is a case with its findings.
type CaseDetail struct {
	Case

	RiskReasons []RiskReason `json:"riskReasons"`
	Members     []CaseMember `json:"members"`
	Looked      []CaseLook   `json:"looked"`
	History     []CaseEvent  `json:"history"`
}

// Cases is one page of cases.
type Cases struct {
	Data []Case `json:"data"`
	Meta Meta   `json:"meta"`
}

const casesPath = "/api/cases"

// Cases returns one page of cases.
func (c *Client) Cases(ctx context.Context, q CaseQuery) (Cases, error) {
	return plainDo[Cases](ctx, c, call{method: http.MethodGet, path: casesPath, query: q.values()})
}

// Case returns one case with its findings.
func (c *Client) Case(ctx context.Context, id string) (CaseDetail, error) {
	return plainDo[CaseDetail](ctx, c, call{method: http.MethodGet, path: casesPath + "/" + url.PathEscape(id)})
}

// SplitCase takes a finding out of a case for good, and returns the case without it.
func (c *Client) SplitCase(ctx context.Context, id, finding, reason string) (CaseDetail, error) {
	in := struct {
		FindingID string `json:"findingId"`
		Reason    string `json:"reason,omitempty"`
	}{finding, reason}
	return plainDo[CaseDetail](ctx, c, call{method: http.MethodPost, path: casesPath + "/" + url.PathEscape(id) + "/split", in: in})
}

// JoinCase puts into a case another one, or findings, for good.
func (c *Client) JoinCase(ctx context.Context, id, other string, findings []string, reason string) (CaseDetail, error) {
	in := struct {
		CaseID     string   `json:"caseId,omitempty"`
		FindingIDs []string `json:"findingIds,omitempty"`
		Reason     string   `json:"reason,omitempty"`
	}{other, findings, reason}
	return plainDo[CaseDetail](ctx, c, call{method: http.MethodPost, path: casesPath + "/" + url.PathEscape(id) + "/join", in: in})
}
