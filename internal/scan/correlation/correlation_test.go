package correlation_test

import (
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"assay.dev/assay/internal/scan/correlation"
	"assay.dev/assay/internal/scan/finding"
)

// seen is one observation of a test, by engine.
func seen(id, engine, rule string, o finding.Observation) correlation.Member {
	o.Rule = engine + ":" + rule
	if o.Severity == "" {
		o.Severity = finding.Medium
	}
	if o.Confidence == "" {
		o.Confidence = finding.Firm
	}
	return correlation.Member{Observation: finding.Clean(o), ID: id, Engine: engine}
}

func at(url, parameter string) finding.Location {
	return finding.Location{URL: url, Parameter: parameter}
}

// together renders cases as sorted lists of member ids.
func together(cases []correlation.Case) []string {
	var out []string
	for _, c := range cases {
		var ids []string
		for _, m := range c.Members {
			ids = append(ids, m.ID)
		}
		slices.Sort(ids)
		out = append(out, strings.Join(ids, "+"))
	}
	slices.Sort(out)
	return out
}

func injections() []correlation.Member {
	return []correlation.Member{
		seen("sqlmap", "sqlmap", "sqli", finding.Observation{
			Title: "SQL injection in parameter id", Severity: finding.Critical, Confidence: finding.Certain,
			Category: finding.CategoryVulnerability, CWE: []int{89}, Discern: "boolean-based blind",
			Location: finding.Location{Host: "127.0.0.1", Port: 8081, URL: "http://127.0.0.1:8081/item?id=1", Method: "GET", Parameter: "id"},
		}),
		seen("wapiti", "wapiti", "sql", finding.Observation{
			Title: "SQL Injection", Severity: finding.High, Category: finding.CategoryVulnerability, CWE: []int{89},
			Location: finding.Location{Host: "localhost", URL: "http://localhost:8081/item?id=%C2%BF%27%22%28", Method: "GET", Parameter: "id"},
		}),
		seen("zap", "zap", "40018", finding.Observation{
			Title: "SQL Injection - SQLite (Time Based)", Severity: finding.High, Confidence: finding.Tentative,
			Category: finding.CategoryVulnerability, CWE: []int{89},
			Location: finding.Location{URL: "http://[::1]:8081/item?id=case+randomblob%281%29", Method: "GET", Parameter: "id"},
		}),
	}
}

func TestOneInjectionSeenByThreeEnginesIsOneCase(t *testing.T) {
	t.Parallel()
	cases := correlation.Group(injections(), correlation.Aliases{})
	if len(cases) != 1 {
		t.Fatalf("%d cases, want one: %q", len(cases), together(cases))
	}
	c := cases[0]
	if c.Lead().ID != "sqlmap" || c.Severity != finding.Critical || c.Confidence != finding.Certain || c.Asset != "localhost" {
		t.Errorf("lead %s, severity %s, confidence %s, asset %s", c.Lead().ID, c.Severity, c.Confidence, c.Asset)
	}
	if diff := cmp.Diff([]string{"sqlmap", "wapiti", "zap"}, c.Engines); diff != "" {
		t.Error(diff)
	}
	if got, want := c.Members[0].Why.Text(), "the same kind of flaw (CWE-89) at localhost:8081 /item, parameter id, which this finding calls 127.0.0.1"; got != want {
		t.Errorf("why: %q, want %q", got, want)
	}
}

func TestWhatBelongsTogether(t *testing.T) {
	t.Parallel()
	web := func(id, engine string, cwe int, l finding.Location) correlation.Member {
		return seen(id, engine, "x", finding.Observation{Title: "the same title", Category: finding.CategoryVulnerability, CWE: []int{cwe}, Location: l})
	}
	cve := func(id, engine, pkg string, ids ...string) correlation.Member {
		o := finding.Observation{Title: "the same title", Category: finding.CategoryVulnerability, Location: finding.Location{Host: "app.example", Package: pkg}}
		for _, name := range ids {
			if strings.HasPrefix(name, "CVE-") {
				o.CVE = append(o.CVE, name)
			} else {
				o.Advisories = append(o.Advisories, name)
			}
		}
		if pkg == "" {
			o.Location.Port = 443
		}
		return seen(id, engine, strings.Join(ids, "+"), o)
	}
	const sum = "sha256:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
	cert := func(id, engine, host string, port, cwe int) correlation.Member {
		return seen(id, engine, "cert", finding.Observation{
			Title: "certificate", Category: finding.CategoryTLS, CWE: []int{cwe}, Discern: sum, Location: finding.Location{Host: host, Port: port},
		})
	}
	config := func(id, engine, rule, discern, url string, cwe int) correlation.Member {
		return seen(id, engine, rule, finding.Observation{Title: id, Category: finding.CategoryConfig, CWE: []int{cwe}, Discern: discern, Location: at(url, "")})
	}
	tls := func(id, engine, rule string, cwe int) correlation.Member {
		return seen(id, engine, rule, finding.Observation{
			Title: "certificate", Category: finding.CategoryTLS, CWE: []int{cwe}, Discern: sum, Location: finding.Location{Host: "h.example", Port: 443},
		})
	}
	port := func(id, engine, rule, discern string, number, cwe int) correlation.Member {
		return seen(id, engine, rule, finding.Observation{
			Title: id, Category: finding.CategoryExposure, CWE: []int{cwe}, Discern: discern, Location: finding.Location{Host: "h.example", Port: number, Protocol: "tcp"},
		})
	}
	leak := func(id, engine, secret, file string) correlation.Member {
		return seen(id, engine, "secret", finding.Observation{Title: id, Category: finding.CategorySecret, Secret: secret, Location: finding.Location{File: file}})
	}
	for name, tt := range map[string]struct {
		members []correlation.Member
		want    []string
	}{
		"titles join nothing": {
			[]correlation.Member{web("a", "zap", 89, at("http://h.example/a", "p")), web("b", "wapiti", 89, at("http://h.example/b", "p"))},
			[]string{"a", "b"},
		},
		"another parameter is another flaw": {
			[]correlation.Member{web("a", "zap", 89, at("http://h.example/a", "p")), web("b", "wapiti", 89, at("http://h.example/a", "q"))},
			[]string{"a", "b"},
		},
		"another port is another place": {
			[]correlation.Member{web("a", "zap", 89, at("http://h.example/a", "p")), web("b", "wapiti", 89, at("https://h.example/a", "p"))},
			[]string{"a", "b"},
		},
		"ids in a path don't tell places apart": {
			[]correlation.Member{web("a", "zap", 79, at("http://h.example/user/17", "p")), web("b", "wapiti", 80, at("http://h.example/user/29", "p"))},
			[]string{"a+b"},
		},
		"injections of two kinds at one parameter": {
			[]correlation.Member{web("a", "zap", 79, at("http://h.example/a", "p")), web("b", "wapiti", 89, at("http://h.example/a", "p"))},
			[]string{"a", "b"},
		},
		"a file that is served": {
			[]correlation.Member{web("a", "nuclei", 538, at("http://h.example/.git/config", "")), web("b", "zap", 527, at("http://h.example/.git/HEAD", ""))},
			[]string{"a+b"},
		},
		"a broad family says too little": {
			[]correlation.Member{web("a", "zap", 200, at("http://h.example/a", "")), web("b", "nikto", 200, at("http://h.example/a", ""))},
			[]string{"a", "b"},
		},
		"a header that is missing, under many names": {
			[]correlation.Member{
				config("a", "sentinel", "http-csp-missing", "", "http://h.example/", 693),
				config("b", "nmap", "http-security-headers", "Content-Security-Policy", "http://h.example:80", 693),
				config("c", "zap", "10038-1", "content-security-policy", "http://h.example/login", 693),
				config("d", "sentinel", "http-nosniff-missing", "", "http://h.example/", 693),
			},
			[]string{"a+b+c", "d"},
		},
		"cookies by name": {
			[]correlation.Member{
				config("a", "zap", "10010", "sid", "http://h.example/login", 1004), config("b", "nmap", "http-cookie-flags", "SID", "http://h.example/", 1004),
				config("c", "zap", "10010", "theme", "http://h.example/", 1004), config("d", "zap", "10011", "sid", "http://h.example/", 614),
			},
			[]string{"a+b", "c", "d"},
		},
		"equal sets of ids": {
			[]correlation.Member{cve("a", "trivy", "lodash", "CVE-2021-23337", "GHSA-35jh-r3h4-6jhm"), cve("b", "sentinel", "Lodash", "GHSA-35jh-r3h4-6jhm", "CVE-2021-23337")},
			[]string{"a+b"},
		},
		"a subset of ids": {
			[]correlation.Member{cve("a", "nmap", "", "CVE-2021-41773", "CVE-2021-42013"), cve("b", "nuclei", "", "CVE-2021-41773")},
			[]string{"a+b"},
		},
		"a list of several flaws chains none": {
			[]correlation.Member{cve("a", "nmap", "", "CVE-2021-41773", "CVE-2021-42013"), cve("b", "nuclei", "", "CVE-2021-41773"), cve("c", "nikto", "", "CVE-2021-42013")},
			[]string{"a", "b", "c"},
		},
		"an update's id covers many flaws": {
			[]correlation.Member{cve("a", "trivy", "openssl", "CVE-2023-0001", "DLA-3000-1"), cve("b", "trivy", "openssl", "CVE-2023-0002", "DLA-3000-1")},
			[]string{"a", "b"},
		},
		"one id in two packages": {
			[]correlation.Member{cve("a", "trivy", "libssl3", "CVE-2023-0001"), cve("b", "trivy", "openssl", "CVE-2023-0001")},
			[]string{"a", "b"},
		},
		"a certificate at two ports of a host": {
			[]correlation.Member{cert("a", "nmap", "h.example", 443, 298), cert("b", "sentinel", "h.example", 8443, 298)},
			[]string{"a+b"},
		},
		"a certificate with two flaws": {
			[]correlation.Member{cert("a", "nmap", "h.example", 443, 298), cert("b", "sentinel", "h.example", 443, 326)},
			[]string{"a", "b"},
		},
		"a certificate on two hosts": {
			[]correlation.Member{cert("a", "nmap", "h.example", 443, 298), cert("b", "nmap", "i.example", 443, 298)},
			[]string{"a", "b"},
		},
		"flaws of one certificate that engines give one CWE id": {
			[]correlation.Member{
				tls("a", "sentinel", "cert-not-yet-valid", 295), tls("b", "nmap", "ssl-cert-not-yet-valid", 298), tls("c", "sentinel", "cert-self-signed", 295),
				tls("d", "sentinel", "cert-weak-key", 326), tls("e", "nmap", "ssl-cert-weak-key", 326), tls("f", "nmap", "ssl-cert-weak-signature", 328),
				tls("g", "zap", "cert", 296),
			},
			[]string{"a+b", "c+g", "d+e", "f"},
		},
		"a service that speaks in clear, with a name and without": {
			[]correlation.Member{
				port("a", "sentinel", "port-telnet", "", 23, 319), port("b", "nmap", "exposed-service", "telnet", 23, 319), port("c", "nmap", "telnet-encryption", "", 23, 319),
				port("d", "sentinel", "port-ftp-cleartext", "", 21, 319),
			},
			[]string{"a+b+c", "d"},
		},
		"a service that needn't be reachable": {
			[]correlation.Member{port("a", "sentinel", "port-vnc", "", 5900, 668), port("b", "nmap", "exposed-service", "vnc", 5900, 668), port("c", "nmap", "exposed-service", "redis", 6379, 306)},
			[]string{"a+b", "c"},
		},
		"pages in clear are no service in clear": {
			[]correlation.Member{
				config("a", "sentinel", "http-no-https", "", "http://h.example/", 319), config("b", "sentinel", "web-password-cleartext", "", "http://h.example/login", 319),
				port("c", "nmap", "exposed-service", "ftp", 80, 319),
			},
			[]string{"a", "b", "c"},
		},
		"an error, and what its text gives away": {
			[]correlation.Member{
				web("a", "sentinel", 209, at("http://h.example/debug", "")), web("b", "wapiti", 755, at("http://h.example/debug?n=%22", "n")),
				web("c", "zap", 550, at("http://h.example/debug", "m")), web("d", "wapiti", 755, at("http://h.example/item", "id")),
				web("e", "wapiti", 89, at("http://h.example/item", "id")),
			},
			[]string{"a+b+c", "d", "e"},
		},
		"a form without a token": {
			[]correlation.Member{
				seen("a", "sentinel", "web-form-token", finding.Observation{Title: "a", Category: finding.CategoryConfig, CWE: []int{352}, Location: finding.Location{URL: "http://h.example/login", Method: "POST"}}),
				seen("b", "wapiti", "cross-site-request-forgery", finding.Observation{Title: "b", Category: finding.CategoryVulnerability, CWE: []int{352}, Location: finding.Location{URL: "http://h.example/login", Method: "POST"}}),
			},
			[]string{"a+b"},
		},
		"a secret in two places": {
			[]correlation.Member{leak("a", "trivy", "s1:"+strings.Repeat("aa", 32), "a.env"), leak("b", "sentinel", "s1:"+strings.Repeat("aa", 32), "b/.env"), leak("c", "trivy", "s1:"+strings.Repeat("bb", 32), "a.env")},
			[]string{"a+b", "c"},
		},
		"an open port": {
			[]correlation.Member{
				seen("a", "nmap", "open-port", finding.Observation{Title: "a", Category: finding.CategoryExposure, Location: finding.Location{Host: "h.example", Port: 22}}),
				seen("b", "sentinel", "port-open", finding.Observation{Title: "b", Category: finding.CategoryService, Location: finding.Location{Host: "h.example", Port: 22, Protocol: "tcp"}}),
				seen("c", "nmap", "open-port", finding.Observation{Title: "a", Category: finding.CategoryExposure, Location: finding.Location{Host: "h.example", Port: 22, Protocol: "udp"}}),
			},
			[]string{"a+b", "c"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cases := correlation.Group(tt.members, correlation.Aliases{})
			if diff := cmp.Diff(tt.want, together(cases)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestAliases(t *testing.T) {
	t.Parallel()
	a := correlation.NewAliases(
		[]string{"Shop.example.", "192.0.2.7", "2001:db8::7"},
		[]string{"www.shop.example", "shop.example"},
		[]string{"one.example", "192.0.2.9"}, []string{"two.example", "192.0.2.9"}, // one address, two sites
		[]string{"dev.example", "127.0.0.1"},
		[]string{"198.51.100.1", "198.51.100.2"}, // one host without a name
	)
	for host, want := range map[string]string{
		"shop.example": "shop.example", "192.0.2.7": "shop.example", "[2001:db8::7]": "shop.example", "www.shop.example": "shop.example",
		"one.example": "one.example", "two.example": "two.example", "192.0.2.9": "192.0.2.9",
		"dev.example": "dev.example", "127.0.0.1": "localhost", "::1": "localhost", "LOCALHOST": "localhost", "127.8.8.8": "localhost",
		"198.51.100.2": "198.51.100.1", "unknown.example": "unknown.example", "::ffff:192.0.2.7": "shop.example",
	} {
		if got := a.Asset(host); got != want {
			t.Errorf("%s is %s, want %s", host, got, want)
		}
	}
	if got := len(a.Addresses("www.shop.example")); got != 2 {
		t.Errorf("%d addresses of the shop, want 2", got)
	}
}

func TestConfidenceRisesWithIndependentAgreement(t *testing.T) {
	t.Parallel()
	m := func(c finding.Confidence, engines ...string) correlation.Member {
		return correlation.Member{Observation: finding.Observation{Confidence: c}, Engine: engines[0], Engines: engines}
	}
	for name, tt := range map[string]struct {
		in   []correlation.Member
		want finding.Confidence
	}{
		"alone":                      {[]correlation.Member{m(finding.Tentative, "zap")}, finding.Tentative},
		"two tentative":              {[]correlation.Member{m(finding.Tentative, "zap"), m(finding.Tentative, "nikto")}, finding.Firm},
		"two firm":                   {[]correlation.Member{m(finding.Firm, "zap"), m(finding.Firm, "wapiti")}, finding.Certain},
		"firm and tentative":         {[]correlation.Member{m(finding.Firm, "zap"), m(finding.Tentative, "wapiti")}, finding.Firm},
		"one engine twice":           {[]correlation.Member{m(finding.Firm, "zap"), m(finding.Firm, "zap")}, finding.Firm},
		"one source, two engines":    {[]correlation.Member{m(finding.Firm, "harvester"), m(finding.Firm, "sublist3r")}, finding.Firm},
		"merged beside its part":     {[]correlation.Member{m(finding.Firm, "sentinel", "zap"), m(finding.Firm, "zap")}, finding.Firm},
		"merged of two, both there":  {[]correlation.Member{m(finding.Firm, "sentinel", "zap", "nikto"), m(finding.Firm, "zap"), m(finding.Firm, "nikto")}, finding.Certain},
		"merged of others":           {[]correlation.Member{m(finding.Tentative, "sentinel", "nmap"), m(finding.Tentative, "zap")}, finding.Firm},
		"three tentative stay firm":  {[]correlation.Member{m(finding.Tentative, "a"), m(finding.Tentative, "b"), m(finding.Tentative, "c")}, finding.Firm},
		"one that doesn't say":       {[]correlation.Member{m("", "a"), m(finding.Firm, "b")}, finding.Firm},
		"none that says":             {[]correlation.Member{m("", "a"), m("", "b")}, ""},
		"certain stays what it is":   {[]correlation.Member{m(finding.Certain, "a"), m(finding.Tentative, "b")}, finding.Certain},
		"tentative beside two firms": {[]correlation.Member{m(finding.Firm, "a"), m(finding.Tentative, "b"), m(finding.Firm, "c")}, finding.Certain},
	} {
		if got := correlation.Agreed(tt.in); got != tt.want {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}

// anyMember draws members from few values, so that they meet.
func anyMember(t *rapid.T, i int) correlation.Member {
	pick := func(name string, from ...string) string { return rapid.SampledFrom(from).Draw(t, name) }
	o := finding.Observation{
		Rule: pick("rule", "a:1", "b:open-port", "c:http-csp-missing"), Title: pick("title", "x", "y"),
		Severity:   rapid.SampledFrom(finding.Severities()).Draw(t, "severity"),
		Confidence: rapid.SampledFrom([]finding.Confidence{finding.Certain, finding.Firm, finding.Tentative}).Draw(t, "confidence"),
		Category:   rapid.SampledFrom([]finding.Category{finding.CategoryConfig, finding.CategoryVulnerability}).Draw(t, "category"),
		Discern:    pick("discern", "", "sid", "sha256:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"),
		CVE:        rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"CVE-1-1", "CVE-1-2", "CVE-1-3", "CVE-1-4"}), 0, 3, rapid.ID).Draw(t, "cve"),
		CWE:        rapid.SliceOfNDistinct(rapid.SampledFrom([]int{79, 80, 89, 200, 538, 693, 1004}), 0, 2, rapid.ID).Draw(t, "cwe"),
		Secret:     pick("secret", "", "", "", "s1:"+strings.Repeat("aa", 32)),
		Location: finding.Location{
			Host: pick("host", "localhost", "127.0.0.1", "h.example", "192.0.2.7"), Port: 80,
			URL: pick("url", "", "http://h.example/a", "http://h.example/"), Parameter: pick("parameter", "", "p"), Package: pick("package", "", "", "lodash"),
		},
	}
	return correlation.Member{Observation: finding.Clean(o), ID: strconv.Itoa(i), Engine: pick("engine", "zap", "nmap", "sentinel")}
}

func anyMembers(t *rapid.T) []correlation.Member {
	out := make([]correlation.Member, rapid.IntRange(0, 24).Draw(t, "members"))
	for i := range out {
		out[i] = anyMember(t, i)
	}
	return out
}

func names() correlation.Aliases { return correlation.NewAliases([]string{"h.example", "192.0.2.7"}) }

func TestCasesDontDependOnTheOrderOfFindings(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		members := anyMembers(t)
		want := correlation.Group(members, names())
		got := correlation.Group(rapid.Permutation(members).Draw(t, "order"), names())
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestEveryFindingIsInOneCaseAndItsMembersShareAMark(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		members := anyMembers(t)
		cases := correlation.Group(members, names())
		in := map[string]int{}
		keys := map[string]bool{}
		for _, c := range cases {
			if keys[c.Key] {
				t.Fatalf("two cases have the key %s", c.Key)
			}
			keys[c.Key] = true
			if len(c.Marks) == 0 {
				t.Fatalf("the members %q have nothing in common", together([]correlation.Case{c}))
			}
			for _, m := range c.Members {
				in[m.ID]++
				if m.Why.Text() == "" {
					t.Fatal("a member without a reason")
				}
			}
		}
		for _, m := range members {
			if in[m.ID] != 1 {
				t.Fatalf("%s is in %d cases", m.ID, in[m.ID])
			}
		}
	})
}

// Cases that were formed alone are formed the same among all others: what the incremental correlation relies on.
func TestACaseIsDecidedByItsBucketsAlone(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		members := anyMembers(t)
		buckets := map[string][]correlation.Member{}
		for _, m := range members {
			b := correlation.TieOf(m, names()).Bucket
			buckets[b] = append(buckets[b], m)
		}
		var parts []correlation.Case
		for _, in := range buckets {
			parts = append(parts, correlation.Group(in, names())...)
		}
		if diff := cmp.Diff(together(correlation.Group(members, names())), together(parts)); diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestAFurtherWitnessNeverLowersTheConfidence(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		members := anyMembers(t)
		before := finding.Confidence("")
		for i := range members {
			members[i].Engines = rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "c", "harvester", "sublist3r"}), 0, 3).Draw(t, "engines")
			now := correlation.Agreed(members[:i+1])
			if before.Better(now) {
				t.Fatalf("%s fell to %s", before, now)
			}
			before = now
		}
	})
}

func BenchmarkGroup(b *testing.B) {
	members := make([]correlation.Member, 100_000)
	for i := range members {
		m := injections()[i%3]
		m.ID = strconv.Itoa(i)
		m.Location.URL = "http://127.0.0.1:8081/" + strings.Repeat("x", i/3%50) + "/" + strconv.Itoa(i/150) + "a"
		members[i] = m
	}
	for b.Loop() {
		correlation.Group(members, correlation.Aliases{})
	}
}
