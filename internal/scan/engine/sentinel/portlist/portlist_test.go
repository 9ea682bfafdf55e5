package portlist_test

import (
	"testing"

	"assay.dev/assay/internal/scan/engine/sentinel/portlist"
)

func TestPortListsHoldWhatTheHelpPromises(t *testing.T) {
	quick, standard := portlist.Quick(), portlist.Standard()
	if n := quick.Count(); n != 100 {
		t.Errorf("quick holds %d ports, want 100", n)
	}
	if n := standard.Count(); n != 1000 {
		t.Errorf("standard holds %d ports, want 1000", n)
	}
	for _, p := range quick.Expand() {
		if !standard.Contains(p) {
			t.Errorf("standard misses port %d of quick", p)
		}
	}
}
