package tls

import (
	"crypto/tls"
	"errors"
	"net/http"
	"strings"
	"sync"

	"golang.org/x/crypto/acme"
)

// challenges are the questions of the authority that are open now. The zero value is ready.
type challenges struct {
	mu    sync.RWMutex
	pairs map[string]*tls.Certificate // by domain: TLS-ALPN-01
	texts map[string]string           // by path: HTTP-01
}

func (c *challenges) offerPair(domain string, pair *tls.Certificate) (done func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pairs == nil {
		c.pairs = map[string]*tls.Certificate{}
	}
	c.pairs[domain] = pair
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.pairs, domain)
	}
}

func (c *challenges) offerText(path, text string) (done func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.texts == nil {
		c.texts = map[string]string{}
	}
	c.texts[path] = text
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.texts, path)
	}
}

// configFor answers a validation handshake, which offers acme-tls/1 and nothing else (RFC 8737 section 3), and leaves
// every other to the server's own configuration. No user's data goes over it, so the authority may use any group.
func (c *challenges) configFor(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	if len(hello.SupportedProtos) != 1 || hello.SupportedProtos[0] != acme.ALPNProto {
		return nil, nil //nolint:nilnil // what crypto/tls takes for "go on as you were"
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	pair := c.pairs[strings.ToLower(strings.TrimSuffix(hello.ServerName, "."))]
	if pair == nil {
		return nil, errors.New("no validation is open for this name")
	}
	return &tls.Config{MinVersion: tls.VersionTLS13, NextProtos: []string{acme.ALPNProto}, Certificates: []tls.Certificate{*pair}}, nil
}

func (c *challenges) handler(other http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.mu.RLock()
		text, ok := c.texts[r.URL.Path]
		c.mu.RUnlock()
		if !ok || r.Method != http.MethodGet {
			other.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/octet-stream")
		_, _ = w.Write([]byte(text))
	})
}

// Redirect sends readers of plain HTTP to base (https://host). A call that may have come with a credential or a body is
// refused instead: it has leaked already, and its owner should notice.
func Redirect(base string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := r.Header
		w.Header().Set("Cache-Control", "no-store")
		safe := r.Method == http.MethodGet || r.Method == http.MethodHead
		if !safe || h.Get("Authorization") != "" || h.Get("X-API-Key") != "" || h.Get("Cookie") != "" {
			http.Error(w, "plain HTTP isn't served here; use https, and replace a credential that was sent over this connection", http.StatusBadRequest)
			return
		}
		w.Header().Set("Location", base+r.URL.RequestURI())
		w.WriteHeader(http.StatusMovedPermanently)
	})
}
