package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/scan"
	"assay.dev/assay/internal/scan/finding"
	"assay.dev/assay/internal/word/page"
	"assay.dev/assay/internal/word/uid"
)

const planOrg uid.Org = "0190b6f2-0000-7000-8000-00000000000a"

func openForPlans(t *testing.T) *Store {
	t.Helper()
	s, err := Open(t.Context(), Config{
		Path: filepath.Join(t.TempDir(), "assay.db"), Now: time.Now, Rand: rand.Reader,
		IDs: uid.NewSource(time.Now, rand.Reader), Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(context.Background()); err != nil { // the test's context has ended here
			t.Error(err)
		}
	})
	return s
}

// plan returns SQLite's plan of a statement, a line for each step.
func plan(t *testing.T, h *handle, text string, args []any) []string {
	t.Helper()
	var steps []string
	err := h.eachText(t.Context(), "EXPLAIN QUERY PLAN "+text, args, func(rows *sql.Rows) error {
		var id, parent, unused int
		var step string
		if err := rows.Scan(&id, &parent, &unused, &step); err != nil {
			return err
		}
		steps = append(steps, step)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return steps
}

// Whatever is filtered by, a page is read in the order of an index and begins where the page begins: nothing is sorted
// and no table is walked through.
func TestListsReadInTheOrderOfAnIndex(t *testing.T) {
	t.Parallel()
	s := openForPlans(t)
	p := page.Request{Limit: 20, After: page.Key{Sort: 1, ID: "x"}}
	lists := map[string]*listing{}
	add := func(name string, l *listing, err error) {
		if err != nil {
			t.Fatal(err)
		}
		lists[name] = l
	}
	for _, q := range []asset.Query{
		{}, {Kind: "host"}, {Tag: "t"}, {Status: "active"}, {Status: "removed"}, {Kind: "host", Tag: "t", Status: "removed"}, {Tag: "t", Q: "word"},
	} {
		q.Page = p
		l, err := assetListing(planOrg, q)
		add(fmt.Sprintf("assets %+v", q), l, err)
	}
	for _, q := range []scan.Query{
		{},
		{Engine: "nmap"},
		{Status: "queued"},
		{Target: "t"},
		{Tag: "t"},
		{Priority: "high"},
		{Asset: "a"},
		{Engine: "nmap", Status: "queued", Tag: "t"},
		{From: time.Unix(1, 0), To: time.Unix(2, 0)},
		{Oldest: true},
		{Tag: "t", From: time.Unix(1, 0)},
	} {
		q.Page = p
		l, err := scanListing(planOrg, q)
		add(fmt.Sprintf("scans %+v", q), l, err)
	}
	for _, q := range []scan.ResultQuery{
		{}, {Severity: finding.High}, {Category: "tls"}, {Severity: finding.High, Category: "tls"}, {Q: "word"},
	} {
		q.Page = p
		add(fmt.Sprintf("results %+v", q), resultListing("s", 1, q), nil)
	}
	err := s.db.read(t.Context(), only(planOrg), false, func(_ context.Context, v *View) error {
		for name, l := range lists {
			text, args, err := l.compose(&v.handle)
			if err != nil {
				return err
			}
			steps := plan(t, &v.handle, text, args)
			for _, step := range steps {
				if strings.Contains(step, "ORDER BY") || strings.HasPrefix(step, "SCAN ") {
					t.Errorf("%s: %s\nof\n%s", name, step, strings.Join(steps, "\n"))
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// The dispatcher reads the heads of the lines, never the whole of them.
func TestTheLineIsReadByItsIndexes(t *testing.T) {
	t.Parallel()
	s := openForPlans(t)
	err := s.db.read(t.Context(), everyone(), false, func(_ context.Context, v *View) error {
		q, err := s.queries.get("all.line.waiting")
		if err != nil {
			return err
		}
		steps := strings.Join(plan(t, &v.handle, q.text, []any{50}), "\n")
		for _, want := range []string{"SEARCH x USING COVERING INDEX scan_waiting", "SEARCH w USING INDEX sqlite_autoindex_scan_1 (org=? AND id=?)"} {
			if !strings.Contains(steps, want) {
				t.Errorf("no step %q in\n%s", want, steps)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestWordsAreCutAndFoldedAlike(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                             "",
		"Open PORT 22/tcp":             "open port 22 tcp",
		"a a A":                        "a",
		"https://Example.org:8443/x_y": "https example org 8443 x y",
		"cafe\u0301 caf\u00e9":         "caf\u00e9",
		"\xff\xfe bad":                 "bad",
		strings.Repeat("ä", 40):        strings.Repeat("ä", 32),
	} {
		if got := strings.Join(words(maxWords, text), " "); got != want {
			t.Errorf("words of %q = %q; want %q", text, got, want)
		}
	}
	if n := len(words(3, "a b c d e")); n != 3 {
		t.Errorf("%d words are kept; want 3", n)
	}
}

func FuzzWords(f *testing.F) {
	for _, seed := range []string{"", "Open port", "ÄÖ ß", "\xff", "a\x00b", "１２３"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, w := range words(maxWords, text) {
			if w == "" || len(w) > maxWordBytes || strings.ContainsAny(w, " %_'\x00") {
				t.Errorf("%q is no word", w)
			}
			if !strings.HasPrefix(w, w[:len(w)/2]) || w+afterAll <= w {
				t.Errorf("%q isn't in the range of its prefix", w)
			}
		}
	})
}
