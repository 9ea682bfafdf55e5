package wapiti

import (
	"encoding/base64"
	"encoding/json"
	"net"
	"net/url"
	"slices"
	"strings"

	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/word/fault"
)

// Files of the scratch folder, by which Wapiti is told and tells.
const (
	sessionDir  = "session"
	configDir   = "config"
	reportName  = "report.json"
	cookiesName = "cookies.json"
)

// order is a validated request in Wapiti's terms.
type order struct {
	args    []string // of the command line; every value is a constant, a number, one of our words or a parsed URL
	secret  []string // further arguments, which go by a file
	cookies []byte   // a cookie file; nil = none
	secrets []string // what must not turn up in raw output
}

// newOrder builds the command line.
func newOrder(req engine.Request, proxy string) (order, error) {
	u := req.Target.URL()
	if u == nil {
		return order{}, fault.Wrong("target", "must be a URL")
	}
	opts := req.Options
	o := order{args: append(common(req, proxy),
		"--flush-session",
		"--module="+strings.Join(asked(opts.Set("modules")), ","),
		"--output="+reportName,
		"--level="+number(max(opts.Int("level"), 1)),
		"--depth="+number(opts.Int("depth")),
		"--max-links-per-page="+number(max(opts.Int("maxLinksPerPage"), 1)),
		"--max-files-per-dir="+number(max(opts.Int("maxFilesPerDir"), 1)),
		"--max-parameters="+number(max(opts.Int("maxParameters"), 1)),
		"--max-scan-time="+number(max(opts.Int("maxScanTime"), 1)),
		"--max-attack-time="+number(max(opts.Int("maxAttackTime"), 1)),
		"--scan-force="+opts.Text("scanForce"),
	)}
	if err := o.sign(req.Config, u); err != nil {
		return order{}, err
	}
	return o, nil
}

// common are the arguments of both starts of a run.
func common(req engine.Request, proxy string) []string {
	verify := "0"
	if req.Options.Bool("verifyTLS") {
		verify = "1"
	}
	return []string{
		"--url=" + req.Target.String(), "--scope=" + req.Options.Text("scope"), "--proxy=http://" + proxy + "/",
		"--no-bugreport", "--store-session=" + sessionDir, "--store-config=" + configDir, "--format=json", "--verbose=1",
		"--timeout=" + number(max(req.Options.Int("timeout"), 1)), "--verify-ssl=" + verify,
	}
}

// saving is the command line of the second start, which writes the report of what a stopped run had found. Without a
// module Wapiti would attack; csp asks for one page and finds nothing new.
func saving(req engine.Request, proxy string) []string {
	return append(common(req, proxy), "--skip-crawl", "--module=csp", "--output="+reportName)
}

// asked adds the newer names of modules that were renamed.
func asked(list []string) []string {
	out := slices.Clone(list)
	for _, m := range list {
		if newer := renamed(m); newer != "" {
			out = append(out, newer)
		}
	}
	return out
}

// sign adds what the config says: headers by the file of the shim, cookies by Wapiti's own.
func (o *order) sign(c engine.Config, target *url.URL) error {
	login, err := engine.ParseLogin(c.Authentication)
	if err != nil {
		return err
	}
	o.secrets = login.Secrets()
	jar := login.Cookie
	if c.UserAgent != "" {
		o.args = append(o.args, "--user-agent="+c.UserAgent)
	}
	for _, h := range c.Headers {
		value := strings.TrimSpace(h.Value.Reveal())
		o.secrets = append(o.secrets, value)
		if strings.EqualFold(h.Name, "Cookie") {
			jar = strings.Trim(jar+"; "+value, "; ")
			o.secrets = append(o.secrets, engine.Login{Cookie: value}.Secrets()...)
			continue
		}
		o.secret = append(o.secret, "--header="+h.Name+": "+value)
	}
	switch login.Type {
	case engine.BasicLogin:
		pair := base64.StdEncoding.EncodeToString([]byte(login.Username + ":" + login.Password))
		o.secrets = append(o.secrets, pair)
		o.secret = append(o.secret, "--header=Authorization: Basic "+pair)
	case engine.BearerLogin:
		o.secret = append(o.secret, "--header=Authorization: Bearer "+login.Token)
	case engine.DigestLogin:
		return fault.Wrong("config.authentication", "of type digest is not supported by Wapiti")
	case engine.CookieLogin, engine.NoLogin:
	}
	if jar != "" {
		o.args = append(o.args, "--cookie="+cookiesName)
		o.cookies, err = cookieFile(jar, target.Hostname())
	}
	return err
}

// cookieFile writes "a=b; c=d" in the form of Wapiti's cookie files.
func cookieFile(jar, host string) ([]byte, error) {
	type value struct {
		Value   string `json:"value"`
		Expires *int   `json:"expires"`
		Secure  bool   `json:"secure"`
		Port    *int   `json:"port"`
		Version int    `json:"version"`
	}
	values := map[string]value{}
	for pair := range strings.SplitSeq(jar, ";") {
		if name, v, ok := strings.Cut(strings.TrimSpace(pair), "="); ok {
			values[name] = value{Value: v}
		}
	}
	b, err := json.Marshal(map[string]map[string]map[string]value{cookieDomain(host): {"/": values}})
	if err != nil {
		return nil, fault.New(fault.Internal, fault.CodeInternal, "the cookies can't be written for Wapiti").Because(err)
	}
	return b, nil
}

// cookieDomain names a host as Wapiti's cookie files do: addresses as they are, IPv6 in brackets, names behind a dot,
// those without one of their own below "local".
func cookieDomain(host string) string {
	ip := net.ParseIP(host)
	switch {
	case ip != nil && ip.To4() != nil:
		return host
	case ip != nil:
		return "[" + host + "].local"
	case !strings.Contains(host, "."):
		return "." + host + ".local"
	}
	return "." + host
}
