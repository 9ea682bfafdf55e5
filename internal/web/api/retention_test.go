package api_test

import (
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/word/event"
)

func TestWhatRetentionHasDroppedIsNotFoundAndSaysWhy(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var wg sync.WaitGroup
	for range 600 {
		wg.Go(func() {
			if err := b.store.Record(t.Context(), b.ours, audit.Event{Type: event.AssetRead}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	old, err := b.store.LogEntries(t.Context(), b.ours, 300, 301, 1)
	if err != nil {
		t.Fatal(err)
	}
	b.clock.Advance(8 * 366 * 24 * time.Hour)
	if err := b.store.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}

	for _, gone := range []string{
		"/api/log/entries?order=asc&from=100",
		"/api/log/entries?order=asc&from=511",
		"/api/log/proof/inclusion?entryId=" + string(old[0].ID),
		"/api/log/proof/consistency?from=100",
		"/api/log/proof/consistency?from=256&to=300",
	} {
		a := b.call("GET", gone, "", key(b.key)).want(404)
		if a.text("code") != "NOT_FOUND" || !strings.Contains(a.Body.String(), "retention") {
			t.Errorf("%s: %s", gone, a.Body)
		}
	}
	for _, there := range []string{
		"/api/log/entries?order=asc&from=512",
		"/api/log/proof/consistency?from=256",
		"/api/log/proof/consistency?from=256&to=512",
		"/api/log/proof/consistency?from=600",
	} {
		b.call("GET", there, "", key(b.key)).want(200)
	}
	if a := b.call("GET", "/api/log/proof/inclusion?entryId="+string(old[0].ID), "", key(b.other)).want(404); strings.Contains(a.Body.String(), "retention") {
		t.Errorf("another organization learns of ours: %s", a.Body)
	}

	for _, order := range []string{"asc", "desc"} {
		target := "/api/log/entries?limit=100&order=" + order
		size := uint64(b.call("GET", target, "", key(b.key)).want(200).at("meta.total").(float64))
		seen, pages, cursor := map[uint64]bool{}, 0, ""
		for {
			a := b.call("GET", target+"&cursor="+url.QueryEscape(cursor), "", key(b.key)).want(200)
			if a.at("meta.first") != 512.0 {
				t.Errorf("%s: the log begins at %v", order, a.at("meta.first"))
			}
			list := a.at("data").([]any)
			if len(list) == 0 {
				t.Errorf("%s: page %d is empty", order, pages)
			}
			for _, e := range list {
				seen[uint64(e.(map[string]any)["index"].(float64))] = true
			}
			pages++
			if cursor = a.text("meta.nextCursor"); cursor == "" {
				break
			}
		}
		for i := uint64(512); i < size; i++ {
			if !seen[i] {
				t.Errorf("%s: entry %s was left out", order, strconv.FormatUint(i, 10))
			}
		}
	}
}
