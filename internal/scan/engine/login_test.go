package engine_test

import (
	"slices"
	"strings"
	"testing"

	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/word/secret"
)

func TestLoginsAreReadStrictly(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]engine.Login{
		``: {},
		`{"type":"basic","username":"bob","password":"p:w"}`: {Type: engine.BasicLogin, Username: "bob", Password: "p:w"},
		`{"type":"digest","username":"bob"}`:                 {Type: engine.DigestLogin, Username: "bob"},
		`{"type":"bearer","token":"abc"}`:                    {Type: engine.BearerLogin, Token: "abc"},
		`{"type":"cookie","cookie":"a=b; c=d"}`:              {Type: engine.CookieLogin, Cookie: "a=b; c=d"},
	} {
		if got, err := engine.ParseLogin(secret.New(text)); err != nil || got != want {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{
		`{}`, `{"type":"form"}`, `{"type":"basic"}`, `{"type":"basic","username":"a:b"}`, `{"type":"bearer","token":"a b"}`, `{"type":"cookie","cookie":"x"}`,
		`{"type":"bearer","token":"a\nHost: x"}`, `{"type":"bearer","token":"CANARY","other":1}`, `[]`, `"x"`,
	} {
		if _, err := engine.ParseLogin(secret.New(text)); err == nil || strings.Contains(err.Error(), "CANARY") {
			t.Errorf("%s: %v", text, err)
		}
	}
	l := engine.Login{Password: "p", Token: "t", Cookie: "a=1; b=2"}
	if got := l.Secrets(); !slices.Equal(got, []string{"p", "t", "1", "2"}) {
		t.Errorf("secrets %v", got)
	}
}
