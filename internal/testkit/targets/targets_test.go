package targets_test

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"assay.dev/assay/internal/scan/finding"
	"assay.dev/assay/internal/testkit/targets"
)

func TestTheWebTargetIsWeak(t *testing.T) {
	t.Parallel()
	web := targets.Web(t)
	for path, want := range map[string]string{
		"item?id=1%20union%20select%201,2,3": "1: 2 (3)", "search?q=%3Cb%3E": "<b>", ".env": "fake-db-password", "item?id='": "OperationalError",
	} {
		if got := get(t, http.DefaultClient, web.URL+path); !strings.Contains(got, want) {
			t.Errorf("%s: %q is missing in %q", path, want, got)
		}
	}
	if len(web.Flaws) < 15 || web.Flaws[0].Port != web.Ports[0] {
		t.Errorf("flaws: %+v", web.Flaws)
	}
}

func TestTheServicesGreetAsOldOnes(t *testing.T) {
	t.Parallel()
	b := targets.Banners(t)
	for i, want := range []string{"SSH-2.0-OpenSSH_7.2p2", "220 (vsFTPd 2.3.4)", "220 mail.example.test"} {
		c, err := new(net.Dialer).DialContext(t.Context(), "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(b.Ports[i])))
		if err != nil {
			t.Fatal(err)
		}
		line, err := bufio.NewReader(c).ReadString('\n')
		if err != nil || !strings.HasPrefix(line, want) {
			t.Errorf("service %d: %q, %v", i, line, err)
		}
		_ = c.Close()
	}
}

func TestTheTLSTargetSpeaksOldVersions(t *testing.T) {
	t.Parallel()
	old := targets.ExpiredTLS(t)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS10}}}
	if got := get(t, client, old.URL); !strings.Contains(got, "old portal") {
		t.Errorf("got %q", got)
	}
}

func TestTheRepositoryAndTheImageAreWritten(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat(filepath.Join(targets.Repository(t), "Dockerfile")); err != nil {
		t.Error(err)
	}
	if info, err := os.Stat(targets.Image(t)); err != nil || info.Size() < 1000 {
		t.Error(info, err)
	}
}

func TestTheStandInForZAPAsksForItsKey(t *testing.T) {
	t.Parallel()
	zap := targets.FakeZAP(t, "k")
	if got := get(t, http.DefaultClient, zap.URL+"JSON/core/view/version/"); !strings.Contains(got, "bad_api_key") {
		t.Errorf("without the key: %q", got)
	}
	if got := get(t, http.DefaultClient, zap.URL+"JSON/core/view/version/?apikey=k"); !strings.Contains(got, "version") {
		t.Errorf("with the key: %q", got)
	}
}

func TestFlawsAreKnownByKindAndPlace(t *testing.T) {
	t.Parallel()
	sqli := targets.Flaw{CWE: []int{89}, Port: 80, Paths: []string{"/item"}, Parameter: "id"}
	list := targets.Flaw{CWE: []int{548}, Port: 80, Paths: []string{"/files/"}}
	old := targets.Flaw{Alike: []int{497}, Port: 80, Words: []string{"server", "apache"}, CVE: []string{"CVE-2021-41773"}}
	at := func(url, parameter string) finding.Location {
		return finding.Location{Host: "h", Port: 80, URL: url, Parameter: parameter}
	}
	for name, c := range map[string]struct {
		flaw targets.Flaw
		o    finding.Observation
		want bool
	}{
		"same":              {sqli, finding.Observation{CWE: []int{20, 89}, Location: at("http://h/item?id=1", "id")}, true},
		"another parameter": {sqli, finding.Observation{CWE: []int{89}, Location: at("http://h/item", "x")}, false},
		"another path":      {sqli, finding.Observation{CWE: []int{89}, Location: at("http://h/items", "id")}, false},
		"another kind":      {sqli, finding.Observation{CWE: []int{79}, Location: at("http://h/item", "id")}, false},
		"another port":      {sqli, finding.Observation{CWE: []int{89}, Location: finding.Location{Port: 81, URL: "http://h:81/item", Parameter: "id"}}, false},
		"below a folder":    {list, finding.Observation{CWE: []int{548}, Location: at("http://h/files/a/", "")}, true},
		"a CVE id":          {old, finding.Observation{CVE: []string{"CVE-2021-41773"}, Location: at("http://h/", "")}, true},
		"another header":    {old, finding.Observation{CWE: []int{497}, Discern: "x-powered-by", Location: at("http://h/", "")}, false},
		"the header":        {old, finding.Observation{CWE: []int{497}, Discern: "Server", Location: at("http://h/", "")}, true},
	} {
		if got := c.flaw.Is(c.o); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

func get(t *testing.T, client *http.Client, url string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
