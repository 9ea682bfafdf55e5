package cli_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"assay.dev/assay/internal/cli"
	"assay.dev/assay/internal/infra/runner/runnertest"
)

// TestMain makes this test binary the command `assay` too, so that scripts and tests start real processes of it.
func TestMain(m *testing.M) {
	// These tests wait for processes, engines and leases more than they compute.
	_ = flag.Set("test.parallel", "4") // a flag of the command line still wins
	if filepath.Base(os.Args[0]) != "assay" {
		placeSandbox()
	}
	testscript.Main(m, map[string]func(){
		"assay": func() { os.Exit(cli.Main(os.Args[1:], cli.OS())) },
	})
}

// placeSandbox puts assay-sandbox beside this test binary, as it lies beside the installed program.
func placeSandbox() {
	built, err := runnertest.Build()
	if err != nil {
		panic(err)
	}
	own, err := os.Executable()
	if err != nil {
		panic(err)
	}
	program, err := os.ReadFile(built)
	if err != nil {
		panic(err)
	}
	if err := os.WriteFile(filepath.Join(filepath.Dir(own), "assay-sandbox"), program, 0o755); err != nil {
		panic(err)
	}
}

// patience bounds waits for things that come by themselves; a test that reaches it has failed.
const patience = 60 * time.Second

// server is a real `assay serve` process.
type server struct {
	url  string
	cmd  *exec.Cmd
	done chan struct{} // closed when the process has ended
	code int           // its exit code, -1 for a signal; read after done
	log  transcript
}

// transcript collects a process's output.
type transcript struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (t *transcript) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.buf.Write(p)
}

func (t *transcript) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.buf.String()
}

// errEnded says that a server ended before it served.
var errEnded = errors.New("the server ended before it served")

// startServer starts `assay serve` with the arguments and returns when it answers 200 on /health. The caller ends it.
func startServer(env []string, args ...string) (*server, error) {
	s := &server{cmd: exec.Command("assay", append([]string{"serve"}, args...)...), done: make(chan struct{})}
	s.cmd.Env = env
	stderr, err := s.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	address := make(chan string, 1)
	go func() {
		defer close(s.done)
		defer close(address)
		serves := regexp.MustCompile(` serves on (https?://[^ ]+) `)
		lines := bufio.NewReader(stderr)
		for {
			line, err := lines.ReadString('\n')
			_, _ = io.WriteString(&s.log, line)
			if m := serves.FindStringSubmatch(line); m != nil {
				select {
				case address <- m[1]:
				default:
				}
			}
			if err != nil {
				break
			}
		}
		_ = s.cmd.Wait() // the exit code tells
		s.code = s.cmd.ProcessState.ExitCode()
	}()
	select {
	case url, ok := <-address:
		if !ok {
			<-s.done
			return s, errEnded
		}
		s.url = url
	case <-time.After(patience):
		s.kill()
		return s, errors.New("the server said nothing of its address")
	}
	return s, healthy(s.url, trusting(env))
}

// trusting returns a client that trusts the authorities that the environment names.
func trusting(env []string) *http.Client {
	for _, kv := range env {
		if path, ok := strings.CutPrefix(kv, "ASSAY_CA_FILE="); ok && path != "" {
			pool := x509.NewCertPool()
			if pem, err := os.ReadFile(path); err == nil {
				pool.AppendCertsFromPEM(pem)
			}
			return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
		}
	}
	return http.DefaultClient
}

// healthy asks until /health answers 200.
func healthy(url string, client *http.Client) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/health", nil)
		if err != nil {
			return err
		}
		resp, err := client.Do(req)
		if err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return errors.New("the server never got healthy")
		case <-again.C:
		}
	}
}

// kill ends the process as a power cut would, and waits for its end.
func (s *server) kill() {
	_ = s.cmd.Process.Kill()
	<-s.done
}

// stop asks the process to end in good order and returns its exit code.
func (s *server) stop() (int, error) {
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return 0, err
	}
	select {
	case <-s.done:
		return s.code, nil
	case <-time.After(patience):
		s.kill()
		return 0, errors.New("the server did not stop")
	}
}

// cleanEnv is an environment without settings of the developer's own.
func cleanEnv(extra ...string) []string {
	var env []string
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "ASSAY_") {
			env = append(env, kv)
		}
	}
	return append(env, extra...)
}

func writeFile(name, text string) error { return os.WriteFile(name, []byte(text), 0o600) }
