package engine_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/word/fault"
)

func config(t *testing.T, doc string) map[string]json.RawMessage {
	t.Helper()
	var m map[string]json.RawMessage
	if err := json.Unmarshal([]byte(doc), &m); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestAMaskSentBackKeepsWhatIsStored(t *testing.T) {
	t.Parallel()
	stored := `{"rateLimit":5,"headers":{"X-Api":"one","Cookie":"two"},"authentication":{"user":"u"}}`
	for _, tt := range []struct{ name, given, want string }{
		{
			"all of it", `{"rateLimit":7,"headers":{"X-Api":"[redacted]","Cookie":"[redacted]"},"authentication":"[redacted]"}`,
			`{"rateLimit":7,"headers":{"X-Api":"one","Cookie":"two"},"authentication":{"user":"u"}}`,
		},
		{"one changed, one gone, by another case", `{"headers":{"x-api":"[redacted]","New":"three"}}`, `{"headers":{"x-api":"one","New":"three"}}`},
		{"nothing masked", `{"headers":{"A":"b"},"authentication":{"user":"v"}}`, `{"headers":{"A":"b"},"authentication":{"user":"v"}}`},
		{"empty", `{}`, `{}`},
		{"not a config: left to be refused", `{"headers":[1],"authentication":7}`, `{"headers":[1],"authentication":7}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			given := config(t, tt.given)
			got, err := engine.Unmask(given, config(t, stored))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(normal(t, config(t, tt.want)), normal(t, got)); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(config(t, tt.given), given); diff != "" {
				t.Errorf("the caller's map was changed: %s", diff)
			}
		})
	}
}

func normal(t *testing.T, m map[string]json.RawMessage) any {
	t.Helper()
	b, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	var v any
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestAMaskOfNothingIsRefused(t *testing.T) {
	t.Parallel()
	for _, given := range []string{`{"headers":{"X-Api":"[redacted]"}}`, `{"authentication":"[redacted]"}`} {
		_, err := engine.Unmask(config(t, given), nil)
		f := fault.Of(err)
		if f == nil || f.Kind != fault.Invalid || !strings.HasPrefix(f.Fields[0].Location, "config.") {
			t.Errorf("%s: %v", given, err)
		}
	}
}
