package nuclei

import (
	"encoding/base64"
	"hash/fnv"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/scan/engine"
)

// Names of files in the scratch folder.
const (
	headerFile = "headers.txt"
	errorFile  = "errors-%d.jsonl"
)

// start is one start of Nuclei.
type start struct {
	protocols []string
	targets   []string // URLs, or addresses with or without a port
	proxy     string   // "127.0.0.1:PORT"; empty for network checks
	headers   bool     // the header file is there
	errors    string   // name of the file for errors
}

// arguments builds the command line. Every value in it is a constant, a number, a word of an option's list, a parsed
// target, or a path of the scratch and template folders; values stand behind "=", so that none can be an option.
func (s start) arguments(env engine.Env, req engine.Request, lib library) []string {
	o := req.Options
	args := []string{
		"-duc", "-ni", "-nc", "-no-stdin", "-nh", "-jsonl", "-ot", "-stats", "-sj", "-si=2",
		"-elog=" + filepath.Join(env.Work, s.errors), "-mp=" + strconv.Itoa(metricsPort(req.Scan)),
		"-pt=" + strings.Join(s.protocols, ","), "-ept=code,file,headless,javascript",
	}
	for _, folder := range lib.folders {
		args = append(args, "-t="+filepath.Join(lib.dir, filepath.FromSlash(folder)))
	}
	for _, t := range s.targets {
		args = append(args, "-u="+t)
	}
	if !o.Bool("includeRequestResponse") {
		args = append(args, "-or")
	}
	if !o.Bool("includeIntrusive") {
		args = append(args, "-etags="+strings.Join(unwanted(), ","))
	}
	if set := o.Set("severities"); len(set) > 0 {
		args = append(args, "-s="+strings.Join(set, ","))
	}
	if s.headers {
		args = append(args, "-H="+filepath.Join(env.Work, headerFile))
	}
	if s.proxy != "" {
		args = append(args, "-proxy=http://"+s.proxy)
	}
	return append(args, pace(req)...)
}

func pace(req engine.Request) []string {
	o := req.Options
	args := []string{
		"-rl=" + strconv.Itoa(lower(o.Int("rateLimit"), req.Config.RateLimit)),
		"-c=" + strconv.Itoa(min(lower(o.Int("concurrency"), req.Config.MaxParallelism), 100)),
		"-timeout=" + strconv.Itoa(max(o.Int("timeout"), 1)), "-retries=" + strconv.Itoa(o.Int("retries")),
		"-mhe=" + strconv.Itoa(max(o.Int("maxHostError"), 1)),
	}
	if o.Bool("followRedirects") {
		args = append(args, "-fr", "-mr="+strconv.Itoa(o.Int("maxRedirects")))
	}
	if o.Bool("stopAtFirstMatch") {
		args = append(args, "-spm")
	}
	if v := o.Text("scanStrategy"); v != "" && v != "auto" {
		args = append(args, "-ss="+v)
	}
	return args
}

// lower returns the lower of two bounds, of which 0 is none.
func lower(a, b int) int {
	if a == 0 || b == 0 {
		return max(a, b, 1)
	}
	return min(a, b)
}

// metricsPort is where Nuclei serves its counters, which it does without being asked: another port for each scan where
// programs share the host's network.
func metricsPort(scan string) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(scan)) // never fails
	return 20_000 + int(h.Sum32()%20_000)
}

// place is one web server to look at.
type place struct {
	url string
	at  string // "host:port", what is dialled
}

// places are the web servers that a target may have: its URL's, or those at the usual ports.
func places(req engine.Request) []place {
	if u := req.Target.URL(); u != nil {
		return []place{{url: u.String(), at: net.JoinHostPort(u.Hostname(), strconv.Itoa(req.Target.Port()))}}
	}
	var out []place
	for _, p := range []struct {
		scheme string
		port   uint16
	}{{"https", 443}, {"http", 80}} {
		name := hostOf(req.Target)
		if spared(req, p.port) {
			continue
		}
		out = append(out, place{url: p.scheme + "://" + bracketed(name) + "/", at: net.JoinHostPort(name, strconv.Itoa(int(p.port)))})
	}
	return out
}

// hostOf is the target's name or address.
func hostOf(t asset.Target) string {
	if a := t.Addr(); a.IsValid() {
		return a.String()
	}
	return t.Host()
}

func bracketed(host string) string {
	if strings.Contains(host, ":") {
		return "[" + host + "]"
	}
	return host
}

// spared reports whether the port is a listener of this server on one of the target's addresses.
func spared(req engine.Request, port uint16) bool {
	return slices.ContainsFunc(addresses(req), func(a netip.Addr) bool { return req.Spares(netip.AddrPortFrom(a, port)) })
}

func addresses(req engine.Request) []netip.Addr {
	var out []netip.Addr
	for _, a := range req.Addrs {
		if a.IsValid() && a.Zone() == "" {
			out = append(out, a.Unmap())
		}
	}
	if a := req.Target.Addr(); a.IsValid() && len(out) == 0 {
		out = append(out, a)
	}
	return out
}

// hosts are what network checks are given: addresses, never names, with the URL's port where there is one.
func hosts(req engine.Request) []string {
	var out []string
	for _, a := range addresses(req) {
		if port := req.Target.Port(); port != 0 {
			out = append(out, netip.AddrPortFrom(a, uint16(port)).String()) //nolint:gosec // ParseTarget holds ports within 1–65535
			continue
		}
		out = append(out, a.String())
	}
	return out
}

// headers returns the lines of the header file.
func headers(c engine.Config, login engine.Login) []string {
	var out []string
	for _, h := range c.Headers {
		out = append(out, h.Name+": "+h.Value.Reveal())
	}
	if c.UserAgent != "" {
		out = append(out, "User-Agent: "+c.UserAgent)
	}
	switch login.Type {
	case engine.BasicLogin:
		out = append(out, "Authorization: Basic "+base64.StdEncoding.EncodeToString([]byte(login.Username+":"+login.Password)))
	case engine.BearerLogin:
		out = append(out, "Authorization: Bearer "+login.Token)
	case engine.CookieLogin:
		out = append(out, "Cookie: "+login.Cookie)
	case engine.NoLogin, engine.DigestLogin:
	}
	return out
}

// secrets are the values of the config that must not stay in what Nuclei prints.
func secrets(c engine.Config, login engine.Login) []string {
	out := login.Secrets()
	for _, h := range c.Headers {
		out = append(out, h.Value.Reveal())
	}
	if login.Type == engine.BasicLogin {
		out = append(out, base64.StdEncoding.EncodeToString([]byte(login.Username+":"+login.Password)))
	}
	return slices.DeleteFunc(out, func(s string) bool { return len(s) < 4 })
}
