package harvester

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/word/fault"
)

// artifactName and mediaType are how the raw output is kept: the documents one after the other, see section.
const (
	artifactName = "theharvester.txt"
	mediaType    = "text/plain"
)

// outName is the base name of the program's documents, within the scratch folder.
const outName = "report"

// maxDocument bounds what is taken of one document, in bytes.
const maxDocument = 16 << 20

// Run implements engine.Engine.
func (Engine) Run(ctx context.Context, env engine.Env, req engine.Request) (engine.Verdict, error) {
	domain := req.Target.Host()
	asked, looks, err := prepare(env, req)
	if err != nil {
		return engine.Verdict{}, err
	}
	raw, err := env.Artifact(artifactName, mediaType)
	if err != nil {
		return engine.Verdict{}, err
	}
	if len(asked) == 0 {
		return engine.Verdict{
			Outcome: engine.Failed, Looked: engine.Looked{Sources: looks},
			Reasons: []string{"Every chosen source wants a key, and the operator has set none for them (source_keys)."},
		}, nil
	}
	proxy, err := writeConfig(ctx, env, asked)
	if err != nil {
		return engine.Verdict{}, err
	}
	watch := &watcher{env: env, sources: len(asked), seen: map[string]bool{}}
	stderr := &bytes.Buffer{}
	limits := manifest().Limits
	exit, err := env.Proc.Launch(ctx, engine.Process{
		Program: program, Args: arguments(domain, asked, req), Env: proxyEnvironment(proxy),
		Stdout: watch, Stderr: &head{to: stderr},
		First: engine.Terminate, Grace: limits.CancelGrace, MaxMemory: limits.MaxMemory, Network: engine.NetworkProxy,
	})
	if errors.Is(err, fault.New(fault.Unavailable, fault.CodeEngine, "")) {
		return engine.Verdict{}, manifest().Missing().Because(err)
	}
	if err != nil {
		return engine.Verdict{}, err
	}
	watch.end()
	if exit.Code != 0 && !exit.Canceled {
		env.Log.WarnContext(ctx, "theHarvester ended early", slog.Int("exit_code", exit.Code), slog.Bool("signaled", exit.Signaled))
	}
	documents, err := keep(env, raw, watch.text.Bytes())
	if err != nil {
		return engine.Verdict{}, err
	}
	found := 0
	for _, item := range collect(bytes.NewReader(documents), domain).items() {
		if item.name != domain {
			found++
		}
	}
	o := outcome{
		domain: domain, version: versionOf(watch.text.String()), exit: exit, said: watch.text.String() + "\n" + stderr.String(),
		asked: asked, looks: looks, found: found, cut: raw.Truncated(), summary: summaryOf(documents),
	}
	return o.verdict(), nil
}

// prepare divides the chosen sources into those that can be asked and those whose key is missing.
func prepare(env engine.Env, req engine.Request) (asked []source, missing []engine.SourceLook, err error) {
	keys := map[string]map[string]string{}
	for _, s := range sources() {
		if !slices.Contains(req.Options.Set("sources"), s.ID) {
			continue
		}
		if s.key != "" {
			value := ""
			if env.SourceKey != nil {
				value = env.SourceKey(s.ID).Reveal()
			}
			if value == "" || strings.ContainsFunc(value, unicode.IsControl) {
				missing = append(missing, engine.SourceLook{Source: s.ID, State: engine.SourceNoKey, Reason: "it wants a key, and the operator has set none"})
				continue
			}
			keys[s.key] = map[string]string{"key": value}
		}
		asked = append(asked, s)
	}
	// JSON is YAML, and quotes every value.
	doc, err := json.Marshal(map[string]any{"apikeys": keys})
	if err == nil {
		err = env.Files.Write(".theHarvester/api-keys.yaml", append(doc, '\n'))
	}
	if err != nil {
		return nil, nil, fault.New(fault.Internal, fault.CodeInternal, "the program's settings can't be written").Because(err)
	}
	return asked, missing, nil
}

// writeConfig names the run's proxy in the program's own settings and returns its URL.
func writeConfig(ctx context.Context, env engine.Env, _ []source) (proxy string, err error) {
	at, err := env.Proxy(ctx)
	if err != nil {
		return "", err
	}
	if err := env.Files.Write(".theHarvester/proxies.yaml", []byte("http:\n  - "+at+"\nhttps:\n  - "+at+"\nsocks5: []\n")); err != nil {
		return "", fault.New(fault.Internal, fault.CodeInternal, "the program's settings can't be written").Because(err)
	}
	return "http://" + at, nil
}

func arguments(domain string, asked []source, req engine.Request) []string {
	names := make([]string, 0, len(asked))
	for _, s := range asked {
		names = append(names, s.ID)
	}
	return []string{
		"-d", domain, "-b", strings.Join(names, ","), "-l", strconv.Itoa(req.Options.Int("limit")), "-S", strconv.Itoa(req.Options.Int("start")),
		"-p", "-q", "-f", outName,
	}
}

// proxyEnvironment is how Python's libraries are told of a proxy.
func proxyEnvironment(proxy string) []string {
	var out []string
	for _, name := range []string{"http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"} {
		out = append(out, name+"="+proxy)
	}
	return append(out, "no_proxy=", "NO_PROXY=")
}

// keep writes what the program left into the raw output: each document as a section, and what it said.
func keep(env engine.Env, raw engine.Artifact, said []byte) ([]byte, error) {
	var all bytes.Buffer
	for _, kind := range []string{"jsonl", "json", "xml"} {
		f, err := env.Files.Open(outName + "." + kind)
		if err != nil {
			continue // which of them there are depends on the version
		}
		b, err := io.ReadAll(io.LimitReader(f, maxDocument))
		_ = f.Close()
		if err != nil {
			return nil, fault.New(fault.Internal, fault.CodeInternal, "the program's results can't be read").Because(err)
		}
		section(&all, kind, b)
	}
	section(&all, "stdout", said)
	if _, err := raw.Write(all.Bytes()); err != nil {
		return nil, err
	}
	return all.Bytes(), nil
}

// section is one document of the raw output: a line with its kind and size in bytes, then the document and a new line.
func section(to *bytes.Buffer, kind string, doc []byte) {
	fmt.Fprintf(to, "== %s %d\n", kind, len(doc))
	to.Write(doc)
	to.WriteByte('\n')
}
