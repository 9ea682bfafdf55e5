package store

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"time"

	"assay.dev/assay/internal/scan/finding"
	"assay.dev/assay/internal/scan/triage"
	"assay.dev/assay/internal/word/uid"
)

// observationDoc is how an observation is kept. Its names are data: one is never renamed.
type observationDoc struct {
	Rule        string             `json:"rule"`
	Discern     string             `json:"discern,omitempty"`
	Title       string             `json:"title"`
	Description string             `json:"description,omitempty"`
	Severity    finding.Severity   `json:"severity"`
	Confidence  finding.Confidence `json:"confidence,omitempty"`
	Category    finding.Category   `json:"category,omitempty"`
	CVE         []string           `json:"cve,omitempty"`
	Advisories  []string           `json:"advisories,omitempty"`
	CWE         []int              `json:"cwe,omitempty"`
	CVSS        *finding.CVSS      `json:"cvss,omitempty"`
	Location    finding.Location   `json:"location"`
	Evidence    string             `json:"evidence,omitempty"`
	Remediation string             `json:"remediation,omitempty"`
	References  []string           `json:"references,omitempty"`
	Secret      string             `json:"secret,omitempty"`
}

func observationOf(doc []byte) (finding.Observation, error) {
	var d observationDoc
	if err := decode("doc", doc, &d); err != nil {
		return finding.Observation{}, err
	}
	return finding.Observation(d), nil
}

// FixFindings marks open findings fixed and returns how many, at most 500 at a time; ones a person decided on keep their status.
func (t *Tx) FixFindings(ctx context.Context, ids []uid.Finding, by uid.Scan, at time.Time) (int, error) {
	counts := counting{}
	var history [][]any
	err := t.eachGone(ids, func(id uid.Finding) error {
		var severity, entries int64
		err := t.row(ctx, "finding.fix", []any{string(id), micros(at), string(by)}, &severity, &entries)
		if err != nil {
			return err
		}
		counts.move(cell{severity, finding.Open}, cell{severity, finding.Fixed})
		history = append(history, passage{triage.KindFixed, finding.Open, finding.Fixed, by}.entry(id, entries, at))
		return nil
	})
	if err != nil {
		return 0, err
	}
	if _, err := t.insertMany(ctx, "finding.history_add", history); err != nil {
		return 0, err
	}
	return len(history), t.putCounts(ctx, counts)
}

// MissFindings notes since when complete scans no longer see findings that a person has decided on, at most 500 at a
// time; others, and ones of which it is noted, stay as they are.
func (t *Tx) MissFindings(ctx context.Context, ids []uid.Finding, by uid.Scan, at time.Time) error {
	var history [][]any
	err := t.eachGone(ids, func(id uid.Finding) error {
		var status finding.Status
		var entries int64
		if err := t.row(ctx, "finding.miss", []any{string(id), micros(at)}, &status, &entries); err != nil {
			return err
		}
		history = append(history, passage{triage.KindUnseen, status, status, by}.entry(id, entries, at))
		return nil
	})
	if err != nil {
		return err
	}
	_, err = t.insertMany(ctx, "finding.history_add", history)
	return err
}

// eachGone calls f for findings that a scan no longer sees, in one order for all, so that two units don't wait for each
// other. A finding that f has no row of is passed over.
func (t *Tx) eachGone(ids []uid.Finding, f func(uid.Finding) error) error {
	if len(ids) > maxRows {
		return internal("too many findings for one unit", nil)
	}
	for _, id := range slices.Sorted(slices.Values(ids)) {
		if err := f(id); err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
	}
	return nil
}

// passage is what a scan did to a finding.
type passage struct {
	kind         triage.Kind
	before, then finding.Status
	by           uid.Scan
}

// entry is the row of a finding's history about it.
func (p passage) entry(id uid.Finding, seq int64, at time.Time) []any {
	return []any{
		string(id), seq, micros(at), string(p.kind), string(p.before), string(p.then), orNull(p.by), nil, nil, nil,
	}
}

// OpenFindings returns findings of one engine on one host that aren't fixed, after the given fingerprint in
// fingerprint order, at most 500. Ones with a person's decision come until it is noted that no scan sees them.
func (r ScanStore) OpenFindings(ctx context.Context, org uid.Org, engineID, host, after string) ([]finding.Finding, error) {
	var out []finding.Finding
	err := r.each(ctx, org, "finding.unfixed", []any{engineID, host, after}, func(rows *sql.Rows) error {
		var f finding.Finding
		var engines, doc []byte
		var first, last, fixed int64
		err := rows.Scan(&f.ID, &f.Engine, &f.Fingerprint, &f.Status, &first, &last, &fixed, &f.Scan, &engines, &doc)
		if err != nil {
			return internal("a finding can't be read", err)
		}
		f.FirstSeenAt, f.LastSeenAt, f.FixedAt = timeOf(first), timeOf(last), timeOf(fixed)
		if f.Engines, err = texts[string]("engines", engines); err != nil {
			return err
		}
		f.Observation, err = observationOf(doc)
		out = append(out, f)
		return err
	})
	return out, err
}
