// Package sqlmap drives sqlmap, which finds SQL injection in the parameters of web applications and proves it.
//
// It runs the command-line program with a configuration file of its own making, not the REST server: the server keeps
// one list of injection points a task and drops the earlier ones when a crawl goes on to the next page, while the
// program's own log tells of each; and it would be a second port with a second process to guard. Everything of a request,
// the target's URL, headers and credentials among it, stands in that file, which only the run can read; the command line
// holds constants. It must never start sqlmap by itself (Env does), never let an option name a file, SQL or code, and
// never take data out of a database: what sqlmap may do beyond detection is one line of proof, with consent.
// Start with manifest, then order.go (what is asked), run.go (how it went), watch.go (the log, read as a stream) and
// parse.go (what it means).
package sqlmap

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
const id = "sqlmap"

// program is the executable's name.
const program = "sqlmap"

// Engine is the sqlmap engine. The zero value is ready.
type Engine struct{}

// New returns the engine.
func New() engine.Engine { return Engine{} }

// Manifest implements engine.Engine.
func (Engine) Manifest() engine.Manifest { return manifest() }

func manifest() engine.Manifest {
	return engine.Manifest{
		ID:          id,
		Title:       "sqlmap",
		Description: "Finds SQL injection in the parameters and forms of a web application, and proves it without taking data.",
		Targets:     []asset.TargetType{asset.TypeURL},
		Options:     options(),
		Config: []engine.ConfigField{
			engine.ConfigRateLimit, engine.ConfigMaxParallelism, engine.ConfigUserAgent, engine.ConfigHeaders, engine.ConfigAuthentication,
		},
		Limits: engine.Limits{
			MaxOutput: 64 << 20, MaxMemory: 2 << 30, MaxFindings: 5_000, CancelGrace: 3 * time.Second,
		},
		ParserVersion: 1,
		Licence: "GPL-2.0 with the makers' clarification: they call a program that runs sqlmap and reads its results a derived work. " +
			"Assay ships no part of it and starts the program that you install; who wants to distribute the two together should ask the makers first.",
		Program: program,
		Install: "Install it with your system's package manager (apt-get install sqlmap) or with pip (pip install sqlmap); it needs python3 only.",
		Recipes: []engine.Recipe{
			{
				Method: engine.MethodPip, Needs: []string{"python3"}, Lock: lock(),
				Parts: []engine.Part{{Name: "sqlmap", Version: "1.10.10", SHA256: wheel}},
			},
			{Method: engine.MethodSystem, Parts: []engine.Part{{Name: "sqlmap"}}, Note: "Distributions carry older versions, which know fewer databases and miss more."},
		},
	}
}

// wheel is the digest of the release that the pip recipe installs: pure Python, without dependencies.
const wheel = "32c4b516735c1c1a3183effd0d50a9217c9f22fc9e8b17ca4c4f6a5f2028bd93"

func lock() string { return "sqlmap==1.10.10 --hash=sha256:" + wheel + "\n" }

// Values of the option proof.
const (
	proofNone   = "none"
	proofBanner = "banner"
	proofUser   = "currentUser"
)

func options() []engine.Option {
	return []engine.Option{
		{
			Name: "techniques", Type: engine.TypeEnumSet, Enum: []string{"B", "E", "U", "S", "T", "Q"}, Min: 1, Max: 6, Default: []string{"B", "E", "U"},
			Help: "Kinds of injection to try: B boolean-based, E error-based, U by UNION, S stacked queries, T time-based, Q inline queries. " +
				"T and S make the database wait or work hard, which slows the target for others.",
		},
		{
			Name: "level", Type: engine.TypeInt, Min: 1, Max: 5, Default: int64(1),
			Help: "How much is tried: 2 adds cookies, 3 the User-Agent and Referer headers, and each level more payloads. Level 5 takes hours.",
		},
		{
			Name: "risk", Type: engine.TypeInt, Min: 1, Max: 3, Default: int64(1), Consent: "consentToRisk",
			Help: "How bold payloads are: 2 adds heavy queries, 3 adds OR conditions, which within an UPDATE or DELETE change rows of the target.",
		},
		{
			Name: "consentToRisk", Type: engine.TypeBool, Default: false,
			Help: "The target's owner agrees to payloads that may load its database or change its rows.",
		},
		{
			Name: "dbms", Type: engine.TypeEnum, Enum: databases(),
			Help: "Try only this database's dialect. Without it: whatever the target's answers suggest.",
		},
		{
			Name: "crawlDepth", Type: engine.TypeInt, Min: 0, Max: 3,
			Help: "How many links away from the target's URL pages are looked for; all of them on the same host and port. Without it: 2, and 0 where the URL has a query.",
		},
		{
			Name: "forms", Type: engine.TypeBool,
			Help: "Also send the forms that are found, with made-up values. Without it: true, and false where the URL has a query.",
		},
		{
			Name: "threads", Type: engine.TypeInt, Min: 1, Max: 10, Default: int64(2), Help: "Most requests at a time. The lower of this and config.maxParallelism holds.",
		},
		{
			Name: "timeout", Type: engine.TypeInt, Min: 1, Max: 120, Default: int64(10), Help: "Seconds to wait for an answer.",
		},
		{
			Name: "retries", Type: engine.TypeInt, Min: 0, Max: 10, Default: int64(1), Help: "How often a request without an answer is sent again.",
		},
		{
			Name: "proof", Type: engine.TypeEnum, Enum: []string{proofNone, proofBanner, proofUser}, Default: proofNone, Consent: "consentToProof",
			Help: "What to read from the database as proof of an injection: nothing, its version banner, or the name of the account that the application uses. Nothing else is ever read.",
		},
		{
			Name: "consentToProof", Type: engine.TypeBool, Default: false,
			Help: "The target's owner agrees that an injection is used to read the one value that proof names.",
		},
	}
}

func databases() []string {
	return []string{"MySQL", "PostgreSQL", "Microsoft SQL Server", "Oracle", "SQLite", "IBM DB2", "Firebird", "SAP MaxDB", "Sybase", "Informix", "HSQLDB", "H2", "Microsoft Access"}
}

// Check implements engine.Checker: it asks the program for its version.
func (Engine) Check(ctx context.Context, env engine.Env) engine.Availability {
	var out bytes.Buffer
	exit, err := env.Proc.Launch(ctx, engine.Process{
		Program: program, Args: []string{"--version", "--batch", "--ignore-stdin", "--disable-coloring"},
		Stdout: &engine.Head{To: &out, Left: 4 << 10}, Network: engine.NetworkNone,
	})
	switch {
	case errors.Is(err, fault.New(fault.Unavailable, fault.CodeEngine, "")):
		return engine.Availability{Reason: manifest().Missing().Text}
	case err != nil:
		return engine.Availability{Reason: "sqlmap can't be started here; the server's log has the cause"}
	}
	version := versionOf(out.String())
	if exit.Code != 0 || version == "" {
		return engine.Availability{Reason: "the program sqlmap that was found doesn't answer like sqlmap"}
	}
	return engine.Availability{Available: true, Version: version}
}

// versionOf reads "1.7.2#stable" out of whatever else is printed around it.
func versionOf(s string) string {
	for line := range strings.Lines(s) {
		line = plain(line)
		version, _, ok := strings.Cut(line, "#")
		if ok && version != "" && strings.Trim(version, "0123456789.") == "" {
			return version
		}
	}
	return ""
}
