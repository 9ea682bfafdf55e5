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

Sentinel is Assay's own engine. It needs no other program (but git, to fetch repositories), logs in nowhere and changes
nothing at a target.

| Depth | Ports | Pages | Parameters | Checks |
|---|---|---|---|---|
| quick | the 100 commonest | 30, at most 2.5 s | 20 | TLS versions, certificate, key exchange; SSH; headers and cookies; the most telling files; DNS without names below |
| standard | 1,000 | 100 | 100 | all |
| deep | 1–65,535 | 300 | 300 | all, with more patience |

A finding closes only when a later scan did the finding's check to its end at the same place and no longer saw it, or
found its port closed. At depth quick the checks ` + "`questions`, `tls-suites`, `http-cors`, `http-methods`, `http-listing` and `files-more`" + ` are
not done, so that their findings stay open. The check ` + "`crawl`" + ` counts as done when every page that was linked was visited,
` + "`parameters`" + ` when every parameter was asked to the end.

## What is sent

- **Web.** GET requests to pages of the same origin, within the folder of the URL that was ordered; links that sound like
  logging out or deleting are left alone. A parameter is asked whether it comes back unescaped (a random word with ` + "`'\"><`" + `), whether
  it decides on a redirect (to a name below ` + "`.invalid`" + `), whether it opens ` + "`/etc/passwd`" + ` (the line of root counts, nothing of it is
  kept), and whether a quote or a condition changes a query. At standard and deep a login form gets at most five POST requests
  with a user that nobody is.
- **DNS.** Questions to the configured resolvers: addresses, servers, mail, SPF with what it includes, DMARC, some forty DKIM
  selectors, MTA-STS, TLS reports, CAA, DNSKEY and DS; at standard and deep 25 usual names below the domain. At most 200.
  Signatures are verified here. A zone transfer is tried, and an MTA-STS policy fetched, only where the scan's scope lets
  the server be reached.
- **TLS and SSH.** Handshakes that are broken off. No key is used.

## Trees: repositories and folders

Repositories are fetched by git (depth 1, http and https only, no hooks, filters, submodules, LFS or links), at most 1 GiB on the
way, 4 GiB and 300,000 files in all, within 15 minutes. The history isn't looked at. Credentials are known by gitleaks' rules; no
value is kept, but a fingerprint by the organization's key. A line that holds ` + "`gitleaks:allow`" + ` is left out, as are lock files
and vendored code. Packages come from lock files, package databases and, where no lock file lies beside them, manifests that
fix versions. Their vulnerabilities are other engines' business.

Left out and counted in the result: files over 8 MiB (32 MiB for lock files), files that aren't text, archives, links, folders deeper
than 64. More than 1,000,000 files, 4 GiB, 3,000 credentials or 100,000 packages make the scan partial.

## Post-quantum readiness

Every TLS and SSH endpoint has one line of inventory (` + "`crypto-endpoint`, `crypto-ssh`" + `): versions, suites, groups, key, and whether key
exchange and authentication withstand quantum computers. ` + "`tls-no-pq-kex` and `pq-ssh-kex`" + ` matter today, because recorded traffic can be
read later; ` + "`pq-authentication`" + ` doesn't yet. Certificates and keys become assets with algorithm, size and ` + "`quantumSafe`" + `, those that lie
in trees too (` + "`crypto-tree`" + ` sums them up).

## Rules

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
