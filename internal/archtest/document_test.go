package archtest_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// documents are what a newcomer reads; each path and make target in them must exist.
func documents() []string {
	return []string{"README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md"}
}

func TestDocumentsNameOnlyWhatExists(t *testing.T) {
	t.Parallel()
	root := filepath.Join("..", "..")
	makefile, err := os.ReadFile(filepath.Join(root, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	target := regexp.MustCompile("`make ([a-z][a-z -]*)`")
	path := regexp.MustCompile("(?:`|\\]\\()((?:internal|cmd|docs|tools|api|deploy)/[A-Za-z0-9_./-]*)")
	link := regexp.MustCompile(`\]\(([A-Za-z0-9_./-]+)\)`)
	for _, name := range documents() {
		text, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range target.FindAllStringSubmatch(string(text), -1) {
			for word := range strings.FieldsSeq(m[1]) {
				if !regexp.MustCompile(`(?m)^` + word + `:`).Match(makefile) {
					t.Errorf("%s names `make %s`, which the Makefile doesn't know", name, word)
				}
			}
		}
		for _, re := range []*regexp.Regexp{path, link} {
			for _, m := range re.FindAllStringSubmatch(string(text), -1) {
				p := strings.TrimRight(m[1], "./")
				if strings.Contains(p, "<") {
					continue
				}
				if _, err := os.Stat(filepath.Join(root, filepath.FromSlash(p))); err != nil {
					t.Errorf("%s names %s, which doesn't exist", name, m[1])
				}
			}
		}
	}
}

// Every package has a room in the plan, and every room of the plan that is a package exists.
func TestThePlanShowsEveryPackage(t *testing.T) {
	t.Parallel()
	plan, err := os.ReadFile(filepath.Join("..", "..", "ARCHITECTURE.md"))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, s := range load(t) {
		last := s.pkg[strings.LastIndexByte(s.pkg, '/')+1:]
		if seen[s.pkg] || s.pkg == "cmd/assay" {
			continue
		}
		seen[s.pkg] = true
		if !regexp.MustCompile(`\b` + last + `/`).Match(plan) {
			t.Errorf("ARCHITECTURE.md shows no room for %s", s.pkg)
		}
	}
}
