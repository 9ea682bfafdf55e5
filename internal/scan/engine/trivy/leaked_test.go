package trivy_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"assay.dev/assay/internal/infra/egress"
	"assay.dev/assay/internal/inspect/secrets"
	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/scan/engine/trivy"
	"assay.dev/assay/internal/scan/finding"
	"assay.dev/assay/internal/scan/redact"
	"assay.dev/assay/internal/testkit/targets"
)

func print64(value string) string {
	sum := sha256.Sum256([]byte(value))
	return "s1:" + hex.EncodeToString(sum[:])
}

// report plays a report about a tree and returns what the run kept of it.
func report(tb testing.TB, doc string, tree fs.FS) []byte {
	tb.Helper()
	s := &stage{takes: []take{{stdout: doc}}}
	env := s.env()
	env.Fingerprint = print64
	env.Tree = func(context.Context) (engine.Tree, error) { return engine.Tree{Dir: "/trees/shop", FS: tree}, nil }
	if _, err := trivy.New().Run(tb.Context(), env, folder(tb, `{"scanners":["secret"]}`)); err != nil {
		tb.Fatal(err)
	}
	return s.raw.Bytes()
}

// prints are the fingerprints of secrets by file.
func prints(found []finding.Observation) []string {
	var out []string
	for _, f := range found {
		if f.Secret != "" {
			out = append(out, f.Location.File+" "+f.Secret)
		}
	}
	slices.Sort(out)
	return out
}

// inspected are the fingerprints that the look of Assay's own at the tree takes.
func inspected(t *testing.T, tree fs.FS) []string {
	t.Helper()
	var out []string
	scan := secrets.New()
	err := fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		text, err := fs.ReadFile(tree, name)
		scan.Scan(name, text, print64, func(l secrets.Leak) { out = append(out, name+" "+l.Fingerprint) })
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// sameLeaks wants each secret that the inspection knows to be known by the same fingerprint.
func sameLeaks(t *testing.T, raw []byte, tree fs.FS) {
	t.Helper()
	found := parse(t, raw, folder(t, `{}`)).Findings
	got, want := prints(found), inspected(t, tree)
	if len(want) != 4 || len(got) != 5 {
		t.Errorf("%d secrets are known here and %d to the inspection, want 5 and 4", len(got), len(want))
	}
	for _, w := range want {
		if !slices.Contains(got, w) {
			t.Errorf("%s is missing in\n%s", w, strings.Join(got, "\n"))
		}
	}
	for _, name := range []string{"config/prod.env", "config/ci.yml", "keys/id_rsa"} {
		text, err := fs.ReadFile(tree, name)
		if err != nil {
			t.Fatal(err)
		}
		for _, value := range strings.FieldsFunc(string(text), func(r rune) bool { return strings.ContainsRune("= \n", r) }) {
			if len(value) >= 40 && bytes.Contains(raw, []byte(value)) {
				t.Errorf("the raw output holds a value of %s", name)
			}
		}
	}
}

func TestSecretsAreKnownByTheFingerprintThatTheInspectionTakes(t *testing.T) {
	t.Parallel()
	tree := os.DirFS(targets.Repository(t))
	for _, name := range []string{"tree", "tree-old-release", "secrets"} {
		sameLeaks(t, report(t, string(fixture(t, name)), tree), tree)
	}
}

func TestRealTrivyAndTheInspectionKnowTheSameSecrets(t *testing.T) {
	t.Parallel()
	dir := targets.Repository(t)
	g := realGround(t, egress.ScanConfig{}, dir, "")
	g.env.Fingerprint = print64
	if _, err := trivy.New().Run(t.Context(), g.env, folder(t, `{"scanners":["secret"]}`)); err != nil {
		t.Fatal(err)
	}
	sameLeaks(t, g.raw.Bytes(), os.DirFS(dir))
}

func TestValuesAreFoundOnlyWhereTheyAreCertain(t *testing.T) {
	t.Parallel()
	key := "-----BEGIN " + "PRIVATE KEY-----\r\nAAAABBBB\r\nCCCC\r\n-----END " + "PRIVATE KEY-----\r\n"
	tree := fstest.MapFS{
		"a.env":    {Data: []byte("# head\nKEY=alpha-1\nKEY=beta--2\ntok3n\nA=one B=two\n")},
		"dos.env":  {Data: []byte("# head\r\nKEY=alpha-1\r\n")},
		"star.env": {Data: []byte("KEY=**x9y8z7**\n")},
		"dos.pem":  {Data: []byte(key)},
		"deep.env": {Data: []byte(strings.ReplaceAll(key, "\r", "") + "KEY=alpha-1\ntok3n\n")},
		"long.env": {Data: []byte("ü" + strings.Repeat("x", 120) + " KEY=alpha-1 " + strings.Repeat("y", 120))},
		"huge.env": {Data: append([]byte("KEY=alpha-1\n"), make([]byte, 5<<20)...)},
		"dir/x":    {Data: []byte("x")},
	}
	stars := func(n int) string { return strings.Repeat("*", n) }
	for name, c := range map[string]struct {
		file, secret, want string
	}{
		"the line":                     {"a.env", `"StartLine":2,"EndLine":2,"Match":"KEY=*******"`, "alpha-1"},
		"a line like another":          {"a.env", `"StartLine":3,"EndLine":3,"Match":"KEY=*******"`, "beta--2"},
		"a line of the secret alone":   {"a.env", `"StartLine":4,"EndLine":4,"Match":"*****"`, "tok3n"},
		"one of two in a line":         {"a.env", `"StartLine":5,"EndLine":5,"Match":"A=*** B=***"`, ""},
		"the place says which":         {"a.env", `"StartLine":5,"EndLine":5,"Match":"A=*** B=***","Offset":45`, "two"},
		"a place that doesn't fit":     {"a.env", `"StartLine":5,"EndLine":5,"Match":"A=*** B=***","Offset":40`, ""},
		"a place beyond":               {"a.env", `"StartLine":5,"EndLine":5,"Match":"A=***","Offset":99999999999`, ""},
		"a line beyond":                {"a.env", `"StartLine":99,"EndLine":99,"Match":"KEY=*******"`, ""},
		"no line":                      {"a.env", `"StartLine":-1,"EndLine":0,"Match":"KEY=*******"`, ""},
		"many lines":                   {"a.env", `"StartLine":2,"EndLine":3,"Match":"KEY=*******"`, ""},
		"nothing masked":               {"a.env", `"StartLine":1,"EndLine":1,"Match":"# head"`, ""},
		"no match":                     {"a.env", `"StartLine":1,"EndLine":1`, ""},
		"lines of DOS":                 {"dos.env", `"StartLine":2,"EndLine":2,"Match":"KEY=*******","Offset":11`, "alpha-1"},
		"a key with lines of DOS":      {"dos.pem", `"Category":"AsymmetricPrivateKey","StartLine":2,"EndLine":3,"Match":"********","Offset":28`, "AAAABBBBCCCC"},
		"the file's own asterisks":     {"star.env", `"StartLine":1,"EndLine":1,"Match":"KEY=**********"`, "x9y8z7"},
		"a line counted too few":       {"deep.env", `"StartLine":2,"EndLine":2,"Match":"KEY=*******"`, "alpha-1"},
		"a bare one below a key":       {"deep.env", `"StartLine":6,"EndLine":6,"Match":"*****"`, ""},
		"a part of a long line":        {"long.env", `"StartLine":1,"EndLine":1,"Match":"` + strings.Repeat("x", 25) + " KEY=" + stars(7) + " " + strings.Repeat("y", 19) + `"`, "alpha-1"},
		"a file that is too large":     {"huge.env", `"StartLine":1,"EndLine":1,"Match":"KEY=*******"`, ""},
		"a file that isn't there":      {"b.env", `"StartLine":1,"EndLine":1,"Match":"KEY=*******"`, ""},
		"a folder":                     {"dir", `"StartLine":1,"EndLine":1,"Match":"*"`, ""},
		"a path that leads out":        {"../a.env", `"StartLine":2,"EndLine":2,"Match":"KEY=*******"`, ""},
		"a path from the root":         {"/a.env", `"StartLine":2,"EndLine":2,"Match":"KEY=*******"`, ""},
		"a path that isn't clean":      {"./dir/../a.env", `"StartLine":2,"EndLine":2,"Match":"KEY=*******"`, "alpha-1"},
		"a fingerprint that isn't one": {"b.env", `"AssayFingerprint":"s1:XY","Match":"*"`, ""},
	} {
		doc := `{"Results":[{"Target":"` + c.file + `","Class":"secret","Secrets":[{"RuleID":"r",` + c.secret + "\n}]}]}\n"
		raw := report(t, doc, tree)
		want := ""
		if c.want != "" {
			want = print64(c.want)
		}
		found := parse(t, raw, folder(t, `{}`)).Findings
		if len(found) != 1 || found[0].Secret != want {
			t.Errorf("%s: %+v\n%s", name, found, raw)
		}
		if c.want != "" && bytes.Contains(raw, []byte(c.want)) {
			t.Errorf("%s: the raw output holds the value", name)
		}
		if diff := cmp.Diff(doc, string(added().ReplaceAll(raw, nil))); diff != "" {
			t.Errorf("%s: more than a fingerprint was changed:\n%s", name, diff)
		}
	}
}

func added() *regexp.Regexp { return regexp.MustCompile(`,"AssayFingerprint":"s1:[0-9a-f]{64}"`) }

// TestFingerprintsOutliveTheMaskingOfRawOutput holds the two ends to one another: the report is masked once more on its
// way to the disk, by names such as TOKEN, and the run of asterisks must not become what a secret is known by.
func TestFingerprintsOutliveTheMaskingOfRawOutput(t *testing.T) {
	t.Parallel()
	tree := fstest.MapFS{"a.env": {Data: []byte("TOKEN=alpha-1\nAWS_SECRET_ACCESS_KEY=beta-22\n")}}
	const secret = `{"RuleID":"r","StartLine":%d,"EndLine":%d,"Match":"%s*******"%s}`
	doc := `{"Results":[{"Target":"a.env","Class":"secret","Secrets":[` + fmt.Sprintf(secret, 1, 1, "TOKEN=", "") + "," +
		fmt.Sprintf(secret, 2, 2, "AWS_SECRET_ACCESS_KEY=", "") + `]}]}`
	raw := report(t, doc, tree)
	var kept bytes.Buffer
	s := redact.NewStream(&kept, redact.JSON, redact.Keyed(print64))
	if _, err := s.Write(raw); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	before, after := parse(t, raw, folder(t, `{}`)).Findings, parse(t, kept.Bytes(), folder(t, `{}`)).Findings
	if diff := cmp.Diff(before, after); diff != "" || len(after) != 2 || after[0].Secret != print64("alpha-1") || after[1].Secret != print64("beta-22") {
		t.Errorf("%s\n%s", diff, kept.Bytes())
	}
	for _, f := range after {
		if redact.Fingerprint(f.Evidence) != "" {
			t.Errorf("the evidence holds a mark of what was masked already: %s", f.Evidence)
		}
	}
}

// FuzzFingerprints: whatever the report and the file hold, nothing but fingerprints is added and nothing breaks.
func FuzzFingerprints(f *testing.F) {
	f.Add(`{"Results":[{"Target":"a","Class":"secret","Secrets":[{"RuleID":"r","StartLine":1,"Match":"K=***"}]}]}`, "K=abc\n")
	f.Add(`{"Results":[{"Target":"a","Secrets":[{"RuleID":"private-key","StartLine":2,"EndLine":9,"Match":"***","Offset":3}]}]} {`, "-----\r\nabc-----")
	f.Fuzz(func(t *testing.T, doc, text string) {
		raw := report(t, doc, fstest.MapFS{"a": {Data: []byte(text)}})
		if !added().MatchString(doc) && doc != string(added().ReplaceAll(raw, nil)) {
			t.Errorf("%q became %q", doc, raw)
		}
	})
}
