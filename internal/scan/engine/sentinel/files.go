package sentinel

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"sync"

	"golang.org/x/sync/errgroup"

	"assay.dev/assay/internal/scan/engine/sentinel/proof"
	"assay.dev/assay/internal/scan/engine/sentinel/rule"
)

// maxFile is how much of a file is read: enough to prove what it is, too little to carry it off.
const maxFile = 2 << 10

// probeFiles asks one origin for files that shouldn't lie there, and for two that can't, so that a server which has an
// answer for everything is recognised.
func (r *run) probeFiles(ctx context.Context, s *site) filesRecord {
	rec := filesRecord{URL: bareURL(s.base), Addr: s.at.Addr().String(), Port: int(s.at.Port())}
	for _, path := range []string{"/assay-" + r.token() + ".txt", "/.assay-" + r.token() + "/config"} {
		seen, ok := s.file(ctx, path, "")
		if !ok {
			return rec
		}
		rec.Control = append(rec.Control, seen)
	}
	var ask []rule.Candidate
	for _, c := range rule.Candidates() {
		if c.Quick || r.depth.thorough {
			ask = append(ask, c)
		}
	}
	seen, complete := make([]fileSeen, len(ask)), true
	var mu sync.Mutex
	var g errgroup.Group
	g.SetLimit(siteParallel)
	for i, c := range ask {
		g.Go(func() error {
			f, ok := s.file(ctx, c.Path, c.Kind)
			mu.Lock()
			defer mu.Unlock()
			seen[i], complete = f, complete && ok
			return nil
		})
	}
	_ = g.Wait() // every answer is in its place
	for _, f := range seen {
		if f.Status > 0 {
			rec.Seen = append(rec.Seen, f)
		}
	}
	if complete {
		rec.Checked = append(rec.Checked, rule.CheckFiles)
		if r.depth.thorough {
			rec.Checked = append(rec.Checked, rule.CheckMoreFiles)
		}
	}
	return rec
}

// file asks for one path at the origin's root. For a control (no kind) all kinds that its content would prove are
// noted.
func (s *site) file(ctx context.Context, path, kind string) (fileSeen, bool) {
	a, ok := s.send(ctx, http.MethodGet, s.base.ResolveReference(&url.URL{Path: path}), nil, false)
	if !ok {
		return fileSeen{}, false
	}
	f := fileSeen{Path: path, Status: a.status}
	if a.status != http.StatusOK {
		return f, true
	}
	body := a.body[:min(len(a.body), maxFile)]
	sum := sha256.Sum256(body)
	f.Digest = hex.EncodeToString(sum[:])
	if kind != "" {
		f.Proof = proof.Prove(kind, body)
		if f.Proof != "" {
			f.Proves = []string{kind}
		}
		return f, true
	}
	for _, k := range proof.Kinds() {
		if proof.Prove(k, body) != "" {
			f.Proves = append(f.Proves, k)
		}
	}
	return f, true
}
