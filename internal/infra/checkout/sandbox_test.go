package checkout_test

import (
	"io/fs"
	"net"
	"net/http"
	"net/http/httputil"
	"path/filepath"
	"testing"
	"time"

	"assay.dev/assay/internal/infra/checkout"
	"assay.dev/assay/internal/infra/runner"
	"assay.dev/assay/internal/infra/runner/runnertest"
)

func TestGitFetchesWithinTheSandbox(t *testing.T) {
	t.Parallel()
	base, _ := server(t, repository(t), "")
	r, err := runner.New(runner.Config{Scratch: filepath.Join(t.TempDir(), "runs"), Mark: runner.Mark(t.TempDir()), Helper: runnertest.Helper(t)})
	if err != nil {
		t.Fatal(err)
	}
	work, remove, err := r.Scratch("checkout")
	if err != nil {
		t.Fatal(err)
	}
	way := &http.Server{
		Handler:           &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.Out.URL = r.In.URL }},
		ReadHeaderTimeout: time.Minute,
	}
	proc := r.Launcher(runner.Run{Scan: "checkout", Work: work, Proxy: func(l net.Listener) error { return way.Serve(l) }})
	t.Cleanup(func() { _, _, _ = proc.Close(), way.Close(), remove() })
	tree, root, err := checkout.Fetch(t.Context(), checkout.Order{URL: base + "/shop/.git", Work: work, Proc: proc, Proxy: proc.ProxyAddress})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = root.Close() })
	if text, err := fs.ReadFile(tree.FS, "config/prod.env"); err != nil || string(text) != "A=1\n" {
		t.Errorf("the file reads %q, %v", text, err)
	}
	if _, err := fs.Stat(tree.FS, ".git"); err == nil {
		t.Error("git's own pointer is left in the tree")
	}
}
