package install_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"assay.dev/assay/internal/infra/install"
	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/word/fault"
)

// launcher starts programs as the runner does, without its walls.
type launcher struct {
	first  string
	work   string
	starts *[]engine.Process
	play   bool // start nothing
	exit   int
}

func (l launcher) Launch(ctx context.Context, p engine.Process) (engine.Exit, error) {
	*l.starts = append(*l.starts, p)
	if l.play {
		_, _ = io.WriteString(p.Stderr, "the last words\n")
		return engine.Exit{Code: l.exit}, nil
	}
	path := "/usr/local/bin:/usr/bin:/bin"
	file := ""
	for dir := range strings.SplitSeq(l.first+":"+path, ":") {
		if at := filepath.Join(dir, p.Program); dir != "" && executable(at) {
			file = at
			break
		}
	}
	if file == "" {
		return engine.Exit{Code: -1}, fault.New(fault.Unavailable, fault.CodeEngine, "no such program")
	}
	cmd := exec.CommandContext(ctx, file, p.Args...)
	cmd.Env = append([]string{"PATH=" + path, "HOME=" + l.work, "TMPDIR=" + l.work, "LANG=C.UTF-8"}, p.Env...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = l.work, p.Stdout, p.Stderr
	err := cmd.Run()
	if ee := (*exec.ExitError)(nil); err != nil && !errors.As(err, &ee) {
		return engine.Exit{Code: -1}, err
	}
	return engine.Exit{Code: cmd.ProcessState.ExitCode()}, nil
}

func executable(file string) bool {
	info, err := os.Stat(file)
	return err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o111 != 0
}

// bench is an installer into a new folder, with the files it can fetch.
type bench struct {
	*install.Installer

	dir    string
	server *httptest.Server
	starts []engine.Process
}

func newBench(t *testing.T, files map[string][]byte, root, play bool) *bench {
	t.Helper()
	b := &bench{dir: filepath.Join(t.TempDir(), "engines")}
	b.server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if to := r.URL.Query().Get("to"); to != "" {
			http.Redirect(w, r, to, http.StatusFound)
			return
		}
		body, ok := files[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write(body)
	}))
	t.Cleanup(b.server.Close)
	work := t.TempDir()
	b.Installer = install.New(install.Deps{
		Dir: b.dir, Web: b.server.Client().Transport, Now: func() time.Time { return time.Unix(1_700_000_000, 0) }, Platform: "linux/amd64", Root: root,
		Start: func(first string) (engine.Launcher, error) {
			return launcher{first: first, work: work, starts: &b.starts, play: play}, nil
		},
	})
	return b
}

func sum(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

// manifest is an engine whose program comes in an archive.
func (b *bench) manifest(path string, body []byte) engine.Manifest {
	return engine.Manifest{ID: "tool", Title: "Tool", Program: "tool", Install: "Get it.", Recipes: []engine.Recipe{{
		Method: engine.MethodArchive, Program: "tool-1/bin/tool",
		Parts: []engine.Part{{Name: "tool", Version: "1", URL: b.server.URL + path, SHA256: sum(body), Platform: "linux/amd64"}, {Name: "tool", Platform: "plan9/mips", URL: "https://x.invalid/", SHA256: sum(nil)}},
	}}}
}

func (b *bench) install(t *testing.T, m engine.Manifest) (install.Receipt, error) {
	t.Helper()
	r, err := b.Pick(m, "")
	if err != nil {
		t.Fatal(err)
	}
	return b.Install(t.Context(), m, r)
}

// entry is one member of a made archive.
type entry struct {
	name string
	body string
	mode int64
	typ  byte
	link string
}

func tarball(t *testing.T, entries ...entry) []byte {
	t.Helper()
	var buf bytes.Buffer
	z := gzip.NewWriter(&buf)
	w := tar.NewWriter(z)
	for _, e := range entries {
		if e.mode == 0 {
			e.mode = 0o644
		}
		if err := w.WriteHeader(&tar.Header{Name: e.name, Mode: e.mode, Size: int64(len(e.body)), Typeflag: e.typ, Linkname: e.link}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, e.body); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func zipball(t *testing.T, entries ...entry) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := zip.NewWriter(&buf)
	for _, e := range entries {
		h := &zip.FileHeader{Name: e.name, Method: zip.Deflate}
		h.SetMode(fs.FileMode(e.mode & 0o777))
		body := e.body
		if e.typ == tar.TypeSymlink {
			h.SetMode(fs.ModeSymlink | 0o777)
			body = e.link
		}
		f, err := w.CreateHeader(h)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(f, body); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func TestArchivesAreInstalledReplacedAndRemoved(t *testing.T) {
	t.Parallel()
	one := tarball(t, entry{name: "tool-1/", typ: tar.TypeDir, mode: 0o700}, entry{name: "tool-1/bin/tool", body: "#!/bin/sh\necho one\n", mode: 0o4755}, entry{name: "tool-1/latest", typ: tar.TypeSymlink, link: "bin/tool"})
	two := zipball(t, entry{name: "tool-1/bin/tool", body: "#!/bin/sh\necho two\n", mode: 0o755})
	b := newBench(t, map[string][]byte{"/one.tar.gz": one, "/two.zip": two}, false, false)
	if _, ok, err := b.Installed("tool"); ok || err != nil {
		t.Errorf("installed before: %v, %v", ok, err)
	}
	for path, want := range map[string]string{"/one.tar.gz": "one", "/two.zip": "two"} {
		body := map[string][]byte{"/one.tar.gz": one, "/two.zip": two}[path]
		r, err := b.install(t, b.manifest(path, body))
		if err != nil || r.Program != "tool" || r.Version != "1" {
			t.Fatalf("%s: %+v, %v", path, r, err)
		}
		out, err := exec.Command(filepath.Join(install.Bin(b.dir), "tool")).Output()
		if err != nil || strings.TrimSpace(string(out)) != want {
			t.Errorf("%s: %q, %v", path, out, err)
		}
		places, err := filepath.Glob(filepath.Join(b.dir, "tool", "*", "tree"))
		if err != nil || len(places) != 1 {
			t.Errorf("%s: %v stand side by side", path, places)
		}
	}
	info, err := os.Stat(filepath.Join(install.Bin(b.dir), "tool"))
	if err != nil || info.Mode()&fs.ModeSetuid != 0 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if err := b.Remove(t.Context(), "tool"); err != nil {
		t.Fatal(err)
	}
	left, _ := filepath.Glob(filepath.Join(b.dir, "*", "*"))
	if len(left) != 0 {
		t.Errorf("left: %v", left)
	}
	if err := b.Remove(t.Context(), "tool"); fault.KindOf(err) != fault.NotFound {
		t.Errorf("removing what isn't there: %v", err)
	}
}

func TestSingleFilesAndJarsAreInstalled(t *testing.T) {
	t.Parallel()
	script, jar := []byte("#!/bin/sh\necho alone\n"), []byte("PK not really")
	b := newBench(t, map[string][]byte{"/tool-linux-amd64": script, "/tool.jar": jar}, false, false)
	m := b.manifest("/tool-linux-amd64", script)
	m.Recipes[0].Program = ""
	if _, err := b.install(t, m); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(filepath.Join(install.Bin(b.dir), "tool")).Output(); err != nil || string(out) != "alone\n" {
		t.Errorf("%q, %v", out, err)
	}
	m = b.manifest("/tool.jar", jar)
	m.Recipes[0].Program, m.Recipes[0].Parts[0].Name = "tool.jar", "tool.jar"
	if _, err := b.install(t, m); err != nil {
		t.Fatal(err)
	}
	starter, err := os.ReadFile(filepath.Join(install.Bin(b.dir), "tool"))
	if err != nil || !strings.Contains(string(starter), "exec java -jar '"+b.dir) {
		t.Errorf("%q, %v", starter, err)
	}
}

func TestWhatIsNotPinnedIsNotUsed(t *testing.T) {
	t.Parallel()
	good := tarball(t, entry{name: "tool-1/bin/tool", body: "good", mode: 0o755})
	b := newBench(t, map[string][]byte{"/a.tar.gz": good, "/cut.tar.gz": good[:len(good)/2]}, false, false)
	other := b.manifest("/a.tar.gz", []byte("something else"))
	for name, c := range map[string]struct {
		change func(*engine.Recipe)
		want   fault.Kind
	}{
		"another digest":    {func(*engine.Recipe) {}, fault.Forbidden},
		"no digest":         {func(r *engine.Recipe) { r.Parts[0].SHA256 = "" }, fault.Internal},
		"plain http":        {func(r *engine.Recipe) { r.Parts[0].URL = "http://127.0.0.1/a.tar.gz" }, fault.Internal},
		"not there":         {func(r *engine.Recipe) { r.Parts[0].URL = b.server.URL + "/none.tar.gz" }, fault.Unavailable},
		"sent on to http":   {func(r *engine.Recipe) { r.Parts[0].URL = b.server.URL + "/x?to=http://127.0.0.1:1/" }, fault.Forbidden},
		"sent on in circle": {func(r *engine.Recipe) { r.Parts[0].URL = b.server.URL + "/x?to=/x%3Fto=/x" }, fault.Unavailable},
		"a broken archive": {func(r *engine.Recipe) {
			r.Parts[0].URL, r.Parts[0].SHA256 = b.server.URL+"/cut.tar.gz", sum(good[:len(good)/2])
		}, fault.Invalid},
		"a program that isn't in it": {func(r *engine.Recipe) { r.Parts[0].SHA256, r.Program = sum(good), "tool-1/bin/other" }, fault.Internal},
		"a program outside of it":    {func(r *engine.Recipe) { r.Parts[0].SHA256, r.Program = sum(good), "../../../../bin/sh" }, fault.Internal},
		"wheels without hashes":      {func(r *engine.Recipe) { r.Method, r.Lock = engine.MethodPip, "tool==1\n" }, fault.Internal},
		"an image without digest":    {func(r *engine.Recipe) { r.Method, r.Parts[0].SHA256 = engine.MethodContainer, "latest" }, fault.Internal},
	} {
		m := other
		r := m.Recipes[0]
		r.Parts = append([]engine.Part{}, r.Parts...)
		c.change(&r)
		_, err := b.Install(t.Context(), m, r)
		if fault.KindOf(err) != c.want {
			t.Errorf("%s: %v (%s)", name, err, fault.KindOf(err))
		}
		left, _ := filepath.Glob(filepath.Join(b.dir, "tool", "*"))
		links, _ := filepath.Glob(filepath.Join(b.dir, "bin", "*"))
		if len(left)+len(links) != 0 {
			t.Errorf("%s: left %v %v", name, left, links)
		}
	}
}

func TestHostileArchivesAreRefused(t *testing.T) {
	t.Parallel()
	program := entry{name: "tool-1/bin/tool", body: "x", mode: 0o755}
	for name, archive := range map[string][]byte{
		"up.tar.gz":         tarball(t, program, entry{name: "../evil", body: "x"}),
		"deepup.tar.gz":     tarball(t, program, entry{name: "a/../../evil", body: "x"}),
		"absolute.tar.gz":   tarball(t, program, entry{name: "/tmp/assay-evil", body: "x"}),
		"backslash.tar.gz":  tarball(t, program, entry{name: `..\evil`, body: "x"}),
		"link.tar.gz":       tarball(t, program, entry{name: "l", typ: tar.TypeSymlink, link: "/etc"}),
		"linkup.tar.gz":     tarball(t, program, entry{name: "a/l", typ: tar.TypeSymlink, link: "../../x"}),
		"through.tar.gz":    tarball(t, program, entry{name: "d/l", typ: tar.TypeSymlink, link: "../.."}, entry{name: "d/l/evil", body: "x"}),
		"hard.tar.gz":       tarball(t, program, entry{name: "h", typ: tar.TypeLink, link: "tool-1/bin/tool"}),
		"fifo.tar.gz":       tarball(t, program, entry{name: "f", typ: tar.TypeFifo}),
		"device.tar.gz":     tarball(t, program, entry{name: "f", typ: tar.TypeChar}),
		"twice.tar.gz":      tarball(t, program, program),
		"zipup.zip":         zipball(t, program, entry{name: "../evil", body: "x", mode: 0o644}),
		"ziplink.zip":       zipball(t, program, entry{name: "l", typ: tar.TypeSymlink, link: "/etc/passwd"}),
		"zipbackslash.zip":  zipball(t, program, entry{name: `a\..\..\evil`, body: "x", mode: 0o644}),
		"nothing.tar.gz":    {},
		"notgzip.tar.gz":    []byte("hello"),
		"notzip.zip":        []byte("hello"),
		"emptyname.tar.gz":  tarball(t, program, entry{name: "", body: "x"}),
		"nestedlink.tar.gz": tarball(t, program, entry{name: "l", typ: tar.TypeSymlink, link: "m"}, entry{name: "m", typ: tar.TypeSymlink, link: ".."}),
	} {
		b := newBench(t, map[string][]byte{"/" + name: archive}, false, false)
		_, err := b.install(t, b.manifest("/"+name, archive))
		if k := fault.KindOf(err); err == nil || k != fault.Forbidden && k != fault.Invalid && k != fault.Internal {
			t.Errorf("%s: %v", name, err)
		}
		err = filepath.WalkDir(filepath.Dir(b.dir), func(path string, d fs.DirEntry, err error) error {
			if err == nil && strings.Contains(d.Name(), "evil") {
				t.Errorf("%s: wrote %s", name, path)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat("/tmp/assay-evil"); err == nil {
		t.Error("an absolute name was written")
	}
}

func TestPackagesOfTheSystemNeedRoot(t *testing.T) {
	t.Parallel()
	m := engine.Manifest{ID: "tool", Title: "Tool", Program: "tool", Recipes: []engine.Recipe{{Method: engine.MethodSystem, Parts: []engine.Part{{Name: "tool"}}}}}
	b := newBench(t, nil, false, true)
	r, err := b.install(t, m)
	if err != nil || len(r.Commands) != 1 || r.Commands[0] != "apt-get install --no-install-recommends tool" || len(b.starts) != 0 {
		t.Errorf("%+v, %v, %v", r, err, b.starts)
	}
	b = newBench(t, nil, true, true)
	if r, err = b.install(t, m); err != nil || len(r.Commands) != 0 || len(b.starts) != 1 || strings.Join(b.starts[0].Args, " ") != "install --yes --no-install-recommends -- tool" {
		t.Errorf("%+v, %v, %+v", r, err, b.starts)
	}
	m.Recipes[0].Parts[0].Name = "--allow-downgrades"
	if _, err = b.install(t, m); err == nil {
		t.Error("an option passes as a package's name")
	}
}

func TestImagesArePulledByDigest(t *testing.T) {
	t.Parallel()
	m := engine.Manifest{ID: "tool", Title: "Tool", Program: "tool", Recipes: []engine.Recipe{{Method: engine.MethodContainer, Parts: []engine.Part{{Name: "registry.example/tool", SHA256: sum(nil)}}}}}
	b := newBench(t, nil, false, true)
	if _, err := b.install(t, m); err != nil || len(b.starts) != 1 || strings.Join(b.starts[0].Args, " ") != "pull registry.example/tool@sha256:"+sum(nil) {
		t.Errorf("%v, %+v", err, b.starts)
	}
}

func TestOnlyRecipesThatFitArePicked(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil, false, true)
	foreign := engine.Recipe{Method: engine.MethodArchive, Parts: []engine.Part{{Name: "x", Platform: "plan9/mips"}}}
	system := engine.Recipe{Method: engine.MethodSystem, Parts: []engine.Part{{Name: "x"}}}
	m := engine.Manifest{Title: "X", Program: "x", Install: "By hand.", Recipes: []engine.Recipe{foreign, system}}
	if r, err := b.Pick(m, ""); err != nil || r.Method != engine.MethodSystem {
		t.Errorf("%+v, %v", r, err)
	}
	if _, err := b.Pick(m, engine.MethodArchive); fault.KindOf(err) != fault.Unsupported {
		t.Error(err)
	}
	m.Recipes = nil
	if _, err := b.Pick(m, ""); fault.KindOf(err) != fault.Unsupported || !strings.Contains(err.Error(), "By hand.") {
		t.Error(err)
	}
	if _, err := b.Pick(engine.Manifest{Title: "Own"}, ""); fault.KindOf(err) != fault.Unsupported {
		t.Error(err)
	}
}

// TestAProgramWithinAWheelIsMadeExecutable: a program that lies in a package of a wheel is none of its scripts, and not
// all wheels say that it is one.
func TestAProgramWithinAWheelIsMadeExecutable(t *testing.T) {
	t.Parallel()
	var wheel bytes.Buffer
	z := zip.NewWriter(&wheel)
	for name, body := range map[string]string{
		"toolwheel/bin/tool":              "#!/bin/sh\necho tool 1\n",
		"toolwheel-1.dist-info/METADATA":  "Metadata-Version: 2.1\nName: toolwheel\nVersion: 1\n",
		"toolwheel-1.dist-info/WHEEL":     "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
		"toolwheel-1.dist-info/RECORD":    "toolwheel/bin/tool,,\ntoolwheel-1.dist-info/METADATA,,\ntoolwheel-1.dist-info/WHEEL,,\ntoolwheel-1.dist-info/RECORD,,\n",
		"toolwheel-1.dist-info/INSTALLER": "",
	} {
		w, err := z.Create(name)
		if err == nil {
			_, err = io.WriteString(w, body)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "toolwheel-1-py3-none-any.whl")
	if err := os.WriteFile(file, wheel.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	recipe := engine.Recipe{
		Method: engine.MethodPip, Lock: file + " --hash=sha256:" + sum(wheel.Bytes()) + "\n", Program: "toolwheel/bin/tool",
		Parts: []engine.Part{{Name: "toolwheel", Version: "1", Platform: "linux/amd64"}},
	}
	m := engine.Manifest{ID: "tool", Title: "Tool", Program: "tool", Recipes: []engine.Recipe{recipe}}
	b := newBench(t, nil, false, false)
	if _, err := b.install(t, m); err != nil {
		t.Fatalf("python3-venv is needed: %v: %v", err, errors.Unwrap(err))
	}
	out, err := exec.Command(filepath.Join(install.Bin(b.dir), "tool")).CombinedOutput()
	if err != nil || string(out) != "tool 1\n" {
		t.Errorf("%q, %v", out, err)
	}
	m.Recipes[0].Program = "toolwheel/../../../../bin/python3"
	if _, err := b.install(t, m); err == nil {
		t.Error("a program outside of the packages was taken")
	}
}

// TestWheelsAreInstalledByHash installs a released wheel for real, with the package index that pip is set up for.
func TestWheelsAreInstalledByHash(t *testing.T) {
	t.Parallel()
	const lock = "sqlmap==1.10.10 --hash=sha256:32c4b516735c1c1a3183effd0d50a9217c9f22fc9e8b17ca4c4f6a5f2028bd93\n"
	recipe := engine.Recipe{Method: engine.MethodPip, Lock: lock, Needs: []string{"python3"}, Parts: []engine.Part{{Name: "sqlmap", Version: "1.10.10"}}}
	m := engine.Manifest{ID: "sqlmap", Title: "sqlmap", Program: "sqlmap", Recipes: []engine.Recipe{recipe}}
	b := newBench(t, nil, false, false)
	r, err := b.install(t, m)
	if err != nil {
		t.Fatalf("python3-venv and a package index are needed: %v: %v", err, errors.Unwrap(err))
	}
	out, err := exec.Command(filepath.Join(install.Bin(b.dir), "sqlmap"), "--version").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "1.10.10") || r.Version != "1.10.10" {
		t.Errorf("%q, %v, %+v", out, err, r)
	}
	// Another hash, and nothing of it is kept.
	m.Recipes[0].Lock = strings.Replace(lock, "32c4", "0000", 1)
	if _, err := b.install(t, m); err == nil {
		t.Error("a wheel of another hash was installed")
	}
	if got, ok, err := b.Installed("sqlmap"); !ok || err != nil || got.Recipe != r.Recipe {
		t.Errorf("the earlier installation: %+v, %v, %v", got, ok, err)
	}
	if out, err := exec.Command(filepath.Join(install.Bin(b.dir), "sqlmap"), "--version").CombinedOutput(); err != nil {
		t.Errorf("the earlier program: %q, %v", out, err)
	}
}
