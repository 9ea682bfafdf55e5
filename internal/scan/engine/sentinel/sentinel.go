// Package sentinel is Assay's own scan engine: probes that need no other program. It looks at hosts, addresses,
// networks, domains and URLs over TCP and DNS: which ports answer and what speaks there, how TLS and SSH are set up down
// to post-quantum key exchange, what HTTP answers give away or leave out, which files lie open, which parameters are
// handled unsafely, and what a domain says about its mail, certificates and signatures. Of repositories and folders it
// takes stock: credentials, packages, keys.
//
// It never logs in, changes nothing at a target, proves flaws by harmless signs only, and connects only through the
// scan's dialer. What it saw is written as JSON lines (record.go); Parse judges them later, so that a mended judgement
// can be applied to a stored run. Which other engines run beside it is package scan's business. Start with run.go, then
// parse.go; packages banner, crawl, names and tree hold what needs no connection of its own, the rules with their
// severities are in package rule and in docs/reference/sentinel.md.
package sentinel

import (
	"time"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/scan/engine/sentinel/crawl"
	"assay.dev/assay/internal/scan/engine/sentinel/portlist"
)

// version of the probes, in the verdict.
const version = "2.0"

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
	probeCrawl = "crawl"
	probeDNS   = "dns"

	probeSecrets  = "secrets"
	probePackages = "packages"
	probeKeys     = "keys"
)

// probes lists them all, in the order in which they are shown.
func probes() []string {
	return []string{probePorts, probeTLS, probeHTTP, probeFiles, probeCrawl, probeDNS, probeSecrets, probePackages, probeKeys}
}

type sentinel struct{}

// New returns the engine. It has no state and is safe for concurrent use.
func New() engine.Engine { return sentinel{} }

// Manifest implements engine.Engine.
func (sentinel) Manifest() engine.Manifest {
	return engine.Manifest{
		ID:    "sentinel",
		Title: "Sentinel",
		Description: "Assay's own probes: open ports and services, TLS, SSH and certificates, post-quantum readiness, HTTP headers, " +
			"cookies, methods and CORS, exposed files, injections in pages and forms, DNS and mail records; of repositories and folders " +
			"credentials, packages and keys. Needs no other program, but git for repositories.",
		Targets: []asset.TargetType{
			asset.TypeHost, asset.TypeURL, asset.TypeDomain, asset.TypeIP, asset.TypeNetwork, asset.TypeRepository, asset.TypeFilesystem,
		},
		Options: []engine.Option{
			{
				Name: "depth", Type: engine.TypeEnum, Enum: []string{depthQuick, depthStandard, depthDeep}, Default: depthStandard,
				Help: "How thoroughly to look. quick: the 100 commonest ports, TLS versions, certificate and key exchange, " +
					"headers and cookies, the most telling exposed files, 30 pages. standard: 1,000 ports, 100 pages and every check. " +
					"deep: all 65,535 ports, 300 pages and every check, with more patience. Trees are always looked at as a whole.",
			},
			{
				Name: "ports", Type: engine.TypePorts, Max: engine.MaxPortRanges,
				Help: "TCP ports to look at instead of the depth's own list. A URL target's own port is the default there.",
			},
			{
				Name: "probes", Type: engine.TypeEnumSet, Enum: probes(), Min: 1, Max: int64(len(probes())),
				Default: probes(),
				Help: "Which probes report: ports, tls (and SSH), http, files and crawl at hosts and URLs, dns at domains and named hosts, " +
					"secrets, packages and keys in repositories and folders. Ports are always connected to, because others work on open ones.",
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
	crawl    crawl.Limits
	browse   time.Duration // for one origin's crawl; 0 = as long as the scan
}

func depthOf(name string) depth {
	switch name {
	case depthQuick:
		return depth{
			name: depthQuick, patience: time.Second, listen: 700 * time.Millisecond, browse: 2500 * time.Millisecond,
			crawl: crawl.Limits{Pages: 30, Points: 20, Requests: 300, Parallel: siteParallel},
		}
	case depthDeep:
		return depth{
			name: depthDeep, patience: 2 * time.Second, listen: 3 * time.Second, thorough: true,
			crawl: crawl.Limits{Pages: 300, Points: 300, Requests: 6000, Parallel: siteParallel, Posts: true},
		}
	default:
		return depth{
			name: depthStandard, patience: 1500 * time.Millisecond, listen: 1500 * time.Millisecond, thorough: true,
			crawl: crawl.Limits{Pages: 100, Points: 100, Requests: 2000, Parallel: siteParallel, Posts: true},
		}
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
		return portlist.Quick()
	case depthDeep:
		return engine.Ports{{From: 1, To: 65535}}
	default:
		return portlist.Standard()
	}
}
