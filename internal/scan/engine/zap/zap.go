// Package zap drives ZAP, which crawls a web application, judges its answers (passive rules) and, where the order asks
// for it, attacks it (active rules).
//
// One ZAP is started for each scan, as a daemon in the run's scratch folder with a random key for its REST API, and
// ended with it: alerts and sites are global in a ZAP, so that two scans in one would see each other's. What is done is
// ordered step by step over the API, or by an automation plan that the daemon is given and that is kept with the scan;
// either way states, alerts and versions are read over the API, because only it says how far each step came, and only
// with it can a step be stopped and its alerts be kept. (ZAP's other way, a plan without a daemon, ends in an exit code
// and a report that is missing after a cancel.) The package must never let a request name a plan, a script, a regular
// expression, a file or a ZAP setting: all of these are made here. Start with manifest, then run.go (how ZAP is started
// and ended), drive.go and steps.go (what it is told), record.go (the raw output) and parse.go (what it means).
package zap

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"time"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/scan/finding"
	"assay.dev/assay/internal/word/fault"
)

// id is the engine's name in the API, in rules and as this folder.
const id = "zap"

// program is the executable's name.
const program = "zap.sh"

// Values of options that the driver decides by.
const (
	planFull         = "full"
	driverAutomation = "automation"
)

// Engine is the ZAP engine. The zero value is ready.
type Engine struct{}

// New returns the engine.
func New() engine.Engine { return Engine{} }

// Manifest implements engine.Engine.
func (Engine) Manifest() engine.Manifest { return manifest() }

func manifest() engine.Manifest {
	return engine.Manifest{
		ID:          id,
		Title:       "ZAP",
		Description: "Crawls a web application, judges its answers and, where asked to, attacks its parameters.",
		Targets:     []asset.TargetType{asset.TypeURL},
		Options:     options(),
		Config:      []engine.ConfigField{engine.ConfigRateLimit, engine.ConfigMaxParallelism, engine.ConfigUserAgent, engine.ConfigHeaders},
		Limits: engine.Limits{
			MaxOutput: 256 << 20, MaxFindings: 50_000, CancelGrace: 3 * time.Second,
		},
		ParserVersion: 1,
		Licence:       "Apache License 2.0: Assay starts the program that you install and ships no part of it.",
		Program:       program,
		Install: "Install the cross-platform package of ZAP 2.16 or later from its project's releases together with Java 17 or later, " +
			"and put its zap.sh on the engines' path.",
	}
}

func options() []engine.Option {
	return append(append(planOptions(), crawlOptions()...), attackOptions()...)
}

func planOptions() []engine.Option {
	return []engine.Option{
		{
			Name: "plan", Type: engine.TypeEnum, Enum: []string{"baseline", planFull}, Default: "baseline",
			Help: "What is done: crawl and judge the answers (baseline), or attack what was found, too (full).",
		},
		{
			Name: "driver", Type: engine.TypeEnum, Enum: []string{"rest", driverAutomation}, Default: "rest",
			Help: "How ZAP is led: step by step over its API (rest), or by an automation plan, which is kept with the scan and can be run again anywhere (automation).",
		},
		{
			Name: "idleMinutes", Type: engine.TypeInt, Min: 1, Max: 120, Default: int64(10),
			Help: "Minutes without any progress after which a step is stopped. What was found by then is kept and the outcome is partial.",
		},
	}
}

func crawlOptions() []engine.Option {
	return []engine.Option{
		{
			Name: "spider", Type: engine.TypeBool, Default: true,
			Help: "Follow links, forms, robots.txt and sitemaps. Without it only the target's own page is looked at.",
		},
		{
			Name: "ajaxSpider", Type: engine.TypeBool, Default: false,
			Help: "Crawl with a browser as well, for applications that build their pages by script. Needs ZAP's Ajax Spider add-on and Firefox where scans run.",
		},
		{
			Name: "maxSpiderMinutes", Type: engine.TypeInt, Min: 1, Max: 240, Default: int64(10),
			Help: "Minutes after which a crawl is ended. The outcome is partial then.",
		},
		{
			Name: "maxDepth", Type: engine.TypeInt, Min: 1, Max: 20, Default: int64(5),
			Help: "How many links away from the target's page the crawl goes.",
		},
		{
			Name: "maxChildren", Type: engine.TypeInt, Min: 0, Max: 10_000, Default: int64(0),
			Help: "Most pages below one part of the site; 0 is no limit.",
		},
		{
			Name: "recurse", Type: engine.TypeBool, Default: true,
			Help: "Go on from what the target's page leads to.",
		},
		{
			Name: "subtreeOnly", Type: engine.TypeBool, Default: false,
			Help: "Stay below the target's path.",
		},
		{
			Name: "avoid", Type: engine.TypeEnumSet, Enum: avoidNames(), Max: int64(len(avoidNames())), Default: []string{"logout"},
			Help: "Kinds of pages to leave out: those that end a session, that delete, that change accounts, or that only hold pictures, fonts and style sheets.",
		},
	}
}

func attackOptions() []engine.Option {
	return []engine.Option{
		{
			Name: "attackStrength", Type: engine.TypeEnum, Enum: []string{"LOW", "MEDIUM", "HIGH", "INSANE"}, Default: "MEDIUM",
			Help: "How many attacks each active rule makes. INSANE is for small applications made for it.",
		},
		{
			Name: "alertThreshold", Type: engine.TypeEnum, Enum: []string{"LOW", "MEDIUM", "HIGH"}, Default: "MEDIUM",
			Help: "How sure an active rule must be: LOW tells more and errs more.",
		},
		{
			Name: "maxScanMinutes", Type: engine.TypeInt, Min: 1, Max: 1440, Default: int64(50),
			Help: "Minutes after which the active scan is ended. The outcome is partial then.",
		},
		{
			Name: "maxRuleMinutes", Type: engine.TypeInt, Min: 0, Max: 240, Default: int64(0),
			Help: "Minutes after which a single active rule is ended; 0 is no limit. Such a rule's silence counts for nothing.",
		},
		{
			Name: "threadsPerHost", Type: engine.TypeInt, Min: 1, Max: 20, Default: int64(2),
			Help: "Attacks under way at a time. The lower of this and config.maxParallelism holds.",
		},
		{
			Name: "delayMs", Type: engine.TypeInt, Min: 0, Max: 10_000, Default: int64(0),
			Help: "Milliseconds between two attacks.",
		},
	}
}

// Check implements engine.Checker: it asks the program for its version. That starts a Java machine, which takes seconds,
// and on a busy machine longer than a check may: a ZAP that was seen to start then counts as one, of unknown version.
func (Engine) Check(ctx context.Context, env engine.Env) engine.Availability {
	var out, chatter bytes.Buffer
	exit, err := env.Proc.Launch(ctx, engine.Process{
		Program: program, Args: []string{"-cmd", "-silent", "-version", "-dir", env.Work + "/zap"},
		Env:    environment(env.Work, "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"),
		Stdout: &engine.Head{To: &out, Left: 64 << 10}, Stderr: &engine.Head{To: &chatter, Left: 4 << 10},
		First: engine.Terminate, Grace: time.Second, Network: engine.NetworkNone,
	})
	switch {
	case errors.Is(err, fault.New(fault.Unavailable, fault.CodeEngine, "")):
		return engine.Availability{Reason: manifest().Missing().Text}
	case err != nil:
		return engine.Availability{Reason: "ZAP can't be started here; the server's log has the cause"}
	}
	version := versionOf(out.String())
	switch {
	case exit.Canceled && (version != "" || strings.Contains(out.String(), "org.parosproxy.") || strings.Contains(chatter.String(), "_JAVA_OPTIONS")):
		return engine.Availability{Available: true, Version: version}
	case exit.Canceled:
		return engine.Availability{Reason: "ZAP didn't say its version in time"}
	case exit.Code != 0 || version == "":
		return engine.Availability{Reason: "the program zap.sh that was found doesn't answer like ZAP; it needs Java 17 or later"}
	}
	return engine.Availability{Available: true, Version: version}
}

// versionOf finds the line that is a version, such as "2.17.0" or "D-2026-01-05"; others are the start's chatter.
func versionOf(out string) string {
	for line := range strings.Lines(out) {
		line = strings.TrimSpace(line)
		if line != "" && len(line) <= 32 && !strings.ContainsFunc(line, notVersion) && strings.ContainsAny(line, "0123456789") &&
			strings.ContainsAny(line, ".-") {
			return finding.Line(line, 32)
		}
	}
	return ""
}

func notVersion(r rune) bool {
	return (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') && r != '.' && r != '-'
}
