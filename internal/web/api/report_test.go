package api_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/org/access"
	"assay.dev/assay/internal/scan"
	recurring "assay.dev/assay/internal/scan/report"
	"assay.dev/assay/internal/web/report"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/uid"
)

// documents keeps what reports make.
type documents struct {
	mu   sync.Mutex
	kept map[string][]byte
}

func (d *documents) Create(uid.Org, string) (scan.Blob, error) { return &newDocument{all: d}, nil }

func (d *documents) Open(_ context.Context, _ uid.Org, digest string) (io.ReadSeekCloser, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	doc, ok := d.kept[digest]
	if !ok {
		return nil, fault.Missing("the artifact")
	}
	return openDocument{bytes.NewReader(doc)}, nil
}

type openDocument struct{ *bytes.Reader }

func (openDocument) Close() error { return nil }

type newDocument struct {
	bytes.Buffer
	all *documents
}

func (d *newDocument) Size() int64  { return int64(d.Len()) }
func (d *newDocument) Abort() error { return nil }

func (d *newDocument) Commit() (string, error) {
	sum := sha256.Sum256(d.Bytes())
	digest := hex.EncodeToString(sum[:])
	d.all.mu.Lock()
	defer d.all.mu.Unlock()
	d.all.kept[digest] = bytes.Clone(d.Bytes())
	return digest, nil
}

// newReports is the service of recurring reports over the bundle's database.
func newReports(b *bundle) *recurring.Service {
	return recurring.New(recurring.Deps{
		Store: b.store.Reports(), Blobs: b.documents, Engines: []string{"nmap", "sentinel"}, Zone: time.LoadLocation,
		Now: b.clock.Now, IDs: b.clock.IDs(),
	})
}

// someReport defines a report.
func (b *bundle) someReport(org uid.Org) recurring.Report {
	b.t.Helper()
	r, err := b.reports.Create(b.t.Context(), access.Operator(org), recurring.Draft{Name: "r", Kind: recurring.Findings, Format: recurring.HTML, Enabled: true})
	if err != nil {
		b.t.Fatal(err)
	}
	return r
}

// someRun makes a run of the report with a document, as the runner would.
func (b *bundle) someRun(r recurring.Report, text string) recurring.Run {
	b.t.Helper()
	ctx := b.t.Context()
	run, err := b.reports.RunNow(ctx, access.Operator(r.Org), r.ID)
	if err != nil {
		b.t.Fatal(err)
	}
	doc, err := b.documents.Create(r.Org, "x")
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := io.WriteString(doc, text); err != nil {
		b.t.Fatal(err)
	}
	done := run
	done.Size, done.Status, done.Fence, done.EndedAt = doc.Size(), recurring.Ready, 1, b.clock.Now()
	if done.SHA256, err = doc.Commit(); err != nil {
		b.t.Fatal(err)
	}
	err = b.store.Reports().Change(ctx, r.Org, audit.Bookkeeping("a report run is taken; its end is audited"), func(ctx context.Context, tx recurring.Tx) error {
		if err := tx.TakeReportRun(ctx, run, b.clock.Now(), b.clock.Now().Add(time.Minute)); err != nil {
			return err
		}
		return tx.FinishReportRun(ctx, done, done.To)
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return done
}

func TestAReportIsDefinedRunAndRead(t *testing.T) {
	t.Parallel()
	b := setup(t)
	body := `{"name":"Monday","kind":"changes","filters":{"severity":["high","critical"],"engine":"nmap"},"schedule":{"cron":"0 7 * * mon","timeZone":"Europe/Paris"}}`
	made := b.call("POST", "/api/reports", body, key(b.key), with("Idempotency-Key", "k")).want(201)
	at := made.Header().Get("Location")
	again := b.call("POST", "/api/reports", body, key(b.key), with("Idempotency-Key", "k")).want(201)
	if at != "/api/reports/"+made.text("id") || again.Body.String() != made.Body.String() || made.text("format") != "html" ||
		made.at("enabled") != true || made.text("nextRunAt") != "2026-03-09T06:00:00Z" || made.text("filters.severity") != "" {
		t.Error(made.Body)
	}
	changed := b.call("PUT", at, `{"name":"Tuesday","kind":"scans","format":"csv","enabled":false,"schedule":{"cron":"0 7 * * tue"}}`, key(b.key)).want(200)
	if changed.at("nextRunAt") != nil || changed.text("kind") != "scans" || changed.at("filters.engine") != nil || changed.text("schedule.timeZone") != "UTC" {
		t.Error(changed.Body)
	}
	if l := b.call("GET", "/api/reports", "", key(b.key)).want(200); l.at("meta.total") != 1.0 {
		t.Error(l.Body)
	}
	run := b.call("POST", at+"/run", "", key(b.key)).want(202)
	b.call("POST", at+"/run", "", key(b.key)).want(409)
	where := run.Header().Get("Location")
	if got := b.call("GET", where, "", key(b.key)).want(200); got.text("status") != "queued" || where != at+"/runs/"+run.text("id") {
		t.Error(got.Body)
	}
	b.call("GET", where+"/document", "", key(b.key)).want(409)
	if l := b.call("GET", at+"/runs", "", key(b.key)).want(200); l.at("meta.total") != 1.0 {
		t.Error(l.Body)
	}
	// Reading needs findings:read, writing findings:write.
	reader := b.newKey(b.ours, "findings:read")
	b.call("GET", at, "", key(reader)).want(200)
	b.call("DELETE", at, "", key(reader)).want(403)
	b.call("POST", at+"/run", "", key(reader)).want(403)
	b.call("DELETE", at, "", key(b.key)).want(204)
	b.call("GET", at, "", key(b.key)).want(404)
	for body, field := range map[string]string{
		`{"name":"x","kind":"findings","schedule":{"cron":"61 * * * *"}}`:       "schedule.cron",
		`{"name":"x","kind":"findings","filters":{"engine":"hunter2"}}`:         "filters.engine",
		`{"name":"x","kind":"scans","format":"sarif"}`:                          "format",
		`{"name":"x","kind":"findings","filters":{"severity":["hunter2"]}}`:     "body.filters.severity[0]",
		`{"name":"x","kind":"findings","schedule":{"timeZone":"Europe/Paris"}}`: "body.schedule",
	} {
		w := b.call("POST", "/api/reports", body, key(b.key)).want(422)
		if errs, _ := w.at("errors").([]any); len(errs) == 0 || errs[0].(map[string]any)["location"] != field || strings.Contains(w.Body.String(), "hunter2") {
			t.Errorf("%s: %s", body, w.Body)
		}
	}
}

func TestAReportsDocumentRunsNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := b.someReport(b.ours)
	run := b.someRun(r, "<p>document</p>")
	at := recurring.DocumentPath(r.ID, run.ID)
	w := b.call("GET", at, "", key(b.key)).want(200)
	if w.Body.String() != "<p>document</p>" || w.Header().Get("Content-Type") != "text/html; charset=utf-8" ||
		w.Header().Get("Content-Security-Policy") != report.HTMLPolicy() || w.Header().Get("X-Content-Type-Options") != "nosniff" ||
		w.Header().Get("Content-Disposition") != `inline; filename="assay-report-`+string(run.ID)+`.html"` {
		t.Errorf("%v %s", w.Header(), w.Body)
	}
	if head := b.call(http.MethodHead, at, "", key(b.key)).want(200); head.Body.Len() > 0 || head.Header().Get("Content-Length") != "15" {
		t.Errorf("%v %q", head.Header(), head.Body)
	}
	b.call("GET", at, "", key(b.other)).want(404)
	b.call("GET", recurring.DocumentPath(r.ID, missing), "", key(b.key)).want(404)
	other := b.someReport(b.ours)
	b.call("GET", recurring.DocumentPath(other.ID, run.ID), "", key(b.key)).want(404)
}
