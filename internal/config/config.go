// Package config is how a server is set up: one struct, read from defaults, a file, the environment and flags, in
// rising order. Unknown keys are fatal, because a mistyped setting that is silently ignored is a security hole.
//
// The zero file is usable: every setting has a default that is safe on a laptop. The package reads and checks; it
// opens nothing and starts nothing. Start with Config; every key's help is its field's tag.
package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// EnvPrefix begins the name of every environment variable that sets a key: `rate_limit_ceiling` is
// ASSAY_RATE_LIMIT_CEILING.
const EnvPrefix = "ASSAY_"

// Config are all settings of one process. Field tags: `koanf` is the key, `help` its line in the reference.
type Config struct {
	Data     string `koanf:"data" help:"folder of the embedded database, keys, artifacts and scratch space (created with mode 0700)"`
	Listen   string `koanf:"listen" help:"address to serve on; without a certificate that is plain HTTP, which is served on loopback or behind a declared TLS proxy only"`
	Database string `koanf:"database" help:"PostgreSQL connection string (postgres://…); empty = SQLite inside the data folder"`

	Roles   []string `koanf:"roles" help:"what this process does: api, worker, scheduler"`
	Workers int      `koanf:"workers" help:"scans that this process runs at once"`

	MasterKeyFile string `koanf:"master_key_file" help:"file with the 32-byte master key that seals secrets at rest; empty = DIR/keys/master.key, made on first start"`

	BehindTLSProxy bool     `koanf:"behind_tls_proxy" help:"a TLS-terminating proxy stands in front: plain HTTP may be served off loopback"`
	TrustedProxies []string `koanf:"trusted_proxies" help:"networks whose X-Forwarded-For is believed"`
	PublicURL      string   `koanf:"public_url" help:"address under which users reach the server; empty = LISTEN, or the first ACME domain"`
	CORSOrigins    []string `koanf:"cors_origins" help:"origins that browsers may call the API from; empty = none"`

	TLSCert             string   `koanf:"tls_cert" help:"file with the server's certificate chain (PEM, leaf first); followed when it changes, and on SIGHUP"`
	TLSKey              string   `koanf:"tls_key" help:"file with its private key (PEM), readable by the owner and at most the group"`
	TLSPQOnly           bool     `koanf:"tls_pq_only" help:"refuse clients without the post-quantum key exchange X25519MLKEM768"`
	TLSACMEDomains      []string `koanf:"tls_acme_domains" help:"names for which a certificate is got by ACME instead of from files; naming them agrees to the authority's terms"`
	TLSACMEDirectory    string   `koanf:"tls_acme_directory" help:"the certificate authority's ACME directory"`
	TLSACMEEmail        string   `koanf:"tls_acme_email" help:"where the authority may write to"`
	TLSACMECA           string   `koanf:"tls_acme_ca" help:"file with the root (PEM) that a private directory's own certificate hangs on; empty = the system's roots"`
	TLSACMEChallenge    string   `koanf:"tls_acme_challenge" help:"how control is proved: tls-alpn-01 (the authority reaches port 443) or http-01 (port 80)"`
	TLSACMEHTTPListen   string   `koanf:"tls_acme_http_listen" help:"address for http-01; everything else there is sent to https"`
	TLSACMEAccountKeyID string   `koanf:"tls_acme_account_key_id" help:"external account binding: the key id that the authority gave"`
	TLSACMEAccountMAC   string   `koanf:"tls_acme_account_mac_file" help:"external account binding: file with the MAC key (base64url)"`

	EgressAllow      []string `koanf:"egress_allow" help:"networks that the server's own clients (the trace collector, receivers) may reach although they are private or speak plain HTTP"`
	RateLimitCeiling int      `koanf:"rate_limit_ceiling" help:"multiplies the documented maxima of rate-limit windows; 0 = keys that init or the operator creates have no windows"`

	EnginePath      []string `koanf:"engine_path" help:"folders in which scan engines' programs are looked up"`
	Sandbox         string   `koanf:"sandbox" help:"confinement of engines' programs: best (as far as this machine allows; assay doctor tells how far), require (start none where a part is missing) or off"`
	SandboxHelper   string   `koanf:"sandbox_helper" help:"path of the program assay-sandbox; empty = beside assay"`
	SandboxUser     int      `koanf:"sandbox_user" help:"number of the user and group that engines' programs run as where the server is root"`
	Runtime         string   `koanf:"container_runtime" help:"docker or podman, for the engines of container_engines; empty = none"`
	InContainers    []string `koanf:"container_engines" help:"ids of engines that run in containers, by the image of their recipe, which must have been pulled by its digest; empty = none"`
	Resolvers       []string `koanf:"resolvers" help:"DNS servers that scans ask for addresses and records, as IP or IP:port; empty = the system's"`
	SourceMirrors   []string `koanf:"source_mirrors" help:"other addresses for the third parties that engines ask, each NAME=URL with a name of GET /engines; egress_allow decides whether they may be private"`
	SourceKeys      string   `koanf:"source_keys" help:"folder with the keys of third parties that want one, each in a file of the source's name, readable by its owner only; empty = none"`
	TrivyDB         string   `koanf:"trivy_db" help:"folder with Trivy's vulnerability database (what trivy --cache-dir FOLDER image --download-db-only fills); empty = trivy in the cache folder of the user who runs the server"`
	NucleiTemplates string   `koanf:"nuclei_templates" help:"folder with Nuclei templates; its folders are the sets that scans choose among; empty = nuclei-templates in the home folder of the user who runs the server"`
	FilesystemRoot  string   `koanf:"filesystem_root" help:"folder below which filesystem targets may lie; empty = filesystem targets are refused"`

	ShutdownTimeout time.Duration `koanf:"shutdown_timeout" help:"how long a stop waits for requests and scans before scans are given back to the line"`
	EventRetention  time.Duration `koanf:"event_retention" help:"how long live events are kept for streams that resume"`

	LogLevel  string `koanf:"log_level" help:"debug, info, warn or error"`
	LogFormat string `koanf:"log_format" help:"text or json"`
	OTLP      string `koanf:"otlp_endpoint" help:"OpenTelemetry collector for traces (http://HOST:4318, its network named in egress_allow); empty = no traces"`
}

// Default returns the settings of a server that nobody configured.
func Default() Config {
	return Config{
		Data:             "assay-data",
		Listen:           "127.0.0.1:8080",
		Roles:            []string{"api", "worker", "scheduler"},
		Workers:          8,
		RateLimitCeiling: 1,

		TLSACMEDirectory:  "https://acme-v02.api.letsencrypt.org/directory",
		TLSACMEChallenge:  ChallengeTLS,
		TLSACMEHTTPListen: ":80",

		EnginePath:      []string{"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"},
		Sandbox:         SandboxBest,
		SandboxUser:     65534,
		ShutdownTimeout: 20 * time.Second,
		EventRetention:  24 * time.Hour,
		LogLevel:        "info",
		LogFormat:       "text",
	}
}

// Check says everything that is wrong, one error a key, each with what to do.
func (c Config) Check() error {
	var errs []error
	bad := func(key, format string, args ...any) {
		errs = append(errs, fmt.Errorf("%s: %s", key, fmt.Sprintf(format, args...)))
	}
	if c.Data == "" {
		bad("data", "must name a folder")
	}
	c.checkListen(bad)
	c.checkTLS(bad)
	if c.Database != "" {
		if u, err := url.Parse(c.Database); err != nil || (u.Scheme != "postgres" && u.Scheme != "postgresql") {
			bad("database", "must begin with postgres://")
		}
	}
	for _, r := range c.Roles {
		if !slices.Contains([]string{"api", "worker", "scheduler"}, r) {
			bad("roles", "knows api, worker and scheduler")
		}
	}
	if len(c.Roles) == 0 {
		bad("roles", "must name at least one role")
	}
	if c.Workers < 1 || c.Workers > 256 {
		bad("workers", "must lie within 1–256")
	}
	if c.RateLimitCeiling < 0 || c.RateLimitCeiling > 1000 {
		bad("rate_limit_ceiling", "must lie within 0–1000")
	}
	for _, key := range []struct {
		name   string
		values []string
	}{{"trusted_proxies", c.TrustedProxies}, {"egress_allow", c.EgressAllow}} {
		if _, err := Prefixes(key.values); err != nil {
			bad(key.name, "%v", err)
		}
	}
	for _, p := range c.EnginePath {
		if !filepath.IsAbs(p) {
			bad("engine_path", "must hold absolute folders")
		}
	}
	c.checkSandbox(bad)
	if _, err := ResolverAddresses(c.Resolvers); err != nil {
		bad("resolvers", "%v", err)
	}
	if _, err := Mirrors(c.SourceMirrors); err != nil {
		bad("source_mirrors", "%v", err)
	}
	if c.SourceKeys != "" && !filepath.IsAbs(c.SourceKeys) {
		bad("source_keys", "must be an absolute folder")
	}
	for key, dir := range map[string]string{"filesystem_root": c.FilesystemRoot, "trivy_db": c.TrivyDB, "nuclei_templates": c.NucleiTemplates} {
		if dir != "" && !filepath.IsAbs(dir) {
			bad(key, "must be an absolute folder")
		}
	}
	if c.ShutdownTimeout < time.Second || c.ShutdownTimeout > time.Hour {
		bad("shutdown_timeout", "must lie within 1s–1h")
	}
	if c.EventRetention < time.Hour {
		bad("event_retention", "must be at least 1h")
	}
	c.checkCollector(bad)
	if !slices.Contains([]string{"debug", "info", "warn", "error"}, c.LogLevel) {
		bad("log_level", "must be debug, info, warn or error")
	}
	if !slices.Contains([]string{"text", "json"}, c.LogFormat) {
		bad("log_format", "must be text or json")
	}
	return errors.Join(errs...)
}

// Values of the setting sandbox.
const (
	SandboxBest    = "best"
	SandboxRequire = "require"
	SandboxOff     = "off"
)

func (c Config) checkSandbox(bad func(key, format string, args ...any)) {
	if !slices.Contains([]string{SandboxBest, SandboxRequire, SandboxOff}, c.Sandbox) {
		bad("sandbox", "must be best, require or off")
	}
	if c.SandboxHelper != "" && !filepath.IsAbs(c.SandboxHelper) {
		bad("sandbox_helper", "must be an absolute path")
	}
	if !slices.Contains([]string{"", "docker", "podman"}, c.Runtime) {
		bad("container_runtime", "must be docker or podman")
	}
	if c.Runtime == "" && len(c.InContainers) > 0 {
		bad("container_engines", "needs container_runtime")
	}
	if c.SandboxUser < 1 || c.SandboxUser >= 1<<31 {
		bad("sandbox_user", "must be the number of a user that isn't root")
	}
}

// checkCollector finds a trace collector that egress would refuse, so that nobody waits for traces that never come.
func (c Config) checkCollector(bad func(key, format string, args ...any)) {
	if c.OTLP == "" {
		return
	}
	u, err := url.Parse(c.OTLP)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		bad("otlp_endpoint", "must be an http or https address such as http://127.0.0.1:4318")
		return
	}
	addr, err := netip.ParseAddr(u.Hostname())
	if err != nil {
		return // a name; egress decides on what it resolves to
	}
	allow, err := Prefixes(c.EgressAllow)
	if err != nil {
		return // told above
	}
	allowed := slices.ContainsFunc(allow, func(p netip.Prefix) bool { return p.Contains(addr.Unmap()) })
	if !allowed && (u.Scheme == "http" || addr.IsPrivate() || addr.IsLoopback()) {
		bad("otlp_endpoint", "is plain HTTP or a private address; name its network in egress_allow")
	}
}

func (c Config) checkListen(bad func(key, format string, args ...any)) {
	host, _, err := net.SplitHostPort(c.Listen)
	if err != nil {
		bad("listen", "must be HOST:PORT, such as 127.0.0.1:8080")
		return
	}
	if c.BehindTLSProxy || c.TLS() {
		return
	}
	addr, err := netip.ParseAddr(host)
	if host != "localhost" && (err != nil || !addr.IsLoopback()) {
		bad("listen", "plain HTTP is served on a loopback address only; give the server a certificate (tls_cert and tls_key, or tls_acme_domains; "+
			"`assay tls self-signed` makes one to try), listen on 127.0.0.1, or put a TLS proxy in front and set behind_tls_proxy")
	}
}

// Has reports whether this process has the role.
func (c Config) Has(role string) bool { return slices.Contains(c.Roles, role) }

// URL returns the address under which users reach the server.
func (c Config) URL() string {
	if c.PublicURL != "" {
		return strings.TrimSuffix(c.PublicURL, "/")
	}
	if len(c.TLSACMEDomains) > 0 {
		return "https://" + withPort(c.TLSACMEDomains[0], c.Listen)
	}
	if c.TLS() {
		return "https://" + c.Listen
	}
	return "http://" + c.Listen
}

// Prefixes parses networks and single addresses.
func Prefixes(values []string) ([]netip.Prefix, error) {
	out := make([]netip.Prefix, 0, len(values))
	for _, v := range values {
		if a, err := netip.ParseAddr(v); err == nil {
			out = append(out, netip.PrefixFrom(a, a.BitLen()))
			continue
		}
		p, err := netip.ParsePrefix(v)
		if err != nil {
			return nil, errors.New("must hold networks such as 192.0.2.0/24 or single addresses")
		}
		out = append(out, p.Masked())
	}
	return out, nil
}
