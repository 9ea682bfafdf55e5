package engine_test

import (
	"encoding/json"
	"errors"
	"testing"

	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/word/fault"
)

func TestWhatMayHurtNeedsConsent(t *testing.T) {
	t.Parallel()
	m := engine.Manifest{Options: []engine.Option{
		{Name: "risk", Type: engine.TypeInt, Min: 1, Max: 3, Default: int64(1), Consent: "agreed"},
		{Name: "kinds", Type: engine.TypeEnumSet, Enum: []string{"a", "b"}, Max: 2, Default: []string{"a"}, Consent: "agreed"},
		{Name: "agreed", Type: engine.TypeBool},
	}}
	for options, taken := range map[string]bool{
		`{}`: true, `{"risk":1}`: true, `{"risk":2}`: false, `{"risk":2,"agreed":false}`: false, `{"risk":2,"agreed":true}`: true,
		`{"kinds":["a"]}`: true, `{"kinds":["a","b"]}`: false, `{"kinds":["b"],"agreed":true}`: true, `{"agreed":true}`: true,
	} {
		var raw map[string]json.RawMessage
		if err := json.Unmarshal([]byte(options), &raw); err != nil {
			t.Fatal(err)
		}
		_, err := engine.ParseOptions(m, raw, nil)
		if taken != (err == nil) || err != nil && !errors.Is(err, fault.New(fault.Invalid, fault.CodeValidation, "")) {
			t.Errorf("%s: %v", options, err)
		}
	}
}
