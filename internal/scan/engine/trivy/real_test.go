package trivy_test

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/infra/egress"
	"assay.dev/assay/internal/infra/runner"
	"assay.dev/assay/internal/infra/runner/runnertest"
	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/scan/engine/trivy"
	"assay.dev/assay/internal/scan/finding"
	"assay.dev/assay/internal/testkit/targets"
)

// memory is an artifact.
type memory struct{ bytes.Buffer }

func (*memory) Truncated() bool { return false }

// ground is what a real run stands on: the runner, a scratch folder, the run's proxy and the operator's database.
type ground struct {
	env engine.Env
	raw *memory
}

// where returns the folders in which the program is looked up: the one that tools/fetch-trivy fills, then the system's.
func where(t *testing.T) []string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	var path []string
	if dir := os.Getenv("ASSAY_TEST_TRIVY"); dir != "" {
		path = append(path, dir)
	}
	return append(path, filepath.Join(cache, "assay", "trivy-0.59.1"), "/usr/local/bin", "/usr/bin", "/bin")
}

func realGround(t *testing.T, reach egress.ScanConfig, tree, data string) *ground {
	t.Helper()
	r, err := runner.New(runner.Config{Path: where(t), Scratch: t.TempDir(), Mark: runner.Mark(t.TempDir()), Helper: runnertest.Helper(t)})
	if err != nil {
		t.Fatal(err)
	}
	work, _, err := r.Scratch("real")
	if err != nil {
		t.Fatal(err)
	}
	files, err := runner.OpenFolder(work)
	if err != nil {
		t.Fatal(err)
	}
	logger := slog.New(slog.NewTextHandler(t.Output(), nil))
	dial := egress.NewRegistryDial(reach, nil, egress.NewScanDialer(reach).DialContext)
	proxy := egress.NewProxy(dial, logger)
	proc := r.Launcher(runner.Run{Scan: "real", Work: work, Proxy: proxy.Serve})
	t.Cleanup(func() {
		for _, closing := range []func() error{proc.Close, proxy.Close, files.Close} {
			if err := closing(); err != nil {
				t.Error(err)
			}
		}
	})
	g := &ground{raw: &memory{}}
	g.env = engine.Env{
		Proc: proc, Work: work, Files: files, Now: time.Now, Log: logger, Proxy: proc.ProxyAddress,
		Progress: func(percent int, phase string) { t.Logf("%d %% %s", percent, phase) },
		Artifact: func(string, string) (engine.Artifact, error) { return g.raw, nil },
		Tree:     func(context.Context) (engine.Tree, error) { return engine.Tree{Dir: tree, FS: os.DirFS(tree)}, nil },
		Data: func(string) (engine.Tree, error) {
			if data == "" {
				return engine.Tree{}, os.ErrNotExist
			}
			return engine.Tree{Dir: data, FS: os.DirFS(data)}, nil
		},
	}
	real(t, g)
	return g
}

// real skips aloud where Trivy isn't there, and fails there when REQUIRE_ENGINES is set, as CI does.
func real(t *testing.T, g *ground) {
	t.Helper()
	checker, ok := trivy.New().(engine.Checker)
	if !ok {
		t.Fatal("not a Checker")
	}
	a := checker.Check(t.Context(), g.env)
	switch {
	case a.Available:
	case os.Getenv("REQUIRE_ENGINES") != "":
		t.Fatal("REQUIRE_ENGINES is set; run tools/fetch-trivy: " + a.Reason)
	default:
		t.Skip("SKIPPED: this test drives the real Trivy; tools/fetch-trivy gets it. " + a.Reason)
	}
}

func data(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	writeDatabase(t, dir)
	return dir
}

func TestRealTrivyFindsWhatIsPlantedInATree(t *testing.T) {
	t.Parallel()
	tree := targets.Repository(t)
	g := realGround(t, egress.ScanConfig{}, tree, data(t))
	req := folder(t, `{}`)
	v, err := trivy.New().Run(t.Context(), g.env, req)
	if err != nil || v.Outcome != engine.Complete || v.Version == "" || len(v.Looked.Databases) != 2 {
		t.Fatalf("%+v, %v\n%s", v, err, g.raw)
	}
	got := parse(t, g.raw.Bytes(), req)
	if strings.Contains(strings.Join(lines(got.Findings), " "), tree) {
		t.Error("a finding names the scratch folder")
	}
	for _, want := range []string{
		"trivy:vuln/CVE-2019-10744 package-lock.json pkg:npm/lodash critical CVE-2019-10744",
		"trivy:vuln/GHSA-CPH5-M8F7-6C5X package-lock.json pkg:npm/axios high ",
		"trivy:vuln/CVE-2019-14234 requirements.txt pkg:pypi/django critical CVE-2019-14234",
		"trivy:vuln/CVE-2021-38561 go.mod pkg:golang/golang.org/x/text high CVE-2021-38561",
		"trivy:misconfig/DS-0002 Dockerfile  high ",
		"trivy:misconfig/AWS-0107 infra/main.tf  high ",
		"trivy:misconfig/KSV-0017 k8s/deploy.yaml  high ",
		"trivy:secret/github-pat config/ci.yml  critical ",
		"trivy:secret/aws-secret-access-key config/prod.env  critical ",
		"trivy:secret/private-key keys/id_rsa  high ",
	} {
		if !slices.Contains(lines(got.Findings), want) {
			t.Errorf("%q is missing in\n%s", want, strings.Join(lines(got.Findings), "\n"))
		}
	}
	if len(got.Packages) < 7 {
		t.Errorf("packages %+v", got.Packages)
	}
	again := realGround(t, egress.ScanConfig{}, tree, data(t))
	if _, err := trivy.New().Run(t.Context(), again.env, req); err != nil {
		t.Fatal(err)
	}
	// Trivy looks at files side by side: the order of its sections moves.
	if diff := cmp.Diff(identities(got.Findings), identities(parse(t, again.raw.Bytes(), req).Findings)); diff != "" {
		t.Errorf("a second run differs:\n%s", diff)
	}
}

func identities(found []finding.Observation) []string {
	out := make([]string, 0, len(found))
	for _, f := range found {
		out = append(out, finding.Fingerprint("trivy", finding.Clean(f)))
	}
	slices.Sort(out)
	return out
}

func TestRealTrivyWithoutADatabaseIsNeverComplete(t *testing.T) {
	t.Parallel()
	g := realGround(t, egress.ScanConfig{}, targets.Repository(t), "")
	v, err := trivy.New().Run(t.Context(), g.env, folder(t, `{"scanners":["vuln","secret"]}`))
	if err != nil || v.Outcome != engine.Partial || len(v.Reasons) == 0 {
		t.Fatalf("%+v, %v", v, err)
	}
	if found := parse(t, g.raw.Bytes(), folder(t, `{}`)).Findings; len(found) != 5 {
		t.Errorf("%d findings, want the five planted secrets", len(found))
	}
}

func TestRealTrivyPullsAnImageThroughTheRunsProxy(t *testing.T) {
	t.Parallel()
	reg := serveRegistry(t, targets.Image(t), "user", "pass-7")
	ref := "127.0.0.1:" + reg.port + "/team/shop:1.0"
	req := request(t, asset.TypeImage, ref, `{}`)
	req.Config.Authentication = reg.signIn
	g := realGround(t, reg.reach(req.Target, "127.0.0.0/8"), "", data(t))
	v, err := trivy.New().Run(t.Context(), g.env, req)
	if err != nil || v.Outcome != engine.Complete {
		t.Fatalf("%+v, %v", v, err)
	}
	if reg.blobs.Load() == 0 || reg.direct.Load() {
		t.Errorf("%d blobs were pulled; without the proxy: %v", reg.blobs.Load(), reg.direct.Load())
	}
	if bytes.Contains(g.raw.Bytes(), []byte("pass-7")) {
		t.Error("the raw output holds the password")
	}
	got := parse(t, g.raw.Bytes(), req)
	for _, want := range []string{
		"trivy:vuln/CVE-2019-1549  pkg:apk/alpine/libssl1.1 medium CVE-2019-1549",
		"trivy:vuln/CVE-2021-42378  pkg:apk/alpine/busybox high CVE-2021-42378",
		"trivy:misconfig/DS-0002   high ",
		"trivy:secret/aws-access-key-id /app/config/prod.env  critical ",
	} {
		if !slices.Contains(lines(got.Findings), want) {
			t.Errorf("%q is missing in\n%s", want, strings.Join(lines(got.Findings), "\n"))
		}
	}
	if len(got.Packages) < 5 || got.Assets[0].Name != ref {
		t.Errorf("packages %+v, assets %+v", got.Packages, got.Assets)
	}
}

func TestRealTrivyOnARegistryThatIsNotThereOrNotAllowed(t *testing.T) {
	t.Parallel()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	req := request(t, asset.TypeImage, at+"/team/shop:1.0", `{"scanners":["secret"]}`)
	reach := egress.ScanConfig{Target: req.Target, Scope: allow("127.0.0.0/8")}
	g := realGround(t, reach, "", "")
	if v, err := trivy.New().Run(t.Context(), g.env, req); err != nil || v.Outcome != engine.NothingReachable {
		t.Errorf("%+v, %v", v, err)
	}
	reg := serveRegistry(t, targets.Image(t), "", "")
	req = request(t, asset.TypeImage, "127.0.0.1:"+reg.port+"/team/shop:1.0", `{"scanners":["secret"]}`)
	g = realGround(t, reg.reach(req.Target, "192.0.2.0/24"), "", "")
	if v, err := trivy.New().Run(t.Context(), g.env, req); err != nil || v.Outcome != engine.Blocked || reg.blobs.Load() != 0 {
		t.Errorf("%+v, %v", v, err)
	}
	req = request(t, asset.TypeImage, "127.0.0.1:"+reg.port+"/team/other:1.0", `{"scanners":["secret"]}`)
	g = realGround(t, reg.reach(req.Target, "127.0.0.0/8"), "", "")
	if v, err := trivy.New().Run(t.Context(), g.env, req); err != nil || v.Outcome != engine.Failed || !strings.Contains(strings.Join(v.Reasons, ""), "doesn't have this image") {
		t.Errorf("%+v, %v", v, err)
	}
}

func TestRealTrivyIsCancelled(t *testing.T) {
	t.Parallel()
	g := realGround(t, egress.ScanConfig{}, targets.Repository(t), "")
	ctx, cancel := context.WithCancel(t.Context())
	g.env.Progress = func(percent int, _ string) {
		if percent >= 15 {
			cancel()
		}
	}
	v, err := trivy.New().Run(ctx, g.env, folder(t, `{"scanners":["misconfig","secret"]}`))
	if err != nil || v.Outcome != engine.Failed || len(v.Reasons) == 0 || len(v.Coverage.Places) != 0 {
		t.Errorf("%+v, %v", v, err)
	}
}

func allow(cidr string) asset.Scope {
	return asset.Scope{Allow: []asset.Rule{{Kind: asset.RuleCIDR, Value: netip.MustParsePrefix(cidr).String()}}}
}
