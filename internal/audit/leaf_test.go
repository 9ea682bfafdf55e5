package audit_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/uid"
)

var update = flag.Bool("update", false, "write golden files anew")

func vectorFile(name string) string {
	return filepath.Join("..", "..", "docs", "vectors", name)
}

// golden compares v with a published vector file, or writes it with -update.
func golden(t *testing.T, name string, v any) {
	t.Helper()
	got, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, '\n')
	if *update {
		if err := os.MkdirAll(filepath.Dir(vectorFile(name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(vectorFile(name), got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(vectorFile(name))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("published vectors %s differ (-published +now); the format must never change silently:\n%s", name, diff)
	}
}

func anyEntry(t *rapid.T) audit.Entry {
	text := rapid.String()
	e := audit.Entry{
		ID:   uid.Entry(uid.NewSource(func() time.Time { return time.UnixMilli(rapid.Int64Range(0, 1<<46).Draw(t, "ms")) }, zeros{}).New()),
		Time: time.UnixMicro(rapid.Int64().Draw(t, "time")), Org: testOrg,
		Type:          event.Audit(text.Draw(t, "type")),
		Actor:         audit.Actor{Kind: audit.ActorKind(text.Draw(t, "kind")), ID: text.Draw(t, "actor"), Name: text.Draw(t, "name")},
		ClientAddress: text.Draw(t, "address"), UserAgent: text.Draw(t, "agent"),
		Method: text.Draw(t, "method"), Route: text.Draw(t, "route"),
		Resource: audit.Resource{Kind: text.Draw(t, "rkind"), ID: text.Draw(t, "rid")},
		Status:   rapid.Int().Draw(t, "status"), DurationMicros: rapid.Int64().Draw(t, "duration"),
		ClientRequestID: text.Draw(t, "request"), Reason: strings.Repeat(text.Draw(t, "reason"), 20),
		Count: rapid.Int64().Draw(t, "count"),
	}
	copy(e.Salt[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "salt"))
	return e
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestLeafOfAnyEntryParsesBackToItsNormalForm(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := anyEntry(t)
		b := e.Leaf()
		if len(b) > audit.MaxLeaf {
			t.Fatalf("leaf of %d bytes is over MaxLeaf", len(b))
		}
		got, err := audit.ParseLeaf(b)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(e.Sealed(), got); diff != "" {
			t.Fatal(diff)
		}
		if again := e.Normal().Leaf(); !bytes.Equal(again, b) {
			t.Fatal("the normal form has another leaf")
		}
		n := e.Normal()
		if err := audit.CheckCommitments(&got, n.Salt, n.ClientAddress, n.UserAgent, n.Actor.Name); err != nil {
			t.Fatal(err)
		}
	})
}

func TestLeafIsRefusedWhenAnyByteIsCutAddedOrOutOfBounds(t *testing.T) {
	b := entry(1).Leaf()
	for n := range b {
		if _, err := audit.ParseLeaf(b[:n]); err == nil {
			t.Fatalf("a leaf cut to %d bytes was accepted", n)
		}
	}
	if _, err := audit.ParseLeaf(append(bytes.Clone(b), 0)); err == nil {
		t.Error("a trailing byte was accepted")
	}
	for i := range b {
		for _, flip := range []byte{1, 0x80} {
			m := bytes.Clone(b)
			m[i] ^= flip
			l, err := audit.ParseLeaf(m)
			if err == nil && !bytes.Equal(l.Append(nil), m) {
				t.Fatalf("byte %d: an accepted leaf encodes to other bytes", i)
			}
		}
	}
	other := bytes.Clone(b)
	other[0] = 2
	_, err := audit.ParseLeaf(other)
	if f := fault.Of(err); f == nil || f.Code != fault.CodeLogCorrupt || f.Fields[0].Location != "version" {
		t.Errorf("unknown version: %v", err)
	}
}

func TestCommitmentsNameWhatDiffersAndNeverTheValue(t *testing.T) {
	e := entry(7)
	l := e.Sealed()
	err := audit.CheckCommitments(&l, e.Salt, "198.51.100.9", e.UserAgent, "someone else")
	f := fault.Of(err)
	if f == nil {
		t.Fatal("wrong plain text was accepted")
	}
	want := []fault.Field{
		{Location: "clientAddress", Message: "differs from its commitment"},
		{Location: "actorName", Message: "differs from its commitment"},
	}
	if diff := cmp.Diff(want, f.Fields); diff != "" {
		t.Error(diff)
	}
	if strings.Contains(err.Error(), "198.51") {
		t.Error("the error shows a submitted value")
	}
	salt := e.Salt
	salt[0]++
	if audit.CheckCommitments(&l, salt, e.ClientAddress, e.UserAgent, e.Actor.Name) == nil {
		t.Error("a wrong salt was accepted")
	}
}

func TestCommitmentsOfEqualValuesDifferByFieldAndSalt(t *testing.T) {
	e := entry(1)
	e.ClientAddress, e.UserAgent, e.Actor.Name = "x", "x", "x"
	l := e.Sealed()
	e.Salt[3]++
	m := e.Sealed()
	all := map[audit.Hash]bool{
		l.AddressCommit: true, l.AgentCommit: true, l.NameCommit: true,
		m.AddressCommit: true, m.AgentCommit: true, m.NameCommit: true,
	}
	if len(all) != 6 {
		t.Errorf("want 6 different commitments, got %d", len(all))
	}
}

func TestLeafTakesOneAllocation(t *testing.T) {
	e := entry(1)
	if n := testing.AllocsPerRun(100, func() { _ = e.Leaf() }); n > 1 {
		t.Errorf("Leaf allocates %v times", n)
	}
	b := e.Leaf()
	if n := testing.AllocsPerRun(100, func() { _ = audit.LeafHash(b) }); n > 0 {
		t.Errorf("LeafHash allocates %v times", n)
	}
}

type leafVector struct {
	Name          string `json:"name"`
	ID            string `json:"id"`
	TimeMicros    int64  `json:"timeMicros"`
	Org           string `json:"organizationId"`
	Type          string `json:"eventType"`
	ActorKind     string `json:"actorKind"`
	ActorID       string `json:"actorId"`
	ActorName     string `json:"actorName"`
	ClientAddress string `json:"clientAddress"`
	UserAgent     string `json:"userAgent"`
	Method        string `json:"method"`
	Route         string `json:"route"`
	ResourceKind  string `json:"resourceKind"`
	ResourceID    string `json:"resourceId"`
	Status        int    `json:"status"`
	Duration      int64  `json:"durationMicros"`
	RequestID     string `json:"clientRequestId"`
	Reason        string `json:"reason"`
	Count         int64  `json:"count"`
	Salt          string `json:"saltHex"`
	AddressCommit string `json:"clientAddressCommitmentHex"`
	AgentCommit   string `json:"userAgentCommitmentHex"`
	NameCommit    string `json:"actorNameCommitmentHex"`
	Leaf          string `json:"leafHex"`
	LeafHash      string `json:"leafHashHex"`
}

func toLeafVector(name string, e audit.Entry) leafVector {
	e = e.Normal()
	l, h := e.Sealed(), audit.LeafHash(e.Leaf())
	return leafVector{
		Name: name, ID: string(e.ID), TimeMicros: e.Time.UnixMicro(), Org: string(e.Org), Type: string(e.Type),
		ActorKind: string(e.Actor.Kind), ActorID: e.Actor.ID, ActorName: e.Actor.Name, ClientAddress: e.ClientAddress,
		UserAgent: e.UserAgent, Method: e.Method, Route: e.Route, ResourceKind: e.Resource.Kind, ResourceID: e.Resource.ID,
		Status: e.Status, Duration: e.DurationMicros, RequestID: e.ClientRequestID, Reason: e.Reason, Count: e.Count,
		Salt: hex.EncodeToString(e.Salt[:]), AddressCommit: hex.EncodeToString(l.AddressCommit[:]),
		AgentCommit: hex.EncodeToString(l.AgentCommit[:]), NameCommit: hex.EncodeToString(l.NameCommit[:]),
		Leaf: hex.EncodeToString(e.Leaf()), LeafHash: hex.EncodeToString(h[:]),
	}
}

func TestPublishedLeafVectors(t *testing.T) {
	system := audit.Entry{
		ID: "0192f3a0-0000-7000-9000-00000000ffff", Time: time.UnixMicro(-1), Org: uid.System, Type: event.AuthRefused,
		Actor: audit.Actor{Kind: audit.ActorAnonymous}, ClientAddress: "2001:db8::1", Reason: "no valid credential", Count: 4711,
	}
	wide := entry(2)
	wide.Actor.Name, wide.UserAgent, wide.Reason = "Zoë \U0001F511", "", "naïve"
	golden(t, "audit-leaf.json", []leafVector{
		toLeafVector("a request", entry(1)), toLeafVector("a summary in the operator's log, before 1970", system),
		toLeafVector("texts beyond ASCII, an empty user agent", wide),
	})
}

func FuzzParseLeaf(f *testing.F) {
	f.Add(entry(1).Leaf())
	f.Add([]byte{1})
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := audit.ParseLeaf(b)
		if err != nil {
			return
		}
		if got := l.Append(nil); !bytes.Equal(got, b) {
			t.Fatalf("parsed and encoded again:\n%x\nwas:\n%x", got, b)
		}
	})
}

func BenchmarkLeaf(b *testing.B) {
	e := entry(1)
	b.ReportAllocs()
	for b.Loop() {
		_ = e.Leaf()
	}
}

func BenchmarkLeafAndHash(b *testing.B) {
	e := entry(1)
	b.ReportAllocs()
	for b.Loop() {
		_ = audit.LeafHash(e.Leaf())
	}
}
