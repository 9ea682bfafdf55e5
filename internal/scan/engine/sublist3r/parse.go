package sublist3r

import (
	"bufio"
	"encoding/json"
	"io"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/scan/finding"
)

// ruleSubdomain is told of each name below the domain.
const ruleSubdomain = "sublist3r:subdomain"

// Parse implements engine.Engine. Names that don't lie below the request's domain are passed over, whatever the records
// say. It reports no coverage: that a third party doesn't tell a name any more proves nothing about the name.
func (Engine) Parse(raw io.Reader, req engine.Request, yield func(engine.Item) error) (finding.Coverage, error) {
	names := collect(raw, req.Target.Host())
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if name == req.Target.Host() {
			continue // the target itself
		}
		k := names[name]
		observed := k.asset(name, req.Target.Host())
		if err := yield(engine.Item{Asset: &observed}); err != nil {
			return finding.Coverage{}, err
		}
		found := k.finding(name)
		if err := yield(engine.Item{Finding: &found}); err != nil {
			return finding.Coverage{}, err
		}
	}
	return finding.Coverage{}, nil
}

// known is what is known of one name.
type known struct {
	sources   []string
	state     string // of the DNS check; "" = not made
	addresses []string
}

// collect reads the records line by line. What is no record is passed over; names over maxNames are left out.
func collect(raw io.Reader, domain string) map[string]*known {
	names := map[string]*known{}
	ids := map[string]bool{}
	for _, s := range sources() {
		ids[s.ID] = true
	}
	lines := bufio.NewReaderSize(raw, 64<<10)
	for {
		line, whole, err := readLine(lines)
		var rec record
		if whole && json.Unmarshal(line, &rec) == nil {
			add(names, ids, rec, domain)
		}
		if err != nil {
			return names
		}
	}
}

// readLine returns the next line; whole is false for one that is longer than the buffer, which is passed over.
func readLine(r *bufio.Reader) (line []byte, whole bool, err error) {
	line, err = r.ReadSlice('\n')
	if err != bufio.ErrBufferFull { //nolint:errorlint // ReadSlice returns it as it is
		return line, true, err
	}
	for err == bufio.ErrBufferFull { //nolint:errorlint // as above
		_, err = r.ReadSlice('\n')
	}
	return nil, false, err
}

func add(names map[string]*known, ids map[string]bool, rec record, domain string) {
	name, ok := clean(rec.Name, domain)
	if !ok {
		return
	}
	k := names[name]
	switch rec.Kind {
	case kindName:
		if k == nil {
			if len(names) >= maxNames {
				return
			}
			k = &known{}
			names[name] = k
		}
		if ids[rec.Source] && !slices.Contains(k.sources, rec.Source) {
			k.sources = append(k.sources, rec.Source)
			slices.Sort(k.sources)
		}
	case kindResolved:
		if k == nil || !slices.Contains([]string{dnsKnown, dnsMissing, dnsUnknown, dnsWildcard}, rec.State) {
			return
		}
		k.state, k.addresses = rec.State, nil
		for _, text := range rec.Addresses[:min(len(rec.Addresses), maxAddresses)] {
			if a, err := netip.ParseAddr(text); err == nil && a.Zone() == "" && !slices.Contains(k.addresses, a.String()) {
				k.addresses = append(k.addresses, a.String())
			}
		}
	}
}

// asset is the name as an entry of the inventory. What it is called doesn't depend on the engine, so that every engine
// that finds it finds the same entry.
func (k *known) asset(name, parent string) asset.Observation {
	b, err := json.Marshal(struct {
		Parent    string   `json:"parent"`
		Sources   []string `json:"sources,omitempty"`
		Verified  bool     `json:"verified"`
		Addresses []string `json:"addresses,omitempty"`
	}{parent, k.sources, k.state == dnsKnown, k.addresses})
	if err != nil {
		b = []byte("{}") // texts always marshal
	}
	return asset.Observation{Kind: asset.KindDomain, Name: name, Attributes: b, Source: id}
}

func (k *known) finding(name string) finding.Observation {
	confidence := finding.Tentative
	if k.state == dnsKnown {
		confidence = finding.Certain
	} else if k.state != dnsMissing && len(k.sources) > 1 {
		confidence = finding.Firm
	}
	evidence := "Named by: " + strings.Join(k.sources, ", ") + "."
	if len(k.sources) == 0 {
		evidence = "Named by the program, which didn't say by which source."
	}
	evidence += "\n" + k.said()
	return finding.Observation{
		Rule: ruleSubdomain, Title: finding.Line("Subdomain "+name, finding.MaxTitle),
		Description: "Third parties know this name below the domain. It is part of what can be attacked, also where nobody looks after it any more.",
		Severity:    finding.Info, Confidence: confidence, Category: finding.CategoryExposure,
		Location: finding.Location{Host: name}, Evidence: evidence,
		Remediation: "Check that the name is known and looked after; remove it from the DNS where it isn't needed.",
	}
}

func (k *known) said() string {
	switch k.state {
	case dnsKnown:
		return "Addresses: " + strings.Join(k.addresses, ", ")
	case dnsMissing:
		return "Unverified: the DNS knows no address of it."
	case dnsWildcard:
		return "Unverified: the domain answers for any name (" + strings.Join(k.addresses, ", ") + ")."
	case dnsUnknown:
		return "Unverified: no DNS resolver answered."
	}
	return "Unverified: not looked up in the DNS."
}
