package correlation

import (
	"net"
	"slices"
	"strconv"
	"strings"

	"assay.dev/assay/internal/scan/finding"
)

// Kind is the kind of evidence by which findings belong together.
type Kind string

// Kinds, the strongest first. A finding is tied by the first that fits it, and by no other.
const (
	// KindSecret is one secret, by its keyed fingerprint, wherever it lies: changing it mends all places.
	KindSecret Kind = "secret"
	// KindCertificate is one certificate on one asset with one kind of flaw.
	KindCertificate Kind = "certificate"
	// KindAdvisory is overlapping CVE, GHSA or other ids of single flaws in one package, or one service, of one asset.
	KindAdvisory Kind = "advisory"
	// KindWeakness is one kind of flaw (CWE family or topic) at one logical place of one asset.
	KindWeakness Kind = "weakness"
	// KindAlone has nothing that could tie it to another.
	KindAlone Kind = "alone"
)

// Tie is what may tie a finding to others: findings with the same bucket belong together as far as their marks overlap
// (see partition).
type Tie struct {
	Kind   Kind
	Bucket string   // "c3:" + hex
	Marks  []string // sorted, at least one
	Asset  string
	Host   string // the asset as the finding calls it
	Place  string // for people
}

// TieOf returns what may tie m to others.
func TieOf(m Member, aliases Aliases) Tie {
	at := m.Location.Spot()
	t := Tie{Host: at.Host}
	if at.Host != "" {
		t.Asset = aliases.Asset(at.Host)
	}
	if at.Image != "" && t.Asset == "" {
		t.Asset, t.Host = at.Image, at.Image
	}
	topic := topicOf(m.Observation)
	switch {
	case m.Secret != "":
		t.Asset, t.Place = "", "any place that holds it"
		return t.tie(KindSecret, []string{m.Secret}, m.Secret)
	case m.Certificate() != "" && (topic != "" || len(m.CWE) > 0):
		t.Place = t.Asset
		return t.tie(KindCertificate, flaw(topic, m.CWE), t.Asset, m.Certificate())
	}
	if ids := advisories(m.Observation); len(ids) > 0 {
		return t.advisory(at, ids)
	}
	return t.weakness(m, at, topic)
}

// keyLength is how much of a hash a key keeps: two that meet by chance make a scene larger, and change nothing else.
const keyLength = 16

// KeysOf returns what must be looked up to find whatever may be one case with m: one key for each mark at its place,
// sorted. None where nothing ties it to others.
func KeysOf(m Member, aliases Aliases) []string {
	t := TieOf(m, aliases)
	if t.Kind == KindAlone {
		return nil
	}
	keys := make([]string, len(t.Marks))
	for i, mark := range t.Marks {
		_, sum, _ := strings.Cut(finding.Hash(Scheme, t.Bucket, mark), ":")
		keys[i] = sum[:keyLength]
	}
	slices.Sort(keys)
	return keys
}

// tie completes t: parts name its bucket within its kind.
func (t Tie) tie(kind Kind, marks []string, parts ...string) Tie {
	t.Kind, t.Marks = kind, marks
	t.Bucket = finding.Hash(Scheme, append([]string{string(kind)}, parts...)...)
	return t
}

// alone is a bucket that no other finding is in: of an engine's weakness identity.
func (t Tie) alone(m Member) Tie {
	t.Place = placeText(t.Asset, m.Location.Spot(), false)
	print := finding.Fingerprint(m.Engine, m.Observation)
	return t.tie(KindAlone, []string{print}, print, m.ID)
}

// advisory ties ids to a package of the asset, or to the service at the port.
func (t Tie) advisory(at finding.Spot, ids []string) Tie {
	if at.Package != "" {
		name := strings.ToLower(at.Package)
		t.Place = "package " + name
		if t.Asset != "" {
			t.Place += " of " + t.Asset
		}
		return t.tie(KindAdvisory, ids, "package", t.Asset, at.Image, name)
	}
	if t.Asset == "" {
		t.Place = at.File
		return t.tie(KindAdvisory, ids, "file", at.File)
	}
	t.Place = placeText(t.Asset, finding.Spot{Port: at.Port}, true)
	return t.tie(KindAdvisory, ids, "service", t.Asset, at.Image, at.Protocol, strconv.Itoa(at.Port))
}

// advisories are the ids of single flaws, sorted. An id that stands for an update ("DLA-…", "RHSA-…") covers many flaws
// and ties nothing.
func advisories(o finding.Observation) []string {
	ids := slices.Clone(o.CVE)
	for _, id := range o.Advisories {
		if namesOneFlaw(id) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

func namesOneFlaw(id string) bool {
	kind, _, _ := strings.Cut(strings.ToUpper(id), "-")
	switch kind {
	case "CVE", "GHSA", "GO", "RUSTSEC", "PYSEC", "OSV", "MAL", "GSD", "TEMP":
		return true
	}
	return false
}

// weakness ties a kind of flaw to its logical place:
//   - a topic, such as a missing header or an open port, to host and port;
//   - families of which a place has one (an injection into a parameter) to the path and parameter, or file and line;
//   - how a page deals with errors to the path, whichever parameter provoked one;
//   - families that are given to many flaws (693, 200) only to findings that discern the same thing there.
func (t Tie) weakness(m Member, at finding.Spot, topic string) Tie {
	if at.Host == "" && at.File == "" && at.Image == "" {
		return t.alone(m)
	}
	if topic != "" && at.Host != "" {
		t.Place = placeText(t.Asset, finding.Spot{Port: at.Port}, true)
		return t.tie(KindWeakness, []string{topic}, "topic", t.Asset, at.Protocol, strconv.Itoa(at.Port), topic)
	}
	families := groups(m.CWE)
	single := slices.DeleteFunc(slices.Clone(families), func(id int) bool { return !oneAtAPlace(id, at) })
	what := ""
	switch {
	case len(single) > 0:
		families = single
	case len(families) > 0 && m.Discern != "":
		what = strings.ToLower(m.Discern)
	default:
		return t.alone(m)
	}
	if slices.Equal(families, []int{errorHandling}) {
		at.Parameter = ""
	}
	if what != "" && hostWide(families) {
		at.Path = ""
	}
	if what != "" && at.Path == "/" {
		at.Path = ""
	}
	at.Path = repositoryOf(at.Path)
	t.Place = placeText(t.Asset, at, true)
	return t.tie(KindWeakness, marksOf(families), "place", t.Asset, at.Image, at.Protocol, strconv.Itoa(at.Port), at.Path, at.Parameter,
		at.File, strconv.Itoa(at.Line), what)
}

// repositoryOf returns the folder of version control that a path lies in: whichever of its files was asked for, it is
// one exposure.
func repositoryOf(path string) string {
	for _, dir := range []string{"/.git", "/.svn", "/.hg", "/.bzr"} {
		if i := strings.Index(path, dir); i >= 0 && (len(path) == i+len(dir) || path[i+len(dir)] == '/') {
			return path[:i+len(dir)]
		}
	}
	return path
}

// flaw is the kind of a certificate's flaw: that of its topic, since engines give one CWE id (295) to several flaws of one
// certificate, else its CWE ids, else the topic.
func flaw(topic string, cwe []int) []string {
	if id := flawOf(topic); id != 0 {
		return marksOf([]int{id})
	}
	if len(cwe) == 0 {
		return []string{topic}
	}
	kinds := slices.Clone(cwe)
	slices.Sort(kinds)
	return marksOf(slices.Compact(kinds))
}

func marksOf(families []int) []string {
	out := make([]string, len(families))
	for i, id := range families {
		out[i] = "CWE-" + strconv.Itoa(id)
	}
	slices.Sort(out)
	return out
}

// placeText says a place for people.
func placeText(asset string, at finding.Spot, port bool) string {
	var b strings.Builder
	b.WriteString(asset)
	if port && at.Port != 0 {
		b.Reset()
		b.WriteString(net.JoinHostPort(asset, strconv.Itoa(at.Port)))
	}
	for _, part := range []struct{ before, text string }{
		{" ", at.Path}, {", parameter ", at.Parameter}, {" ", at.File},
	} {
		if part.text != "" {
			b.WriteString(part.before + part.text)
		}
	}
	if at.Line != 0 {
		b.WriteString(":" + strconv.Itoa(at.Line))
	}
	return strings.TrimSpace(b.String())
}
