package finding

import (
	"crypto/sha256"
	"encoding/hex"
	"math"
	"net/url"
	"path"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"assay.dev/assay/internal/scan/redact"
)

// Bounds of an observation's short texts, in bytes. What is longer keeps its beginning and a digest of the whole, so
// that two of them stay apart.
const (
	maxKey = 255      // rule, discern, parameter, package, version, image
	maxURL = 2048     // URL, file, reference
	maxRaw = 64 << 10 // what is looked at of a text at all
)

// Clean makes an observation fit to be kept and shown: texts are valid UTF-8 in NFC, without control and text-turning
// characters, cut to their bounds between characters, with what looks like a credential masked; severity, confidence,
// category, protocol, CVE and CWE ids are of the known forms, sorted where order means nothing; links are http(s).
// Clean never fails: what can't be kept is left out. Cleaning twice leaves every identity as it is.
func Clean(o Observation) Observation {
	o.Rule = key(o.Rule)
	o.Discern = key(o.Discern)
	o.Title = cut(redact.Text(oneLine(o.Title), nil), MaxTitle)
	o.Description = cut(redact.Text(lines(o.Description), nil), MaxDescription)
	o.Evidence = cut(redact.Text(lines(o.Evidence), nil), MaxEvidence)
	o.Remediation = cut(redact.Text(lines(o.Remediation), nil), MaxRemediation)
	o.CVE = cleanCVE(o.CVE)
	o.Advisories = cleanAdvisories(o.Advisories)
	o.CWE = cleanCWE(o.CWE)
	o.Secret = cleanSecret(o.Secret)
	o.CVSS = cleanCVSS(o.CVSS)
	o.References = cleanReferences(o.References)
	o.Location = o.Location.clean()
	o.Severity = cleanSeverity(o.Severity)
	o.Confidence = cleanConfidence(o.Confidence)
	o.Category = cleanCategory(o.Category, len(o.CVE) > 0)
	if o.Title == "" {
		o.Title = cut(o.Rule, MaxTitle)
	}
	return o
}

func (l Location) clean() Location {
	l.Host = key(CanonicalHost(strings.Join(strings.Fields(lines(l.Host)), "")))
	l.URL = cleanURL(l.URL)
	if u, err := url.Parse(l.URL); err == nil && l.URL != "" {
		if l.Host == "" {
			l.Host = key(CanonicalHost(u.Hostname()))
		}
		if l.Port == 0 {
			l.Port = schemePort(u)
		}
	}
	if l.Port < 0 || l.Port > 65535 {
		l.Port = 0
	}
	switch l.Protocol = strings.ToLower(strings.TrimSpace(l.Protocol)); l.Protocol {
	case "tcp", "udp", "sctp":
	default:
		l.Protocol = ""
	}
	if l.Port != 0 && l.Protocol == "" {
		l.Protocol = "tcp"
	}
	l.Method = key(strings.ToUpper(oneLine(l.Method)))
	l.Parameter = key(l.Parameter)
	l.File = cleanFile(l.File)
	l.Line = max(l.Line, 0)
	l.Package, l.Version, l.FixedVersion = key(l.Package), key(l.Version), key(l.FixedVersion)
	l.Image = key(l.Image)
	return l
}

// cleanFile is a path with forward slashes, without dot segments, doubled slashes, and spaces around its parts.
func cleanFile(text string) string {
	text = strings.ReplaceAll(oneLine(text), `\`, "/")
	if text == "" {
		return ""
	}
	parts := strings.Split(text, "/")
	for i := range parts {
		parts[i] = strings.TrimSpace(parts[i])
	}
	return shorten(path.Clean(strings.Join(parts, "/")), maxURL)
}

// cleanURL keeps URLs of the web without credentials and fragment; anything else is left out, because a page would
// show it as a link.
func cleanURL(text string) string {
	u, err := url.Parse(link(text))
	if err != nil || u.Host == "" || u.Opaque != "" {
		return ""
	}
	switch u.Scheme {
	case "http", "https", "ws", "wss":
	default:
		return ""
	}
	u.User, u.Fragment, u.RawFragment = nil, "", ""
	u.Host = strings.ToLower(u.Host)
	u.RawQuery = redact.Query(u.RawQuery, nil)
	return shorten(redact.Text(u.String(), nil), maxURL)
}

func cleanReferences(refs []string) []string {
	var out []string
	for _, r := range refs {
		u, err := url.Parse(link(r))
		if err != nil || u.Host == "" || u.User != nil || (u.Scheme != "http" && u.Scheme != "https") {
			continue
		}
		if s := u.String(); len(s) <= maxURL && !slices.Contains(out, s) {
			out = append(out, s)
		}
		if len(out) == MaxReferences {
			break
		}
	}
	return out
}

// cleanCVE keeps well-formed ids, upper-case, sorted.
func cleanCVE(ids []string) []string {
	var out []string
	for _, id := range ids {
		id = strings.ToUpper(strings.TrimSpace(id))
		rest, ok := strings.CutPrefix(id, "CVE-")
		year, number, _ := strings.Cut(rest, "-")
		if ok && len(year) == 4 && isNumber(year) && len(number) >= 4 && len(number) <= 10 && isNumber(number) {
			out = append(out, id)
		}
	}
	slices.Sort(out)
	out = slices.Compact(out)
	return out[:min(len(out), MaxIDs)]
}

// cleanAdvisories keeps ids of the form NAME-rest, in upper case but for GHSA's, whose rest is in lower case.
func cleanAdvisories(ids []string) []string {
	var out []string
	for _, id := range ids {
		id = strings.ToUpper(strings.TrimSpace(id))
		name, rest, ok := strings.Cut(id, "-")
		if !ok || name == "CVE" || len(id) > 64 || !isID(name) || strings.Trim(rest, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_:.") != "" {
			continue
		}
		if name == "GHSA" {
			id = "GHSA-" + strings.ToLower(rest)
		}
		out = append(out, id)
	}
	slices.Sort(out)
	out = slices.Compact(out)
	return out[:min(len(out), MaxIDs)]
}

func isID(s string) bool {
	return s != "" && strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") == ""
}

// cleanSecret keeps a keyed fingerprint and nothing else: a value that an engine put there by mistake must not stay.
func cleanSecret(s string) string {
	digest, ok := strings.CutPrefix(s, "s1:")
	if !ok || len(digest) != 64 || strings.Trim(digest, "0123456789abcdef") != "" {
		return ""
	}
	return s
}

func cleanCWE(ids []int) []int {
	var out []int
	for _, id := range ids {
		if id > 0 && id < 100_000 {
			out = append(out, id)
		}
	}
	slices.Sort(out)
	out = slices.Compact(out)
	return out[:min(len(out), MaxIDs)]
}

func cleanCVSS(c *CVSS) *CVSS {
	if c == nil || math.IsNaN(c.Score) || c.Score < 0 || c.Score > 10 {
		return nil
	}
	switch c.Version {
	case "2.0", "3.0", "3.1", "4.0":
	default:
		return nil
	}
	return &CVSS{Version: c.Version, Vector: cut(oneLine(c.Vector), maxKey), Score: math.Round(c.Score*10) / 10}
}

func cleanSeverity(s Severity) Severity {
	s = Severity(strings.ToLower(string(s)))
	if !slices.Contains(Severities(), s) {
		return Info
	}
	return s
}

func cleanConfidence(c Confidence) Confidence {
	switch c {
	case Certain, Firm, Tentative:
		return c
	}
	return Tentative
}

func cleanCategory(c Category, known bool) Category {
	switch c {
	case CategoryExposure, CategoryService, CategoryTLS, CategoryConfig, CategoryVulnerability, CategoryDisclosure,
		CategorySecret, CategoryCrypto:
		return c
	}
	if known {
		return CategoryVulnerability
	}
	return CategoryConfig
}

// link is a URL's text on one line, spaces as a browser would send them.
func link(s string) string { return strings.ReplaceAll(oneLine(s), " ", "%20") }

// Line returns an engine's text as one line of at most limit bytes, cleaned and masked as Clean does it: for phases,
// reasons and versions.
func Line(s string, limit int) string { return cut(redact.Text(oneLine(s), nil), limit) }

// key is a short one-line text that identity is made of.
func key(s string) string { return shorten(oneLine(s), maxKey) }

// oneLine is s without anything that isn't shown, white space folded to single spaces.
func oneLine(s string) string { return strings.Join(strings.Fields(lines(s)), " ") }

// lines is s as valid UTF-8 in NFC without control characters but line feed and tab, and without characters that turn
// text around.
func lines(s string) string {
	s = s[:min(len(s), maxRaw)]
	s = strings.ReplaceAll(strings.ToValidUTF8(s, "\ufffd"), "\r\n", "\n")
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return r
		case r == '\u2028' || r == '\u2029' || r == '\r':
			return '\n'
		case unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == '\ufeff':
			return -1
		}
		return r
	}, s)
	return strings.TrimSpace(norm.NFC.String(s))
}

// cut returns at most limit bytes of s, ending between characters, with an ellipsis where something was left out.
func cut(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	const ellipsis = "…"
	return strings.TrimRightFunc(before(s, limit-len(ellipsis)), unicode.IsSpace) + ellipsis
}

// shorten returns at most limit bytes of s; what is longer ends in "~" and 16 hex digits of the SHA-256 of the whole.
func shorten(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	sum := sha256.Sum256([]byte(s))
	head := before(s, limit-17)
	if i := strings.LastIndexByte(head, '%'); i >= 0 && i >= len(head)-2 {
		head = head[:i] // half an escape would spoil a URL
	}
	return strings.TrimRightFunc(head, unicode.IsSpace) + "~" + hex.EncodeToString(sum[:8])
}

// before returns the longest beginning of s of at most n bytes that ends at a boundary of NFC and of characters.
func before(s string, n int) string {
	for n > 0 && (!utf8.RuneStart(s[n]) || !norm.NFC.PropertiesString(s[n:]).BoundaryBefore()) {
		n--
	}
	return s[:n]
}
