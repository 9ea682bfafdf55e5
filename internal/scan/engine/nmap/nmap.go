// Package nmap drives Nmap, which finds hosts, open ports, the services behind them and, by named sets of scripts,
// some of their weaknesses.
//
// It gives Nmap addresses and networks, never names, and builds the command line from parsed values only; which
// scripts run is decided by lists of its own, so that no request can name a script, a file or a script argument. It
// must never start Nmap by itself: Env does. Start with manifest, then argv.go (what is run), run.go (how it went),
// document.go (the XML, read as a stream), parse.go and script.go (what it means).
package nmap

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
const id = "nmap"

// program is the executable's name.
const program = "nmap"

// Engine is the Nmap engine. The zero value is ready.
type Engine struct{}

// New returns the engine.
func New() engine.Engine { return Engine{} }

// Manifest implements engine.Engine.
func (Engine) Manifest() engine.Manifest { return manifest() }

func manifest() engine.Manifest {
	return engine.Manifest{
		ID:          id,
		Title:       "Nmap",
		Description: "Finds hosts, open ports, services and their versions, and checks them with chosen sets of scripts.",
		Targets:     []asset.TargetType{asset.TypeHost, asset.TypeIP, asset.TypeNetwork},
		Options:     options(),
		Config:      []engine.ConfigField{engine.ConfigRateLimit, engine.ConfigMaxParallelism},
		Limits: engine.Limits{
			MaxOutput: 256 << 20, MaxMemory: 2 << 30, MaxFindings: 100_000, CancelGrace: 2 * time.Second,
		},
		ParserVersion: 1,
		Licence: "Nmap Public Source License: Assay starts the program that you install and ships no part of it. " +
			"Who wants to distribute Nmap together with a product needs a licence from its makers.",
		Program: program,
		Install: "Install it with your system's package manager (apt-get install nmap, dnf install nmap, apk add nmap nmap-scripts, brew install nmap).",
		Recipes: []engine.Recipe{{Method: engine.MethodSystem, Parts: []engine.Part{{Name: "nmap"}}}},
	}
}

func options() []engine.Option {
	return append(append(portOptions(), paceOptions()...), depthOptions()...)
}

func portOptions() []engine.Option {
	return []engine.Option{
		{
			Name: "ports", Type: engine.TypePorts, Excludes: []string{"topPorts"},
			Help: "Ports to look at, such as \"22,80,8000-8100\". Without it: the most common ones, see topPorts.",
		},
		{
			Name: "topPorts", Type: engine.TypeInt, Min: 1, Max: 65535, Default: int64(1000),
			Help: "How many of the most common ports to look at, where ports isn't given.",
		},
		{
			Name: "scanType", Type: engine.TypeEnum, Enum: []string{"connect", "syn", "udp"}, Default: "connect",
			ValueNeeds: map[string]string{"syn": engine.NetRaw, "udp": engine.NetRaw},
			Help:       "How ports are probed: by full TCP connections, half-open TCP (syn) or UDP.",
		},
		{
			Name: "skipDiscovery", Type: engine.TypeBool,
			Help: "Treat every address as up instead of looking for hosts first. Without it: true for single hosts, false for networks.",
		},
		{
			Name: "discoveryPorts", Type: engine.TypePorts, Default: discoveryPorts(),
			Help: "TCP ports by which hosts are looked for: one that accepts or refuses a connection is up.",
		},
		{
			Name: "excludeTargets", Type: engine.TypeTargets, Max: 100,
			Help: "Addresses and networks within the target to leave out.",
		},
	}
}

func discoveryPorts() engine.Ports {
	return engine.PortsOf(21, 22, 23, 25, 53, 80, 110, 111, 135, 139, 143, 443, 445, 993, 995, 1433, 3306, 3389, 5432, 5900, 6379, 8080, 8443)
}

func paceOptions() []engine.Option {
	return []engine.Option{
		{
			Name: "timing", Type: engine.TypeEnum, Enum: []string{"T0", "T1", "T2", "T3", "T4"}, Default: "T4",
			Help: "Pace, from T0 (one probe in five minutes) over T3 (Nmap's own normal) to T4 (for reliable networks).",
		},
		{
			Name: "maxRetries", Type: engine.TypeInt, Min: 0, Max: 10, Default: int64(2),
			Help: "How often a port probe without an answer is sent again.",
		},
		{
			Name: "minRate", Type: engine.TypeInt, Min: 1, Max: engine.MaxRateLimit, NotAbove: "maxRate",
			Help: "Fewest packets a second. Loses accuracy where the network can't keep up.",
		},
		{
			Name: "maxRate", Type: engine.TypeInt, Min: 1, Max: engine.MaxRateLimit,
			Help: "Most packets a second. The lower of this and config.rateLimit holds.",
		},
		{
			Name: "hostTimeout", Type: engine.TypeInt, Min: 10, Max: 86_400, Default: int64(900),
			Help: "Seconds after which a host is given up. Nothing is reported of such a host and the outcome is partial.",
		},
		{
			Name: "maxParallelism", Type: engine.TypeInt, Min: 1, Max: engine.MaxParallelism,
			Help: "Most probes under way at a time. The lower of this and config.maxParallelism holds.",
		},
	}
}

func depthOptions() []engine.Option {
	return []engine.Option{
		{
			Name: "serviceDetection", Type: engine.TypeBool, Default: true,
			Help: "Ask open ports what they are. Without it services are guesses by port number, which Assay doesn't report.",
		},
		{
			Name: "versionIntensity", Type: engine.TypeInt, Min: 0, Max: 9, Default: int64(5),
			Help: "How many probes service detection tries: 2 is quick, 9 is all. Silent ports make high values slow.",
		},
		{
			Name: "allPorts", Type: engine.TypeBool, Default: false,
			Help: "Let service detection also talk to ports 9100–9107, where some printers print what they get.",
		},
		{
			Name: "osDetection", Type: engine.TypeBool, Default: false, Needs: engine.NetRaw,
			Help: "Guess the operating system by its network behaviour.",
		},
		{
			Name: "traceroute", Type: engine.TypeBool, Default: false, Needs: engine.NetRaw,
			Help: "Find the path to each host; kept in the raw output.",
		},
		{
			Name: "scriptSet", Type: engine.TypeEnumSet, Enum: setNames(), Max: int64(len(setNames())), Default: []string{},
			Help: "Sets of Nmap scripts to run on what is found. None exploits, guesses passwords or asks third parties.",
		},
		{
			Name: "scriptTimeout", Type: engine.TypeInt, Min: 5, Max: 3600, Default: int64(60),
			Help: "Seconds after which a script is stopped.",
		},
	}
}

// Check implements engine.Checker: it asks the program for its version.
func (Engine) Check(ctx context.Context, env engine.Env) engine.Availability {
	var out bytes.Buffer
	exit, err := env.Proc.Launch(ctx, engine.Process{Program: program, Args: []string{"--version"}, Stdout: &engine.Head{To: &out, Left: 4 << 10}})
	switch {
	case errors.Is(err, fault.New(fault.Unavailable, fault.CodeEngine, "")):
		return engine.Availability{Reason: manifest().Missing().Text}
	case err != nil:
		return engine.Availability{Reason: "Nmap can't be started here; the server's log has the cause"}
	}
	version := versionOf(out.String())
	if exit.Code != 0 || version == "" {
		return engine.Availability{Reason: "the program nmap that was found doesn't answer like Nmap"}
	}
	return engine.Availability{Available: true, Version: version}
}

// versionOf reads "Nmap version 7.93 ( https://nmap.org )".
func versionOf(s string) string {
	rest, ok := strings.CutPrefix(strings.TrimSpace(s), "Nmap version ")
	if !ok {
		return ""
	}
	version, _, _ := strings.Cut(rest, " ")
	return label(version, 32)
}
