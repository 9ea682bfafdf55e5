package names

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/miekg/dns"

	"assay.dev/assay/internal/word/fault"
)

// codeNoName is how an answer says that a name doesn't exist.
const codeNoName = "NXDOMAIN"

// States of transfers and policies.
const (
	stateGiven       = "given"
	stateRefused     = "refused"
	stateOutOfScope  = "out_of_scope"
	stateUnreachable = "unreachable"
	stateUntrusted   = "untrusted"
	stateMissing     = "missing"
	stateFetched     = "fetched"
)

// ask asks one question once. Signatures are wanted, and bad ones too: they are what is judged.
func (l *look) ask(ctx context.Context, name string, typ uint16) Answer {
	key := name + " " + dns.TypeToString[typ]
	if i, known := l.known[key]; known {
		return l.rec.Answers[i]
	}
	a := Answer{Name: name, Type: dns.TypeToString[typ]}
	if _, ok := dns.IsDomainName(name); !ok || ctx.Err() != nil {
		return a
	}
	if l.rec.Asked == maxQuestions {
		l.rec.Cut = true
		return a
	}
	l.rec.Asked++
	m := new(dns.Msg)
	m.SetQuestion(dns.Fqdn(name), typ)
	m.SetEdns0(4096, true)
	m.CheckingDisabled = true
	l.id++
	m.Id = l.id
	if reply := l.exchange(ctx, m); reply != nil {
		a.Code = dns.RcodeToString[reply.Rcode]
		a.Records = l.keep(reply.Answer)
	} else {
		l.rec.Failed++
	}
	l.known[key] = len(l.rec.Answers)
	l.rec.Answers = append(l.rec.Answers, a)
	return a
}

// exchange returns nil where no answer that fits came.
func (l *look) exchange(ctx context.Context, m *dns.Msg) *dns.Msg {
	wire, err := m.Pack()
	if err != nil {
		return nil
	}
	raw, err := l.d.Ask(ctx, wire)
	if err != nil {
		return nil
	}
	reply := new(dns.Msg)
	if reply.Unpack(raw) != nil || reply.Rcode == dns.RcodeServerFailure || reply.Rcode == dns.RcodeRefused ||
		len(reply.Question) == 1 && !strings.EqualFold(reply.Question[0].Name, m.Question[0].Name) {
		return nil
	}
	return reply
}

// keep turns records into their texts, within the bounds.
func (l *look) keep(records []dns.RR) []string {
	var out []string
	for _, rr := range records {
		text := rr.String()
		if len(out) == maxRecords || len(text) > maxText || l.kept+len(text) > maxKept {
			l.rec.Cut = true
			break
		}
		l.kept += len(text)
		out = append(out, text)
	}
	return out
}

// of returns an answer's records of one type.
func of[T dns.RR](a Answer) []T {
	var out []T
	for _, text := range a.Records[:min(len(a.Records), maxRecords)] {
		if len(text) > 2*maxText {
			continue
		}
		if rr, err := dns.NewRR(text); err == nil {
			if t, ok := rr.(T); ok {
				out = append(out, t)
			}
		}
	}
	return out
}

// targets are the names that an answer's NS, MX and CNAME records point at.
func targets(a Answer) []string {
	var out []string
	add := func(name string) {
		name = plainName(name)
		if name != "" && !slices.Contains(out, name) && len(out) < maxServers {
			out = append(out, name)
		}
	}
	for _, rr := range of[*dns.NS](a) {
		add(rr.Ns)
	}
	for _, rr := range of[*dns.MX](a) {
		add(rr.Mx)
	}
	return out
}

func plainName(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }

// texts are an answer's TXT records, their parts joined.
func texts(a Answer) []string {
	var out []string
	for _, rr := range of[*dns.TXT](a) {
		out = append(out, unescape(strings.Join(rr.Txt, "")))
	}
	return out
}

// unescape takes the presentation format's escapes back (RFC 1035 section 5.1).
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			b.WriteByte(s[i])
			continue
		}
		if i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 10, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		i++
		b.WriteByte(s[i])
	}
	return b.String()
}

// found are the addresses that were answered for a name.
func (l *look) found(name string) []netip.Addr {
	var out []netip.Addr
	for _, typ := range []string{"A", "AAAA"} {
		i, ok := l.known[name+" "+typ]
		if !ok {
			continue
		}
		for _, rr := range of[*dns.A](l.rec.Answers[i]) {
			if a, ok := netip.AddrFromSlice(rr.A.To4()); ok {
				out = append(out, a)
			}
		}
		for _, rr := range of[*dns.AAAA](l.rec.Answers[i]) {
			if a, ok := netip.AddrFromSlice(rr.AAAA.To16()); ok {
				out = append(out, a.Unmap())
			}
		}
	}
	return out
}

// transfers asks the zone's servers for the whole zone, where the scope lets them be spoken to.
func (l *look) transfers(ctx context.Context) {
	i, ok := l.known[l.order.Name+" NS"]
	if !ok {
		return
	}
	for _, server := range targets(l.rec.Answers[i]) {
		for _, a := range l.found(server)[:min(len(l.found(server)), 2)] {
			t := Transfer{Server: server, Addr: a.String()}
			t.State, t.Records = l.transfer(ctx, netip.AddrPortFrom(a, l.d.DNSPort))
			l.rec.Transfers = append(l.rec.Transfers, t)
		}
	}
}

// transfer reads the first message of an answer to AXFR (RFC 5936); the rest would be the zone.
func (l *look) transfer(ctx context.Context, at netip.AddrPort) (state string, records int) {
	if l.d.Spares != nil && l.d.Spares(at) {
		return stateOutOfScope, 0
	}
	ctx, cancel := context.WithTimeout(ctx, 2*l.d.Patience)
	defer cancel()
	conn, err := l.d.Dial(ctx, "tcp", at.String())
	if err != nil {
		return stateOf(err), 0
	}
	defer func() { _ = conn.Close() }()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	m := new(dns.Msg)
	m.SetAxfr(dns.Fqdn(l.order.Name))
	l.id++
	m.Id = l.id
	c := &dns.Conn{Conn: conn}
	if err := c.WriteMsg(m); err != nil {
		return stateUnreachable, 0
	}
	reply, err := c.ReadMsg()
	switch {
	case err != nil && reply == nil:
		return stateRefused, 0 // servers also just hang up
	case err != nil, reply.Id != m.Id, reply.Rcode != dns.RcodeSuccess, len(reply.Answer) < 2:
		return stateRefused, 0
	}
	if _, ok := reply.Answer[0].(*dns.SOA); !ok {
		return stateRefused, 0
	}
	return stateGiven, len(reply.Answer)
}

func stateOf(err error) string {
	var f *fault.Error
	if errors.As(err, &f) && f.Kind == fault.Forbidden {
		return stateOutOfScope
	}
	return stateUnreachable
}

// fetchSTS gets the policy of MTA-STS over HTTPS, from the addresses of its host that are in scope (RFC 8461 section
// 3.3: no redirects, and the certificate must hold).
func (l *look) fetchSTS(ctx context.Context, host string) *Policy {
	p := &Policy{State: stateMissing}
	addrs := l.found(host)
	if len(addrs) == 0 {
		return p
	}
	ctx, cancel := context.WithTimeout(ctx, 4*l.d.Patience)
	defer cancel()
	tr := &http.Transport{
		Proxy:           nil, // the scan's dialer is the only way out
		TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: l.d.Roots, Time: l.d.Now},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return l.d.Dial(ctx, network, netip.AddrPortFrom(addrs[0], l.d.WebPort).String())
		},
		MaxResponseHeaderBytes: 32 << 10, DisableKeepAlives: true, ResponseHeaderTimeout: 2 * time.Second,
	}
	defer tr.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+host+"/.well-known/mta-sts.txt", nil)
	if err != nil {
		return p
	}
	resp, err := tr.RoundTrip(req)
	if err != nil {
		p.State = stateOf(err)
		if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
			p.State = stateUntrusted
		}
		return p
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return p
	}
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 16<<10)) // one that breaks off is judged by what came
	p.State, p.Text = stateFetched, strings.ToValidUTF8(string(body), "")
	return p
}
