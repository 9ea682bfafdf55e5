// Package acmetest is a certificate authority for tests: Pebble, the ACME server by which the people of Let's Encrypt test
// clients, in this process and on loopback, with a name server on which every name is this machine.
//
// It really validates: whoever asks it for a certificate must answer its challenges on the ports of Config. It must never
// be part of what ships. Start with Start.
package acmetest

import (
	"encoding/binary"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/letsencrypt/pebble/v2/ca"
	"github.com/letsencrypt/pebble/v2/db"
	"github.com/letsencrypt/pebble/v2/va"
	"github.com/letsencrypt/pebble/v2/wfe"
	"golang.org/x/net/dns/dnsmessage"
)

// answerWithin bounds one question to the name server.
const answerWithin = 30 * time.Second

// Authority is an ACME server: the test server of the people who run Let's Encrypt, in this process, on loopback.
type Authority struct {
	*httptest.Server

	Directory string       // the address that clients are given
	Orders    atomic.Int64 // that were asked for
}

// Config says how an authority is set up. Ports are where it looks for the answers to its challenges.
type Config struct {
	TLSPort, HTTPPort int    // 0 = where nobody answers
	Seconds           uint64 // life of a certificate
	AccountKey        string // external account binding is a must, with this key in base64url for the id "kid-1"
}

// Start starts an authority that ends with the test.
func Start(t *testing.T, c Config) *Authority {
	t.Helper()
	hurry(t)
	quiet := log.New(io.Discard, "", 0)
	store := db.NewMemoryStore()
	if c.AccountKey != "" {
		if err := store.AddExternalAccountKeyByID("kid-1", c.AccountKey); err != nil {
			t.Fatal(err)
		}
	}
	issuer := ca.New(quiet, store, "", "ecdsa", 0, 1, map[string]ca.Profile{"default": {Description: "tests", ValidityPeriod: c.Seconds}})
	validator := va.New(quiet, max(c.HTTPPort, 1), max(c.TLSPort, 1), false, names(t), store)
	front := wfe.New(quiet, store, validator, issuer, []string{"pebble.letsencrypt.org"}, false, c.AccountKey != "", 1, 1)
	handler := front.Handler()
	a := &Authority{}
	a.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/order-plz" {
			a.Orders.Add(1)
		}
		handler.ServeHTTP(w, r)
	}))
	t.Cleanup(a.Close)
	a.Directory = a.URL + wfe.DirectoryPath
	return a
}

// hurry tells the authority to validate without pauses, never without validating, and to refuse no nonce at random. It
// reads that from the environment, where all tests of a process want the same.
func hurry(t *testing.T) {
	t.Helper()
	for name, value := range map[string]string{
		"PEBBLE_VA_NOSLEEP": "1", "PEBBLE_VA_ALWAYS_VALID": "0", "PEBBLE_AUTHZREUSE": "0", "PEBBLE_WFE_NONCEREJECT": "0",
	} {
		if err := os.Setenv(name, value); err != nil { //nolint:usetesting // parallel tests set the same
			t.Fatal(err)
		}
	}
}

// names is a name server on which every name is this machine, and returns its address.
func names(t *testing.T) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go answerName(conn)
		}
	}()
	return l.Addr().String()
}

// answerName answers one question over TCP (RFC 1035 section 4.2.2).
func answerName(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	stop := time.AfterFunc(answerWithin, func() { _ = conn.Close() })
	defer stop.Stop()
	var size [2]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return
	}
	text := make([]byte, binary.BigEndian.Uint16(size[:]))
	if _, err := io.ReadFull(conn, text); err != nil {
		return
	}
	var m dnsmessage.Message
	if m.Unpack(text) != nil || len(m.Questions) != 1 {
		return
	}
	q := m.Questions[0]
	m.Response, m.Additionals = true, nil
	if q.Type == dnsmessage.TypeA {
		m.Answers = []dnsmessage.Resource{{
			Header: dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, TTL: 1}, Body: &dnsmessage.AResource{A: [4]byte{127, 0, 0, 1}},
		}}
	}
	out, err := m.Pack()
	if err != nil {
		return
	}
	_, _ = conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(out))), out...)) //nolint:gosec // the answer to one question
}
