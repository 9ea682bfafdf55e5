package api_test

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"assay.dev/assay/internal/org/access"
	"assay.dev/assay/internal/testkit"
	"assay.dev/assay/internal/web/api"
	"assay.dev/assay/internal/web/api/hookapi"
	"assay.dev/assay/internal/web/api/platform"
	"assay.dev/assay/internal/web/api/scanapi"
	"assay.dev/assay/internal/web/api/vaultapi"
	"assay.dev/assay/internal/web/problem"
	"assay.dev/assay/internal/word/event"
)

// table is every route of the product, with no services behind it.
func table() []api.Entry {
	return slices.Concat(
		scanapi.Routes(scanapi.Deps{}), hookapi.Routes(hookapi.Deps{}), platform.Routes(platform.Deps{Metrics: http.NotFoundHandler()}), vaultapi.Routes(vaultapi.Deps{}),
	)
}

func TestTheCommittedDocumentIsTheTables(t *testing.T) {
	t.Parallel()
	got, err := api.Document(table())
	if err != nil {
		t.Fatal(err)
	}
	testkit.Golden(t, "../../../../api/openapi.json", got)
}

func TestRoutesInCodeAreRoutesInTheDocument(t *testing.T) {
	t.Parallel()
	a, err := api.New(api.Deps{}, table())
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Paths map[string]map[string]struct {
			Summary     string                     `json:"summary"`
			Description string                     `json:"description"`
			OperationID string                     `json:"operationId"`
			Security    []map[string][]string      `json:"security"`
			Scope       string                     `json:"x-scope"`
			Action      string                     `json:"x-audit-action"`
			Responses   map[string]json.RawMessage `json:"responses"`
			Parameters  []struct {
				Name string `json:"name"`
				In   string `json:"in"`
			} `json:"parameters"`
		} `json:"paths"`
	}
	text, err := a.JSON()
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	inDoc := map[string]bool{}
	for path, ops := range doc.Paths {
		for verb, op := range ops {
			if op.Summary == "" || op.Description == "" {
				t.Errorf("%s %s isn't described", verb, path)
			}
			inDoc[strings.ToUpper(verb)+" "+path] = true
		}
	}
	for _, e := range a.Entries() {
		r := e.Route()
		if e.Hidden() {
			continue
		}
		op, ok := doc.Paths[r.Path][strings.ToLower(r.Method)]
		if !ok {
			t.Errorf("%s is not in the document", e.Pattern())
			continue
		}
		delete(inDoc, e.Pattern())
		if (r.Scope == access.Public) != (len(op.Security) == 0) || op.Scope != string(r.Scope) {
			t.Errorf("%s: scope %q, security %v", e.Pattern(), op.Scope, op.Security)
		}
		inPath := 0
		for _, p := range op.Parameters {
			if p.In == "path" && strings.Contains(r.Path, "{"+p.Name+"}") {
				inPath++
			}
		}
		if inPath != strings.Count(r.Path, "{") {
			t.Errorf("%s: %d of its path's parameters are read", e.Pattern(), inPath)
		}
		if r.Exempt != (op.Action == "none") || op.OperationID == "" {
			t.Errorf("%s: audit action %q, operation id %q", e.Pattern(), op.Action, op.OperationID)
		}
		if !r.Exempt && (op.Responses["429"] == nil || op.Responses["503"] == nil) {
			t.Errorf("%s: without 429 or 503", e.Pattern())
		}
	}
	if len(inDoc) > 0 {
		t.Errorf("in the document but not in the table: %v", inDoc)
	}
}

func TestEveryReferenceOfTheDocumentLeadsSomewhere(t *testing.T) {
	t.Parallel()
	b, err := api.Document(table())
	if err != nil {
		t.Fatal(err)
	}
	var doc map[string]any
	if err := json.Unmarshal(b, &doc); err != nil {
		t.Fatal(err)
	}
	used := map[string]bool{}
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			if ref, ok := v["$ref"].(string); ok {
				used[ref] = true
			}
			for _, x := range v {
				walk(x)
			}
		case []any:
			for _, x := range v {
				walk(x)
			}
		}
	}
	walk(doc)
	for ref := range used {
		var at any = doc
		for name := range strings.SplitSeq(strings.TrimPrefix(ref, "#/"), "/") {
			m, _ := at.(map[string]any)
			at = m[name]
		}
		if at == nil {
			t.Errorf("%s leads nowhere", ref)
		}
	}
	if len(used) < 50 {
		t.Errorf("only %d references", len(used))
	}
}

func TestExemptRoutesAreExactlyTheDocumentedOnes(t *testing.T) {
	t.Parallel()
	a, err := api.New(api.Deps{}, table())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range a.Entries() {
		if e.Route().Exempt {
			got = append(got, e.Pattern())
		}
	}
	slices.Sort(got)
	want := []string{
		"GET /api/status", "GET /docs", "GET /docs/app.css", "GET /docs/app.js", "GET /docs/icon.svg", "GET /health",
		"GET /metrics", "GET /openapi.json", "GET /openapi.yaml",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestAuditorsReadEverythingAndChangeNothing(t *testing.T) {
	t.Parallel()
	auditor, user := access.RoleAuditor.Scopes(), access.RoleUser.Scopes()
	for _, e := range table() {
		r := e.Route()
		switch {
		case r.Scope == access.Public || r.Scope == access.Self:
		case r.Method != http.MethodGet:
			if auditor.Has(r.Scope) || r.Auditors {
				t.Errorf("auditors may %s", e.Pattern())
			}
		case !auditor.Has(r.Scope) && !r.Auditors:
			t.Errorf("auditors may not %s", e.Pattern())
		}
		if strings.HasPrefix(r.Path, "/api/org") && user.Has(r.Scope) != (r.Method == http.MethodGet) {
			t.Errorf("%s needs %s, which is wrong for users", e.Pattern(), r.Scope)
		}
	}
}

func TestEveryAuditActionIsOfOneMeaning(t *testing.T) {
	t.Parallel()
	// Proofs share one action; every other is of one operation, so that an entry says what was called.
	seen := map[event.Audit]string{}
	for _, e := range table() {
		r := e.Route()
		if r.Exempt || r.Audit == event.LogProofRead {
			continue
		}
		if other, twice := seen[r.Audit]; twice {
			t.Errorf("%s is the action of %s and of %s", r.Audit, other, e.Pattern())
		}
		seen[r.Audit] = e.Pattern()
	}
}

func TestFamiliesFollowFromPaths(t *testing.T) {
	t.Parallel()
	for _, e := range table() {
		r := e.Route()
		if (r.Family == problem.Scan) != strings.HasPrefix(r.Path, scanapi.Base+"/") {
			t.Errorf("%s is of family %s", e.Pattern(), r.Family)
		}
	}
}

func TestAnUnclassifiedTableIsRefused(t *testing.T) {
	t.Parallel()
	type out struct{ Status int }
	for name, e := range map[string]api.Entry{
		"no scope":     api.Op(api.Route[struct{}, struct{}]{ID: "x", Method: "GET", Path: "/x", Audit: "x"}),
		"no such":      api.Op(api.Route[struct{}, struct{}]{ID: "x", Method: "GET", Path: "/x", Audit: "x", Scope: "x:y"}),
		"no action":    api.Op(api.Route[struct{}, struct{}]{ID: "x", Method: "GET", Path: "/x", Scope: access.ScansRead}),
		"no replay":    api.Op(api.Route[struct{}, struct{}]{ID: "x", Method: "POST", Path: "/x", Scope: access.ScansRead, Audit: "x", Once: true}),
		"own status":   api.Op(api.Route[struct{}, out]{ID: "x", Method: "GET", Path: "/x", Scope: access.ScansRead, Audit: "x"}),
		"exempt, both": api.Op(api.Route[struct{}, struct{}]{ID: "x", Method: "GET", Path: "/x", Scope: access.Public, Audit: "x", Exempt: true}),
		"twice":        platform.Routes(platform.Deps{})[0],
	} {
		entries := []api.Entry{e}
		if name == "twice" {
			entries = append(entries, e)
		}
		if _, err := api.New(api.Deps{}, entries); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func TestTheDocumentationLoadsNothingFromElsewhere(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"index.html", "app.js", "app.css"} {
		b, err := os.ReadFile(filepath.Join("docs", name))
		if err != nil {
			t.Fatal(err)
		}
		for _, bad := range []string{"http://", "https://", "//cdn", " style=", "innerHTML", "eval(", "onclick"} {
			if strings.Contains(string(b), bad) {
				t.Errorf("%s holds %q", name, bad)
			}
		}
	}
}

func TestTheDocumentationsControlsAreNamedByWhatTheyShow(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile(filepath.Join("docs", "index.html"))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`<button[^>]* aria-label="([^"]*)"[^>]*>([^<]*)</button>`).FindAllStringSubmatch(string(b), -1) {
		if !strings.HasPrefix(m[1], m[2]) {
			t.Errorf("a button that shows %q is called %q: who speaks to it can't press it", m[2], m[1])
		}
	}
	for _, want := range []string{`<html lang="en">`, `class="skip" href="#content"`, `<main id="content"`, `aria-label="Document"`, `aria-label="Operations"`} {
		if !strings.Contains(string(b), want) {
			t.Errorf("the page lacks %s", want)
		}
	}
}
