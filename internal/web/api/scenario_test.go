package api_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/scan"
	"assay.dev/assay/internal/scan/finding"
	"assay.dev/assay/internal/web/api/platform"
	"assay.dev/assay/internal/word/event"
)

const scans = "/scan-api/api/v1/scans"

func TestACreationAnswersItsPlaceAndIsListed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	made := b.call("POST", "/api/assets", `{"kind":"host","name":"192.0.2.10","tags":["dmz"],"attributes":{"os":"linux"}}`, key(b.key)).want(201)
	at := made.Header().Get("Location")
	if at != "/api/assets/"+made.text("id") {
		t.Fatal(at)
	}
	got := b.call("GET", at, "", key(b.key)).want(200)
	if got.Body.String() != made.Body.String() || got.text("status") != "active" || got.text("createdAt") != "2026-03-06T10:00:00Z" {
		t.Errorf("%s\n%s", made.Body, got.Body)
	}
	for i := range 3 {
		b.clock.Advance(time.Second)
		b.call("POST", "/api/assets", fmt.Sprintf(`{"name":"192.0.2.2%d"}`, i), key(b.key)).want(201)
	}
	page := b.call("GET", "/api/assets?limit=2", "", key(b.key)).want(200)
	if page.at("meta.total") != 4.0 || page.at("meta.totalIsCapped") != false || len(page.at("data").([]any)) != 2 {
		t.Errorf("%s", page.Body)
	}
	rest := b.call("GET", "/api/assets?limit=2&cursor="+page.text("meta.nextCursor"), "", key(b.key)).want(200)
	if len(rest.at("data").([]any)) != 2 || rest.at("meta.nextCursor") != nil || rest.at("meta.total") != nil {
		t.Errorf("%s", rest.Body)
	}
	// A cursor is of its list, its filters and its organization.
	cursor := page.text("meta.nextCursor")
	b.call("GET", "/api/assets?tag=dmz&cursor="+cursor, "", key(b.key)).want(422)
	b.call("GET", "/api/assets?cursor="+cursor, "", key(b.other)).want(422)
	b.call("POST", "/api/assets", `{"name":"192.0.2.10"}`, key(b.key)).want(409)
}

func TestAKeyedCallTakesEffectOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	once := with("Idempotency-Key", "order-1")
	body := `{"name":"192.0.2.10"}`
	first := b.call("POST", "/api/assets", body, key(b.key), once).want(201)
	again := b.call("POST", "/api/assets", body, key(b.key), once).want(201)
	if again.Body.String() != first.Body.String() || again.Header().Get("Location") != first.Header().Get("Location") ||
		again.Header().Get("Idempotency-Replayed") != "true" || first.Header().Get("Idempotency-Replayed") != "" {
		t.Errorf("%v\n%v", first, again)
	}
	if w := b.call("POST", "/api/assets", `{"name":"192.0.2.11"}`, key(b.key), once).want(409); w.text("code") != "IDEMPOTENCY_KEY_REUSED" {
		t.Error(w.Body)
	}
	// The same order about another record is another call, which the key doesn't cover.
	turn := with("Idempotency-Key", "turn-1")
	one, other := b.someTemplate(b.ours), b.someTemplate(b.ours)
	launch := func(id string) answer {
		return b.call("POST", "/scan-api/api/v1/scan-templates/"+id+"/launch", `{"target":"127.0.0.1"}`, key(b.key), turn)
	}
	launch(string(one.ID)).want(201)
	if w := launch(string(other.ID)).want(409); w.text("code") != "IDEMPOTENCY_KEY_REUSED" {
		t.Error(w.Body)
	}
	// Another principal's key of the same text is another key, and one that failed is free again.
	b.call("POST", "/api/assets", body, key(b.other), once).want(201)
	two := with("Idempotency-Key", "order-2")
	b.call("POST", "/api/assets", `{"name":""}`, key(b.key), two).want(422)
	b.call("POST", "/api/assets", `{"name":"192.0.2.12"}`, key(b.key), two).want(201)
	trail := b.entries(b.ours)
	if got := trail[3]; got.Status != 201 || got.Reason != "idempotent replay" || got.Resource.ID != first.text("id") {
		t.Errorf("the replay is entered as %+v", got)
	}
}

func TestOfManyEqualCallsAtOnceOneTakesEffect(t *testing.T) {
	t.Parallel()
	b := setup(t)
	codes := make([]int, 16)
	var all sync.WaitGroup
	for i := range codes {
		all.Go(func() {
			codes[i] = b.call("POST", "/api/assets", `{"name":"192.0.2.10"}`, key(b.key), with("Idempotency-Key", "k")).Code
		})
	}
	all.Wait()
	for _, c := range codes {
		if c != 201 && c != 409 {
			t.Errorf("%v", codes)
		}
	}
	if n := b.call("GET", "/api/assets", "", key(b.key)).at("meta.total"); n != 1.0 {
		t.Errorf("%v assets", n)
	}
}

func TestAKeyIsShownOnceAndNeverReplayed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	once := with("Idempotency-Key", "k")
	body := `{"name":"ci","scopes":["scans:create"],"allowedIpAddresses":["192.0.2.0/24","203.0.113.7"],"expiresInDays":90}`
	first := b.call("POST", "/scan-api/api/v1/api-keys", body, key(b.key), once).want(201)
	if len(first.text("data.key")) != 49 || first.at("data.secretShown") != true || first.at("success") != true {
		t.Fatal(first.Body)
	}
	again := b.call("POST", "/scan-api/api/v1/api-keys", body, key(b.key), once).want(201)
	if again.at("data.key") != nil || again.at("data.secretShown") != false || again.text("data.id") != first.text("data.id") {
		t.Error(again.Body)
	}
	at := first.Header().Get("Location")
	got := b.call("GET", at, "", key(b.key)).want(200)
	if strings.Contains(got.Body.String(), first.text("data.key")) || got.text("data.status") != "active" || got.text("data.expiresAt") != "2026-06-04T10:00:00Z" {
		t.Error(got.Body)
	}
	if diff := cmp.Diff([]any{"192.0.2.0/24", "203.0.113.7"}, got.at("data.allowedIpAddresses")); diff != "" {
		t.Error(diff)
	}
	b.call("PATCH", at, `{"expiresInDays":null,"name":"ci2"}`, key(b.key)).want(200)
	if got := b.call("GET", at, "", key(b.key)); got.at("data.expiresAt") != nil || got.text("data.name") != "ci2" {
		t.Error(got.Body)
	}
	b.call("PATCH", at, `{"expiresInDays":"x"}`, key(b.key)).want(400)
	turned := b.call("POST", at+"/rotate", `{"gracePeriodHours":1}`, key(b.key)).want(200)
	if turned.text("data.id") != first.text("data.id") || turned.text("data.key") == first.text("data.key") || turned.text("data.previousExpiresAt") != "2026-03-06T11:00:00Z" {
		t.Error(turned.Body)
	}
	use := func(k string) int {
		return b.call("POST", scans, `{"target":"127.0.0.1","scanType":"nmap"}`, key(k)).Code
	}
	if old, now := use(first.text("data.key")), use(turned.text("data.key")); old != 201 || now != 201 {
		t.Errorf("in grace: old %d, new %d", old, now)
	}
	b.call("DELETE", at, "", key(b.key)).want(200)
	if w := b.call("GET", scans, "", key(turned.text("data.key"))).want(401); w.text("code") != "KEY_REVOKED" {
		t.Error(w.Body)
	}
}

func TestAddressesOfAKeyAreHeld(t *testing.T) {
	t.Parallel()
	b := setup(t)
	made := b.call("POST", "/scan-api/api/v1/api-keys", `{"name":"x","scopes":["scans:list"],"allowedIpAddresses":["203.0.113.7"]}`, key(b.key)).want(201)
	k := key(made.text("data.key"))
	if w := b.call("GET", scans, "", k).want(403); w.text("code") != "IP_NOT_ALLOWED" {
		t.Error(w.Body)
	}
	b.call("GET", scans, "", k, func(r *http.Request) { r.RemoteAddr = "203.0.113.7:1" }).want(200)
	b.call("GET", scans, "", k, with("X-Forwarded-For", "203.0.113.7")).want(403)
}

func TestScansGoFromOrderToResultsInTheEnvelope(t *testing.T) {
	t.Parallel()
	b := setup(t)
	made := b.call("POST", scans, `{"target":"127.0.0.1","scanType":"nmap","tags":["a"]}`, key(b.key)).want(201)
	id := made.text("data.id")
	if made.Header().Get("Location") != scans+"/"+id || made.text("data.status") != "queued" || made.text("data.priority") != "normal" || made.at("data.timeout") != 3600.0 {
		t.Error(made.Body)
	}
	b.call("GET", scans+"/"+id+"?scanType=nmap", "", key(b.key)).want(200)
	b.call("GET", scans+"/"+id+"?scanType=zap", "", key(b.key)).want(404)
	if w := b.call("GET", scans+"/"+id+"/results", "", key(b.key)).want(409); w.text("code") != "RESULTS_NOT_READY" {
		t.Error(w.Body)
	}
	b.call("POST", scans+"/"+id+"/cancel", "", key(b.key)).want(200)
	if w := b.call("POST", scans+"/"+id+"/cancel", "", key(b.key)).want(409); w.text("code") != "SCAN_NOT_CANCELLABLE" || w.at("success") != false {
		t.Error(w.Body)
	}
	l := b.call("GET", scans+"?status=cancelled&limit=5", "", key(b.key)).want(200)
	if l.at("data.pagination.total") != 1.0 || l.at("data.pagination.totalPages") != 1.0 || len(l.at("data.scans").([]any)) != 1 {
		t.Error(l.Body)
	}
	for target, field := range map[string]string{
		"?limit=0": "query.limit", "?limit=101": "query.limit", "?limit=x": "query.limit", "?status=odd": "query.status",
		"?from=yesterday": "from", "?page=10001": "page", "?page=0": "query.page", "?cursor=zz": "cursor",
	} {
		w := b.call("GET", scans+target, "", key(b.key)).want(400)
		errs, _ := w.at("errors").([]any)
		if len(errs) == 0 || errs[0].(map[string]any)["location"] != field {
			t.Errorf("%s: %s", target, w.Body)
		}
	}
}

func TestWrongOrdersNameTheirPlace(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for body, want := range map[string]string{
		`{"scanType":"nmap"}`:                                                        "body",
		`{"target":"x","scanType":"nmap","targt":"y"}`:                               "body.targt",
		`{"target":"x","scanType":"nmap","priority":"urgent"}`:                       "body.priority",
		`{"target":"x","scanType":"nmap","timeout":9}`:                               "body.timeout",
		`{"target":"x","scanType":"nmap","tags":"a"}`:                                "body.tags",
		`{"target":7,"scanType":"nmap"}`:                                             "body.target",
		`{"target":"x","scanType":"nmap","options":[]}`:                              "body.options",
		`{"target":"x","scanType":"nmap","name":"` + strings.Repeat("n", 256) + `"}`: "body.name",
		``: "body",
	} {
		w := b.call("POST", scans, body, key(b.key)).want(400)
		errs, _ := w.at("errors").([]any)
		if w.text("code") != "VALIDATION_ERROR" || len(errs) == 0 || errs[0].(map[string]any)["location"] != want {
			t.Errorf("%.80s: %s", body, w.Body)
		}
	}
}

func (b *bundle) finished() string {
	s := b.someScan(b.ours, scan.Completed)
	at := b.clock.Now()
	b.scans.results = []scan.Result{{Finding: finding.Finding{
		Observation: finding.Observation{Rule: "nmap:open-port", Title: "=1+1", Severity: finding.High, Location: finding.Location{Host: "127.0.0.1", Port: 80}},
		ID:          "01900000-0000-7000-8000-00000000000f", Status: finding.Open, FirstSeenAt: at, LastSeenAt: at, Engines: []string{"nmap"},
	}}}
	b.scans.raw = "<nmaprun>"
	return scans + "/" + string(s.ID) + "/results"
}

func TestResultsComeInEachForm(t *testing.T) {
	t.Parallel()
	b := setup(t)
	at := b.finished()
	page := b.call("GET", at, "", key(b.key)).want(200)
	if page.at("data.summary.bySeverity.high") != 1.0 || page.text("data.engine.name") != "nmap" || len(page.at("data.findings").([]any)) != 1 {
		t.Error(page.Body)
	}
	for _, c := range []struct{ query, accept, media, begins string }{
		{"?format=csv", "", "text/csv; charset=utf-8", "id,severity,title"},
		{"", "text/csv", "text/csv; charset=utf-8", "id,severity,title"},
		{"?format=sarif", "", "application/sarif+json", `{"$schema"`},
		{"", "application/sarif+json, application/json;q=0.5", "application/sarif+json", `{"$schema"`},
		{"?format=raw", "", "application/octet-stream", "<nmaprun>"},
		{"?format=json", "text/csv", "application/json", `{"success":true`},
		{"", "text/html", "text/html; charset=utf-8", "<!DOCTYPE html>"},
		{"?format=html", "application/json", "text/html; charset=utf-8", "<!DOCTYPE html>"},
		{"", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "text/html; charset=utf-8", "<!DOCTYPE html>"},
		{"", "text/csv;q=0.3, application/json;q=0.2, text/html;q=0", "text/csv; charset=utf-8", "id,severity,title"},
		{"", "image/png", "application/json", `{"success":true`},
		{"", "*/*", "application/json", `{"success":true`},
	} {
		w := b.call("GET", at+c.query, "", key(b.key), with("Accept", c.accept)).want(200)
		if w.Header().Get("Content-Type") != c.media || !strings.HasPrefix(w.Body.String(), c.begins) {
			t.Errorf("%+v: %s %.40s", c, w.Header().Get("Content-Type"), w.Body)
		}
	}
	if w := b.call("GET", at+"?format=pdf", "", key(b.key)).want(400); w.text("code") != "FORMAT_NOT_SUPPORTED" {
		t.Error(w.Body)
	}
	b.scans.raw = ""
	if w := b.call("GET", at+"?format=raw", "", key(b.key)).want(404); w.text("code") != "RAW_NOT_AVAILABLE" {
		t.Error(w.Body)
	}
	if w := b.call("GET", at+"?format=csv&severity=low", "", key(b.key)).want(200); strings.Count(w.Body.String(), "\n") != 1 {
		t.Errorf("%q", w.Body)
	}
}

func TestSigningInAndOut(t *testing.T) {
	t.Parallel()
	b := setup(t)
	admin, err := b.access.CreateFirstAdmin(t.Context(), b.ours, "root")
	if err != nil {
		t.Fatal(err)
	}
	login := func(user, password string) answer {
		return b.call("POST", "/auth/login", fmt.Sprintf(`{"username":%q,"password":%q}`, user, password))
	}
	if w := login("root", "wrong wrong wrong"); w.Code != 401 || w.text("code") != "INVALID_CREDENTIALS" {
		t.Error(w.Body)
	}
	if w := login("nobody", "wrong wrong wrong"); w.Code != 401 || w.text("code") != "INVALID_CREDENTIALS" {
		t.Error(w.Body)
	}
	in := login("root", admin.Password.Reveal()).want(200)
	cookie := in.Header().Get("Set-Cookie")
	if in.text("token_type") != "bearer" || in.at("expires_in") != 28800.0 || in.at("must_change_password") != true ||
		!strings.HasPrefix(cookie, "assay_session=") || !strings.Contains(cookie, "HttpOnly") || !strings.Contains(cookie, "SameSite=Lax") {
		t.Fatalf("%s %s", in.Body, cookie)
	}
	token := with("Authorization", "Bearer "+in.text("access_token"))
	if w := b.call("GET", "/api/assets", "", token).want(403); w.text("code") != "PASSWORD_CHANGE_REQUIRED" {
		t.Error(w.Body)
	}
	change := fmt.Sprintf(`{"currentPassword":%q,"newPassword":"Vornehme Tulpen 77 im Regen"}`, admin.Password.Reveal())
	b.call("POST", "/auth/password", `{"currentPassword":"x","newPassword":"short"}`, token).want(422)
	b.call("POST", "/auth/password", change, token).want(204)
	in = login("root", "Vornehme Tulpen 77 im Regen").want(200)
	token = with("Authorization", "Bearer "+in.text("access_token"))
	me := b.call("GET", "/auth/me", "", token).want(200)
	if me.text("username") != "root" || me.text("role") != "admin" || me.text("organizationId") != string(b.ours) {
		t.Error(me.Body)
	}
	// The cookie alone reads, writes from its own origin only, and an admin may suspend a key.
	session := with("Cookie", strings.Split(in.Header().Get("Set-Cookie"), ";")[0])
	b.call("GET", "/api/assets", "", session).want(200)
	id := b.keyID(b.ours)
	at := "/scan-api/api/v1/api-keys/" + id + "/"
	if w := b.call("POST", at+"suspend", "", session, with("Sec-Fetch-Site", "cross-site")).want(403); w.text("code") != "CROSS_ORIGIN_REFUSED" {
		t.Error(w.Body)
	}
	if w := b.call("POST", at+"suspend", "", session, with("Sec-Fetch-Site", "same-origin")).want(200); w.text("data.status") != "suspended" {
		t.Error(w.Body)
	}
	b.call("POST", at+"resume", "", session).want(200)
	b.call("POST", at+"suspend", "", key(b.key)).want(403)
	out := b.call("POST", "/auth/logout", "", token).want(204)
	if !strings.Contains(out.Header().Get("Set-Cookie"), "Max-Age=0") {
		t.Error(out.Header())
	}
	b.call("GET", "/auth/me", "", token).want(401)
	var got []event.Audit
	for _, e := range b.entries(b.ours) {
		if strings.HasPrefix(string(e.Type), "auth.") {
			got = append(got, e.Type)
		}
	}
	want := []event.Audit{event.AuthLoginFailed, event.AuthLoginSuccess, event.AuthPasswordChanged, event.AuthPasswordChanged, event.AuthLoginSuccess, event.AuthMeRead, event.AuthLogout}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestTheLicenseTellsStrangersLittle(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if w := b.call("GET", "/system/license/status", "").want(200); w.text("version") != "test" || w.at("plan") != nil {
		t.Error(w.Body)
	}
	if w := b.call("GET", "/system/license/status", "", key(b.key)).want(200); w.text("plan") != "enterprise" {
		t.Error(w.Body)
	}
}

func TestTheLogProvesItsEntries(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for range 5 {
		b.call("GET", "/api/assets", "", key(b.key)).want(200)
	}
	list := b.call("GET", "/api/log/entries?order=asc&limit=3", "", key(b.key)).want(200)
	entry := list.at("data").([]any)[2].(map[string]any)
	if entry["eventType"] != "asset.listed" || entry["route"] != "/api/assets" || entry["index"] != 2.0 || entry["status"] != 200.0 {
		t.Errorf("%v", entry)
	}
	next := b.call("GET", "/api/log/entries?order=asc&limit=3&cursor="+list.text("meta.nextCursor"), "", key(b.key)).want(200)
	if next.at("data").([]any)[0].(map[string]any)["index"] != 3.0 {
		t.Error(next.Body)
	}
	newest := b.call("GET", "/api/log/entries?limit=2", "", key(b.key)).want(200)
	below := b.call("GET", "/api/log/entries?limit=2&cursor="+newest.text("meta.nextCursor"), "", key(b.key)).want(200)
	if a, z := newest.at("data").([]any)[1].(map[string]any)["index"].(float64), below.at("data").([]any)[0].(map[string]any)["index"].(float64); a != z+1 {
		t.Errorf("%v then %v", a, z)
	}
	proof := b.call("GET", "/api/log/proof/inclusion?size=7&entryId="+entry["id"].(string), "", key(b.key)).want(200)
	path := hashes(t, proof.at("path"))
	if err := audit.VerifyInclusion(2, 7, bytesOf(t, proof.at("leafHash")), path, bytesOf(t, proof.at("root"))); err != nil {
		t.Error(err)
	}
	grown := b.call("GET", "/api/log/proof/consistency?from=2&to=7", "", key(b.key)).want(200)
	if grown.at("to") != 7.0 || len(hashes(t, grown.at("path"))) == 0 {
		t.Error(grown.Body)
	}
	for _, bad := range []string{"inclusion?size=9999&entryId=" + entry["id"].(string), "inclusion?size=1&entryId=" + entry["id"].(string), "consistency?from=0", "consistency?from=9999", "consistency?from=3&to=2", "consistency"} {
		b.call("GET", "/api/log/proof/"+bad, "", key(b.key)).want(422)
	}
	b.call("GET", "/api/log/proof/inclusion?entryId="+entry["id"].(string), "", key(b.other)).want(404)
	if w := b.call("GET", "/api/log/checkpoint", "", key(b.key)).want(200); w.Body.String() != "checkpoint\n" {
		t.Error(w.Body)
	}
	if w := b.call("GET", "/api/keys", "", key(b.key)).want(200); w.text("organizationId") != string(b.ours) {
		t.Error(w.Body)
	}
}

func TestSettingsAndScopeAreKept(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w := b.call("PATCH", "/api/org", `{"timeZone":"Europe/Paris","concurrency":{"engine":2},"retention":{"scanDays":30}}`, key(b.key)).want(200)
	if w.text("timeZone") != "Europe/Paris" || w.at("concurrency.engine") != 2.0 || w.at("concurrency.organization") != 8.0 {
		t.Error(w.Body)
	}
	b.call("PATCH", "/api/org", `{"timeZone":"Moon/Crater"}`, key(b.key)).want(422)
	if w := b.call("PUT", "/api/org/scan-scope", `{"allow":[{"value":"10.1.2.3/8"},{"value":"example.org"}]}`, key(b.key)).want(200); len(w.at("allow").([]any)) != 2 {
		t.Error(w.Body)
	}
	b.call("PUT", "/api/org/scan-scope", `{"allow":[{"value":"no rule !"}]}`, key(b.key)).want(422)
	once := with("Idempotency-Key", "k")
	if w := b.call("POST", "/api/org/callback-secret/rotate", "", key(b.key), once).want(200); !strings.HasPrefix(w.text("secret"), "whsec_") {
		t.Error(w.Body)
	}
	if w := b.call("POST", "/api/org/callback-secret/rotate", "", key(b.key), once).want(200); w.at("secret") != nil || w.at("secretShown") != false {
		t.Error(w.Body)
	}
}

func TestHealthSaysWhatDoesNotWork(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.conditions = []platform.Condition{{Name: "database", OK: true}}
	b.call("GET", "/health", "").want(200)
	b.conditions = append(b.conditions, platform.Condition{Name: "queue", Reason: "no worker answers"})
	if w := b.call("GET", "/health", "").want(503); w.text("status") != "degraded" || w.text("checks.queue.reason") != "no worker answers" {
		t.Error(w.Body)
	}
}

func TestTheRootLeadsToTheDocumentation(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if w := b.call("GET", "/", "").want(303); w.Header().Get("Location") != "/docs" {
		t.Error(w.Header())
	}
	w := b.call("GET", "/docs", "").want(200)
	if !strings.Contains(w.Header().Get("Content-Security-Policy"), "script-src 'self'") {
		t.Error(w.Header())
	}
	again := b.call("GET", "/docs", "", with("If-None-Match", w.Header().Get("ETag")))
	again.want(304)
}

func TestAnAuditLogThatCannotBeWrittenRefusesReadsAndChanges(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.call("GET", "/scan-api/api/v1/engines", "", key(b.key)).want(200) // the key is cached: only writing can fail now
	if err := b.store.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if w := b.call("GET", "/docs", ""); w.Code != 200 {
		t.Error(w.Code)
	}
	for _, c := range [][2]string{{"GET", "/scan-api/api/v1/engines"}, {"POST", scans}} {
		w := b.call(c[0], c[1], `{"target":"127.0.0.1","scanType":"nmap"}`, key(b.key))
		if w.Code != 503 || strings.Contains(w.Body.String(), "nmap") {
			t.Errorf("%v: %d %s", c, w.Code, w.Body)
		}
	}
}

func bytesOf(t *testing.T, v any) []byte {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(v.(string))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func hashes(t *testing.T, v any) [][]byte {
	t.Helper()
	var out [][]byte
	for _, x := range v.([]any) {
		out = append(out, bytesOf(t, x))
	}
	return out
}
