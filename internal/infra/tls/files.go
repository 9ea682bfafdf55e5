package tls

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"assay.dev/assay/internal/word/fault"
)

// lookEvery is how often the files are looked at without being told to.
const lookEvery = time.Minute

// FilesConfig names a pair of files in PEM: the chain, leaf first, and the private key, which may be open to nobody but
// its owner and group.
type FilesConfig struct {
	Cert string
	Key  string
}

// Files serves a certificate from two files and follows their changes. It is safe for concurrent use.
type Files struct {
	d   Deps
	cfg FilesConfig
	now atomic.Pointer[tls.Certificate]

	mu      sync.Mutex
	digest  [sha256.Size]byte // of the files that now came from
	problem *fault.Error      // why the files as they lie there aren't served
	since   time.Time
}

// NewFiles reads the pair. A pair that can't be served is an Invalid fault; one that expired is served all the same.
func NewFiles(d Deps, cfg FilesConfig) (*Files, error) {
	f := &Files{d: d, cfg: cfg}
	pair, digest, err := f.read()
	if err != nil {
		return nil, err
	}
	f.digest = digest
	f.now.Store(pair)
	return f, nil
}

// read reads both files as they are. Content decides, not dates: a pair that was copied with old dates is new too.
func (f *Files) read() (*tls.Certificate, [sha256.Size]byte, error) {
	var digest [sha256.Size]byte
	chain, err := readFile(f.cfg.Cert, "certificate", 0)
	if err != nil {
		return nil, digest, err
	}
	key, err := readFile(f.cfg.Key, "private key", openKey)
	if err != nil {
		return nil, digest, err
	}
	defer clear(key)
	h := sha256.New()
	for _, part := range [][]byte{chain, key} {
		sum := sha256.Sum256(part)
		h.Write(sum[:])
	}
	h.Sum(digest[:0])
	pair, err := parsePair(chain, key)
	return pair, digest, err
}

// ServerConfig returns the configuration of a server under the rules.
func (f *Files) ServerConfig(r Rules) *tls.Config {
	return r.config(f.d.Now, func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return f.now.Load(), nil })
}

// Reload looks at the files now. Connections that are open go on; new ones get the new pair. A pair that can't be served
// leaves the old one in place and is told in the log, once, and in State for as long as it lies there.
func (f *Files) Reload(ctx context.Context) {
	f.mu.Lock()
	defer f.mu.Unlock()
	pair, digest, err := f.read()
	if err != nil {
		f.refuse(ctx, fault.Of(err))
		return
	}
	f.problem, f.since = nil, time.Time{}
	if digest == f.digest {
		return
	}
	f.digest = digest
	f.now.Store(pair)
	f.d.Log.InfoContext(ctx, "certificate changed", slog.Any("names", pair.Leaf.DNSNames),
		slog.Time("not_after", pair.Leaf.NotAfter))
}

// refuse notes why the files aren't served. The caller holds mu.
func (f *Files) refuse(ctx context.Context, why *fault.Error) {
	if f.problem != nil && f.problem.Error() == why.Error() {
		return
	}
	if f.problem == nil {
		f.since = f.d.Now()
	}
	f.problem = why
	f.d.Log.ErrorContext(ctx, "the new certificate can't be served, the old one stays", slog.String("error", why.Error()))
}

// Run looks at the files each minute until ctx ends. It returns nil.
func (f *Files) Run(ctx context.Context) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			f.Reload(ctx)
		}
	}
}

// State implements the sources' contract.
func (f *Files) State() State {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := State{Source: SourceFiles, Leaf: f.now.Load().Leaf, Since: f.since}
	if f.problem != nil {
		s.Problem, s.Cause = f.problem.Text, f.problem.Error()
	}
	return s
}
