package scan_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"strings"
	"testing"
	"testing/synctest"

	"assay.dev/assay/internal/scan"
	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/scan/finding"
	"assay.dev/assay/internal/word/secret"
)

func TestCredentialsNeverReachTheDiskButAreKnownAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		token := "ghp_" + strings.Repeat("a", 36)
		fingerprint := func(value string) string { return "s1:" + secret.Fingerprint([]byte("key"), "test", value) }
		r := newRig(t)
		r.runner.fingerprint = fingerprint
		r.engine.run = func(_ context.Context, env engine.Env, _ engine.Request) (engine.Verdict, error) {
			a, err := env.Artifact("out.json", "application/json")
			if err != nil {
				return engine.Verdict{}, err
			}
			doc, err := json.Marshal(map[string]string{"file": "/.env", "content": "TOKEN is " + token + "\nyou sent CANARY-HEADER and CANARY-AUTH"})
			if err != nil {
				return engine.Verdict{}, err
			}
			for _, b := range append(doc, '\n') {
				if _, err := a.Write([]byte{b}); err != nil {
					return engine.Verdict{}, err
				}
			}
			return engine.Verdict{Outcome: engine.Complete}, nil
		}
		r.engine.parse = func(raw io.Reader, req engine.Request, yield func(engine.Item) error) (finding.Coverage, error) {
			var line struct {
				File    string `json:"file"`
				Content string `json:"content"`
			}
			if err := json.NewDecoder(bufio.NewReader(raw)).Decode(&line); err != nil {
				return finding.Coverage{}, err
			}
			return finding.Coverage{}, yield(engine.Item{Finding: &finding.Observation{
				Rule: "stub:env", Category: finding.CategoryDisclosure, Evidence: line.Content, Location: finding.Location{Host: req.Target.String(), File: line.File},
			}})
		}
		o := order()
		o.Config = map[string]json.RawMessage{
			"headers": json.RawMessage(`{"X-Token":"CANARY-HEADER"}`), "authentication": json.RawMessage(`{"form":{"secret":["CANARY-AUTH"]}}`),
		}
		s := r.ran(t, o)
		if s.Status != scan.Completed {
			t.Fatalf("ended as %+v, %+v", s.Scan, s.Error)
		}
		_, raw, err := r.service.Raw(t.Context(), orgA, s.ID)
		if err != nil {
			t.Fatal(err)
		}
		kept, err := io.ReadAll(raw)
		if err != nil || strings.Contains(string(kept), token) || strings.Contains(string(kept), "CANARY") || !json.Valid(kept) {
			t.Errorf("kept %q (%v)", kept, err)
		}
		found := r.results(t, s.ID)
		if len(found) != 1 || found[0].Secret != fingerprint(token) || strings.Contains(found[0].Evidence, token) || !strings.Contains(found[0].Evidence, "[masked:") {
			t.Errorf("results %+v", found)
		}
		r.clean(t)
	})
}
