// Package nikto drives Nikto, which asks a web server for thousands of known files, and judges its headers, methods and
// software.
//
// Nikto is given one URL and the run's proxy, and nothing that is secret: it takes headers and credentials on its
// command line only, so that this package offers neither (whether a configuration file of ours adds to the installed
// one, or replaces it and hides Nikto's own folders from it, differs between releases). It must never offer Nikto's
// options that name files, plugins or configuration. Start with manifest, then argv.go (what is run), run.go (how it
// went), document.go (the JSON and the text, read as streams) and parse.go (what they mean).
package nikto

import (
	"bytes"
	"context"
	"errors"
	"regexp"
	"time"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/word/fault"
)

// id is the engine's name in the API, in rules and as this folder.
const id = "nikto"

// programs are the executable's names: that of packages, and that of the project itself.
func programs() []string { return []string{"nikto", "nikto.pl"} }

// Engine is the Nikto engine. The zero value is ready.
type Engine struct{}

// New returns the engine.
func New() engine.Engine { return Engine{} }

// Manifest implements engine.Engine.
func (Engine) Manifest() engine.Manifest { return manifest() }

func manifest() engine.Manifest {
	return engine.Manifest{
		ID:          id,
		Title:       "Nikto",
		Description: "Looks for known files, old software and weak settings on a web server.",
		Targets:     []asset.TargetType{asset.TypeURL},
		Options:     options(),
		Config:      []engine.ConfigField{engine.ConfigRateLimit, engine.ConfigUserAgent},
		Limits: engine.Limits{
			MaxOutput: 64 << 20, MaxMemory: 1 << 30, MaxFindings: 20_000, CancelGrace: 4 * time.Second,
		},
		ParserVersion: 1,
		Licence: "The program is under the GNU General Public License 3; its databases may not be used with other products without " +
			"leave of its makers. Assay starts the program that you install and ships no part of it.",
		Program: programs()[0],
		Install: "Get release 2.6 or later from the project (https://github.com/sullo/nikto) with Perl's modules JSON, XML::Writer, Net::SSLeay and " +
			"IO::Socket::SSL, and put nikto.pl with its folders on the engines' path, or install your distribution's package where it has one (Kali does).",
	}
}

func options() []engine.Option {
	return []engine.Option{
		{
			Name: "tuning", Type: engine.TypeEnumSet, Enum: tuningNames(), Min: 1, Max: int64(len(tuningNames())), Default: usualTuning(),
			Help: "Kinds of tests. remoteInclusion makes a weak server fetch a page of Nikto's makers. Tests that aim at denial of service are not offered.",
		},
		{
			Name: "maxTime", Type: engine.TypeInt, Min: 30, Max: 86_400, Default: int64(3000),
			Help: "Seconds after which Nikto ends by itself. What was found by then is kept and the outcome is partial.",
		},
		{
			Name: "timeout", Type: engine.TypeInt, Min: 1, Max: 60, Default: int64(10),
			Help: "Seconds that Nikto waits for an answer.",
		},
		{
			Name: "pauseMs", Type: engine.TypeInt, Min: 0, Max: 10_000, Default: int64(0),
			Help: "Milliseconds between two requests. The longer of this and what config.rateLimit asks for holds.",
		},
		{
			Name: "cgiDirs", Type: engine.TypeEnum, Enum: []string{"auto", "all", "none"}, Default: "auto",
			Help: "Folders of CGI programs to try: those that are there (auto), every name that Nikto knows (all), or none.",
		},
		{
			Name: "no404", Type: engine.TypeBool, Default: false,
			Help: "Don't find out first how the server says that something isn't there. Faster, and wrong on servers that answer 200 to everything.",
		},
		{
			Name: "followRedirects", Type: engine.TypeBool, Default: false,
			Help: "Follow redirects, within the scan's scope.",
		},
	}
}

// Check implements engine.Checker: it asks the program for its version.
func (Engine) Check(ctx context.Context, env engine.Env) engine.Availability {
	var out bytes.Buffer
	_, err := launch(ctx, env, engine.Process{
		Args: []string{"-Version", "-nocheck", "-ask", "no"}, Stdout: &engine.Head{To: &out, Left: 64 << 10}, Stderr: nil,
		First: engine.Interrupt, Grace: time.Second, Network: engine.NetworkNone,
	})
	switch {
	case errors.Is(err, fault.New(fault.Unavailable, fault.CodeEngine, "")):
		return engine.Availability{Reason: manifest().Missing().Text}
	case err != nil:
		return engine.Availability{Reason: "Nikto can't be started here; the server's log has the cause"}
	}
	version := versionOf(out.String())
	if version == "" {
		return engine.Availability{Reason: "the program nikto that was found doesn't answer like Nikto; it may lack a Perl module"}
	}
	return engine.Availability{Available: true, Version: version}
}

// launch starts Nikto by the first of its names that is there.
func launch(ctx context.Context, env engine.Env, p engine.Process) (exit engine.Exit, err error) {
	for _, name := range programs() {
		p.Program = name
		exit, err = env.Proc.Launch(ctx, p)
		if !errors.Is(err, fault.New(fault.Unavailable, fault.CodeEngine, "")) {
			break
		}
	}
	return exit, err
}

// versionOf reads "- Nikto v2.6.1", "Nikto 2.5.0 (LW 2.5)" and the table of older releases.
func versionOf(s string) string {
	m := regexp.MustCompile(`(?i)\bnikto(?:[ \t]+main)?[ \t]+v?(\d{1,3}\.\d{1,3}(?:\.\d{1,3})?)\b`).FindStringSubmatch(s)
	if m == nil {
		return ""
	}
	return m[1]
}
