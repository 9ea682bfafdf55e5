package scan_test

import (
	"context"
	"encoding/json"
	"io"
	"net/netip"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/scan"
	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/scan/finding"
)

func TestWhatATargetsNameResolvedToIsKnownOfItsHost(t *testing.T) {
	t.Parallel()
	host := func(name, attributes string, aside bool) asset.Observation {
		o := asset.Observation{Kind: asset.KindHost, Name: name, Source: "stub", Aside: aside}
		if attributes != "" {
			o.Attributes = json.RawMessage(attributes)
		}
		return o
	}
	for name, tt := range map[string]struct {
		target  string
		says    []asset.Observation // the engine
		outcome engine.Outcome
		want    []asset.Observation
	}{
		"an engine that names no host": {target: "example.org", want: []asset.Observation{host("example.org", `{"addresses":["192.0.2.9"]}`, true)}},
		"a page of it":                 {target: "https://example.org/shop", want: []asset.Observation{host("example.org", `{"addresses":["192.0.2.9"]}`, true)}},
		"an engine that knows more": {
			target: "example.org", says: []asset.Observation{host("example.org", `{"address":"192.0.2.9","mac":"x"}`, false), host("www.example.org", "", false)},
			want: []asset.Observation{host("example.org", `{"address":"192.0.2.9","addresses":["192.0.2.9"],"mac":"x"}`, false), host("www.example.org", "", false)},
		},
		"an engine that knows another address": {
			target: "example.org", says: []asset.Observation{host("example.org", `{"addresses":["192.0.2.8"]}`, false)},
			want: []asset.Observation{host("example.org", `{"addresses":["192.0.2.8","192.0.2.9"]}`, false)},
		},
		"an engine that means something else": {
			target: "example.org", says: []asset.Observation{host("example.org", `{"addresses":17}`, false)},
			want: []asset.Observation{host("example.org", `{"addresses":17}`, false)},
		},
		"nothing was reached":    {target: "example.org", outcome: engine.NothingReachable},
		"an address has no name": {target: "192.0.2.7"},
		"this machine":           {target: "self.example.org"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				r.names["self.example.org"] = []netip.Addr{netip.MustParseAddr("127.0.0.1")}
				scope, err := asset.ParseScope([]asset.Rule{{Value: "192.0.2.0/24"}, {Value: "example.org"}, {Value: "127.0.0.0/8"}}, nil)
				if err != nil {
					t.Fatal(err)
				}
				r.store.scope = scope
				r.engine.run = writes(port(80, finding.Low))
				if tt.outcome != "" {
					r.engine.run = ends(tt.outcome)
				}
				r.engine.parse = func(_ io.Reader, _ engine.Request, yield func(engine.Item) error) (finding.Coverage, error) {
					for _, o := range tt.says {
						if err := yield(engine.Item{Asset: &o}); err != nil {
							return finding.Coverage{}, err
						}
					}
					return finding.Coverage{}, nil
				}
				s := r.ran(t, scan.Order{Engine: "stub", Target: tt.target})
				got, err := r.service.ScanAssets(t.Context(), orgA, s.ID)
				if diff := cmp.Diff(tt.want, got); diff != "" || err != nil {
					t.Errorf("assets (%v):\n%s", err, diff)
				}
			})
		})
	}
}

// ends is an engine run that leaves an empty output and ends so.
func ends(outcome engine.Outcome) func(context.Context, engine.Env, engine.Request) (engine.Verdict, error) {
	return func(_ context.Context, env engine.Env, _ engine.Request) (engine.Verdict, error) {
		return engine.Verdict{Outcome: outcome, Version: "1"}, output(env)
	}
}
