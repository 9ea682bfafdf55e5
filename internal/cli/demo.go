package cli

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"assay.dev/assay/internal/app"
	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/client"
	"assay.dev/assay/internal/config"
	"assay.dev/assay/internal/simulator"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/secret"
)

// demonstration is one run of `assay demo`: the main job from a user's seat, over the public API.
type demonstration struct {
	IO

	cfg  config.Config
	api  *client.Client
	key  client.Key
	weak *simulator.WeakTarget
	once bool
}

func demo(stdio IO) *cobra.Command {
	d := &demonstration{IO: stdio}
	c := &cobra.Command{
		Use: "demo", Short: "Show the main job: a server, a scan of a weak target, its findings, a verified log", Args: cobra.NoArgs,
		Long: "Start a server on loopback, set it up on the first run (secrets are printed then and never again), start a deliberately\n" +
			"weak target of our own on loopback, scan it with nmap and Sentinel through the API, print the findings, verify the audit\n" +
			"log offline, and leave the server running until Ctrl-C.",
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if d.cfg, err = stdio.settings(cmd); err != nil {
				return err
			}
			return d.run(cmd.Context())
		},
	}
	dataFlag(c)
	c.Flags().String("listen", "", "address to serve on (default "+config.Default().Listen+")")
	c.Flags().BoolVar(&d.once, "once", false, "end after the scans instead of leaving the server running")
	return c
}

func (d *demonstration) run(ctx context.Context) error {
	// Where nobody chose, the server's own notes below warnings would only hide what the demo shows.
	if d.cfg.LogLevel == config.Default().LogLevel {
		d.cfg.LogLevel = "warn"
	}
	server, err := app.New(ctx, d.cfg, app.Seams{Log: d.Err})
	if err != nil {
		return err
	}
	// The server must outlive an interrupt for as long as the demo needs it to clean up after itself.
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- server.Run(serving) }()
	select {
	case <-server.Ready():
	case err := <-ended:
		return err
	}
	// The weak target stays for as long as the server, so that it can be scanned again by hand.
	weak, stopWeak := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWeak()
	if d.weak, err = startWeak(weak); err == nil {
		err = d.show(ctx, server)
	}
	if err == nil && !d.once {
		d.said("\nThe server keeps running. Stop it with Ctrl-C.")
		select {
		case <-ctx.Done():
		case err := <-ended:
			return err
		}
	}
	if d.weak != nil {
		err = errors.Join(err, d.weak.Close())
	}
	stop()
	if errors.Is(err, context.Canceled) || fault.Of(err) != nil && fault.KindOf(err) == fault.Canceled {
		err = nil // Ctrl-C is how a demo ends
	}
	return errors.Join(err, <-ended)
}

// show goes through the job, step by step.
func (d *demonstration) show(ctx context.Context, server *app.App) (err error) {
	d.said("assay %s serves on %s", app.Version().Version, server.URL())
	op := app.NewOperator(d.cfg)
	if err := d.setUp(ctx, op); err != nil {
		return err
	}
	orgs, err := op.Organizations(ctx)
	if err != nil {
		return err
	}
	org := orgs[0].ID
	// Each run works with a key of its own that ends with it, so that a second run needs none of the first's secrets.
	d.key, err = op.CreateKey(ctx, org, client.KeyOrder{
		Name: "demo run", Scopes: []string{"scans:*", "results:read"}, ExpiresInDays: 1,
		RateLimitPerMinute: 1000, RateLimitPerHour: 50000, RateLimitPerDay: 500000,
	})
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, op.RevokeKey(context.WithoutCancel(ctx), org, d.key.ID))
	}()
	transport, err := d.transport()
	if err != nil {
		return err
	}
	if d.api, err = client.New(server.URL(), secret.New(d.key.Secret), transport); err != nil {
		return err
	}
	d.said("\nA deliberately weak target listens on %s, ports %s.", d.weak.Host(), d.weak.PortList())
	for _, engine := range []string{"nmap", "sentinel"} {
		if err := d.scan(ctx, engine); err != nil {
			return err
		}
	}
	if err := d.verify(ctx, op, org); err != nil {
		return err
	}
	d.said("\nAPI reference: %s/docs\nGo on with:\n  curl -H \"X-API-Key: $ASSAY_API_KEY\" %s/scan-api/api/v1/scans", server.URL(), server.URL())
	return nil
}

// setUp initializes an empty data folder and prints its secrets, the only time.
func (d *demonstration) setUp(ctx context.Context, op app.Operator) error {
	orgs, err := op.Organizations(ctx)
	if err != nil {
		return err
	}
	if len(orgs) > 0 {
		d.said("using the data in %s (its secrets were shown at the first run)", d.cfg.Data)
		return nil
	}
	made, err := app.Init(ctx, d.cfg, app.InitOrder{Organization: "Demo", Admin: "admin"})
	if err != nil {
		return err
	}
	fmt.Fprintf(d.Out, "\norganization  %s\nadmin         %s\npassword      %s   (one time)\nAPI key       %s\n\nThese are shown once. To use the key: export ASSAY_API_KEY=…\n",
		made.OrganizationID, made.Admin.Username, made.Admin.Password, made.APIKey)
	return nil
}

// startWeak starts the weak target on its usual ports, so that a second run meets the same places; where one is taken,
// on any free ones.
func startWeak(ctx context.Context) (*simulator.WeakTarget, error) {
	usual := map[string]uint16{
		simulator.WeakHTTP: 18080, simulator.WeakHTTPS: 18443, simulator.WeakRedis: 16379, simulator.WeakSSH: 10022, simulator.WeakFTP: 10021,
	}
	weak, err := simulator.StartWeakTarget(ctx, simulator.WeakConfig{Ports: usual, Rand: rand.Reader})
	if err != nil {
		weak, err = simulator.StartWeakTarget(ctx, simulator.WeakConfig{Rand: rand.Reader})
	}
	return weak, err
}

// scan runs one engine over the target and prints what it found.
func (d *demonstration) scan(ctx context.Context, engine string) error {
	ports, err := json.Marshal(d.weak.PortList())
	if err != nil {
		return err
	}
	options := map[string]json.RawMessage{"ports": ports}
	if engine == "sentinel" {
		options["engines"] = json.RawMessage(`["sentinel"]`) // nmap has had its own scan
	}
	if engine == "nmap" {
		options["versionIntensity"] = json.RawMessage("2") // enough for what listens there, and seconds instead of a minute
	}
	scan, err := d.api.Submit(ctx, client.Order{
		Target: d.weak.Host().String(), ScanType: engine, Name: "demo", Tags: []string{"demo"},
		Options: options,
	}, "")
	if f := fault.Of(err); f != nil && f.Code == fault.CodeEngine {
		d.said("\n%s: skipped: %s", engine, f.Text)
		return nil
	}
	if err != nil {
		return err
	}
	b := newBar(d.IO, engine, scan.Attempt, false)
	scan, err = d.api.Watch(ctx, scan.ID, b.see)
	b.done()
	if err != nil {
		return err
	}
	if scan.Status != "completed" {
		return failed(scan)
	}
	results, err := allFindings(ctx, d.api, scan.ID)
	if err != nil {
		return err
	}
	took := time.Duration(0)
	if scan.StartedAt != nil && scan.CompletedAt != nil {
		took = scan.CompletedAt.Sub(*scan.StartedAt).Round(100 * time.Millisecond)
	}
	fmt.Fprintf(d.Out, "\n%s: %d findings in %s, outcome %s\n", engine, results.Summary.Total, took, results.Outcome)
	d.findingTable(results.Findings)
	return nil
}

// verify exports log and keys and checks the one with the other, as an auditor would.
func (d *demonstration) verify(ctx context.Context, op app.Operator, org string) error {
	var log, keys bytes.Buffer
	if err := op.ExportLog(ctx, org, &log); err != nil {
		return err
	}
	if err := op.ExportKeys(ctx, org, &keys); err != nil {
		return err
	}
	trusted, err := audit.ParseKeys(&keys)
	if err != nil {
		return err
	}
	report, err := audit.VerifyExport(&log, trusted, nil)
	if err != nil {
		return err
	}
	fmt.Fprintf(d.Out, "\naudit log: %d entries, verified offline: every leaf, the tree, both signatures (Ed25519 and ML-DSA-65)\n", report.Entries)
	fmt.Fprintln(d.Out, strings.Join([]string{
		"to check it yourself:",
		"  assay log export --data " + d.cfg.Data + " --out log.jsonl && assay keys export --data " + d.cfg.Data + " --out keys.json",
		"  assay log verify log.jsonl --keys keys.json",
	}, "\n"))
	return nil
}
