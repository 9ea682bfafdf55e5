package scan

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"runtime/debug"
	"slices"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/scan/finding"
	"assay.dev/assay/internal/scan/redact"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/uid"
)

// Rows of one unit: some 10 ms of writing, so that nobody waits for long behind it. Fewer commits would take a large
// report in a tenth faster, and let everybody else wait three times as long.
const (
	findingChunk = 64
	assetChunk   = 128
	fixChunk     = 500
	maxAssets    = 50_000 // of one run
)

// errEnough stops a parser at the run's limit of findings.
var errEnough = errors.New("enough findings")

// intake takes what the parser yields into the store, in chunks, each thing once.
type intake struct {
	r *run
	e *end

	cut     bool // not all of the output was read
	ordinal int
	places  map[string]bool // occurrences seen
	known   map[string]bool // assets seen
	seen    []Seen
	assets  []asset.Observation
}

func newIntake(r *run, e *end) *intake {
	return &intake{r: r, e: e, places: map[string]bool{}, known: map[string]bool{}}
}

// read parses the run's first raw output and records what is in it. An error is the store's, or ctx's; a parser that
// fails, or panics, makes the run partial or failed.
func (in *intake) read(ctx context.Context) error {
	if len(in.e.raw) == 0 || in.e.eng == nil {
		in.cut = true
		return nil
	}
	raw, err := in.r.e.d.Blobs.Open(ctx, in.r.scan.Org, in.e.raw[0].SHA256)
	if err != nil {
		return err
	}
	defer func() { _ = raw.Close() }()
	var stored error // a failure of ours, told apart from the parser's own
	cover, err := in.parse(ctx, raw, func(item engine.Item) error {
		stored = in.take(ctx, item)
		return stored
	})
	switch {
	case errors.Is(stored, errEnough):
		in.cut = true
		in.e.weaken("the engine reported more findings than are kept")
	case stored != nil:
		return stored
	case err != nil:
		in.cut = true
		in.r.log.WarnContext(ctx, "engine output not understood", slog.Any("error", err))
		in.misread()
	case !in.e.given:
		in.e.cover = cover
	}
	if err := in.flushFindings(ctx); err != nil {
		return err
	}
	in.own()
	return in.flushAssets(ctx)
}

// misread fails a run whose output couldn't be read to its end, unless it has failed for a better reason.
func (in *intake) misread() {
	const why = "the engine's output could not be read to its end"
	if in.e.Status != Completed {
		in.e.weaken(why)
		return
	}
	in.e.Outcome = engine.Failed
	if in.ordinal > 0 {
		in.e.Outcome = engine.Partial
	}
	in.e.fail(&Error{Code: fault.CodeScanFailed, Message: why})
}

// parse contains the parser's panics.
func (in *intake) parse(ctx context.Context, raw io.Reader, yield func(engine.Item) error) (cover finding.Coverage, err error) {
	defer func() {
		if p := recover(); p != nil {
			in.r.log.ErrorContext(ctx, "parser panicked", slog.Any("panic", p), slog.String("stack", string(debug.Stack())))
			err = fault.New(fault.Internal, fault.CodeInternal, "the parser failed")
		}
	}()
	return in.e.eng.Parse(raw, in.e.req, yield)
}

func (in *intake) take(ctx context.Context, item engine.Item) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if item.Finding != nil {
		if err := in.finding(ctx, *item.Finding); err != nil {
			return err
		}
	}
	if item.Asset != nil {
		return in.asset(ctx, *item.Asset)
	}
	return nil
}

func (in *intake) finding(ctx context.Context, o finding.Observation) error {
	if o.Secret == "" && (o.Category == finding.CategorySecret || o.Category == finding.CategoryDisclosure) {
		o.Secret = redact.Fingerprint(o.Evidence) // what was masked in the raw output is known by its mark
	}
	o = finding.Clean(o)
	id := in.r.scan.Engine
	s := Seen{
		Observation: o, Fingerprint: finding.Fingerprint(id, o), Occurrence: finding.Occurrence(id, o), Case: finding.CaseKey(o), Ordinal: in.ordinal,
	}
	if in.places[s.Occurrence] {
		return nil
	}
	if limit := in.e.eng.Manifest().Limits.MaxFindings; limit > 0 && in.ordinal >= limit {
		return errEnough
	}
	in.places[s.Occurrence] = true
	in.ordinal++
	in.e.Summary.Add(o.Severity)
	in.seen = append(in.seen, s)
	if len(in.seen) == findingChunk {
		return in.flushFindings(ctx)
	}
	return nil
}

func (in *intake) asset(ctx context.Context, o asset.Observation) error {
	name, err := asset.CanonicalName(o.Kind, o.Name)
	if err != nil || in.known[string(o.Kind)+" "+name] || len(in.known) >= maxAssets {
		return nil // what can't be named can't be found again
	}
	in.known[string(o.Kind)+" "+name] = true
	o.Name, o.Source = name, in.r.scan.Engine
	if len(o.Attributes) > asset.MaxAttributes || !bytes.HasPrefix(o.Attributes, []byte("{")) || !json.Valid(o.Attributes) {
		o.Attributes = nil
	}
	o = o.Resolved(in.e.req.Target, in.e.req.Addrs)
	in.assets = append(in.assets, o)
	if len(in.assets) == assetChunk {
		return in.flushAssets(ctx)
	}
	return nil
}

// own adds the target's host, with what its name resolved to, to the assets of a run that reached it and names none.
func (in *intake) own() {
	t := in.e.req.Target
	if in.e.Outcome != engine.Complete && in.e.Outcome != engine.Partial || in.known[string(asset.KindHost)+" "+t.Host()] {
		return
	}
	o := asset.Observation{Kind: asset.KindHost, Name: t.Host(), Source: in.r.scan.Engine, Aside: true}.Resolved(t, in.e.req.Addrs)
	if o.Attributes != nil {
		in.assets = append(in.assets, o)
	}
}

func (in *intake) flushFindings(ctx context.Context) error {
	if len(in.seen) == 0 {
		return nil
	}
	s := in.r.scan
	now := instant(in.r.e.d.Now)
	var changes []finding.Change
	ev := audit.Event{Type: event.FindingsIngested, Resource: resource(s.ID), Bulk: true}
	err := in.r.change(ctx, ev, func(ctx context.Context, tx Tx) error {
		var err error
		changes, err = tx.RecordFindings(ctx, s, in.seen, now)
		return err
	})
	if err != nil {
		return err
	}
	in.seen = in.seen[:0]
	for _, c := range changes {
		switch c.Fate {
		case finding.Created:
			in.e.opened.add(c.ID)
		case finding.Reopened:
			in.e.reopened.add(c.ID)
		case finding.Untouched, finding.Suppressed, finding.Closed:
		}
	}
	return nil
}

func (in *intake) flushAssets(ctx context.Context) error {
	if len(in.assets) == 0 {
		return nil
	}
	s := in.r.scan
	now := instant(in.r.e.d.Now)
	ev := audit.Event{Type: event.FindingsIngested, Resource: resource(s.ID), Bulk: true}
	err := in.r.change(ctx, ev, func(ctx context.Context, tx Tx) error {
		return tx.RecordAssets(ctx, s, in.assets, now)
	})
	if err != nil {
		return err
	}
	in.assets = in.assets[:0]
	return nil
}

// closeUnseen marks open findings fixed where this run looked completely and no longer saw them.
func (r *run) closeUnseen(ctx context.Context, e *end) error {
	var hosts []string
	for i, p := range e.cover.Places {
		e.cover.Places[i].Host = finding.CanonicalHost(p.Host)
		hosts = append(hosts, e.cover.Places[i].Host)
	}
	slices.Sort(hosts)
	for _, host := range slices.Compact(hosts) {
		if err := r.closeOn(ctx, e, host); err != nil {
			return err
		}
	}
	return nil
}

// closeOn walks over the engine's open findings on one host, a page at a time.
func (r *run) closeOn(ctx context.Context, e *end, host string) error {
	for after := ""; ; {
		open, err := r.e.d.Store.OpenFindings(ctx, r.scan.Org, r.scan.Engine, host, after)
		if err != nil || len(open) == 0 {
			return err
		}
		var gone, missed []uid.Finding
		for _, f := range open {
			switch {
			case finding.MayClose(f, r.scan.Engine, r.scan.StartedAt, e.cover):
				gone = append(gone, f.ID)
			case finding.MayMiss(f, r.scan.Engine, r.scan.StartedAt, e.cover):
				missed = append(missed, f.ID)
			}
		}
		if err := r.miss(ctx, missed); err != nil {
			return err
		}
		for part := range slices.Chunk(gone, fixChunk) {
			if err := r.fix(ctx, part); err != nil {
				return err
			}
			for _, id := range part {
				e.fixed.add(id)
			}
		}
		after = open[len(open)-1].Fingerprint
	}
}

// fix closes findings while the scan is ours.
func (r *run) fix(ctx context.Context, ids []uid.Finding) error {
	s := r.scan
	now := instant(r.e.d.Now)
	ev := audit.Event{Type: event.FindingsIngested, Resource: resource(s.ID), Bulk: true}
	return r.change(ctx, ev, func(ctx context.Context, tx Tx) error {
		if err := tx.KeepLease(ctx, s.ID, s.Fence, now.Add(Lease), 0, "closing what is gone"); err != nil {
			return err
		}
		_, err := tx.FixFindings(ctx, ids, s.ID, now)
		return err
	})
}

// miss notes, while the scan is ours, that findings with a person's decision aren't there any more.
func (r *run) miss(ctx context.Context, ids []uid.Finding) error {
	if len(ids) == 0 {
		return nil
	}
	s := r.scan
	now := instant(r.e.d.Now)
	ev := audit.Event{Type: event.FindingsIngested, Resource: resource(s.ID), Bulk: true}
	return r.change(ctx, ev, func(ctx context.Context, tx Tx) error {
		if err := tx.KeepLease(ctx, s.ID, s.Fence, now.Add(Lease), 0, "closing what is gone"); err != nil {
			return err
		}
		return tx.MissFindings(ctx, ids, s.ID, now)
	})
}
