package page_test

import (
	"testing"

	"pgregory.net/rapid"

	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/page"
	"assay.dev/assay/internal/word/uid"
)

const (
	orgA uid.Org = "01900000-0000-7000-8000-00000000000a"
	orgB uid.Org = "01900000-0000-7000-8000-00000000000b"
)

func TestACursorComesBackAsTheKeyItWas(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		k := page.Key{Sort: rapid.Int64().Draw(t, "sort"), ID: rapid.StringN(1, 60, 80).Draw(t, "id")}
		filters := rapid.String().Draw(t, "filters")
		got, err := page.Parse(orgA, filters, page.Cursor(orgA, filters, k))
		if err != nil || got != k {
			t.Fatalf("%+v came back as %+v, %v", k, got, err)
		}
	})
}

func TestACursorIsOfNoUseElsewhere(t *testing.T) {
	t.Parallel()
	c := page.Cursor(orgA, page.Filters("nmap", ""), page.Key{Sort: 7, ID: "x"})
	for name, parse := range map[string]func() (page.Key, error){
		"another organization": func() (page.Key, error) { return page.Parse(orgB, page.Filters("nmap", ""), c) },
		"other filters":        func() (page.Key, error) { return page.Parse(orgA, page.Filters("", "nmap"), c) },
		"cut off":              func() (page.Key, error) { return page.Parse(orgA, page.Filters("nmap", ""), c[:8]) },
		"too long":             func() (page.Key, error) { return page.Parse(orgA, "", string(make([]byte, 1<<20))) },
		"no base64":            func() (page.Key, error) { return page.Parse(orgA, "", "!!!!") },
	} {
		if _, err := parse(); fault.KindOf(err) != fault.Invalid {
			t.Errorf("%s: got %v, want an invalid cursor", name, err)
		}
	}
}

func TestOneFilterCannotImitateTwo(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a := rapid.SliceOfN(rapid.StringOf(rapid.RuneFrom([]rune{'a', ';', 0})), 0, 4).Draw(t, "a")
		b := rapid.SliceOfN(rapid.StringOf(rapid.RuneFrom([]rune{'a', ';', 0})), 0, 4).Draw(t, "b")
		same := len(a) == len(b)
		for i := 0; same && i < len(a); i++ {
			same = a[i] == b[i]
		}
		if (page.Filters(a...) == page.Filters(b...)) != same {
			t.Fatalf("%q and %q", a, b)
		}
	})
}
