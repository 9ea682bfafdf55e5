package sentinel

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/scan/finding"
	"assay.dev/assay/internal/testkit/targets"
	"assay.dev/assay/internal/word/fault"
)

// resolver answers from a few records, as a resolver would.
func resolver(t *testing.T, lines ...string) func(context.Context, []byte) ([]byte, error) {
	t.Helper()
	records := map[string][]dns.RR{}
	for _, line := range lines {
		rr, err := dns.NewRR(line)
		if err != nil {
			t.Fatal(err)
		}
		key := rr.Header().Name + dns.TypeToString[rr.Header().Rrtype]
		records[key] = append(records[key], rr)
	}
	return func(_ context.Context, query []byte) ([]byte, error) {
		q := new(dns.Msg)
		if err := q.Unpack(query); err != nil {
			return nil, err
		}
		m := new(dns.Msg)
		m.SetReply(q)
		name := q.Question[0].Name
		m.Answer = records[name+dns.TypeToString[q.Question[0].Qtype]]
		known := false
		for key := range records {
			known = known || strings.HasPrefix(key, name)
		}
		if !known {
			m.Rcode = dns.RcodeNameError
		}
		return m.Pack()
	}
}

func domainRecords() []string {
	return []string{
		"shop.test. 60 IN A 127.0.0.1", "shop.test. 60 IN NS ns1.shop.test.", "ns1.shop.test. 60 IN A 127.0.0.1", "shop.test. 60 IN SOA ns1.shop.test. x.shop.test. 1 2 3 4 5",
		"shop.test. 60 IN MX 10 mail.shop.test.", "mail.shop.test. 60 IN A 127.0.0.1", `shop.test. 60 IN TXT "v=spf1 mx +all"`, `_dmarc.shop.test. 60 IN TXT "v=DMARC1; p=none"`,
	}
}

func rules(found []finding.Observation, prefixes ...string) []string {
	var out []string
	for _, o := range found {
		for _, p := range prefixes {
			if strings.HasPrefix(o.Rule, "sentinel:"+p) {
				out = append(out, strings.TrimSpace(strings.TrimPrefix(o.Rule, "sentinel:")+" "+o.Discern))
			}
		}
	}
	return out
}

func TestDomainIsLookedAtInTheDNSAndAtItsPorts(t *testing.T) {
	w := weakTarget(t)
	port := strconv.Itoa(int(w.Addr("ssh").Port()))
	req := orderOf(t, "shop.test", asset.TypeDomain, map[string]string{"ports": strconv.Quote(port)})
	got := scanIn(t.Context(), t, req, 0, func(e *engine.Env) { e.DNS = resolver(t, domainRecords()...) })
	if got.verdict.Outcome != engine.Complete {
		t.Errorf("outcome %s %q, want complete", got.verdict.Outcome, got.verdict.Reasons)
	}
	want := []string{"dns-caa-missing", "dnssec-missing", "mail-dmarc-none", "mail-spf-open", "mail-sts-missing", "mail-tlsrpt-missing"}
	if diff := cmp.Diff(want, rules(got.findings, "dns", "mail")); diff != "" {
		t.Errorf("findings about the name (-want +got):\n%s", diff)
	}
	for _, rule := range []string{"sentinel:mail-spf-open", "sentinel:dnssec-missing", "sentinel:dns-takeover"} {
		if !got.coverage.Covers(rule, finding.Location{Host: "shop.test"}) {
			t.Errorf("%s isn't covered", rule)
		}
	}
	if got.coverage.Covers("sentinel:secret-known", finding.Location{Host: "shop.test"}) {
		t.Error("a rule for trees is covered at a name")
	}
	kinds := map[asset.Kind]int{}
	for _, a := range got.assets {
		kinds[a.Kind]++
	}
	if kinds[asset.KindDomain] != 1 || kinds[asset.KindHost] < 2 {
		t.Errorf("assets by kind: %v", kinds)
	}
	if !slices.ContainsFunc(got.verdict.Looked.Targets, func(l engine.TargetLook) bool {
		return l.Target == "shop.test (DNS)" && l.State == engine.LookReached && strings.Contains(l.Reason, "questions")
	}) {
		t.Errorf("looked %+v; want the questions counted", got.verdict.Looked)
	}
}

func TestPortsOfANameSayNothingOfItsRecords(t *testing.T) {
	w := weakTarget(t)
	port := strconv.Itoa(int(w.Addr("ssh").Port()))
	req := orderOf(t, "shop.test", asset.TypeDomain, map[string]string{"ports": strconv.Quote("1," + port), "probes": `["ports","dns"]`})
	got := scanIn(t.Context(), t, req, 0, func(e *engine.Env) {
		e.DNS = func(context.Context, []byte) ([]byte, error) {
			return nil, fault.New(fault.Unavailable, fault.CodeUnavailable, "no resolver")
		}
	})
	if got.coverage.Covers("sentinel:mail-spf-open", finding.Location{Host: "shop.test"}) || len(rules(got.findings, "dns", "mail")) > 0 {
		t.Error("with a dead resolver something is covered or found in the DNS")
	}
}

// treeOf gives a folder as a target's files.
func treeOf(t *testing.T, dir string) func(*engine.Env) {
	t.Helper()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = root.Close() })
	return func(e *engine.Env) {
		e.Tree = func(context.Context) (engine.Tree, error) {
			return engine.Tree{Dir: dir, FS: root.FS(), Revision: "f00d"}, nil
		}
	}
}

func TestTreeYieldsCredentialsPackagesAndKeys(t *testing.T) {
	req := orderOf(t, "/srv/shop", asset.TypeFilesystem, nil)
	got := scanIn(t.Context(), t, req, 0, treeOf(t, targets.Repository(t)))
	if got.verdict.Outcome != engine.Complete || got.dials != 0 {
		t.Errorf("outcome %s %q with %d connections", got.verdict.Outcome, got.verdict.Reasons, got.dials)
	}
	var leaks []string
	for _, o := range got.findings {
		if o.Category == finding.CategorySecret {
			name, _, _ := strings.Cut(o.Discern, " ")
			leaks = append(leaks, fmt.Sprintf("%s:%d %s", o.Location.File, o.Location.Line, name))
			if o.Location.Host != "/srv/shop" || !slices.Contains(o.CWE, 798) || !strings.HasPrefix(o.Secret, "s1:") || !got.coverage.Covers(o.Rule, o.Location) {
				t.Errorf("a leak lacks something: %+v", o)
			}
		}
	}
	slices.Sort(leaks)
	want := []string{"config/ci.yml:2 github-pat", "config/ci.yml:3 slack-webhook-url", "config/prod.env:2 generic-api-key", "keys/id_rsa:1 private-key"}
	if diff := cmp.Diff(want, slices.DeleteFunc(leaks, func(s string) bool { return strings.Contains(s, "aws-access-token") })); diff != "" {
		t.Errorf("leaks (-want +got):\n%s", diff)
	}
	var packages []string
	for _, p := range got.packages {
		packages = append(packages, p.File+" "+p.PURL)
	}
	want = []string{
		"go.mod pkg:golang/golang.org/x/text@v0.3.5", "go.mod pkg:golang/gopkg.in/yaml.v2@v2.2.2", "package-lock.json pkg:npm/axios@0.21.0",
		"package-lock.json pkg:npm/lodash@4.17.4", "package-lock.json pkg:npm/minimist@0.0.8", "requirements.txt pkg:pypi/django@2.2.0", "requirements.txt pkg:pypi/pyyaml@5.1",
	}
	if diff := cmp.Diff(want, packages); diff != "" {
		t.Errorf("packages (-want +got); the manifest beside the lock file doesn't count:\n%s", diff)
	}
	if len(got.verdict.Looked.Databases) != 2 || got.verdict.Looked.Databases[1].Entries < 200 {
		t.Errorf("databases %+v", got.verdict.Looked.Databases)
	}
}

func TestFilesThatCantBeHadAreNotClean(t *testing.T) {
	req := orderOf(t, "https://git.example.test/shop", asset.TypeRepository, nil)
	got := scanIn(t.Context(), t, req, 0, func(e *engine.Env) {
		e.Tree = func(context.Context) (engine.Tree, error) {
			return engine.Tree{}, fault.New(fault.Unavailable, fault.CodeUnavailable, "the repository wants a login")
		}
	})
	if got.verdict.Outcome != engine.NothingReachable || len(got.coverage.Places) > 0 || !strings.Contains(got.verdict.Reasons[0], "login") {
		t.Errorf("verdict %+v, coverage %v", got.verdict, got.coverage)
	}
	got = scanIn(t.Context(), t, req, 0, treeOf(t, t.TempDir()))
	if got.verdict.Outcome != engine.NothingReachable {
		t.Errorf("an empty tree is %s", got.verdict.Outcome)
	}
}

// beyond are flaws that harmless probes don't show: a login, and what isn't there.
func beyond() []string { return []string{"W19", "W20", "W21", "W18", "W07a"} }

func TestPlantedFlawsOfAWebApplicationAreFoundOnce(t *testing.T) {
	w := targets.Web(t)
	req := order(t, w.URL, nil)
	got := scan(t.Context(), t, req, 0)
	if got.verdict.Outcome != engine.Complete {
		t.Errorf("outcome %s %q, want complete", got.verdict.Outcome, got.verdict.Reasons)
	}
	for _, flaw := range w.Flaws {
		n := 0
		for _, o := range got.findings {
			if flaw.Is(o) {
				n++
			}
		}
		if n == 0 && !slices.Contains(beyond(), flaw.ID) {
			t.Errorf("%s isn't found: %s", flaw.ID, flaw.What)
		}
	}
	twice := map[string]int{}
	for _, o := range got.findings {
		key := fmt.Sprint(o.CWE, o.Location.URL, o.Location.Parameter, o.Discern)
		if twice[key]++; twice[key] == 2 && !slices.Contains(o.CWE, 319) && len(o.CWE) > 0 {
			t.Errorf("told twice: %s %s", o.Rule, key)
		}
		if strings.Contains(o.Evidence, "fake-db-password") || strings.Contains(o.Evidence, "fake:x:1000") {
			t.Errorf("%s holds a secret: %q", o.Rule, o.Evidence)
		}
	}
}

func TestQuickLookAtAWebApplicationFindsTheInjections(t *testing.T) {
	w := targets.Web(t)
	got := scan(t.Context(), t, order(t, w.URL, map[string]string{"depth": `"quick"`}), 0)
	found := rules(got.findings, "web-")
	for _, want := range []string{"web-sql-injection", "web-xss", "web-open-redirect", "web-path-traversal"} {
		if !slices.Contains(found, want) {
			t.Errorf("%s isn't among %q", want, found)
		}
	}
}

// sshServer offers old and new key exchanges after the client's banner.
func sshServer(t *testing.T, exchanges string) int {
	t.Helper()
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	body := append([]byte{20}, make([]byte, 16)...)
	for _, list := range []string{exchanges, "ssh-ed25519,ssh-rsa", "aes128-ctr", "aes128-ctr,3des-cbc", "hmac-sha2-256", "hmac-sha2-256", "none", "none", "", ""} {
		body = binary.BigEndian.AppendUint32(body, uint32(len(list)))
		body = append(body, list...)
	}
	body = append(body, 0, 0, 0, 0, 0)
	packet := binary.BigEndian.AppendUint32(nil, uint32(len(body)+5))
	packet = append(append(append(packet, 4), body...), 0, 0, 0, 0)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = c.Close() }()
				_, _ = c.Write([]byte("SSH-2.0-OpenSSH_9.9\r\n"))
				buf := make([]byte, 256)
				if n, err := c.Read(buf); err == nil && strings.HasPrefix(string(buf[:n]), "SSH-2.0-") {
					_, _ = c.Write(packet)
					_, _ = c.Read(buf)
				}
			}()
		}
	}()
	return l.Addr().(*net.TCPAddr).Port
}

func TestSSHOffersAreJudged(t *testing.T) {
	for exchanges, want := range map[string][]string{
		"curve25519-sha256,diffie-hellman-group1-sha1":       {"crypto-ssh", "pq-ssh-kex", "ssh-weak-cipher", "ssh-weak-host-key", "ssh-weak-kex"},
		"mlkem768x25519-sha256,curve25519-sha256,ext-info-s": {"crypto-ssh", "ssh-weak-cipher", "ssh-weak-host-key"},
	} {
		port := sshServer(t, exchanges)
		got := scan(t.Context(), t, order(t, "127.0.0.1", map[string]string{"ports": strconv.Quote(strconv.Itoa(port))}), 0)
		if diff := cmp.Diff(want, rules(got.findings, "ssh", "pq-ssh", "crypto")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", exchanges, diff)
		}
		if !got.coverage.Covers("sentinel:pq-ssh-kex", finding.Location{Host: "127.0.0.1", Port: port}) {
			t.Error("the offer isn't covered")
		}
	}
}

func TestEndpointsHaveACryptographicInventory(t *testing.T) {
	at := hardened(t)
	got := scan(t.Context(), t, order(t, "127.0.0.1", map[string]string{"ports": strconv.Quote(strconv.Itoa(int(at.Port())))}), 0)
	for _, o := range got.findings {
		if o.Rule == "sentinel:crypto-endpoint" {
			for _, want := range []string{"TLS 1.3", "X25519MLKEM768", "ECDSA, 256 bits", "key exchange yes, authentication no"} {
				if !strings.Contains(o.Evidence, want) {
					t.Errorf("the summary lacks %q:\n%s", want, o.Evidence)
				}
			}
			return
		}
	}
	t.Error("there is no summary of the endpoint")
}

func TestPlantedFlawsOfOldServicesAreFound(t *testing.T) {
	w := targets.Banners(t)
	ports := make([]string, len(w.Ports))
	for i, p := range w.Ports {
		ports[i] = strconv.Itoa(p)
	}
	got := scan(t.Context(), t, order(t, "127.0.0.1", map[string]string{"ports": strconv.Quote(strings.Join(ports, ","))}), 0)
	for _, flaw := range w.Flaws {
		if !slices.ContainsFunc(got.findings, flaw.Is) {
			t.Errorf("%s isn't found: %s", flaw.ID, flaw.What)
		}
	}
}
