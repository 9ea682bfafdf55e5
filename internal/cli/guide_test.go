package cli_test

import (
	"crypto/rand"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"assay.dev/assay/internal/simulator"
)

// example is a block of a guide that a reader may copy and run.
type example struct {
	how  string // sh, go, python, or steps: the run lines of a pipeline
	text string
}

// examples returns the blocks of a guide that follow a line `<!-- run: how -->`.
func examples(t *testing.T, path string) []example {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?ms)^<!-- run: (\\w+) -->\n```\\w+\n(.*?)^```$")
	var out []example
	for _, m := range block.FindAllStringSubmatch(string(text), -1) {
		out = append(out, example{m[1], m[2]})
	}
	return out
}

// steps returns what a pipeline runs, step by step.
func steps(text string) []string {
	var out []string
	indent := ""
	for line := range strings.Lines(text) {
		if before, ok := strings.CutSuffix(line, "run: |\n"); ok {
			indent = before + "  "
			out = append(out, "")
			continue
		}
		if more, ok := strings.CutPrefix(line, indent); ok && indent != "" {
			out[len(out)-1] += more
			continue
		}
		indent = ""
	}
	return out
}

// TestTheGuideOfTheScanAPIWorksAsWritten runs every block of the guide against a real server and the weak target, which has flaws
// that are high.
func TestTheGuideOfTheScanAPIWorksAsWritten(t *testing.T) {
	t.Parallel()
	target, err := simulator.StartWeakTarget(t.Context(), simulator.WeakConfig{Rand: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = target.Close() })
	e := newEstate(t)
	e.start()
	env := append(e.env, "ASSAY_SERVER="+e.s.url, "ASSAY_API_KEY="+e.key, "TARGET="+target.URL("http"))
	for _, name := range []string{"GOCACHE", "GOMODCACHE", "GOROOT", "GOPATH"} { // the compiler's own, not the example's
		if v := os.Getenv(name); v != "" {
			env = append(env, name+"="+v)
		}
	}
	ran := map[string]int{}
	for _, x := range examples(t, "../../docs/guides/scan-api.md") {
		ran[x.how]++
		dir := t.TempDir()
		run := func(wantOK bool, name string, args ...string) string {
			t.Helper()
			cmd := exec.Command(name, args...)
			cmd.Dir, cmd.Env = dir, env
			out, err := cmd.CombinedOutput()
			if (err == nil) != wantOK {
				t.Fatalf("%s example: %v\n%s", x.how, err, out)
			}
			return string(out)
		}
		switch x.how {
		case "sh":
			run(true, "bash", "-euo", "pipefail", "-c", x.text)
			if s, err := os.ReadFile(filepath.Join(dir, "results.sarif")); err != nil || !strings.Contains(string(s), `"ruleId"`) {
				t.Errorf("results.sarif: %v, %d bytes", err, len(s))
			}
		case "go":
			if err := writeFile(filepath.Join(dir, "main.go"), x.text); err != nil {
				t.Fatal(err)
			}
			wantFindings(t, x.how, run(true, "go", "run", "main.go"))
		case "python":
			wantFindings(t, x.how, run(true, "python3", "-c", x.text))
		case "steps":
			all := steps(x.text)
			if len(all) != 3 {
				t.Fatalf("the pipeline has %d steps that run something", len(all))
			}
			run(true, "bash", "-eo", "pipefail", "-c", all[0])
			run(true, "bash", "-eo", "pipefail", "-c", all[1])
			if out := run(false, "bash", "-eo", "pipefail", "-c", all[2]); !strings.Contains(out, "high or worse") {
				t.Errorf("the pipeline decided: %s", out)
			}
		default:
			t.Errorf("nobody knows how to run a %s block", x.how)
		}
	}
	if ran["sh"] != 2 || ran["go"] != 1 || ran["python"] != 1 || ran["steps"] != 1 {
		t.Errorf("ran %v", ran)
	}
}

func wantFindings(t *testing.T, how, out string) {
	t.Helper()
	if !strings.Contains(out, "completed, complete: ") || !regexp.MustCompile(`(?m)^(critical|high|medium) +\S`).MatchString(out) {
		t.Errorf("the %s example says:\n%s", how, out)
	}
}
