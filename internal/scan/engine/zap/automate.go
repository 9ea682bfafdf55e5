package zap

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"assay.dev/assay/internal/scan/finding"
)

// progressView is what the automation framework says of a plan.
type progressView struct {
	Finished word     `json:"finished"`
	Info     []string `json:"info"`
	Warn     []string `json:"warn"`
	Error    []string `json:"error"`
}

// says reports whether the plan's log holds the framework's own line about a job.
func (p progressView) says(kind, what string) bool {
	return slices.ContainsFunc(p.Info, func(line string) bool { return strings.HasPrefix(line, "Job "+kind+" "+what) })
}

// overran reports whether a job took as long as it was allowed to, by "Job spider finished, time taken: 00:10:00".
func (p progressView) overran(kind string, limit time.Duration) bool {
	for _, line := range p.Info {
		took, ok := strings.CutPrefix(line, "Job "+kind+" finished, time taken: ")
		if !ok {
			continue
		}
		var whole time.Duration
		for part := range strings.SplitSeq(took, ":") {
			n, err := strconv.ParseUint(part, 10, 16)
			if err != nil {
				return false
			}
			whole = whole*60 + time.Duration(n)*time.Second
		}
		return limit > 0 && whole >= limit
	}
	return false
}

// limitOf is the time that a job is given.
func (s *session) limitOf(kind string) time.Duration {
	switch kind {
	case jobSpider, jobAjax:
		return minutes(s.req.Options.Int("maxSpiderMinutes"))
	case jobActive:
		return minutes(s.req.Options.Int("maxScanMinutes"))
	}
	return 0
}

// automate lets the automation framework do the steps by a plan, which is kept with the scan.
func (s *session) automate(ctx context.Context) error {
	text := plan(s.req)
	if kept, err := s.env.Artifact(planFile, "application/yaml"); err == nil {
		_, _ = kept.Write(text) // it never fails; what is over its bound is dropped
	}
	if err := s.env.Files.Write(planFile, text); err != nil {
		return err
	}
	id, err := s.api.field(ctx, "automation/action/runPlan", "planId", "filePath", s.env.Work+"/"+planFile)
	if err != nil {
		if ctx.Err() == nil && missing(err) {
			return s.unset(ctx, err, "automation plans; its automation add-on is missing")
		}
		return err
	}
	todo := jobs(s.req.Options)
	var seen progressView
	ended, err := s.await(ctx, watch{
		job: job{from: 5, to: 98, phase: "running the plan"}, name: "The plan",
		look: func(ctx context.Context) (int, string, error) {
			if err := s.api.view(ctx, "automation/view/planProgress", &seen, "planId", id); err != nil {
				return 0, "", err
			}
			if seen.Finished != "" {
				return 100, "", nil
			}
			percent, phase := s.planPercent(ctx, todo, seen)
			s.tell(percent, phase)
			return 0, quoted(strings.Join(seen.Info, "\n")) + s.traffic(ctx), nil
		},
		stop: func(ctx context.Context) error { return s.api.act(ctx, "automation/action/stopPlan", "planId", id) },
	})
	s.weigh(ctx, todo, seen, ended)
	return err
}

// planPercent says how far the plan is: the job that began last, and how far ZAP's scans of its kind are.
func (s *session) planPercent(ctx context.Context, todo []job, seen progressView) (percent int, phase string) {
	percent, phase = 5, "running the plan"
	for _, j := range todo {
		switch {
		case seen.says(j.kind, "finished"):
			percent = j.to
		case seen.says(j.kind, "started"):
			phase = j.phase
			_, part := s.lastScan(ctx, j.kind)
			percent = j.from + (j.to-j.from)*part/100
		}
	}
	return percent, phase
}

// lastScan returns the newest scan of the spider or the active scanner, and its progress in percent.
func (s *session) lastScan(ctx context.Context, kind string) (scan string, percent int) {
	component := map[string]string{jobSpider: "spider", jobActive: "ascan"}[kind]
	if component == "" {
		return "", 0
	}
	var answer struct {
		Scans []struct {
			ID       word        `json:"id"`
			Progress json.Number `json:"progress"`
		} `json:"scans"`
	}
	if err := s.api.view(ctx, component+"/view/scans", &answer); err != nil || len(answer.Scans) == 0 {
		return "", 0
	}
	last := answer.Scans[len(answer.Scans)-1]
	n, err := last.Progress.Int64()
	if err != nil || n < 0 || n > 100 {
		n = 0
	}
	return string(last.ID), int(n)
}

// weigh reads from the plan's log how each job ended.
func (s *session) weigh(ctx context.Context, todo []job, seen progressView, whole step) {
	began := map[string]bool{}
	for _, j := range todo {
		ended := stepFailed
		began[j.kind] = seen.says(j.kind, "started")
		switch {
		case seen.says(j.kind, "finished") && !seen.says(j.kind, "terminated"):
			ended = stepDone
		case began[j.kind] && whole != stepDone:
			ended = whole
		case !began[j.kind] && whole == stepDone:
			ended = stepMissing
		case whole != stepDone:
			ended = whole
		}
		s.set(j.kind, s.checked(ctx, j, seen, ended))
	}
	s.countURLs(ctx)
	for _, line := range seen.Error[:min(len(seen.Error), 3)] {
		s.notes = append(s.notes, "The plan met an error: "+finding.Line(line, 200))
	}
}

// checked holds what the framework says against what the rules' own states say.
func (s *session) checked(ctx context.Context, j job, seen progressView, ended step) step {
	switch {
	case j.kind == jobPassive && len(s.rules.Passive) == 0:
		s.miss("passive")
		return stepMissing
	case j.kind == jobActive && s.active == 0: // what it did is nothing
		s.miss("active")
		return stepMissing
	case ended == stepDone && seen.overran(j.kind, s.limitOf(j.kind)):
		s.notes = append(s.notes, "The plan's job "+j.kind+" was ended by its time limit.")
		return stepCut
	case ended == stepMissing:
		s.notes = append(s.notes, "The plan's job "+j.kind+" didn't run; the add-on that it belongs to is missing.")
	case j.kind == jobPassive && ended == stepDone:
		n, err := s.api.number(ctx, "pscan/view/recordsToScan", "recordsToScan")
		if err != nil {
			return stepFailed
		}
		if n > 0 {
			s.notes = append(s.notes, "The passive scan didn't see every answer in its time.")
			return stepCut
		}
	case j.kind == jobActive:
		if scan, _ := s.lastScan(ctx, jobActive); scan != "" {
			s.completed(ctx, scan)
		}
	}
	return ended
}
