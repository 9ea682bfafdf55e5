package harvester

import (
	"cmp"
	"encoding/json"
	"io"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/scan/finding"
)

// Rules.
const (
	ruleSubdomain = "harvester:subdomain"
	ruleEmail     = "harvester:email"
	ruleAddress   = "harvester:address"
	ruleURL       = "harvester:url"
	ruleNetwork   = "harvester:network"
)

// Parse implements engine.Engine. What doesn't belong to the request's domain is passed over, whatever the documents
// say. It reports no coverage: that a third party doesn't tell something any more proves nothing.
func (Engine) Parse(raw io.Reader, req engine.Request, yield func(engine.Item) error) (finding.Coverage, error) {
	domain := req.Target.Host()
	for _, i := range collect(raw, domain).items() {
		if i.kind == "host" && i.name == domain {
			continue // the target itself
		}
		if i.kind == "host" {
			observed := i.asset(domain)
			if err := yield(engine.Item{Asset: &observed}); err != nil {
				return finding.Coverage{}, err
			}
		}
		o := i.finding(domain)
		if err := yield(engine.Item{Finding: &o}); err != nil {
			return finding.Coverage{}, err
		}
	}
	return finding.Coverage{}, nil
}

// item is one thing that is known, of all documents together.
type item struct {
	kind, name string
	sources    []string
	addresses  []string
}

// bag gathers items.
type bag struct {
	domain  string
	sources []string
	all     map[string]*item
}

// collect reads all documents. What one of them leaves out another may hold.
func collect(raw io.Reader, domain string) *bag {
	b := &bag{domain: domain, sources: sourceNames(), all: map[string]*item{}}
	walk(raw, func(kind string, doc io.Reader) {
		switch kind {
		case "jsonl":
			readJSONL(doc, b.add)
		case "json":
			readJSON(doc, b.add)
		case "xml":
			readXML(doc, b.add)
		}
	})
	return b
}

// items returns them in a stable order.
func (b *bag) items() []*item {
	out := make([]*item, 0, len(b.all))
	for _, i := range b.all {
		slices.Sort(i.sources)
		slices.Sort(i.addresses)
		out = append(out, i)
	}
	slices.SortFunc(out, func(x, y *item) int {
		return cmp.Or(cmp.Compare(x.kind, y.kind), cmp.Compare(x.name, y.name))
	})
	return out
}

func (b *bag) add(f found) {
	name, address := b.clean(f)
	if name == "" {
		return
	}
	i := b.all[f.kind+"\x00"+name]
	if i == nil {
		if len(b.all) >= maxItems {
			return
		}
		i = &item{kind: f.kind, name: name}
		b.all[f.kind+"\x00"+name] = i
	}
	for _, s := range f.sources {
		if slices.Contains(b.sources, s) && !slices.Contains(i.sources, s) {
			i.sources = append(i.sources, s)
		}
	}
	if a, err := netip.ParseAddr(address); err == nil && a.Zone() == "" && len(i.addresses) < 16 && !slices.Contains(i.addresses, a.Unmap().String()) {
		i.addresses = append(i.addresses, a.Unmap().String())
	}
}

// clean returns the canonical text of what was found, "" where it is nothing or not the domain's, and the address that
// stands behind a name.
func (b *bag) clean(f found) (name, address string) {
	text := strings.TrimSpace(f.value)
	if len(text) > 2048 {
		return "", ""
	}
	switch f.kind {
	case "host":
		text, address, _ = strings.Cut(text, ":")
		name, _ = below(text, b.domain)
	case "ip":
		if a, err := netip.ParseAddr(text); err == nil && a.Zone() == "" {
			name = a.Unmap().String()
		}
	case "email":
		local, host, ok := strings.Cut(strings.ToLower(text), "@")
		host, within := below(host, b.domain)
		if ok && within && len(local) <= 64 && local != "" && strings.Trim(local, "abcdefghijklmnopqrstuvwxyz0123456789.!#$%&'*+/=?^_{|}~-") == "" {
			name = local + "@" + host
		}
	case "url":
		name = b.link(text)
	case "asn":
		if n := strings.TrimPrefix(strings.ToUpper(text), "AS"); n != "" && len(n) <= 10 && strings.Trim(n, "0123456789") == "" {
			name = "AS" + n
		}
	}
	return name, address
}

// link returns a URL of the domain without its query and fragment, which may hold credentials.
func (b *bag) link(text string) string {
	t, err := asset.ParseTarget(text, asset.TypeURL)
	if err != nil {
		return ""
	}
	u := t.URL()
	if _, ok := below(u.Hostname(), b.domain); !ok {
		return ""
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}).String()
}

// below returns a name as DNS writes it, if it lies below the domain or is it. A wildcard stands for the name that it
// hangs on.
func below(text, domain string) (string, bool) {
	name := strings.TrimSuffix(strings.ToLower(strings.TrimSpace(text)), ".")
	for strings.HasPrefix(name, "*.") {
		name = name[2:]
	}
	if domain == "" || len(name) > 253 || name != domain && !strings.HasSuffix(name, "."+domain) {
		return "", false
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return "", false
		}
	}
	return name, true
}

// asset is a name as an entry of the inventory. What it is called doesn't depend on the engine, so that every engine
// that finds it finds the same entry.
func (i *item) asset(parent string) asset.Observation {
	b, err := json.Marshal(struct {
		Parent    string   `json:"parent"`
		Sources   []string `json:"sources,omitempty"`
		Verified  bool     `json:"verified"`
		Addresses []string `json:"addresses,omitempty"`
	}{parent, i.sources, false, i.addresses})
	if err != nil {
		b = []byte("{}") // texts always marshal
	}
	return asset.Observation{Kind: asset.KindDomain, Name: i.name, Attributes: b, Source: id}
}

func (i *item) finding(domain string) finding.Observation {
	o := finding.Observation{
		Severity: finding.Info, Confidence: finding.Tentative, Category: finding.CategoryExposure, Location: finding.Location{Host: domain},
		Discern: i.name, Evidence: i.evidence(),
	}
	if len(i.sources) > 1 {
		o.Confidence = finding.Firm
	}
	switch i.kind {
	case "host":
		o.Rule, o.Title, o.Discern, o.Location = ruleSubdomain, finding.Line("Subdomain "+i.name, finding.MaxTitle), "", finding.Location{Host: i.name}
		o.Description = "Third parties know this name below the domain. It is part of what can be attacked, also where nobody looks after it any more."
		o.Remediation = "Check that the name is known and looked after; remove it from the DNS where it isn't needed."
	case "email":
		o.Rule, o.Title, o.Severity, o.Category, o.CWE = ruleEmail, finding.Line("E-mail address "+i.name+" is public", finding.MaxTitle), finding.Low, finding.CategoryDisclosure, []int{200}
		o.Description = "Third parties tell this e-mail address of the domain. Public addresses are what phishing and password guessing begin with."
		o.Remediation = "Protect the account with a second factor; publish role addresses instead of personal ones where that will do."
	case "ip":
		o.Rule, o.Title = ruleAddress, "Address "+i.name+" is told with the domain"
		o.Description = "Third parties tell this address together with the domain. It may be somebody else's: shared hosting, or a former place."
	case "url":
		o.Rule, o.Title, o.Discern, o.Location = ruleURL, "URL known to third parties", "", finding.Location{URL: i.name}
		o.Description = "Third parties know this URL of the domain."
	case "asn":
		o.Rule, o.Title = ruleNetwork, "Network "+i.name+" is told with the domain"
		o.Description = "Third parties tell this autonomous system together with the domain."
	}
	return o
}

func (i *item) evidence() string {
	text := "Told by theHarvester, which doesn't say by which source."
	if len(i.sources) > 0 {
		text = "Named by: " + strings.Join(i.sources, ", ") + "."
	}
	if len(i.addresses) > 0 {
		text += "\nAddresses told with it: " + strings.Join(i.addresses, ", ")
	}
	if i.kind == "host" {
		text += "\nUnverified: not looked up in the DNS."
	}
	return text
}
