package trivy

import (
	"slices"
	"strconv"
	"strings"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/scan/engine"
)

// cacheName is the private cache folder within the scratch folder. Trivy opens its database for writing and locks it,
// so that each run has a copy of its own.
const cacheName = "cache"

// plan is one start of Trivy.
type plan struct {
	scanners []string
	cache    string // absolute path of the private cache folder
	target   string // the folder's path or the image's reference
	image    bool
	noJava   bool // leave Java archives out: there is no database for them
	options  engine.Options
}

// arguments builds the command line. Every value in it is a constant, a number, a word of an option's list, the
// folder's path or the parsed reference, which stand behind "--".
func (p plan) arguments() []string {
	args := []string{"fs"}
	if p.image {
		args = []string{"image", "--image-src", "remote"}
	}
	args = append(args,
		"--cache-dir", p.cache, "--cache-backend", "memory", "--scanners", strings.Join(p.scanners, ","),
		"--skip-db-update", "--skip-java-db-update", "--skip-check-update", "--offline-scan", "--no-progress",
		"--format", "json", "--timeout", "24h")
	o := p.options
	args = append(args, "--parallel", strconv.Itoa(max(o.Int("parallel"), 1)))
	if o.Bool("listAllPackages") {
		args = append(args, "--list-all-pkgs")
	}
	args = append(args, p.choices(o)...)
	if p.image {
		if inside := slices.DeleteFunc(slices.Clone(p.scanners), func(s string) bool { return s != scanMisconfig && s != scanSecret }); len(inside) > 0 {
			args = append(args, "--image-config-scanners", strings.Join(inside, ","))
		}
		if v := o.Text("imagePlatform"); v != "" {
			args = append(args, "--platform", v)
		}
		if p.noJava {
			args = append(args, "--skip-files", "**/*.jar,**/*.war,**/*.ear,**/*.par")
		}
	}
	return append(args, "--", p.target)
}

// choices are the flags of options that only count for some of the scanners.
func (p plan) choices(o engine.Options) []string {
	var args []string
	if set := o.Set("severity"); len(set) > 0 {
		args = append(args, "--severity", strings.Join(set, ","))
	}
	if set := o.Set("pkgTypes"); len(set) > 0 {
		args = append(args, "--pkg-types", strings.Join(set, ","))
	}
	if slices.Contains(p.scanners, scanVuln) {
		if o.Bool("ignoreUnfixed") {
			args = append(args, "--ignore-unfixed")
		}
		if v := o.Text("detectionPriority"); v != "" {
			args = append(args, "--detection-priority", v)
		}
	}
	if o.Bool("includeDevDeps") && !p.image {
		args = append(args, "--include-dev-deps")
	}
	if set := o.Set("misconfigScanners"); len(set) > 0 && slices.Contains(p.scanners, scanMisconfig) {
		args = append(args, "--misconfig-scanners", strings.Join(set, ","))
	}
	if slices.Contains(p.scanners, scanMisconfig) {
		args = append(args, "--tf-exclude-downloaded-modules")
	}
	if o.Bool("licenseFull") && slices.Contains(p.scanners, scanLicense) {
		args = append(args, "--license-full")
	}
	return args
}

// environment is what every start gets: newer releases would ask for updates and report usage.
func environment() []string {
	return []string{
		"TRIVY_DISABLE_TELEMETRY=true", "TRIVY_SKIP_VERSION_CHECK=true", "TRIVY_SKIP_VEX_REPO_UPDATE=true",
		"GOMEMLIMIT=2GiB", "NO_COLOR=1",
	}
}

// proxied is the environment of a start that reaches a registry through the run's proxy.
func proxied(addr string) []string {
	at := "http://" + addr
	return append(environment(), "HTTPS_PROXY="+at, "HTTP_PROXY="+at, "NO_PROXY=")
}

// reference returns the image's reference as Trivy is given it. Go programs never use a proxy for loopback addresses, so
// that a registry there goes by the name that the run's proxy knows the target under, and which clients speak plain
// HTTP to, as they do to loopback.
func reference(t asset.Target) string {
	text := t.String()
	registry, rest, ok := strings.Cut(text, "/")
	if !ok || !loopback(t) {
		return text
	}
	if i := strings.LastIndexByte(registry, ':'); i >= 0 && !strings.HasSuffix(registry, "]") {
		return engine.LoopbackName + registry[i:] + "/" + rest
	}
	return engine.LoopbackName + "/" + rest
}

// loopback reports whether the image's registry is on this machine's loopback interface.
func loopback(t asset.Target) bool {
	return t.Type() == asset.TypeImage && (t.Host() == "localhost" || t.Addr().IsLoopback())
}
