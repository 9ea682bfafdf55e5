package cli

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"assay.dev/assay/internal/client"
)

// bar shows a scan's progress: a bar on a terminal, one line per phase elsewhere, nothing with --json.
type bar struct {
	io       IO
	quiet    bool
	title    string
	bar      *progressbar.ProgressBar
	phase    string
	attempt  int
	progress int
	stop     chan struct{}
	stopped  chan struct{}
}

// newBar begins a bar for the scan as it is now; done ends it.
func newBar(stdio IO, title string, attempt int, quiet bool) *bar {
	b := &bar{io: stdio, quiet: quiet, title: title, attempt: attempt, stop: make(chan struct{}), stopped: make(chan struct{})}
	if !stdio.Terminal || quiet {
		close(b.stopped)
		return b
	}
	b.bar = progressbar.NewOptions(100, progressbar.OptionSetWriter(stdio.Err), progressbar.OptionSetDescription(title),
		progressbar.OptionSetWidth(30), progressbar.OptionSetElapsedTime(true), progressbar.OptionSetPredictTime(false),
		progressbar.OptionUseANSICodes(true), progressbar.OptionClearOnFinish())
	go b.tick()
	return b
}

// tick keeps the clock of the bar going while the scan says nothing.
func (b *bar) tick() {
	defer close(b.stopped)
	second := time.NewTicker(time.Second)
	defer second.Stop()
	for {
		select {
		case <-b.stop:
			return
		case <-second.C:
			_ = b.bar.RenderBlank() // a bar that can't be drawn must not end the scan's view
		}
	}
}

// old reports whether an event tells nothing about where the scan is now: a stream begins with that, and then repeats
// what led there.
func (b *bar) old(e client.Event) bool {
	if e.Status == "" {
		return true
	}
	if e.Type != "scan.state" && (e.Attempt < b.attempt || (e.Attempt == b.attempt && e.Progress < b.progress)) {
		return true
	}
	b.attempt, b.progress = max(b.attempt, e.Attempt), e.Progress
	return false
}

// see takes one event.
func (b *bar) see(e client.Event) {
	if b.quiet || b.old(e) {
		return
	}
	phase := printable(e.Phase)
	if e.Status == "queued" {
		phase = "waiting in line"
	}
	if b.bar != nil {
		b.bar.Describe(fmt.Sprintf("%s %-18s", b.title, shorten(phase, 18)))
		_ = b.bar.Set(min(e.Progress, 99)) // a bar that can't be drawn must not end the scan's view
		return
	}
	if phase != "" && phase != b.phase {
		b.phase = phase
		b.io.said("%s: %s (%d %%)", b.title, phase, e.Progress)
	}
}

func (b *bar) done() {
	close(b.stop)
	<-b.stopped
	if b.bar != nil {
		_ = b.bar.Finish()
	}
}

// follow watches a scan to its end and prints its findings.
func (s *scansCommand) follow(cmd *cobra.Command, api *client.Client, id string) error {
	scan, err := api.Scan(cmd.Context(), id)
	if err != nil {
		return err
	}
	family := len(scan.Children) > 0 || scan.ScanType == "sentinel" // which may come to have some
	if !scan.Terminal() {
		b := newBar(s.IO, scan.ScanType+" "+shorten(printable(scan.Target), 40), scan.Attempt, s.json)
		scan, err = api.Watch(cmd.Context(), id, b.see)
		b.done()
	}
	if err != nil && cmd.Context().Err() != nil {
		s.said("no longer watching; the scan goes on. Watch it again or end it with:\n  assay scans watch %s\n  assay scans cancel %s", id, id)
		return exit{exitError}
	}
	if err != nil {
		return err
	}
	if family {
		if scan, err = api.Scan(cmd.Context(), id); err != nil {
			return err
		}
	}
	if scan.Status != "completed" {
		if err := s.show(scan); err != nil {
			return err
		}
		return failed(scan)
	}
	if !s.json {
		s.childTable(scan.Children)
	}
	return s.findings(cmd, api, id)
}

// findings prints all findings of a scan, worst first.
func (s *scansCommand) findings(cmd *cobra.Command, api *client.Client, id string) error {
	all, err := allFindings(cmd.Context(), api, id)
	if err != nil {
		return err
	}
	if s.json {
		return s.IO.json(all)
	}
	s.findingTable(all.Findings)
	s.covered(all.Coverage)
	s.said("%s: %d findings, outcome %s", id, all.Summary.Total, all.Outcome)
	return nil
}

// allFindings reads all pages into one result.
func allFindings(ctx context.Context, api *client.Client, id string) (client.Results, error) {
	var all client.Results
	for cursor := ""; ; {
		page, err := api.Results(ctx, id, cursor, 100)
		if err != nil {
			return client.Results{}, err
		}
		findings := append(all.Findings, page.Findings...)
		all, all.Findings = page, findings
		cursor = page.Pagination.NextCursor
		if cursor == "" {
			return all, nil
		}
	}
}

func (stdio IO) findingTable(list []client.Finding) {
	head, rows := []string{"SEVERITY", "WHERE", "WHAT", "RULE"}, make([][]string, 0, len(list))
	several := slices.ContainsFunc(list, func(f client.Finding) bool { return len(f.Engines) > 1 })
	if several {
		head = append(head, "SEEN BY")
	}
	for _, f := range list {
		row := []string{f.Severity, place(f.Location), shorten(f.Title, 70), f.Rule}
		if several {
			row = append(row, strings.Join(f.Engines, ", "))
		}
		rows = append(rows, row)
	}
	stdio.table(head, rows)
}

// place is where a finding is, in the shortest form that says it.
func place(l client.Location) string {
	switch {
	case l.URL != "":
		return shorten(l.URL, 50)
	case l.Port != 0:
		return l.Host + ":" + strconv.Itoa(l.Port) + "/" + l.Protocol
	}
	return l.Host
}
