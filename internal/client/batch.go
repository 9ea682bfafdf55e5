package client

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strconv"
)

// BatchOrder are many scans to be submitted at once: Scans, or one for each of Targets. What else is set is the default
// of each.
type BatchOrder struct {
	Order

	// Target and ScanType may be left out where the orders say them.
	Target   string            `json:"target,omitempty"`
	ScanType string            `json:"scanType,omitempty"`
	Scans    []json.RawMessage `json:"scans,omitempty"`
	Targets  []string          `json:"targets,omitempty"`
	Atomic   bool              `json:"atomic,omitempty"`
}

// Batch is what became of a batch.
type Batch struct {
	ID       string      `json:"id,omitempty"`
	Accepted int         `json:"accepted"`
	Refused  int         `json:"refused"`
	Items    []BatchItem `json:"items"`
}

// BatchItem is what became of one order: a scan, or the error that refused it.
type BatchItem struct {
	Index int         `json:"index"`
	Scan  *Scan       `json:"scan,omitempty"`
	Error *BatchError `json:"error,omitempty"`
}

// BatchError is why one order was refused.
type BatchError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Errors  []struct {
		Location string `json:"location"`
		Message  string `json:"message"`
	} `json:"errors,omitempty"`
}

// SubmitBatch orders up to 1,000 scans. once makes a repeated call take effect once; empty = no protection.
func (c *Client) SubmitBatch(ctx context.Context, o BatchOrder, once string) (Batch, error) {
	k := call{method: http.MethodPost, path: "/scans/batch", in: o}
	if once != "" {
		k.headers = map[string]string{"Idempotency-Key": once}
	}
	return scanDo[Batch](ctx, c, k)
}

// ScanPatch changes what is set.
type ScanPatch struct {
	Name *string   `json:"name,omitempty"`
	Tags *[]string `json:"tags,omitempty"`
}

// EditScan renames or tags a scan.
func (c *Client) EditScan(ctx context.Context, id string, p ScanPatch) (Scan, error) {
	return scanDo[Scan](ctx, c, call{method: http.MethodPatch, path: "/scans/" + url.PathEscape(id), in: p})
}

// Comparison is one page of what is new, gone and unchanged from one scan to another.
type Comparison struct {
	Base    Scan `json:"base"`
	Compare Scan `json:"compare"`
	Summary struct {
		New       Summary `json:"new"`
		Gone      Summary `json:"gone"`
		Unchanged Summary `json:"unchanged"`
	} `json:"summary"`
	Caveats []struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	} `json:"caveats"`
	Findings   []ComparedFinding `json:"findings"`
	Pagination Pagination        `json:"pagination"`
}

// ComparedFinding is one weakness of a comparison.
type ComparedFinding struct {
	Finding

	Change string `json:"change"`
}

// ComparisonQuery filters a comparison; empty fields don't filter.
type ComparisonQuery struct {
	Change, Severity string
	Limit            int
	Cursor           string
}

func (q ComparisonQuery) values(other string) url.Values {
	v := url.Values{"with": {other}}
	for name, value := range map[string]string{"change": q.Change, "severity": q.Severity, "cursor": q.Cursor} {
		if value != "" {
			v.Set(name, value)
		}
	}
	if q.Limit > 0 {
		v.Set("limit", strconv.Itoa(q.Limit))
	}
	return v
}

// Compare returns one page of the comparison of a scan with the base.
func (c *Client) Compare(ctx context.Context, base, other string, q ComparisonQuery) (Comparison, error) {
	return scanDo[Comparison](ctx, c, call{method: http.MethodGet, path: "/scans/" + url.PathEscape(base) + "/compare", query: q.values(other)})
}

// CompareCSV streams a comparison as CSV; the caller closes it.
func (c *Client) CompareCSV(ctx context.Context, base, other string, q ComparisonQuery) (io.ReadCloser, error) {
	v := q.values(other)
	v.Set("format", "csv")
	resp, err := c.send(ctx, call{method: http.MethodGet, path: "/scan-api/api/v1/scans/" + url.PathEscape(base) + "/compare", query: v})
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}
