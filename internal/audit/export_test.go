package audit_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"pgregory.net/rapid"

	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/uid"
)

func verify(export []byte, keys audit.Keys, old *audit.Checkpoint) (audit.Report, error) {
	return audit.VerifyExport(bytes.NewReader(export), keys, old)
}

func TestWholeExportVerifiesAtEverySize(t *testing.T) {
	s, keys := signing(t, testOrg, 1)
	for _, n := range []int{0, 1, 2, 255, 256, 257, 511, 512, 513, 800} {
		l := newLedger(n)
		rep, err := verify(l.export(t, s, 0), keys, nil)
		if err != nil {
			t.Fatalf("%d entries: %v", n, err)
		}
		if rep.Entries != uint64(n) || rep.Checkpoint != l.checkpoint() || rep.Org != testOrg || rep.Ed25519ID != keys.Keys[0].ID || rep.MLDSAID != keys.Keys[1].ID {
			t.Errorf("%d entries: %+v", n, rep)
		}
	}
}

func TestExportAfterRetentionBeginsWithTheRootsOfWhatWasDropped(t *testing.T) {
	s, keys := signing(t, testOrg, 1)
	l := newLedger(1000)
	for _, first := range []uint64{1, 200, 256, 300, 512, 999, 1000} {
		rep, err := verify(l.export(t, s, first), keys, nil)
		if err != nil {
			t.Fatalf("from %d: %v", first, err)
		}
		if rep.First != first || rep.Entries != 1000-first {
			t.Errorf("from %d: %+v", first, rep)
		}
	}
}

func TestErasedPersonalDataDoesntBreakAnExport(t *testing.T) {
	s, keys := signing(t, testOrg, 1)
	l := newLedger(10)
	l.rows[3].Personal, l.rows[7].Personal = nil, nil
	b := l.export(t, s, 0)
	rep, err := verify(b, keys, nil)
	if err != nil || rep.Erased != 2 {
		t.Errorf("%+v, %v", rep, err)
	}
	if strings.Contains(splitLines(b)[4], "salt") {
		t.Error("the salt of an erased entry was exported")
	}
}

func TestExportReformattedByAnotherToolStillVerifies(t *testing.T) {
	s, keys := signing(t, testOrg, 1)
	l := newLedger(300)
	lines := splitLines(l.export(t, s, 0))
	for i, line := range lines {
		var v map[string]any
		d := json.NewDecoder(strings.NewReader(line))
		d.UseNumber()
		if err := d.Decode(&v); err != nil {
			t.Fatal(err)
		}
		b, err := json.MarshalIndent(v, "", " ")
		if err != nil {
			t.Fatal(err)
		}
		lines[i] = strings.ReplaceAll(string(b), "\n", " ") + "\r"
	}
	if _, err := verify(joinLines(lines), keys, nil); err != nil {
		t.Error(err)
	}
}

// first returns the first problem of a report.
func firstProblem(tb testing.TB, rep audit.Report, err error) audit.Problem {
	tb.Helper()
	if codeOf(err) != fault.CodeLogCorrupt {
		tb.Fatalf("want LOG_CORRUPT, got %v", err)
	}
	if len(rep.Problems) == 0 {
		tb.Fatal("an error without a problem in the report")
	}
	return rep.Problems[0]
}

// lineOf returns the position in the file of entry i of an export that begins at 0.
func lineOf(i int) int { return 1 + i + i/256 }

type exportLine struct {
	Index         uint64    `json:"index"`
	ID            uid.Entry `json:"id"`
	Leaf          []byte    `json:"leaf"`
	Salt          []byte    `json:"salt"`
	ClientAddress string    `json:"clientAddress"`
	UserAgent     string    `json:"userAgent"`
	ActorName     string    `json:"actorName"`
}

func editLine(tb testing.TB, line string, edit func(*exportLine)) string {
	tb.Helper()
	var x exportLine
	if err := json.Unmarshal([]byte(line), &x); err != nil {
		tb.Fatal(err)
	}
	edit(&x)
	b, err := json.Marshal(x)
	if err != nil {
		tb.Fatal(err)
	}
	return string(b)
}

// forge returns another valid leaf for entry i, as somebody would who wants to hide what happened.
func forge(i int) []byte {
	e := entry(i)
	e.Status = 403
	return e.Leaf()
}

func TestTamperedEntryIsNamed(t *testing.T) {
	s, keys := signing(t, testOrg, 1)
	l := newLedger(700)
	good := splitLines(l.export(t, s, 0))
	renumber := func(lines []string) []string {
		next := uint64(0)
		for i, line := range lines {
			if strings.HasPrefix(line, `{"index"`) {
				lines[i] = editLine(t, line, func(x *exportLine) { x.Index = next })
				next++
			}
		}
		return lines
	}
	at := func(i int) string { return good[lineOf(i)] }
	for name, c := range map[string]struct {
		change func([]string) []string
		class  audit.Class
		index  uint64
		entry  int // -1 = can't be told
		proven bool
	}{
		"status changed": {func(x []string) []string {
			x[lineOf(300)] = editLine(t, at(300), func(e *exportLine) { e.Leaf = forge(300) })
			return x
		}, audit.ClassChanged, 300, 300, true},
		"leaf replaced by garbage": {func(x []string) []string {
			x[lineOf(5)] = editLine(t, at(5), func(e *exportLine) { e.Leaf = []byte("x") })
			return x
		}, audit.ClassChanged, 5, 5, true},
		"first removed":            {func(x []string) []string { return slices.Delete(x, 1, 2) }, audit.ClassRemoved, 0, -1, true},
		"one removed":              {func(x []string) []string { return slices.Delete(x, lineOf(400), lineOf(400)+1) }, audit.ClassRemoved, 400, -1, true},
		"one removed, renumbered":  {func(x []string) []string { return renumber(slices.Delete(x, lineOf(400), lineOf(400)+1)) }, audit.ClassRemoved, 400, -1, true},
		"last removed":             {func(x []string) []string { return slices.Delete(x, lineOf(699), lineOf(699)+1) }, audit.ClassRemoved, 699, -1, true},
		"three removed":            {func(x []string) []string { return slices.Delete(x, lineOf(9), lineOf(12)) }, audit.ClassRemoved, 9, -1, true},
		"whole block removed":      {func(x []string) []string { return slices.Delete(x, lineOf(256), lineOf(512)) }, audit.ClassRemoved, 256, -1, false},
		"entries of block removed": {func(x []string) []string { return slices.Delete(x, lineOf(256), lineOf(511)+1) }, audit.ClassRemoved, 256, -1, true},
		"inserted": {func(x []string) []string {
			return slices.Insert(x, lineOf(40), editLine(t, at(40), func(e *exportLine) { e.Leaf = entry(9999).Leaf() }))
		}, audit.ClassInserted, 40, 9999, true},
		"inserted, renumbered": {func(x []string) []string {
			return renumber(slices.Insert(x, lineOf(40), editLine(t, at(40), func(e *exportLine) { e.Leaf = entry(9999).Leaf() })))
		}, audit.ClassInserted, 40, 9999, true},
		"doubled": {func(x []string) []string { return slices.Insert(x, lineOf(41), at(40)) }, audit.ClassInserted, 41, 40, true},
		"neighbours swapped": {func(x []string) []string {
			x[lineOf(30)], x[lineOf(31)] = x[lineOf(31)], x[lineOf(30)]
			return x
		}, audit.ClassReordered, 30, 31, true},
		"swapped, renumbered": {func(x []string) []string {
			x[lineOf(3)], x[lineOf(255)] = x[lineOf(255)], x[lineOf(3)]
			return renumber(x)
		}, audit.ClassReordered, 3, 255, true},
		"swapped over blocks": {func(x []string) []string {
			x[lineOf(30)], x[lineOf(600)] = x[lineOf(600)], x[lineOf(30)]
			return x
		}, audit.ClassChanged, 30, 600, true},
		"moved": {func(x []string) []string {
			return renumber(slices.Insert(slices.Delete(x, lineOf(20), lineOf(20)+1), lineOf(90), at(20)))
		}, audit.ClassReordered, 20, 21, true},
		"number changed": {func(x []string) []string {
			x[lineOf(77)] = editLine(t, at(77), func(e *exportLine) { e.Index = 78 })
			return x
		}, audit.ClassReordered, 77, 77, false},
		"id changed": {func(x []string) []string {
			x[lineOf(77)] = editLine(t, at(77), func(e *exportLine) { e.ID = entry(78).ID })
			return x
		}, audit.ClassChanged, 77, 77, false},
		"address changed": {func(x []string) []string {
			x[lineOf(77)] = editLine(t, at(77), func(e *exportLine) { e.ClientAddress = "10.0.0.1" })
			return x
		}, audit.ClassPersonal, 77, 77, false},
		"salt changed": {func(x []string) []string {
			x[lineOf(77)] = editLine(t, at(77), func(e *exportLine) { e.Salt[0]++ })
			return x
		}, audit.ClassPersonal, 77, 77, false},
		"broken line": {func(x []string) []string {
			x[lineOf(77)] = x[lineOf(77)][:50]
			return x
		}, audit.ClassFormat, 77, -1, false},
		"tail dropped with its hash list": {func(x []string) []string {
			return slices.Delete(x, lineOf(512), len(x)-1)
		}, audit.ClassRemoved, 512, -1, false},
		"hash list removed":      {func(x []string) []string { return slices.Delete(x, 257, 258) }, audit.ClassHashes, 0, -1, false},
		"last hash list removed": {func(x []string) []string { return slices.Delete(x, len(x)-2, len(x)-1) }, audit.ClassHashes, 512, -1, false},
	} {
		t.Run(name, func(t *testing.T) {
			rep, err := verify(joinLines(c.change(slices.Clone(good))), keys, nil)
			p := firstProblem(t, rep, err)
			if p.Class != c.class || !p.Located || p.Index != c.index || p.Proven != c.proven {
				t.Errorf("got %s at %d (proven %v), want %s at %d (proven %v)\n%s", p.Class, p.Index, p.Proven, c.class, c.index, c.proven, p.Text)
			}
			want := uid.Entry("")
			if c.entry >= 0 {
				want = entry(c.entry).ID
			}
			if p.Entry != want {
				t.Errorf("names entry %q, want %q", p.Entry, want)
			}
			if !strings.Contains(err.Error(), fmt.Sprint(c.index)) && c.class != audit.ClassFormat {
				t.Errorf("the error doesn't name index %d: %v", c.index, err)
			}
			if len(rep.Problems) > 3 {
				t.Errorf("one change gave %d problems: %+v", len(rep.Problems), rep.Problems)
			}
		})
	}
}

// TestTamperedDatabaseIsLocalized changes stored rows, so that the exporting server itself writes consistent lines.
func TestTamperedDatabaseIsLocalized(t *testing.T) {
	s, keys := signing(t, testOrg, 1)
	fresh := func() (*ledger, []byte) {
		l := newLedger(700)
		return l, mustSign(t, l.checkpoint(), s)
	}
	t.Run("leaf only", func(t *testing.T) {
		l, signed := fresh()
		l.rows[300].Leaf = forge(300)
		rep, err := verify(l.exportUnder(t, audit.Range{}, signed), keys, nil)
		if p := firstProblem(t, rep, err); p.Class != audit.ClassChanged || p.Index != 300 || p.Last != 300 || !p.Proven || p.Entry != entry(300).ID {
			t.Errorf("%+v", p)
		}
	})
	t.Run("leaf and leaf hash", func(t *testing.T) {
		l, signed := fresh()
		l.rows[300].Leaf = forge(300)
		l.rows[300].LeafHash = audit.LeafHash(forge(300))
		rep, err := verify(l.exportUnder(t, audit.Range{}, signed), keys, nil)
		if p := firstProblem(t, rep, err); p.Class != audit.ClassChanged || p.Index != 256 || p.Last != 511 || !p.Proven {
			t.Errorf("%+v", p)
		}
	})
	t.Run("leaf, leaf hash and nodes", func(t *testing.T) {
		l, signed := fresh()
		old := audit.Checkpoint{Org: testOrg, Size: 290, Root: newLedger(290).state.Root()}
		l.rows[300].Leaf = forge(300)
		l.rows[300].LeafHash = audit.LeafHash(forge(300))
		var r audit.Range
		for _, x := range l.rows {
			for _, n := range r.Append(nil, x.LeafHash) {
				l.nodes[n.NodeID] = n.Hash
			}
		}
		b := l.exportUnder(t, audit.Range{}, signed)
		rep, err := verify(b, keys, nil)
		if p := firstProblem(t, rep, err); p.Class != audit.ClassRoot || p.Located {
			t.Errorf("%+v", p)
		}
		rep, err = verify(b, keys, &old)
		if p := firstProblem(t, rep, err); p.Class != audit.ClassRoot || !p.Located || p.Index != 290 || p.Last != 699 {
			t.Errorf("with an older checkpoint: %+v", p)
		}
	})
	t.Run("hash list only", func(t *testing.T) {
		l, signed := fresh()
		l.rows[300].LeafHash[0] ^= 1
		rep, err := verify(l.exportUnder(t, audit.Range{}, signed), keys, nil)
		if p := firstProblem(t, rep, err); p.Class != audit.ClassHashes || p.Index != 300 || !p.Proven {
			t.Errorf("%+v", p)
		}
	})
	t.Run("node only", func(t *testing.T) {
		l, signed := fresh()
		l.nodes[audit.NodeID{Level: 8, Index: 1}] = audit.Hash{}
		rep, err := verify(l.exportUnder(t, audit.Range{}, signed), keys, nil)
		if p := firstProblem(t, rep, err); p.Class != audit.ClassHashes || p.Index != 256 || !p.Proven {
			t.Errorf("%+v", p)
		}
	})
	t.Run("two entries, one hash", func(t *testing.T) {
		l, signed := fresh()
		l.rows[300].Leaf, l.rows[20].Leaf = forge(300), forge(20)
		l.rows[300].LeafHash = audit.LeafHash(forge(300))
		rep, err := verify(l.exportUnder(t, audit.Range{}, signed), keys, nil)
		if p := firstProblem(t, rep, err); p.Index != 20 || !p.Proven || len(rep.Problems) != 2 || !rep.Problems[1].Proven {
			t.Errorf("%+v", rep.Problems)
		}
	})
}

func TestOlderCheckpointIsContinued(t *testing.T) {
	s, keys := signing(t, testOrg, 1)
	l := newLedger(700)
	b := l.export(t, s, 0)
	tail := l.export(t, s, 300)
	for _, size := range []int{0, 1, 100, 255, 256, 257, 300, 512, 600, 700} {
		old := newLedger(size).checkpoint()
		if _, err := verify(b, keys, &old); err != nil {
			t.Errorf("size %d: %v", size, err)
		}
		_, err := verify(tail, keys, &old)
		if wantErr := size > 0 && size < 300; (err != nil) != wantErr {
			t.Errorf("size %d against an export from 300 on: %v", size, err)
		}
	}
	longer := newLedger(701).checkpoint()
	rewritten := newLedger(100).checkpoint()
	rewritten.Root[0] ^= 1
	foreign := newLedger(100).checkpoint()
	foreign.Org = otherOrg
	for name, old := range map[string]audit.Checkpoint{"rolled back": longer, "rewritten": rewritten, "of another": foreign} {
		rep, err := verify(b, keys, &old)
		if p := firstProblem(t, rep, err); p.Class != audit.ClassHistory {
			t.Errorf("%s: %+v", name, p)
		}
	}
}

func TestExportUnderUntrustedKeysNeverVerifies(t *testing.T) {
	s, keys := signing(t, testOrg, 1)
	_, others := signing(t, testOrg, 9)
	_, elsewhere := signing(t, otherOrg, 1)
	b := newLedger(20).export(t, s, 0)
	ended := audit.NewKeys(testOrg, keys.Keys)
	for i := range ended.Keys {
		ended.Keys[i].ValidTo = epoch().Add(10 * time.Millisecond) // entries go on for 9 ms more
	}
	half := audit.NewKeys(testOrg, keys.Keys[:1])
	for name, k := range map[string]audit.Keys{
		"none": {}, "no keys": audit.NewKeys(testOrg, nil), "others": others, "other organization": elsewhere,
		"ended before the newest entry": ended, "one of two": half,
	} {
		if _, err := verify(b, k, nil); codeOf(err) != fault.CodeUntrustedKey {
			t.Errorf("%s: %v, want UNTRUSTED_KEY", name, err)
		}
	}
}

func TestForgedTimeOfAnEntryIsNamedAndNotTakenForAnEndedKey(t *testing.T) {
	s, keys := signing(t, testOrg, 1)
	for i := range keys.Keys {
		keys.Keys[i].ValidTo = epoch().Add(time.Hour)
	}
	lines := splitLines(newLedger(20).export(t, s, 0))
	lines[6] = editLine(t, lines[6], func(x *exportLine) {
		e := entry(5)
		e.Time = e.Time.AddDate(10, 0, 0)
		x.Leaf = e.Leaf()
	})
	rep, err := verify(joinLines(lines), keys, nil)
	if p := firstProblem(t, rep, err); p.Index != 5 || p.Class != audit.ClassChanged {
		t.Errorf("%+v", p)
	}
}

func TestExportWithoutBothSignaturesNeverVerifies(t *testing.T) {
	s, keys := signing(t, testOrg, 1)
	l := newLedger(20)
	signed := string(mustSign(t, l.checkpoint(), s))
	cut := strings.LastIndex(strings.TrimSuffix(signed, "\n"), "\n")
	for name, note := range map[string]string{
		"one signature": signed[:cut+1], "none": signed[:strings.Index(signed, "\n\n")+2], "empty": "",
	} {
		rep, err := verify(l.exportUnder(t, audit.Range{}, []byte(note)), keys, nil)
		if p := firstProblem(t, rep, err); p.Class != audit.ClassCheckpoint {
			t.Errorf("%s: %+v", name, p)
		}
	}
}

func TestEveryCutOffExportIsNoticed(t *testing.T) {
	s, keys := signing(t, testOrg, 1)
	b := newLedger(300).export(t, s, 0)
	for n := 0; n < len(b)-1; n += 1009 {
		rep, err := verify(b[:n], keys, nil)
		if err == nil {
			t.Fatalf("an export cut to %d of %d bytes verifies: %+v", n, len(b), rep)
		}
	}
	if _, err := verify(b[:len(b)-1], keys, nil); err != nil {
		t.Errorf("only the last line's end is missing: %v", err)
	}
	if _, err := verify(append(slices.Clone(b), "{}\n"...), keys, nil); err == nil {
		t.Error("data after the checkpoint was accepted")
	}
	lines := splitLines(b)
	rep, err := verify(joinLines(lines[:101]), keys, nil)
	if p := firstProblem(t, rep, err); p.Class != audit.ClassFormat || p.Index != 100 {
		t.Errorf("cut after 100 entries: %+v", p)
	}
}

func TestHostileExportsAreRefusedInBoundedMemory(t *testing.T) {
	_, keys := signing(t, testOrg, 1)
	head := `{"format":"assay.dev/audit-export/v1","organizationId":"` + string(testOrg) + `","first":0,"prefix":[]}` + "\n"
	long := head + strings.Repeat("a", 1<<20)
	for name, in := range map[string]string{
		"empty": "", "newline": "\n", "other": "{}\n", "long line": long,
		"prefix of one":  strings.Replace(head, `[]`, `["AA=="]`, 1),
		"prefix missing": strings.Replace(head, `"first":0`, `"first":7`, 1),
		"huge first":     strings.Replace(head, `"first":0`, `"first":18446744073709551615`, 1),
		"null prefix":    strings.Replace(head, `[]`, `null`, 1),
		"doubled member": strings.Replace(head, `"first":0`, `"first":0,"first":0`, 1),
		"bad list":       head + `{"hashesFrom":0,"hashes":"AAAA"}` + "\n",
		"empty list":     head + `{"hashesFrom":0,"hashes":""}` + "\n",
		"mixed line":     head + `{"hashesFrom":0,"hashes":"","checkpoint":"x"}` + "\n",
		"no note":        head + `{"checkpoint":""}` + "\n",
		"half personal":  head + `{"index":0,"id":"x","leaf":"","salt":"AAAAAAAAAAAAAAAAAAAAAA=="}` + "\n",
	} {
		rep, err := verify([]byte(in), keys, nil)
		if err == nil {
			t.Errorf("%s: verifies: %+v", name, rep)
		}
	}
	_, err := audit.VerifyExport(iotest.TimeoutReader(strings.NewReader(head)), keys, nil)
	if fault.KindOf(err) != fault.Unavailable {
		t.Errorf("unreadable: %v", err)
	}
}

func TestExportWriterPassesOnFailures(t *testing.T) {
	l := newLedger(600)
	broken := errors.New("broken")
	w, err := audit.NewExportWriter(&bytes.Buffer{}, testOrg, audit.Range{}, func(context.Context, []audit.NodeID) ([][]byte, error) { return nil, broken })
	if err != nil {
		t.Fatal(err)
	}
	for i, x := range l.rows[:256] {
		if err = w.Write(t.Context(), x); (err != nil) != (i == 255) {
			t.Fatal(i, err)
		}
	}
	if !errors.Is(err, broken) {
		t.Error(err)
	}
	full, err := audit.NewExportWriter(fullDisk{}, testOrg, audit.Range{}, nil)
	for _, x := range l.rows {
		if err == nil {
			err = full.Write(t.Context(), x)
		}
	}
	if err == nil {
		err = full.Close(t.Context(), nil)
	}
	if fault.KindOf(err) != fault.Unavailable {
		t.Errorf("full disk: %v", err)
	}
}

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, errors.New("no space") }

// TestAnySingleChangeIsFoundAtItsPlace draws a log and one change to its export.
func TestAnySingleChangeIsFoundAtItsPlace(t *testing.T) {
	s, keys := signing(t, testOrg, 1)
	exports := map[int][]string{}
	for _, n := range []int{1, 2, 40, 256, 300, 600} {
		exports[n] = splitLines(newLedger(n).export(t, s, 0))
	}
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.SampledFrom([]int{1, 2, 40, 256, 300, 600}).Draw(rt, "size")
		lines := slices.Clone(exports[n])
		i := rapid.IntRange(0, n-1).Draw(rt, "index")
		at := lineOf(i)
		want := i
		switch rapid.SampledFrom([]string{"change", "remove", "insert", "swap", "personal"}).Draw(rt, "kind") {
		case "change":
			bit := rapid.IntRange(0, 8*len(entry(i).Leaf())-1).Draw(rt, "bit")
			lines[at] = editLine(t, lines[at], func(x *exportLine) { x.Leaf[bit/8] ^= 1 << (bit % 8) })
		case "remove":
			lines = slices.Delete(lines, at, at+1)
		case "insert":
			lines = slices.Insert(lines, at, editLine(t, lines[at], func(x *exportLine) { x.Leaf = entry(100_000).Leaf() }))
		case "swap":
			j := rapid.IntRange(0, n-1).Draw(rt, "other")
			if i == j {
				return
			}
			lines[at], lines[lineOf(j)] = lines[lineOf(j)], lines[at]
			want = min(i, j)
		case "personal":
			lines[at] = editLine(t, lines[at], func(x *exportLine) { x.UserAgent += "x" })
		}
		rep, err := verify(joinLines(lines), keys, nil)
		if codeOf(err) != fault.CodeLogCorrupt || len(rep.Problems) == 0 {
			rt.Fatalf("not found: %v", err)
		}
		if p := rep.Problems[0]; !p.Located || p.Index != uint64(want) {
			rt.Fatalf("found at %d, want %d: %+v", p.Index, want, p)
		}
	})
}

// TestAnyByteChangedInAnExportNeverVerifiesAsOtherEntries flips bytes anywhere in the file.
func TestAnyByteChangedInAnExportNeverVerifiesAsOtherEntries(t *testing.T) {
	s, keys := signing(t, testOrg, 1)
	l := newLedger(260)
	good := l.export(t, s, 0)
	rapid.Check(t, func(rt *rapid.T) {
		b := slices.Clone(good)
		b[rapid.IntRange(0, len(b)-1).Draw(rt, "at")] ^= rapid.SampledFrom([]byte{1, 2, 4, 0x20, 0x80}).Draw(rt, "flip")
		rep, err := verify(b, keys, nil)
		if err == nil && (rep.Checkpoint != l.checkpoint() || rep.Entries != 260) {
			rt.Fatalf("verifies as something else: %+v", rep)
		}
	})
}

func FuzzVerifyExport(f *testing.F) {
	s, keys := signing(f, testOrg, 1)
	l := newLedger(3)
	good := l.export(f, s, 0)
	f.Add(good)
	f.Add(l.export(f, s, 2))
	f.Add([]byte("{}\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		rep, err := verify(b, keys, nil)
		if err == nil && (rep.Checkpoint != l.checkpoint() || rep.First+rep.Entries != 3) {
			t.Fatalf("verifies, but was never signed: %+v", rep)
		}
	})
}

func BenchmarkVerifyExport(b *testing.B) {
	const n = 50_000
	s, keys := signing(b, testOrg, 1)
	export := newLedger(n).export(b, s, 0)
	b.SetBytes(int64(len(export)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := verify(export, keys, nil); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "entries/s")
}

func BenchmarkWriteExport(b *testing.B) {
	const n = 20_000
	s, _ := signing(b, testOrg, 1)
	l := newLedger(n)
	for b.Loop() {
		l.export(b, s, 0)
	}
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "entries/s")
}
