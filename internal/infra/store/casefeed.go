package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/scan/correlation"
	"assay.dev/assay/internal/word/uid"
)

// CaseFeed implements what correlation.Follower reads, over all organizations, for the server only.
type CaseFeed struct{ reader }

var (
	_ correlation.Journal  = CaseFeed{}
	_ correlation.Findings = CaseFeed{}
)

// CaseFeed is the view of whoever keeps cases in step with findings.
func (s *Store) CaseFeed() CaseFeed { return CaseFeed{reader{s}} }

// CaseNews implements correlation.Journal.
func (r CaseFeed) CaseNews(ctx context.Context, limit int) ([]correlation.News, int64, error) {
	var out []correlation.News
	var last int64
	err := r.oneOfAll(ctx, func(ctx context.Context, v *View) error {
		out, last = nil, 0
		return v.each(ctx, "all.case.news", []any{int64(limit)}, func(rows *sql.Rows) error {
			var n correlation.News
			var typ, subject string
			var data []byte
			if err := rows.Scan(&n.Seq, &n.Org, &typ, &subject, &data); err != nil {
				return internal("an event can't be read", err)
			}
			last = n.Seq
			var d struct {
				ScanID     string        `json:"scanId"`
				FindingIDs []uid.Finding `json:"findingIds"`
			}
			switch typ {
			case "scan.completed", "scan.failed", "scan.cancelled":
				n.Scan = uid.Scan(subject)
			case "finding.triaged", "finding.reopened", "finding.fixed":
				if json.Unmarshal(data, &d) != nil || d.ScanID != "" { // the scan's end tells of what it did
					return nil
				}
				n.Findings = d.FindingIDs
			default:
				return nil
			}
			out = append(out, n)
			return nil
		})
	})
	return out, last, err
}

func following() audit.Event { return audit.Bookkeeping("how far cases are in step with findings") }

// CaseNewsDone implements correlation.Journal.
func (r CaseFeed) CaseNewsDone(ctx context.Context, last int64) error {
	return r.s.changeAll(ctx, following(), func(ctx context.Context, t *Tx) error {
		_, err := t.exec(ctx, "all.case.cursor_move", last)
		return err
	})
}

// Uncorrelated implements correlation.Journal.
func (r CaseFeed) Uncorrelated(ctx context.Context, limit int) (uid.Org, []uid.Finding, error) {
	var org uid.Org
	err := r.oneOfAll(ctx, func(ctx context.Context, v *View) error {
		return optional(v.row(ctx, "all.case.uncased", nil, &org))
	})
	if err != nil || org == "" {
		return "", nil, err
	}
	ids, err := r.ids(ctx, org, "case.uncased", int64(limit))
	return org, ids, err
}

func (r CaseFeed) ids(ctx context.Context, org uid.Org, name string, args ...any) ([]uid.Finding, error) {
	var out []uid.Finding
	err := r.read(ctx, org, true, func(ctx context.Context, v *View) error {
		var err error
		out, err = findingIDs(ctx, &v.handle, name, args)
		return err
	})
	return out, err
}

// ScanFindings implements correlation.Findings.
func (r CaseFeed) ScanFindings(ctx context.Context, org uid.Org, scan uid.Scan, after uid.Finding, limit int) ([]uid.Finding, error) {
	return r.ids(ctx, org, "case.scan_findings", string(scan), string(after), int64(limit))
}

// FixedFindings implements correlation.Findings.
func (r CaseFeed) FixedFindings(ctx context.Context, org uid.Org, scan uid.Scan, after uid.Finding, limit int) ([]uid.Finding, error) {
	return r.ids(ctx, org, "case.fixed_findings", string(scan), string(after), int64(limit))
}

// HostFindings implements correlation.Findings.
func (r CaseFeed) HostFindings(ctx context.Context, org uid.Org, host string, after uid.Finding, limit int) ([]uid.Finding, error) {
	return r.ids(ctx, org, "case.host_findings", host, string(after), int64(limit))
}

// EachFinding implements correlation.Findings.
func (r CaseFeed) EachFinding(ctx context.Context, org uid.Org, after uid.Finding, limit int) ([]uid.Finding, error) {
	return r.ids(ctx, org, "case.all_findings", string(after), int64(limit))
}

// IntelStamp implements correlation.Journal.
func (r CaseFeed) IntelStamp(ctx context.Context) (string, error) {
	loaded, err := r.s.Intel().IntelSources(ctx)
	var b strings.Builder
	for _, l := range loaded {
		b.WriteString(string(l.Source) + " " + l.SHA256 + " ")
	}
	return strings.TrimSpace(b.String()), err
}

// Outdated implements correlation.Journal.
func (r CaseFeed) Outdated(ctx context.Context, stamp string) (uid.Org, uid.Finding, error) {
	var org uid.Org
	var after uid.Finding
	err := r.oneOfAll(ctx, func(ctx context.Context, v *View) error {
		return optional(v.row(ctx, "all.case.outdated", []any{stamp, string(uid.System)}, &org, &after))
	})
	return org, after, err
}

// KeepPass implements correlation.Journal.
func (r CaseFeed) KeepPass(ctx context.Context, org uid.Org, stamp string, after uid.Finding, done bool) error {
	end := ""
	if done {
		end = stamp
	}
	return r.s.change(ctx, org, following(), func(ctx context.Context, t *Tx) error {
		_, err := t.exec(ctx, "case.pass_keep", end, stamp, string(after))
		return err
	})
}

// LearnAliases implements correlation.Findings: from what the scan says of hosts that have a name.
func (r CaseFeed) LearnAliases(ctx context.Context, org uid.Org, scan uid.Scan) ([]string, error) {
	var pairs [][]any
	for after := ""; ; {
		n := 0
		err := r.each(ctx, org, "case.scan_hosts", []any{string(scan), after}, func(rows *sql.Rows) error {
			var doc []byte
			if err := rows.Scan(&after, &doc); err != nil {
				return internal("an asset can't be read", err)
			}
			n++
			pairs = append(pairs, aliasRows(after, doc, r.s.now())...)
			return nil
		})
		if err != nil {
			return nil, err
		}
		if n < maxRows {
			break
		}
	}
	if len(pairs) == 0 {
		return nil, nil
	}
	hosts := map[string]bool{}
	err := r.s.change(ctx, org, following(), func(ctx context.Context, t *Tx) error {
		clear(hosts)
		return t.eachMany(ctx, "case.alias_add", pairs, func(rows *sql.Rows) error {
			var name, address string
			if err := rows.Scan(&name, &address); err != nil {
				return internal("an alias can't be read", err)
			}
			hosts[name], hosts[address] = true, true
			return nil
		})
	})
	return slices.Sorted(maps.Keys(hosts)), err
}

// maxAliases bounds what one host asset may say of itself.
const maxAliases = 64

// aliasRows are a host's addresses, where it has a name.
func aliasRows(name string, attributes []byte, now time.Time) [][]any {
	var d struct {
		Address   string   `json:"address"`
		Addresses []string `json:"addresses"`
	}
	if json.Unmarshal(attributes, &d) != nil {
		return nil
	}
	var out [][]any
	for _, pair := range correlation.AliasPairs(name, append(d.Addresses, d.Address)) {
		if len(out) < maxAliases {
			out = append(out, []any{pair[0], pair[1], micros(now)})
		}
	}
	return out
}
