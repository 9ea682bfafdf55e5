package nmap

import (
	"runtime"
	"testing"

	"assay.dev/assay/internal/scan/engine"
)

// TestParseStaysSmall reads far more than it may hold and looks at the heap on the way.
func TestParseStaysSmall(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: reads 24 MB")
	}
	const size, bound = 24 << 20, 16 << 20
	req := request(t, "10.0.0.0/20", `{}`)
	runtime.GC()
	var before, now runtime.MemStats
	runtime.ReadMemStats(&before)
	items, most := 0, uint64(0)
	_, err := New().Parse(&hosts{size: size}, req, func(engine.Item) error {
		if items++; items%20_000 == 0 {
			runtime.GC()
			runtime.ReadMemStats(&now)
			most = max(most, now.HeapAlloc)
		}
		return nil
	})
	if err != nil || items == 0 {
		t.Fatal(items, err)
	}
	if most > before.HeapAlloc+bound {
		t.Errorf("held %d MB while reading %d MB", (most-before.HeapAlloc)>>20, size>>20)
	}
	t.Logf("%d items, at most %d KiB held", items, (int64(most)-int64(before.HeapAlloc))>>10)
}
