package app_test

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"assay.dev/assay/internal/client"
	"assay.dev/assay/internal/config"
)

// resolver is a DNS server that knows example.test, a domain that only receives mail, and some names below it.
func resolver(t *testing.T) string {
	t.Helper()
	known := map[string]string{"www.example.test.": "127.0.0.10", "mail.example.test.": "127.0.0.11"}
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &dns.Server{PacketConn: conn, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		m.RecursionAvailable = true
		ip, ok := known[strings.ToLower(q.Question[0].Name)]
		switch {
		case !ok && q.Question[0].Name != "example.test.":
			m.Rcode = dns.RcodeNameError
		case ok && q.Question[0].Qtype == dns.TypeA:
			m.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 60}, A: net.ParseIP(ip)}}
		}
		_ = w.WriteMsg(m)
	})}
	go func() { _ = server.ActivateAndServe() }()
	t.Cleanup(func() { _ = server.Shutdown() })
	return conn.LocalAddr().String()
}

// thirdParties answers as sources, each below a path of its name; one answers with an error.
func thirdParties(t *testing.T) *httptest.Server {
	t.Helper()
	answers := map[string]string{
		"/crtsh/":                      `[{"name_value":"www.example.test\n*.dev.example.test\ninfo@example.test"}]`,
		"/certspotter/v1/issuances":    `[]`,
		"/hackertarget/hostsearch/":    "mail.example.test,127.0.0.11\n",
		"/otx/api/v1/indicators/":      `{"passive_dns":[]}`,
		"/subdomaincenter/":            `[]`,
		"/never/asked/by/any/engine/x": "",
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for path, body := range answers {
			if strings.HasPrefix(r.URL.Path, path) {
				_, _ = io.WriteString(w, body)
				return
			}
		}
		http.NotFound(w, r)
	}))
	t.Cleanup(server.Close)
	return server
}

func sixSources() []string {
	return []string{"crtsh", "certspotter", "hackertarget", "otx", "subdomaincenter", "anubis"}
}

// carried orders a scan and waits for its end.
func (c caller) carried(order map[string]any) client.Scan {
	c.t.Helper()
	var s client.Scan
	c.must(http.MethodPost, scanAPI+"/scans", order, &s)
	return c.ended(s.ID)
}

func TestThirdPartiesAreAskedAboutADomainWithoutAddress(t *testing.T) {
	t.Parallel()
	sources := thirdParties(t)
	h := open(t, "", func(cfg *config.Config) {
		cfg.Resolvers, cfg.EgressAllow = []string{resolver(t)}, []string{"127.0.0.0/8"}
		for _, name := range sixSources() {
			cfg.SourceMirrors = append(cfg.SourceMirrors, name+"="+sources.URL+"/"+name)
		}
	})
	o := map[string]any{"scanType": "sublist3r", "target": "example.test", "targetType": "domain", "options": map[string]any{"resolve": true}}
	if a := h.call(http.MethodPost, scanAPI+"/scans", o); a.code() != "TARGET_NOT_ALLOWED" {
		t.Errorf("a domain on no list: %d %s", a.status, a.body)
	}
	h.must(http.MethodPut, "/api/org/scan-scope", map[string]any{"allow": []any{map[string]string{"value": "example.test"}}}, nil)

	s := h.carried(o)
	if s.Status != "completed" || s.Outcome != "partial" {
		t.Fatalf("%+v", s)
	}
	var got struct {
		Coverage struct {
			Sources []struct{ Source, State string }
		}
	}
	h.must(http.MethodGet, scanAPI+"/scans/"+s.ID, nil, &got)
	states := map[string]string{}
	for _, l := range got.Coverage.Sources {
		states[l.Source] = l.State
	}
	for _, name := range []string{"crtsh", "certspotter", "hackertarget", "otx", "subdomaincenter"} {
		if states[name] != "answered" {
			t.Errorf("%s: %q", name, states[name])
		}
	}
	if states["anubis"] != "failed" { // its mirror knows no such path
		t.Errorf("sources: %v", states)
	}
	found, _ := h.results(s.ID)
	var names []string
	for _, f := range found {
		names = append(names, f.Location.Host)
	}
	slices.Sort(names)
	if want := []string{"dev.example.test", "mail.example.test", "www.example.test"}; !slices.Equal(names, want) {
		t.Errorf("found %v, want %v", names, want)
	}
	var assets struct {
		Data []struct {
			Kind string `json:"kind"`
			Name string `json:"name"`
		} `json:"data"`
	}
	if err := json.Unmarshal(h.must(http.MethodGet, "/api/assets?kind=domain", nil, nil).body, &assets); err != nil {
		t.Fatal(err)
	}
	if len(assets.Data) != 3 {
		t.Errorf("assets: %+v", assets)
	}
	// A host is still refused where it has no address.
	if a := h.call(http.MethodPost, scanAPI+"/scans", map[string]any{"scanType": "sentinel", "target": "example.test", "targetType": "host"}); a.status != http.StatusBadRequest {
		t.Errorf("a host without address: %d %s", a.status, a.body)
	}
}

func TestNoNetworkIsNeverClean(t *testing.T) {
	t.Parallel()
	h := open(t, "", func(cfg *config.Config) {
		cfg.Resolvers, cfg.EgressAllow = []string{resolver(t)}, []string{"127.0.0.0/8"}
		for _, name := range sixSources() {
			cfg.SourceMirrors = append(cfg.SourceMirrors, name+"=http://127.0.0.1:1") // where nobody listens
		}
	})
	h.must(http.MethodPut, "/api/org/scan-scope", map[string]any{"allow": []any{map[string]string{"value": "example.test"}}}, nil)
	s := h.carried(map[string]any{"scanType": "sublist3r", "target": "example.test", "targetType": "domain"})
	if s.Outcome != "nothing_reachable" || len(s.OutcomeReasons) < 2 {
		t.Errorf("%+v", s)
	}
}
