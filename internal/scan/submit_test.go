package scan_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/org/tenant"
	"assay.dev/assay/internal/scan"
	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/uid"
)

func TestOrderIsRefusedByTheFirstCheckThatFails(t *testing.T) {
	t.Parallel()
	raw := func(s string) map[string]json.RawMessage {
		return map[string]json.RawMessage{"ports": json.RawMessage(s)}
	}
	limited := actor()
	limited.Engines = []string{"gone"}
	for name, c := range map[string]struct {
		change   func(*scan.Order)
		limited  bool
		kind     fault.Kind
		code     fault.Code
		location string
	}{
		"unknown engine":            {change: func(o *scan.Order) { o.Engine, o.Target = "nmapp", "-x" }, kind: fault.Invalid, code: fault.CodeValidation, location: "scanType"},
		"engine not allowed":        {change: func(o *scan.Order) { o.Target = "-x" }, limited: true, kind: fault.Forbidden, code: fault.CodeScanType},
		"name":                      {change: func(o *scan.Order) { o.Name = "a\x00b" }, kind: fault.Invalid, code: fault.CodeValidation, location: "name"},
		"long name":                 {change: func(o *scan.Order) { o.Name = strings.Repeat("x", 256) }, kind: fault.Invalid, code: fault.CodeValidation, location: "name"},
		"tags":                      {change: func(o *scan.Order) { o.Tags = []string{"a", strings.Repeat("x", 65)} }, kind: fault.Invalid, code: fault.CodeValidation, location: "tags[1]"},
		"priority":                  {change: func(o *scan.Order) { o.Priority = "urgent" }, kind: fault.Invalid, code: fault.CodeValidation, location: "priority"},
		"short timeout":             {change: func(o *scan.Order) { o.Timeout = 9 }, kind: fault.Invalid, code: fault.CodeValidation, location: "timeout"},
		"long timeout":              {change: func(o *scan.Order) { o.Timeout = 86_401 }, kind: fault.Invalid, code: fault.CodeValidation, location: "timeout"},
		"negative timeout":          {change: func(o *scan.Order) { o.Timeout = -1 }, kind: fault.Invalid, code: fault.CodeValidation, location: "timeout"},
		"hostile target":            {change: func(o *scan.Order) { o.Target, o.Options = "--script=x", raw(`0`) }, kind: fault.Invalid, code: fault.CodeValidation, location: "target"},
		"target of another type":    {change: func(o *scan.Order) { o.Target, o.TargetType = "app:1.2", asset.TypeImage }, kind: fault.Invalid, code: fault.CodeTargetType},
		"unknown target type":       {change: func(o *scan.Order) { o.TargetType = "planet" }, kind: fault.Invalid, code: fault.CodeValidation, location: "targetType"},
		"option out of bounds":      {change: func(o *scan.Order) { o.Options = raw(`"0"`) }, kind: fault.Invalid, code: fault.CodeValidation, location: "options.ports"},
		"unknown config":            {change: func(o *scan.Order) { o.Config = map[string]json.RawMessage{"proxy": json.RawMessage(`"x"`)} }, kind: fault.Invalid, code: fault.CodeValidation, location: "config.proxy"},
		"engine not available":      {change: func(o *scan.Order) { o.Engine, o.Target = "gone", "8.8.8.8" }, kind: fault.Unavailable, code: fault.CodeEngine},
		"target not on the list":    {change: func(o *scan.Order) { o.Target = "198.51.100.7" }, kind: fault.Forbidden, code: fault.CodeTargetForbidden},
		"name that leads elsewhere": {change: func(o *scan.Order) { o.Target = "elsewhere.test" }, kind: fault.Forbidden, code: fault.CodeTargetForbidden},
		"name that leads to metadata": {
			change: func(o *scan.Order) { o.Target = "rebound.example.org" }, kind: fault.Forbidden, code: fault.CodeTargetForbidden,
		},
		"name without address":   {change: func(o *scan.Order) { o.Target = "nowhere.example.org" }, kind: fault.Invalid, code: fault.CodeValidation, location: "target"},
		"network out of scope":   {change: func(o *scan.Order) { o.Target = "192.0.2.0/23" }, kind: fault.Forbidden, code: fault.CodeTargetForbidden},
		"metadata address":       {change: func(o *scan.Order) { o.Target = "http://[::ffff:169.254.169.254]/" }, kind: fault.Forbidden, code: fault.CodeTargetForbidden},
		"this server's listener": {change: func(o *scan.Order) { o.Target = "https://192.0.2.1:8443/" }, kind: fault.Forbidden, code: fault.CodeTargetForbidden},
		"asset of nobody":        {change: func(o *scan.Order) { o.Asset = uid.Asset(strings.Replace(string(knownAsset), "aa", "ab", 1)) }, kind: fault.Invalid, code: fault.CodeValidation, location: "assetId"},
		"asset that is none":     {change: func(o *scan.Order) { o.Asset = "../x" }, kind: fault.Invalid, code: fault.CodeValidation, location: "assetId"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			o, a := order(), actor()
			if c.limited {
				a = limited
			}
			c.change(&o)
			_, err := r.service.Submit(t.Context(), a, o)
			f := fault.Of(err)
			if f == nil || f.Kind != c.kind || f.Code != c.code {
				t.Fatalf("%v, want %s of %s", err, c.code, c.kind)
			}
			location := ""
			if len(f.Fields) > 0 {
				location = f.Fields[0].Location
			}
			if location != c.location {
				t.Errorf("at %q, want %q", location, c.location)
			}
			if len(r.store.rows) != 0 || len(r.store.events) != 0 || len(r.store.audits) != 0 || r.store.quota != 0 || r.changed != 0 {
				t.Error("a refused order left something behind")
			}
		})
	}
}

func TestAcceptedOrderIsKeptInItsCanonicalForm(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	const password = "correct-horse-battery"
	got, err := r.service.Submit(t.Context(), actor(), scan.Order{
		Engine: "stub", Target: "HTTP://Example.ORG:80/a/../b#c", Name: "nightly", Tags: []string{"x", "x", "y"}, Asset: knownAsset, Priority: scan.High,
		Options: map[string]json.RawMessage{"ports": json.RawMessage(`"443,80,81"`), "exclude": json.RawMessage(`["192.0.2.9/30"]`)},
		Config: map[string]json.RawMessage{
			"headers": json.RawMessage(`{"X-Token":"` + password + `"}`), "authentication": json.RawMessage(`{"password":"` + password + `"}`), "rateLimit": json.RawMessage(`5`),
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if got.Target != "http://example.org/b" || got.TargetType != asset.TypeURL || got.Host != "example.org" || got.Status != scan.Queued ||
		got.Timeout != scan.DefaultTimeout || got.CreatedBy != "key:key-1" || !cmp.Equal(got.Tags, []string{"x", "y"}) || !uid.Valid(string(got.ID)) {
		t.Errorf("kept as %+v", got)
	}
	if string(got.Options) != `{"exclude":["192.0.2.8/30"],"ports":"80-81,443"}` {
		t.Errorf("options %s", got.Options)
	}
	if string(got.Config) != `{"authentication":"[redacted]","headers":{"X-Token":"[redacted]"},"rateLimit":5}` {
		t.Errorf("config %s", got.Config)
	}
	if whole := fmt.Sprintf("%s %+v %s %+v", got.Sealed, r.store.row(got.ID), r.store.events[0].Data, r.store.audits); strings.Contains(whole, password) {
		t.Error("the password is kept in clear")
	}
	if len(got.Sealed) == 0 || r.changed != 1 || r.store.quota != 1 {
		t.Errorf("sealed %d bytes, told %d times, quota %d", len(got.Sealed), r.changed, r.store.quota)
	}
	if diff := cmp.Diff([]event.Type{event.ScanQueued}, r.store.types(got.ID)); diff != "" || r.store.audits[0].Type != event.ScanSubmitted {
		t.Errorf("events:\n%s", diff)
	}
}

func TestTargetTypeIsInferredForTheEngine(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for target, want := range map[string]asset.TargetType{
		"192.0.2.7": asset.TypeIP, "example.org": asset.TypeHost, "192.0.2.0/28": asset.TypeNetwork, "https://example.org/x": asset.TypeURL,
	} {
		s, err := r.service.Submit(t.Context(), actor(), scan.Order{Engine: "stub", Target: target})
		if err != nil || s.TargetType != want {
			t.Errorf("%s: %s (%v), want %s", target, s.TargetType, err, want)
		}
	}
}

func TestQuotaRefusesTheOrderAsAWhole(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a := actor()
	a.Plan = string(tenant.Free)
	for range 2 {
		if _, err := r.service.Submit(t.Context(), a, order()); err != nil {
			t.Fatal(err)
		}
	}
	_, err := r.service.Submit(t.Context(), a, order())
	if f := fault.Of(err); f == nil || f.Code != fault.CodeQuota {
		t.Errorf("a third scan: %v", err)
	}
	if len(r.store.rows) != 2 || r.store.quota != 2 || len(r.store.events) != 2 {
		t.Errorf("%d scans, %d counted, %d events", len(r.store.rows), r.store.quota, len(r.store.events))
	}
	a.Plan = ""
	if _, err := r.service.Submit(t.Context(), a, order()); err != nil {
		t.Errorf("the plan is looked up where the actor has none: %v", err)
	}
}

func TestFolderTargetsLieBelowAnOpenedRoot(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for dir, want := range map[string]bool{"/srv/code": true, "/srv/code/app": true, "/srv/codex": false, "/srv": false, "/etc/passwd": false} {
		target, err := asset.ParseTarget(dir, asset.TypeFilesystem)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.gate.Open(t.Context(), target, asset.Scope{}); (err == nil) != want {
			t.Errorf("%s: %v", dir, err)
		}
	}
}

func TestResultsComeWithTheEnd(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := r.submit(t, order())
	ctx := t.Context()
	_, errResults := r.service.Results(ctx, orgA, s.ID, scan.ResultQuery{})
	_, errArtifacts := r.service.Artifacts(ctx, orgA, s.ID)
	_, errAssets := r.service.ScanAssets(ctx, orgA, s.ID)
	_, _, errRaw := r.service.Raw(ctx, orgA, s.ID)
	errEach := r.service.EachResult(ctx, orgA, s.ID, scan.ResultQuery{}, func(scan.Result) error { return nil })
	for _, err := range []error{errResults, errArtifacts, errAssets, errRaw, errEach} {
		if f := fault.Of(err); f == nil || f.Code != fault.CodeResultsNotReady || f.Kind != fault.Conflict {
			t.Errorf("%v, want RESULTS_NOT_READY", err)
		}
	}
	if _, err := r.service.Results(ctx, orgA, s.ID, scan.ResultQuery{Severity: "bad"}); fault.KindOf(err) != fault.Invalid {
		t.Errorf("a severity that is none: %v", err)
	}
	if _, err := r.service.Cancel(ctx, actor(), s.ID); err != nil {
		t.Fatal(err)
	}
	if got, err := r.service.Results(ctx, orgA, s.ID, scan.ResultQuery{}); err != nil || len(got.Items) != 0 {
		t.Errorf("results of a scan cancelled in the line: %+v (%v)", got, err)
	}
	if _, _, err := r.service.Raw(ctx, orgA, s.ID); fault.Of(err).Code != fault.CodeRawNotAvailable {
		t.Errorf("raw output of it: %v", err)
	}
}

func TestScansOfOthersAreNotThere(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := r.submit(t, order())
	b := actor()
	b.Org = orgB
	_, errGet := r.service.Get(t.Context(), orgB, s.ID)
	_, errCancel := r.service.Cancel(t.Context(), b, s.ID)
	_, errResults := r.service.Results(t.Context(), orgB, s.ID, scan.ResultQuery{})
	_, errNone := r.service.Get(t.Context(), orgA, "../x")
	_, errCancelNone := r.service.Cancel(t.Context(), actor(), "x")
	for _, err := range []error{errGet, errCancel, errResults, errNone, errCancelNone} {
		if fault.KindOf(err) != fault.NotFound {
			t.Errorf("%v, want NotFound", err)
		}
	}
}

func TestEnginesAreListedWithTheirState(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	got, err := r.service.Engines(t.Context(), actor())
	if err != nil || len(got) != 2 || !got[0].Available || got[0].Version != "1.0" || got[1].Available || got[1].Reason == "" {
		t.Errorf("%+v (%v)", got, err)
	}
}

func TestPanickingCheckMakesAnEngineUnavailable(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		checks := 0
		e := &stub{id: "stub"}
		a := availabilityOf(e)
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		e.check = func() (s engine.Availability) {
			checks++
			if checks == 1 {
				panic("boom")
			}
			s.Available = true
			return s
		}
		done := make(chan error, 1)
		go func() { done <- a.Run(ctx) }()
		if s, err := a.Of(ctx, "stub"); err != nil || s.Available || s.Reason == "" {
			t.Errorf("after a panic: %+v (%v)", s, err)
		}
		time.Sleep(6 * time.Minute)
		if s, err := a.Of(ctx, "stub"); err != nil || !s.Available {
			t.Errorf("a round later: %+v (%v)", s, err)
		}
		if s, err := a.Of(ctx, "other"); err != nil || s.Available {
			t.Errorf("an engine that isn't there: %+v (%v)", s, err)
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestWaitForTheFirstCheckEndsWithTheCaller(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		e := &stub{id: "stub", check: func() engine.Availability { <-release; return engine.Availability{} }}
		ctx, stop := context.WithCancel(t.Context())
		stop()
		if _, err := availabilityOf(e).Of(ctx, "stub"); fault.KindOf(err) != fault.Canceled {
			t.Errorf("%v", err)
		}
		close(release)
	})
}
