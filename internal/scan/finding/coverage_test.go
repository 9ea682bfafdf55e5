package finding_test

import (
	"testing"

	"assay.dev/assay/internal/scan/finding"
)

func TestAPlaceMayBeLimitedToAPath(t *testing.T) {
	t.Parallel()
	ports := []finding.PortRange{{Protocol: "tcp", From: 80, To: 80}}
	for name, c := range map[string]struct {
		path, url string
		want      bool
	}{
		"no limit":                 {"", "http://h/a", true},
		"no limit and no URL":      {"", "", true},
		"the path itself":          {"/shop", "http://h/shop?id=1", true},
		"below the path":           {"/shop", "http://h/shop/cart", true},
		"below a folder":           {"/shop/", "http://h/shop/cart", true},
		"the root":                 {"/", "http://h", true},
		"a path that only begins":  {"/shop", "http://h/shopping", false},
		"above the path":           {"/shop/", "http://h/shop", false},
		"no URL":                   {"/shop", "", false},
		"a URL that can't be read": {"/", "http://[", false},
	} {
		cov := finding.Coverage{Places: []finding.Place{{Host: "h", Ports: ports, Rules: []string{"x:*"}, Path: c.path}}}
		if got := cov.Covers("x:y", finding.Location{Host: "h", Port: 80, URL: c.url}); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
