package audit_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"time"

	"filippo.io/mldsa"

	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/uid"
)

const (
	testOrg  uid.Org = "0192f3a0-0000-7000-8000-000000000001"
	otherOrg uid.Org = "0192f3a0-0000-7000-8000-000000000002"
)

func epoch() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 678901000, time.UTC) }

// entry returns the i-th entry of a made-up log.
func entry(i int) audit.Entry {
	e := audit.Entry{
		ID: uid.Entry(fmt.Sprintf("0192f3a0-0000-7000-9000-%012x", i)), Time: epoch().Add(time.Duration(i) * time.Millisecond),
		Org: testOrg, Type: event.ScanSubmitted,
		Actor:         audit.Actor{Kind: audit.ActorKey, ID: "0192f3a0-0000-7000-8000-00000000000a", Name: "ci key"},
		ClientAddress: "192.0.2.17", UserAgent: "curl/8.5.0", Method: "POST", Route: "/scan-api/api/v1/scans",
		Resource: audit.Resource{Kind: "scan", ID: "0192f3a0-0000-7000-8000-00000000000b"},
		Status:   201, DurationMicros: 1234, ClientRequestID: "req-1", Count: 1,
	}
	binary.BigEndian.PutUint64(e.Salt[8:], uint64(i)+1)
	return e
}

// signing returns the key pair of a made-up organization and its public document.
func signing(tb testing.TB, org uid.Org, seed byte) (audit.Signers, audit.Keys) {
	tb.Helper()
	ed := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize))
	pq, err := mldsa.NewPrivateKey(mldsa.MLDSA65(), bytes.Repeat([]byte{seed + 1}, 32))
	if err != nil {
		tb.Fatal(err)
	}
	var s audit.Signers
	if s.Ed25519, err = audit.NewEd25519Signer(audit.Origin(org), ed); err != nil {
		tb.Fatal(err)
	}
	if s.MLDSA, err = audit.NewMLDSASigner(audit.Origin(org), pq); err != nil {
		tb.Fatal(err)
	}
	k1, err := audit.NewKey(org, audit.PurposeLog, audit.Ed25519, ed.Public().(ed25519.PublicKey), epoch())
	if err != nil {
		tb.Fatal(err)
	}
	k2, err := audit.NewKey(org, audit.PurposeLog, audit.MLDSA65, pq.PublicKey().Bytes(), epoch())
	if err != nil {
		tb.Fatal(err)
	}
	return s, audit.NewKeys(org, []audit.Key{k1, k2})
}

// ledger is a log in memory, as the store would keep it.
type ledger struct {
	rows  []audit.Exported
	state audit.Range
	nodes map[audit.NodeID]audit.Hash
}

func newLedger(n int) *ledger {
	l := &ledger{nodes: map[audit.NodeID]audit.Hash{}}
	for i := range n {
		l.append(entry(i))
	}
	return l
}

func (l *ledger) append(e audit.Entry) {
	leaf := e.Leaf()
	h := audit.LeafHash(leaf)
	l.nodes[audit.NodeID{Index: l.state.Size()}] = h
	for _, n := range l.state.Append(nil, h) {
		l.nodes[n.NodeID] = n.Hash
	}
	l.rows = append(l.rows, audit.Exported{ID: e.ID, Leaf: leaf, LeafHash: h, Personal: &audit.Personal{
		Salt: e.Salt, ClientAddress: e.ClientAddress, UserAgent: e.UserAgent, ActorName: e.Actor.Name,
	}})
}

func (l *ledger) source(_ context.Context, ids []audit.NodeID) ([][]byte, error) {
	out := make([][]byte, len(ids))
	for i, id := range ids {
		if h, ok := l.nodes[id]; ok {
			out[i] = h[:]
		}
	}
	return out, nil
}

func (l *ledger) checkpoint() audit.Checkpoint {
	return audit.Checkpoint{Org: testOrg, Size: l.state.Size(), Root: l.state.Root()}
}

// export writes rows from first on under a checkpoint of the whole log.
func (l *ledger) export(tb testing.TB, s audit.Signers, first uint64) []byte {
	tb.Helper()
	before, err := audit.LoadRange(tb.Context(), first, l.source)
	if err != nil {
		tb.Fatal(err)
	}
	signed, err := l.checkpoint().Sign(s)
	if err != nil {
		tb.Fatal(err)
	}
	return l.exportUnder(tb, before, signed)
}

func (l *ledger) exportUnder(tb testing.TB, before audit.Range, signed []byte) []byte {
	tb.Helper()
	var b bytes.Buffer
	w, err := audit.NewExportWriter(&b, testOrg, before, l.source)
	if err != nil {
		tb.Fatal(err)
	}
	for _, x := range l.rows[before.Size():] {
		if err := w.Write(tb.Context(), x); err != nil {
			tb.Fatal(err)
		}
	}
	if err := w.Close(tb.Context(), signed); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

func splitLines(export []byte) []string {
	return strings.Split(strings.TrimSuffix(string(export), "\n"), "\n")
}

func joinLines(lines []string) []byte {
	return []byte(strings.Join(lines, "\n") + "\n")
}
