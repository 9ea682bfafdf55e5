package egress_test

import (
	"net/netip"
	"net/url"
	"testing"

	"assay.dev/assay/internal/infra/egress"
)

func TestAnAddressIsJudgedBeforeItIsKept(t *testing.T) {
	t.Parallel()
	closed := egress.NewTransport(egress.TransportConfig{})
	open := egress.NewTransport(egress.TransportConfig{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("10.0.0.0/8")}})
	for address, want := range map[string][2]bool{ // without and with what the operator allows
		"https://hooks.example.org/": {true, true},
		"http://hooks.example.org/":  {false, true}, // each of its addresses is judged when it is connected to
		"https://8.8.8.8/":           {true, true},
		"http://8.8.8.8/":            {false, false},
		"https://127.0.0.1/":         {false, true},
		"http://127.0.0.1:9000/":     {false, true},
		"https://10.1.2.3/":          {false, true},
		"https://192.168.0.1/":       {false, false},
		"https://169.254.169.254/":   {false, false},
		"https://[::1]/":             {false, false},
		"https://[::ffff:10.0.0.1]/": {false, true},
		"https://0.0.0.0/":           {false, false},
		"https://[fe80::1%25eth0]/":  {false, false},
	} {
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		if got := [2]bool{closed.Check(u) == nil, open.Check(u) == nil}; got != want {
			t.Errorf("%s: %v, want %v", address, got, want)
		}
	}
}
