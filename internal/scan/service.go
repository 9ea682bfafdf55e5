package scan

import (
	"context"
	"io"
	"slices"
	"time"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/org/access"
	"assay.dev/assay/internal/org/tenant"
	"assay.dev/assay/internal/org/usage"
	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/scan/finding"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/uid"
)

// Assets is where an order's assetId is looked up; NotFound where there is none.
type Assets interface {
	Asset(ctx context.Context, org uid.Org, id uid.Asset) (asset.Asset, error)
}

// Quota counts accepted orders against the plan, in the unit that accepts them; Exhausted, QUOTA_EXCEEDED, where it
// doesn't hold all of them, and then nothing is counted.
type Quota interface {
	ScanQuota(ctx context.Context, tx usage.Tx, plan tenant.Plan) error
	ScansQuota(ctx context.Context, tx usage.Tx, plan tenant.Plan, n int) error
}

// Callbacks decides on the addresses that scans' ends are told to.
type Callbacks interface {
	// MayCallback says whether the actor may have that address told, and returns it as it is kept.
	MayCallback(a access.Actor, address string) (string, error)
	// CanSign is a Conflict fault where the organization has no secret to sign callbacks with.
	CanSign(ctx context.Context, org uid.Org) error
}

// Sealer keeps secrets of a record at rest.
type Sealer interface {
	Seal(org uid.Org, record string, plain []byte) ([]byte, error)
	Open(org uid.Org, record string, sealed []byte) ([]byte, error)
}

// Blobs keeps raw output by digest, apart for each organization.
type Blobs interface {
	// Create begins a blob; id must be unique among those being written.
	Create(org uid.Org, id string) (Blob, error)
	// Open returns a blob, which the caller closes; NotFound where there is none.
	Open(ctx context.Context, org uid.Org, digest string) (io.ReadSeekCloser, error)
}

// Blob is one blob being written. Exactly one of Commit and Abort must be called.
type Blob interface {
	io.Writer
	Size() int64
	// Commit makes the blob durable and returns its SHA-256 in lower-case hex.
	Commit() (string, error)
	Abort() error
}

// Deps is what the service works with.
type Deps struct {
	Store        Store
	Assets       Assets
	Engines      []engine.Engine
	Availability *engine.Roster
	Gate         Gate
	Quota        Quota
	Callbacks    Callbacks // nil = orders can't have callbacks
	Sealer       Sealer
	Blobs        Blobs
	Capabilities engine.Capabilities // what the place where scans run can do
	Now          func() time.Time
	IDs          *uid.Source
	// Changed is called after a commit that may let a waiting scan start; it must not block. nil = nobody listens.
	Changed func()
}

// Service takes orders for scans and shows what became of them. It is safe for concurrent use.
type Service struct {
	d       Deps
	engines map[string]engine.Engine
}

// New returns the service.
func New(d Deps) *Service {
	if d.Changed == nil {
		d.Changed = func() {}
	}
	return &Service{d: d, engines: byID(d.Engines)}
}

func byID(engines []engine.Engine) map[string]engine.Engine {
	m := make(map[string]engine.Engine, len(engines))
	for _, e := range engines {
		m[e.Manifest().ID] = e
	}
	return m
}

// Get returns a scan; another organization's, and an id that is none, are NotFound faults.
func (s *Service) Get(ctx context.Context, org uid.Org, id uid.Scan) (Scan, error) {
	if !uid.Valid(string(id)) {
		return Scan{}, fault.Missing("scan")
	}
	return s.d.Store.Scan(ctx, org, id)
}

// List returns one page of scans.
func (s *Service) List(ctx context.Context, org uid.Org, q Query) (List, error) {
	return s.d.Store.Scans(ctx, org, q)
}

// Cancel ends a queued or running scan and returns it as cancelled; what it has found so far stays readable. A scan
// that has ended is a Conflict fault of code SCAN_NOT_CANCELLABLE. The run itself ends within seconds.
func (s *Service) Cancel(ctx context.Context, a access.Actor, id uid.Scan) (Scan, error) {
	if !uid.Valid(string(id)) {
		return Scan{}, fault.Missing("scan")
	}
	var out Scan
	ev := audit.Event{Type: event.ScanCancelAsked, Resource: resource(id)}
	err := s.d.Store.Change(ctx, a.Org, ev, func(ctx context.Context, tx Tx) error {
		var err error
		out, err = cancel(ctx, tx, id, instant(s.d.Now))
		return err
	})
	if err != nil {
		return Scan{}, err
	}
	s.d.Changed()
	return out, nil
}

// EngineState is an engine and whether it can run here.
type EngineState struct {
	engine.Availability

	Manifest engine.Manifest
}

// Engines returns every engine with its state, in the catalog's order, also those that the actor's key may not use.
func (s *Service) Engines(ctx context.Context, _ access.Actor) ([]EngineState, error) {
	out := make([]EngineState, 0, len(s.d.Engines))
	for _, e := range s.d.Engines {
		m := e.Manifest()
		state, err := s.d.Availability.Of(ctx, m.ID)
		if err != nil {
			return nil, err
		}
		out = append(out, EngineState{Availability: state, Manifest: m})
	}
	return out, nil
}

// Ready is nil for a scan whose results can be read: one that has ended. Else it is a Conflict fault of code
// RESULTS_NOT_READY. Results of a cancelled or failed scan may be partial.
func (s Scan) Ready() error {
	if s.Status.Terminal() {
		return nil
	}
	return fault.New(fault.Conflict, fault.CodeResultsNotReady, "the scan isn't finished yet; its results come with its end")
}

// ready returns a scan that has ended.
func (s *Service) ready(ctx context.Context, org uid.Org, id uid.Scan) error {
	found, err := s.Get(ctx, org, id)
	if err != nil {
		return err
	}
	return found.Ready()
}

// Results returns one page of a scan's findings, worst first. A scan that hasn't ended is RESULTS_NOT_READY.
func (s *Service) Results(ctx context.Context, org uid.Org, id uid.Scan, q ResultQuery) (Results, error) {
	if err := q.check(); err != nil {
		return Results{}, err
	}
	if err := s.ready(ctx, org, id); err != nil {
		return Results{}, err
	}
	return s.d.Store.Results(ctx, org, id, q)
}

// EachResult streams all findings of a scan that match, worst first, without holding them; it stops with f's error.
func (s *Service) EachResult(ctx context.Context, org uid.Org, id uid.Scan, q ResultQuery, f func(Result) error) error {
	if err := q.check(); err != nil {
		return err
	}
	if err := s.ready(ctx, org, id); err != nil {
		return err
	}
	return s.d.Store.EachResult(ctx, org, id, q, f)
}

func (q ResultQuery) check() error {
	if q.Severity != "" && !slices.Contains(finding.Severities(), q.Severity) {
		return fault.Wrong("severity", "must be one of critical, high, medium, low, info")
	}
	return nil
}

// Artifacts returns what is known of a scan's kept raw outputs, the one that was parsed first.
func (s *Service) Artifacts(ctx context.Context, org uid.Org, id uid.Scan) ([]Artifact, error) {
	if err := s.ready(ctx, org, id); err != nil {
		return nil, err
	}
	return s.d.Store.Artifacts(ctx, org, id)
}

// ScanAssets returns the assets that a scan saw.
func (s *Service) ScanAssets(ctx context.Context, org uid.Org, id uid.Scan) ([]asset.Observation, error) {
	if err := s.ready(ctx, org, id); err != nil {
		return nil, err
	}
	return s.d.Store.ScanAssets(ctx, org, id)
}

// Raw opens the engine's own output, the one that findings were made of; the caller closes it. Where there is none it
// is a NotFound fault of code RAW_NOT_AVAILABLE.
func (s *Service) Raw(ctx context.Context, org uid.Org, id uid.Scan) (Artifact, io.ReadCloser, error) {
	kept, err := s.Artifacts(ctx, org, id)
	if err != nil {
		return Artifact{}, nil, err
	}
	none := fault.New(fault.NotFound, fault.CodeRawNotAvailable, "the engine left no raw output of this scan")
	if len(kept) == 0 {
		return Artifact{}, nil, none
	}
	r, err := s.d.Blobs.Open(ctx, org, kept[0].SHA256)
	if err != nil && fault.KindOf(err) == fault.NotFound {
		return Artifact{}, nil, none.Because(err)
	}
	if err != nil {
		return Artifact{}, nil, err
	}
	return kept[0], r, nil
}

// instant is the clock as the database keeps it: UTC, whole microseconds. Times that are compared with stored ones
// must be cut alike.
func instant(now func() time.Time) time.Time { return now().UTC().Truncate(time.Microsecond) }

func resource(id uid.Scan) audit.Resource { return audit.Resource{Kind: "scan", ID: string(id)} }
