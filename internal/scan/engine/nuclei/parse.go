package nuclei

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"io"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/scan/finding"
)

// Bounds of what is told of one run and shown of one match.
const (
	maxTold     = 200_000
	maxExtracts = 20
	maxExtract  = 200     // bytes
	maxMessage  = 2 << 10 // bytes of a request, and of an answer
)

// Parse implements engine.Engine. Each weakness is told once. The coverage of the output alone is empty: which templates
// were used is known to the run.
func (Engine) Parse(raw io.Reader, req engine.Request, yield func(engine.Item) error) (finding.Coverage, error) {
	p := parser{req: req, addrs: addresses(req), yield: yield, told: map[[16]byte]bool{}}
	return finding.Coverage{}, read(raw, p.record)
}

type parser struct {
	req   engine.Request
	addrs []netip.Addr
	yield func(engine.Item) error
	told  map[[16]byte]bool
}

// record tells one match. Lines with a matcher-status of false say that something is not there.
func (p *parser) record(r *record) error {
	name := engine.Clip(r.Template, 80)
	if name == "" || r.Status != nil && !*r.Status || len(p.told) >= maxTold {
		return nil
	}
	at, ok := p.locate(r)
	if !ok {
		return nil
	}
	o := finding.Observation{
		Rule: id + ":" + name, Discern: r.discern(), Title: r.title(name), Description: engine.Prose(r.Info.Description+"\n"+r.Info.Impact, finding.MaxDescription),
		Severity: severity(r.Info.Severity), Confidence: finding.Firm, Category: r.category(), CVE: r.cves(), CWE: r.cwes(), CVSS: r.cvss(),
		Location: at, Evidence: r.evidence(), Remediation: engine.Prose(r.Info.Remediation, finding.MaxRemediation), References: links(r.Info.Reference),
	}
	key := fmt.Sprintf("%s\x00%s\x00%s\x00%d\x00%s\x00%s\x00%s", o.Rule, o.Discern, at.Host, at.Port, at.Protocol, at.URL, at.Parameter)
	sum := sha256.Sum256([]byte(key))
	if short := [16]byte(sum[:16]); !p.told[short] {
		p.told[short] = true
		return p.yield(engine.Item{Finding: &o})
	}
	return nil
}

// locate says where a match is; ok is false for places that the scan didn't ask for, such as the end of a redirect.
func (p *parser) locate(r *record) (at finding.Location, ok bool) {
	if r.Type == protoHTTP {
		return p.locateURL(cmp.Or(r.Matched, r.URL), r.Parameter)
	}
	host, port, err := net.SplitHostPort(cmp.Or(r.Matched, r.Host+":"+r.Port))
	if err != nil {
		host, port = r.Host, r.Port
	}
	if at.Host, ok = p.asked(host); !ok {
		return at, false
	}
	if n, err := strconv.ParseUint(port, 10, 16); err == nil && n > 0 {
		at.Port, at.Protocol = int(n), "tcp"
	}
	return at, true
}

// locateURL keeps of a URL what doesn't change from run to run: templates put fresh values into queries.
func (p *parser) locateURL(text, parameter string) (at finding.Location, ok bool) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return at, false
	}
	if at.Host, ok = p.asked(u.Hostname()); !ok {
		return at, false
	}
	at.Protocol, at.Port = "tcp", 80
	if u.Scheme == "https" {
		at.Port = 443
	}
	if n, err := strconv.ParseUint(u.Port(), 10, 16); err == nil && n > 0 {
		at.Port = int(n)
	}
	names := slices.Sorted(maps.Keys(u.Query()))
	for i := range names {
		names[i] = engine.Clip(names[i], 40)
	}
	at.Parameter = engine.Clip(cmp.Or(parameter, strings.Join(names[:min(len(names), 6)], ",")), 200)
	clean := url.URL{Scheme: u.Scheme, Host: u.Host, Path: engine.Prefix(u.Path, 1024), RawPath: ""}
	if clean.Path == "" {
		clean.Path = "/"
	}
	at.URL = clean.String()
	return at, true
}

// asked reports whether the host is the target's and returns it as the target was given.
func (p *parser) asked(host string) (string, bool) {
	host = finding.CanonicalHost(host)
	own := hostOf(p.req.Target)
	if host == finding.CanonicalHost(own) {
		return own, true
	}
	if a, err := netip.ParseAddr(host); err == nil && slices.Contains(p.addrs, a.Unmap()) {
		return own, true
	}
	return "", false
}

// discern tells matches of one template apart: by the matcher, and by the extractor where that has a name, too.
func (r *record) discern() string {
	return engine.Clip(strings.Trim(r.Matcher+" "+r.Extractor, " "), 200)
}

func (r *record) title(name string) string {
	title := engine.Clip(cmp.Or(r.Info.Name, name), 200)
	if m := engine.Clip(r.Matcher, 40); m != "" {
		title += " (" + m + ")"
	}
	return title
}

// evidence is where it matched and what was found, without values that are secrets by the template's own word.
func (r *record) evidence() string {
	var b strings.Builder
	b.WriteString("Matched at " + engine.Clip(cmp.Or(r.Matched, r.URL, r.Host), 500))
	if n := len(r.Extracted); n > 0 {
		if r.sensitive() {
			b.WriteString("\nExtracted: " + strconv.Itoa(n) + " values that look like secrets; they are in the raw output only.")
		} else {
			for _, x := range r.Extracted[:min(n, maxExtracts)] {
				b.WriteString("\nExtracted: " + engine.Clip(x, maxExtract))
			}
		}
	}
	if names := slices.Sorted(maps.Keys(r.Meta)); len(names) > 0 {
		b.WriteString("\nThe template's values of " + engine.Clip(strings.Join(names[:min(len(names), 10)], ", "), 200) + " matched.")
	}
	if !r.sensitive() {
		b.WriteString(message("Request", r.Request) + message("Answer", r.Response))
	}
	return engine.Prose(b.String(), finding.MaxEvidence)
}

// message is the beginning of a request or an answer, without the headers that carry credentials.
func message(what, text string) string {
	if text == "" {
		return ""
	}
	var b strings.Builder
	b.Grow(min(len(text), maxMessage) + len(what) + 8)
	b.WriteString("\n\n" + what + ":")
	inHead := true
	for line := range strings.Lines(engine.Prefix(text, maxMessage)) {
		line = strings.TrimRight(line, "\r\n")
		if inHead = inHead && line != ""; inHead && carries(line) {
			line = line[:strings.IndexByte(line, ':')] + ": ********"
		}
		b.WriteByte('\n')
		b.WriteString(line)
	}
	return b.String()
}

// carries reports whether a header's line holds credentials.
func carries(line string) bool {
	name, _, ok := strings.Cut(line, ":")
	return ok && slices.ContainsFunc([]string{"authorization", "proxy-authorization", "cookie", "set-cookie"}, func(h string) bool {
		return strings.EqualFold(h, strings.TrimSpace(name))
	})
}

// sensitive reports whether what the template extracts or tries is a secret.
func (r *record) sensitive() bool {
	return slices.ContainsFunc(r.Info.Tags, func(tag string) bool {
		switch strings.ToLower(strings.TrimSpace(tag)) {
		case "token", "tokens", "keys", "key", "secret", "secrets", "credential", "credentials", "default-login", "password":
			return true
		}
		return false
	})
}
