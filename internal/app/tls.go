package app

import (
	"context"
	"crypto/rand"
	gotls "crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"time"

	"assay.dev/assay/internal/config"
	"assay.dev/assay/internal/infra/egress"
	"assay.dev/assay/internal/infra/tls"
	"assay.dev/assay/internal/web/api/platform"
	"assay.dev/assay/internal/word/fault"
)

// maxStreams bounds the calls that one HTTP/2 connection makes at once.
const maxStreams = 100

// soon is how long before its end a certificate that nobody renews by itself is warned about.
const soon = 14 * 24 * time.Hour

// directoryTimeout bounds one exchange with a certificate authority.
const directoryTimeout = time.Minute

// certificates is where the server's certificate comes from.
type certificates interface {
	ServerConfig(r tls.Rules) *gotls.Config
	State() tls.State
	Reload(ctx context.Context)
	Run(ctx context.Context) error
}

// security is the server's TLS. Its zero value is plain HTTP.
type security struct {
	source     certificates
	challenges net.Listener // for HTTP-01, else nil
	seen       func(group string)
}

// bindChallenges opens the address on which the authority asks over plain HTTP.
func (a *App) bindChallenges(ctx context.Context) (err error) {
	if a.listener == nil || !a.cfg.ACME() || a.cfg.TLSACMEChallenge != config.ChallengeHTTP {
		return nil
	}
	if a.tls.challenges, err = (&net.ListenConfig{}).Listen(ctx, "tcp", a.cfg.TLSACMEHTTPListen); err != nil {
		return fault.New(fault.Unavailable, fault.CodeUnavailable,
			"the address of tls_acme_http_listen can't be served on; port 80 needs a right (CAP_NET_BIND_SERVICE), or take tls-alpn-01").Because(err)
	}
	return nil
}

// secure finds the server's certificate, or the way to get one.
func (a *App) secure(p *parts, own []netip.AddrPort, allow []netip.Prefix) error {
	if !a.cfg.TLS() || a.listener == nil {
		return nil
	}
	d := tls.Deps{Now: a.now, Rand: rand.Reader, Log: a.log}
	if a.cfg.ACME() {
		source, err := a.authority(d, own, allow)
		if err != nil {
			return err
		}
		a.tls.source = source
		if a.tls.challenges != nil {
			p.workers = append(p.workers, part{"acme challenges", a.answerChallenges(source.Challenges(tls.Redirect(a.cfg.URL())))})
		}
	} else {
		source, err := tls.NewFiles(d, tls.FilesConfig{Cert: a.cfg.TLSCert, Key: a.cfg.TLSKey})
		if err != nil {
			return err
		}
		a.tls.source = source
	}
	a.tls.seen = p.metrics.ObserveHandshake
	p.workers = append(p.workers, part{"certificate", a.tls.source.Run})
	p.metrics.Gauge("assay_tls_certificate_days_left", "Days until the served certificate expires; negative once it has, 0 before the first one.",
		func() float64 { return a.tls.source.State().DaysLeft(a.now()) })
	return nil
}

// authority makes the ACME client with a way out of its own, because only it trusts the directory's root.
func (a *App) authority(d tls.Deps, own []netip.AddrPort, allow []netip.Prefix) (_ *tls.ACME, err error) {
	var roots *x509.CertPool
	if a.cfg.TLSACMECA != "" {
		if roots, err = tls.Roots(a.cfg.TLSACMECA); err != nil {
			return nil, err
		}
	}
	c := tls.ACMEConfig{
		Folder: filepath.Join(a.data, TLSFolder), Domains: a.cfg.TLSACMEDomains, Directory: a.cfg.TLSACMEDirectory,
		Email: a.cfg.TLSACMEEmail, HTTP01: a.cfg.TLSACMEChallenge == config.ChallengeHTTP, AccountKeyID: a.cfg.TLSACMEAccountKeyID,
	}
	if a.cfg.TLSACMEAccountMAC != "" {
		if c.AccountMAC, err = tls.AccountMAC(a.cfg.TLSACMEAccountMAC); err != nil {
			return nil, err
		}
	}
	out := egress.NewTransport(egress.TransportConfig{Allow: allow, Excluded: own, Roots: roots})
	return tls.NewACME(tls.ACMEDeps{Deps: d, Sealer: a.sealer, HTTP: out.Client(directoryTimeout)}, c)
}

// answerChallenges serves plain HTTP for the authority, and for readers who have to be sent to https.
func (a *App) answerChallenges(h http.Handler) func(context.Context) error {
	return func(ctx context.Context) error {
		srv := a.server(ctx)
		srv.Handler = h
		stop := context.AfterFunc(ctx, func() { _ = srv.Close() })
		defer stop()
		if err := srv.Serve(a.tls.challenges); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	}
}

// serve answers requests until srv is shut down.
func (a *App) serve(srv *http.Server) (err error) {
	if a.tls.source == nil {
		err = srv.Serve(a.listener)
	} else {
		srv.TLSConfig = a.tls.source.ServerConfig(a.rules())
		srv.HTTP2 = &http.HTTP2Config{MaxConcurrentStreams: maxStreams}
		err = srv.ServeTLS(a.listener, "", "")
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

func (a *App) rules() tls.Rules { return tls.Rules{PQOnly: a.cfg.TLSPQOnly, Seen: a.tls.seen} }

// Reload looks at the certificate's files now, or asks the authority now if a certificate is due. Without TLS it does
// nothing.
func (a *App) Reload(ctx context.Context) {
	if a.tls.source != nil {
		a.tls.source.Reload(ctx)
	}
}

// condition says how the certificate stands. A problem that nobody's client notices yet is a reason beside OK, so that no
// load balancer takes the server out for it.
func (s security) condition(now time.Time) []platform.Condition {
	if s.source == nil {
		return nil
	}
	st := s.source.State()
	c := platform.Condition{Name: "tls", OK: st.Valid(now), Reason: st.Problem}
	left := fmt.Sprintf("the certificate expires in %d days", int(math.Floor(st.DaysLeft(now))))
	switch {
	case st.Temporary:
		c.Reason = "there is no certificate yet: " + st.Problem
	case !c.OK:
		c.Reason = "the certificate has expired"
		if now.Before(st.Leaf.NotBefore) {
			c.Reason = "the certificate isn't valid yet; is this machine's clock right?"
		}
		if st.Problem != "" {
			c.Reason += "; " + st.Problem
		}
	case st.Problem != "":
		c.Reason += "; " + left
	case st.Source == tls.SourceFiles && st.Left(now) < soon:
		c.Reason = left
	}
	return []platform.Condition{c}
}

// status is what GET /api/status tells of it.
func (a *App) tlsStatus() *platform.ServerTLS {
	if a.tls.source == nil {
		return nil
	}
	st := a.tls.source.State()
	v := &platform.ServerTLS{Version: "TLS 1.3", KeyExchanges: a.rules().Groups(), Certificate: st.Source}
	if !st.Temporary {
		v.ExpiresAt = new(st.Leaf.NotAfter.UTC())
	}
	return v
}

// SelfSigned makes a private authority and a certificate for the hosts in the data folder, for a server without a public
// name.
func SelfSigned(cfg config.Config, hosts []string, days int, replace bool) (tls.SelfSigned, error) {
	data, err := filepath.Abs(cfg.Data)
	if err != nil {
		return tls.SelfSigned{}, fmt.Errorf("finding the data folder: %w", err)
	}
	return tls.MakeSelfSigned(tls.Deps{Now: time.Now, Rand: rand.Reader}, tls.SelfSignedOrder{
		Folder: filepath.Join(data, TLSFolder), Hosts: hosts, Days: days, Replace: replace,
	})
}
