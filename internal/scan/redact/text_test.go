package redact_test

import (
	"strings"
	"testing"

	"assay.dev/assay/internal/scan/redact"
)

func TestCredentialsAreReplaced(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"Authorization: Bearer abc.def-ghi":                                           "Authorization: Bearer [masked]",
		"authorization: Basic dXNlcjpwYXNz\nNext: x":                                  "authorization: Basic [masked]\nNext: x",
		`curl -H 'Authorization: Bearer abcdef' http://x/`:                            `curl -H 'Authorization: Bearer [masked]' http://x/`,
		`Authorization: Digest username="bob", response="1"`:                          "Authorization: Digest [masked]",
		`{"Authorization": "Bearer abcdef", "a": 1}`:                                  `{"Authorization": "Bearer [masked]", "a": 1}`,
		"Cookie: session=0123456789; other=1":                                         "Cookie: session=[masked]; other=1",
		"Set-Cookie: PHPSESSID=0123456789; HttpOnly":                                  "Set-Cookie: PHPSESSID=[masked]; HttpOnly",
		"Cookie: a=01234; path=/abcd; token=abcdefgh\nx: y":                           "Cookie: a=[masked]; path=/abcd; token=[masked]\nx: y",
		"curl --cookie 'x' -H \"Cookie: sid=0123456789\" http://h/":                   "curl --cookie 'x' -H \"Cookie: sid=[masked]\" http://h/",
		"X-API-Key: 0123456789":                                                       "X-API-Key: [masked]",
		"GET http://bob:secret@example.org/a":                                         "GET http://[masked]@example.org/a",
		"password=hunter2&user=bob":                                                   "password=[masked]&user=bob",
		`"password": "correct horse"`:                                                 `"password": "[masked]"`,
		"DB_PASSWORD=hunter2":                                                         "DB_PASSWORD=[masked]",
		"client_secret: 'abcd1234'":                                                   "client_secret: '[masked]'",
		"aws_secret_access_key = wJalrXUtnFEMI/K7MDENG":                               "aws_secret_access_key = [masked]",
		"id AKIAIOSFODNN7EXAMPLE here":                                                "id [masked] here",
		"ghp_" + strings.Repeat("a", 36):                                              "[masked]",
		"glpat-aaaaaaaaaaaaaaaaaaaa.":                                                 "[masked].",
		"jwt eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N": "jwt [masked]",
		"asy_live_" + strings.Repeat("A", 40):                                         "[masked]",
		"-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----\nrest":  "-----BEGIN RSA PRIVATE KEY-----[masked]-----END RSA PRIVATE KEY-----\nrest",
		"-----BEGIN PRIVATE KEY-----\nMIIE":                                           "-----BEGIN PRIVATE KEY-----[masked]",
	} {
		if got := redact.Text(in, nil); got != want {
			t.Errorf("Text(%q) = %q, want %q", in, got, want)
		}
		if got := redact.Text(want, nil); got != want {
			t.Errorf("masking twice: %q became %q", want, got)
		}
	}
}

func TestOtherTextIsLeftAlone(t *testing.T) {
	t.Parallel()
	for _, s := range []string{
		"", "Password: the form sends it in clear text", "The cookie has no Secure attribute", "token: none", "API_TOKEN=********", `{"password":"******"}`, "Authorization: Bearer ****", "HttpOnly flag is not set in the cookie : session", "Cookie: see below = here", "pwd=ab", "see https://example.org/a@b",
		"-----BEGIN CERTIFICATE-----\nMIIE\n-----END CERTIFICATE-----", "mailto:bob@example.org", "AKIA is a prefix", "eyJ short", "Set-Cookie",
		"ssh-rsa AAAAB3NzaC1yc2E", "a = b", "http://example.org:80/x", "git://host/a:b@c", "authorization is missing",
	} {
		if got := redact.Text(s, nil); got != s {
			t.Errorf("Text(%q) = %q", s, got)
		}
	}
}
