package api_test

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/infra/store"
	"assay.dev/assay/internal/org/tenant"
	"assay.dev/assay/internal/scan"
	"assay.dev/assay/internal/scan/finding"
	"assay.dev/assay/internal/scan/triage"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/job"
	"assay.dev/assay/internal/word/uid"
)

func newTriage(b *bundle) *triage.Service {
	return triage.New(triage.Deps{Store: b.store.Triage(), Lapses: b.store.Lapses(), Now: b.clock.Now, Log: slog.New(slog.DiscardHandler)})
}

// found lets a scan of the organization find n things on a host, and returns their ids.
func (b *bundle) found(org uid.Org, host string, n int) []uid.Finding {
	b.t.Helper()
	var seen []scan.Seen
	for i := range n {
		o := finding.Observation{
			Rule: "nmap:open-port", Title: fmt.Sprintf("Port %d is open", i), Severity: finding.Severities()[i%5], Confidence: finding.Firm,
			Category: finding.CategoryExposure, CVE: []string{fmt.Sprintf("CVE-2024-%04d", i)}, Location: finding.Location{Host: host, Port: i, Protocol: "tcp"},
		}
		seen = append(seen, scan.Seen{Observation: o, Fingerprint: finding.Fingerprint("nmap", o), Occurrence: finding.Occurrence("nmap", o), Ordinal: i})
	}
	return b.scanned(org, "nmap", host, seen)
}

// scanned lets a scan of the organization see things on a host, and returns the ids of the findings.
func (b *bundle) scanned(org uid.Org, engine, host string, seen []scan.Seen) []uid.Finding {
	b.t.Helper()
	ctx, now := b.t.Context(), b.clock.Advance(time.Second)
	var due []job.Scan
	b.store.SetJobs(store.Jobs{Enqueue: func(_ context.Context, _ *sql.Tx, j job.Scan) error {
		due = append(due, j)
		return nil
	}})
	s := scan.Scan{ID: uid.Scan(b.clock.IDs().New()), Org: org, Engine: engine, Target: host, TargetType: asset.TypeHost, Host: host, Priority: scan.Normal, CreatedAt: now}
	unit := func(f func(context.Context, scan.Tx) error) {
		b.t.Helper()
		if err := b.store.Scans().Change(ctx, org, audit.Event{Type: event.FindingsIngested}, f); err != nil {
			b.t.Fatal(err)
		}
	}
	unit(func(ctx context.Context, tx scan.Tx) error { return tx.InsertScan(ctx, s) })
	_, err := b.store.Line().Admit(ctx, now, now.Add(time.Hour),
		func(w []scan.Waiting, _ []scan.Slot, _ map[uid.Org]tenant.Concurrency) []scan.Waiting {
			return slices.DeleteFunc(w, func(w scan.Waiting) bool { return w.Scan != s.ID })
		})
	if err != nil || len(due) != 1 {
		b.t.Fatalf("%d jobs, %v", len(due), err)
	}
	s.Fence, s.StartedAt, s.Status = due[0].Fence, now, scan.Running
	var ids []uid.Finding
	unit(func(ctx context.Context, tx scan.Tx) error {
		ids = nil
		if err := tx.StartScan(ctx, s.ID, s.Fence, now); err != nil {
			return err
		}
		changes, err := tx.RecordFindings(ctx, s, seen, now)
		for _, c := range changes {
			ids = append(ids, c.ID)
		}
		return err
	})
	unit(func(ctx context.Context, tx scan.Tx) error {
		return tx.FinishScan(ctx, s.ID, s.Fence, scan.Finish{Status: scan.Completed, At: now, Outcome: "complete"})
	})
	return ids
}

func TestAFindingIsListedReadAndDecidedOn(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ids := b.found(b.ours, "192.0.2.7", 7)
	list := b.call("GET", "/api/findings?severity=critical,high&status=open&limit=2", "", key(b.key)).want(200)
	if list.at("meta.total") != 4.0 || list.text("meta.nextCursor") == "" {
		t.Errorf("%s", list.Body)
	}
	next := b.call("GET", "/api/findings?severity=critical,high&status=open&limit=2&cursor="+list.text("meta.nextCursor"), "", key(b.key)).want(200)
	if data, _ := next.at("data").([]any); len(data) != 2 || next.text("meta.nextCursor") != "" {
		t.Errorf("%s", next.Body)
	}
	b.call("GET", "/api/findings?severity=high&cursor="+list.text("meta.nextCursor"), "", key(b.key)).want(422)

	at := "/api/findings/" + string(ids[0])
	got := b.call("GET", at, "", key(b.key)).want(200)
	if got.Header().Get("ETag") != `"1"` || got.text("status") != "open" || got.at("decision") != nil || got.text("firstScanId") == "" || got.at("seenBy") == nil {
		t.Errorf("%v %s", got.Header(), got.Body)
	}
	until := b.clock.Now().Add(time.Hour).Format(time.RFC3339)
	body := `{"status":"accepted","reason":"behind a VPN","until":"` + until + `"}`
	decided := b.call("POST", at+"/triage", body, key(b.key), with("If-Match", `"1"`)).want(200)
	if decided.Header().Get("ETag") != `"2"` || decided.text("status") != "accepted" || decided.text("decision.reason") != "behind a VPN" ||
		decided.text("decision.by.kind") != "api_key" || decided.text("decision.previousStatus") != "open" || decided.text("decision.until") != until {
		t.Errorf("%s", decided.Body)
	}
	stale := b.call("POST", at+"/triage", `{"status":"confirmed"}`, key(b.key), with("If-Match", `"1"`)).want(409)
	if stale.text("code") != "CONFLICT" {
		t.Errorf("%s", stale.Body)
	}
	b.call("POST", at+"/triage", `{"status":"confirmed","expectedStatus":"open"}`, key(b.key)).want(409)
	b.call("POST", at+"/triage", `{"status":"confirmed"}`, key(b.key), with("If-Match", "2")).want(422)

	b.clock.Advance(2 * time.Hour)
	open := b.call("GET", "/api/findings?status=open&sort=newest", "", key(b.key)).want(200)
	if open.at("meta.total") != 7.0 {
		t.Errorf("an acceptance that ended isn't open: %s", open.Body)
	}
	history := b.call("GET", at+"/history", "", key(b.key)).want(200)
	if !strings.Contains(history.Body.String(), `"kind":"expired"`) || history.at("meta.total") != 3.0 {
		t.Errorf("%s", history.Body)
	}
	if d := b.call("GET", at+"/history?kind=decided,expired&limit=1", "", key(b.key)).want(200); d.text("meta.nextCursor") == "" {
		t.Errorf("%s", d.Body)
	}
	events, err := b.store.Events(t.Context(), b.ours, string(ids[0]), 0, 10)
	if err != nil || len(events) != 2 || events[0].Type != event.FindingTriaged || events[1].Type != event.FindingReopened ||
		!strings.Contains(string(events[1].Data), `"reason":"expired"`) {
		t.Errorf("events %+v, %v", events, err)
	}
	var system []string
	for _, e := range b.entries(b.ours) {
		if e.Type == event.FindingExpired {
			system = append(system, string(e.ActorKind)+" "+e.Route)
		}
	}
	if len(system) != 1 || system[0] != "system " {
		t.Errorf("the end of the acceptance is entered as %q", system)
	}
}

func TestDecisionsThatCannotBeMadeAreRefused(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.found(b.ours, "192.0.2.7", 1)[0]
	soon, late := b.clock.Now().Add(time.Hour).Format(time.RFC3339), b.clock.Now().AddDate(2, 0, 1).Format(time.RFC3339)
	for name, body := range map[string]string{
		"no status": `{}`, "unknown status": `{"status":"ignored"}`, "accepted without end": `{"status":"accepted","reason":"x"}`,
		"accepted without reason": `{"status":"accepted","until":"` + soon + `"}`, "accepted for too long": `{"status":"accepted","reason":"x","until":"` + late + `"}`,
		"accepted in the past": `{"status":"accepted","reason":"x","until":"2020-01-01T00:00:00Z"}`, "false positive without reason": `{"status":"false_positive"}`,
		"justified and open": `{"status":"open","justification":"component_not_present"}`, "end of a confirmation": `{"status":"confirmed","until":"` + soon + `"}`,
		"invisible reason": `{"status":"confirmed","reason":"a\u202eb"}`, "unknown justification": `{"status":"false_positive","justification":"hunter2"}`,
	} {
		if w := b.call("POST", "/api/findings/"+string(id)+"/triage", body, key(b.key)).want(422); w.text("code") != "VALIDATION_ERROR" || strings.Contains(w.Body.String(), "hunter2") {
			t.Errorf("%s: %s", name, w.Body)
		}
	}
	b.call("POST", "/api/findings/"+string(id)+"/triage", `{"status":"confirmed"}`, key(b.other)).want(404)
	if w := b.call("GET", "/api/findings/"+string(id)+"/history", "", key(b.key)).want(200); w.at("meta.total") != 1.0 {
		t.Errorf("a refused decision left a trace: %s", w.Body)
	}
}

func TestManyFindingsAreDecidedOnAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ids, theirs := b.found(b.ours, "192.0.2.7", 10), b.found(b.theirs, "192.0.2.7", 1)
	w := b.call("POST", "/api/findings/triage", fmt.Sprintf(`{"status":"false_positive","reason":"a honeypot","ids":["%s","%s","%s","junk"]}`, ids[0], missing, theirs[0]), key(b.key)).want(200)
	if w.at("decided") != 1.0 || w.at("notFound") != 3.0 {
		t.Errorf("%s", w.Body)
	}
	again := b.call("POST", "/api/findings/triage", fmt.Sprintf(`{"status":"false_positive","reason":"a honeypot","ids":["%s"]}`, ids[0]), key(b.key)).want(200)
	if again.at("unchanged") != 1.0 || again.at("decided") != 0.0 {
		t.Errorf("%s", again.Body)
	}
	filter := `"filter":{"rule":"nmap:open-port","status":["open"]}`
	b.call("POST", "/api/findings/triage", `{"status":"confirmed",`+filter+`,"expected":10}`, key(b.key)).want(409)
	w = b.call("POST", "/api/findings/triage", `{"status":"confirmed",`+filter+`,"expected":9}`, key(b.key)).want(200)
	if w.at("decided") != 9.0 {
		t.Errorf("%s", w.Body)
	}
	for name, body := range map[string]string{
		"neither": `{"status":"confirmed"}`, "both": `{"status":"confirmed","ids":["` + missing + `"],` + filter + `,"expected":1}`,
		"no guard": `{"status":"confirmed",` + filter + `}`, "everything": `{"status":"confirmed","filter":{},"expected":1}`,
		"guard of ids": `{"status":"confirmed","ids":["` + missing + `"],"expected":1}`,
		"too many":     `{"status":"confirmed","ids":[` + strings.TrimSuffix(strings.Repeat(`"x",`, 501), ",") + `]}`,
	} {
		if w := b.call("POST", "/api/findings/triage", body, key(b.key)); w.Code != http.StatusUnprocessableEntity {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
	sum := b.call("GET", "/api/findings/summary", "", key(b.key)).want(200)
	if sum.at("total") != 10.0 || sum.at("byStatus.confirmed") != 9.0 || sum.at("byStatus.false_positive") != 1.0 || sum.at("matrix.critical.false_positive") != 1.0 || sum.at("bySeverity.info") != 2.0 {
		t.Errorf("%s", sum.Body)
	}
	if theirs := b.call("GET", "/api/findings/summary", "", key(b.other)).want(200); theirs.at("total") != 1.0 {
		t.Errorf("%s", theirs.Body)
	}
}
