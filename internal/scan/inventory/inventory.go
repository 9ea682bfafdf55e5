// Package inventory is what a scan's target holds: the packages that its engine listed.
//
// They aren't kept anywhere but in the engine's raw output, which is read again each time; so an inventory costs no
// rows, and a parser that was mended lists more of old scans, too. The package must never write anything. Start with
// Service.
package inventory

import (
	"context"
	"encoding/json"
	"io"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/scan"
	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/scan/finding"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/uid"
)

// MaxPackages is how many packages of one scan are told.
const MaxPackages = 200_000

// Scans opens a scan's raw output; NotFound where there is none. scan.Service is one.
type Scans interface {
	Raw(ctx context.Context, org uid.Org, id uid.Scan) (scan.Artifact, io.ReadCloser, error)
}

// Service reads inventories. It is safe for concurrent use.
type Service struct {
	scans   Scans
	engines map[string]engine.Engine
}

// New returns a service over the engines.
func New(scans Scans, engines []engine.Engine) *Service {
	s := &Service{scans: scans, engines: make(map[string]engine.Engine, len(engines))}
	for _, e := range engines {
		s.engines[e.Manifest().ID] = e
	}
	return s
}

// Packages tells the packages that the scan's raw output lists, cleaned, in its order, and stops with f's error. whole
// says that this is all that the engine listed: the scan came to its end and nothing of its output is missing. An
// engine that lists none tells none.
func (s *Service) Packages(ctx context.Context, of scan.Scan, f func(finding.Package) error) (whole bool, err error) {
	e, ok := s.engines[of.Engine]
	if !ok {
		return false, nil
	}
	req, err := request(e.Manifest(), of)
	if err != nil {
		return false, err
	}
	kept, raw, err := s.scans.Raw(ctx, of.Org, of.ID)
	if err != nil {
		if fault.KindOf(err) == fault.NotFound {
			return false, nil
		}
		return false, err
	}
	defer func() { _ = raw.Close() }()
	told := 0
	var stopped error
	_, err = e.Parse(raw, req, func(item engine.Item) error {
		if stopped = ctx.Err(); stopped != nil || item.Package == nil || told == MaxPackages {
			return stopped
		}
		p := finding.CleanPackage(*item.Package)
		if p.Name == "" {
			return nil
		}
		told++
		stopped = f(p)
		return stopped
	})
	if stopped != nil {
		return false, stopped
	}
	if err != nil {
		return false, fault.New(fault.Unavailable, fault.CodeUnavailable, "the scan's raw output can't be read now").Because(err)
	}
	return of.Outcome == engine.Complete && !kept.Truncated && told < MaxPackages, nil
}

// request is the scan's order as its parser wants it; it connects to nothing, so that what was resolved doesn't count.
func request(m engine.Manifest, of scan.Scan) (engine.Request, error) {
	unreadable := fault.New(fault.Internal, fault.CodeInternal, "the stored order can't be read")
	target, err := asset.ParseTarget(of.Target, of.TargetType)
	if err != nil {
		return engine.Request{}, unreadable.Because(err)
	}
	var options map[string]json.RawMessage
	if len(of.Options) > 0 {
		if err := json.Unmarshal(of.Options, &options); err != nil {
			return engine.Request{}, unreadable.Because(err)
		}
	}
	parsed, err := engine.ParseOptions(m, options, engine.Capabilities{engine.NetRaw})
	if err != nil {
		return engine.Request{}, unreadable.Because(err)
	}
	return engine.Request{Scan: string(of.ID), Target: target, Options: parsed}, nil
}
