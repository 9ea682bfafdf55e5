// Package wapiti drives Wapiti, which crawls a web application and attacks what it finds: injections, cross-site
// scripting, traversal, redirects, and what headers and cookies lack.
//
// It builds the command line from parsed values only. Headers and credentials don't stand on it: they are handed over in
// a file of the run's scratch folder (shim.go), cookies in Wapiti's own file format. It must never start Wapiti by itself
// (Env does), never let an option name a file, an endpoint or a proxy, and never run a module that asks a third party.
// Start with manifest, then order.go (what is asked), run.go (how it went, and how what a stopped run had found is
// saved), report.go (the JSON report, read as a stream), kind.go (what its categories mean) and parse.go.
package wapiti

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
const id = "wapiti"

// program is the executable's name.
const program = "wapiti"

// Engine is the Wapiti engine. The zero value is ready.
type Engine struct{}

// New returns the engine.
func New() engine.Engine { return Engine{} }

// Manifest implements engine.Engine.
func (Engine) Manifest() engine.Manifest { return manifest() }

func manifest() engine.Manifest {
	return engine.Manifest{
		ID:          id,
		Title:       "Wapiti",
		Description: "Crawls a web application and attacks its parameters, forms, files, headers and cookies.",
		Targets:     []asset.TargetType{asset.TypeURL},
		Options:     options(),
		Config:      []engine.ConfigField{engine.ConfigUserAgent, engine.ConfigHeaders, engine.ConfigAuthentication},
		Limits: engine.Limits{
			MaxOutput: 64 << 20, MaxMemory: 3 << 30, MaxFindings: 20_000, CancelGrace: 1500 * time.Millisecond,
		},
		ParserVersion: 1,
		Licence:       "GPL-2.0: Assay starts the program that you install and ships no part of it.",
		Program:       program,
		Install: "Install it with your system's package manager (apt-get install wapiti), or a newer release with pip into an environment of its own " +
			"(pip install wapiti3) whose folder of programs you name in engine_path.",
		Recipes: []engine.Recipe{{
			Method: engine.MethodSystem, Parts: []engine.Part{{Name: "wapiti"}},
			Note: "There is no recipe for the newer release: three of its dependencies are published as source only, and Assay builds nothing.",
		}},
	}
}

func options() []engine.Option {
	return []engine.Option{
		{
			Name: "scope", Type: engine.TypeEnum, Enum: []string{"page", "folder", "domain", "url"}, Default: "folder",
			Help: "What belongs to the target: all below its folder, its page with any query (page), exactly its URL (url), or all of its host (domain). Never more than the scan's scope.",
		},
		{
			Name: "modules", Type: engine.TypeEnumSet, Enum: modules(), Min: 1, Max: int64(len(modules())), Default: standard(),
			Help: "Kinds of attack to try. None asks a third party. blindsql makes databases wait, which slows the target for others.",
		},
		{
			Name: "level", Type: engine.TypeInt, Min: 1, Max: 2, Default: int64(1),
			Help: "2 also attacks parameters that a URL doesn't have (the query as a whole), with many more requests.",
		},
		{
			Name: "depth", Type: engine.TypeInt, Min: 0, Max: 40, Default: int64(10), Help: "How many links away from the target's URL pages are looked for.",
		},
		{
			Name: "maxLinksPerPage", Type: engine.TypeInt, Min: 1, Max: 10_000, Default: int64(100), Help: "Most links followed from one page.",
		},
		{
			Name: "maxFilesPerDir", Type: engine.TypeInt, Min: 1, Max: 10_000, Default: int64(200), Help: "Most pages looked at in one folder.",
		},
		{
			Name: "maxParameters", Type: engine.TypeInt, Min: 1, Max: 1000, Default: int64(50), Help: "Pages and forms with more parameters than this are passed over.",
		},
		{
			Name: "maxScanTime", Type: engine.TypeInt, Min: 10, Max: 86_400, Default: int64(1800), Help: "Seconds that looking for pages may take.",
		},
		{
			Name: "maxAttackTime", Type: engine.TypeInt, Min: 10, Max: 86_400, Default: int64(600), Help: "Seconds that each module may take.",
		},
		{
			Name: "scanForce", Type: engine.TypeEnum, Enum: []string{"paranoid", "sneaky", "polite", "normal", "aggressive", "insane"}, Default: "normal",
			Help: "How much a page that looks like others is still looked at: paranoid tries everything, insane hardly anything twice.",
		},
		{
			Name: "timeout", Type: engine.TypeInt, Min: 1, Max: 60, Default: int64(10), Help: "Seconds to wait for an answer.",
		},
		{
			Name: "verifyTLS", Type: engine.TypeBool, Default: false, Help: "Take nothing from a server whose certificate doesn't hold.",
		},
	}
}

// Check implements engine.Checker: it asks the program for its version.
func (Engine) Check(ctx context.Context, env engine.Env) engine.Availability {
	var out bytes.Buffer
	exit, err := env.Proc.Launch(ctx, engine.Process{
		Program: program, Args: []string{"--version"}, Stdout: &engine.Head{To: &out, Left: 8 << 10}, Network: engine.NetworkNone,
	})
	switch {
	case errors.Is(err, fault.New(fault.Unavailable, fault.CodeEngine, "")):
		return engine.Availability{Reason: manifest().Missing().Text}
	case err != nil:
		return engine.Availability{Reason: "Wapiti can't be started here; the server's log has the cause"}
	}
	version := versionOf(out.String())
	if exit.Code != 0 || version == "" {
		return engine.Availability{Reason: "the program wapiti that was found doesn't answer like Wapiti"}
	}
	return engine.Availability{Available: true, Version: version}
}

// versionOf reads "Wapiti-3.0.4 (…)", "Wapiti 3.2.3 (…)" or a bare "3.2.3" out of the banner.
func versionOf(s string) string {
	for line := range strings.Lines(s) {
		line = strings.TrimSpace(plain(line))
		rest, named := strings.CutPrefix(line, "Wapiti")
		if !named && strings.ContainsAny(line, " ") {
			continue
		}
		version, _, _ := strings.Cut(strings.TrimLeft(rest, "- "), " ")
		if version != "" && strings.Contains(version, ".") && strings.Trim(version, "0123456789.") == "" {
			return version
		}
	}
	return ""
}
