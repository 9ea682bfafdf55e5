package finding

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/text/unicode/norm"
)

// Scheme versions of the three identities. They stand in front of each identity and within what is hashed, so that a
// later scheme can live beside an old one: an identity is never changed in place.
const (
	weaknessScheme   = "w1"
	occurrenceScheme = "o1"
	caseScheme       = "c1"
)

// Numbers of the hashed fields, in the order in which they are written. One is never reused.
const (
	fieldRule byte = iota + 1
	fieldDiscern
	fieldHost
	fieldProtocol
	fieldPort
	fieldMethod
	fieldPath
	fieldParameter
	fieldPackage
	fieldFile
	fieldImage
	fieldURL
	fieldLine
	fieldVersion
	fieldKind
	fieldCVE
	fieldCWE
	fieldCertificate
)

// Fingerprint returns the weakness identity, "w1:" + hex: the engine's rule at a logical place, stable over re-scans.
// It leaves out whatever changes while the weakness stays: severity, texts, payload, versions, banner, time, line,
// image tag, and the order of CVE ids. o must have passed Clean. docs/vectors/finding-identity.json says how the bytes
// are formed.
func Fingerprint(engine string, o Observation) string {
	at := o.Location.logical()
	d := newDigest(weaknessScheme, engine)
	d.text(fieldRule, o.Rule)
	d.text(fieldDiscern, o.Discern)
	d.place(at)
	d.text(fieldMethod, strings.ToUpper(at.method))
	d.text(fieldPath, at.path)
	d.text(fieldParameter, at.parameter)
	d.text(fieldPackage, at.pkg)
	d.text(fieldFile, at.file)
	d.text(fieldImage, at.image)
	return d.id(weaknessScheme)
}

// Occurrence returns the identity of the exact place, "o1:" + hex: the full URL with its query, the line, the version,
// the image's digest. Occurrences of one weakness may come and go.
func Occurrence(engine string, o Observation) string {
	at := o.Location.logical()
	d := newDigest(occurrenceScheme, engine)
	d.text(fieldRule, o.Rule)
	d.text(fieldDiscern, o.Discern)
	d.place(at)
	d.text(fieldMethod, strings.ToUpper(at.method))
	d.text(fieldParameter, at.parameter)
	d.text(fieldPackage, at.pkg)
	d.text(fieldFile, at.file)
	d.text(fieldImage, o.Location.Image)
	d.text(fieldURL, o.Location.URL)
	d.number(fieldLine, o.Location.Line)
	d.text(fieldVersion, o.Location.Version)
	return d.id(occurrenceScheme)
}

// CaseKey returns the key under which findings of several engines may be one case, "c1:" + hex, or "" where nothing
// ties them: the same place and the same CVE ids; the same certificate (a Discern of "sha256:" + hex) and kind of flaw;
// or the same kind of flaw (CWE family) at the same logical place. The engine and the title never count.
func CaseKey(o Observation) string {
	at := o.Location.logical()
	d := newDigest(caseScheme, "")
	families := cweFamilies(o.CWE)
	switch {
	case len(o.CVE) > 0:
		d.text(fieldKind, "cve")
		d.place(at)
		d.text(fieldPackage, at.pkg)
		d.text(fieldImage, at.image)
		d.text(fieldCVE, strings.Join(sortedSet(o.CVE), " "))
	case isCertificate(o.Discern):
		d.text(fieldKind, "certificate")
		d.place(at)
		d.text(fieldCertificate, o.Discern)
		d.text(fieldCWE, families)
	case families != "" && (at.host != "" || at.file != ""):
		d.text(fieldKind, "cwe")
		d.place(at)
		d.text(fieldPath, at.path)
		d.text(fieldParameter, at.parameter)
		d.text(fieldFile, at.file)
		d.text(fieldDiscern, strings.ToLower(o.Discern))
		d.text(fieldCWE, families)
	default:
		return ""
	}
	return d.id(caseScheme)
}

// digest hashes numbered fields so that no two lists of fields give the same bytes: each has its number, a byte that
// tells absent from present, and the length of its value.
type digest struct{ h hash.Hash }

func newDigest(scheme, engine string) digest {
	d := digest{h: sha256.New()}
	d.sized("assay-finding-" + scheme)
	d.sized(engine)
	return d
}

func (d digest) sized(s string) {
	var n [4]byte
	binary.BigEndian.PutUint32(n[:], uint32(len(s))) //nolint:gosec // observations are bounded by Clean
	d.h.Write(n[:])
	d.h.Write([]byte(s))
}

// text writes one field; the empty text is an absent value.
func (d digest) text(number byte, value string) {
	if value == "" {
		d.h.Write([]byte{number, 0})
		return
	}
	d.h.Write([]byte{number, 1})
	d.sized(norm.NFC.String(value))
}

// number writes one number in decimal; 0 is absent.
func (d digest) number(number byte, value int) {
	if value == 0 {
		d.text(number, "")
		return
	}
	d.text(number, strconv.Itoa(value))
}

func (d digest) place(at logical) {
	d.text(fieldHost, at.host)
	d.text(fieldProtocol, at.protocol)
	d.number(fieldPort, at.port)
}

func (d digest) id(scheme string) string { return scheme + ":" + hex.EncodeToString(d.h.Sum(nil)) }

// logical is a location without what moves.
type logical struct {
	host, protocol          string
	port                    int
	method, path, parameter string
	pkg, file, image        string
}

func (l Location) logical() logical {
	at := logical{
		host: CanonicalHost(l.Host), protocol: strings.ToLower(l.Protocol), port: l.Port, method: l.Method, parameter: l.Parameter,
		pkg: l.Package, file: l.File, image: imageRepository(l.Image),
	}
	if u, err := url.Parse(l.URL); err == nil && l.URL != "" {
		at.path = PathTemplate(u.Path)
		if at.host == "" {
			at.host = CanonicalHost(u.Hostname())
		}
		if at.port == 0 {
			at.port = schemePort(u)
		}
	}
	if at.port != 0 && at.protocol == "" {
		at.protocol = "tcp"
	}
	return at
}

// imageRepository returns an image reference without tag and digest.
func imageRepository(ref string) string {
	ref, _, _ = strings.Cut(ref, "@")
	if i := strings.LastIndexByte(ref, ':'); i > strings.LastIndexByte(ref, '/') {
		ref = ref[:i]
	}
	return ref
}

func isCertificate(discern string) bool {
	sum, ok := strings.CutPrefix(discern, "sha256:")
	return ok && len(sum) == 64 && strings.Trim(sum, "0123456789abcdef") == ""
}

func sortedSet(values []string) []string {
	s := slices.Clone(values)
	slices.Sort(s)
	return slices.Compact(s)
}

// cweFamilies returns the sorted families of the ids, so that engines which name the same flaw more or less exactly
// agree.
func cweFamilies(ids []int) string {
	families := make([]int, 0, len(ids))
	for _, id := range ids {
		families = append(families, cweFamily(id))
	}
	slices.Sort(families)
	var b strings.Builder
	for _, id := range slices.Compact(families) {
		b.WriteString("CWE-" + strconv.Itoa(id) + " ")
	}
	return strings.TrimSuffix(b.String(), " ")
}

// cweFamily maps an id to the parent (by the CWE research view) that engines report in its place.
func cweFamily(id int) int {
	switch id {
	case 80, 81, 83, 84, 85, 86, 87:
		return 79 // cross-site scripting
	case 564:
		return 89 // SQL injection
	case 23, 24, 25, 26, 27, 28, 35, 36, 37, 38, 39, 40:
		return 22 // path traversal
	case 77, 88:
		return 78 // command injection
	case 95, 96:
		return 94 // code injection
	case 113:
		return 93 // CRLF injection
	case 297, 298, 299, 599:
		return 295 // certificate validation
	case 327, 328, 326, 757:
		return 327 // weak cryptography
	}
	return id
}
