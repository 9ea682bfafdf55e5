package rule_test

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"assay.dev/assay/internal/scan/engine/sentinel/rule"
	"assay.dev/assay/internal/scan/finding"
)

var update = flag.Bool("update", false, "write the reference page anew")

const page = "../../../../../docs/reference/sentinel.md"

func TestReferencePageListsEveryRule(t *testing.T) {
	got := reference()
	if *update {
		if err := os.WriteFile(page, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(page)
	if err != nil {
		t.Fatalf("run with -update to write it: %v", err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("the page (-want +got); run with -update:\n%s", diff)
	}
}

func reference() string {
	var b strings.Builder
	b.WriteString(`# Sentinel's rules

<!-- Generated from internal/scan/engine/sentinel/rule by go test ./internal/scan/engine/sentinel/rule -update -->

Sentinel is Assay's own engine. It needs no other program, logs in nowhere and changes nothing at a target.

| Depth | Ports | Checks |
|---|---|---|
| quick | the 100 commonest | TLS versions, certificate, key exchange; headers and cookies; the most telling files |
| standard | 1,000 | all |
| deep | 1–65,535 | all, with more patience |

A finding closes only when a later scan did the finding's check to its end at the same place and no longer saw it, or
found its port closed. At depth quick the checks ` + "`questions`, `tls-suites`, `http-cors`, `http-methods`, `http-listing` and `files-more`" + ` are
not done, so that their findings stay open.

| Rule | Severity | Why this severity | Check | CWE |
|---|---|---|---|---|
`)
	for _, r := range rule.All() {
		var cwe []string
		for _, n := range r.CWE {
			cwe = append(cwe, fmt.Sprint(n))
		}
		fmt.Fprintf(&b, "| `%s`: %s | %s | %s | `%s` | %s |\n", r.ID, r.Title, r.Severity, r.Reason, r.Check, strings.Join(cwe, ", "))
	}
	b.WriteString("\n## What they mean and what to do\n")
	for _, r := range rule.All() {
		fmt.Fprintf(&b, "\n### %s\n\n%s %s\n", r.ID, r.About, strings.TrimSpace(r.Remedy))
		for _, ref := range r.Refs {
			fmt.Fprintf(&b, "\n- <%s>\n", ref)
		}
	}
	return b.String()
}

func TestRulesAreComplete(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range rule.All() {
		t.Run(r.ID, func(t *testing.T) {
			if seen[r.ID] || !strings.HasPrefix(r.ID, "sentinel:") {
				t.Error("the id is repeated or without prefix")
			}
			seen[r.ID] = true
			if r.Title == "" || len(r.Title) > 60 || r.About == "" || r.Remedy == "" || r.Reason == "" || r.Check == "" || r.Category == "" {
				t.Errorf("a text is missing or too long: %+v", r)
			}
			if !slices.Contains(finding.Severities(), r.Severity) {
				t.Errorf("severity %q", r.Severity)
			}
			if len(r.CWE) == 0 && r.Severity != finding.Info {
				t.Error("no CWE")
			}
			if strings.Contains(r.Reason, "|") || strings.Contains(r.Title, "|") {
				t.Error("a bar would break the reference table")
			}
		})
	}
}
