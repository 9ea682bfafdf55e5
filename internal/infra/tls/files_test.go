package tls_test

import (
	"context"
	gotls "crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"assay.dev/assay/internal/infra/tls"
	"assay.dev/assay/internal/word/fault"
)

// A changed pair is served to new connections; those that are open neither break nor are opened anew.
func TestReloadDropsNoConnection(t *testing.T) {
	t.Parallel()
	r := newRoot(t)
	p := r.pair(t)
	files := p.open(t, deps(io.Discard))
	var opened atomic.Int64
	address := serve(t, files, tls.Rules{}, func() { opened.Add(1) })
	const callers, reloads = 4, 20
	var all sync.WaitGroup
	stop := make(chan struct{})
	called := make(chan struct{})
	for i := range callers {
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: &gotls.Config{RootCAs: r.pool()}, ForceAttemptHTTP2: i%2 == 0}}
		all.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				resp, err := client.Get("https://" + address)
				if err != nil {
					t.Error(err)
					return
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
				select {
				case <-stop:
				case called <- struct{}{}:
				}
			}
		})
	}
	for range reloads {
		chain, key := r.issue(t, nil)
		p.put(t, chain, key)
		files.Reload(t.Context())
		for range 2 * callers { // calls go on between two changes
			select {
			case <-called:
			case <-time.After(patience):
				t.Fatal("no calls any more")
			}
		}
	}
	close(stop)
	all.Wait()
	if n := opened.Load(); n != callers {
		t.Errorf("%d connections for %d callers", n, callers)
	}
	got, err := shake(t, address, &gotls.Config{RootCAs: r.pool()})
	if err != nil {
		t.Fatal(err)
	}
	if want := files.State().Leaf; !got.PeerCertificates[0].Equal(want) {
		t.Error("a new connection got an old certificate")
	}
}

// One case sets GODEBUG, so these run one after the other.
func TestABrokenPairLeavesTheOldOneInPlace(t *testing.T) {
	r := newRoot(t)
	for name, tc := range map[string]struct {
		spoil func(t *testing.T, p pair)
		want  string
	}{
		"another certificate's key": {func(t *testing.T, p pair) {
			_, key := r.issue(t, nil)
			put(t, p.key, key)
		}, "doesn't belong"},
		"no certificate": {func(t *testing.T, p pair) { put(t, p.cert, []byte("hello")) }, "holds no certificate"},
		"no key":         {func(t *testing.T, p pair) { put(t, p.key, []byte("hello")) }, "holds no private key"},
		"half a certificate": {func(t *testing.T, p pair) {
			text, err := os.ReadFile(p.cert)
			if err != nil {
				t.Fatal(err)
			}
			put(t, p.cert, text[:len(text)/2])
		}, "holds no certificate"},
		"a passphrase": {func(t *testing.T, p pair) {
			put(t, p.key, []byte("-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n"))
		}, "passphrase"},
		"a missing file": {func(t *testing.T, p pair) {
			if err := os.Remove(p.key); err != nil {
				t.Fatal(err)
			}
		}, "doesn't exist"},
		"a key that everybody may read": {func(t *testing.T, p pair) {
			if err := os.Chmod(p.key, 0o644); err != nil {
				t.Fatal(err)
			}
		}, "open to others"},
		"a file that is too large": {func(t *testing.T, p pair) { put(t, p.cert, make([]byte, 300<<10)) }, "256 KiB"},
		"a client's certificate": {func(t *testing.T, p pair) {
			chain, key := r.issue(t, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} })
			p.put(t, chain, key)
		}, "isn't made for servers"},
		"a certificate without names": {func(t *testing.T, p pair) {
			chain, key := r.issue(t, func(c *x509.Certificate) { c.DNSNames, c.IPAddresses = nil, nil })
			p.put(t, chain, key)
		}, "names no host"},
		"a short key": {func(t *testing.T, p pair) {
			chain, key := r.issueFor(t, weakRSA(t), nil)
			p.put(t, chain, key)
		}, "2,048"},
	} {
		t.Run(name, func(t *testing.T) {
			p := r.pair(t)
			out := &logs{}
			files := p.open(t, deps(out))
			old := files.State().Leaf
			good, goodKey := r.issue(t, nil)
			tc.spoil(t, p)
			files.Reload(t.Context())
			files.Reload(t.Context())
			s := files.State()
			if !s.Leaf.Equal(old) {
				t.Error("the old certificate is gone")
			}
			if !strings.Contains(s.Problem, tc.want) || strings.Contains(s.Problem, p.cert) || strings.Contains(s.Problem, p.key) || s.Since.IsZero() {
				t.Errorf("the problem is %q since %s, want it to say %q and no path", s.Problem, s.Since, tc.want)
			}
			if n := strings.Count(out.String(), "can't be served"); n != 1 {
				t.Errorf("told %d times in the log", n)
			}
			if strings.Contains(out.String(), "PRIVATE KEY") {
				t.Error("the log holds a key")
			}
			if _, err := tls.NewFiles(deps(io.Discard), tls.FilesConfig{Cert: p.cert, Key: p.key}); fault.KindOf(err) != fault.Invalid {
				t.Errorf("a server would start with it: %v", err)
			}
			_ = os.Remove(p.key)
			p.put(t, good, goodKey)
			files.Reload(t.Context())
			if s := files.State(); s.Problem != "" || !s.Since.IsZero() || s.Leaf.Equal(old) {
				t.Errorf("mended, and still %q", s.Problem)
			}
		})
	}
}

func TestAKeyThatItsGroupMayReadIsTaken(t *testing.T) {
	t.Parallel()
	p := newRoot(t).pair(t)
	if err := os.Chmod(p.key, 0o640); err != nil {
		t.Fatal(err)
	}
	p.open(t, deps(io.Discard))
}

func TestFilesAreLookedAtEachMinute(t *testing.T) {
	t.Parallel()
	r := newRoot(t)
	p := r.pair(t)
	chain, key := r.issue(t, nil)
	synctest.Test(t, func(t *testing.T) {
		files := p.open(t, deps(io.Discard))
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- files.Run(ctx) }()
		old := files.State().Leaf
		p.put(t, chain, key)
		time.Sleep(59 * time.Second)
		synctest.Wait()
		if !files.State().Leaf.Equal(old) {
			t.Error("looked before its time")
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if files.State().Leaf.Equal(old) {
			t.Error("a minute went by and nobody looked")
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func FuzzPair(f *testing.F) {
	r := newRoot(f)
	chain, key := r.issue(f, nil)
	f.Add(chain, key)
	f.Add([]byte("-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"), key)
	f.Add(append(append([]byte{}, key...), chain...), chain)
	f.Fuzz(func(t *testing.T, chain, key []byte) {
		dir := t.TempDir()
		p := pair{cert: dir + "/c", key: dir + "/k"}
		p.put(t, chain, key)
		files, err := tls.NewFiles(deps(io.Discard), tls.FilesConfig{Cert: p.cert, Key: p.key})
		if err != nil {
			if e := fault.Of(err); e.Kind != fault.Invalid || strings.Contains(e.Text, dir) {
				t.Errorf("%v", err)
			}
			return
		}
		if files.State().Leaf == nil {
			t.Error("a pair without a leaf")
		}
	})
}
