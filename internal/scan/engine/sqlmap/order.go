package sqlmap

import (
	"encoding/base64"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/word/fault"
)

// configName is the configuration file in the scratch folder.
const configName = "sqlmap.conf"

// arguments is the whole command line. --ignore-stdin keeps sqlmap from taking what isn't a terminal for a list of
// targets.
func arguments() []string {
	return []string{"-c", configName, "--batch", "--ignore-stdin", "--disable-coloring"}
}

// answers are given to questions that batch mode would answer otherwise: go on to the next parameter and page after the
// first injection, end when told to, ask for nothing that isn't linked, and stay what we are when something looks like a
// web application firewall.
func answers() string {
	return strings.Join([]string{
		"keep testing=Y", "skip further tests=N", "next target=Q", "how do you want to proceed=Q", "sitemap=N", "automatically bypass=N",
	}, ",")
}

// order is a validated request in sqlmap's terms.
type order struct {
	config  string
	secrets []string // what must not turn up in raw output
	crawls  bool     // sqlmap looks for pages itself, and tests more than one
}

// newOrder writes the configuration. Every value in it is a constant, a number, one of our own words, or a text without
// line breaks; none is read as anything but the value of its key.
func newOrder(req engine.Request, proxy string) (order, error) {
	u := req.Target.URL()
	if u == nil {
		return order{}, fault.Wrong("target", "must be a URL")
	}
	var o order
	depth, forms := reach(req.Options, u.RawQuery != "")
	o.crawls = depth > 0 || forms
	request, secrets, err := headers(req.Config)
	if err != nil {
		return order{}, err
	}
	o.secrets = secrets
	var f file
	f.section("Target", "url", req.Target.String())
	f.section("Request", append(request, "proxy", "http://"+proxy, "timeout", number(max(req.Options.Int("timeout"), 1)),
		"retries", number(req.Options.Int("retries")), "delay", delay(req))...)
	f.section("Optimization", "threads", number(threads(req)))
	f.section("Injection", "dbms", req.Options.Text("dbms"))
	f.section("Detection", "level", number(max(req.Options.Int("level"), 1)), "risk", number(max(req.Options.Int("risk"), 1)))
	f.section("Techniques", "technique", strings.Join(req.Options.Set("techniques"), ""))
	proof := req.Options.Text("proof")
	f.section("Enumeration", "getBanner", truth(proof == proofBanner), "getCurrentUser", truth(proof == proofUser))
	f.section("General", "batch", "True", "flushSession", "True", "freshQueries", "True", "outputDir", "out", "answers", answers(),
		"crawlDepth", number(depth), "forms", truth(forms), "scope", scope(u))
	f.section("Miscellaneous", "disableColoring", "True")
	if f.bad {
		return order{}, fault.New(fault.Internal, fault.CodeInternal, "the order can't be written for sqlmap")
	}
	o.config = f.text.String()
	return o, nil
}

// reach returns how far pages are looked for. A URL with a query names its parameters itself.
func reach(o engine.Options, query bool) (depth int, forms bool) {
	depth, forms = 2, true
	if query {
		depth, forms = 0, false
	}
	if o.Has("crawlDepth") {
		depth = o.Int("crawlDepth")
	}
	if o.Has("forms") {
		forms = o.Bool("forms")
	}
	return depth, forms
}

// scope holds a crawl to the target's own scheme, host and port; sqlmap alone would take any port of the host.
func scope(u *url.URL) string { return "^" + regexp.QuoteMeta(u.Scheme+"://"+u.Host+"/") }

func threads(req engine.Request) int {
	n := max(req.Options.Int("threads"), 1)
	if most := req.Config.MaxParallelism; most > 0 {
		n = min(n, most)
	}
	if rate := req.Config.RateLimit; rate > 0 {
		n = min(n, rate)
	}
	return n
}

// delay returns the pause of each thread between two requests by which a rate is kept.
func delay(req engine.Request) string {
	if req.Config.RateLimit <= 0 {
		return "0"
	}
	return strconv.FormatFloat(float64(threads(req))/float64(req.Config.RateLimit), 'f', 4, 64)
}

// headers returns the keys of section Request for what the config says, and the secrets in it.
func headers(c engine.Config) (keys, secrets []string, err error) {
	login, err := engine.ParseLogin(c.Authentication)
	if err != nil {
		return nil, nil, err
	}
	secrets = login.Secrets()
	var lines []string
	cookie := login.Cookie
	for _, h := range c.Headers {
		value := strings.TrimSpace(h.Value.Reveal())
		if strings.Contains(value, `\n`) || strings.Contains(value, `\r`) {
			return nil, nil, fault.Wrong("config.headers", `holds a value with \n or \r in it, which sqlmap would read as a line break`)
		}
		secrets = append(secrets, value)
		switch strings.ToLower(h.Name) {
		case "cookie":
			cookie = strings.Trim(cookie+"; "+value, "; ")
			secrets = append(secrets, engine.Login{Cookie: value}.Secrets()...)
		case "user-agent":
			c.UserAgent = value
		case "referer":
			keys = append(keys, "referer", value)
		default:
			lines = append(lines, h.Name+": "+value)
		}
	}
	switch login.Type {
	case engine.BasicLogin, engine.DigestLogin:
		keys = append(keys, "authType", string(login.Type), "authCred", login.Username+":"+login.Password)
		secrets = append(secrets, base64.StdEncoding.EncodeToString([]byte(login.Username+":"+login.Password)))
	case engine.BearerLogin:
		lines = append(lines, "Authorization: Bearer "+login.Token)
	case engine.CookieLogin, engine.NoLogin:
	}
	keys = append(keys, "agent", c.UserAgent, "cookie", cookie, "headers", strings.Join(lines, `\n`))
	return keys, secrets, nil
}

// file is an INI file that is being written.
type file struct {
	text strings.Builder
	bad  bool
}

// section writes keys and values in turns; empty values are left out.
func (f *file) section(name string, pairs ...string) {
	f.text.WriteString("[" + name + "]\n")
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] == "" {
			continue
		}
		if strings.ContainsAny(pairs[i+1], "\r\n\x00") {
			f.bad = true // can't be: all texts were parsed
			continue
		}
		f.text.WriteString(pairs[i] + " = " + pairs[i+1] + "\n")
	}
}

func truth(b bool) string {
	if b {
		return "True"
	}
	return "False"
}

func number(n int) string { return strconv.Itoa(n) }

func pathOf(u *url.URL) string {
	if u.Path == "" {
		return "/"
	}
	return u.Path
}
