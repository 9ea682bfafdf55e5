package audit_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"filippo.io/mldsa"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/sumdb/note"

	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/uid"
)

func testCheckpoint() audit.Checkpoint {
	return audit.Checkpoint{Org: testOrg, Size: 4711, Root: leafHash(1)}
}

func mustSign(tb testing.TB, c audit.Checkpoint, s audit.Signers) []byte {
	tb.Helper()
	b, err := c.Sign(s)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func codeOf(err error) fault.Code {
	if err == nil {
		return ""
	}
	return fault.Of(err).Code
}

func TestCheckpointOpensUnderTheKeysThatSignedIt(t *testing.T) {
	s, keys := signing(t, testOrg, 1)
	got, err := audit.OpenCheckpoint(mustSign(t, testCheckpoint(), s), keys, epoch())
	if err != nil {
		t.Fatal(err)
	}
	want := audit.Opened{Checkpoint: testCheckpoint(), Ed25519ID: keys.Keys[0].ID, MLDSAID: keys.Keys[1].ID}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestCheckpointNeedsBothSignatures(t *testing.T) {
	s, keys := signing(t, testOrg, 1)
	lines := strings.SplitAfter(string(mustSign(t, testCheckpoint(), s)), "\n") // 3 of text, blank, 2 signatures
	for name, signed := range map[string]string{
		"no ML-DSA":       strings.Join(lines[:5], ""),
		"no Ed25519":      strings.Join(lines[:4], "") + lines[5],
		"Ed25519 doubled": strings.Join(lines[:5], "") + lines[4],
	} {
		if _, err := audit.OpenCheckpoint([]byte(signed), keys, time.Time{}); codeOf(err) != fault.CodeLogCorrupt {
			t.Errorf("%s: %v, want LOG_CORRUPT", name, err)
		}
	}
	if _, err := testCheckpoint().Sign(audit.Signers{Ed25519: s.Ed25519}); err == nil {
		t.Error("signed with one key")
	}
	for i, key := range []string{"ML-DSA", "Ed25519"} {
		one := keys
		one.Keys = keys.Keys[i : i+1]
		_, err := audit.OpenCheckpoint(mustSign(t, testCheckpoint(), s), one, time.Time{})
		if codeOf(err) != fault.CodeUntrustedKey {
			t.Errorf("without the %s key: %v, want UNTRUSTED_KEY", key, err)
		}
	}
}

func TestCheckpointOfUntrustedKeysIsRefused(t *testing.T) {
	s, keys := signing(t, testOrg, 1)
	foreign, foreignKeys := signing(t, testOrg, 9)
	_, otherKeys := signing(t, otherOrg, 1)
	ended := audit.NewKeys(testOrg, keys.Keys)
	for i := range ended.Keys {
		ended.Keys[i].ValidTo = epoch().Add(time.Hour)
	}
	evidence := audit.NewKeys(testOrg, keys.Keys)
	for i := range evidence.Keys {
		evidence.Keys[i].Purpose = audit.PurposeEvidence
	}
	for name, c := range map[string]struct {
		s    audit.Signers
		keys audit.Keys
		at   time.Time
	}{
		"signed by others":       {foreign, keys, epoch()},
		"one of two by others":   {audit.Signers{Ed25519: s.Ed25519, MLDSA: foreign.MLDSA}, keys, epoch()},
		"trusting others":        {s, foreignKeys, epoch()},
		"another organization's": {s, otherKeys, epoch()},
		"no keys":                {s, audit.NewKeys(testOrg, nil), epoch()},
		"zero keys":              {s, audit.Keys{}, epoch()},
		"keys of other purpose":  {s, evidence, epoch()},
		"keys that had ended":    {s, ended, epoch().Add(2 * time.Hour)},
	} {
		_, err := audit.OpenCheckpoint(mustSign(t, testCheckpoint(), c.s), c.keys, c.at)
		if codeOf(err) != fault.CodeUntrustedKey {
			t.Errorf("%s: %v, want UNTRUSTED_KEY", name, err)
		}
	}
	if _, err := audit.OpenCheckpoint(mustSign(t, testCheckpoint(), s), ended, epoch()); err != nil {
		t.Errorf("keys that hadn't ended yet: %v", err)
	}
}

func TestCheckpointIsRefusedWhenAnythingIsChanged(t *testing.T) {
	s, keys := signing(t, testOrg, 1)
	good := mustSign(t, testCheckpoint(), s)
	if _, err := audit.OpenCheckpoint(good, keys, time.Time{}); err != nil {
		t.Fatal(err)
	}
	for i := range good {
		if i > 500 && i%37 != 0 && i < len(good)-20 {
			continue // the long ML-DSA signature by samples
		}
		bad := bytes.Clone(good)
		bad[i] ^= 1
		if _, err := audit.OpenCheckpoint(bad, keys, time.Time{}); err == nil {
			t.Fatalf("byte %d changed and nobody noticed", i)
		}
	}
}

func TestCheckpointTextHasOneFormOnly(t *testing.T) {
	root := base64.StdEncoding.EncodeToString(make([]byte, 32))
	origin := audit.Origin(testOrg)
	sig := "\n— x " + base64.StdEncoding.EncodeToString([]byte("12345")) + "\n"
	for name, text := range map[string]string{
		"good":              origin + "\n7\n" + root + "\n",
		"leading zero":      origin + "\n07\n" + root + "\n",
		"plus":              origin + "\n+7\n" + root + "\n",
		"too large":         origin + "\n9223372036854775808\n" + root + "\n",
		"extension":         origin + "\n7\n" + root + "\nmore\n",
		"short root":        origin + "\n7\n" + root[:40] + "\n",
		"stray bits":        origin + "\n7\n" + root[:42] + "B=\n",
		"no size":           origin + "\n" + root + "\n",
		"other origin":      "example.com/log\n7\n" + root + "\n",
		"bad organization":  "assay.dev/log/nobody\n7\n" + root + "\n",
		"empty, wrong root": origin + "\n0\n" + root + "\n",
		"two texts":         origin + "\n7\n" + root + "\n\n" + origin + "\n8\n" + root + "\n",
	} {
		_, err := audit.ParseCheckpoint([]byte(text + sig))
		if (err == nil) != (name == "good") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := audit.ParseCheckpoint(make([]byte, audit.MaxCheckpoint+1)); err == nil {
		t.Error("an oversized note was accepted")
	}
}

func TestWitnessSignaturesAreIgnored(t *testing.T) {
	s, keys := signing(t, testOrg, 1)
	skey, _, err := note.GenerateKey(zeros{}, "witness.example")
	if err != nil {
		t.Fatal(err)
	}
	w, err := note.NewSigner(skey)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := note.Sign(&note.Note{Text: testCheckpoint().Text()}, w, s.Ed25519, s.MLDSA)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := audit.OpenCheckpoint(signed, keys, epoch()); err != nil {
		t.Error(err)
	}
}

func TestEd25519SignatureIsReadByThePublicNoteLibrary(t *testing.T) {
	s, keys := signing(t, testOrg, 1)
	vkey, err := note.NewEd25519VerifierKey(audit.Origin(testOrg), keys.Keys[0].PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	v, err := note.NewVerifier(vkey)
	if err != nil {
		t.Fatal(err)
	}
	n, err := note.Open(mustSign(t, testCheckpoint(), s), note.VerifierList(v))
	if err != nil {
		t.Fatal(err)
	}
	if n.Text != testCheckpoint().Text() || len(n.Sigs) != 1 || len(n.UnverifiedSigs) != 1 {
		t.Errorf("unexpected note: %+v", n)
	}
}

func TestSignersOfAnotherLogAreRefused(t *testing.T) {
	s, _ := signing(t, otherOrg, 1)
	if _, err := testCheckpoint().Sign(s); err == nil {
		t.Error("signed another log's checkpoint")
	}
	good, _ := signing(t, testOrg, 1)
	broken := audit.Signers{Ed25519: failing{good.Ed25519}, MLDSA: good.MLDSA}
	if _, err := testCheckpoint().Sign(broken); fault.KindOf(err) != fault.Internal || err == nil {
		t.Errorf("failing signer: %v", err)
	}
}

type failing struct{ note.Signer }

func (failing) Sign([]byte) ([]byte, error) { return nil, errors.New("token removed") }

type checkpointVectors struct {
	About      string `json:"about"`
	Org        string `json:"organizationId"`
	Size       uint64 `json:"size"`
	Root       string `json:"rootHex"`
	Text       string `json:"text"`
	Ed25519    string `json:"ed25519SeedHex"`
	Ed25519Pub string `json:"ed25519PublicKeyHex"`
	Ed25519ID  string `json:"ed25519KeyId"`
	MLDSA      string `json:"mldsa65SeedHex"`
	MLDSAPub   string `json:"mldsa65PublicKeyHex"`
	MLDSAID    string `json:"mldsa65KeyId"`
	Signed     string `json:"signedNote"`
}

func TestPublishedCheckpointVectors(t *testing.T) {
	var all []checkpointVectors
	for i, org := range []uid.Org{testOrg, uid.System} {
		seed := byte(1 + 2*i)
		s, keys := signing(t, org, seed)
		var r audit.Range
		for k := range 5 * i {
			r.Append(nil, audit.LeafHash(entry(k).Leaf()))
		}
		c := audit.Checkpoint{Org: org, Size: r.Size(), Root: r.Root()}
		signed := mustSign(t, c, s)
		if _, err := audit.OpenCheckpoint(signed, keys, epoch()); err != nil {
			t.Fatal(err)
		}
		all = append(all, checkpointVectors{
			About: "test keys, worth nothing", Org: string(org), Size: c.Size, Root: hex.EncodeToString(c.Root[:]), Text: c.Text(),
			Ed25519:    hex.EncodeToString(bytes.Repeat([]byte{seed}, ed25519.SeedSize)),
			Ed25519Pub: hex.EncodeToString(keys.Keys[0].PublicKey), Ed25519ID: keys.Keys[0].ID,
			MLDSA:    hex.EncodeToString(bytes.Repeat([]byte{seed + 1}, 32)),
			MLDSAPub: hex.EncodeToString(keys.Keys[1].PublicKey), MLDSAID: keys.Keys[1].ID, Signed: string(signed),
		})
	}
	golden(t, "checkpoint.json", all)
}

func TestMLDSAVerifierRefusesOtherParameterSets(t *testing.T) {
	key, err := mldsa.NewPrivateKey(mldsa.MLDSA44(), make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := audit.NewMLDSASigner("x", key); err == nil {
		t.Error("an ML-DSA-44 signer was accepted")
	}
	if _, err := audit.NewVerifier("x", audit.MLDSA65, key.PublicKey().Bytes()); err == nil {
		t.Error("an ML-DSA-44 verifier was accepted")
	}
	for _, alg := range []audit.Algorithm{audit.Ed25519, "rsa", ""} {
		if _, err := audit.NewVerifier("x", alg, make([]byte, 31)); err == nil {
			t.Errorf("algorithm %q with 31 bytes was accepted", alg)
		}
	}
}

func FuzzCheckpoint(f *testing.F) {
	s, keys := signing(f, testOrg, 1)
	c := testCheckpoint()
	good := mustSign(f, c, s)
	f.Add(good)
	f.Add([]byte(c.Text() + "\n"))
	f.Add([]byte(fmt.Sprintf("%s\n0\n%s\n\n— a b\n", audit.Origin(testOrg), base64.StdEncoding.EncodeToString(make([]byte, 32)))))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := audit.ParseCheckpoint(b)
		if err == nil && !bytes.HasPrefix(b, []byte(p.Text()+"\n")) {
			t.Fatalf("parsed %+v from %q", p, b)
		}
		o, err := audit.OpenCheckpoint(b, keys, time.Time{})
		if err == nil && o.Checkpoint != c {
			t.Fatalf("a checkpoint that was never signed opened: %+v", o)
		}
	})
}

func BenchmarkOpenCheckpoint(b *testing.B) {
	s, keys := signing(b, testOrg, 1)
	signed := mustSign(b, testCheckpoint(), s)
	for b.Loop() {
		if _, err := audit.OpenCheckpoint(signed, keys, time.Time{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSignCheckpoint(b *testing.B) {
	s, _ := signing(b, testOrg, 1)
	for b.Loop() {
		mustSign(b, testCheckpoint(), s)
	}
}
