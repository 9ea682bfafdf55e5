package tree_test

import (
	"os"
	"runtime"
	"testing"

	"assay.dev/assay/internal/inspect/secrets"
	"assay.dev/assay/internal/scan/engine/sentinel/tree"
)

// BenchmarkWalk looks through the source of Go itself.
func BenchmarkWalk(b *testing.B) {
	root, err := os.OpenRoot(runtime.GOROOT() + "/src") //nolint:staticcheck // the folder of the toolchain that runs this
	if err != nil {
		b.Skip("the toolchain's source isn't here")
	}
	b.Cleanup(func() { _ = root.Close() })
	scan := secrets.New()
	b.ReportAllocs()
	for b.Loop() {
		n := 0
		sum := tree.Walk(b.Context(), root.FS(), scan, all(), func(tree.File) { n++ })
		b.SetBytes(sum.Bytes)
		b.ReportMetric(float64(sum.Files), "files")
		b.ReportMetric(float64(sum.Leaks), "leaks")
		_ = n
	}
}
