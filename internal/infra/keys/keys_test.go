package keys_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/infra/keys"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/uid"
)

const (
	orgA uid.Org = "0192f3a0-0000-7000-8000-000000000001"
	orgB uid.Org = "0192f3a0-0000-7000-8000-000000000002"
)

func now() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC) }

func random(seed byte) *rand.ChaCha8 { return rand.NewChaCha8([32]byte{seed}) }

func master(seed byte) []byte { return bytes.Repeat([]byte{seed}, keys.KeySize) }

func sealer(tb testing.TB, seed byte) *keys.Sealer {
	tb.Helper()
	s, err := keys.NewSealer(master(seed), random(seed))
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func TestSealedRecordOpensOnlyInItsPlaceUnderItsKey(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s, other := sealer(t, 1), sealer(t, 2)
		plain := rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(rt, "plain")
		record := rapid.String().Draw(rt, "record")
		sealed, err := s.Seal(orgA, record, plain)
		if err != nil {
			rt.Fatal(err)
		}
		if len(sealed) != len(plain)+keys.Overhead {
			rt.Fatalf("%d bytes sealed to %d", len(plain), len(sealed))
		}
		got, err := s.Open(orgA, record, sealed)
		if err != nil || !bytes.Equal(got, plain) {
			rt.Fatalf("%x, %v", got, err)
		}
		if _, err := s.Open(orgB, record, sealed); err == nil {
			rt.Fatal("opened in another organization")
		}
		if _, err := s.Open(orgA, record+"x", sealed); err == nil {
			rt.Fatal("opened as another record")
		}
		if _, err := other.Open(orgA, record, sealed); fault.Of(err).Code != fault.CodeWrongKey {
			rt.Fatalf("under another master key: %v", err)
		}
		i := rapid.IntRange(0, len(sealed)-1).Draw(rt, "flip")
		bad := bytes.Clone(sealed)
		bad[i] ^= 1
		if _, err := s.Open(orgA, record, bad); err == nil {
			rt.Fatalf("byte %d changed and it opened", i)
		}
		if _, err := s.Open(orgA, record, sealed[:i]); err == nil {
			rt.Fatalf("cut to %d bytes and it opened", i)
		}
	})
}

func TestOrganizationAndRecordCantRunIntoEachOther(t *testing.T) {
	s := sealer(t, 1)
	sealed, err := s.Seal("ab", "c", []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Open("a", "bc", sealed); err == nil {
		t.Error("the border between organization and record can be moved")
	}
}

func TestEqualSecretsSealDifferently(t *testing.T) {
	s := sealer(t, 1)
	a, err1 := s.Seal(orgA, "r", []byte("same"))
	b, err2 := s.Seal(orgA, "r", []byte("same"))
	if err1 != nil || err2 != nil || bytes.Equal(a, b) {
		t.Error("two envelopes of one secret are equal", err1, err2)
	}
	if bytes.Contains(a, []byte("same")) {
		t.Error("the envelope shows the secret")
	}
}

func TestSealRefusesWhatItCantDo(t *testing.T) {
	s := sealer(t, 1)
	if _, err := s.Seal(orgA, "r", make([]byte, keys.MaxRecord+1)); fault.KindOf(err) != fault.Invalid {
		t.Errorf("too large: %v", err)
	}
	dry, err := keys.NewSealer(master(1), iotest.ErrReader(errors.New("dry")))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := dry.Seal(orgA, "r", nil); err == nil {
		t.Error("sealed without randomness")
	}
	if _, err := keys.NewPair(dry, orgA, audit.PurposeLog, now()); err == nil {
		t.Error("made keys without randomness")
	}
	if _, err := keys.NewSealer(master(1)[:31], random(1)); err == nil {
		t.Error("took 31 bytes for a master key")
	}
}

func TestProbeTellsTheRightMasterKey(t *testing.T) {
	s := sealer(t, 1)
	probe, err := s.Probe()
	if err != nil {
		t.Fatal(err)
	}
	if err := sealer(t, 1).Check(probe); err != nil {
		t.Errorf("the same key: %v", err)
	}
	err = sealer(t, 2).Check(probe)
	f := fault.Of(err)
	if f == nil || f.Code != fault.CodeWrongKey || !strings.Contains(f.Text, "wrong master key") {
		t.Errorf("another key: %v", err)
	}
	if err := s.Check([]byte("garbage")); err == nil {
		t.Error("garbage is no probe")
	}
	other, err := s.Seal(orgA, "master-key/probe", []byte("assay.dev/master-key-probe/v1"))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Check(other); err == nil {
		t.Error("an organization's record was taken for the probe")
	}
}

func TestFingerprintKeysAreStableAndApart(t *testing.T) {
	key := func(seed byte, org uid.Org) string {
		k, err := sealer(t, seed).FingerprintKey(org)
		if err != nil || len(k) != keys.KeySize {
			t.Fatal(len(k), err)
		}
		return string(k)
	}
	if first, again := key(1, orgA), key(1, orgA); first != again {
		t.Error("the key changes")
	}
	if key(1, orgA) == key(1, orgB) || key(1, orgA) == key(2, orgA) {
		t.Error("two organizations or master keys share a key")
	}
	if key(1, orgA) == string(master(1)) {
		t.Error("the master key was handed out")
	}
}

func TestSealerNeverPrintsItsKey(t *testing.T) {
	s := sealer(t, 'K')
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if out := fmt.Sprintf(verb, s); strings.Contains(out, "KKKK") || strings.Contains(out, "75, 75") || !strings.Contains(out, s.ID()) {
			t.Errorf("%s prints %s", verb, out)
		}
	}
}

func TestSealerServesManyAtOnce(t *testing.T) {
	s := sealer(t, 1)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 50 {
				record := fmt.Sprint(i)
				sealed, err := s.Seal(orgA, record, []byte(record))
				if err != nil {
					t.Error(err)
					return
				}
				if got, err := s.Open(orgA, record, sealed); err != nil || string(got) != record {
					t.Error(got, err)
				}
			}
		})
	}
	wg.Wait()
}

func write(t *testing.T, path string, content []byte, mode fs.FileMode) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestMasterKeyIsReadInThreeForms(t *testing.T) {
	want := sealer(t, 7).ID()
	dir := t.TempDir()
	for name, content := range map[string]string{
		"raw":    string(master(7)),
		"base64": base64.StdEncoding.EncodeToString(master(7)) + "\n",
		"hex":    strings.ToUpper(hex.EncodeToString(master(7))) + "\r\n",
	} {
		s, origin, err := keys.Load(keys.Place{File: write(t, filepath.Join(dir, name), []byte(content), 0o400)}, random(1))
		if err != nil || s.ID() != want || origin != keys.FromFile {
			t.Errorf("%s: %v %v %v", name, s, origin, err)
		}
	}
}

func TestMasterKeyFilesThatCantBeTrustedAreRefused(t *testing.T) {
	dir := t.TempDir()
	good := master(7)
	for name, path := range map[string]string{
		"group may read":    write(t, filepath.Join(dir, "group"), good, 0o640),
		"others may read":   write(t, filepath.Join(dir, "others"), good, 0o604),
		"others may write":  write(t, filepath.Join(dir, "writable"), good, 0o602),
		"empty":             write(t, filepath.Join(dir, "empty"), nil, 0o600),
		"short":             write(t, filepath.Join(dir, "short"), good[:31], 0o600),
		"long":              write(t, filepath.Join(dir, "long"), bytes.Repeat(good, 100), 0o600),
		"not hexadecimal":   write(t, filepath.Join(dir, "nothex"), bytes.Repeat([]byte("z"), 64), 0o600),
		"not there":         filepath.Join(dir, "missing"),
		"a folder":          dir,
		"base64 of 33 byte": write(t, filepath.Join(dir, "b33"), []byte(base64.StdEncoding.EncodeToString(make([]byte, 33))), 0o600),
	} {
		// Create must not help: only the data folder's key is ever made.
		_, _, err := keys.Load(keys.Place{File: path, Create: true}, random(1))
		f := fault.Of(err)
		if f == nil || f.Kind != fault.Invalid {
			t.Errorf("%s: %v, want an Invalid fault", name, err)
			continue
		}
		if strings.Contains(f.Text, dir) {
			t.Errorf("%s: the text shows a path of the host: %s", name, f.Text)
		}
	}
}

func TestMasterKeyOfTheDataFolderIsMadeOnceAndOnlyWhenAsked(t *testing.T) {
	dir := t.TempDir()
	if _, _, err := keys.Load(keys.Place{Data: dir}, random(1)); err == nil {
		t.Fatal("a key was made unasked")
	}
	first, origin, err := keys.Load(keys.Place{Data: dir, Create: true}, random(1))
	if err != nil || origin != keys.FromData {
		t.Fatal(origin, err)
	}
	again, _, err := keys.Load(keys.Place{Data: dir, Create: true}, random(2))
	if err != nil || again.ID() != first.ID() {
		t.Errorf("another key at the second start: %v", err)
	}
	info, err := os.Stat(filepath.Join(dir, "keys", "master.key"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if left, err := os.ReadDir(filepath.Join(dir, "keys")); err != nil || len(left) != 1 {
		t.Errorf("files left beside the key: %v, %v", left, err)
	}
}

func TestServersStartedAtOnceShareOneMasterKey(t *testing.T) {
	dir := t.TempDir()
	ids := make([]string, 8)
	var wg sync.WaitGroup
	for i := range ids {
		wg.Go(func() {
			s, _, err := keys.Load(keys.Place{Data: dir, Create: true}, random(byte(i)))
			if err != nil {
				t.Error(err)
				return
			}
			ids[i] = s.ID()
		})
	}
	wg.Wait()
	for _, id := range ids {
		if id != ids[0] {
			t.Fatalf("several master keys: %v", ids)
		}
	}
}

func TestCredentialCountsBeforeTheDataFolder(t *testing.T) {
	dir, creds := t.TempDir(), t.TempDir()
	if _, _, err := keys.Load(keys.Place{Data: dir, Credentials: creds, Create: true}, random(1)); err != nil {
		t.Fatalf("a credentials folder without ours: %v", err)
	}
	write(t, filepath.Join(creds, keys.CredentialName), master(9), 0o440) // as systemd shows its ACL
	s, origin, err := keys.Load(keys.Place{Data: dir, Credentials: creds}, random(1))
	if err != nil || origin != keys.FromCredential || s.ID() != sealer(t, 9).ID() {
		t.Error(origin, err)
	}
	write(t, filepath.Join(creds, keys.CredentialName), master(9), 0o444)
	if _, _, err := keys.Load(keys.Place{Data: dir, Credentials: creds}, random(1)); err == nil {
		t.Error("a credential open to all was taken")
	}
}

func TestPairSignsCheckpointsThatItsDocumentVerifies(t *testing.T) {
	s := sealer(t, 1)
	history, err := keys.Rotate(s, nil, orgA, audit.PurposeLog, now(), 0)
	if err != nil {
		t.Fatal(err)
	}
	first, err := keys.Current(history, orgA, audit.PurposeLog)
	if err != nil {
		t.Fatal(err)
	}
	signers, err := first.Open(sealer(t, 1))
	if err != nil {
		t.Fatal(err)
	}
	c := audit.Checkpoint{Org: orgA, Root: (&audit.Range{}).Root()}
	old, err := c.Sign(signers)
	if err != nil {
		t.Fatal(err)
	}
	later := now().Add(24 * time.Hour)
	if history, err = keys.Rotate(s, history, orgA, audit.PurposeLog, later, time.Minute); err != nil {
		t.Fatal(err)
	}
	second, err := keys.Current(history, orgA, audit.PurposeLog)
	if err != nil || second.ID == first.ID || len(history) != 2 {
		t.Fatalf("%+v %v", history, err)
	}
	if to := history[0].To; to.Before(later.Add(time.Minute)) || to.After(later.Add(time.Minute+time.Second)) {
		t.Errorf("the old pair ends at %v", to)
	}
	doc := keys.Document(history, orgA)
	if len(doc.Keys) != 4 {
		t.Errorf("the document forgot keys: %+v", doc)
	}
	if _, err := audit.OpenCheckpoint(old, doc, now()); err != nil {
		t.Errorf("a checkpoint from before the rotation: %v", err)
	}
	if _, err := audit.OpenCheckpoint(old, doc, later.Add(time.Hour)); fault.Of(err).Code != fault.CodeUntrustedKey {
		t.Errorf("an ended pair that signs newer entries: %v", err)
	}
	if signers, err = second.Open(s); err != nil {
		t.Fatal(err)
	}
	fresh, err := c.Sign(signers)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := audit.OpenCheckpoint(fresh, doc, later.Add(time.Hour)); err != nil {
		t.Errorf("the new pair: %v", err)
	}
}

func TestRotationLeavesOtherPurposesAndOrganizationsAlone(t *testing.T) {
	s := sealer(t, 1)
	var history []keys.Pair
	for _, p := range []struct {
		org uid.Org
		p   audit.Purpose
	}{{orgA, audit.PurposeLog}, {orgA, audit.PurposeEvidence}, {orgB, audit.PurposeLog}} {
		var err error
		if history, err = keys.Rotate(s, history, p.org, p.p, now(), 0); err != nil {
			t.Fatal(err)
		}
	}
	before := history
	after, err := keys.Rotate(s, history, orgA, audit.PurposeLog, now().Add(time.Hour), 0)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before[1:], after[1:3]); diff != "" {
		t.Error(diff)
	}
	if !before[0].To.IsZero() || !before[0].Public[0].ValidTo.IsZero() {
		t.Error("the caller's history was changed")
	}
	if n := len(keys.Document(after, orgB).Keys); n != 2 {
		t.Errorf("another organization's document has %d keys", n)
	}
	if _, err := keys.Current(after, orgB, audit.PurposeEvidence); fault.KindOf(err) != fault.NotFound {
		t.Errorf("a pair that was never made: %v", err)
	}
}

func TestPairOpensOnlyAsItself(t *testing.T) {
	s := sealer(t, 1)
	a, err := keys.NewPair(s, orgA, audit.PurposeLog, now())
	if err != nil {
		t.Fatal(err)
	}
	b, err := keys.NewPair(s, orgA, audit.PurposeLog, now())
	if err != nil {
		t.Fatal(err)
	}
	swapped, renamed, moved, repurposed := a, a, a, a
	swapped.Public = b.Public
	renamed.ID = b.ID
	moved.Org = orgB
	repurposed.Purpose = audit.PurposeEvidence
	for name, p := range map[string]keys.Pair{
		"public keys swapped": swapped, "another id": renamed, "another organization": moved, "another purpose": repurposed,
	} {
		if _, err := p.Open(s); err == nil {
			t.Errorf("%s: it opened", name)
		}
	}
	if _, err := a.Open(sealer(t, 2)); fault.Of(err).Code != fault.CodeWrongKey {
		t.Errorf("another master key: %v", err)
	}
}

func FuzzOpen(f *testing.F) {
	s := sealer(f, 1)
	good, err := s.Seal(orgA, "r", []byte("secret"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte{1})
	f.Fuzz(func(t *testing.T, b []byte) {
		if got, err := s.Open(orgA, "r", b); err == nil && (!bytes.Equal(b, good) || string(got) != "secret") {
			t.Fatalf("opened what was never sealed: %x", b)
		}
	})
}

func BenchmarkSeal(b *testing.B) {
	s := sealer(b, 1)
	for b.Loop() {
		if _, err := s.Seal(orgA, "r", []byte("a secret of usual length, 40 characters.")); err != nil {
			b.Fatal(err)
		}
	}
}
