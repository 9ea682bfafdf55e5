// Package nuclei drives Nuclei, which checks web servers and network services by templates: known flaws, exposed files,
// misconfigurations.
//
// The templates are the operator's; a scan chooses among sets of them and never brings its own, because templates are
// code. Web requests go through the run's proxy; network checks are given addresses. The package must never start Nuclei
// by itself: Env does. Start with manifest, then argv.go (what is run), run.go and verdict.go (how it went), template.go
// (what was looked for), record.go and parse.go (what it means).
package nuclei

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"time"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/word/fault"
)

// id is the engine's name in the API, in rules and as this folder.
const id = "nuclei"

// program is the executable's name.
const program = "nuclei"

// TemplatesKey is the configuration key of the folder that holds the templates.
const TemplatesKey = "nuclei_templates"

// Engine is the Nuclei engine. The zero value is ready.
type Engine struct{}

// New returns the engine.
func New() engine.Engine { return Engine{} }

// Manifest implements engine.Engine.
func (Engine) Manifest() engine.Manifest { return manifest() }

func manifest() engine.Manifest {
	return engine.Manifest{
		ID:          id,
		Title:       "Nuclei",
		Description: "Checks web servers and network services by the operator's templates: known flaws, exposed files, misconfigurations.",
		Targets:     []asset.TargetType{asset.TypeURL, asset.TypeHost, asset.TypeIP},
		Options:     options(),
		Config: []engine.ConfigField{
			engine.ConfigRateLimit, engine.ConfigMaxParallelism, engine.ConfigUserAgent, engine.ConfigHeaders, engine.ConfigAuthentication,
		},
		Limits: engine.Limits{
			// Go reserves address space far beyond what it uses; the whole public set needs some 1.5 GB.
			MaxOutput: 256 << 20, MaxMemory: 8 << 30, MaxFindings: 100_000, CancelGrace: 4 * time.Second,
		},
		ParserVersion: 1,
		Licence:       "MIT License, as are the public templates.",
		Program:       program,
		Install: "Get the archive for your system from https://github.com/projectdiscovery/nuclei/releases, check it against the release's " +
			"checksums, and put nuclei into a folder of engine_path. It also needs templates: get a release of " +
			"https://github.com/projectdiscovery/nuclei-templates and name its folder in nuclei_templates. The package nuclei of PyPI is another program.",
	}
}

func options() []engine.Option {
	return append(choiceOptions(), paceOptions()...)
}

// Protocols.
const (
	protoHTTP = "http"
	protoSSL  = "ssl"
	protoTCP  = "tcp"
)

func choiceOptions() []engine.Option {
	names := setNames()
	return []engine.Option{
		{
			Name: "templateSet", Type: engine.TypeEnumSet, Enum: names, Min: 1, Max: int64(len(names)),
			Help: "Sets of the operator's templates, each one or more folders of the public collection; custom is the folder custom. Without it: all templates.",
		},
		{
			Name: "severities", Type: engine.TypeEnumSet, Enum: []string{"info", "low", "medium", "high", "critical", "unknown"}, Min: 1, Max: 6,
			Help: "Use only templates of these severities. Without it: all.",
		},
		{
			Name: "protocols", Type: engine.TypeEnumSet, Enum: []string{protoHTTP, protoSSL, protoTCP}, Min: 1, Max: 3, Default: []string{protoHTTP},
			Help: "Kinds of templates to use. ssl and tcp connect to the target's addresses by themselves.",
		},
		{
			Name: "includeIntrusive", Type: engine.TypeBool, Default: false,
			Help: "Also use templates that are marked as intrusive, as fuzzing, as guessing passwords or as able to stop a service.",
		},
		{
			Name: "includeRequestResponse", Type: engine.TypeBool, Default: false,
			Help: "Keep requests and answers in the raw output, and their beginnings as evidence.",
		},
	}
}

func paceOptions() []engine.Option {
	return []engine.Option{
		{
			Name: "rateLimit", Type: engine.TypeInt, Min: 1, Max: 1000, Default: int64(150),
			Help: "Most requests a second. The lower of this and config.rateLimit holds.",
		},
		{
			Name: "concurrency", Type: engine.TypeInt, Min: 1, Max: 100, Default: int64(25),
			Help: "Templates under way at a time. The lower of this and config.maxParallelism holds.",
		},
		{Name: "timeout", Type: engine.TypeInt, Min: 1, Max: 120, Default: int64(10), Help: "Seconds to wait for an answer."},
		{Name: "retries", Type: engine.TypeInt, Min: 0, Max: 5, Default: int64(1), Help: "How often a request without an answer is sent again."},
		{
			Name: "maxHostError", Type: engine.TypeInt, Min: 1, Max: 1000, Default: int64(30),
			Help: "Errors after which the target is given up. The outcome is then partial.",
		},
		{Name: "followRedirects", Type: engine.TypeBool, Default: false, Help: "Follow redirects, within the scan's scope."},
		{
			Name: "maxRedirects", Type: engine.TypeInt, Min: 0, Max: 20, Default: int64(10),
			Help: "Redirects to follow in a row, where followRedirects is on.",
		},
		{Name: "stopAtFirstMatch", Type: engine.TypeBool, Default: false, Help: "Leave a template after its first match."},
		{
			Name: "scanStrategy", Type: engine.TypeEnum, Enum: []string{"auto", "host-spray", "template-spray"}, Default: "auto",
			Help: "Order of work: one target after the other, one template after the other, or Nuclei's choice.",
		},
	}
}

// Check implements engine.Checker: it asks the program for its version.
func (Engine) Check(ctx context.Context, env engine.Env) engine.Availability {
	var out bytes.Buffer
	kept := &engine.Head{To: &out, Left: 8 << 10}
	exit, err := env.Proc.Launch(ctx, engine.Process{
		Program: program, Args: []string{"-version", "-duc"}, Stdout: kept, Stderr: kept,
		MaxMemory: manifest().Limits.MaxMemory, Network: engine.NetworkNone,
	})
	switch {
	case errors.Is(err, fault.New(fault.Unavailable, fault.CodeEngine, "")):
		return engine.Availability{Reason: manifest().Missing().Text}
	case err != nil:
		return engine.Availability{Reason: "Nuclei can't be started here; the server's log has the cause"}
	}
	version := versionOf(out.String())
	if exit.Code != 0 || version == "" {
		return engine.Availability{Reason: "the program nuclei that was found doesn't answer like Nuclei; the package nuclei of PyPI is another program"}
	}
	if env.Data != nil {
		if _, err := env.Data(TemplatesKey); err != nil {
			return engine.Availability{Version: version, Reason: "Nuclei has no templates. Get a release of " +
				"https://github.com/projectdiscovery/nuclei-templates and name its folder in nuclei_templates."}
		}
	}
	return engine.Availability{Available: true, Version: version}
}

// versionOf reads "[INF] Nuclei Engine Version: v3.10.0" and "Current nuclei version: v3.10.0 (unknown)".
func versionOf(text string) string {
	for line := range strings.SplitSeq(text, "\n") {
		for _, sign := range []string{"Nuclei Engine Version: ", "Current nuclei version: "} {
			if _, rest, ok := strings.Cut(line, sign); ok {
				version, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
				version = strings.TrimPrefix(version, "v")
				if version != "" && len(version) <= 32 && strings.Trim(version, "0123456789abcdefghijklmnopqrstuvwxyz.-+") == "" {
					return version
				}
			}
		}
	}
	return ""
}
