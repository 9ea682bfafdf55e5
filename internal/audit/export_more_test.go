package audit_test

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"assay.dev/assay/internal/audit"
)

func TestEntriesBeyondTheCheckpointAreNamed(t *testing.T) {
	s, keys := signing(t, testOrg, 1)
	for _, extra := range []int{1, 44, 300} {
		signed := mustSign(t, newLedger(256).checkpoint(), s)
		b := newLedger(256+extra).exportUnder(t, audit.Range{}, signed)
		rep, err := verify(b, keys, nil)
		p := firstProblem(t, rep, err)
		if p.Class != audit.ClassInserted || p.Index != 256 || p.Last != uint64(255+extra) {
			t.Errorf("%d more: %+v", extra, p)
		}
	}
}

func TestExportNeedsNoNodeSource(t *testing.T) {
	s, keys := signing(t, testOrg, 1)
	l := newLedger(600)
	var b bytes.Buffer
	w, err := audit.NewExportWriter(&b, testOrg, audit.Range{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range l.rows {
		if err := w.Write(t.Context(), x); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(t.Context(), mustSign(t, l.checkpoint(), s)); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(b.Bytes(), l.export(t, s, 0)) {
		t.Error("computed nodes differ from stored ones")
	}
	if _, err := verify(b.Bytes(), keys, nil); err != nil {
		t.Error(err)
	}
}

func TestPersonalDataOfAnyAlphabetSurvivesAnExport(t *testing.T) {
	s, keys := signing(t, testOrg, 1)
	l := newLedger(0)
	for i, agent := range []string{"", "\"quoted\\", "тест\u2028", "<&>", "\xff\xfe", strings.Repeat("ж", 400), "tab\t"} {
		e := entry(i)
		e.UserAgent = agent
		l.append(e.Normal())
	}
	if _, err := verify(l.export(t, s, 0), keys, nil); err != nil {
		t.Error(err)
	}
}

func TestSeveralChangesAreAllNamed(t *testing.T) {
	s, keys := signing(t, testOrg, 1)
	lines := splitLines(newLedger(900).export(t, s, 0))
	for _, i := range []int{10, 300, 301, 700} {
		lines[lineOf(i)] = editLine(t, lines[lineOf(i)], func(x *exportLine) { x.Leaf = forge(i) })
	}
	lines = slices.Delete(lines, 257, 258) // and a hash list
	rep, err := verify(joinLines(lines), keys, nil)
	firstProblem(t, rep, err)
	var named []uint64
	for _, p := range rep.Problems {
		if p.Class == audit.ClassChanged {
			named = append(named, p.Index)
		}
	}
	if !slices.Equal(named, []uint64{300, 301, 700}) {
		t.Errorf("named %v", named)
	}
	if rep.Problems[0].Class != audit.ClassHashes || rep.Problems[0].Last != 255 {
		t.Errorf("the block without hash list: %+v", rep.Problems[0])
	}
}

func TestListOfProblemsIsBounded(t *testing.T) {
	s, keys := signing(t, testOrg, 1)
	lines := splitLines(newLedger(500).export(t, s, 0))
	for i := range 500 {
		lines[lineOf(i)] = editLine(t, lines[lineOf(i)], func(x *exportLine) { x.Leaf = forge(i) })
	}
	rep, err := verify(joinLines(lines), keys, nil)
	firstProblem(t, rep, err)
	if len(rep.Problems) != 100 || rep.More != 400 {
		t.Errorf("%d problems and %d more", len(rep.Problems), rep.More)
	}
}

func TestFloodOfInsertedEntriesStopsTheVerification(t *testing.T) {
	s, keys := signing(t, testOrg, 1)
	lines := splitLines(newLedger(300).export(t, s, 0))
	flood := slices.Repeat([]string{lines[5]}, 5000)
	rep, err := verify(joinLines(slices.Insert(lines, 6, flood...)), keys, nil)
	if p := firstProblem(t, rep, err); !p.Located || rep.Entries > 600 {
		t.Errorf("%d entries read: %+v", rep.Entries, p)
	}
}

func TestReportIsReadableByMachines(t *testing.T) {
	s, keys := signing(t, testOrg, 1)
	lines := splitLines(newLedger(10).export(t, s, 0))
	lines[4] = editLine(t, lines[4], func(x *exportLine) { x.Leaf = forge(3) })
	rep, _ := verify(joinLines(lines), keys, nil)
	b, err := json.Marshal(rep)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"class":"entry_changed"`, `"index":3`, `"proven":true`, `"entryId":"` + string(entry(3).ID)} {
		if !strings.Contains(string(b), want) {
			t.Errorf("the report lacks %s: %s", want, b)
		}
	}
	seen := map[string]bool{}
	for c := audit.ClassFormat; c <= audit.ClassHistory; c++ {
		if name := c.String(); name == "none" || seen[name] {
			t.Errorf("class %d is called %q", c, name)
		}
		seen[c.String()] = true
	}
}
