package app_test

import (
	"context"
	"crypto/rand"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"assay.dev/assay/internal/app"
	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/client"
	"assay.dev/assay/internal/config"
	"assay.dev/assay/internal/infra/store"
	"assay.dev/assay/internal/scan/template"
	"assay.dev/assay/internal/testkit"
	happened "assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/uid"
)

const scanTemplates = scanAPI + "/scan-templates"

// node starts a server on a set-up folder and returns who calls it, and what stops it.
func node(t *testing.T, cfg config.Config, made app.Initial) (caller, func()) {
	t.Helper()
	log := &logs{}
	server, err := app.New(t.Context(), cfg, app.Seams{Log: log})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background()) // ends with stop
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	<-server.Ready()
	return caller{t: t, url: server.URL(), org: made.OrganizationID, key: made.APIKey}, func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the server did not stop in good order: %v\n%s", err, log)
		}
	}
}

// overdue moves a template's next due time into the past, as if no server had run when it came.
func overdue(t *testing.T, cfg config.Config, org uid.Org, id uid.Template) {
	t.Helper()
	sc := store.Config{
		DSN: cfg.Database, Now: time.Now, Rand: rand.Reader, IDs: uid.NewSource(time.Now, rand.Reader), Logger: slog.New(slog.DiscardHandler),
	}
	if sc.DSN == "" {
		sc.Path = filepath.Join(cfg.Data, "assay.db")
	}
	db, err := store.Open(t.Context(), sc)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Templates().Change(t.Context(), org, audit.Event{Type: happened.TemplateUpdated}, func(ctx context.Context, tx template.Tx) error {
		m, err := tx.TemplateForUpdate(ctx, id)
		if err != nil {
			return err
		}
		m.Schedule.Next = m.Schedule.Next.AddDate(-3, 0, 0)
		m.Schedule.Start = m.Schedule.Next
		return tx.ReplaceTemplate(ctx, m)
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestWhatASchedulesServersMissedRunsOnceAfterTheirStart goes over HTTP: a schedule is written, no server runs when its
// time comes, and then two nodes start at once (one, on SQLite).
func TestWhatASchedulesServersMissedRunsOnceAfterTheirStart(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		nodes int
		dsn   func(testing.TB) string
	}{{"sqlite", 1, func(testing.TB) string { return "" }}, {"postgres", 2, testkit.Database}} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			cfg := config.Default()
			cfg.Data, cfg.Listen, cfg.Database = filepath.Join(t.TempDir(), "data"), "127.0.0.1:0", tt.dsn(t)
			cfg.RateLimitCeiling, cfg.ShutdownTimeout = 0, 5*time.Second
			made, err := app.Init(t.Context(), cfg, app.InitOrder{Organization: "Ours", Admin: "admin"})
			if err != nil {
				t.Fatal(err)
			}
			first, stop := node(t, cfg, made)
			var m client.Template
			first.must("POST", scanTemplates, map[string]any{
				"name": "yearly", "scanType": "sentinel", "options": map[string]any{"depth": "quick", "ports": "1"}, "targets": []string{"127.0.0.1"},
				"schedule": map[string]any{"cron": "0 0 1 1 *", "timeZone": "Europe/Paris"},
			}, &m)
			stop()
			overdue(t, cfg, uid.Org(made.OrganizationID), uid.Template(m.ID))

			for range 2 { // the second start finds nothing to be done
				var nodes []caller
				var stops []func()
				for i := range tt.nodes {
					c := cfg
					if i > 0 {
						c.Data, c.MasterKeyFile = filepath.Join(t.TempDir(), "data"), filepath.Join(cfg.Data, "keys", "master.key")
					}
					n, stop := node(t, c, made)
					nodes, stops = append(nodes, n), append(stops, stop)
				}
				one := nodes[0]
				var runs client.TemplateRuns
				one.until("the run of the schedule", patience, func() bool {
					one.must("GET", scanTemplates+"/"+m.ID+"/runs", nil, &runs)
					return len(runs.Runs) > 0
				})
				if len(runs.Runs) != 1 || runs.Runs[0].State != "started" || len(runs.Runs[0].Items) != 1 {
					t.Fatalf("%+v", runs)
				}
				one.ended(runs.Runs[0].Items[0].ScanID)
				var list client.Scans
				one.must("GET", scanAPI+"/scans?templateId="+m.ID, nil, &list)
				if len(list.Scans) != 1 || list.Scans[0].Name != "yearly" {
					t.Errorf("%+v", list.Scans)
				}
				one.must("GET", scanTemplates+"/"+m.ID, nil, &m)
				if m.Schedule.NextDueAt.Before(time.Now()) || !m.Schedule.LastDueAt.Equal(runs.Runs[0].DueAt) {
					t.Errorf("%+v", m.Schedule)
				}
				for _, stop := range stops {
					stop()
				}
			}
		})
	}
}
