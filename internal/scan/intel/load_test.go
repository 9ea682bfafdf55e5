package intel_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"assay.dev/assay/internal/scan/finding"
	"assay.dev/assay/internal/scan/intel"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/uid"
)

// memory is a store of the port's contract.
type memory struct {
	shelves map[intel.Shelf]map[string]intel.Record
	live    map[intel.Source]intel.Shelf
	loaded  map[intel.Source]intel.Loaded
	token   map[intel.Source]string
	writes  int
	failAt  int // the write that fails; 0 = none
	largest int
}

func newMemory() *memory {
	return &memory{
		shelves: map[intel.Shelf]map[string]intel.Record{}, live: map[intel.Source]intel.Shelf{},
		loaded: map[intel.Source]intel.Loaded{}, token: map[intel.Source]string{},
	}
}

var errDisk = errors.New("disk full")

func (m *memory) IntelSources(context.Context) ([]intel.Loaded, error) {
	return slices.Collect(maps.Values(m.loaded)), nil
}

func (m *memory) BeginIntel(_ context.Context, s intel.Source, token string) (intel.Shelf, error) {
	m.token[s] = token
	return m.live[s], nil
}

func (m *memory) IntelPage(_ context.Context, s intel.Shelf, after string) ([]intel.Record, error) {
	var out []intel.Record
	for _, id := range slices.Sorted(maps.Keys(m.shelves[s])) {
		if id > after && len(out) < 3 {
			out = append(out, m.shelves[s][id])
		}
	}
	return out, nil
}

func (m *memory) WriteIntel(_ context.Context, r intel.Round, put []intel.Record, drop []string) error {
	if m.token[r.Source] != r.Token || r.Target == m.live[r.Source] {
		return fault.New(fault.Conflict, fault.CodeConflict, "taken over")
	}
	if m.writes++; m.writes == m.failAt {
		return errDisk
	}
	m.largest = max(m.largest, len(put)+len(drop))
	if m.shelves[r.Target] == nil {
		m.shelves[r.Target] = map[string]intel.Record{}
	}
	for _, rec := range put {
		m.shelves[r.Target][rec.CVE] = rec
	}
	for _, id := range drop {
		delete(m.shelves[r.Target], id)
	}
	return nil
}

func (m *memory) SwitchIntel(_ context.Context, r intel.Round, l intel.Loaded) error {
	if m.token[r.Source] != r.Token {
		return fault.New(fault.Conflict, fault.CodeConflict, "taken over")
	}
	m.live[r.Source], m.loaded[r.Source] = r.Target, l
	return nil
}

// seen is what readers see of a source.
func (m *memory) seen(s intel.Source) map[string]intel.Record {
	out := map[string]intel.Record{}
	maps.Copy(out, m.shelves[m.live[s]])
	return out
}

func service(m *memory, now time.Time) *intel.Service {
	clock := func() time.Time { return now }
	return intel.New(intel.Deps{Store: m, Now: clock, IDs: uid.NewSource(clock, rand.NewChaCha8([32]byte{}))})
}

func scores(of map[string]float64) string {
	var b strings.Builder
	b.WriteString(epssHead)
	for id, score := range of {
		fmt.Fprintf(&b, "%s,%g,0.5\n", id, score)
	}
	return b.String()
}

func TestAnImportReplacesWhatWasKnown(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 9, 0, 0, 0, 0, time.UTC)
	m := newMemory()
	s := service(m, now)
	for round, want := range []map[string]float64{
		{"CVE-2024-0001": 0.1, "CVE-2024-0002": 0.2, "CVE-2024-0003": 0.3, "CVE-2024-0004": 0.4},
		{"CVE-2024-0002": 0.5},
		{"CVE-2024-0002": 0.5, "CVE-2024-0005": 0.6},
		{"CVE-2024-0005": 0.6, "CVE-2024-0001": 0.7, "CVE-2023-9999": 0},
	} {
		r, err := s.Import(t.Context(), intel.EPSS, strings.NewReader(scores(want)))
		if err != nil || r.Rows != len(want) || r.Version != "v1" || r.ImportedAt != now {
			t.Fatalf("round %d: %+v, %v", round, r, err)
		}
		got := map[string]float64{}
		for id, rec := range m.seen(intel.EPSS) {
			got[id] = rec.Score
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("round %d:\n%s", round, diff)
		}
	}
	st, err := s.Status(t.Context())
	if err != nil || len(st) != 3 || !st[0].Known || !st[0].Stale || st[0].Age != 8*24*time.Hour || st[1].Known || st[1].Source != intel.KEV {
		t.Errorf("%+v, %v", st, err)
	}
}

func TestAnImportThatFailsChangesNothing(t *testing.T) {
	t.Parallel()
	m := newMemory()
	s := service(m, time.Now())
	if _, err := s.Import(t.Context(), intel.EPSS, strings.NewReader(scores(map[string]float64{"CVE-2024-0001": 0.1}))); err != nil {
		t.Fatal(err)
	}
	before, loaded := m.seen(intel.EPSS), m.loaded[intel.EPSS]
	if _, err := s.Import(t.Context(), intel.EPSS, strings.NewReader(epssHead+"CVE-2024-0002,0.1,0.2\nCVE-2024-0003,2,2\n")); fault.KindOf(err) != fault.Invalid {
		t.Error(err)
	}
	m.failAt = m.writes + 1
	if _, err := s.Import(t.Context(), intel.EPSS, strings.NewReader(scores(map[string]float64{"CVE-2024-0002": 0.1}))); !errors.Is(err, errDisk) {
		t.Error(err)
	}
	if diff := cmp.Diff(before, m.seen(intel.EPSS)); diff != "" || m.loaded[intel.EPSS] != loaded {
		t.Error(diff)
	}
	// What the failed one left behind doesn't show later.
	if _, err := s.Import(t.Context(), intel.EPSS, strings.NewReader(scores(map[string]float64{"CVE-2024-0003": 0.3}))); err != nil {
		t.Fatal(err)
	}
	if got := m.seen(intel.EPSS); len(got) != 1 || got["CVE-2024-0003"].Score != 0.3 {
		t.Errorf("%+v", got)
	}
}

func TestOnlyWhatDiffersIsWrittenAndNeverMoreThan250AtOnce(t *testing.T) {
	t.Parallel()
	many := map[string]float64{}
	for i := range 1700 {
		many[fmt.Sprintf("CVE-2024-%04d", i+1)] = 0.1
	}
	m := newMemory()
	s := service(m, time.Now())
	written := func() int {
		r, err := s.Import(t.Context(), intel.EPSS, strings.NewReader(scores(many)))
		if err != nil {
			t.Fatal(err)
		}
		return r.Written
	}
	first, second, third := written(), written(), written()
	many["CVE-2024-0007"] = 0.9
	delete(many, "CVE-2024-0008")
	fourth := written()
	if first != 1700 || second != 1700 || third != 0 || fourth != 2 || m.largest > 250 {
		t.Errorf("written %d, %d, %d, %d; at most %d at once", first, second, third, fourth, m.largest)
	}
}

func TestNVDFilesAddToWhatIsKnown(t *testing.T) {
	t.Parallel()
	const vector = "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"
	entry := func(id, status, vector string) string {
		return fmt.Sprintf(`{"cve":{"id":%q,"vulnStatus":%q,"metrics":{"cvssMetricV31":[{"type":"Primary","cvssData":{"vectorString":%q}}]}}}`, id, status, vector)
	}
	doc := func(entries ...string) []byte {
		return []byte(`{"vulnerabilities":[` + strings.Join(entries, ",") + `]}`)
	}
	rapid.Check(t, func(rt *rapid.T) {
		m := newMemory()
		s := service(m, time.Now())
		want := map[string]bool{}
		for range rapid.IntRange(1, 4).Draw(rt, "files") {
			var entries []string
			for _, n := range rapid.SliceOfNDistinct(rapid.IntRange(1, 12), 1, 8, rapid.ID).Draw(rt, "ids") {
				id := fmt.Sprintf("CVE-2024-%04d", n)
				switch rapid.IntRange(0, 2).Draw(rt, "what") {
				case 0:
					entries = append(entries, entry(id, "Rejected", vector))
					delete(want, id)
				case 1:
					entries = append(entries, entry(id, "Analyzed", "nonsense"))
					delete(want, id)
				default:
					entries = append(entries, entry(id, "Analyzed", vector))
					want[id] = true
				}
			}
			r, err := s.Import(t.Context(), intel.NVD, bytes.NewReader(doc(entries...)))
			if err != nil || r.Rows != len(want) {
				rt.Fatalf("%+v, %v", r, err)
			}
		}
		if diff := cmp.Diff(slices.Sorted(maps.Keys(want)), slices.Sorted(maps.Keys(m.seen(intel.NVD)))); diff != "" {
			rt.Fatal(diff)
		}
	})
}

func TestAFindingGetsTheWorstOfItsCVEs(t *testing.T) {
	t.Parallel()
	k := intel.Known{}
	k.Add(intel.EPSS, intel.Record{CVE: "CVE-2024-0001", Score: 0.2, Percentile: 0.9})
	k.Add(intel.EPSS, intel.Record{CVE: "CVE-2024-0002", Score: 0.7, Percentile: 0.8})
	k.Add(intel.EPSS, intel.Record{CVE: "CVE-2024-0003", Score: 0, Percentile: 0})
	k.Add(intel.KEV, intel.Record{CVE: "CVE-2024-0001", Detail: "2024-01-02 - 1"})
	k.Add(intel.KEV, intel.Record{CVE: "CVE-2024-0002", Detail: "2024-02-02 2024-03-01 0"})
	k.Add(intel.NVD, intel.Record{CVE: "CVE-2024-0001", Score: 5, Detail: "2.0 AV:N/AC:L/Au:N/C:N/I:N/A:P"})
	k.Add(intel.NVD, intel.Record{CVE: "CVE-2024-0002", Score: 9.8, Detail: "3.1 CVSS:3.1/AV:N"})
	day := func(m time.Month, d int) time.Time { return time.Date(2024, m, d, 0, 0, 0, 0, time.UTC) }
	for name, c := range map[string]struct {
		cves   []string
		scored bool
		want   finding.Intel
	}{
		"none":    {nil, false, finding.Intel{}},
		"unknown": {[]string{"CVE-2000-0001"}, false, finding.Intel{}},
		"two": {[]string{"CVE-2024-0001", "CVE-2024-0002"}, false, finding.Intel{
			EPSS: &finding.EPSS{Score: 0.7, Percentile: 0.8},
			KEV:  &finding.KEV{Added: day(2, 2), Due: day(3, 1), Ransomware: true},
			CVSS: &finding.CVSS{Version: "3.1", Vector: "CVSS:3.1/AV:N", Score: 9.8},
		}},
		"two the other way round, scored by the engine": {[]string{"CVE-2024-0002", "CVE-2024-0001"}, true, finding.Intel{
			EPSS: &finding.EPSS{Score: 0.7, Percentile: 0.8},
			KEV:  &finding.KEV{Added: day(2, 2), Due: day(3, 1), Ransomware: true},
		}},
		"a known zero is no unknown": {[]string{"CVE-2024-0003"}, false, finding.Intel{EPSS: &finding.EPSS{}}},
	} {
		if diff := cmp.Diff(c.want, k.Assess(c.cves, c.scored)); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
	}
}
