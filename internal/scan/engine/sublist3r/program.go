package sublist3r

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"regexp"
	"slices"
	"strings"

	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/word/fault"
)

// namesFile is where the original writes its final list, within the scratch folder.
const namesFile = "names.txt"

// runProgram runs the original. Its exit code is 0 whatever happens, and a source that it couldn't reach reads like one
// that knows nothing; so only a source that told a name counts as one that answered.
func runProgram(ctx context.Context, env engine.Env, req engine.Request, rec *recorder) ([]answer, error) {
	chosen := chosenForProgram(req)
	if !takes(rec.domain) {
		return refuse(chosen, rec), nil
	}
	proxy, err := env.Proxy(ctx)
	if err != nil {
		return nil, err
	}
	lists := map[string]*list{}
	var options []string
	for _, s := range chosen {
		lists[s.label] = rec.list(s.ID)
		options = append(options, s.option)
	}
	env.Progress(1, "asking "+count(len(chosen), "source"))
	limits := manifest().Limits
	heard := &listener{lists: lists}
	stderr := &tail{}
	exit, err := env.Proc.Launch(ctx, engine.Process{
		Program: program,
		Args:    []string{"-n", "-v", "-d", rec.domain, "-e", strings.Join(options, ","), "-o", namesFile},
		Env:     proxyEnvironment("http://" + proxy),
		Stdout:  heard, Stderr: stderr,
		First: engine.Terminate, Grace: limits.CancelGrace, MaxMemory: limits.MaxMemory, Network: engine.NetworkProxy,
	})
	if errors.Is(err, fault.New(fault.Unavailable, fault.CodeEngine, "")) {
		return nil, fault.New(fault.Unavailable, fault.CodeEngine, "The original Sublist3r is not installed where scans run. "+manifest().Install).Because(err)
	}
	if err != nil {
		return nil, err
	}
	heard.end()
	readNames(env, rec)
	if exit.Code != 0 && !exit.Canceled {
		env.Log.WarnContext(ctx, "sublist3r ended early", slog.Int("exit_code", exit.Code), slog.Bool("signaled", exit.Signaled), slog.String("stderr", stderr.String()))
	}
	env.Progress(80, "reading names")
	answers := make([]answer, 0, len(chosen))
	for _, s := range chosen {
		a := hear(s, lists[s.label], heard.text.String()+stderr.String(), exit.Canceled)
		rec.write(record{Kind: kindSource, Source: s.ID, State: string(a.State), Found: a.Found, Reason: a.Reason})
		answers = append(answers, a)
	}
	return answers, nil
}

func chosenForProgram(req engine.Request) []source {
	var chosen []source
	for _, s := range sources() {
		if s.option != "" && slices.Contains(req.Options.Set("programSources"), s.ID) {
			chosen = append(chosen, s)
		}
	}
	return chosen
}

// takes reports whether the original takes the domain: it knows no international names and no digits in the last label.
func takes(domain string) bool {
	return regexp.MustCompile(`^[a-z0-9]+([-.][a-z0-9]+)*\.[a-z]{2,}$`).MatchString(domain)
}

func refuse(chosen []source, rec *recorder) []answer {
	var out []answer
	for _, s := range chosen {
		a := answer{SourceLook: engine.SourceLook{Source: s.ID, State: engine.SourceSkipped, Reason: "the original program doesn't take a name of this form; choose backend builtin"}}
		rec.write(record{Kind: kindSource, Source: s.ID, State: string(a.State), Reason: a.Reason})
		out = append(out, a)
	}
	return out
}

// proxyEnvironment is how Python's requests library is told of a proxy.
func proxyEnvironment(proxy string) []string {
	var out []string
	for _, name := range []string{"http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"} {
		out = append(out, name+"="+proxy)
	}
	return append(out, "no_proxy=", "NO_PROXY=")
}

// hear turns what the program said of a source into its state.
func hear(s source, names *list, said string, canceled bool) answer {
	a := answer{SourceLook: engine.SourceLook{Source: s.ID, State: engine.SourceAnswered, Found: names.found}}
	switch {
	case canceled:
		a.State, a.Reason = engine.SourceSkipped, "the scan ended before its end"
	case names.cut:
		a.State, a.Reason = engine.SourceFailed, "it knows more than is taken of one source"
	case names.found > 0:
	case strings.Contains(said, "host='"+strings.TrimPrefix(s.URL, "https://")+"'"):
		a.State, a.Reason, a.silent = engine.SourceFailed, "the program couldn't reach it", true
	default:
		a.State, a.Reason = engine.SourceFailed, "it told no name, and the program doesn't tell an empty answer from none"
	}
	return a
}

// readNames takes over the final list. It holds what the lines of the sources held, in case one of those was missed.
func readNames(env engine.Env, rec *recorder) {
	f, err := env.Files.Open(namesFile)
	if err != nil {
		return // no names, no file
	}
	defer func() { _ = f.Close() }()
	all := rec.list("")
	lines := bufio.NewScanner(io.LimitReader(f, maxAnswer))
	for lines.Scan() {
		if name, ok := clean(lines.Text(), rec.domain); ok && !rec.names[name] {
			all.tell(lines.Text())
		}
	}
}

// listener hears "SSL Certificates: www.example.com" lines and keeps some of what else is said.
type listener struct {
	lists map[string]*list
	line  bytes.Buffer
	text  tail
}

// Write implements io.Writer and never fails.
func (l *listener) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		i := bytes.IndexByte(rest, '\n')
		if i < 0 {
			if l.line.Len() < 4<<10 {
				l.line.Write(rest)
			}
			break
		}
		if l.line.Len() < 4<<10 {
			l.line.Write(rest[:i])
		}
		l.end()
		rest = rest[i+1:]
	}
	return len(p), nil
}

func (l *listener) end() {
	line := l.line.String()
	l.line.Reset()
	label, name, ok := strings.Cut(line, ": ")
	if names := l.lists[label]; ok && names != nil {
		names.tell(name)
		return
	}
	_, _ = l.text.Write([]byte(line + "\n"))
}

// tail keeps the first 16 KiB.
type tail struct{ strings.Builder }

// Write implements io.Writer and never fails.
func (t *tail) Write(p []byte) (int, error) {
	t.Builder.Write(p[:min(len(p), max(0, 16<<10-t.Len()))])
	return len(p), nil
}
