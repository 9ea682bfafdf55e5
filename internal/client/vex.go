package client

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
)

// VEXQuery says what an exported document speaks of; empty fields don't narrow.
type VEXQuery struct {
	Format, Host, Scan, Product string
}

// VEXReport is what an imported document did.
type VEXReport struct {
	Format     string       `json:"format"`
	DryRun     bool         `json:"dryRun"`
	Statements VEXCounts    `json:"statements"`
	Findings   VEXFindings  `json:"findings"`
	Problems   []VEXProblem `json:"problems"`
}

// VEXCounts counts statements.
type VEXCounts struct {
	Total     int `json:"total"`
	Matched   int `json:"matched"`
	Unmatched int `json:"unmatched"`
}

// VEXFindings counts findings that statements speak of.
type VEXFindings struct {
	Total     int `json:"total"`
	Applied   int `json:"applied"`
	Unchanged int `json:"unchanged"`
	Conflicts int `json:"conflicts"`
	Partial   int `json:"partial"`
	Changed   int `json:"changed"`
}

// VEXProblem is one thing of a document that had no effect.
type VEXProblem struct {
	Statement     int    `json:"statement"`
	Vulnerability string `json:"vulnerability,omitempty"`
	FindingID     string `json:"findingId,omitempty"`
	Reason        string `json:"reason"`
}

// ExportVEX streams a VEX document; the caller closes it.
func (c *Client) ExportVEX(ctx context.Context, q VEXQuery) (io.ReadCloser, error) {
	v := url.Values{}
	for name, value := range map[string]string{"format": q.Format, "host": q.Host, "scan": q.Scan, "product": q.Product} {
		if value != "" {
			v.Set(name, value)
		}
	}
	resp, err := c.send(ctx, call{method: http.MethodGet, path: "/api/vex", query: v})
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}

// ImportVEX hands a VEX document over.
func (c *Client) ImportVEX(ctx context.Context, document []byte, dryRun, overwrite bool) (VEXReport, error) {
	q := url.Values{}
	if dryRun {
		q.Set("dryRun", "true")
	}
	if overwrite {
		q.Set("overwrite", "true")
	}
	var out VEXReport
	err := c.do(ctx, call{method: http.MethodPost, path: "/api/vex", query: q, in: json.RawMessage(document)}, &out)
	return out, err
}
