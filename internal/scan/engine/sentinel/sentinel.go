// Package sentinel is Assay's own scan engine: probes that need no other program. It looks at hosts, addresses,
// networks, domains (as hosts) and URLs over TCP: which ports answer and what speaks there, how TLS is set up down to
// certificate and post-quantum key exchange, what HTTP answers give away or leave out, and which files lie open.
//
// It never logs in, never writes to a target, never tries a flaw out, and connects only through the scan's dialer.
// What it saw is written as JSON lines (record.go); Parse judges them later, so that a mended judgement can be applied
// to a stored run. Which other engines run beside it is package scan's business. Start with run.go, then parse.go; the
// rules with their severities are in package rule and in docs/reference/sentinel.md.
package sentinel

import (
	"time"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/scan/engine"
)

// version of the probes, in the verdict.
const version = "1.0"

// Depths.
const (
	depthQuick    = "quick"
	depthStandard = "standard"
	depthDeep     = "deep"
)

// Probes that an order may choose.
const (
	probePorts = "ports"
	probeTLS   = "tls"
	probeHTTP  = "http"
	probeFiles = "files"
)

type sentinel struct{}

// New returns the engine. It has no state and is safe for concurrent use.
func New() engine.Engine { return sentinel{} }

// Manifest implements engine.Engine.
func (sentinel) Manifest() engine.Manifest {
	return engine.Manifest{
		ID:    "sentinel",
		Title: "Sentinel",
		Description: "Assay's own probes: open ports and services, TLS and certificates, post-quantum key exchange, " +
			"HTTP headers, cookies, methods and CORS, exposed files. Needs no other program.",
		Targets: []asset.TargetType{asset.TypeHost, asset.TypeURL, asset.TypeDomain, asset.TypeIP, asset.TypeNetwork},
		Options: []engine.Option{
			{
				Name: "depth", Type: engine.TypeEnum, Enum: []string{depthQuick, depthStandard, depthDeep}, Default: depthStandard,
				Help: "How thoroughly to look. quick: the 100 commonest ports, TLS versions, certificate and key exchange, " +
					"headers and cookies, the most telling exposed files. standard: 1,000 ports and every check. " +
					"deep: all 65,535 ports and every check, with more patience.",
			},
			{
				Name: "ports", Type: engine.TypePorts, Max: engine.MaxPortRanges,
				Help: "TCP ports to look at instead of the depth's own list. A URL target's own port is the default there.",
			},
			{
				Name: "probes", Type: engine.TypeEnumSet, Enum: []string{probePorts, probeTLS, probeHTTP, probeFiles}, Min: 1, Max: 4,
				Default: []string{probePorts, probeTLS, probeHTTP, probeFiles},
				Help:    "Which probes report. Ports are always connected to, because the other probes work on open ones.",
			},
			enginesOption(),
			phasesOption(),
		},
		Config: []engine.ConfigField{
			engine.ConfigRateLimit, engine.ConfigMaxParallelism, engine.ConfigUserAgent,
			engine.ConfigHeaders,
		},
		Limits:        engine.Limits{MaxOutput: 64 << 20, MaxFindings: maxFindings, CancelGrace: 2 * time.Second},
		ParserVersion: recordVersion,
		Licence:       "Part of Assay.",
	}
}

// depth is what a depth stands for.
type depth struct {
	name     string
	patience time.Duration // for one connection attempt
	listen   time.Duration // for a service to say or answer something
	thorough bool          // every check, every follow-up question
}

func depthOf(name string) depth {
	switch name {
	case depthQuick:
		return depth{name: depthQuick, patience: time.Second, listen: 700 * time.Millisecond}
	case depthDeep:
		return depth{name: depthDeep, patience: 2 * time.Second, listen: 3 * time.Second, thorough: true}
	default:
		return depth{name: depthStandard, patience: 1500 * time.Millisecond, listen: 1500 * time.Millisecond, thorough: true}
	}
}

// ports returns what an order looks at on each address.
func ports(req engine.Request, d depth) engine.Ports {
	if p := req.Options.Ports("ports"); len(p) > 0 {
		return p
	}
	if p := req.Target.Port(); p > 0 {
		return engine.PortsOf(p)
	}
	switch d.name {
	case depthQuick:
		return quickPorts()
	case depthDeep:
		return engine.Ports{{From: 1, To: 65535}}
	default:
		return standardPorts()
	}
}
