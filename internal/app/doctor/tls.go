package doctor

import (
	"context"
	"crypto/x509"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"assay.dev/assay/internal/app"
	"assay.dev/assay/internal/config"
	"assay.dev/assay/internal/infra/tls"
	"assay.dev/assay/internal/word/fault"
)

// probeTimeout bounds one handshake.
const probeTimeout = 5 * time.Second

// checkTLS shakes hands with the running server, and says what was agreed on and how the certificate stands.
func checkTLS(ctx context.Context, cfg config.Config, ca string) []Check {
	r, runs, err := app.NewOperator(cfg).Server(ctx)
	switch {
	case err != nil:
		return []Check{{Name: "tls", State: Broken, Detail: fault.Of(err).Text}}
	case !runs:
		return []Check{checkAtRest(cfg)}
	case r.Address == "":
		return []Check{{Name: "tls", State: Good, Detail: "this server has no api role, so it serves nothing"}}
	case r.Proxy != "":
		return checkProxy(ctx, r, cfg, ca)
	case !r.TLS:
		return []Check{{Name: "tls", State: Missing, Detail: "plain HTTP on loopback only, nothing is encrypted; set tls_cert and tls_key or tls_acme_domains, `assay tls self-signed` makes a certificate to try"}}
	}
	roots, err := authorities(cfg, ca)
	if err != nil {
		return []Check{{Name: "tls", State: Broken, Detail: fault.Of(err).Text}}
	}
	checks := shake(ctx, reachable(r.Address), tls.Question{Name: r.Name, Roots: roots, Now: time.Now})
	return append(checks, checkSource(r))
}

// checkAtRest looks at what a server would serve.
func checkAtRest(cfg config.Config) Check {
	c := Check{Name: "tls", State: Missing, Detail: "no server runs on this data folder, so nothing was negotiated"}
	switch {
	case cfg.ACME():
		st, err := tls.Peek(filepath.Join(cfg.Data, app.TLSFolder), cfg.TLSACMEDirectory)
		if err != nil {
			c.Detail += "; the stored certificate can't be read: " + err.Error()
		} else if st.Leaf != nil {
			c.Detail += "; the stored certificate " + validity(st.Leaf.NotAfter, time.Now())
		}
		if st.Problem != "" {
			c.State, c.Detail = Broken, c.Detail+"; "+st.Problem+" ("+st.Cause+")"
		}
	case cfg.TLS():
		f, err := tls.NewFiles(tls.Deps{Now: time.Now}, tls.FilesConfig{Cert: cfg.TLSCert, Key: cfg.TLSKey})
		if err != nil {
			return Check{Name: "tls", State: Broken, Detail: fault.Of(err).Text}
		}
		c.Detail += "; the certificate in the files " + validity(f.State().Leaf.NotAfter, time.Now())
	}
	return c
}

// checkProxy looks at the proxy that stands in front, where the settings say how it is reached.
func checkProxy(ctx context.Context, r app.ServerState, cfg config.Config, ca string) []Check {
	if !r.Trusted {
		return []Check{{Name: "tls", State: Broken, Detail: "behind_tls_proxy is set but trusted_proxies names none, so every request is refused as plain HTTP"}}
	}
	u, err := url.Parse(r.Proxy)
	if err != nil || u.Scheme != "https" {
		return []Check{{Name: "tls", State: Missing, Detail: "a proxy does TLS; set public_url to its https address, and doctor asks it what it negotiates"}}
	}
	address := u.Host
	if u.Port() == "" {
		address = net.JoinHostPort(u.Hostname(), "443")
	}
	roots, err := authorities(cfg, ca)
	if err != nil {
		return []Check{{Name: "tls", State: Broken, Detail: fault.Of(err).Text}}
	}
	checks := shake(ctx, address, tls.Question{Name: u.Hostname(), Roots: roots, Now: time.Now, Legacy: true})
	for i := range checks {
		checks[i].Name += " of the proxy"
	}
	return checks
}

// shake makes one handshake and tells it in two lines.
func shake(ctx context.Context, address string, q tls.Question) []Check {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return []Check{{Name: "tls", State: Broken, Detail: "no connection to the server's own address: " + err.Error()}}
	}
	n, err := tls.Probe(ctx, conn, q)
	if err != nil {
		return []Check{{Name: "tls", State: Broken, Detail: fault.Of(err).Text}}
	}
	return []Check{agreed(n), presented(n, time.Now())}
}

func agreed(n tls.Negotiated) Check {
	c := Check{Name: "tls", State: Good, Data: n}
	kind := "hybrid post-quantum"
	if !n.PostQuantum {
		kind = "not post-quantum"
		c.State = Missing
	}
	c.Detail = fmt.Sprintf("%s, %s, key exchange %s (%s), %s", n.Version, n.CipherSuite, n.KeyExchange, kind, n.Protocol)
	return c
}

func presented(n tls.Negotiated, now time.Time) Check {
	c := Check{Name: "tls certificate", State: Good}
	c.Detail = fmt.Sprintf("%s for %s, issued by %s, %s", n.Subject, strings.Join(n.Names, " "), n.Issuer, validity(n.NotAfter, now))
	switch {
	case n.Expired:
		c.State = Broken
	case !n.ChainValid:
		c.State = Missing
		c.Detail += "; this machine doesn't trust it: " + n.ChainProblem + "; clients need its authority (--ca FILE)"
	default:
		c.Detail += "; the chain is valid"
	}
	return c
}

// checkSource says whether the certificate can be replaced when its time comes.
func checkSource(r app.ServerState) Check {
	c := Check{Name: "tls " + r.Source, State: Good, Detail: "followed when the files change"}
	if r.Source == tls.SourceACME {
		c.Detail = "renewal is due at " + r.Next.UTC().Format(time.RFC3339)
	}
	if r.Problem == "" {
		return c
	}
	c.State, c.Detail = Broken, r.Problem
	if r.Cause != "" {
		c.Detail += " (" + r.Cause + ")"
	}
	if !r.Since.IsZero() {
		c.Detail += "; since " + r.Since.UTC().Format(time.RFC3339)
	}
	if r.Source == tls.SourceACME && !r.Next.IsZero() {
		c.Detail += ", next try at " + r.Next.UTC().Format(time.RFC3339)
	}
	return c
}

func validity(until, now time.Time) string {
	if now.After(until) {
		return "expired at " + until.UTC().Format(time.RFC3339)
	}
	return fmt.Sprintf("expires at %s (%d days)", until.UTC().Format(time.RFC3339), int(until.Sub(now).Hours()/24))
}

// authorities are those that the doctor trusts: those of the file that it is given, else those of `assay tls
// self-signed` where the server's files are its, else the system's.
func authorities(cfg config.Config, ca string) (*x509.CertPool, error) {
	own := filepath.Join(cfg.Data, app.TLSFolder, "ca.pem")
	if ca == "" && exists(own) {
		system, err := x509.SystemCertPool()
		if err != nil {
			system = x509.NewCertPool()
		}
		return system, tls.AddRoots(system, own)
	}
	if ca == "" {
		return nil, nil //nolint:nilnil // what crypto/x509 takes for the system's
	}
	return tls.Roots(ca)
}

// reachable turns an address that is listened on into one that can be called.
func reachable(address string) string {
	ap, err := netip.ParseAddrPort(address)
	if err != nil || !ap.Addr().IsUnspecified() {
		return address
	}
	if ap.Addr().Is4() {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), ap.Port()).String()
	}
	return net.JoinHostPort("localhost", fmt.Sprint(ap.Port())) // a dual-stack listener answers on either
}
