// Package engine is the port of scan engines: what an engine declares about itself (Manifest), what it is given to
// run with (Env, Request), and what it gives back (Result).
//
// An engine runs in two halves. Run drives the tool and keeps its raw output; Parse turns raw output into
// observations and is pure: no network, no files, bounded. Stored raw output can so be parsed again after a parser was
// mended. The port knows no engine by name; package catalog lists them, one line each. Start with Engine, then
// option.go.
package engine

import (
	"context"
	"io"
	"net/netip"
	"time"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/scan/finding"
	"assay.dev/assay/internal/word/secret"
)

// Manifest is what an engine declares, as data. The option form, validation, GET /engines, CLI help and the reference
// page all derive from it.
type Manifest struct {
	ID            string // also the folder's name and the API's scanType
	Title         string
	Description   string
	Targets       []asset.TargetType
	Options       []Option
	Config        []ConfigField // which of the common config fields it supports
	Limits        Limits
	ParserVersion int    // raised when Parse would read old raw output differently
	Licence       string // what a distributor must know
	Program       string // the program it needs; empty for engines that live in this process
	Install       string // how to get the program, in one or two sentences
	Recipes       []Recipe
	Sources       []Source // third parties that it asks about a target; empty = it asks the target only
	Passive       bool     // it never connects to the target: its programs reach its sources and nothing else
}

// ConfigField names one of the common fields of a scan's config (decisions C1).
type ConfigField string

// Config fields.
const (
	ConfigRateLimit      ConfigField = "rateLimit"
	ConfigMaxParallelism ConfigField = "maxParallelism"
	ConfigUserAgent      ConfigField = "userAgent"
	ConfigHeaders        ConfigField = "headers"
	ConfigAuthentication ConfigField = "authentication"
)

// Limits bound one run. A scan's own timeout may only be shorter than the hard limits of its place.
type Limits struct {
	MaxOutput   int64         // bytes of raw output kept; what is over is dropped and the run marked partial
	MaxMemory   int64         // bytes of address space of a child; 0 = no limit of ours
	MaxFindings int           // observations taken from one run
	CancelGrace time.Duration // between the first signal and the kill
}

// Engine is one scan engine. Implementations are stateless and safe for concurrent use.
type Engine interface {
	Manifest() Manifest
	// Run drives one scan of one target to its end and writes raw output by env.Artifact. It returns when the tool has
	// ended, ctx is done (cancel or deadline: partial output is kept) or nothing can be done. An error is a fault for
	// "couldn't be run at all"; everything a tool says of its target is in the Verdict.
	Run(ctx context.Context, env Env, req Request) (Verdict, error)
	// Parse reads raw output, complete, cut off or hostile, and yields observations in a stable order. It never
	// panics, never reads more than it must hold, and stops with yield's error.
	Parse(raw io.Reader, req Request, yield func(Item) error) (finding.Coverage, error)
}

// Checker is what an engine with a program outside this process also implements.
type Checker interface {
	// Check says whether the engine can run here and with which version; it must return within ctx.
	Check(ctx context.Context, env Env) Availability
}

// Availability is the answer to "can this engine run here".
type Availability struct {
	Available bool
	Version   string
	Reason    string // why not, and how to get it
}

// Item is one thing Parse yields: an observation, an asset that was seen, or a package that the target holds. Exactly
// one is set.
type Item struct {
	Finding *finding.Observation
	Asset   *asset.Observation
	Package *finding.Package
}

// Request is one validated order. Nothing in it came unparsed from outside.
type Request struct {
	Scan    string // the scan's id, for logs
	Target  asset.Target
	Addrs   []netip.Addr // what the target resolved to, each allowed by scope; for a network: empty, all of it is allowed
	Options Options
	Config  Config
	// Excluded are listeners of this server: engines take the ports out of what they look at on these addresses.
	Excluded []netip.AddrPort
}

// Config are the common fields of a scan's config.
type Config struct {
	RateLimit      int // requests or packets a second; 0 = the engine's default
	MaxParallelism int // 0 = the engine's default
	UserAgent      string
	Headers        []Header
	Authentication secret.Text // JSON, engine-specific; never in argv
}

// Header is one extra request header. The value is a secret until proven otherwise.
type Header struct {
	Name  string
	Value secret.Text
}

// Verdict says how a run went, apart from what was found.
type Verdict struct {
	Outcome  Outcome
	Reasons  []string // for the user, one sentence each
	Version  string   // of the tool that ran
	Coverage *finding.Coverage
	Looked   Looked // what "nothing found" is worth
}

// Outcome is how much a run's silence is worth (decisions C3). State is not outcome: a scan may be completed and have
// reached nothing.
type Outcome string

// Outcomes.
const (
	Complete         Outcome = "complete"
	Partial          Outcome = "partial"
	Failed           Outcome = "failed"
	Blocked          Outcome = "blocked"
	NothingReachable Outcome = "nothing_reachable"
)
