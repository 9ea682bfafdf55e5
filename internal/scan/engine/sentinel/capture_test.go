//go:build capture

package sentinel

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/testkit/targets"
)

// TestCaptureRaw writes the cases' raw output from real runs: `go test -tags capture -run TestCaptureRaw`, then -update.
// The other cases are cut or damaged copies.
func TestCaptureRaw(t *testing.T) {
	w, at := weakTarget(t), hardened(t)
	weak := scan(t.Context(), t, order(t, "127.0.0.1", map[string]string{"ports": strconv.Quote("1-9," + w.PortList())}), 0).raw
	safe := scan(t.Context(), t, order(t, "https://"+at.String()+"/", nil), 0).raw
	quick := scan(t.Context(), t, order(t, w.URL("http"), map[string]string{"depth": `"quick"`, "probes": `["http","files"]`}), 0).raw
	domain := scanIn(t.Context(), t, orderOf(t, "shop.test", asset.TypeDomain, map[string]string{"ports": strconv.Quote("1"), "depth": `"quick"`}), 0,
		func(e *engine.Env) { e.DNS = resolver(t, domainRecords()...) }).raw
	files := scanIn(t.Context(), t, orderOf(t, "/srv/shop", asset.TypeFilesystem, nil), 0, treeOf(t, targets.Repository(t))).raw
	pages := scan(t.Context(), t, order(t, targets.Web(t).URL, nil), 0).raw
	lines := strings.SplitAfter(weak, "\n")
	for name, raw := range map[string]string{
		"domain": domain, "tree": files, "pages": pages, "weak": weak, "hardened": safe, "quick": quick,
		"cut":     weak[:len(weak)*2/3],
		"damaged": lines[0] + lines[1] + "{\"host\":\n" + strings.Join(lines[2:], ""),
	} {
		if err := os.MkdirAll(filepath.Join("testdata", name), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join("testdata", name, "raw.jsonl"), []byte(raw), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
