// Package sublist3r finds names below a domain by asking third parties about it: certificate logs and passive DNS.
//
// The program of this name is no longer maintained and most of what it asks is gone, so the engine keeps the name and
// runs a living backend of its own in this process; the original can still be chosen where it is installed. Neither ever
// connects to the target. A source that didn't answer is told as such: silence of the network is never "nothing found".
// Start with manifest, then source.go (who is asked, and how answers read), builtin.go and program.go (the two
// backends), verdict.go (what their silence is worth), resolve.go (the DNS check) and parse.go.
package sublist3r

import (
	"context"
	"time"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/scan/engine"
)

// id is the engine's name in the API, in rules and as this folder.
const id = "sublist3r"

// program is the original's executable.
const program = "sublist3r"

// builtinVersion is the version of the backend in this process; it is raised when it asks or reads differently.
const builtinVersion = "built-in 1"

// Backends.
const (
	backendBuiltin = "builtin"
	backendProgram = "sublist3r"
)

// Bounds of a run.
const (
	maxNames  = 20_000 // told of one run
	maxSource = 50_000 // taken from one source
)

// Engine is the Sublist3r engine. The zero value is ready.
type Engine struct{}

// New returns the engine.
func New() engine.Engine { return Engine{} }

// Manifest implements engine.Engine.
func (Engine) Manifest() engine.Manifest { return manifest() }

func manifest() engine.Manifest {
	return engine.Manifest{
		ID:    id,
		Title: "Sublist3r",
		Description: "Finds names below a domain that certificate logs and passive DNS know, without touching the target. " +
			"The original program is no longer maintained; a built-in backend asks in its place.",
		Targets:       []asset.TargetType{asset.TypeDomain},
		Options:       options(),
		Limits:        engine.Limits{MaxOutput: 32 << 20, MaxMemory: 1 << 30, MaxFindings: maxNames, CancelGrace: 3 * time.Second},
		ParserVersion: 1,
		Licence: "The built-in backend is part of Assay. The original Sublist3r is under the GNU GPL, version 2: Assay starts the program that you " +
			"install and ships no part of it. The sources have terms of use of their own.",
		Program: program,
		Install: "The built-in backend needs nothing. For backend sublist3r, the original: apt-get install --no-install-recommends sublist3r.",
		Recipes: []engine.Recipe{{
			Method: engine.MethodSystem, Parts: []engine.Part{{Name: "sublist3r"}},
			Note: "Only for backend sublist3r; the built-in backend needs no program.",
		}},
		Sources: sourceList(),
		Passive: true,
	}
}

func options() []engine.Option {
	return []engine.Option{
		{
			Name: "backend", Type: engine.TypeEnum, Enum: []string{backendBuiltin, backendProgram}, Default: backendBuiltin,
			Help: "Who asks: Assay itself (builtin), or the original program where it is installed (sublist3r).",
		},
		{
			Name: "sources", Type: engine.TypeEnumSet, Enum: builtinNames(), Min: 1, Max: int64(len(builtinNames())), Default: builtinNames(),
			Help: "Whom the built-in backend asks.",
		},
		{
			Name: "programSources", Type: engine.TypeEnumSet, Enum: programNames(), Min: 1, Max: int64(len(programNames())), Default: []string{"crtsh"},
			Help: "Whom the original program asks. passivedns and threatcrowd have mostly stopped answering.",
		},
		{
			Name: "sourceTimeout", Type: engine.TypeInt, Min: 5, Max: 300, Default: int64(60),
			Help: "Seconds that a source has for its whole answer, for the built-in backend.",
		},
		{
			Name: "resolve", Type: engine.TypeBool, Default: false,
			Help: "Look the names up in the DNS, which asks the server's resolvers and nobody else. Without it, and where the DNS doesn't know a name, names stand as unverified.",
		},
	}
}

// Check implements engine.Checker: the built-in backend is always there.
func (Engine) Check(context.Context, engine.Env) engine.Availability {
	return engine.Availability{Available: true, Version: builtinVersion}
}
