package names_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"

	"assay.dev/assay/internal/scan/engine/sentinel/names"
	"assay.dev/assay/internal/word/fault"
)

// zone is an authoritative server's data: records by name and type.
type zone struct {
	records  map[string][]dns.RR
	transfer bool
	addr     netip.AddrPort
}

func newZone(t *testing.T, lines ...string) *zone {
	t.Helper()
	z := &zone{records: map[string][]dns.RR{}}
	for _, line := range lines {
		rr, err := dns.NewRR(line)
		if err != nil {
			t.Fatal(err)
		}
		z.put(rr)
	}
	return z
}

func (z *zone) put(rr dns.RR) {
	typ := rr.Header().Rrtype
	if sig, ok := rr.(*dns.RRSIG); ok {
		typ = sig.TypeCovered
	}
	key := strings.ToLower(rr.Header().Name) + dns.TypeToString[typ]
	z.records[key] = append(z.records[key], rr)
}

// ServeDNS implements dns.Handler.
func (z *zone) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	m := new(dns.Msg)
	m.SetReply(q)
	name := strings.ToLower(q.Question[0].Name)
	if q.Question[0].Qtype == dns.TypeAXFR {
		if !z.transfer {
			m.Rcode = dns.RcodeRefused
		} else {
			soa := z.records[name+"SOA"][0]
			m.Answer = []dns.RR{soa, z.records[name+"NS"][0], soa}
		}
		_ = w.WriteMsg(m)
		return
	}
	exists := false
	for key := range z.records {
		exists = exists || strings.HasPrefix(key, name) || strings.Contains(key, "."+name)
	}
	for range 8 { // along aliases
		found := z.records[name+dns.TypeToString[q.Question[0].Qtype]]
		m.Answer = append(m.Answer, found...)
		alias := z.records[name+"CNAME"]
		if len(found) > 0 || len(alias) == 0 {
			break
		}
		m.Answer = append(m.Answer, alias...)
		name = alias[0].(*dns.CNAME).Target
		exists = len(z.records[name+"A"]) > 0
	}
	if !exists && len(m.Answer) == len(z.records[name+"CNAME"]) || len(m.Answer) > 0 && !exists && m.Answer[len(m.Answer)-1].Header().Rrtype == dns.TypeCNAME {
		m.Rcode = dns.RcodeNameError
	}
	_ = w.WriteMsg(m)
}

// serve starts the server on loopback, UDP and TCP at one port.
func (z *zone) serve(t *testing.T) {
	t.Helper()
	var lc net.ListenConfig
	tcp, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	z.addr = netip.MustParseAddrPort(tcp.Addr().String())
	udp, err := lc.ListenPacket(t.Context(), "udp", z.addr.String())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []*dns.Server{{Listener: tcp, Handler: z}, {PacketConn: udp, Handler: z}} {
		up := make(chan struct{})
		s.NotifyStartedFunc = func() { close(up) }
		go func() { _ = s.ActivateAndServe() }()
		<-up
		t.Cleanup(func() { _ = s.Shutdown() })
	}
}

// ask is what a resolver does, without the resolving.
func (z *zone) ask(ctx context.Context, query []byte) ([]byte, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "udp", z.addr.String())
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	if _, err := conn.Write(query); err != nil {
		return nil, err
	}
	buf := make([]byte, 65535)
	n, err := conn.Read(buf)
	return buf[:n], err
}

func (z *zone) deps(now time.Time) names.Deps {
	return names.Deps{
		Ask: z.ask, Now: func() time.Time { return now }, Patience: 5 * time.Second, DNSPort: z.addr.Port(),
		Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			if !strings.HasPrefix(address, "127.0.0.1:") {
				return nil, fault.New(fault.Forbidden, fault.CodeTargetForbidden, "outside of the scope")
			}
			return (&net.Dialer{}).DialContext(ctx, network, address)
		},
	}
}

// told returns the issues as "rule discern confidence".
func told(rec names.Record) []string {
	var out []string
	for _, i := range names.Judge(rec) {
		out = append(out, strings.TrimSpace(strings.Join(slices.DeleteFunc([]string{i.Rule, i.Discern, i.Confidence}, func(s string) bool { return s == "" }), " ")))
	}
	return out
}

func look(t *testing.T, z *zone, domain bool) names.Record {
	t.Helper()
	z.serve(t)
	rec := names.Look(t.Context(), z.deps(time.Now()), names.Order{Name: "shop.test", Domain: domain, Thorough: true})
	if !rec.Done {
		t.Errorf("the look isn't complete: %d asked, %d failed, cut %v", rec.Asked, rec.Failed, rec.Cut)
	}
	// What is kept must judge the same after it was written and read.
	b, err := json.Marshal(rec)
	if err != nil {
		t.Fatal(err)
	}
	var again names.Record
	if err := json.Unmarshal(b, &again); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(told(rec), told(again)); diff != "" {
		t.Errorf("judged differently after a round trip:\n%s", diff)
	}
	return rec
}

const basics = "shop.test. 300 IN SOA ns1.shop.test. root.shop.test. 1 2 3 4 5|shop.test. 300 IN A 127.0.0.1|shop.test. 300 IN NS ns1.shop.test.|ns1.shop.test. 300 IN A 127.0.0.1"

func rsaKey(t *testing.T, bits int) string {
	t.Helper()
	t.Setenv("GODEBUG", "rsa1024min=0")
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(der)
}

// txt is a TXT record with a text of any length.
func txt(name, text string) string {
	var parts []string
	for len(text) > 200 {
		parts, text = append(parts, fmt.Sprintf("%q", text[:200])), text[200:]
	}
	return name + " 300 IN TXT " + strings.Join(append(parts, fmt.Sprintf("%q", text)), " ")
}

func TestWeakDomainIsSeenThrough(t *testing.T) {
	lines := append(strings.Split(basics, "|"),
		"shop.test. 300 IN NS ns2.gone.test.",
		"shop.test. 300 IN MX 10 mail.shop.test.", "shop.test. 300 IN MX 20 old.gone.test.", "mail.shop.test. 300 IN A 127.0.0.1",
		txt("shop.test.", "v=spf1 ip4:10.0.0.0/8 include:a.test include:b.test mx a foo +all"),
		txt("a.test.", "v=spf1 a:1.test a:2.test a:3.test a:4.test -all"), txt("b.test.", "v=spf1 a:1.test a:2.test a:3.test include:a.test -all"),
		txt("_dmarc.shop.test.", "v=DMARC1; p=none; pct=50"),
		txt("default._domainkey.shop.test.", "v=DKIM1; p="+rsaKey(t, 512)), txt("google._domainkey.shop.test.", "v=DKIM1; t=y; p="+rsaKey(t, 1024)),
		txt("k1._domainkey.shop.test.", "v=DKIM1; p="), txt("s1._domainkey.shop.test.", "v=DKIM1; p=AAAA"),
		txt("_mta-sts.shop.test.", "v=STSv1; id=bad-id"),
		"dev.shop.test. 300 IN CNAME free.github.io.", "blog.shop.test. 300 IN CNAME nowhere.gone.test.", "www.shop.test. 300 IN A 127.0.0.1",
	)
	z := newZone(t, lines...)
	z.transfer = true
	rec := look(t, z, true)
	want := []string{
		"dns-dangling-ns ns2.gone.test firm", "dns-dangling-mx old.gone.test firm", "dns-takeover dev.shop.test tentative",
		"dns-dangling-cname blog.shop.test firm", "dns-caa-missing", "dnssec-missing", "dns-zone-transfer ns1.shop.test",
		"mail-spf-syntax", "mail-spf-wide", "mail-spf-open", "mail-spf-lookups", "mail-dmarc-none",
		"mail-dkim-weak default", "mail-dkim-short google", "mail-dkim-testing google", "mail-dkim-revoked k1", "mail-dkim-broken s1",
		"mail-tlsrpt-missing", "mail-sts-broken record", "mail-sts-broken policy",
	}
	got := told(rec)
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("issues (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"mail.shop.test", "ns1.shop.test", "www.shop.test"}, names.Names(rec)); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
}

// sign signs a set of the zone by a key.
func (z *zone) sign(t *testing.T, key *dns.DNSKEY, private crypto.Signer, typ uint16, from, to time.Time) {
	t.Helper()
	set := z.records["shop.test."+dns.TypeToString[typ]]
	sig := &dns.RRSIG{
		Hdr: dns.RR_Header{Name: "shop.test.", Rrtype: dns.TypeRRSIG, Class: dns.ClassINET, Ttl: 300}, Algorithm: key.Algorithm, SignerName: "shop.test.",
		KeyTag: key.KeyTag(), Inception: uint32(from.Unix()), Expiration: uint32(to.Unix()),
	}
	if err := sig.Sign(private, set); err != nil {
		t.Fatal(err)
	}
	z.put(sig)
}

func dnskey(t *testing.T, algorithm uint8, bits int) (*dns.DNSKEY, crypto.Signer) {
	t.Helper()
	key := &dns.DNSKEY{Hdr: dns.RR_Header{Name: "shop.test.", Rrtype: dns.TypeDNSKEY, Class: dns.ClassINET, Ttl: 300}, Flags: 257, Protocol: 3, Algorithm: algorithm}
	private, err := key.Generate(bits)
	if err != nil {
		t.Fatal(err)
	}
	signer, ok := private.(crypto.Signer)
	if !ok {
		t.Fatal("the key can't sign")
	}
	return key, signer
}

func TestSoundDomainHasNothing(t *testing.T) {
	lines := append(strings.Split(basics, "|"),
		"shop.test. 300 IN MX 10 mail.shop.test.", "mail.shop.test. 300 IN A 127.0.0.1", `shop.test. 300 IN CAA 0 issue "ca.test"`,
		txt("shop.test.", "v=spf1 mx -all"), txt("shop.test.", "other=text"), txt("_dmarc.shop.test.", "v=DMARC1; p=reject; rua=mailto:d@shop.test"),
		txt("default._domainkey.shop.test.", "v=DKIM1; p="+rsaKey(t, 2048)), txt("_smtp._tls.shop.test.", "v=TLSRPTv1; rua=mailto:t@shop.test"),
		txt("_mta-sts.shop.test.", "v=STSv1; id=1"), "mta-sts.shop.test. 300 IN A 127.0.0.1",
	)
	z := newZone(t, lines...)
	key, private := dnskey(t, dns.ECDSAP256SHA256, 256)
	z.put(key)
	z.put(key.ToDS(dns.SHA256))
	z.sign(t, key, private, dns.TypeDNSKEY, time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	z.sign(t, key, private, dns.TypeSOA, time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	z.serve(t)
	d := z.deps(time.Now())
	d.Roots, d.WebPort = policyServer(t, "version: STSv1\nmode: enforce\nmx: mail.shop.test\nmax_age: 86400\n")
	rec := names.Look(t.Context(), d, names.Order{Name: "shop.test", Domain: true, Thorough: true})
	if got := told(rec); len(got) > 0 || !rec.Done {
		t.Errorf("issues %q, done %v", got, rec.Done)
	}
	if rec.STS == nil || rec.STS.State != "fetched" {
		t.Errorf("policy %+v", rec.STS)
	}
	if len(rec.Transfers) != 1 || rec.Transfers[0].State != "refused" {
		t.Errorf("transfers %+v", rec.Transfers)
	}
}

// policyServer serves an MTA-STS policy with a certificate of the authority that it returns.
func policyServer(t *testing.T, policy string) (*x509.CertPool, uint16) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "x"}, DNSNames: []string{"mta-sts.shop.test"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, tpl, tpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/.well-known/mta-sts.txt" && r.Host == "mta-sts.shop.test" {
			_, _ = w.Write([]byte(policy))
		}
	}))
	s.TLS = &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	s.StartTLS()
	t.Cleanup(s.Close)
	pool := x509.NewCertPool()
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool.AddCert(cert)
	return pool, netip.MustParseAddrPort(s.Listener.Addr().String()).Port()
}

func TestSignaturesAreCheckedNotBelieved(t *testing.T) {
	now := time.Now()
	day := 24 * time.Hour
	for name, tc := range map[string]struct {
		make func(t *testing.T, z *zone)
		want []string
	}{
		"expired": {func(t *testing.T, z *zone) {
			t.Helper()
			key, private := dnskey(t, dns.ECDSAP256SHA256, 256)
			z.put(key)
			z.put(key.ToDS(dns.SHA256))
			z.sign(t, key, private, dns.TypeDNSKEY, now.Add(-9*day), now.Add(-day))
			z.sign(t, key, private, dns.TypeSOA, now.Add(-9*day), now.Add(day))
		}, []string{"dnssec-expired DNSKEY"}},
		"another zone's DS": {func(t *testing.T, z *zone) {
			t.Helper()
			key, private := dnskey(t, dns.ECDSAP256SHA256, 256)
			other, _ := dnskey(t, dns.ECDSAP256SHA256, 256)
			z.put(key)
			z.put(other.ToDS(dns.SHA256))
			z.sign(t, key, private, dns.TypeDNSKEY, now.Add(-day), now.Add(day))
			z.sign(t, key, private, dns.TypeSOA, now.Add(-day), now.Add(day))
		}, []string{"dnssec-broken DS"}},
		"forged": {func(t *testing.T, z *zone) {
			t.Helper()
			key, private := dnskey(t, dns.ECDSAP256SHA256, 256)
			z.put(key)
			z.put(key.ToDS(dns.SHA256))
			z.sign(t, key, private, dns.TypeDNSKEY, now.Add(-day), now.Add(day))
			z.sign(t, key, private, dns.TypeSOA, now.Add(-day), now.Add(day))
			z.records["shop.test.SOA"][0].(*dns.SOA).Serial = 99
		}, []string{"dnssec-broken SOA"}},
		"SHA-1 and a short key, no DS": {func(t *testing.T, z *zone) {
			t.Helper()
			key, private := dnskey(t, dns.RSASHA256, 1024)
			old, _ := dnskey(t, dns.RSASHA1, 1024)
			z.put(key)
			z.put(old)
			z.sign(t, key, private, dns.TypeDNSKEY, now.Add(-day), now.Add(day))
			z.sign(t, key, private, dns.TypeSOA, now.Add(-day), now.Add(day))
		}, []string{"dnssec-short-key", "dnssec-unanchored", "dnssec-weak-algorithm RSASHA1"}},
		"a DS without keys": {func(t *testing.T, z *zone) {
			t.Helper()
			key, _ := dnskey(t, dns.ECDSAP256SHA256, 256)
			z.put(key.ToDS(dns.SHA256))
		}, []string{"dnssec-broken DS"}},
		"a resolver that keeps signatures to itself": {func(t *testing.T, z *zone) {
			t.Helper()
			key, _ := dnskey(t, dns.ECDSAP256SHA256, 256)
			z.put(key)
			z.put(key.ToDS(dns.SHA256))
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			z := newZone(t, strings.Split(basics, "|")...)
			tc.make(t, z)
			var got []string
			for _, i := range told(look(t, z, true)) {
				if strings.HasPrefix(i, "dnssec") {
					if strings.HasPrefix(i, "dnssec-short-key") {
						i = "dnssec-short-key" // its tag is random
					}
					got = append(got, strings.TrimSuffix(i, " firm"))
				}
			}
			slices.Sort(got)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("issues (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSilenceIsNotAbsence(t *testing.T) {
	t.Parallel()
	d := names.Deps{
		Ask: func(context.Context, []byte) ([]byte, error) { return nil, errors.New("no resolver") }, Now: time.Now, Patience: time.Second,
		Dial: func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("no way") },
	}
	rec := names.Look(t.Context(), d, names.Order{Name: "shop.test", Domain: true, Thorough: true})
	if got := told(rec); len(got) > 0 || rec.Done {
		t.Errorf("issues %q, done %v; a dead resolver says nothing", got, rec.Done)
	}
}

func TestServersOutsideTheScopeAreNotSpokenTo(t *testing.T) {
	z := newZone(t, "shop.test. 300 IN SOA ns1.other.test. root.shop.test. 1 2 3 4 5", "shop.test. 300 IN A 127.0.0.1", "shop.test. 300 IN NS ns1.other.test.", "ns1.other.test. 300 IN A 192.0.2.1")
	rec := look(t, z, true)
	if len(rec.Transfers) != 1 || rec.Transfers[0].State != "out_of_scope" {
		t.Errorf("transfers %+v", rec.Transfers)
	}
}

func FuzzAnswers(f *testing.F) {
	m := new(dns.Msg)
	m.SetQuestion("shop.test.", dns.TypeA)
	for _, line := range []string{"shop.test. 300 IN A 127.0.0.1", `shop.test. 300 IN TXT "v=spf1 redirect=shop.test"`, "shop.test. 300 IN CNAME shop.test.", "shop.test. 300 IN DNSKEY 257 3 13 AAAA"} {
		rr, err := dns.NewRR(line)
		if err != nil {
			f.Fatal(err)
		}
		m.Answer = append(m.Answer, rr)
	}
	wire, err := m.Pack()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(wire)
	f.Fuzz(func(t *testing.T, wire []byte) {
		d := names.Deps{
			Ask: func(_ context.Context, q []byte) ([]byte, error) { return wire, nil }, Now: time.Now, Patience: time.Second,
			Dial: func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("no way") },
		}
		rec := names.Look(t.Context(), d, names.Order{Name: "shop.test", Domain: true})
		b, err := json.Marshal(rec)
		if err != nil || len(b) > 250<<10 {
			t.Errorf("a record of %d bytes, %v", len(b), err)
		}
		names.Judge(rec)
	})
}

func FuzzJudge(f *testing.F) {
	f.Add([]byte(`{"name":"shop.test","mail":true,"answers":[{"name":"shop.test","type":"TXT","code":"NOERROR","records":["shop.test. 1 IN TXT \"v=spf1 redirect=shop.test\""]}]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var rec names.Record
		if json.Unmarshal(raw, &rec) != nil {
			return
		}
		for _, i := range names.Judge(rec) {
			if i.Rule == "" {
				t.Error("an issue without a rule")
			}
		}
		names.Names(rec)
	})
}
