package scanapi

import (
	"context"
	"time"

	"assay.dev/assay/internal/scan"
	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/web/api"
	"assay.dev/assay/internal/web/report"
)

// Coverage is what a scan looked at, and with what: what "nothing found" is worth.
type Coverage struct {
	Databases []Database   `json:"databases" doc:"Rules, advisories and templates that were judged by."`
	Targets   []TargetLook `json:"targets" doc:"What became of each address, URL or file tree; what was left out is among them, with the reason."`
	Sources   []SourceLook `json:"sources" doc:"Third parties that were asked."`
}

// Database is a body of knowledge that was judged by.
type Database struct {
	Name      string     `json:"name"`
	Version   string     `json:"version,omitempty"`
	UpdatedAt *time.Time `json:"updatedAt,omitempty"`
	Entries   int        `json:"entries,omitempty" doc:"Rules or templates that were loaded."`
}

// TargetLook is what became of one target.
type TargetLook struct {
	Target string `json:"target"`
	State  string `json:"state" enum:"reached,partial,unreachable,timed_out,skipped"`
	Reason string `json:"reason,omitempty"`
}

// SourceLook is what became of one third party that was asked.
type SourceLook struct {
	Source string `json:"source"`
	State  string `json:"state" enum:"answered,failed,no_key,timed_out,skipped"`
	Found  int    `json:"found"`
	Reason string `json:"reason,omitempty"`
}

// coverage is what a scan that has ended looked at; nil before its end.
func (h *handlers) coverage(ctx context.Context, s scan.Scan) (*Coverage, error) {
	if !s.Status.Terminal() {
		return nil, nil //nolint:nilnil // there is none yet
	}
	l, err := h.d.Results.Looked(ctx, s.Org, s.ID)
	if err != nil {
		return nil, err
	}
	return coverageView(l), nil
}

func coverageView(l engine.Looked) *Coverage {
	v := &Coverage{Databases: []Database{}, Targets: []TargetLook{}, Sources: []SourceLook{}}
	for _, d := range l.Databases {
		out := Database{Name: d.Name, Version: d.Version, Entries: d.Entries}
		if !d.UpdatedAt.IsZero() {
			at := d.UpdatedAt.UTC()
			out.UpdatedAt = &at
		}
		v.Databases = append(v.Databases, out)
	}
	for _, t := range l.Targets {
		v.Targets = append(v.Targets, TargetLook{Target: t.Target, State: string(t.State), Reason: t.Reason})
	}
	for _, s := range l.Sources {
		v.Sources = append(v.Sources, SourceLook{Source: s.Source, State: string(s.State), Found: s.Found, Reason: s.Reason})
	}
	return v
}

// Child is a scan that carries out a part of another.
type Child struct {
	ID          string          `json:"id"`
	ScanType    string          `json:"scanType"`
	Target      string          `json:"target"`
	Phase       string          `json:"phase" enum:"inventory,surface,vulnerability"`
	Status      string          `json:"status" enum:"queued,running,completed,failed,cancelled"`
	Progress    int             `json:"progress" minimum:"0" maximum:"100"`
	Outcome     string          `json:"outcome,omitempty" enum:"complete,partial,failed,blocked,nothing_reachable"`
	Findings    *report.Summary `json:"findings,omitempty" doc:"What it found itself, before results are merged."`
	StartedAt   *api.Time       `json:"startedAt,omitempty"`
	CompletedAt *api.Time       `json:"completedAt,omitempty"`
}

func (h *handlers) children(ctx context.Context, parent scan.Scan) ([]Child, error) {
	list, err := h.d.Scans.Children(ctx, parent.Org, parent.ID)
	if err != nil {
		return nil, err
	}
	out := make([]Child, len(list))
	for i, s := range list {
		out[i] = Child{
			ID: string(s.ID), ScanType: s.Engine, Target: s.Target, Phase: s.Stage, Status: string(s.Status), Progress: s.Progress,
			Outcome: string(s.Outcome), StartedAt: api.Moment(s.StartedAt), CompletedAt: api.Moment(s.EndedAt),
		}
		if s.Status.Terminal() {
			sum := report.NewSummary(s.Summary)
			out[i].Findings = &sum
		}
	}
	return out, nil
}
