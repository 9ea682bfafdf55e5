package finding

import (
	"slices"
	"strconv"
)

// Spot is a location without what moves while the weakness stays: the host in its canonical form, the path template in
// place of the URL, the image without its tag. It is what the identities hash, for those who compare places.
type Spot struct {
	Host      string
	Protocol  string // tcp or udp; empty without a port
	Port      int    // the URL's where the location names none
	Path      string // template, see PathTemplate; empty without a URL
	Parameter string
	Package   string
	File      string
	Line      int
	Image     string
}

// Spot returns the logical place of l.
func (l Location) Spot() Spot {
	at := l.logical()
	return Spot{
		Host: at.host, Protocol: at.protocol, Port: at.port, Path: at.path, Parameter: at.parameter, Package: at.pkg, File: at.file,
		Line: l.Line, Image: at.image,
	}
}

// Certificate returns the digest of the certificate that o is about, "sha256:" and hex; empty where it is about none.
func (o Observation) Certificate() string {
	if isCertificate(o.Discern) {
		return o.Discern
	}
	return ""
}

// Families returns the CWE families of the ids, sorted and each once: the parent by which engines name the same flaw
// more or less exactly.
func Families(cwe []int) []int {
	out := make([]int, 0, len(cwe))
	for _, id := range cwe {
		out = append(out, cweFamily(id))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Hash returns scheme + ":" and the hex digest of texts, formed as the identities are, so that no two lists of texts
// give the same bytes.
func Hash(scheme string, texts ...string) string {
	d := newDigest(scheme, strconv.Itoa(len(texts)))
	for _, t := range texts {
		d.sized(t)
	}
	return d.id(scheme)
}

// Better reports whether c says more than other.
func (c Confidence) Better(other Confidence) bool { return c.level() > other.level() }

func (c Confidence) level() int {
	switch c {
	case Certain:
		return 3
	case Firm:
		return 2
	case Tentative:
		return 1
	}
	return 0
}
