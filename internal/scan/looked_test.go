package scan_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"assay.dev/assay/internal/scan"
	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/scan/finding"
	"assay.dev/assay/internal/word/fault"
)

func TestWhatWasLookedAtIsKept(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		verdict engine.Verdict
		err     error
		want    engine.Looked
	}{
		"the engine's word": {
			verdict: engine.Verdict{Outcome: engine.Complete, Looked: engine.Looked{
				Databases: []engine.Database{{Name: "rules\x1b[31m", Version: "3"}},
				Targets:   []engine.TargetLook{{Target: "http://192.0.2.7/", State: engine.LookTimedOut, Reason: "slow\r\nX: y"}},
				Sources:   []engine.SourceLook{{Source: "crt.sh", State: "unheard of", Found: -3}},
			}},
			want: engine.Looked{
				Databases: []engine.Database{{Name: finding.Line("rules\x1b[31m", 100), Version: "3"}},
				Targets:   []engine.TargetLook{{Target: "http://192.0.2.7/", State: engine.LookTimedOut, Reason: finding.Line("slow\r\nX: y", 300)}},
				Sources:   []engine.SourceLook{{Source: "crt.sh", State: engine.SourceFailed}},
			},
		},
		"none, complete": {
			verdict: engine.Verdict{Outcome: engine.Complete},
			want:    engine.Looked{Targets: []engine.TargetLook{{Target: "192.0.2.7", State: engine.LookReached}}},
		},
		"none, nothing reachable": {
			verdict: engine.Verdict{Outcome: engine.NothingReachable, Reasons: []string{"no answer"}},
			want:    engine.Looked{Targets: []engine.TargetLook{{Target: "192.0.2.7", State: engine.LookUnreachable, Reason: "no answer"}}},
		},
		"none, failed": {
			err:  fault.New(fault.Unavailable, fault.CodeEngine, "it isn't there"),
			want: engine.Looked{Targets: []engine.TargetLook{{Target: "192.0.2.7", State: engine.LookPartial, Reason: "it isn't there"}}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				r.engine.run = func(context.Context, engine.Env, engine.Request) (engine.Verdict, error) { return tc.verdict, tc.err }
				s := r.ran(t, order())
				got, err := r.service.Looked(t.Context(), orgA, s.ID)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(tc.want, got); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

func TestAScanThatNeverStartedLookedAtNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		s := r.submit(t, order())
		if l, err := r.service.Looked(t.Context(), orgA, s.ID); err != nil || len(l.Targets) != 0 {
			t.Errorf("a waiting scan: %+v (%v)", l, err)
		}
		if _, err := r.service.Cancel(t.Context(), actor(), s.ID); err != nil {
			t.Fatal(err)
		}
		l, err := r.service.Looked(t.Context(), orgA, s.ID)
		if err != nil || len(l.Targets) != 1 || l.Targets[0].State != engine.LookSkipped || l.Targets[0].Reason == "" {
			t.Errorf("a cancelled one: %+v (%v)", l, err)
		}
	})
}

func TestLooksAreBounded(t *testing.T) {
	t.Parallel()
	var l engine.Looked
	for range 10_000 {
		l.Databases = append(l.Databases, engine.Database{Name: strings.Repeat("d", 9_000)})
		l.Targets = append(l.Targets, engine.TargetLook{Target: strings.Repeat("t", 9_000), State: engine.LookReached})
		l.Sources = append(l.Sources, engine.SourceLook{Source: strings.Repeat("s", 9_000), Reason: strings.Repeat("r", 9_000)})
	}
	got := scan.CleanLooked(l)
	if len(got.Databases) != engine.MaxDatabases || len(got.Targets) != engine.MaxTargetLooks || len(got.Sources) != engine.MaxSourceLooks {
		t.Errorf("%d, %d, %d", len(got.Databases), len(got.Targets), len(got.Sources))
	}
	if len(got.Targets[0].Target) > 300 || len(got.Sources[0].Reason) > 300 || len(got.Databases[0].Name) > 100 {
		t.Error("texts are longer than is kept")
	}
}
