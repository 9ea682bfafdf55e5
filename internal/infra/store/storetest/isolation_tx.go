package storetest

import (
	"context"
	"reflect"
	"slices"
	"time"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/org/access"
	"assay.dev/assay/internal/org/tenant"
	"assay.dev/assay/internal/org/usage"
	"assay.dev/assay/internal/scan"
	"assay.dev/assay/internal/scan/retention"
	"assay.dev/assay/internal/scan/template"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/page"
	"assay.dev/assay/internal/word/uid"
)

func pageAll() page.Request { return page.Request{Limit: page.MaxLimit, WantTotal: true} }

// foreignAssets reads by every filter that our asset would match and says whether it came.
func (h *house) foreignAssets(ctx context.Context, o estate) (any, error) {
	for _, q := range []asset.Query{
		{}, {Tag: "tag"}, {Name: o.asset.Name}, {Kind: o.asset.Kind}, {Q: o.asset.Name}, {Status: "active"},
	} {
		q.Page = pageAll()
		l, err := h.s.Assets().Assets(ctx, h.theirs, q)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(l.Items, func(a asset.Asset) bool { return a.ID == o.asset.ID }) || l.Total.N > 2 {
			return l, nil
		}
	}
	return nil, nil
}

// writers are the ports' writes, by theirs, with the ids of what is ours.
func (h *house) writers(mine, o estate) []portTries {
	at := h.clock.Now()
	inTenant := func(f func(context.Context, tenant.Tx) error) attempt {
		return func(ctx context.Context) (any, error) {
			return nil, h.s.Tenants().Change(ctx, h.theirs, act(), f)
		}
	}
	inAccess := func(f func(context.Context, access.Tx) error) attempt {
		return func(ctx context.Context) (any, error) {
			return nil, h.s.Access().Change(ctx, h.theirs, act(), f)
		}
	}
	inAsset := func(f func(context.Context, asset.Tx) error) attempt {
		return func(ctx context.Context) (any, error) {
			return nil, h.s.Assets().Change(ctx, h.theirs, act(), f)
		}
	}
	return []portTries{
		h.reportWriters(o.reports),
		h.phaseWriters(o),
		h.hookWriters(o),
		h.triageWriters(o),
		h.caseWriters(o),
		{port: reflect.TypeFor[tenant.Tx](), tries: map[string]attempt{
			"SettingsForUpdate": inTenant(func(ctx context.Context, tx tenant.Tx) error { _, err := tx.SettingsForUpdate(ctx); return err }),
			"PutSettings": inTenant(func(ctx context.Context, tx tenant.Tx) error {
				return tx.PutSettings(ctx, tenant.Settings{TimeZone: "X"})
			}),
			"SetPlan":           inTenant(func(ctx context.Context, tx tenant.Tx) error { return tx.SetPlan(ctx, tenant.Free) }),
			"SetSuspended":      inTenant(func(ctx context.Context, tx tenant.Tx) error { return tx.SetSuspended(ctx, true) }),
			"PutCallbackSecret": inTenant(func(ctx context.Context, tx tenant.Tx) error { return tx.PutCallbackSecret(ctx, []byte("x")) }),
		}},
		{port: reflect.TypeFor[access.Tx](), tries: map[string]attempt{
			"KeyForUpdate": inAccess(func(ctx context.Context, tx access.Tx) error {
				_, err := tx.KeyForUpdate(ctx, o.key.ID)
				return mustFail(err)
			}),
			"UserForUpdate": inAccess(func(ctx context.Context, tx access.Tx) error {
				_, err := tx.UserForUpdate(ctx, o.user.ID)
				return mustFail(err)
			}),
			"InsertKey": inAccess(func(ctx context.Context, tx access.Tx) error { return tx.InsertKey(ctx, o.key, access.Hash{2}) }),
			"UpdateKey": inAccess(func(ctx context.Context, tx access.Tx) error { return changedKey(ctx, tx, o.key) }),
			"RotateKey": inAccess(func(ctx context.Context, tx access.Tx) error {
				return tx.RotateKey(ctx, o.key.ID, "p", access.Hash{78}, at, at.Add(time.Hour))
			}),
			"TouchKeys": inAccess(func(ctx context.Context, tx access.Tx) error {
				return tx.TouchKeys(ctx, map[uid.Key]time.Time{o.key.ID: at})
			}),
			"InsertUser":    inAccess(func(ctx context.Context, tx access.Tx) error { return tx.InsertUser(ctx, o.user) }),
			"UpdateUser":    inAccess(func(ctx context.Context, tx access.Tx) error { return changedUser(ctx, tx, o.user) }),
			"InsertSession": inAccess(func(ctx context.Context, tx access.Tx) error { return tx.InsertSession(ctx, o.session) }),
			"TouchSession":  inAccess(func(ctx context.Context, tx access.Tx) error { return tx.TouchSession(ctx, o.session.ID, at) }),
			"EndSession":    inAccess(func(ctx context.Context, tx access.Tx) error { return tx.EndSession(ctx, o.session.ID) }),
			"EndSessions":   inAccess(func(ctx context.Context, tx access.Tx) error { return tx.EndSessions(ctx, o.user.ID, "") }),
		}},
		{port: reflect.TypeFor[asset.Tx](), tries: map[string]attempt{
			"AssetForUpdate": inAsset(func(ctx context.Context, tx asset.Tx) error {
				_, err := tx.AssetForUpdate(ctx, o.asset.ID)
				return mustFail(err)
			}),
			"InsertAsset":  inAsset(func(ctx context.Context, tx asset.Tx) error { return tx.InsertAsset(ctx, o.asset) }),
			"UpdateAsset":  inAsset(func(ctx context.Context, tx asset.Tx) error { return tx.UpdateAsset(ctx, changedAsset(o.asset)) }),
			"DeleteAsset":  inAsset(func(ctx context.Context, tx asset.Tx) error { return tx.DeleteAsset(ctx, o.asset.ID) }),
			"PutScanScope": inAsset(func(ctx context.Context, tx asset.Tx) error { return tx.PutScanScope(ctx, asset.Scope{UpdatedAt: at}) }),
			"ObserveAssets": inAsset(func(ctx context.Context, tx asset.Tx) error {
				return tx.ObserveAssets(ctx, []asset.Observation{{Kind: o.asset.Kind, Name: o.asset.Name, Attributes: attributes(`{}`)}}, at)
			}),
		}},
		{port: reflect.TypeFor[scan.Tx](), tries: h.scanWriters(mine, o)},
		{port: reflect.TypeFor[template.Tx](), tries: h.templateWriters(mine, o)},
		{port: reflect.TypeFor[retention.Tx](), tries: h.retentionWriters(o)},
	}
}

func (h *house) scanWriters(mine, o estate) map[string]attempt {
	at := h.clock.Now()
	in := func(f func(context.Context, scan.Tx) error) attempt {
		return func(ctx context.Context) (any, error) {
			return nil, h.s.Scans().Change(ctx, h.theirs, act(), f)
		}
	}
	return map[string]attempt{
		"Consume": in(func(ctx context.Context, tx scan.Tx) error {
			return tx.Consume(ctx, usage.MetricScans, "2026-03", 1, 10)
		}),
		"InsertScan":  in(func(ctx context.Context, tx scan.Tx) error { return tx.InsertScan(ctx, o.waiting) }),
		"InsertScans": in(func(ctx context.Context, tx scan.Tx) error { return tx.InsertScans(ctx, []scan.Scan{o.waiting}) }),
		"EmitAll": in(func(ctx context.Context, tx scan.Tx) error {
			return tx.EmitAll(ctx, event.ScanStarted, []string{string(o.scan.ID)}, []any{map[string]int{}})
		}),
		"KeepBatch": in(func(ctx context.Context, tx scan.Tx) error {
			return tx.KeepBatch(ctx, scan.Batch{ID: uid.Batch(o.scan.ID)}, at)
		}),
		"ScanForUpdate":  in(func(ctx context.Context, tx scan.Tx) error { return mustFail(second(tx.ScanForUpdate(ctx, o.scan.ID))) }),
		"EditScan":       in(func(ctx context.Context, tx scan.Tx) error { return tx.EditScan(ctx, o.scan) }),
		"CancelScan":     in(func(ctx context.Context, tx scan.Tx) error { return second(tx.CancelScan(ctx, o.live.ID, at)) }),
		"CancelChildren": in(func(ctx context.Context, tx scan.Tx) error { return second(tx.CancelChildren(ctx, o.parent.ID, at)) }),
		"StartScan":      in(func(ctx context.Context, tx scan.Tx) error { return tx.StartScan(ctx, o.live.ID, o.live.Fence, at) }),
		"KeepLease": in(func(ctx context.Context, tx scan.Tx) error {
			return tx.KeepLease(ctx, o.live.ID, o.live.Fence, at, 9, "x")
		}),
		"RequeueScan": in(func(ctx context.Context, tx scan.Tx) error { return tx.RequeueScan(ctx, o.live.ID, o.live.Fence, true) }),
		"FinishScan": in(func(ctx context.Context, tx scan.Tx) error {
			return tx.FinishScan(ctx, o.live.ID, o.live.Fence, scan.Finish{Status: scan.Completed, At: at})
		}),
		"SummariseScan": in(func(ctx context.Context, tx scan.Tx) error { return mustFail(second(tx.SummariseScan(ctx, o.scan.ID))) }),
		"PutArtifact": in(func(ctx context.Context, tx scan.Tx) error {
			return tx.PutArtifact(ctx, o.live.ID, o.live.Attempt, scan.Artifact{Name: "x"})
		}),
		"RecordFindings": in(func(ctx context.Context, tx scan.Tx) error {
			// Theirs may record what ours has found as well; it is a finding of theirs.
			changes, err := tx.RecordFindings(ctx, mine.live, []scan.Seen{seen(1, "shared")}, at)
			if err == nil && changes[0].ID == o.finding {
				return errSharedFinding
			}
			if _, foreign := tx.RecordFindings(ctx, o.live, []scan.Seen{seen(1, "shared")}, at); foreign == nil {
				return errSharedFinding
			}
			return err
		}),
		"FixFindings": in(func(ctx context.Context, tx scan.Tx) error {
			n, err := tx.FixFindings(ctx, []uid.Finding{o.finding}, o.scan.ID, at)
			if err == nil && n != 0 {
				return errSharedFinding
			}
			return err
		}),
		"MissFindings": in(func(ctx context.Context, tx scan.Tx) error {
			return tx.MissFindings(ctx, []uid.Finding{o.finding}, o.scan.ID, at)
		}),
		"RecordAssets": in(func(ctx context.Context, tx scan.Tx) error {
			return tx.RecordAssets(ctx, o.live, []asset.Observation{{Kind: asset.KindHost, Name: "x"}}, at)
		}),
		"Emit": in(func(ctx context.Context, tx scan.Tx) error {
			return tx.Emit(ctx, event.ScanStarted, string(o.scan.ID), map[string]int{})
		}),
	}
}

func (h *house) retentionWriters(o estate) map[string]attempt {
	in := func(f func(context.Context, retention.Tx) error) attempt {
		return func(ctx context.Context) (any, error) {
			return nil, h.s.ScanRetention().Change(ctx, h.theirs, act(), f)
		}
	}
	return map[string]attempt{
		"DropScans": in(func(ctx context.Context, tx retention.Tx) error {
			return second(tx.DropScans(ctx, []uid.Scan{o.scan.ID}))
		}),
		"PruneScan":   in(func(ctx context.Context, tx retention.Tx) error { return second(tx.PruneScan(ctx, o.scan.ID)) }),
		"RemoveScans": in(func(ctx context.Context, tx retention.Tx) error { return tx.RemoveScans(ctx, []uid.Scan{o.scan.ID}) }),
	}
}

type tamperError string

func (e tamperError) Error() string { return string(e) }

const errSharedFinding tamperError = "a unit reached another organization's finding"

// mustFail turns a success that must not be into an error that says so.
func mustFail(err error) error {
	if err == nil {
		return tamperError("a unit read another organization's record")
	}
	return err
}

func second[T any](_ T, err error) error { return err }

func changedKey(ctx context.Context, tx access.Tx, k access.Key) error {
	k.Name = "changed"
	return tx.UpdateKey(ctx, k)
}

func changedUser(ctx context.Context, tx access.Tx, u access.User) error {
	u.Email = "changed"
	return tx.UpdateUser(ctx, u)
}

func changedAsset(a asset.Asset) asset.Asset {
	a.Note = "changed"
	return a
}
