package audit

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// FuzzLineReadersAgree holds the short way of reading an entry's line against encoding/json: what the short way
// accepts, the other must accept as the same entry. It looks inside, because from outside the two can't be told apart.
func FuzzLineReadersAgree(f *testing.F) {
	f.Add([]byte(`{"index":0,"id":"x","leaf":"AQI="}`))
	f.Add([]byte(`{"index":12,"id":"x","leaf":"AQI=","salt":"AAAAAAAAAAAAAAAAAAAAAA==","clientAddress":"::1","userAgent":"é","actorName":""}`))
	f.Add([]byte(`{"index":01,"id":"","leaf":""}`))
	f.Add([]byte(`{"index":1,"id":"\u0041","leaf":"AQJ="}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var short, long lineReader
		if !short.fast(b) {
			return
		}
		d, err := long.slow(b)
		if err != nil || d.entry == nil {
			t.Fatalf("only the short way accepts %q: %v", b, err)
		}
		got, want := short.entry, *d.entry
		if string(got.leaf) != string(want.leaf) {
			t.Fatalf("leaf of %q: %x, want %x", b, got.leaf, want.leaf)
		}
		got.leaf, want.leaf = nil, nil
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(entryLine{})); diff != "" {
			t.Fatal(diff)
		}
	})
}
