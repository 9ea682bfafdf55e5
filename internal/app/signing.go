package app

import (
	"context"
	"encoding/json"
	"io"
	"sync"
	"time"

	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/infra/keys"
	"assay.dev/assay/internal/infra/store"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/uid"
)

// keepKeys is how long opened signing keys are kept in memory before they are read again, so that a rotation on
// another node is noticed.
const keepKeys = time.Minute

// signing signs checkpoints and publishes the keys that verify them. It is safe for concurrent use.
type signing struct {
	store  *store.Store
	sealer *keys.Sealer
	now    func() time.Time

	mu    sync.Mutex
	known map[uid.Org]opened
}

type opened struct {
	at       time.Time
	document audit.Keys
	signers  audit.Signers
}

func newSigning(s *store.Store, sealer *keys.Sealer, now func() time.Time) *signing {
	return &signing{store: s, sealer: sealer, now: now, known: map[uid.Org]opened{}}
}

func (s *signing) open(ctx context.Context, org uid.Org) (opened, error) {
	s.mu.Lock()
	k, ok := s.known[org]
	s.mu.Unlock()
	if ok && s.now().Sub(k.at) < keepKeys {
		return k, nil
	}
	sealed, err := s.store.Tenants().SealedSigningKeys(ctx, org)
	if err != nil {
		return opened{}, err
	}
	var history []keys.Pair
	if err := json.Unmarshal(sealed, &history); err != nil {
		return opened{}, fault.New(fault.Internal, fault.CodeInternal, "the organization's signing keys can't be read").Because(err)
	}
	pair, err := keys.Current(history, org, audit.PurposeLog)
	if err != nil {
		return opened{}, err
	}
	k = opened{at: s.now(), document: keys.Document(history, org)}
	if k.signers, err = pair.Open(s.sealer); err != nil {
		return opened{}, err
	}
	s.mu.Lock()
	s.known[org] = k
	s.mu.Unlock()
	return k, nil
}

func (s *signing) signers(ctx context.Context, org uid.Org) (audit.Signers, error) {
	k, err := s.open(ctx, org)
	return k.signers, err
}

// Keys returns the organization's verification keys with their history.
func (s *signing) Keys(ctx context.Context, org uid.Org) (audit.Keys, error) {
	k, err := s.open(ctx, org)
	return k.document, err
}

// Checkpoint signs the log's present state.
func (s *signing) Checkpoint(ctx context.Context, org uid.Org) ([]byte, error) {
	signers, err := s.signers(ctx, org)
	if err != nil {
		return nil, err
	}
	edge, err := s.store.LogRange(ctx, org)
	if err != nil {
		return nil, err
	}
	return audit.Checkpoint{Org: org, Size: edge.Size(), Root: edge.Root()}.Sign(signers)
}

// Export writes the organization's log, from the first entry that retention has left on, with a fresh checkpoint over
// exactly what was written.
func (s *signing) Export(ctx context.Context, org uid.Org, w io.Writer) error {
	signers, err := s.signers(ctx, org)
	if err != nil {
		return err
	}
	edge, err := s.store.LogRange(ctx, org)
	if err != nil {
		return err
	}
	first, _, err := s.store.LogFirst(ctx, org)
	if err != nil {
		return err
	}
	nodes := s.store.LogNodes(org)
	before, err := audit.LoadRange(ctx, first, nodes)
	if err != nil {
		return err
	}
	out, err := audit.NewExportWriter(w, org, before, nodes)
	if err != nil {
		return err
	}
	err = s.store.EachLogged(ctx, org, first, edge.Size(), func(l store.Logged) error { return out.Write(ctx, l.Exported) })
	if err != nil {
		return err
	}
	checkpoint, err := audit.Checkpoint{Org: org, Size: edge.Size(), Root: edge.Root()}.Sign(signers)
	if err != nil {
		return err
	}
	return out.Close(ctx, checkpoint)
}
