package config_test

import (
	"encoding/json"
	"testing"

	"assay.dev/assay/internal/config"
)

func TestADocumentIsJSONOrYAML(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		`{"a":1}`:                 `{"a":1}`,
		"a: 1\nb: [x, y]\n":       `{"a":1,"b":["x","y"]}`,
		"a:\n  cron: '* * * * *'": `{"a":{"cron":"* * * * *"}}`,
	} {
		if got, err := config.Document([]byte(in)); err != nil || string(got) != want {
			t.Errorf("%q: %s, %v", in, got, err)
		}
	}
	for _, bad := range []string{"a: [", "- 1\n- 2", "\x00"} {
		if got, err := config.Document([]byte(bad)); err == nil {
			t.Errorf("%q is read as %s", bad, got)
		}
	}
}

func FuzzDocument(f *testing.F) {
	f.Add([]byte("a: &x [1, *x]"))
	f.Add([]byte("? [1, 2]\n: 3"))
	f.Fuzz(func(t *testing.T, in []byte) {
		if out, err := config.Document(in); err == nil && !json.Valid(out) {
			t.Errorf("%q became %q", in, out)
		}
	})
}
