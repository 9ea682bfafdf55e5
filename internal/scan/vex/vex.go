// Package vex is what people decided on findings, said to others, and what others decided, taken over: VEX documents in
// OpenVEX 0.2.0 and CycloneDX 1.4 to 1.6.
//
// Documents that come in are hostile until read to their end: bounded, strict, and never believed over a person. A
// document speaks of vulnerabilities and products; findings are matched by CVE id and by host, package or image where
// the document names one, and decided on through package triage, so that every effect stands in the finding's history.
// The package must never accept a risk for anybody: an acceptance needs a person and an end date.
// Start with Service; place.go says what names the same thing, apply.go what a document does.
package vex

import (
	"context"
	"time"

	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/org/access"
	"assay.dev/assay/internal/scan/finding"
	"assay.dev/assay/internal/scan/triage"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/uid"
)

// Format is the form of a document.
type Format string

// Formats.
const (
	OpenVEX   Format = "openvex"
	CycloneDX Format = "cyclonedx"
)

// Bounds.
const (
	MaxDocument   = 16 << 20 // bytes of a document that comes in
	maxStatements = 50_000
	maxTargets    = 5_000  // products and components of one statement
	maxTouched    = 50_000 // findings that one document may speak of
	maxPlaces     = 100_000
	maxProblems   = 100 // that an import's answer names
	batch         = 200
)

// Pair is a finding and one of its CVE ids.
type Pair struct {
	CVE     string
	Finding uid.Finding
}

// Store is what VEX needs of a database, scoped to org throughout.
type Store interface {
	// FindingPairs returns findings with their CVE ids after a pair, by CVE and then by finding, at most limit.
	FindingPairs(ctx context.Context, org uid.Org, after Pair, limit int) ([]Pair, error)
	// FindingsWithCVE returns the pairs of at most 500 CVE ids, at most limit.
	FindingsWithCVE(ctx context.Context, org uid.Org, cves []string, limit int) ([]Pair, error)
	// FindingsByID returns findings, at most 500; what isn't there is left out.
	FindingsByID(ctx context.Context, org uid.Org, ids []uid.Finding) ([]triage.Finding, error)
	// Record writes an audit entry that belongs to no change.
	Record(ctx context.Context, org uid.Org, ev audit.Event) error
}

// Decider decides on findings; package triage does.
type Decider interface {
	DecideGuarded(ctx context.Context, a access.Actor, ids []uid.Finding, d triage.Decision, g triage.Guard) (triage.Decided, error)
}

// Scans tells which findings a scan saw; NotFound where there is no such scan, Conflict where it hasn't ended.
type Scans interface {
	FindingsOf(ctx context.Context, org uid.Org, id uid.Scan) (map[uid.Finding]bool, error)
}

// Deps is what the service works with. All are required.
type Deps struct {
	Store   Store
	Decider Decider
	Scans   Scans
	Now     func() time.Time
	IDs     *uid.Source
}

// Service exports and imports VEX documents. It is safe for concurrent use.
type Service struct{ d Deps }

// New returns the service.
func New(d Deps) *Service { return &Service{d} }

// Query says what a document is to speak of. Empty fields don't narrow.
type Query struct {
	Format  Format
	Author  string // who says so: the organization's name
	Host    string
	Scan    uid.Scan
	Product string // a host, package URL, package name or image
}

// statement is what is said of one CVE id at one finding.
type statement struct {
	pair  Pair
	place place
	found triage.Finding
}

// each calls f for every statement that the query asks for, by CVE.
func (s *Service) each(ctx context.Context, org uid.Org, q Query, f func(statement) error) error {
	var seen map[uid.Finding]bool
	if q.Scan != "" {
		if !uid.Valid(string(q.Scan)) {
			return fault.Missing("scan")
		}
		var err error
		if seen, err = s.d.Scans.FindingsOf(ctx, org, q.Scan); err != nil {
			return err
		}
	}
	host := ""
	if q.Host != "" {
		host = finding.CanonicalHost(q.Host)
	}
	var wanted target
	if q.Product != "" {
		wanted = parseTarget(q.Product)
	}
	now := s.d.Now()
	for after := (Pair{}); ; {
		pairs, err := s.d.Store.FindingPairs(ctx, org, after, batch)
		if err != nil || len(pairs) == 0 {
			return err
		}
		after = pairs[len(pairs)-1]
		found, err := s.byID(ctx, org, pairs, seen)
		if err != nil {
			return err
		}
		for _, p := range pairs {
			fd, ok := found[p.Finding]
			if !ok || (host != "" && fd.Location.Host != host) || (q.Product != "" && !wanted.names(fd.Location)) {
				continue
			}
			if err := f(statement{pair: p, place: placeOf(fd.ID, fd.Location), found: fd.At(now)}); err != nil {
				return err
			}
		}
	}
}

// byID reads the findings of pairs; only those in seen, where it is given.
func (s *Service) byID(ctx context.Context, org uid.Org, pairs []Pair, seen map[uid.Finding]bool) (map[uid.Finding]triage.Finding, error) {
	ids := make([]uid.Finding, 0, len(pairs))
	listed := map[uid.Finding]bool{}
	for _, p := range pairs {
		if !listed[p.Finding] && (seen == nil || seen[p.Finding]) {
			listed[p.Finding] = true
			ids = append(ids, p.Finding)
		}
	}
	if len(ids) == 0 {
		return nil, nil
	}
	list, err := s.d.Store.FindingsByID(ctx, org, ids)
	out := make(map[uid.Finding]triage.Finding, len(list))
	for _, f := range list {
		out[f.ID] = f
	}
	return out, err
}
