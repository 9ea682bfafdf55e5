package storetest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/testkit"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/page"
	"assay.dev/assay/internal/word/uid"
)

func assets(t *testing.T, h *house) {
	ctx, st := t.Context(), h.s.Assets()
	a := h.newAsset(asset.KindURL, "https://example.org/", "prod", "web")
	a.Note, a.Attributes = "The front door", attributes(`{"tls":true}`)
	bare := h.newAsset(asset.KindHost, "192.0.2.7")
	h.addAssets(t, h.ours, a, bare)
	same(t, "asset", a, got(st.Asset(ctx, h.ours, a.ID))(t))
	same(t, "an asset without tags and attributes", bare, got(st.Asset(ctx, h.ours, bare.ID))(t))
	wantConflict(t, h.assets(t, h.ours, func(ctx context.Context, tx asset.Tx) error {
		return tx.InsertAsset(ctx, h.newAsset(asset.KindHost, "192.0.2.7"))
	}))
	h.addAssets(t, h.theirs, h.newAsset(asset.KindHost, "192.0.2.7"))

	changed := a
	changed.Note, changed.Tags, changed.Attributes = "The back door", []string{"prod", "old"}, nil
	changed.Status, changed.UpdatedAt = "removed", h.clock.Advance(time.Second)
	changed.Name, changed.Source = "not written", "not written"
	update := func(a asset.Asset) error {
		return h.assets(t, h.ours, func(ctx context.Context, tx asset.Tx) error { return tx.UpdateAsset(ctx, a) })
	}
	must(t, update(changed))
	changed.Name, changed.Source = a.Name, a.Source
	same(t, "updated asset", changed, got(st.Asset(ctx, h.ours, a.ID))(t))
	for q, want := range map[asset.Query]int{
		{Tag: "web"}: 0, {Tag: "old"}: 1, {Tag: "prod"}: 1, {Q: "front"}: 0, {Q: "back"}: 1, {Q: "example"}: 1,
		{Status: "removed"}: 1, {Status: "active"}: 1,
	} {
		if n := len(got(st.Assets(ctx, h.ours, q))(t).Items); n != want {
			t.Errorf("%+v finds %d; want %d", q, n, want)
		}
	}

	remove := func() error {
		return h.assets(t, h.ours, func(ctx context.Context, tx asset.Tx) error { return tx.DeleteAsset(ctx, a.ID) })
	}
	must(t, remove())
	wantMissing(t, remove())
	wantMissing(t, update(changed))
	wantMissing(t, h.assets(t, h.ours, func(ctx context.Context, tx asset.Tx) error {
		_, err := tx.AssetForUpdate(ctx, a.ID)
		return err
	}))
	_, err := st.Asset(ctx, h.ours, a.ID)
	wantMissing(t, err)
	for _, q := range []asset.Query{{Tag: "prod"}, {Q: "back"}, {Name: a.Name}} {
		if n := len(got(st.Assets(ctx, h.ours, q))(t).Items); n != 0 {
			t.Errorf("%+v finds a deleted asset", q)
		}
	}
	h.addAssets(t, h.ours, a)

	same(t, "a scope nobody has set", asset.Scope{}, got(st.ScanScope(ctx, h.ours))(t))
	scope := testkit.OpenScope()
	scope.Deny = []asset.Rule{{Kind: asset.RuleURL, Value: "https://example.org/admin"}}
	must(t, h.assets(t, h.ours, func(ctx context.Context, tx asset.Tx) error { return tx.PutScanScope(ctx, scope) }))
	same(t, "scope", scope, got(st.ScanScope(ctx, h.ours))(t))
	same(t, "scope as scans see it", scope, got(h.s.Scans().ScanScope(ctx, h.ours))(t))
	same(t, "their scope", asset.Scope{}, got(st.ScanScope(ctx, h.theirs))(t))
}

// assetsAtOnce changes different fields of one asset at the same time: no change may undo another.
func assetsAtOnce(t *testing.T, h *house) {
	svc := asset.New(asset.Deps{Store: h.s.Assets(), Now: h.clock.Now, IDs: h.ids})
	a := h.newAsset(asset.KindHost, "192.0.2.7")
	h.addAssets(t, h.ours, a)
	for round := range 12 {
		text, tags, raw := fmt.Sprintf("round %d", round), []string{fmt.Sprintf("r%d", round)}, attributes(fmt.Sprintf(`{"round":%d}`, round))
		status := []string{asset.Removed, asset.Active}[round%2]
		var wg sync.WaitGroup
		for _, p := range []asset.Patch{{Note: &text}, {Tags: &tags}, {Attributes: &raw}, {Status: &status}} {
			wg.Go(func() {
				_, err := svc.Update(t.Context(), h.ours, a.ID, p)
				for fault.KindOf(err) == fault.Unavailable && err != nil { // waited too long on a busy machine
					_, err = svc.Update(t.Context(), h.ours, a.ID, p)
				}
				if err != nil {
					t.Errorf("changing an asset: %v", err)
				}
			})
		}
		wg.Wait()
		now := got(h.s.Assets().Asset(t.Context(), h.ours, a.ID))(t)
		a.Note, a.Tags, a.Attributes, a.Status, a.UpdatedAt = text, tags, raw, status, now.UpdatedAt
		same(t, "asset after four changes at once", a, now)
	}
}

// assetLists compares every filter, alone and combined, with the same filter in Go.
func assetLists(t *testing.T, h *house) {
	ctx, st := t.Context(), h.s.Assets()
	var all []asset.Asset
	kinds := []asset.Kind{asset.KindHost, asset.KindURL, asset.KindDomain}
	for i := range 60 {
		a := h.newAsset(kinds[i%3], fmt.Sprintf("name-%02d", i/2))
		if i%4 == 0 {
			a.Tags = []string{"blue", fmt.Sprintf("mod%d", i%5)}
		}
		if i%7 == 0 {
			a.Status = "removed"
		}
		a.CreatedAt = testkit.Epoch().Add(time.Duration(i/6) * time.Second) // many have one time
		all = append(all, a)
	}
	h.addAssets(t, h.ours, all...)
	h.addAssets(t, h.theirs, h.newAsset(asset.KindHost, "name-00", "blue"))
	slices.SortFunc(all, func(a, b asset.Asset) int {
		if c := b.CreatedAt.Compare(a.CreatedAt); c != 0 {
			return c
		}
		return -compare(string(a.ID), string(b.ID))
	})
	for _, kind := range []asset.Kind{"", asset.KindURL} {
		for _, tag := range []string{"", "blue", "mod3", "none"} {
			for _, status := range []string{"", "active", "removed"} {
				for _, name := range []string{"", "name-04"} {
					q := asset.Query{Kind: kind, Tag: tag, Status: status, Name: name}
					var want []string
					for _, a := range all {
						if (kind == "" || a.Kind == kind) && (tag == "" || slices.Contains(a.Tags, tag)) &&
							(status == "" || a.Status == status) && (name == "" || a.Name == name) {
							want = append(want, string(a.ID))
						}
					}
					h.checkAssetList(t, q, want)
				}
			}
		}
	}
	q := asset.Query{Page: page.Request{Limit: 10, Offset: 55, WantTotal: true}}
	if l := got(st.Assets(ctx, h.ours, q))(t); len(l.Items) != 5 || !l.Next.Zero() || l.Items[0].ID != all[55].ID || l.Total.N != 60 {
		t.Errorf("offset 55 of 60 gives %d rows and total %+v", len(l.Items), l.Total)
	}
	q.Page = page.Request{Offset: page.MaxOffset + 1}
	if _, err := st.Assets(ctx, h.ours, q); err == nil {
		t.Error("an offset beyond the bound is taken")
	}
	for _, q := range []asset.Query{{Tag: "\x00"}, {Name: "\xff"}, {Page: page.Request{After: page.Key{ID: "\x00"}}}} {
		if l := got(st.Assets(ctx, h.ours, q))(t); len(l.Items) != 0 {
			t.Errorf("a filter that no text can meet gives %d rows", len(l.Items))
		}
	}
	_, err := st.Asset(ctx, h.ours, "no id\x00")
	wantMissing(t, err)
	q.Page = page.Request{Limit: 10_000}
	if l := got(st.Assets(ctx, h.ours, q))(t); len(l.Items) != 60 {
		t.Errorf("a limit over the bound gives %d rows", len(l.Items))
	}
}

func (h *house) checkAssetList(t *testing.T, q asset.Query, want []string) {
	t.Helper()
	ids := walk(t, func(p page.Request) ([]asset.Asset, page.Key, error) {
		q.Page = p
		l, err := h.s.Assets().Assets(t.Context(), h.ours, q)
		return l.Items, l.Next, err
	}, func(a asset.Asset) string { return string(a.ID) }, 7)
	same(t, fmt.Sprintf("list %+v", q), want, ids)
	q.Page = page.Request{Limit: 1, WantTotal: true}
	if total := got(h.s.Assets().Assets(t.Context(), h.ours, q))(t).Total; total != (page.Total{N: len(want), Known: true}) {
		t.Errorf("total of %+v = %+v; want %d", q, total, len(want))
	}
}

func compare(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func observedAssets(t *testing.T, h *house) {
	ctx, st := t.Context(), h.s.Assets()
	known := h.newAsset(asset.KindHost, "192.0.2.1", "mine")
	known.Note, known.Attributes, known.Status = "by hand", attributes(`{"os":"old"}`), "removed"
	h.addAssets(t, h.ours, known)
	obs := []asset.Observation{
		{Kind: asset.KindHost, Name: "192.0.2.1", Attributes: attributes(`{"os":"new"}`), Source: "nmap"},
		{Kind: asset.KindService, Name: "192.0.2.1:22/tcp", Source: "nmap"},
		{Kind: asset.KindService, Name: "192.0.2.1:22/tcp", Source: "nmap"},
	}
	observe := func(obs []asset.Observation, at time.Time) error {
		return h.assets(t, h.ours, func(ctx context.Context, tx asset.Tx) error { return tx.ObserveAssets(ctx, obs, at) })
	}
	at := h.clock.Advance(time.Hour)
	must(t, observe(obs, at))
	want := known
	want.Attributes, want.Status, want.LastSeenAt = attributes(`{"os":"new"}`), "active", at
	same(t, "known asset", want, got(st.Asset(ctx, h.ours, known.ID))(t))
	list := got(st.Assets(ctx, h.ours, asset.Query{Kind: asset.KindService}))(t)
	if len(list.Items) != 1 || list.Items[0].Source != "nmap" || !list.Items[0].FirstSeenAt.Equal(at) {
		t.Fatalf("services = %+v; want the one that was seen", list.Items)
	}
	again := at.Add(time.Hour)
	obs[0].Attributes = nil
	must(t, observe(obs, again))
	want.LastSeenAt = again
	same(t, "asset seen without attributes", want, got(st.Asset(ctx, h.ours, known.ID))(t))
	must(t, observe(obs, at))
	same(t, "asset seen by a late report", want, got(st.Asset(ctx, h.ours, known.ID))(t))
	if n := len(got(st.Assets(ctx, h.ours, asset.Query{Q: "192.0.2.1 tcp"}))(t).Items); n != 1 {
		t.Errorf("the observed service is found %d times; want once", n)
	}
	many := make([]asset.Observation, 500)
	for i := range many {
		many[i] = asset.Observation{Kind: asset.KindDomain, Name: fmt.Sprintf("d%03d.example.org", i), Source: "sublist3r"}
	}
	must(t, observe(many, again))
	must(t, observe(many, again))
	if total := got(st.Assets(ctx, h.ours, asset.Query{Kind: asset.KindDomain, Page: page.Request{WantTotal: true}}))(t).Total; total.N != 500 {
		t.Errorf("domains = %+v; want 500", total)
	}
	if observe(append(many, many[0]), again) == nil {
		t.Error("a unit of more than 500 rows is taken")
	}
}

func search(t *testing.T, h *house) {
	a := h.newAsset(asset.KindURL, "https://shop.Example.org:8443/Login")
	a.Note = "Zahlungsseite für Käufer, 100% wichtig"
	b := h.newAsset(asset.KindHost, "10.20.30.40")
	b.Note = "shop database; cafe\u0301 au lait"
	h.addAssets(t, h.ours, a, b)
	h.addAssets(t, h.theirs, h.newAsset(asset.KindHost, "shop.example.org"))
	s := h.newScan(h.ours, "nmap", "shop.example.org")
	s.Name = "Weekly SHOP check"
	h.addScans(t, s)
	for q, want := range map[string][]uid.Asset{
		"shop":               {b.ID, a.ID},
		"SHOP":               {b.ID, a.ID},
		"sho":                {b.ID, a.ID},
		"hop":                nil, // words are matched from their beginning
		"shop login":         {a.ID},
		"example.org":        {a.ID},
		"käuf":               {a.ID},
		"KÄUF":               {a.ID},
		"10.20":              {b.ID},
		"8443":               {a.ID},
		"café":               {b.ID},
		"100%":               {a.ID},
		"%":                  nil,
		"_":                  nil,
		"'; DROP TABLE scan": nil,
		"shop nothing":       nil,
		"\x00":               nil,
	} {
		l := got(h.s.Assets().Assets(t.Context(), h.ours, asset.Query{Q: q, Page: page.Request{WantTotal: true}}))(t)
		var ids []uid.Asset
		for _, found := range l.Items {
			ids = append(ids, found.ID)
		}
		same(t, "search for "+q, want, ids)
		if l.Total.Known {
			t.Errorf("search for %q claims to know the total", q)
		}
	}
	if l := h.scanIDs(t, scanQuery("weekly exam")); len(l) != 1 || l[0] != string(s.ID) {
		t.Errorf("search finds scans %v; want the one", l)
	}
}

// pagingUnderInserts reads a list by cursor while newer rows arrive: what was there at the start comes exactly once.
func pagingUnderInserts(t *testing.T, h *house) {
	var want []string
	for i := range 50 {
		a := h.newAsset(asset.KindHost, fmt.Sprintf("old-%02d", i), "t")
		h.addAssets(t, h.ours, a)
		want = append([]string{string(a.ID)}, want...)
	}
	for _, q := range []asset.Query{{}, {Kind: asset.KindHost}, {Tag: "t"}} {
		added := 0
		ids := walk(t, func(p page.Request) ([]asset.Asset, page.Key, error) {
			q.Page = p
			l, err := h.s.Assets().Assets(t.Context(), h.ours, q)
			added++
			h.addAssets(t, h.ours, h.newAsset(asset.KindHost, fmt.Sprintf("new-%s%s-%d", q.Kind, q.Tag, added), "t"))
			return l.Items, l.Next, err
		}, func(a asset.Asset) string { return string(a.ID) }, 7)
		if n := len(ids); n < 50 || !slices.Equal(ids[n-50:], want) {
			t.Errorf("%+v: paging while rows arrive lost or repeated rows", q)
		}
	}
}

// totals checks the cap, and that a total which would need a scan of the table is unknown.
func totals(t *testing.T, h *house) {
	const n = page.CountCap + 5
	obs := make([]asset.Observation, 0, 500)
	flush := func() {
		must(t, h.assets(t, h.ours, func(ctx context.Context, tx asset.Tx) error {
			return tx.ObserveAssets(ctx, obs, h.clock.Now())
		}))
		obs = obs[:0]
	}
	for i := range n {
		kind := asset.KindHost
		if i%1000 == 0 {
			kind = asset.KindDomain
		}
		if obs = append(obs, asset.Observation{Kind: kind, Name: fmt.Sprintf("%05d", i), Source: "nmap"}); len(obs) == 500 {
			flush()
		}
	}
	flush()
	h.addAssets(t, h.ours, h.newAsset(asset.KindHost, "tagged", "few"))
	for q, want := range map[asset.Query]page.Total{
		{}:                                 {N: page.CountCap, Known: true, Capped: true},
		{Kind: asset.KindDomain}:           {N: 11, Known: true},
		{Tag: "few"}:                       {N: 1, Known: true},
		{Status: "removed"}:                {Known: true},
		{Status: "active"}:                 {}, // needs more rows than the cap
		{Name: "00007"}:                    {N: 1, Known: true},
		{Q: "00007"}:                       {},
		{Tag: "few", Status: "active"}:     {N: 1, Known: true},
		{Name: "00007", Kind: "domain"}:    {Known: true},
		{Name: "01000", Kind: "domain"}:    {N: 1, Known: true},
		{Kind: "domain", Status: "active"}: {N: 11, Known: true},
	} {
		q.Page = page.Request{Limit: 1, WantTotal: true}
		same(t, fmt.Sprintf("total of %+v", q), want, got(h.s.Assets().Assets(t.Context(), h.ours, q))(t).Total)
		q.Page.WantTotal = false
		if l := got(h.s.Assets().Assets(t.Context(), h.ours, q))(t); l.Total.Known {
			t.Errorf("%+v counts though nobody asked", q)
		}
	}
}
