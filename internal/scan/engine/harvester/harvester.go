// Package harvester drives theHarvester, which asks search services, certificate logs and passive DNS what they know of a
// domain: names, e-mail addresses, addresses and URLs.
//
// It never connects to the target, and its program reaches the chosen sources only. Keys of the operator's stand in a
// file of the run's private folder, never in arguments. The program ends well and writes an empty document where no
// source can be reached, so what its sources said of themselves decides. Start with manifest, then run.go (what is run),
// status.go (how the sources behaved), document.go (its three formats) and parse.go (what they mean).
package harvester

import (
	"bytes"
	"context"
	"errors"
	"regexp"
	"slices"
	"strconv"
	"time"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/word/fault"
)

// id is the engine's name in the API, in rules and as this folder.
const id = "harvester"

// program is the executable's name.
const program = "theHarvester"

// oldest is the first major version whose output is understood.
const oldest = 4

// maxItems bounds what is told of one run.
const maxItems = 20_000

// Engine is the theHarvester engine. The zero value is ready.
type Engine struct{}

// New returns the engine.
func New() engine.Engine { return Engine{} }

// Manifest implements engine.Engine.
func (Engine) Manifest() engine.Manifest { return manifest() }

func manifest() engine.Manifest {
	return engine.Manifest{
		ID:            id,
		Title:         "theHarvester",
		Description:   "Asks search services, certificate logs and passive DNS for names, e-mail addresses and URLs of a domain, without touching it.",
		Targets:       []asset.TargetType{asset.TypeDomain},
		Options:       options(),
		Limits:        engine.Limits{MaxOutput: 32 << 20, MaxMemory: 2 << 30, MaxFindings: 2 * maxItems, CancelGrace: 3 * time.Second},
		ParserVersion: 1,
		Licence: "theHarvester is under the GNU GPL, version 2: Assay starts the program that you install and ships no part of it. " +
			"The sources have terms of use of their own.",
		Program: program,
		Install: "Kali Linux has it as a package (apt-get install --no-install-recommends theharvester); elsewhere follow its wiki " +
			"(https://github.com/laramies/theHarvester/wiki/Installation) and put theHarvester into a folder of engine_path. The package theharvester of PyPI is another program.",
		Sources: sourceList(),
		Passive: true,
	}
}

func options() []engine.Option {
	return []engine.Option{
		{
			Name: "sources", Type: engine.TypeEnumSet, Enum: sourceNames(), Min: 1, Max: int64(len(sourceNames())), Default: freeNames(),
			Help: "Whom to ask. Those that want a key are asked where the operator has one (source_keys).",
		},
		{
			Name: "limit", Type: engine.TypeInt, Min: 1, Max: 10_000, Default: int64(500),
			Help: "Results taken of search services.",
		},
		{
			Name: "start", Type: engine.TypeInt, Min: 0, Max: 10_000, Default: int64(0),
			Help: "Results of search services to pass over.",
		},
	}
}

// source is one third party as the program names it.
type source struct {
	engine.Source

	key string // the section of api-keys.yaml; empty = it wants no key
}

// sources lists those that exist in every version from 4.8 on and that never touch the target.
func sources() []source {
	free := func(id, title, url string) source {
		return source{Source: engine.Source{ID: id, Title: title, URL: url}}
	}
	keyed := func(id, title, url, key string) source {
		return source{Source: engine.Source{ID: id, Title: title, URL: url, Key: true}, key: key}
	}
	return []source{
		free("certspotter", "Cert Spotter (certificate transparency)", "https://api.certspotter.com"),
		free("crtsh", "crt.sh (certificate transparency)", "https://crt.sh"),
		free("hackertarget", "HackerTarget (host search)", "https://api.hackertarget.com"),
		free("otx", "AlienVault OTX (passive DNS)", "https://otx.alienvault.com"),
		free("rapiddns", "RapidDNS (passive DNS)", "https://rapiddns.io"),
		free("subdomaincenter", "Subdomain Center (collected names)", "https://api.subdomain.center"),
		free("urlscan", "urlscan.io (pages)", "https://urlscan.io"),
		free("yahoo", "Yahoo (web search)", "https://search.yahoo.com"),
		keyed("bevigil", "BeVigil (mobile apps)", "https://osint.bevigil.com", "bevigil"),
		keyed("fullhunt", "FullHunt (collected names)", "https://fullhunt.io", "fullhunt"),
		keyed("github-code", "GitHub (code search)", "https://api.github.com", "github"),
		keyed("hunter", "Hunter (e-mail addresses)", "https://api.hunter.io", "hunter"),
		keyed("netlas", "Netlas (collected names)", "https://app.netlas.io", "netlas"),
		keyed("securityTrails", "SecurityTrails (passive DNS)", "https://api.securitytrails.com", "securityTrails"),
		keyed("virustotal", "VirusTotal (passive DNS)", "https://www.virustotal.com", "virustotal"),
	}
}

func sourceList() []engine.Source {
	var out []engine.Source
	for _, s := range sources() {
		out = append(out, s.Source)
	}
	return out
}

func sourceNames() []string {
	var out []string
	for _, s := range sources() {
		out = append(out, s.ID)
	}
	return out
}

// freeNames are the sources that are asked unless others are chosen.
func freeNames() []string {
	return slices.DeleteFunc(sourceNames(), func(name string) bool {
		return name == "yahoo" || slices.ContainsFunc(sources(), func(s source) bool { return s.ID == name && s.key != "" })
	})
}

// Check implements engine.Checker: the program's banner holds its version.
func (Engine) Check(ctx context.Context, env engine.Env) engine.Availability {
	var out bytes.Buffer
	_, err := env.Proc.Launch(ctx, engine.Process{Program: program, Args: []string{"-h"}, Stdout: &head{to: &out}, Network: engine.NetworkNone})
	switch {
	case errors.Is(err, fault.New(fault.Unavailable, fault.CodeEngine, "")):
		return engine.Availability{Reason: manifest().Missing().Text}
	case err != nil:
		return engine.Availability{Reason: "theHarvester can't be started here; the server's log has the cause"}
	}
	version := versionOf(out.String())
	if version == "" {
		return engine.Availability{Reason: "the program theHarvester that was found doesn't answer like theHarvester. " + manifest().Install}
	}
	if !recent(version) {
		return engine.Availability{Version: version, Reason: "this theHarvester is too old; version " + strconv.Itoa(oldest) + " or newer is needed. " + manifest().Install}
	}
	return engine.Availability{Available: true, Version: version}
}

// versionOf reads "* theHarvester 4.8.0 *" of the banner.
func versionOf(banner string) string {
	m := regexp.MustCompile(`(?m)^\*\s+theHarvester v?([0-9][0-9A-Za-z.]{0,30})\s`).FindStringSubmatch(banner)
	if m == nil {
		return ""
	}
	return m[1]
}

func recent(version string) bool {
	major, err := strconv.Atoi(regexp.MustCompile(`^[0-9]+`).FindString(version))
	return err == nil && major >= oldest
}

// head keeps the first 64 KiB.
type head struct{ to *bytes.Buffer }

// Write implements io.Writer and never fails.
func (h *head) Write(p []byte) (int, error) {
	h.to.Write(p[:min(len(p), max(0, 64<<10-h.to.Len()))])
	return len(p), nil
}
