package checkout_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"net/http/httputil"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"assay.dev/assay/internal/infra/checkout"
	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/secret"
)

// launcher starts programs as they are; the real one is the runner's business. It keeps what it was given.
type launcher struct {
	work string
	mu   sync.Mutex
	got  []engine.Process
}

func (l *launcher) Launch(ctx context.Context, p engine.Process) (engine.Exit, error) {
	l.mu.Lock()
	l.got = append(l.got, p)
	l.mu.Unlock()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	cmd := exec.CommandContext(ctx, p.Program, p.Args...)
	cmd.Dir, cmd.Env = l.work, append(p.Env, "PATH="+os.Getenv("PATH"), "HOME="+l.work)
	cmd.Stderr = p.Stderr
	if p.Stdout != nil {
		cmd.Stdout = writer(func(b []byte) (int, error) {
			n, err := p.Stdout.Write(b)
			if err != nil {
				stop()
			}
			return n, err
		})
	}
	err := cmd.Run()
	var ended *exec.ExitError
	if err != nil && !errors.As(err, &ended) && ctx.Err() == nil {
		return engine.Exit{Code: -1}, err
	}
	return engine.Exit{Code: cmd.ProcessState.ExitCode(), Canceled: ctx.Err() != nil}, nil
}

type writer func([]byte) (int, error)

func (w writer) Write(b []byte) (int, error) { return w(b) }

// command runs git while a repository is made.
func command(t *testing.T, dir string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "git", append([]string{"-c", "user.name=T", "-c", "user.email=t@example.test", "-c", "init.defaultBranch=main"}, args...)...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("git %v (install the package git): %v\n%s", args, err, out)
	}
}

// server serves the repositories below a folder over git's smart HTTP; wants is the Authorization that it asks for.
func server(t *testing.T, root, wants string) (url string, seen *[]http.Header) {
	t.Helper()
	path, err := exec.CommandContext(t.Context(), "git", "--exec-path").Output()
	if err != nil {
		t.Fatalf("git --exec-path (install the package git): %v", err)
	}
	backend := &cgi.Handler{
		Path: filepath.Join(strings.TrimSpace(string(path)), "git-http-backend"), Dir: root,
		Env:    []string{"GIT_PROJECT_ROOT=" + root, "GIT_HTTP_EXPORT_ALL=1", "GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*"},
		Stderr: &bytes.Buffer{},
	}
	var mu sync.Mutex
	var headers []http.Header
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		headers = append(headers, r.Header.Clone())
		mu.Unlock()
		if wants != "" && r.Header.Get("Authorization") != wants {
			w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		backend.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	return s.URL, &headers
}

// proxy is a forward proxy that lets everything through, as a scan's lets what is in scope.
func proxy(t *testing.T) func(context.Context) (string, error) {
	t.Helper()
	s := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.Out.URL = r.In.URL }})
	t.Cleanup(s.Close)
	return func(context.Context) (string, error) { return strings.TrimPrefix(s.URL, "http://"), nil }
}

// repository makes one with what strangers put into theirs.
func repository(t *testing.T) (root string) {
	t.Helper()
	root = t.TempDir()
	dir := filepath.Join(root, "shop")
	for name, text := range map[string]string{
		"go.mod": "module example.test/shop\n", "config/prod.env": "A=1\n", ".gitattributes": "*.bin filter=lfs\n* filter=evil\n", "big.bin": "version https://git-lfs\n",
		".gitmodules": "[submodule \"x\"]\n\tpath = x\n\turl = file:///etc\n",
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	command(t, root, "init", "-q", "shop")
	command(t, dir, "add", "-A")
	command(t, dir, "commit", "-q", "-m", "one")
	return root
}

func TestRepositoryIsCheckedOutWithoutItsTricks(t *testing.T) {
	t.Parallel()
	base, _ := server(t, repository(t), "")
	work := t.TempDir()
	proc := &launcher{work: work}
	tree, root, err := checkout.Fetch(t.Context(), checkout.Order{URL: base + "/shop/.git", Work: work, Proc: proc, Proxy: proxy(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = root.Close() })
	var names []string
	err = fs.WalkDir(tree.FS, ".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			names = append(names, path)
			if !d.Type().IsRegular() {
				t.Errorf("%s is no regular file", path)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{".gitattributes", ".gitmodules", "big.bin", "config/prod.env", "go.mod", "link"}; !slices.Equal(names, want) {
		t.Errorf("files %v, want %v", names, want)
	}
	if link, err := fs.ReadFile(tree.FS, "link"); err != nil || string(link) != "/etc/passwd" {
		t.Errorf("the link reads %q, %v; want its text only", link, err)
	}
	if len(tree.Revision) != 40 || tree.Dir == "" {
		t.Errorf("tree %+v", tree)
	}
	for i, p := range proc.got {
		if want := engine.NetworkNone; i > 0 && p.Network != want || i == 0 && p.Network != engine.NetworkProxy {
			t.Errorf("start %d has network %v", i, p.Network)
		}
	}
}

func TestCredentialsTravelInTheEnvironmentOnly(t *testing.T) {
	t.Parallel()
	const login = "Basic ZmFrZTpmYWtlLXRva2Vu"
	base, seen := server(t, repository(t), login)
	work := t.TempDir()
	proc := &launcher{work: work}
	order := checkout.Order{URL: base + "/shop/.git", Work: work, Proc: proc, Proxy: proxy(t)}
	if _, _, err := checkout.Fetch(t.Context(), order); fault.KindOf(err) != fault.Unavailable || !strings.Contains(fault.Of(err).Text, "login") {
		t.Errorf("without a credential: %v", err)
	}
	order.Work, order.Header = t.TempDir(), secret.New("Authorization: "+login)
	proc.work = order.Work
	_, root, err := checkout.Fetch(t.Context(), order)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = root.Close() })
	for _, p := range proc.got {
		if strings.Contains(strings.Join(p.Args, " "), "ZmFrZ") {
			t.Error("the credential is in the arguments")
		}
	}
	if !slices.ContainsFunc(*seen, func(h http.Header) bool { return h.Get("Authorization") == login }) {
		t.Error("the server never saw the credential")
	}
}

func TestRepositoriesOverTheBoundsAreRefused(t *testing.T) {
	t.Parallel()
	base, _ := server(t, repository(t), "")
	for name, lower := range map[string]checkout.Order{"files": {MaxFiles: 2}, "bytes": {MaxBytes: 10}} {
		work := t.TempDir()
		lower.URL, lower.Work, lower.Proc, lower.Proxy = base+"/shop/.git", work, &launcher{work: work}, proxy(t)
		if _, _, err := checkout.Fetch(t.Context(), lower); fault.KindOf(err) != fault.Invalid {
			t.Errorf("%s: %v, want Invalid", name, err)
		}
		if _, err := os.Stat(filepath.Join(work, "checkout", "go.mod")); err == nil {
			t.Errorf("%s: files were written out all the same", name)
		}
	}
}

func TestWhatCantBeFetchedIsUnavailable(t *testing.T) {
	t.Parallel()
	base, _ := server(t, repository(t), "")
	for _, url := range []string{base + "/nothing/.git", "http://127.0.0.1:1/x"} {
		work := t.TempDir()
		_, _, err := checkout.Fetch(t.Context(), checkout.Order{URL: url, Work: work, Proc: &launcher{work: work}, Proxy: proxy(t)})
		if fault.KindOf(err) != fault.Unavailable || strings.Contains(fault.Of(err).Text, "127.0.0.1") {
			t.Errorf("%v, want Unavailable without the URL", err)
		}
	}
	for _, url := range []string{"file:///etc", "ssh://x/y", "ext::sh -c id", "-u"} {
		if _, _, err := checkout.Fetch(t.Context(), checkout.Order{URL: url}); fault.KindOf(err) != fault.Invalid {
			t.Errorf("%s: %v, want Invalid", url, err)
		}
	}
}
