package sentinel

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/netip"
	"slices"

	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/scan/engine/sentinel/rule"
)

// maxChain bounds how many certificates of a chain are kept, and their size.
const (
	maxChain = 6
	maxCert  = 16 << 10
)

// shake is how one handshake ended.
type shake uint8

const (
	shaken   shake = iota // agreed: the state is valid
	declined              // the peer speaks TLS, or hung up on the offer
	foreign               // the peer answered something else
	unheard               // no connection, or no answer in time: says nothing
)

// handshake offers cfg and returns what was agreed. The certificate isn't trusted: judging it is the purpose.
func (r *run) handshake(ctx context.Context, at netip.AddrPort, cfg *tls.Config) (tls.ConnectionState, shake) {
	ctx, cancel := context.WithTimeout(ctx, 2*r.depth.patience+r.depth.listen)
	defer cancel()
	conn, err := r.dial(ctx, at)
	if err != nil {
		return tls.ConnectionState{}, unheard
	}
	defer func() { _ = conn.Close() }()
	var state tls.ConnectionState
	var agreed bool
	cfg.ServerName = r.req.Target.Host()
	cfg.InsecureSkipVerify = true // a scanner must get to see certificates that don't verify
	cfg.VerifyConnection = func(s tls.ConnectionState) error {
		// Kept here, because a server that wants a client certificate breaks off later.
		state, agreed = s, true
		return nil
	}
	err = tls.Client(conn, cfg).HandshakeContext(ctx)
	var notTLS tls.RecordHeaderError
	var wait net.Error
	switch {
	case agreed:
		return state, shaken
	case errors.As(err, &notTLS):
		return state, foreign
	case ctx.Err() != nil, errors.As(err, &wait) && wait.Timeout():
		return state, unheard
	}
	return state, declined
}

// permissive offers everything this library knows, so that the oldest server finds something.
func permissive() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS10, CipherSuites: allSuites()} //nolint:gosec // see handshake
}

func allSuites() []uint16 {
	var out []uint16
	for _, s := range slices.Concat(tls.CipherSuites(), tls.InsecureCipherSuites()) {
		out = append(out, s.ID)
	}
	return out
}

// speaksTLS reports whether the port does TLS at all.
func (r *run) speaksTLS(ctx context.Context, at netip.AddrPort) bool {
	ctx, cancel := context.WithTimeout(ctx, r.depth.patience+r.depth.listen)
	defer cancel()
	conn, err := r.dial(ctx, at)
	if err != nil {
		return false
	}
	defer func() { _ = conn.Close() }()
	cfg := permissive()
	cfg.ServerName, cfg.InsecureSkipVerify = r.req.Target.Host(), true
	err = tls.Client(conn, cfg).HandshakeContext(ctx)
	var op *net.OpError
	// An alert of the peer's is an answer in TLS; end of file and resets are not.
	return err == nil || errors.As(err, &op) && op.Op == "remote error"
}

// withinTLS finds out what speaks inside.
func (r *run) withinTLS(ctx context.Context, at netip.AddrPort) service {
	ctx, cancel := context.WithTimeout(ctx, 2*r.depth.patience+r.depth.listen)
	defer cancel()
	s := service{Name: "tls", TLS: true}
	conn, err := r.dial(ctx, at)
	if err != nil {
		return s
	}
	defer func() { _ = conn.Close() }()
	cfg := permissive()
	cfg.ServerName, cfg.InsecureSkipVerify = r.req.Target.Host(), true
	said := r.converse(ctx, tls.Client(conn, cfg), "GET / HTTP/1.1\r\nHost: "+r.hostHeader(at)+"\r\nConnection: close\r\n\r\n", maxSaid)
	if inner := recognise(said); inner.Name != "" && inner.Name != "tls" {
		s = inner
		s.TLS, s.NoTLS = true, false
	}
	return s
}

// probeTLS asks one port which versions, weak suites and post-quantum groups it takes and keeps its certificates. Each
// check that was answered throughout is named in Checked.
func (r *run) probeTLS(ctx context.Context, at netip.AddrPort) tlsRecord {
	rec := tlsRecord{Addr: at.Addr().String(), Port: int(at.Port()), Name: r.req.Target.Host(), At: r.env.Now().UTC()}
	versions, states, heard := r.tlsVersions(ctx, at)
	var state tls.ConnectionState
	for i, v := range versions {
		state = states[i] // the newest one's counts
		rec.Versions = append(rec.Versions, tls.VersionName(v))
		a := agreed{Version: tls.VersionName(v), Suite: tls.CipherSuiteName(state.CipherSuite)}
		if state.CurveID != 0 {
			a.Group = state.CurveID.String()
		}
		rec.Agreed = append(rec.Agreed, a)
	}
	if heard && len(versions) > 0 {
		rec.Checked = append(rec.Checked, rule.CheckVersions)
	}
	for i, c := range state.PeerCertificates {
		if i < maxChain && len(c.Raw) <= maxCert {
			rec.Chain = append(rec.Chain, c.Raw)
		}
	}
	if len(rec.Chain) > 0 {
		rec.Trust = trust(state.PeerCertificates, r)
		rec.Checked = append(rec.Checked, rule.CheckCertificate)
	}
	if kex, ok := r.tlsQuantum(ctx, at, versions); ok && heard {
		rec.KEX, rec.Checked = kex, append(rec.Checked, rule.CheckKEX)
	}
	if r.depth.thorough && len(versions) > 0 {
		rec.Groups = r.tlsGroups(ctx, at, rec.KEX)
		if suites, ok := r.tlsSuites(ctx, at, versions); ok && heard {
			rec.Suites, rec.Checked = suites, append(rec.Checked, rule.CheckSuites)
		}
	}
	return rec
}

// tlsGroups offers the groups of key exchange one by one and returns the accepted ones.
func (r *run) tlsGroups(ctx context.Context, at netip.AddrPort, quantum string) []string {
	var out []string
	ask := []tls.CurveID{tls.X25519, tls.CurveP256, tls.CurveP384, tls.CurveP521}
	if quantum != "" {
		ask = append([]tls.CurveID{tls.X25519MLKEM768, tls.SecP256r1MLKEM768, tls.SecP384r1MLKEM1024}, ask...)
	}
	for _, group := range ask {
		cfg := permissive()
		cfg.MinVersion, cfg.CurvePreferences = tls.VersionTLS12, []tls.CurveID{group}
		if s, how := r.handshake(ctx, at, cfg); how == shaken && s.CurveID == group {
			out = append(out, group.String())
		}
	}
	return out
}

// tlsVersions offers each version alone, oldest first, and returns the accepted ones with their states. heard is false
// when an offer went unanswered.
func (r *run) tlsVersions(ctx context.Context, at netip.AddrPort) (accepted []uint16, states []tls.ConnectionState, heard bool) {
	heard = true
	for _, v := range []uint16{tls.VersionTLS10, tls.VersionTLS11, tls.VersionTLS12, tls.VersionTLS13} {
		cfg := permissive()
		cfg.MinVersion, cfg.MaxVersion = v, v
		s, how := r.handshake(ctx, at, cfg)
		switch how {
		case shaken:
			accepted, states = append(accepted, v), append(states, s)
		case unheard:
			heard = false
		case declined, foreign:
		}
	}
	return accepted, states, heard
}

// tlsQuantum offers nothing but hybrid post-quantum groups. They exist in TLS 1.3 only.
func (r *run) tlsQuantum(ctx context.Context, at netip.AddrPort, versions []uint16) (group string, ok bool) {
	if !slices.Contains(versions, tls.VersionTLS13) {
		return "", len(versions) > 0
	}
	s, how := r.handshake(ctx, at, &tls.Config{
		MinVersion:       tls.VersionTLS13,
		CurvePreferences: []tls.CurveID{tls.X25519MLKEM768, tls.SecP256r1MLKEM768, tls.SecP384r1MLKEM1024},
	})
	if how == shaken {
		return s.CurveID.String(), true
	}
	return "", how != unheard
}

// tlsSuites offers the weak suites of TLS 1.2 and below, takes away what the server chose and offers the rest, until
// it declines: then every accepted one is known.
func (r *run) tlsSuites(ctx context.Context, at netip.AddrPort, versions []uint16) (accepted []string, ok bool) {
	if versions[0] == tls.VersionTLS13 {
		return nil, true // its suites are all sound
	}
	offer := weakSuites()
	for len(offer) > 0 {
		s, how := r.handshake(ctx, at, &tls.Config{
			MinVersion: versions[0], MaxVersion: tls.VersionTLS12, CipherSuites: offer,
		})
		i := slices.Index(offer, s.CipherSuite)
		if how == unheard {
			return accepted, false
		}
		if how != shaken || i < 0 {
			break
		}
		accepted = append(accepted, tls.CipherSuiteName(s.CipherSuite))
		offer = slices.Delete(offer, i, i+1)
	}
	slices.Sort(accepted)
	return accepted, true
}

// weakSuites are those that are broken or lack forward secrecy; see weakness in judge_tls.go.
func weakSuites() []uint16 {
	var out []uint16
	for _, s := range slices.Concat(tls.CipherSuites(), tls.InsecureCipherSuites()) {
		if broken, noSecrecy := weakness(s.Name); broken != "" || noSecrecy {
			out = append(out, s.ID)
		}
	}
	return out
}

// Verdicts of the machine's own roots on a chain.
const (
	trusted   = "trusted"
	untrusted = "unknown_authority"
)

// trust asks the system's roots, "" where they can't tell.
func trust(chain []*x509.Certificate, r *run) string {
	between := x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{Intermediates: between, CurrentTime: r.env.Now()})
	var unknown x509.UnknownAuthorityError
	switch {
	case err == nil:
		return trusted
	case errors.As(err, &unknown):
		return untrusted
	}
	return ""
}

// hostHeader is how a request names the place: the target's name, or the address.
func (r *run) hostHeader(at netip.AddrPort) string {
	if h := r.req.Target.Host(); h != "" {
		return net.JoinHostPort(h, portText(at))
	}
	return at.String()
}

func portText(at netip.AddrPort) string {
	_, port, _ := net.SplitHostPort(at.String())
	return port
}

var _ engine.Engine = sentinel{}
