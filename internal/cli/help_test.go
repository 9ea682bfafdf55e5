package cli_test

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"assay.dev/assay/internal/cli"
)

// run runs one command line in this process and returns what it wrote and its exit code.
func run(args ...string) (stdout, stderr string, code int) {
	var out, err bytes.Buffer
	code = cli.Main(args, cli.IO{Out: &out, Err: &err})
	return out.String(), err.String(), code
}

// commands walks the command tree by its own help, as a user would, and returns every command with its help.
func commands(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	listed := regexp.MustCompile(`(?m)^  ([a-z][a-z-]*) +\S`)
	var walk func(path []string)
	walk = func(path []string) {
		help, stderr, code := run(append(slices.Clone(path), "--help")...)
		name := strings.Join(path, " ")
		if code != 0 || stderr != "" {
			t.Errorf("assay %s --help exits %d and says %q", name, code, stderr)
		}
		found[name] = help
		list, _, _ := strings.Cut(help, "\nFlags:")
		for _, m := range listed.FindAllStringSubmatch(list, -1) {
			if m[1] != "help" && m[1] != "assay" {
				walk(append(slices.Clone(path), m[1]))
			}
		}
	}
	walk(nil)
	return found
}

func TestEveryCommandHelps(t *testing.T) {
	t.Parallel()
	for name, help := range commands(t) {
		first, _, _ := strings.Cut(help, "\n")
		switch {
		case !strings.Contains(help, "Usage:\n  assay "+name):
			t.Errorf("assay %s: its help doesn't show how it is called:\n%s", name, help)
		case len(first) < 10 || strings.HasPrefix(first, "Usage"):
			t.Errorf("assay %s: its help doesn't begin with what it is for: %q", name, first)
		}
		for line := range strings.SplitSeq(help, "\n") {
			if len([]rune(line)) > 160 {
				t.Errorf("assay %s: a line of its help has %d characters", name, len([]rune(line)))
			}
		}
	}
}

func TestTheContractsCommandsExist(t *testing.T) {
	t.Parallel()
	have := commands(t)
	for _, name := range []string{
		"demo", "serve", "init", "doctor", "config check", "config reference", "key create", "key list", "key revoke",
		"scans submit", "scans list", "scans get", "scans watch", "scans results", "scans cancel", "log verify", "log export",
		"keys export", "org create", "org list", "org plan", "org suspend", "version",
	} {
		help, ok := have[name]
		if !ok {
			t.Errorf("assay %s is missing", name)
			continue
		}
		parent, _, nested := strings.Cut(name, " ")
		machine := !slices.Contains([]string{"demo", "serve", "config", "log", "keys"}, parent) || name == "config reference" || name == "log verify"
		if quiet := name == "key revoke"; machine && !quiet && !strings.Contains(help, "--json") {
			t.Errorf("assay %s has no --json (nested: %v)", name, nested)
		}
	}
}

// Every command that a document shows exists, with its sub-command and its flags.
func TestDocumentedCommandsExist(t *testing.T) {
	t.Parallel()
	have := commands(t)
	groups := map[string]bool{}
	for name := range have {
		if group, _, nested := strings.Cut(name, " "); nested {
			groups[group] = true
		}
	}
	shown := regexp.MustCompile("(?m)(?:^|[`\\s(/])assay ([a-z-]+)(?: ([a-z][a-z-]*))?([^`\\n|]*)")
	flag := regexp.MustCompile(` --([a-z][a-z-]+)`)
	code := regexp.MustCompile("(?s)```.*?```|`[^`\n]+`")
	seen := 0
	for _, doc := range documents(t) {
		text, err := os.ReadFile(doc)
		if err != nil {
			t.Fatal(err)
		}
		for _, block := range code.FindAllString(string(text), -1) {
			for _, m := range shown.FindAllStringSubmatch(block, -1) {
				name := m[1]
				if groups[name] && m[2] != "" {
					name += " " + m[2]
				}
				help, ok := have[name]
				if !ok {
					t.Errorf("%s shows `assay %s`, which doesn't exist", filepath.Base(doc), name)
					continue
				}
				seen++
				rest, _, _ := strings.Cut(m[3], "#")
				rest, _, _ = strings.Cut(rest, "&&")
				for _, f := range flag.FindAllStringSubmatch(rest, -1) {
					if !strings.Contains(help, "--"+f[1]+" ") && !strings.Contains(help, "--"+f[1]+"\n") {
						t.Errorf("%s shows `assay %s --%s`, a flag that it doesn't have", filepath.Base(doc), name, f[1])
					}
				}
			}
		}
	}
	if seen < 10 {
		t.Errorf("found %d commands in the documents; the test looks in the wrong place", seen)
	}
}

func documents(t *testing.T) []string {
	t.Helper()
	root := filepath.Join("..", "..")
	docs, err := filepath.Glob(filepath.Join(root, "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	err = filepath.WalkDir(filepath.Join(root, "docs"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.HasSuffix(path, ".md") {
			docs = append(docs, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return docs
}

// What targets and servers say must not drive a terminal.
func TestMistakesNeverReachTheTerminalRaw(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"\x1b[31mred"}, {"scans", "\x1b]0;title\x07"}, {"scans", "submit", "127.0.0.1", "--option", "\x1b[2J"}, {"serve", "--\x1b[2J"},
	} {
		_, stderr, code := run(args...)
		if code != 2 || strings.ContainsAny(stderr, "\x1b\x07") {
			t.Errorf("assay %q exits %d and says %q", args, code, stderr)
		}
	}
}
