package zap

import (
	"bytes"
	"os"
	"testing"

	"assay.dev/assay/internal/scan/engine"
)

// BenchmarkParse reads alerts as a scan of a large site has them.
func BenchmarkParse(b *testing.B) {
	raw, err := os.ReadFile("testdata/many/raw.jsonl")
	if err != nil {
		b.Fatal(err)
	}
	raw = bytes.Repeat(raw, 2000)
	req := request(b, example, `{"plan":"full"}`, `{}`)
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := New().Parse(bytes.NewReader(raw), req, func(engine.Item) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
}
