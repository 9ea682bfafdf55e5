package finding_test

import (
	"testing"

	"assay.dev/assay/internal/scan/finding"
)

func TestAPlaceMayBeLimitedToPaths(t *testing.T) {
	t.Parallel()
	ports := []finding.PortRange{{Protocol: "tcp", From: 80, To: 80}}
	for name, c := range map[string]struct {
		paths []string
		url   string
		want  bool
	}{
		"no limit":                 {nil, "http://h/a", true},
		"no limit and no URL":      {nil, "", true},
		"the path itself":          {[]string{"/x", "/shop"}, "http://h/shop?id=1", true},
		"the root":                 {[]string{"/"}, "http://h", true},
		"below a folder":           {[]string{"/shop/*"}, "http://h/shop/cart/1", true},
		"a folder's own page":      {[]string{"/shop/*"}, "http://h/shop/", true},
		"all":                      {[]string{"/*"}, "http://h/shop", true},
		"below the path":           {[]string{"/shop"}, "http://h/shop/cart", false},
		"a path that only begins":  {[]string{"/shop"}, "http://h/shopping", false},
		"a star without a slash":   {[]string{"/shop*"}, "http://h/shopping", false},
		"above the folder":         {[]string{"/shop/*"}, "http://h/shop", false},
		"no URL":                   {[]string{"/*"}, "", false},
		"a URL that can't be read": {[]string{"/*"}, "http://[", false},
	} {
		cov := finding.Coverage{Places: []finding.Place{{Host: "h", Ports: ports, Rules: []string{"x:*"}, Paths: c.paths}}}
		if got := cov.Covers("x:y", finding.Location{Host: "h", Port: 80, URL: c.url}); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
