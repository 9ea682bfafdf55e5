package api_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/org/access"
	"assay.dev/assay/internal/scan"
	"assay.dev/assay/internal/scan/comparison"
	"assay.dev/assay/internal/scan/finding"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/uid"
)

// SubmitBatch submits one by one; the whole is entered once, under the batch.
func (f *scanFake) SubmitBatch(ctx context.Context, a access.Actor, orders []scan.Order, atomic bool) (scan.Batch, error) {
	b := scan.Batch{ID: uid.Batch(f.ids.New())}
	for _, o := range orders {
		if o.Engine != "nmap" || a.MayEngine(o.Engine) != nil {
			b.Items = append(b.Items, scan.BatchItem{Refused: fault.Wrong("scanType", "must be nmap")})
			continue
		}
		b.Items = append(b.Items, scan.BatchItem{Scan: scan.Scan{
			ID: uid.Scan(f.ids.New()), Org: a.Org, Engine: o.Engine, Target: o.Target, Priority: o.Priority, Status: scan.Queued,
			Timeout: o.Timeout, Tags: o.Tags, Name: o.Name, CreatedAt: f.clock.Now(), CreatedBy: a.Principal(),
		}})
	}
	accepted, refused := b.Counts()
	if accepted == 0 || (atomic && refused > 0) {
		return b, fault.Wrong("items[0]", "is refused")
	}
	ev := audit.Event{Type: event.ScanBatchSubmitted, Resource: audit.Resource{Kind: "scan_batch", ID: string(b.ID)}}
	err := f.store.Scans().Change(ctx, a.Org, ev, func(context.Context, scan.Tx) error { return nil })
	if err != nil {
		return b, err
	}
	for _, item := range b.Items {
		if item.Refused == nil {
			f.put(item.Scan)
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.batches[b.ID] = b
	return b, nil
}

func (f *scanFake) Batch(_ context.Context, _ uid.Org, id uid.Batch) (scan.Batch, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	b, ok := f.batches[id]
	if !ok {
		return b, fault.Missing("batch")
	}
	return b, nil
}

func (f *scanFake) Edit(ctx context.Context, a access.Actor, id uid.Scan, p scan.Patch) (scan.Scan, error) {
	s, err := f.Get(ctx, a.Org, id)
	if err != nil {
		return s, err
	}
	if p.Name != nil {
		s.Name = *p.Name
	}
	if p.Tags != nil {
		s.Tags = *p.Tags
	}
	f.put(s)
	return s, f.store.Record(ctx, a.Org, audit.Event{Type: event.ScanUpdated, Resource: audit.Resource{Kind: "scan", ID: string(id)}})
}

// compared is a store of comparisons over the fake: everything that it has found is new.
type compared struct{ *scanFake }

func (c compared) Scan(ctx context.Context, org uid.Org, id uid.Scan) (scan.Scan, error) {
	return c.Get(ctx, org, id)
}

func (c compared) Weaknesses(_ context.Context, _ uid.Org, side comparison.Side) ([]scan.Result, bool, error) {
	if side.Shared {
		return nil, false, nil
	}
	return c.results, false, nil
}

func (c compared) Counted(_ context.Context, _ uid.Org, id, than uid.Scan) (shared, only finding.Summary, err error) {
	if id < than { // the base is the older one here
		return shared, only, nil
	}
	for _, r := range c.results {
		only.Add(r.Severity)
	}
	return shared, only, nil
}

func TestABatchAnswersForEachOrderInItsOrder(t *testing.T) {
	t.Parallel()
	b := setup(t)
	once := with("Idempotency-Key", "b1")
	body := `{"scanType":"nmap","priority":"low","tags":["nightly"],"options":{"a":1,"b":2},"scans":[
		{"target":"192.0.2.1"},{"target":"192.0.2.2","priority":"high","tags":[],"options":{"b":3}},{"target":"192.0.2.3","scanType":"zap"}]}`
	w := b.call("POST", scans+"/batch", body, key(b.key), once).want(201)
	items := w.at("data.items").([]any)
	if w.at("data.accepted") != 2.0 || w.at("data.refused") != 1.0 || len(items) != 3 {
		t.Fatal(w.Body)
	}
	text := func(i int, path string) string {
		v := items[i]
		for name := range strings.SplitSeq(path, ".") {
			m, _ := v.(map[string]any)
			v = m[name]
		}
		return fmt.Sprint(v)
	}
	for path, want := range map[string]string{
		"0 index": "0", "0 scan.priority": "low", "0 scan.tags": "[nightly]", "1 scan.priority": "high", "1 scan.tags": "[]",
		"2 error.code": "VALIDATION_ERROR", "2 index": "2", "2 scan": "<nil>", "0 error": "<nil>",
	} {
		if got := text(int(path[0]-'0'), path[2:]); got != want {
			t.Errorf("%s is %s", path, got)
		}
	}
	again := b.call("POST", scans+"/batch", body, key(b.key), once).want(201)
	if again.Body.String() != w.Body.String() || again.Header().Get("Idempotency-Replayed") != "true" {
		t.Errorf("%s", again.Body)
	}
	list := b.call("POST", scans+"/batch", `{"scanType":"nmap","targets":["192.0.2.1","192.0.2.2"]}`, key(b.key)).want(201)
	if list.at("data.accepted") != 2.0 {
		t.Error(list.Body)
	}
	for _, bad := range []string{
		`{"scanType":"nmap","targets":["x"],"scans":[{"target":"y"}]}`, `{"scans":[{"target":"y"}],"atomic":true}`,
		`{"scans":[{"target":"y","priority":"odd"}]}`, `{"scans":[` + strings.Repeat(`{},`, 1000) + `{}]}`,
	} {
		if w := b.call("POST", scans+"/batch", bad, key(b.key)).want(400); w.text("code") != "VALIDATION_ERROR" {
			t.Errorf("%.60s: %s", bad, w.Body)
		}
	}
	big := `{"scanType":"nmap","scans":[{"target":"192.0.2.1","name":"` + strings.Repeat("n", 200) + `","tags":["` + strings.Repeat("t", 64) + `"]}` +
		strings.Repeat(`,{"target":"192.0.2.1","options":{"x":"`+strings.Repeat("o", 1500)+`"}}`, 999) + `]}`
	b.call("POST", scans+"/batch", big, key(b.key)).want(201)
}

func TestAScanIsRenamedAndTagged(t *testing.T) {
	t.Parallel()
	b := setup(t)
	at := scans + "/" + string(b.someScan(b.ours, scan.Completed).ID)
	w := b.call("PATCH", at, `{"name":"weekly","tags":["a"]}`, key(b.key)).want(200)
	if w.text("data.name") != "weekly" || fmt.Sprint(w.at("data.tags")) != "[a]" {
		t.Error(w.Body)
	}
	if w := b.call("PATCH", at, `{"tags":[]}`, key(b.key)).want(200); w.text("data.name") != "weekly" || fmt.Sprint(w.at("data.tags")) != "[]" {
		t.Error(w.Body)
	}
	b.call("PATCH", at, `{"target":"x"}`, key(b.key)).want(400)
	b.call("PATCH", at+"?scanType=zap", `{"name":"x"}`, key(b.key)).want(404)
}

func TestTwoScansAreCompared(t *testing.T) {
	t.Parallel()
	b := setup(t)
	base := string(b.someScan(b.ours, scan.Completed).ID)
	other, _, _ := strings.Cut(strings.TrimPrefix(b.finished(), scans+"/"), "/")
	at := scans + "/" + base + "/compare?with=" + other
	w := b.call("GET", at, "", key(b.key)).want(200)
	found := w.at("data.findings").([]any)
	if w.at("data.summary.new.bySeverity.high") != 1.0 || w.at("data.summary.gone.total") != 0.0 || w.at("data.pagination.total") != 1.0 ||
		len(found) != 1 || found[0].(map[string]any)["change"] != "new" || found[0].(map[string]any)["rule"] != "nmap:open-port" ||
		w.text("data.base.id") != base || w.text("data.compare.id") != other || fmt.Sprint(w.at("data.caveats")) != "[]" {
		t.Error(w.Body)
	}
	csv := b.call("GET", at+"&format=csv", "", key(b.key)).want(200)
	if lines := strings.Split(csv.Body.String(), "\n"); !strings.HasPrefix(lines[0], "change,id,severity") || !strings.HasPrefix(lines[1], "new,") || !strings.Contains(lines[1], "'=1+1") {
		t.Errorf("%q", csv.Body)
	}
	if w := b.call("GET", at+"&format=sarif", "", key(b.key)).want(400); w.text("code") != "FORMAT_NOT_SUPPORTED" {
		t.Error(w.Body)
	}
	back := b.call("GET", scans+"/"+other+"/compare?with="+base, "", key(b.key)).want(200)
	if c := back.at("data.caveats").([]any); len(c) != 0 && c[0].(map[string]any)["code"] != "other_older" {
		t.Error(back.Body)
	}
	theirs, queued := string(b.someScan(b.theirs, scan.Completed).ID), string(b.someScan(b.ours, scan.Queued).ID)
	for with, want := range map[string]int{theirs: 404, missing: 404, "junk": 404, base: 400, queued: 409, "": 400} {
		b.call("GET", scans+"/"+base+"/compare?with="+with, "", key(b.key)).want(want)
	}
	b.call("GET", scans+"/"+base+"/compare", "", key(b.key)).want(400)
}

// signIn makes a user of the role and returns the header of a session.
func (b *bundle) signIn(role access.Role) func(*http.Request) {
	b.t.Helper()
	made, err := b.access.CreateFirstAdmin(b.t.Context(), b.ours, "user-"+string(role))
	if err != nil {
		b.t.Fatal(err)
	}
	err = b.store.Access().Change(b.t.Context(), b.ours, audit.Event{Type: event.UserCreated}, func(ctx context.Context, tx access.Tx) error {
		u, err := tx.UserForUpdate(ctx, made.User.ID)
		if err != nil {
			return err
		}
		u.Role, u.MustReset = role, false
		return tx.UpdateUser(ctx, u)
	})
	if err != nil {
		b.t.Fatal(err)
	}
	in := b.call("POST", "/auth/login", fmt.Sprintf(`{"username":%q,"password":%q}`, made.User.Username, made.Password.Reveal())).want(200)
	return with("Authorization", "Bearer "+in.text("access_token"))
}

func TestAuditorsReadKeysAndChangeNone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	auditor := b.signIn(access.RoleAuditor)
	id := b.keyID(b.ours)
	const keys = "/scan-api/api/v1/api-keys"
	if w := b.call("GET", keys, "", auditor).want(200); w.at("data.pagination.total") != 2.0 || strings.Contains(w.Body.String(), b.key) {
		t.Error(w.Body)
	}
	b.call("GET", keys+"/"+id, "", auditor).want(200)
	b.call("GET", keys+"/"+b.keyID(b.theirs), "", auditor).want(404)
	for _, c := range [][3]string{
		{"POST", keys, `{"name":"n","scopes":["usage:read"]}`},
		{"PATCH", keys + "/" + id, `{"name":"m"}`},
		{"DELETE", keys + "/" + id, ""},
		{"POST", keys + "/" + id + "/rotate", ""},
		{"POST", keys + "/" + id + "/suspend", ""},
		{"POST", keys + "/" + id + "/resume", ""},
	} {
		if w := b.call(c[0], c[1], c[2], auditor).want(403); w.text("code") != "INSUFFICIENT_SCOPE" {
			t.Errorf("%v: %s", c, w.Body)
		}
	}
	poor := b.newKey(b.ours, "audit:read")
	b.call("GET", keys, "", key(poor)).want(403)
}
