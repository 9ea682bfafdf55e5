package sublist3r

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"assay.dev/assay/internal/infra/egress"
	"assay.dev/assay/internal/infra/runner"
	"assay.dev/assay/internal/infra/runner/runnertest"
	"assay.dev/assay/internal/scan/engine"
)

// realProgram skips aloud where the original isn't installed, and fails there when REQUIRE_ENGINES is set, as CI does.
func realProgram(t *testing.T) {
	t.Helper()
	switch _, err := exec.LookPath(program); {
	case err == nil:
	case os.Getenv("REQUIRE_ENGINES") != "":
		t.Fatal("REQUIRE_ENGINES is set: apt-get install --no-install-recommends sublist3r")
	default:
		t.Skip("SKIPPED: this test drives the original Sublist3r: apt-get install --no-install-recommends sublist3r")
	}
}

// trusting adds the pretend internet's authority to what the program is told.
type trusting struct {
	engine.Launcher

	bundle string
}

func (l trusting) Launch(ctx context.Context, p engine.Process) (engine.Exit, error) {
	p.Env = append(p.Env, "REQUESTS_CA_BUNDLE="+l.bundle)
	return l.Launcher.Launch(ctx, p)
}

// pretend serves crt.sh as its page looked when the program was written, under a certificate of its own.
func pretend(t *testing.T) (server *httptest.Server, authority []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "crt.sh"}, DNSNames: []string{"crt.sh"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "<TABLE><TR><TD>www.example.com</TD></TR>\n<TR><TD>dev.example.com<BR>hostmaster@example.com</TD></TR>\n</TABLE>")
	}))
	server.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MinVersion: tls.VersionTLS12}
	server.StartTLS()
	t.Cleanup(server.Close)
	return server, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// ground is the real runner, sandbox and proxy, with the sources of a run.
func ground(t *testing.T, sources []egress.Source, authority []byte) engine.Env {
	t.Helper()
	r, err := runner.New(runner.Config{Scratch: filepath.Join(t.TempDir(), "runs"), Mark: runner.Mark(t.TempDir()), Helper: runnertest.Helper(t)})
	if err != nil {
		t.Fatal(err)
	}
	work, remove, err := r.Scratch("real")
	if err != nil {
		t.Fatal(err)
	}
	files, err := runner.OpenFolder(work)
	if err != nil {
		t.Fatal(err)
	}
	if err := files.Write("ca.pem", authority); err != nil {
		t.Fatal(err)
	}
	out := egress.NewTransport(egress.TransportConfig{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	proxy := egress.NewProxy(egress.NewSourceDialer(out, sources).DialContext, slog.New(slog.DiscardHandler))
	proc := r.Launcher(runner.Run{Scan: "real", Work: work, Proxy: proxy.Serve})
	t.Cleanup(func() { _, _, _, _ = proc.Close(), proxy.Close(), files.Close(), remove() })
	return engine.Env{
		Proc: trusting{proc, filepath.Join(work, "ca.pem")}, Proxy: proc.ProxyAddress, Files: files, Work: work, Log: slog.New(slog.DiscardHandler),
		Now: time.Now, Progress: func(int, string) {},
	}
}

// kept is an artifact in memory.
type kept struct{ bytes.Buffer }

func (*kept) Truncated() bool { return false }

func TestTheRealProgramAsksThroughTheProxy(t *testing.T) {
	realProgram(t)
	server, authority := pretend(t)
	crt, err := url.Parse("https://crt.sh")
	if err != nil {
		t.Fatal(err)
	}
	asked, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	env := ground(t, []egress.Source{{Public: crt, Asked: asked}}, authority)
	raw := &kept{}
	env.Artifact = func(string, string) (engine.Artifact, error) { return raw, nil }
	// passivedns is not among what the proxy lets through: the operator has it nowhere.
	req := request(t, "example.com", `{"backend":"sublist3r","programSources":["crtsh","passivedns"]}`)
	v, err := New().Run(t.Context(), env, req)
	if err != nil || v.Outcome != engine.Partial {
		t.Fatalf("%+v, %v\n%s", v, err, raw)
	}
	if diff := cmp.Diff(map[string]engine.SourceState{"crtsh": engine.SourceAnswered, "passivedns": engine.SourceFailed}, states(v)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"dev.example.com", "www.example.com"}, parse(t, raw.Bytes(), req).names()); diff != "" {
		t.Errorf("%s\n%s", diff, raw)
	}
}

func TestTheRealProgramWithoutANetworkIsNotClean(t *testing.T) {
	realProgram(t)
	env := ground(t, nil, nil)
	raw := &kept{}
	env.Artifact = func(string, string) (engine.Artifact, error) { return raw, nil }
	v, err := New().Run(t.Context(), env, request(t, "example.com", `{"backend":"sublist3r"}`))
	if err != nil || v.Outcome != engine.Failed && v.Outcome != engine.NothingReachable {
		t.Errorf("%+v, %v\n%s", v, err, raw)
	}
}
