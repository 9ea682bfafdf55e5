package vex

import (
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	packageurl "github.com/package-url/packageurl-go"

	"assay.dev/assay/internal/scan/finding"
	"assay.dev/assay/internal/word/uid"
)

// namespace leads the names that Assay gives to what has no name of its own in VEX: hosts, services and files.
const namespace = "https://assay.dev/ns/"

// place is what a statement is about: a product, and a component within it where there is one. Both are IRIs.
type place struct {
	product   string
	component string // package URL; empty = none
	at        finding.Location
}

// ref names the place as a whole, for formats that know no components within products.
func (p place) ref() string {
	if p.component == "" {
		return p.product
	}
	if p.product == p.component {
		return p.component
	}
	return p.product + "#" + p.component
}

// placeOf names where a finding is.
func placeOf(id uid.Finding, at finding.Location) place {
	p := place{at: at}
	if at.Package != "" {
		p.component = packageOf(at)
	}
	switch {
	case at.Image != "":
		p.product = imageURL(at.Image)
	case at.Host != "" && at.Port != 0:
		p.product = namespace + "host/" + url.PathEscape(at.Host) + "/" + url.PathEscape(at.Protocol) + "/" + strconv.Itoa(at.Port)
	case at.Host != "":
		p.product = namespace + "host/" + url.PathEscape(at.Host)
	case at.File != "":
		p.product = namespace + "file/" + url.PathEscape(at.File)
	case p.component != "":
		p.product = p.component
	default:
		p.product = namespace + "finding/" + string(id)
	}
	return p
}

// packageOf is the package URL of a location's package. Its type is generic where the engine doesn't say.
func packageOf(at finding.Location) string {
	if p, err := packageurl.FromString(at.Package); err == nil && p.Name != "" {
		if p.Version == "" {
			p.Version = at.Version
		}
		return p.ToString()
	}
	return packageurl.NewPackageURL(packageurl.TypeGeneric, "", at.Package, at.Version, nil, "").ToString()
}

// image is the reference of a container image, in parts.
type image struct{ repository, name, tag, digest string }

func parseImage(ref string) image {
	var m image
	ref, m.digest, _ = strings.Cut(ref, "@")
	if slash, colon := strings.LastIndexByte(ref, '/'), strings.LastIndexByte(ref, ':'); colon > slash {
		ref, m.tag = ref[:colon], ref[colon+1:]
	}
	m.repository = ref
	m.name = ref[strings.LastIndexByte(ref, '/')+1:]
	return m
}

// imageURL is an image's package URL (type oci).
func imageURL(ref string) string {
	m := parseImage(ref)
	var q packageurl.Qualifiers
	if m.repository != m.name {
		q = append(q, packageurl.Qualifier{Key: "repository_url", Value: strings.ToLower(m.repository)})
	}
	if m.tag != "" {
		q = append(q, packageurl.Qualifier{Key: "tag", Value: m.tag})
	}
	return packageurl.NewPackageURL(packageurl.TypeOCI, "", strings.ToLower(m.name), m.digest, q, "").ToString()
}

// target is what a document says that a statement is about. Empty fields say nothing; a target that says nothing at
// all names no finding.
type target struct {
	host     string
	port     int
	protocol string
	purl     *packageurl.PackageURL
	file     string
	name     string // a plain name: of a host, package or image
	version  string
}

// parseTarget reads an identifier: one of ours, a package URL, a web address, a host with or without a port, or a name.
func parseTarget(text string) target {
	text = strings.TrimSpace(text)
	if len(text) > 4096 {
		return target{}
	}
	whole, component, two := strings.Cut(text, "#pkg:")
	if two {
		t := parseTarget(whole)
		t.purl = parsePackage("pkg:" + component)
		if t.purl == nil {
			return target{}
		}
		return t
	}
	if strings.HasPrefix(text, "pkg:") {
		return target{purl: parsePackage(text)}
	}
	if rest, ok := strings.CutPrefix(text, namespace); ok {
		return ours(rest)
	}
	if strings.Contains(text, "://") {
		u, err := url.Parse(text)
		if err != nil || u.Hostname() == "" {
			return target{}
		}
		port, _ := strconv.Atoi(u.Port())
		return target{host: finding.CanonicalHost(u.Hostname()), port: port}
	}
	if host, port, err := net.SplitHostPort(text); err == nil {
		if n, err := strconv.Atoi(port); err == nil && host != "" && n > 0 && n < 65536 {
			return target{host: finding.CanonicalHost(host), port: n}
		}
	}
	if a, err := netip.ParseAddr(strings.Trim(text, "[]")); err == nil {
		return target{host: finding.CanonicalHost(a.String())}
	}
	return target{name: text}
}

// ours reads a name that Assay gave.
func ours(rest string) target {
	parts := strings.Split(rest, "/")
	plain := make([]string, len(parts))
	for i, p := range parts {
		var err error
		if plain[i], err = url.PathUnescape(p); err != nil {
			return target{}
		}
	}
	switch {
	case plain[0] == "host" && len(plain) == 2 && plain[1] != "":
		return target{host: plain[1]}
	case plain[0] == "host" && len(plain) == 4 && plain[1] != "":
		port, err := strconv.Atoi(plain[3])
		if err != nil {
			return target{}
		}
		return target{host: plain[1], protocol: plain[2], port: port}
	case plain[0] == "file" && len(plain) == 2 && plain[1] != "":
		return target{file: plain[1]}
	}
	return target{}
}

func parsePackage(text string) *packageurl.PackageURL {
	p, err := packageurl.FromString(text)
	if err != nil || p.Name == "" {
		return nil
	}
	return &p
}

// names reports whether a finding's place is what the target says. Every part that the target gives must fit.
func (t target) names(at finding.Location) bool {
	if t == (target{}) {
		return false
	}
	if t.host != "" && t.host != at.Host || t.port != 0 && t.port != at.Port || t.protocol != "" && t.protocol != at.Protocol {
		return false
	}
	if t.file != "" && t.file != at.File {
		return false
	}
	if t.purl != nil && !samePackage(*t.purl, at) {
		return false
	}
	return t.name == "" || t.named(at)
}

// named compares a plain name with all that a finding's place is called by.
func (t target) named(at finding.Location) bool {
	if t.version != "" && t.version != at.Version {
		return false
	}
	if strings.EqualFold(t.name, at.Package) || t.name == at.Image || finding.CanonicalHost(t.name) == at.Host && at.Host != "" {
		return true
	}
	return at.Package != "" && samePackage(packageurl.PackageURL{Name: t.name}, at)
}

// samePackage compares a package URL with a finding's package or image. A version that isn't given fits every one.
func samePackage(p packageurl.PackageURL, at finding.Location) bool {
	if p.Type == packageurl.TypeOCI || p.Type == packageurl.TypeDocker {
		return sameImage(p, at.Image)
	}
	name, version := at.Package, at.Version
	space := ""
	if own, err := packageurl.FromString(at.Package); err == nil && own.Name != "" {
		name, space = own.Name, own.Namespace
		if own.Version != "" {
			version = own.Version
		}
		if p.Type != "" && p.Type != packageurl.TypeGeneric && p.Type != own.Type {
			return false
		}
	}
	if name == "" || p.Version != "" && p.Version != version {
		return false
	}
	if strings.EqualFold(p.Name, name) {
		return p.Namespace == "" || space == "" || strings.EqualFold(p.Namespace, space)
	}
	// Engines that know no package URLs write "group/name" or "group:name".
	return p.Namespace != "" && (strings.EqualFold(p.Namespace+"/"+p.Name, name) || strings.EqualFold(p.Namespace+":"+p.Name, name))
}

func sameImage(p packageurl.PackageURL, ref string) bool {
	if ref == "" {
		return false
	}
	m := parseImage(ref)
	q := p.Qualifiers.Map()
	if !strings.EqualFold(p.Name, m.name) || q["tag"] != "" && q["tag"] != m.tag {
		return false
	}
	if r := q["repository_url"]; r != "" && !strings.EqualFold(r, m.repository) && !strings.EqualFold(r+"/"+p.Name, m.repository) {
		return false
	}
	if p.Type == packageurl.TypeDocker {
		if p.Namespace != "" && !strings.HasSuffix(strings.ToLower(m.repository), strings.ToLower(p.Namespace+"/"+p.Name)) {
			return false
		}
		return p.Version == "" || p.Version == m.tag || p.Version == m.digest
	}
	return p.Version == "" || m.digest == "" || p.Version == m.digest
}
