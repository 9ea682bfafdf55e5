package secrets_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"assay.dev/assay/internal/inspect/secrets"
)

// join puts a fake credential together, so that this file holds none.
func join(parts ...string) string { return strings.Join(parts, "") }

func scan(s *secrets.Scanner, path, text string) []secrets.Leak {
	var out []secrets.Leak
	s.Scan(path, []byte(text), func(v string) string { return "f:" + string(rune('a'+len(v)%26)) }, func(l secrets.Leak) { out = append(out, l) })
	return out
}

func TestCredentialsAreFoundWhereTheyStand(t *testing.T) {
	t.Parallel()
	s := secrets.New()
	awsKey := join("AK", "IA", "Z7QW", "3LD2", "NV5T", "R6XE")
	awsSecret := join("q9Zr4T", "w8Yb2K", "c7Mv5N", "x3Jd6H", "s1Pf0G", "aLuEiOtRyB")[:40]
	github := join("gh", "p_", "A1b2C3d4E5f6G7h8", "I9j0K1l2M3n4O5p6", "Q7r8")
	slack := join("https://hooks.", "slack.com/services/", "T0", "AB12CD34/", "B0", "EF56GH78/", "a1B2c3D4e5F6g7H8i9J0k1L2")
	key := join("-----BEGIN RSA ", "PRIVATE KEY-----\n", strings.Repeat("MIIEpAIBAAKCAQEA04up8hoqzS1\n", 20), "-----END RSA ", "PRIVATE KEY-----\n")
	token := join("eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9", ".", "eyJzdWIiOiIxMjM0NTY3ODkwIn0", ".", "dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U")
	for _, tc := range []struct {
		name, path, text string
		want             []string // rule:line
	}{
		{"aws", "config/prod.env", "A=1\nAWS_ACCESS_KEY_ID=" + awsKey + "\nAWS_SECRET_ACCESS_KEY=" + awsSecret + "\n", []string{"aws-access-token:2", "generic-api-key:3"}},
		{"github", "ci.yml", "env:\n  GITHUB_TOKEN: " + github + "\n", []string{"github-pat:2"}},
		{"slack", "ci.yml", "HOOK: " + slack + "\n", []string{"slack-webhook-url:1"}},
		{"private key", "keys/id_rsa", key, []string{"private-key:1"}},
		{"token", "a.txt", "x\ny\n  " + token + "\n", []string{"jwt:3"}},
		{"p12", "certs/site.p12", "\x00\x01", []string{"pkcs12-file:1"}},
		{"twice", "a.env", "A=" + github + "\nB=" + github + "\n", []string{"github-pat:1", "github-pat:2"}},
		{"in a lock file", "package-lock.json", "token: " + github, nil},
		{"allowed by its author", "a.py", "t = '" + github + "' # gitleaks:allow\n", nil},
		{"example", "a.env", "AWS_ACCESS_KEY_ID=" + join("AKIA", "IOSFODNN7", "EXAMPLE"), nil},
		{"a variable", "a.sh", "API_KEY=${SECRET_KEY_VALUE}\n", nil},
		{"prose", "README.md", "the key: a word about secrets, tokens and passwords\n", nil},
		{"a long line", "a.js", "var a=1;" + strings.Repeat("x", 9000) + ";t='" + github + "';" + strings.Repeat("y", 9000), []string{"github-pat:1"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var got []string
			for _, l := range scan(s, tc.path, tc.text) {
				got = append(got, l.Rule+":"+string(rune('0'+l.Line)))
				for _, value := range []string{awsKey, awsSecret, github, slack, token, "MIIEpAIBAAK"} {
					if strings.Contains(l.Excerpt, value) {
						t.Errorf("the excerpt holds the value: %q", l.Excerpt)
					}
				}
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("leaks (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTheSameValueHasOneFingerprint(t *testing.T) {
	t.Parallel()
	value := join("gh", "p_", "A1b2C3d4E5f6G7h8", "I9j0K1l2M3n4O5p6", "Q7r8")
	var given []string
	s := secrets.New()
	for _, text := range []string{"TOKEN=" + value, "\n\n  - \"" + value + "\""} {
		s.Scan("a.yml", []byte(text), func(v string) string { given = append(given, v); return "x" }, func(secrets.Leak) {})
	}
	if diff := cmp.Diff([]string{value, value}, given); diff != "" {
		t.Errorf("values for fingerprints (-want +got):\n%s", diff)
	}
}

func TestFloodsAreBounded(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	for i := range 3000 {
		b.WriteString(join("gh", "p_", "A1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6"))
		b.WriteString(string(rune('A'+i%26)) + string(rune('A'+i/26%26)) + "12\n")
	}
	if n := len(scan(secrets.New(), "a.txt", b.String())); n != secrets.MaxLeaks {
		t.Errorf("%d leaks, want %d", n, secrets.MaxLeaks)
	}
}

func FuzzScan(f *testing.F) {
	f.Add("a.yml", "kind: Secret\ndata:\n  password: aGVsbG93b3JsZDEyMw==\n")
	f.Add("a.sh", "curl -u admin:hunter22 https://x\n-----BEGIN PRIVATE KEY-----")
	f.Add("a", "ey\xff\xfeKEY=İ1234567890 api_key='")
	s := secrets.New()
	f.Fuzz(func(t *testing.T, path, text string) {
		lines := strings.Count(text, "\n") + 1
		s.Scan(path, []byte(text), func(string) string { return "f" }, func(l secrets.Leak) {
			if l.Line < 1 || l.Line > lines || l.Column < 1 || len(l.Excerpt) > 160 || l.Rule == "" || l.Fingerprint == "" {
				t.Errorf("out of bounds: %+v", l)
			}
		})
	})
}

// BenchmarkSource scans the Go tree's own source, as it would be in a repository.
func BenchmarkSource(b *testing.B) {
	type file struct {
		name string
		text []byte
	}
	var files []file
	var size int64
	for _, root := range []string{"../..", "../../../web", "../../../docs"} {
		_ = filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() && !strings.HasSuffix(path, "rules.json") {
				if text, err := os.ReadFile(path); err == nil && len(text) < 4<<20 {
					files = append(files, file{path, text})
					size += int64(len(text))
				}
			}
			return nil
		})
	}
	s := secrets.New()
	b.SetBytes(size)
	b.ReportAllocs()
	for b.Loop() {
		n := 0
		for _, f := range files {
			s.Scan(f.name, f.text, func(string) string { return "f" }, func(secrets.Leak) { n++ })
		}
		b.ReportMetric(float64(n), "leaks")
	}
}

func TestAPrivateKeyHasOneFingerprintWhateverItIsWrittenIn(t *testing.T) {
	t.Parallel()
	body := strings.Repeat("MIIEpAIBAAKCAQEA04up8hoqzS1x", 4)
	head, tail := join("-----BEGIN RSA ", "PRIVATE KEY-----"), join("-----END RSA ", "PRIVATE KEY-----")
	lines := body[:64] + "\n" + body[64:]
	s := secrets.New()
	for name, text := range map[string]string{
		"lines":          head + "\n" + lines + "\n" + tail + "\n",
		"lines of DOS":   head + "\r\n" + strings.ReplaceAll(lines, "\n", "\r\n") + "\r\n" + tail + "\r\n",
		"indented":       "key: |\n  " + head + "\n  " + strings.ReplaceAll(lines, "\n", "\n  ") + "\n  " + tail + "\n",
		"a text of JSON": `{"key":"` + head + `\n` + strings.ReplaceAll(lines, "\n", `\n`) + `\n` + tail + `\n"}`,
	} {
		var given []string
		s.Scan("a.txt", []byte(text), func(v string) string { given = append(given, v); return "x" }, func(l secrets.Leak) {
			if l.Rule != "private-key" {
				given = given[:len(given)-1]
			}
		})
		if diff := cmp.Diff([]string{body}, given); diff != "" {
			t.Errorf("%s: values for fingerprints (-want +got):\n%s", name, diff)
		}
	}
}
