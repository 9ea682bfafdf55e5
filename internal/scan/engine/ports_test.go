package engine

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPortsAreCanonical(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"80", "80"},
		{"443,80", "80,443"},
		{"1-1024", "1-1024"},
		{"22,20-21,23-25,24", "20-25"},
		{"65535,1", "1,65535"},
		{"80,80,80-80", "80"},
	} {
		got, err := ParsePorts("ports", c.in)
		if err != nil {
			t.Errorf("ParsePorts(%q): %v", c.in, err)
			continue
		}
		if got.String() != c.want {
			t.Errorf("ParsePorts(%q) = %q, want %q", c.in, got, c.want)
		}
		if len(got.Expand()) != got.Count() {
			t.Errorf("%q expands to %d ports but counts %d", c.in, len(got.Expand()), got.Count())
		}
	}
}

func TestPortsRefuseWhatEnginesReadDifferently(t *testing.T) {
	for _, in := range []string{
		"", ",", "80,", "0", "65536", "-", "1-", "-80", "80-22", " 80", "80 ", "080", "+80", "1e3", "http", "T:80", "*",
		"80;id", "1-2-3", "٨٠", strings.Repeat("1,", 100) + "1", strings.Repeat("9", 2000),
	} {
		if got, err := ParsePorts("ports", in); err == nil {
			t.Errorf("ParsePorts(%q) = %q, want a fault", in, got)
		}
	}
}

func TestPortsWithout(t *testing.T) {
	all, err := ParsePorts("ports", "20-25,80")
	if err != nil {
		t.Fatal(err)
	}
	if got := all.Without(20, 22, 25, 80, 99).String(); got != "21,23-24" {
		t.Errorf("Without left %q", got)
	}
	if got := all.String(); got != "20-25,80" {
		t.Errorf("Without changed its receiver to %q", got)
	}
	if !all.Contains(23) || all.Contains(26) {
		t.Error("Contains is wrong about 23 or 26")
	}
	if diff := cmp.Diff(Ports{{From: 1, To: 2}, {From: 9, To: 9}}, PortsOf(9, 2, 1, 0, 70000)); diff != "" {
		t.Error(diff)
	}
}

func FuzzParsePorts(f *testing.F) {
	for _, s := range []string{"80", "1-65535", "22,20-21", "80-22", ",", "0"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		ports, err := ParsePorts("ports", in)
		if err != nil {
			return
		}
		again, err := ParsePorts("ports", ports.String())
		if err != nil || again.String() != ports.String() {
			t.Errorf("%q prints as %q, which reads as %q, %v", in, ports, again, err)
		}
	})
}
