package triage_test

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/org/access"
	"assay.dev/assay/internal/scan/finding"
	"assay.dev/assay/internal/scan/triage"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/page"
	"assay.dev/assay/internal/word/uid"
)

const (
	org  uid.Org     = "0190aaaa-0000-7000-8000-00000000000a"
	some uid.Finding = "0190aaaa-0000-7000-8000-0000000000f1"
)

// desk holds findings of one organization in memory.
type desk struct {
	mu      sync.Mutex
	kept    map[uid.Finding]triage.Finding
	history []triage.Entry
	told    []event.Type
	acts    []audit.Event
	calls   []*audit.Call
}

func (d *desk) Finding(_ context.Context, _ uid.Org, id uid.Finding) (triage.Finding, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.kept[id], nil
}

func (d *desk) Findings(context.Context, uid.Org, triage.Query) (triage.List, error) {
	return triage.List{}, nil
}

func (d *desk) History(context.Context, uid.Org, uid.Finding, []triage.Kind, page.Request) (triage.Entries, error) {
	return triage.Entries{}, nil
}

func (d *desk) FindingCounts(context.Context, uid.Org) ([]triage.Cell, error) { return nil, nil }

func (d *desk) HasLapsed(ctx context.Context, _ uid.Org, now time.Time) (bool, error) {
	over, err := d.LapsedForUpdate(ctx, now, 1)
	return len(over) > 0, err
}

func (d *desk) Change(ctx context.Context, _ uid.Org, ev audit.Event, unit func(context.Context, triage.Tx) error) error {
	d.acts, d.calls = append(d.acts, ev), append(d.calls, audit.CallFrom(ctx))
	return unit(ctx, d)
}

func (d *desk) FindingsForUpdate(_ context.Context, ids []uid.Finding) ([]triage.Finding, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []triage.Finding
	for _, id := range ids {
		if f, ok := d.kept[id]; ok {
			out = append(out, f)
		}
	}
	return out, nil
}

func (d *desk) LapsedForUpdate(_ context.Context, now time.Time, limit int) ([]triage.Finding, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []triage.Finding
	for _, f := range d.kept {
		if f.Status == finding.Accepted && !now.Before(f.Ruling.Until) && len(out) < limit {
			out = append(out, f)
		}
	}
	return out, nil
}

func (d *desk) PutTriage(_ context.Context, changes []triage.Change) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, c := range changes {
		d.kept[c.After.ID] = c.After
		d.history = append(d.history, c.Entries...)
	}
	return nil
}

func (d *desk) Emit(_ context.Context, t event.Type, _ string, _ any) error {
	d.told = append(d.told, t)
	return nil
}

func (d *desk) Lapsed(ctx context.Context, now time.Time, _ int) ([]uid.Org, error) {
	over, err := d.LapsedForUpdate(ctx, now, 1)
	return slices.Repeat([]uid.Org{org}, len(over)), err
}

func (d *desk) NextLapse(context.Context) (time.Time, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var next time.Time
	for _, f := range d.kept {
		if f.Status == finding.Accepted && (next.IsZero() || f.Ruling.Until.Before(next)) {
			next = f.Ruling.Until
		}
	}
	return next, nil
}

func newDesk() (*desk, *triage.Service) {
	d := &desk{kept: map[uid.Finding]triage.Finding{some: {
		Finding: finding.Finding{ID: some, Status: finding.Open}, Revision: 1, Entries: 1,
	}}}
	return d, triage.New(triage.Deps{Store: d, Lapses: d, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
}

func TestAnAcceptanceEndsAtItsTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d, service := newDesk()
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- service.Run(ctx) }()
		synctest.Wait()
		until := time.Now().Add(20*time.Second + time.Millisecond)
		_, err := service.DecideOne(t.Context(), access.Actor{Org: org, Kind: audit.ActorUser, ID: "u"}, some,
			triage.Decision{Status: finding.Accepted, Reason: "for a moment", Until: until}, triage.Guard{})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Second)
		synctest.Wait()
		if f, _ := d.Finding(t.Context(), org, some); f.Status != finding.Accepted {
			t.Fatalf("before its end it is %s", f.Status)
		}
		time.Sleep(time.Millisecond)
		synctest.Wait()
		f, _ := d.Finding(t.Context(), org, some)
		last := d.history[len(d.history)-1]
		if f.Status != finding.Open || f.Ruling != nil || f.Revision != 3 || last.Kind != triage.KindExpired || !last.At.Equal(until) {
			t.Errorf("at its end it is %+v, the history ends with %+v", f, last)
		}
		if !slices.Equal(d.told, []event.Type{event.FindingTriaged, event.FindingReopened}) {
			t.Errorf("told: %v", d.told)
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func TestWhoReadsFirstEndsAcceptancesInTheServersName(t *testing.T) {
	t.Parallel()
	d, service := newDesk()
	f := d.kept[some]
	f.Status = finding.Accepted
	f.Ruling = &triage.Ruling{Decision: triage.Decision{Status: finding.Accepted, Reason: "x", Until: time.Now().Add(-time.Hour)}}
	d.kept[some] = f
	ctx := audit.WithCall(t.Context(), &audit.Call{Type: event.FindingRead, Org: org})
	got, err := service.Get(ctx, org, some)
	if err != nil || got.Status != finding.Open || got.Revision != 2 {
		t.Fatalf("%+v, %v", got, err)
	}
	if len(d.acts) != 1 || d.acts[0].Type != event.FindingExpired || d.calls[0] != nil {
		t.Errorf("acts %+v under %v; want the server's own", d.acts, d.calls)
	}
}

func TestTheSameDecisionTwiceIsOne(t *testing.T) {
	t.Parallel()
	d, service := newDesk()
	a := access.Actor{Org: org, Kind: audit.ActorKey, ID: "k"}
	for _, dec := range []triage.Decision{
		{Status: finding.Open},
		{Status: finding.Confirmed},
		{Status: finding.Confirmed, Reason: "seen it"},
		{Status: finding.FalsePositive, Justification: "component_not_present"},
		{Status: finding.Fixed},
		{Status: finding.Open, Reason: "not yet"},
	} {
		before := len(d.history)
		for i := range 2 {
			out, err := service.Decide(t.Context(), a, []uid.Finding{some, some}, dec)
			if err != nil || len(out.Outcomes) != 1 || out.Outcomes[0].Status != dec.Status {
				t.Fatalf("%+v: %+v, %v", dec, out, err)
			}
			if i == 1 && dec.Status != finding.Open && out.Outcomes[0].Result != triage.Unchanged {
				t.Errorf("%+v once more is %s", dec, out.Outcomes[0].Result)
			}
		}
		if n := len(d.history) - before; dec.Status != finding.Open && n != 1 {
			t.Errorf("%+v made %d entries", dec, n)
		}
	}
}
