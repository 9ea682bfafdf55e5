package trivy_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/scan/engine/trivy"
	"assay.dev/assay/internal/scan/finding"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/secret"
)

// take is one start of the program as it is played.
type take struct {
	stdout, stderr string
	exit           engine.Exit
	err            error
}

// stage is an Env whose launcher plays takes; the first start, which asks for the version, is answered with 0.74.0
// unless version says otherwise.
type stage struct {
	version  string
	takes    []take
	starts   []engine.Process
	raw      bytes.Buffer
	cut      bool
	percents []int
	files    map[string]string
	data     fs.FS
	treeErr  error
	log      bytes.Buffer
}

func (s *stage) Launch(_ context.Context, p engine.Process) (engine.Exit, error) {
	s.starts = append(s.starts, p)
	if slices.Equal(p.Args, []string{"--version"}) {
		v := s.version
		if v == "" {
			v = "Version: 0.74.0\nVulnerability DB:\n  Version: 2\n"
		}
		_, err := io.WriteString(p.Stdout, v)
		return engine.Exit{}, err
	}
	if len(s.takes) == 0 {
		return engine.Exit{Code: 1}, nil
	}
	t := s.takes[0]
	s.takes = s.takes[1:]
	if t.err != nil {
		return engine.Exit{Code: -1}, t.err
	}
	_, err := io.WriteString(p.Stdout, t.stdout)
	_, err2 := io.WriteString(p.Stderr, t.stderr)
	return t.exit, errors.Join(err, err2)
}

// Write and Truncated make the stage the artifact, too.
func (s *stage) Write(p []byte) (int, error) { return s.raw.Write(p) }
func (s *stage) Truncated() bool             { return s.cut }

// folder is the stage as the scratch folder.
type scratch struct{ s *stage }

func (f scratch) Write(name string, content []byte) error {
	f.s.files[name] = string(content)
	return nil
}
func (f scratch) Open(string) (fs.File, error) { return nil, fs.ErrNotExist }
func (f scratch) Copy(name string, from fs.File) error {
	b, err := io.ReadAll(from)
	f.s.files[name] = string(b)
	return err
}

func (s *stage) env() engine.Env {
	s.files = map[string]string{}
	return engine.Env{
		Proc: s, Work: "/scratch", Files: scratch{s}, Now: func() time.Time { return time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC) },
		Log:      slog.New(slog.NewTextHandler(&s.log, nil)),
		Progress: func(percent int, _ string) { s.percents = append(s.percents, percent) },
		Artifact: func(string, string) (engine.Artifact, error) { return s, nil },
		Proxy:    func(context.Context) (string, error) { return "127.0.0.1:3128", nil },
		Tree:     func(context.Context) (engine.Tree, error) { return engine.Tree{Dir: "/trees/shop"}, s.treeErr },
		Data: func(name string) (engine.Tree, error) {
			if s.data == nil || name != trivy.DatabaseKey {
				return engine.Tree{}, fs.ErrNotExist
			}
			return engine.Tree{Dir: "/data", FS: s.data}, nil
		},
	}
}

func database(java bool) fstest.MapFS {
	db := fstest.MapFS{
		"db/metadata.json": {Data: []byte(`{"Version":2,"UpdatedAt":"2026-11-20T06:00:00Z"}`)},
		"db/trivy.db":      {Data: []byte("advisories")},
	}
	if java {
		db["java-db/metadata.json"] = &fstest.MapFile{Data: []byte(`{"Version":1}`)}
		db["java-db/trivy-java.db"] = &fstest.MapFile{Data: []byte("archives")}
	}
	return db
}

func stderr(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name+".stderr.txt"))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestVerdicts(t *testing.T) {
	t.Parallel()
	tree, img := folder(t, `{}`), image(t, `{}`)
	whole := take{stdout: string(fixture(t, "tree"))}
	for name, c := range map[string]struct {
		req     engine.Request
		data    fs.FS
		take    take
		cut     bool
		want    engine.Outcome
		state   engine.LookState
		covered bool
	}{
		"whole":             {req: tree, data: database(false), take: whole, want: engine.Complete, state: engine.LookReached, covered: true},
		"nothing found":     {req: tree, data: database(false), take: take{stdout: string(fixture(t, "none"))}, want: engine.Complete, state: engine.LookReached, covered: true},
		"no database":       {req: tree, take: whole, want: engine.Partial, state: engine.LookPartial, covered: true},
		"only the database": {req: folder(t, `{"scanners":["vuln"]}`), take: whole, want: engine.Failed, state: engine.LookSkipped},
		"not needed":        {req: folder(t, `{"scanners":["secret"]}`), take: whole, want: engine.Complete, state: engine.LookReached, covered: true},
		"filtered":          {req: folder(t, `{"severity":["HIGH"]}`), data: database(false), take: whole, want: engine.Complete, state: engine.LookReached},
		"cut by us":         {req: tree, data: database(false), take: whole, cut: true, want: engine.Partial, state: engine.LookPartial},
		"cut off":           {req: tree, data: database(false), take: take{stdout: string(fixture(t, "cut-off")), exit: engine.Exit{Code: 1}}, want: engine.Partial, state: engine.LookPartial},
		"silent":            {req: tree, data: database(false), take: take{}, want: engine.Failed, state: engine.LookPartial},
		"something else":    {req: tree, data: database(false), take: take{stdout: "usage: trivy"}, want: engine.Failed, state: engine.LookPartial},
		"cancelled":         {req: tree, data: database(false), take: take{stderr: stderr(t, "cancel-sigint"), exit: engine.Exit{Code: 1, Canceled: true}}, want: engine.Failed, state: engine.LookPartial},
		"killed":            {req: tree, data: database(false), take: take{exit: engine.Exit{Code: -1, Signaled: true}}, want: engine.Failed, state: engine.LookPartial},
		"out of time":       {req: tree, data: database(false), take: take{stderr: stderr(t, "error-timeout"), exit: engine.Exit{Code: 1}}, want: engine.Failed, state: engine.LookPartial},
		"bad database":      {req: tree, data: database(false), take: take{stderr: stderr(t, "error-no-db"), exit: engine.Exit{Code: 1}}, want: engine.Failed, state: engine.LookPartial},
		"unreachable":       {req: img, data: database(false), take: take{stderr: stderr(t, "error-image-unreachable"), exit: engine.Exit{Code: 1}}, want: engine.NothingReachable, state: engine.LookUnreachable},
		"out of scope":      {req: img, data: database(false), take: take{stderr: "FATAL\tremote error: Get \"https://auth.example.org/\": Forbidden", exit: engine.Exit{Code: 1}}, want: engine.Blocked, state: engine.LookUnreachable},
		"no such image":     {req: img, data: database(false), take: take{stderr: "FATAL\tGET https://x/: MANIFEST_UNKNOWN: manifest unknown", exit: engine.Exit{Code: 1}}, want: engine.Failed, state: engine.LookPartial},
		"not let in":        {req: img, data: database(false), take: take{stderr: "FATAL\tGET https://x/: UNAUTHORIZED: authentication required", exit: engine.Exit{Code: 1}}, want: engine.Failed, state: engine.LookPartial},
	} {
		s := &stage{data: c.data, takes: []take{c.take}, cut: c.cut}
		v, err := trivy.New().Run(t.Context(), s.env(), c.req)
		if err != nil || v.Outcome != c.want {
			t.Errorf("%s: %+v, %v; want %s", name, v, err, c.want)
			continue
		}
		if v.Outcome != engine.Complete && len(v.Reasons) == 0 {
			t.Errorf("%s: %s without a reason", name, v.Outcome)
		}
		if len(v.Looked.Targets) != 1 || v.Looked.Targets[0].State != c.state {
			t.Errorf("%s: looked at %+v", name, v.Looked)
		}
		if v.Coverage == nil || (len(v.Coverage.Places) > 0) != c.covered {
			t.Errorf("%s: coverage %+v", name, v.Coverage)
		}
		if !slices.IsSorted(s.percents) {
			t.Errorf("%s: progress %v", name, s.percents)
		}
	}
}

func TestCoverageLeavesOutWhatWasNotLookedFor(t *testing.T) {
	t.Parallel()
	s := &stage{takes: []take{{stdout: string(fixture(t, "tree"))}}}
	v, err := trivy.New().Run(t.Context(), s.env(), folder(t, `{}`))
	if err != nil {
		t.Fatal(err)
	}
	at := finding.Location{Host: "/srv/shop", File: "go.mod"}
	if v.Coverage.Covers("trivy:vuln/CVE-2021-38561", at) || !v.Coverage.Covers("trivy:secret/x", at) || v.Coverage.Covers("trivy:secret/x", finding.Location{Host: "/srv/other"}) {
		t.Errorf("%+v", v.Coverage)
	}
	if len(s.starts) != 2 || slices.Contains(s.starts[1].Args, "vuln,misconfig,secret") {
		t.Errorf("started with %v", s.starts[1].Args)
	}
}

func TestThePathIsMissing(t *testing.T) {
	t.Parallel()
	s := &stage{data: database(false), treeErr: fault.Wrong("target", "doesn't exist where scans run")}
	if _, err := trivy.New().Run(t.Context(), s.env(), folder(t, `{}`)); fault.KindOf(err) != fault.Invalid || len(s.starts) != 0 {
		t.Errorf("%v after %d starts", err, len(s.starts))
	}
}

func TestWhatItJudgedBy(t *testing.T) {
	t.Parallel()
	s := &stage{data: database(false), takes: []take{{stdout: string(fixture(t, "tree"))}}}
	env := s.env()
	v, err := trivy.New().Run(t.Context(), env, folder(t, `{}`))
	if err != nil {
		t.Fatal(err)
	}
	want := []engine.Database{
		{Name: "Trivy vulnerability database", Version: "schema 2", UpdatedAt: time.Date(2026, 11, 20, 6, 0, 0, 0, time.UTC)},
		{Name: "Trivy's own checks and secret rules", Version: "0.74.0"},
	}
	if diff := cmp.Diff(want, v.Looked.Databases); diff != "" || v.Version != "0.74.0" || len(v.Reasons) != 0 {
		t.Errorf("%s, version %s, reasons %v", diff, v.Version, v.Reasons)
	}
	if s.files["cache/db/trivy.db"] != "advisories" || s.files["cache/db/metadata.json"] == "" {
		t.Error("the program isn't given its own copy of the database")
	}
	s.takes, s.starts = []take{{stdout: string(fixture(t, "tree"))}}, nil
	env.Now = func() time.Time { return time.Date(2027, 1, 22, 0, 0, 0, 0, time.UTC) }
	if v, err := trivy.New().Run(t.Context(), env, folder(t, `{}`)); err != nil || v.Outcome != engine.Complete || len(v.Reasons) != 1 || !strings.Contains(v.Reasons[0], "62 days") {
		t.Errorf("%+v, %v", v, err)
	}
}

func TestJavaArchivesNeedADatabaseOfTheirOwn(t *testing.T) {
	t.Parallel()
	const gaveUp = "2026-11-22T12:05:18Z\tFATAL\tFatal error\timage scan error: post analysis error: Unable to initialize the Java DB: Java DB update failed: '--skip-java-db-update' cannot be specified on the first run"
	whole := take{stdout: string(fixture(t, "image"))}
	s := &stage{data: database(false), takes: []take{{stderr: gaveUp, exit: engine.Exit{Code: 1}}, whole}}
	v, err := trivy.New().Run(t.Context(), s.env(), image(t, `{}`))
	if err != nil || v.Outcome != engine.Partial || len(s.starts) != 3 || !slices.Contains(s.starts[2].Args, "**/*.jar,**/*.war,**/*.ear,**/*.par") || len(v.Coverage.Places) != 0 {
		t.Errorf("%+v, %v, %d starts", v, err, len(s.starts))
	}
	s = &stage{data: database(true), takes: []take{{stderr: gaveUp, exit: engine.Exit{Code: 1}}, whole}}
	v, err = trivy.New().Run(t.Context(), s.env(), image(t, `{}`))
	if err != nil || v.Outcome != engine.Complete || s.files["cache/java-db/trivy-java.db"] != "archives" || slices.Contains(s.starts[2].Args, "--skip-files") {
		t.Errorf("%+v, %v", v, err)
	}
}

func TestArgumentsAreBuiltFromValues(t *testing.T) {
	t.Parallel()
	const always = " --cache-dir /scratch/cache --cache-backend memory --scanners "
	const still = " --skip-db-update --skip-java-db-update --skip-check-update --offline-scan --no-progress --format json --timeout 24h --parallel "
	for _, c := range []struct {
		req     engine.Request
		want    string
		network engine.Network
	}{
		{folder(t, `{}`), "fs" + always + "vuln,misconfig,secret" + still + "5 --list-all-pkgs --pkg-types os,library --detection-priority precise --tf-exclude-downloaded-modules -- /trees/shop", engine.NetworkNone},
		{
			folder(t, `{"scanners":["license","vuln"],"severity":["CRITICAL","HIGH"],"ignoreUnfixed":true,"pkgTypes":["library"],"includeDevDeps":true,"licenseFull":true,"listAllPackages":false,"parallel":2,"detectionPriority":"comprehensive"}`),
			"fs" + always + "vuln,license" + still + "2 --severity HIGH,CRITICAL --pkg-types library --ignore-unfixed --detection-priority comprehensive --include-dev-deps --license-full -- /trees/shop", engine.NetworkNone,
		},
		{
			image(t, `{"imagePlatform":"linux/arm64","misconfigScanners":["dockerfile"],"scanners":["misconfig","vuln"]}`),
			"image --image-src remote" + always + "vuln,misconfig" + still + "5 --list-all-pkgs --pkg-types os,library --detection-priority precise --misconfig-scanners dockerfile --tf-exclude-downloaded-modules --image-config-scanners misconfig --platform linux/arm64 -- registry.example.org/team/shop:1.0", engine.NetworkProxy,
		},
		{request(t, "image", "127.0.0.1:5000/shop:1", `{"scanners":["secret"]}`), "image --image-src remote" + always + "secret" + still + "5 --list-all-pkgs --pkg-types os,library --image-config-scanners secret -- target.localhost:5000/shop:1", engine.NetworkProxy},
	} {
		s := &stage{data: database(false), takes: []take{{stdout: "{}"}}}
		if _, err := trivy.New().Run(t.Context(), s.env(), c.req); err != nil {
			t.Fatal(err)
		}
		p := s.starts[len(s.starts)-1]
		if diff := cmp.Diff(c.want, strings.Join(p.Args, " ")); diff != "" {
			t.Error(diff)
		}
		if p.Network != c.network || c.network == engine.NetworkProxy && !slices.Contains(p.Env, "HTTPS_PROXY=http://127.0.0.1:3128") {
			t.Errorf("network %d, environment %v", p.Network, p.Env)
		}
		if c.network == engine.NetworkNone && !slices.Equal(p.Reads, []string{"/trees/shop"}) {
			t.Errorf("may read %v", p.Reads)
		}
	}
}

func TestCredentialsOfARegistryGoIntoAPrivateFile(t *testing.T) {
	t.Parallel()
	run := func(ref, auth string) (*stage, error) {
		s := &stage{takes: []take{{stdout: "{}"}}}
		req := request(t, "image", ref, `{"scanners":["secret"]}`)
		req.Config.Authentication = secret.New(auth)
		_, err := trivy.New().Run(t.Context(), s.env(), req)
		return s, err
	}
	for _, c := range []struct{ ref, auth, want string }{
		{"registry.example.org:5000/a:1", `{"type":"basic","username":"u","password":"p:w"}`, `{"auths":{"registry.example.org:5000":{"auth":"dTpwOnc="}}}`},
		{"alpine:3", `{"type":"bearer","token":"t"}`, `{"auths":{"https://index.docker.io/v1/":{"registrytoken":"t"}}}`},
		{"127.0.0.1:5000/a", `{"type":"bearer","token":"t"}`, `{"auths":{"target.localhost:5000":{"registrytoken":"t"}}}`},
	} {
		s, err := run(c.ref, c.auth)
		if err != nil || s.files[".docker/config.json"] != c.want {
			t.Errorf("%s: %q, %v", c.ref, s.files[".docker/config.json"], err)
		}
	}
	for _, auth := range []string{`{}`, `{"type":"basic"}`, `{"type":"basic","username":"a:b"}`, `{"type":"bearer"}`, `{"type":"aws","token":"x"}`, `{"type":5}`} {
		if s, err := run("alpine:3", auth); fault.KindOf(err) != fault.Invalid || len(s.starts) != 0 || strings.Contains(err.Error(), "a:b") {
			t.Errorf("%s: %v", auth, err)
		}
	}
}

func TestChecks(t *testing.T) {
	t.Parallel()
	checker, ok := trivy.New().(engine.Checker)
	if !ok {
		t.Fatal("not a Checker")
	}
	for version, want := range map[string]bool{
		"Version: 0.74.0\n": true, "Version: 0.59.1\nVulnerability DB:\n": true, "Version: v0.70.0\n": true,
		"Version: 0.69.4\n": false, "Version: 0.69.6\n": false, "usage\n": false, "Version: $(id)\n": false,
	} {
		s := &stage{version: version}
		if a := checker.Check(t.Context(), s.env()); a.Available != want || !want && a.Reason == "" {
			t.Errorf("%q: %+v", version, a)
		}
	}
	s := &stage{version: "Version: 0.69.5\n"}
	if _, err := trivy.New().Run(t.Context(), s.env(), folder(t, `{}`)); fault.Of(err).Code != fault.CodeEngine || len(s.starts) != 1 {
		t.Errorf("a malicious release is run: %v", err)
	}
	gone := fault.New(fault.Unavailable, fault.CodeEngine, "no such program")
	s = &stage{takes: []take{{err: gone}}}
	if _, err := trivy.New().Run(t.Context(), s.env(), folder(t, `{}`)); !errors.Is(err, gone) || !strings.Contains(fault.Of(err).Text, "github.com/aquasecurity") {
		t.Errorf("got %v", err)
	}
}
