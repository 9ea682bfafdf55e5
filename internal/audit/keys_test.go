package audit_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"

	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/word/fault"
)

func keyDocument(tb testing.TB) (audit.Keys, string) {
	tb.Helper()
	_, keys := signing(tb, testOrg, 1)
	keys.Keys[0].ValidTo = epoch().Add(time.Hour).Truncate(time.Second)
	b, err := json.MarshalIndent(keys, "", "  ")
	if err != nil {
		tb.Fatal(err)
	}
	return keys, string(b)
}

func TestKeyDocumentIsReadAsWritten(t *testing.T) {
	want, doc := keyDocument(t)
	got, err := audit.ParseKeys(strings.NewReader(doc))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if strings.Count(doc, "validTo") != 1 {
		t.Errorf("validTo must be there for the ended key only:\n%s", doc)
	}
	empty, err := json.Marshal(audit.NewKeys(testOrg, nil))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := audit.ParseKeys(bytes.NewReader(empty)); err != nil {
		t.Errorf("a document without keys: %v", err)
	}
}

func TestKeyDocumentRefusesWhatCouldMislead(t *testing.T) {
	keys, doc := keyDocument(t)
	pub := doc[strings.Index(doc, `"publicKey": "`)+len(`"publicKey": "`):][:10]
	for name, bad := range map[string]string{
		"empty":               "",
		"not an object":       "[]",
		"null":                "null",
		"trailing data":       doc + "{}",
		"unknown member":      strings.Replace(doc, `"format"`, `"extra": 1, "format"`, 1),
		"doubled member":      strings.Replace(doc, `"format"`, `"format": "x", "format"`, 1),
		"other case":          strings.Replace(doc, `"publicKey"`, `"publickey"`, 1),
		"other format":        strings.Replace(doc, "/v1", "/v2", 1),
		"other organization":  strings.Replace(doc, `"organizationId": "`+string(testOrg), `"organizationId": "`+string(otherOrg), 1),
		"bad organization":    strings.ReplaceAll(doc, string(testOrg), "me"),
		"other id":            strings.Replace(doc, keys.Keys[0].ID, "00000000", 1),
		"other key":           strings.Replace(doc, pub, "AAAAAAAAAA", 1),
		"other algorithm":     strings.Replace(doc, `"ed25519"`, `"ml-dsa-65"`, 1),
		"unknown purpose":     strings.Replace(doc, `"log"`, `"all"`, 1),
		"moved purpose":       strings.Replace(doc, `"purpose": "log"`, `"purpose": "evidence"`, 1),
		"ended before begun":  strings.Replace(doc, "2026-01-02T04", "2025-01-02T04", 1),
		"no beginning":        strings.Replace(doc, `"validFrom": "2026-01-02T03:04:05Z"`, `"validFrom": "0001-01-01T00:00:00Z"`, 1),
		"key listed twice":    doubled(t, keys),
		"too large":           doc + strings.Repeat(" ", audit.MaxKeysSize),
		"nested":              strings.Repeat("[", 100_000),
		"member in the array": `{"format":"assay.dev/keys/v1","organizationId":"` + string(testOrg) + `","keys":[1]}`,
	} {
		if bad == doc {
			t.Fatalf("%s: the case changes nothing", name)
		}
		_, err := audit.ParseKeys(strings.NewReader(bad))
		if err == nil || fault.KindOf(err) != fault.Invalid {
			t.Errorf("%s: %v, want an Invalid fault", name, err)
		}
	}
	if _, err := audit.ParseKeys(iotest.ErrReader(bytes.ErrTooLarge)); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("unreadable: %v", err)
	}
}

func doubled(tb testing.TB, k audit.Keys) string {
	tb.Helper()
	b, err := json.Marshal(audit.NewKeys(testOrg, append(k.Keys, k.Keys[0])))
	if err != nil {
		tb.Fatal(err)
	}
	return string(b)
}

func TestKeysKeepTheirOrderOfAge(t *testing.T) {
	keys, _ := keyDocument(t)
	young := keys.Keys[0]
	young.ValidFrom = young.ValidFrom.Add(time.Hour)
	got := audit.NewKeys(testOrg, []audit.Key{young, keys.Keys[1]})
	if got.Keys[0].Algorithm != audit.MLDSA65 {
		t.Error("the oldest key must come first")
	}
}

func FuzzParseKeys(f *testing.F) {
	_, doc := keyDocument(f)
	f.Add([]byte(doc))
	f.Add([]byte(`{"keys":null}`))
	f.Add([]byte(`]`))
	f.Fuzz(func(t *testing.T, b []byte) {
		k, err := audit.ParseKeys(bytes.NewReader(b))
		if err != nil {
			return
		}
		again, err := json.Marshal(k)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := audit.ParseKeys(bytes.NewReader(again)); err != nil {
			t.Fatalf("accepted, but not when written again: %v", err)
		}
	})
}
