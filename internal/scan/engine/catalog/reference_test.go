package catalog

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"assay.dev/assay/internal/scan/engine"
)

var update = flag.Bool("update", false, "write the generated parts of docs/engines.md anew")

const reference = "../../../../docs/engines.md"

// TestReferenceFollowsTheManifests holds docs/engines.md to what the engines declare.
func TestReferenceFollowsTheManifests(t *testing.T) {
	b, err := os.ReadFile(reference)
	if err != nil {
		t.Fatal(err)
	}
	got := string(b)
	for _, e := range All() {
		m := e.Manifest()
		begin, end := "<!-- "+m.ID+": generated -->\n", "<!-- end -->"
		before, rest, ok := strings.Cut(got, begin)
		_, after, ok2 := strings.Cut(rest, end)
		if (!ok || !ok2) && *update {
			got += "\n## " + m.Title + "\n\n" + m.Description + "\n\n" + begin + describe(t, m) + end + "\n"
			continue
		}
		if !ok || !ok2 {
			t.Errorf("docs/engines.md has no part for %s: -update adds one, which you may then write more into, outside of %q and %q", m.ID, strings.TrimSpace(begin), end)
			continue
		}
		got = before + begin + describe(t, m) + end + after
	}
	if *update {
		if err := os.WriteFile(reference, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(string(b), got); diff != "" {
		t.Errorf("docs/engines.md isn't what the manifests say; -update writes it anew:\n%s", diff)
	}
}

// describe prints an engine's facts and options as Markdown.
func describe(t *testing.T, m engine.Manifest) string {
	t.Helper()
	var s strings.Builder
	var targets, config []string
	for _, typ := range m.Targets {
		targets = append(targets, "`"+string(typ)+"`")
	}
	for _, f := range m.Config {
		config = append(config, "`"+string(f)+"`")
	}
	if len(config) == 0 {
		config = []string{"none"}
	}
	fmt.Fprintf(&s, "Target types: %s. Config fields: %s.\n\n", strings.Join(targets, ", "), strings.Join(config, ", "))
	sources(&s, m)
	recipes(&s, m)
	s.WriteString("| option | value | default | meaning |\n|---|---|---|---|\n")
	for _, o := range m.Options {
		fmt.Fprintf(&s, "| `%s` | %s | %s | %s |\n", o.Name, values(o), standard(t, o), strings.ReplaceAll(o.Help+notes(o), "|", "\\|"))
	}
	return s.String()
}

// sources prints whom an engine asks beside its target.
func sources(s *strings.Builder, m engine.Manifest) {
	if m.Passive {
		s.WriteString("It never connects to the target: a domain rule of the scan scope is enough, also for a domain without an address.\n\n")
	}
	if len(m.Sources) == 0 {
		return
	}
	s.WriteString("| source | what it is | asked at | key |\n|---|---|---|---|\n")
	for _, src := range m.Sources {
		key := "–"
		if src.Key {
			key = "wanted"
		}
		fmt.Fprintf(s, "| `%s` | %s | %s | %s |\n", src.ID, src.Title, src.URL, key)
	}
	s.WriteString("\n")
}

// recipes prints how to get an engine's program, and what to know before it is got.
func recipes(s *strings.Builder, m engine.Manifest) {
	if m.Program == "" {
		return
	}
	fmt.Fprintf(s, "How to get it. %s\n\n", m.Install)
	if len(m.Recipes) > 0 {
		fmt.Fprintf(s, "| method | what | pinned by | needs | |\n|---|---|---|---|---|\n")
	}
	for _, r := range m.Recipes {
		var names, pins []string
		for _, p := range r.Parts {
			names = append(names, strings.TrimSpace(strings.Join([]string{p.Name, p.Version, p.Platform}, " ")))
			if p.SHA256 != "" {
				pins = append(pins, "sha256 `"+p.SHA256[:min(12, len(p.SHA256))]+"…`")
			}
		}
		switch {
		case r.Lock != "":
			pins = []string{"a hash for each wheel"}
		case r.Method == engine.MethodSystem:
			pins = []string{"the distribution's signature"}
		}
		fmt.Fprintf(s, "| `%s` | %s | %s | %s | %s |\n", r.Method, strings.Join(names, ", "), strings.Join(pins, ", "), strings.Join(r.Needs, ", "), r.Note)
	}
	if len(m.Recipes) > 0 {
		s.WriteString("\n")
	}
	fmt.Fprintf(s, "Licence. %s\n\n", m.Licence)
}

func values(o engine.Option) string {
	switch o.Type {
	case engine.TypeBool:
		return "true, false"
	case engine.TypeInt:
		return fmt.Sprintf("%d–%d", o.Min, o.Max)
	case engine.TypeEnum:
		return strings.Join(o.Enum, ", ")
	case engine.TypeEnumSet:
		return "list of " + strings.Join(o.Enum, ", ")
	case engine.TypePorts:
		return fmt.Sprintf("ports, at most %d ranges", engine.MaxPortRanges)
	case engine.TypeTargets:
		return fmt.Sprintf("list of at most %d addresses and networks", o.Max)
	}
	return string(o.Type)
}

func standard(t *testing.T, o engine.Option) string {
	t.Helper()
	if o.Default == nil {
		return "–"
	}
	b, err := json.Marshal(o.Default)
	if err != nil {
		t.Fatal(err)
	}
	return "`" + strings.Trim(string(b), `"`) + "`"
}

func notes(o engine.Option) string {
	var s string
	if o.Needs != "" {
		s += " Needs `" + o.Needs + "`."
	}
	for _, v := range o.Enum {
		if need := o.ValueNeeds[v]; need != "" {
			s += " `" + v + "` needs `" + need + "`."
		}
	}
	if len(o.Excludes) > 0 {
		s += " Not together with " + strings.Join(o.Excludes, ", ") + "."
	}
	if o.Consent != "" {
		s += " Anything but the default needs `" + o.Consent + "`: true."
	}
	return s
}
