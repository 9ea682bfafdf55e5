package api_test

import (
	"net/http"
	"strings"
	"testing"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/org/access"
	"assay.dev/assay/internal/scan"
	"assay.dev/assay/internal/web/api"
	"assay.dev/assay/internal/web/problem"
	"assay.dev/assay/internal/word/uid"
)

// missing is an id that nothing has.
const missing = "01900000-0000-7000-8000-00000000ffff"

func path(r string, id string) string {
	return strings.ReplaceAll(strings.TrimSuffix(r, "{$}"), "{id}", id)
}

// example is a body that a route takes, or nearly: enough to get past reading.
func example(r string) string {
	if strings.HasSuffix(r, "/rotate") {
		return ""
	}
	if strings.HasPrefix(r, "/api/findings/") {
		return `{"status":"confirmed"}`
	}
	switch r {
	case "/api/cases/{id}/split":
		return `{"findingId":"x"}`
	case "/api/cases/{id}/join":
		return `{"findingIds":["x"]}`
	}
	if r == "/api/reports/{id}" {
		return `{"name":"n","kind":"findings"}`
	}
	switch {
	case strings.HasSuffix(r, "/scan-templates/{id}"):
		return `{"name":"n","scanType":"nmap"}`
	case strings.HasSuffix(r, "/launch"):
		return `{"target":"127.0.0.1"}`
	}
	return "{}"
}

func (b *bundle) each(f func(e api.Entry)) {
	for _, e := range b.api.Entries() {
		f(e)
	}
}

func TestEveryRouteRefusesStrangersInItsForm(t *testing.T) {
	t.Parallel()
	b := setup(t)
	n := 0
	b.each(func(e api.Entry) {
		r := e.Route()
		if r.Scope == access.Public {
			return
		}
		n++
		for _, body := range []string{"", "{]"} {
			w := b.call(r.Method, path(r.Path, missing), body, with("X-Forwarded-For", "1.2.3.4"))
			code := "UNAUTHENTICATED"
			if r.Family == problem.Scan {
				code = "MISSING_API_KEY"
			}
			if w.Code != http.StatusUnauthorized || w.text("code") != code || w.sent("X-RateLimit-Limit") == "" {
				t.Errorf("%s with body %q: %d %s", e.Pattern(), body, w.Code, w.Body)
			}
		}
		if n%20 == 0 {
			b.clock.Advance(61e9)
		}
	})
	if got := b.entries(b.ours); len(got) != 2 { // organization and key of the set-up
		t.Errorf("%d entries of ours", len(got))
	}
}

func TestEveryRouteNeedsItsScope(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.each(func(e api.Entry) {
		r := e.Route()
		if r.Scope == access.Public {
			return
		}
		poor := b.newKey(b.ours, string(without(r.Scope)))
		before := len(b.entries(b.ours))
		w := b.call(r.Method, path(r.Path, missing), "{]", key(poor))
		if w.Code != http.StatusForbidden || w.text("code") != "INSUFFICIENT_SCOPE" {
			t.Errorf("%s: %d %s", e.Pattern(), w.Code, w.Body)
		}
		after := b.entries(b.ours)
		if len(after) != before+1 || after[before].Status != http.StatusForbidden || after[before].Type != r.Audit || after[before].Route != r.Path {
			t.Errorf("%s: entered as %+v", e.Pattern(), after[before:])
		}
	})
}

// without is a scope other than s.
func without(s access.Scope) access.Scope {
	if s == access.UsageRead {
		return access.B2CRead
	}
	return access.UsageRead
}

func TestAnotherOrganizationsResourceIsAsMissingAsNone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	theirAsset, err := b.assets.Create(t.Context(), b.theirs, asset.Draft{Kind: asset.KindHost, Name: "192.0.2.1"})
	if err != nil {
		t.Fatal(err)
	}
	theirCase, _ := b.someCase(b.theirs)
	ids := map[string]string{
		"case":    theirCase,
		"finding": string(b.found(b.theirs, "192.0.2.7", 1)[0]),
		"report":  string(b.someReport(b.theirs).ID), "asset": string(theirAsset.ID), "scan": string(b.someScan(b.theirs, scan.Completed).ID), "api_key": b.keyID(b.theirs),
		"scan_template": string(b.someTemplate(b.theirs).ID),
		"webhook":       string(b.someHook(b.theirs).ID),
	}
	swept := 0
	b.each(func(e api.Entry) {
		r := e.Route()
		if !strings.Contains(r.Path, "{id}") {
			return
		}
		id, ok := ids[r.Resource]
		if !ok {
			t.Errorf("%s: no resource of kind %q to try", e.Pattern(), r.Resource)
			return
		}
		if strings.HasSuffix(r.Path, "/suspend") || strings.HasSuffix(r.Path, "/resume") {
			return // by administrators only; covered beside login
		}
		swept++
		same, query := with("X-Request-Id", "same"), ""
		if strings.HasSuffix(r.Path, "/compare") {
			query = "?with=" + string(b.someScan(b.ours, scan.Completed).ID)
		}
		theirs := b.call(r.Method, path(r.Path, id)+query, example(r.Path), key(b.key), same)
		none := b.call(r.Method, path(r.Path, missing)+query, example(r.Path), key(b.key), same)
		junk := b.call(r.Method, path(r.Path, "no-id")+query, example(r.Path), key(b.key), same)
		if theirs.Code != http.StatusNotFound || theirs.text("code") != "NOT_FOUND" {
			t.Errorf("%s: %d %s", e.Pattern(), theirs.Code, theirs.Body)
		}
		if theirs.Body.String() != none.Body.String() || junk.Body.String() != none.Body.String() || junk.Code != none.Code {
			t.Errorf("%s tells them apart:\n%s%s%s", e.Pattern(), theirs.Body, none.Body, junk.Body)
		}
	})
	if swept < 10 {
		t.Errorf("only %d routes swept", swept)
	}
}

func TestNoRouteTakesABodyThatCanBeReadTwoWays(t *testing.T) {
	t.Parallel()
	b := setup(t)
	secret := "hunter2 <script>"
	bodies := map[string]string{
		"garbage": `{]`, "no object": `[1]`, "two values": `{}{}`, "twice": `{"name":1,"name":2}`, "twice by case": `{"name":1,"Name":2}`,
		"not UTF-8": "{\"a\":\"\xff\"}", "deep": strings.Repeat(`{"a":`, 70) + `1` + strings.Repeat(`}`, 70),
		"unknown field": `{"` + secret + `":"` + secret + `"}`, "other case": `{"NAME":"x"}`,
		"oversized": `{"a":"` + strings.Repeat("x", 1<<20) + `"}`, "huge number": `{"timeout":1e999}`,
	}
	b.each(func(e api.Entry) {
		r := e.Route()
		if !r.Body {
			return
		}
		for name, body := range bodies {
			w := b.call(r.Method, path(r.Path, missing), body, key(b.key))
			b.clock.Advance(2e9)
			if w.Code < 400 || w.Code > 499 || (w.Code == http.StatusNotFound && name != "no object") {
				if r.Scope == access.Self && w.Code == http.StatusForbidden {
					continue // a key has no session
				}
				t.Errorf("%s, %s: %d %s", e.Pattern(), name, w.Code, w.Body)
			}
			if r.Family == problem.Scan && w.Code == http.StatusUnprocessableEntity {
				t.Errorf("%s, %s: 422 from the scan API", e.Pattern(), name)
			}
			if strings.Contains(w.Body.String(), "hunter2") || strings.Contains(w.Body.String(), "1e999") {
				t.Errorf("%s, %s repeats what was sent: %s", e.Pattern(), name, w.Body)
			}
		}
	})
}

func TestNoRouteTakesAnUnknownQueryParameter(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.each(func(e api.Entry) {
		r := e.Route()
		if e.Hidden() || r.Body || r.Scope == access.Public || r.Scope == access.Self {
			return
		}
		w := b.call(r.Method, path(r.Path, missing)+"?hunter2%20x=1", example(r.Path), key(b.key))
		want := http.StatusUnprocessableEntity
		if r.Family == problem.Scan {
			want = http.StatusBadRequest
		}
		if w.Code != want || w.text("code") != "VALIDATION_ERROR" || strings.Contains(w.Body.String(), "hunter2") {
			t.Errorf("%s: %d %s", e.Pattern(), w.Code, w.Body)
		}
	})
}

// keyID makes a small key and returns its id.
func (b *bundle) keyID(org uid.Org) string {
	b.t.Helper()
	one := 1
	k, err := b.access.CreateKey(b.t.Context(), access.Operator(org), access.NewKey{
		Name: "x", Scopes: []string{"usage:read"}, PerMinute: &one, PerHour: &one, PerDay: &one,
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return string(k.Key.ID)
}

func TestEveryAnsweredCallIsEnteredOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	a, err := b.assets.Create(t.Context(), b.ours, asset.Draft{Kind: asset.KindHost, Name: "192.0.2.9"})
	if err != nil {
		t.Fatal(err)
	}
	k, doomed := b.keyID(b.ours), b.keyID(b.ours)
	done, queued := b.someScan(b.ours, scan.Completed), b.someScan(b.ours, scan.Queued)
	rep := b.someReport(b.ours)
	made := b.someRun(rep, "document")
	w, told := b.someHook(b.ours), b.scanWithCallback(b.ours)
	doomedHook, try := b.someHook(b.ours), b.someDelivery(b.ours, w.ID)
	seen := string(b.found(b.ours, "192.0.2.7", 1)[0])
	inCase, pair := b.someCase(b.ours)
	bodies := map[string]string{
		"POST /api/findings/{id}/triage":                   `{"status":"confirmed"}`,
		"POST /api/findings/triage":                        `{"status":"confirmed","ids":["` + seen + `"]}`,
		"POST /api/cases/{id}/split":                       `{"findingId":"` + pair[1] + `"}`,
		"POST /api/cases/{id}/join":                        `{"findingIds":["` + pair[1] + `"]}`,
		"POST /scan-api/api/v1/webhooks":                   `{"name":"n","url":"https://hooks.example.org/"}`,
		"PATCH /scan-api/api/v1/webhooks/{id}":             `{"name":"m"}`,
		"POST /api/vex":                                    vexDocument(`{"vulnerability":{"name":"CVE-2026-0001"},"products":[{"@id":"pkg:generic/x@1"}],"status":"under_investigation"}`),
		"POST /api/assets":                                 `{"name":"192.0.2.77"}`,
		"POST /api/reports":                                `{"name":"n","kind":"findings"}`,
		"PUT /api/reports/{id}":                            `{"name":"n","kind":"findings"}`,
		"PUT /api/org/scan-scope":                          `{"allow":[{"value":"10.0.0.0/8"}]}`,
		"POST /scan-api/api/v1/scans":                      `{"target":"127.0.0.1","scanType":"nmap"}`,
		"POST /scan-api/api/v1/scans/batch":                `{"scanType":"nmap","targets":["127.0.0.1"]}`,
		"PATCH /scan-api/api/v1/scans/{id}":                `{"name":"n"}`,
		"POST /scan-api/api/v1/api-keys":                   `{"name":"n","scopes":["usage:read"]}`,
		"PATCH /scan-api/api/v1/api-keys/{id}":             `{"name":"m"}`,
		"POST /scan-api/api/v1/scan-templates":             `{"name":"n","scanType":"nmap"}`,
		"PUT /scan-api/api/v1/scan-templates/{id}":         `{"name":"m","scanType":"nmap"}`,
		"POST /scan-api/api/v1/scan-templates/{id}/launch": `{"target":"127.0.0.1"}`,
		"PATCH /api/assets/{id}":                           `{"note":"d"}`,
		"PATCH /api/org":                                   `{"timeZone":"Europe/Paris"}`,
	}
	b.each(func(e api.Entry) {
		r := e.Route()
		if r.Exempt || r.Scope == access.Public || r.Scope == access.Self || strings.HasSuffix(r.Path, "/suspend") || strings.HasSuffix(r.Path, "/resume") {
			return
		}
		id := map[string]string{"asset": string(a.ID), "api_key": k, "scan": string(done.ID)}[r.Resource]
		if strings.HasSuffix(r.Path, "/cancel") {
			id = string(queued.ID)
		}
		if r.Resource == "finding" {
			id = seen
		}
		if r.Resource == "webhook" {
			id = string(w.ID)
		}
		if r.Resource == "case" {
			id = inCase
		}
		switch e.Pattern() {
		case "DELETE /scan-api/api/v1/webhooks/{id}":
			id = string(doomedHook.ID)
		case "GET /scan-api/api/v1/scans/{id}/callback":
			id = told
		}
		if e.Pattern() == "DELETE /scan-api/api/v1/api-keys/{id}" {
			id = doomed
		}
		if r.Resource == "report" {
			id = string(rep.ID)
			if r.Method == http.MethodDelete {
				id = string(b.someReport(b.ours).ID)
			}
		}
		if r.Resource == "scan_template" {
			id = string(b.someTemplate(b.ours).ID)
		}
		target := strings.NewReplacer("{deliveryId}", try, "{runId}", string(made.ID)).Replace(path(r.Path, id))
		if strings.HasSuffix(r.Path, "/redeliver") {
			id = try
		}
		switch r.Path {
		case "/api/log/proof/inclusion":
			target += "?entryId=" + string(b.entries(b.ours)[0].ID)
		case "/api/log/proof/consistency":
			target += "?from=1"
		case "/scan-api/api/v1/scans/{id}/compare":
			target += "?with=" + string(b.someScan(b.ours, scan.Completed).ID)
		}
		before := len(b.entries(b.ours))
		w := b.call(r.Method, target, bodies[e.Pattern()], key(b.key))
		if w.Code != r.Status {
			t.Errorf("%s: %d %s", e.Pattern(), w.Code, w.Body)
		}
		new := b.entries(b.ours)[before:] //nolint:predeclared // reads well
		want := 1
		if r.Closing != "" {
			want = 2
		}
		if len(new) != want || new[0].Type != r.Audit || new[0].Status != r.Status || new[0].Route != r.Path || new[0].Method != r.Method {
			t.Errorf("%s: entered as %+v", e.Pattern(), new)
		}
		if strings.HasSuffix(r.Path, "/launch") {
			id = w.text("data.id") // the scan
		}
		if r.Resource != "" && len(new) > 0 && new[0].Resource.ID != id {
			t.Errorf("%s: about %+v, want %s", e.Pattern(), new[0].Resource, id)
		}
		for _, h := range []string{"X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset", "X-Request-Id"} {
			if w.sent(h) == "" {
				t.Errorf("%s: without %s", e.Pattern(), h)
			}
		}
	})
}

func TestExemptRoutesAnswerAnyoneUncounted(t *testing.T) {
	t.Parallel()
	b := setup(t)
	before, system := len(b.entries(b.ours)), len(b.entries(uid.System))
	b.each(func(e api.Entry) {
		r := e.Route()
		if !r.Exempt || r.Path == "/metrics" {
			return
		}
		w := b.call(r.Method, r.Path, "", key("nonsense"))
		if w.Code != http.StatusOK || w.sent("X-RateLimit-Limit") != "" || w.Body.Len() == 0 {
			t.Errorf("%s: %d %v", e.Pattern(), w.Code, w.Header())
		}
		if head := b.call(http.MethodHead, r.Path, ""); head.Code != http.StatusOK {
			t.Errorf("HEAD %s: %d", r.Path, head.Code)
		}
		if opts := b.call(http.MethodOptions, r.Path, ""); opts.Code != http.StatusMethodNotAllowed || opts.Header().Get("Allow") == "" {
			t.Errorf("OPTIONS %s: %d %v", r.Path, opts.Code, opts.Header())
		}
		b.clock.Advance(2e9)
	})
	if len(b.entries(b.ours)) != before || len(b.entries(uid.System)) != system {
		t.Error("an exempt call was entered")
	}
}
