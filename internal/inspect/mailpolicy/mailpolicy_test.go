package mailpolicy_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"assay.dev/assay/internal/inspect/mailpolicy"
)

func TestSPFPoliciesAreRead(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]mailpolicy.SPF{
		"v=spf1 -all":                           {All: '-'},
		"v=spf1 a mx include:a.test. ?all +all": {All: '?', Lookups: 3, Includes: []string{"a.test"}},
		"V=SPF1 redirect=b.test":                {Redirect: "b.test", Lookups: 1},
		"v=spf1 ip4:10.0.0.0/8 ip6:2001:db8::/16 ip4:192.0.2.7 +all": {All: '+', Wide: []string{"10.0.0.0/8", "2001:db8::/16"}},
		"v=spf1 ptr a/24 mx:x.test/24 all":                           {All: '+', PTR: true, Lookups: 3},
		"v=spf1 ip4:nonsense foo include: ~all":                      {All: '~', Lookups: 1, Errors: []string{"an address that is none", "an unknown mechanism", "include without a domain"}},
		"v=spf1 exists:%{i}.x.test exp=e.test -all":                  {All: '-', Lookups: 1},
		"v=spf1": {},
	} {
		if !mailpolicy.IsSPF(text) {
			t.Errorf("%q isn't taken for SPF", text)
		}
		if diff := cmp.Diff(want, mailpolicy.ParseSPF(text)); diff != "" {
			t.Errorf("%q (-want +got):\n%s", text, diff)
		}
	}
	for _, text := range []string{"", "v=spf10 -all", "spf1 -all", "google-site-verification=x"} {
		if mailpolicy.IsSPF(text) {
			t.Errorf("%q is taken for SPF", text)
		}
	}
}

func TestDMARCPoliciesAreRead(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]mailpolicy.DMARC{
		"v=DMARC1; p=reject; rua=mailto:d@x.test": {Policy: "reject", Percent: 100, Reports: true},
		"v=DMARC1;p=none;sp=Quarantine;pct=20":    {Policy: "none", Subdomain: "quarantine", Percent: 20},
		"v = DMARC1 ; rua=x.test; p=reject":       {Policy: "reject", Percent: 100, Errors: []string{"p must follow v", "rua holds no URI"}},
		"v=DMARC1; p=deny; pct=200":               {Percent: 100, Errors: []string{"p is none of none, quarantine and reject", "p is missing", "pct is no percentage"}},
		"v=DMARC1":                                {Percent: 100, Errors: []string{"p is missing"}},
	} {
		if !mailpolicy.IsDMARC(text) {
			t.Errorf("%q isn't taken for DMARC", text)
		}
		if diff := cmp.Diff(want, mailpolicy.ParseDMARC(text)); diff != "" {
			t.Errorf("%q (-want +got):\n%s", text, diff)
		}
	}
}

func TestDKIMKeysAreRead(t *testing.T) {
	t.Parallel()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	encoded := base64.StdEncoding.EncodeToString(der)
	for text, want := range map[string]mailpolicy.DKIM{
		"v=DKIM1; k=rsa; p=" + encoded[:80] + " " + encoded[80:]: {Algorithm: "rsa", Bits: 2048},
		"v=DKIM1; t=y:s; h=sha1; p=" + encoded:                   {Algorithm: "rsa", Bits: 2048, Testing: true, SHA1: true},
		"p=":                                                     {Algorithm: "rsa", Revoked: true},
		"v=DKIM1; k=ed25519; p=" + base64.StdEncoding.EncodeToString(make([]byte, 32)): {Algorithm: "ed25519", Bits: 256},
		"v=DKIM1; k=ed25519; p=AAAA": {Algorithm: "ed25519", Bits: 256, Error: "the key hasn't Ed25519's size"},
		"v=DKIM1; p=!!":              {Algorithm: "rsa", Error: "the key isn't base64"},
	} {
		got, ok := mailpolicy.ParseDKIM(text)
		if !ok {
			t.Errorf("%q isn't taken for a key", text)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", text, diff)
		}
	}
	for _, text := range []string{"", "v=spf1 -all", "v=DKIM2; p="} {
		if _, ok := mailpolicy.ParseDKIM(text); ok {
			t.Errorf("%q is taken for a key", text)
		}
	}
}

func TestTransportPoliciesAreRead(t *testing.T) {
	t.Parallel()
	if id, ok := mailpolicy.IsMTASTS("v=STSv1; id=20260101;"); !ok || id != "20260101" {
		t.Errorf("%q %v", id, ok)
	}
	if id, ok := mailpolicy.IsMTASTS("v=STSv1; id=a-b"); !ok || id != "" {
		t.Errorf("%q %v", id, ok)
	}
	if !mailpolicy.IsTLSReport("v=TLSRPTv1; rua=mailto:t@x.test") || mailpolicy.IsTLSReport("v=TLSRPTv1") {
		t.Error("TLS reports are misread")
	}
	p := mailpolicy.ParseSTSPolicy("version: STSv1\r\nmode: enforce\r\nmx: mail.x.test\r\nmx: *.y.test\r\nmax_age: 86400\r\n")
	if p.Error != "" || !p.Covers("MAIL.x.test.") || !p.Covers("a.y.test") || p.Covers("y.test") || p.Covers("a.b.y.test") {
		t.Errorf("%+v", p)
	}
	if p := mailpolicy.ParseSTSPolicy("<html>"); p.Error == "" {
		t.Error("a page is taken for a policy")
	}
}

func FuzzPolicies(f *testing.F) {
	for _, s := range []string{"v=spf1 ip4:1.2.3.4/0 -", "v=DMARC1; p=;;=", "v=DKIM1; p=MIIB", "v=STSv1; id=", "version: STSv1\nmx:"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s := mailpolicy.ParseSPF(text)
		if s.Lookups > 300 || len(s.Errors) > 12 || len(s.Includes) > 300 {
			t.Errorf("out of bounds: %+v", s)
		}
		for _, d := range append(s.Includes, s.Redirect) {
			if strings.ContainsAny(d, " \n\x00") {
				t.Errorf("a name that can't be asked for: %q", d)
			}
		}
		mailpolicy.ParseDMARC(text)
		mailpolicy.ParseDKIM(text)
		mailpolicy.ParseSTSPolicy(text).Covers(text)
		mailpolicy.IsTLSReport(text)
	})
}
