// Package runnertest gives tests the program that confines engines' programs, so that they run as they do in the
// product.
//
// Only tests may import it; it knows nothing of the runner. Start with Helper.
package runnertest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
)

// built is the helper of this test binary.
var built = sync.OnceValues(build) //nolint:gochecknoglobals // one build for all tests of a binary

// Helper returns the path of assay-sandbox as it stands in this tree, for runner.Config.Helper. It is built once for
// each test binary, into the user's cache. Where the machine knows no sandbox it is empty.
func Helper(tb testing.TB) string {
	tb.Helper()
	if runtime.GOOS != "linux" {
		return ""
	}
	path, err := built()
	if err != nil {
		tb.Fatal(err)
	}
	return path
}

// Build is Helper for TestMain, which has no testing.TB.
func Build() (string, error) { return built() }

func build() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	dir := filepath.Join(cache, "assay-test")
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // a program that anybody may read
		return "", err
	}
	// Another test binary may build at the same time: what is there is replaced whole.
	fresh, err := os.MkdirTemp(dir, "build-")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(fresh) }()
	out := filepath.Join(fresh, "assay-sandbox")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", out, "assay.dev/assay/cmd/assay-sandbox") //nolint:noctx,gosec // as long as the build takes; out is a path of ours
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")                                                                      //nolint:forbidigo // the build needs the go command's own settings
	if text, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building assay-sandbox: %w\n%s", err, text)
	}
	path := filepath.Join(dir, "assay-sandbox")
	return path, os.Rename(out, path)
}
