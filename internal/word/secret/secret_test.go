package secret_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"assay.dev/assay/internal/word/secret"
)

func TestNoWayOfPrintingShowsASecret(t *testing.T) {
	t.Parallel()
	const value = "hunter2-hunter2"
	s := secret.New(value)
	holder := struct{ Password secret.Text }{s}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).InfoContext(t.Context(), "x", slog.Any("secret", s), slog.Any("holder", holder))
	doc, err := json.Marshal(map[string]any{"a": s, "b": &s, "c": holder})
	if err != nil {
		t.Fatal(err)
	}
	out := log.String() + string(doc) + s.String()
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%10.3s"} {
		out += fmt.Sprintf(verb, s) + fmt.Sprintf(verb, &s) + fmt.Sprintf(verb, holder) + fmt.Sprintf(verb, []secret.Text{s})
	}
	for _, leak := range []string{value, value[:6], fmt.Sprintf("%x", value), fmt.Sprintf("%X", value)} {
		if strings.Contains(out, leak) {
			t.Errorf("%q shows in %s", leak, out)
		}
	}
	if s.Reveal() != value || s.Empty() || !(secret.Text{}).Empty() {
		t.Error("the value itself is lost")
	}
}

func TestASecretIsReadFromADocument(t *testing.T) {
	t.Parallel()
	var in struct {
		Password secret.Text `json:"password"`
	}
	if err := json.Unmarshal([]byte(`{"password":"p"}`), &in); err != nil || in.Password.Reveal() != "p" {
		t.Errorf("got %q, %v", in.Password.Reveal(), err)
	}
}

func TestFingerprintsTellKeysDomainsAndValuesApart(t *testing.T) {
	t.Parallel()
	seen := map[string]string{}
	for _, c := range [][3]string{{"k", "d", "v"}, {"K", "d", "v"}, {"k", "D", "v"}, {"k", "d", "V"}, {"k", "dv", ""}, {"k", "", "dv"}, {"k", "d|v", ""}} {
		f := secret.Fingerprint([]byte(c[0]), c[1], c[2])
		if other, ok := seen[f]; ok {
			t.Errorf("%v and %s share a fingerprint", c, other)
		}
		seen[f] = fmt.Sprint(c)
	}
	again := secret.Fingerprint([]byte("k"), "d", "v")
	if seen[again] != fmt.Sprint([3]string{"k", "d", "v"}) {
		t.Error("a value isn't recognised again")
	}
}
