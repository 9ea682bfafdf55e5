package cli_test

import (
	"crypto/rand"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"assay.dev/assay/internal/client"
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

// TestTheReceiversOfTheWebhookGuideVerify runs the guide's receivers: they take what the server signs, and nothing signed
// with another secret.
func TestTheReceiversOfTheWebhookGuideVerify(t *testing.T) {
	t.Parallel()
	e := newEstate(t, "ASSAY_EGRESS_ALLOW=127.0.0.1/32")
	e.start()
	ran := map[string]bool{}
	for _, x := range examples(t, "../../docs/guides/webhooks.md") {
		ran[x.how] = true
		good := e.receives(t, x, "")
		if status := e.tries(t, good); status != 204 {
			t.Errorf("the %s receiver answered %d to what is signed", x.how, status)
		}
		other := e.receives(t, x, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
		if status := e.tries(t, other); status != 401 {
			t.Errorf("the %s receiver answered %d to what another has signed", x.how, status)
		}
	}
	if !ran["go"] || !ran["python"] {
		t.Errorf("ran %v", ran)
	}
}

// receives registers a webhook and starts the example as its receiver, with the webhook's secret or the given one.
func (e *estate) receives(t *testing.T, x example, secret string) client.Webhook {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := l.Addr().String()
	_ = l.Close() // the receiver takes the port
	_, port, _ := net.SplitHostPort(at)
	w, err := e.api.CreateWebhook(t.Context(), client.WebhookOrder{Name: x.how + port, URL: "http://" + at + "/assay"})
	if err != nil {
		t.Fatal(err)
	}
	if secret == "" {
		secret = w.Secret
	}
	file := filepath.Join(t.TempDir(), "receiver."+x.how)
	if x.how == "go" {
		file = filepath.Join(t.TempDir(), "main.go")
	}
	if err := writeFile(file, strings.ReplaceAll(x.text, "9000", port)); err != nil {
		t.Fatal(err)
	}
	program := "python3"
	if x.how == "go" {
		program = filepath.Join(t.TempDir(), "receiver")
		if out, err := exec.Command("go", "build", "-o", program, file).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	cmd := exec.Command(program, file)
	cmd.Env = append(os.Environ(), "ASSAY_WEBHOOK_SECRET="+secret)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	e.until("the receiver to listen", func() bool {
		c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", at)
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
	return w
}

// tries sends a test event and returns what the receiver answered.
func (e *estate) tries(t *testing.T, w client.Webhook) int {
	t.Helper()
	trial, err := e.api.TestWebhook(t.Context(), w.ID)
	if err != nil || trial.Status == nil {
		t.Fatalf("%+v, %v", trial, err)
	}
	return *trial.Status
}
