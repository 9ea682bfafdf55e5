package tls

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"net/http"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/uid"
)

// Sealer keeps private keys closed at rest; keys.Sealer is one.
type Sealer interface {
	Seal(org uid.Org, record string, plaintext []byte) ([]byte, error)
	Open(org uid.Org, record string, sealed []byte) ([]byte, error)
}

// ACMEConfig says which certificate is asked of whom (RFC 8555).
type ACMEConfig struct {
	Folder    string   // DIR/tls; made with mode 0700
	Domains   []string // one certificate names them all; the first one is the server's own
	Directory string   // the authority's directory, https
	Email     string   // where the authority writes to; may be empty
	HTTP01    bool     // prove control over port 80 (Challenges) instead of in the TLS handshake (TLS-ALPN-01, RFC 8737)

	// External account binding, where the authority wants one.
	AccountKeyID string
	AccountMAC   []byte
}

// ACMEDeps is what ACME needs beside Deps. All are required.
type ACMEDeps struct {
	Deps

	Sealer Sealer
	HTTP   *http.Client // the way to the directory
}

// ACME serves a certificate that it gets, and renews in the last third of its life. Before the first one it serves a
// stand-in; later, the last good one. It is safe for concurrent use.
type ACME struct {
	d     ACMEDeps
	cfg   ACMEConfig
	files safe
	tests challenges
	now   atomic.Pointer[served]
	wake  chan struct{}

	mu     sync.Mutex
	status status
}

// served is a certificate, or the stand-in for one.
type served struct {
	pair      *tls.Certificate
	temporary bool
}

// status is what outlives a restart; `assay doctor` reads it from DIR/tls too.
type status struct {
	LastTry     time.Time `json:"lastTry,omitzero"`
	LastSuccess time.Time `json:"lastSuccess,omitzero"`
	NextTry     time.Time `json:"nextTry,omitzero"`
	Failures    int       `json:"failures"` // in a row
	FailingFrom time.Time `json:"failingFrom,omitzero"`
	Problem     string    `json:"problem,omitempty"`
	Cause       string    `json:"cause,omitempty"`
}

// NewACME opens the folder and what it holds; nothing is asked of the directory before Run.
func NewACME(d ACMEDeps, cfg ACMEConfig) (*ACME, error) {
	files, err := openSafe(cfg.Folder, cfg.Directory, d.Sealer)
	if err != nil {
		return nil, err
	}
	a := &ACME{d: d, cfg: cfg, files: files, wake: make(chan struct{}, 1)}
	a.status = files.status()
	if a.status.Failures > 0 && a.status.NextTry.After(a.status.LastTry.Add(restartPause)) {
		a.status.NextTry = a.status.LastTry.Add(restartPause) // a restart may mean that the cause was mended
	}
	pair, err := files.certificate()
	if err == nil && pair != nil {
		a.now.Store(&served{pair: pair})
		return a, nil
	}
	if err != nil {
		a.status.Problem, a.status.Cause = "the stored certificate can't be read; a new one is being asked for", err.Error()
	}
	stand, err := temporary(d.Deps, cfg.Domains)
	if err != nil {
		return nil, err
	}
	a.now.Store(&served{pair: stand, temporary: true})
	return a, nil
}

// ServerConfig returns the configuration of a server under the rules. It answers the authority's questions by itself.
func (a *ACME) ServerConfig(r Rules) *tls.Config {
	c := r.config(a.d.Now, func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return a.now.Load().pair, nil })
	c.GetConfigForClient = a.tests.configFor
	return c
}

// Challenges answers HTTP-01 (RFC 8555 section 8.3), and what else is asked for by other.
func (a *ACME) Challenges(other http.Handler) http.Handler { return a.tests.handler(other) }

// State implements the sources' contract.
func (a *ACME) State() State {
	served := a.now.Load()
	a.mu.Lock()
	defer a.mu.Unlock()
	s := State{
		Source: SourceACME, Leaf: served.pair.Leaf, Temporary: served.temporary,
		Problem: a.status.Problem, Cause: a.status.Cause, Since: a.status.FailingFrom, Next: a.status.NextTry,
	}
	if s.Next.IsZero() && !served.temporary {
		s.Next = renewal(served.pair)
	}
	if s.Temporary && s.Problem == "" {
		s.Problem = "the first certificate is being asked for"
	}
	return s
}

// Peek returns the state that an ACME server left in its folder, the certificate without its key. It is for `assay
// doctor`, which has no master key. Where there is nothing, Leaf is nil.
func Peek(path, directory string) (State, error) {
	f := safe{folder: folder(safePath(path, directory))}
	s := f.status()
	leaf, err := f.leaf()
	return State{
		Source: SourceACME, Leaf: leaf, Problem: s.Problem, Cause: s.Cause, Since: s.FailingFrom, Next: s.NextTry,
	}, err
}

// safePath is the folder of one authority's things, so that those of a test directory never mix with the real one's.
func safePath(path, directory string) string {
	sum := sha256.Sum256([]byte(directory))
	return filepath.Join(path, "acme-"+hex.EncodeToString(sum[:6]))
}

// maxCause bounds what is kept of an authority's words, in bytes.
const maxCause = 600

func bounded(s string) string {
	if len(s) > maxCause {
		return s[:maxCause] + "…"
	}
	return s
}

// refusal makes a fault for everybody of what the authority said; the cause is for the operator.
func refusal(text string, cause error) *fault.Error {
	return fault.New(fault.Unavailable, fault.CodeUnavailable, text).Because(cause)
}
