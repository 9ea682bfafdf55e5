package correlation

import (
	"slices"
	"strings"

	"assay.dev/assay/internal/scan/finding"
)

// groups returns the families of CWE ids, drawn somewhat wider than the identities draw them: engines that look at the
// same thing name it by neighbouring ids.
func groups(cwe []int) []int {
	out := finding.Families(cwe)
	for i, id := range out {
		out[i] = group(id)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// errorHandling is the family of what goes wrong where something goes wrong: engines see the error (755) or what its text
// gives away (209).
const errorHandling = 755

func group(id int) int {
	switch id {
	case 219, 425, 527, 528, 529, 530, 540, 541, 552:
		return 538 // files that are served and shouldn't be
	case 311, 523:
		return 319 // unprotected transport
	case 1021:
		return 693 // a browser's protection isn't asked for
	case 798, 1391, 1392, 1393:
		return 521 // default, guessable or built-in credentials
	case 296:
		return 295 // certificates
	case 209, 210, 211, 248, 388, 390, 391, 550, 703, 754, 756, 1295:
		return errorHandling
	}
	return id
}

// oneAtAPlace reports whether a place has one flaw of the family at most: two findings of it there are the same.
func oneAtAPlace(family int, at finding.Spot) bool {
	switch family {
	case 22, 78, 79, 89, 90, 91, 93, 94, 98, 352, 434, 502, 601, 611, 643, 917, 918, 943, 1336:
		return at.Path != "" || at.File != "" // injections and their like
	case 538, 548:
		return len(at.Path) > 1 // what a path gives away; the root of a site is every check's place
	case errorHandling:
		return at.Path != "" || at.File != ""
	case 306, 521:
		return true // a login that is missing or known
	case 319, 668:
		return at.Port != 0 && at.Path == "" && at.File == "" // a port's one service speaks in clear, or needn't be reachable
	}
	return false
}

// hostWide reports whether flaws of these families hold for a whole server, whichever page showed them.
func hostWide(families []int) bool {
	return !slices.ContainsFunc(families, func(id int) bool {
		switch id {
		case 16, 295, 319, 327, 614, 693, 1004, 1275:
			return false
		}
		return true
	})
}

// topic is a flaw that engines call by different words and ids.
type topic struct {
	name  string
	words [][]string // sequences of words, any of which names it
}

// topics are told by what a finding discerns, else by its rule's own name.
func topics() []topic {
	return []topic{
		{"open port", [][]string{{"open", "port"}, {"port", "open"}}},
		{"missing header content-security-policy", [][]string{{"content", "security", "policy"}, {"csp", "missing"}}},
		{"missing header strict-transport-security", [][]string{{"strict", "transport", "security"}, {"hsts", "missing"}}},
		{"missing header x-content-type-options", [][]string{{"x", "content", "type", "options"}, {"nosniff", "missing"}}},
		{"framing allowed", [][]string{{"x", "frame", "options"}, {"framing", "allowed"}, {"clickjacking"}}},
		{"missing header referrer-policy", [][]string{{"referrer", "policy"}, {"referrer", "missing"}}},
		{"missing header permissions-policy", [][]string{{"permissions", "policy"}}},
		{"SSL 2.0 accepted", [][]string{{"sslv2"}, {"ssl", "2", "0"}}},
		{"SSL 3.0 accepted", [][]string{{"sslv3"}, {"ssl", "3", "0"}}},
		{"TLS 1.0 accepted", [][]string{{"tlsv1", "0"}, {"tls", "1", "0"}, {"tls10"}}},
		{"TLS 1.1 accepted", [][]string{{"tlsv1", "1"}, {"tls", "1", "1"}, {"tls11"}}},
		{"certificate expired", [][]string{{"expired"}, {"cert", "expired"}}},
		{"certificate not yet valid", [][]string{{"not", "yet", "valid"}, {"cert", "not", "yet", "valid"}}},
		{"certificate self-signed", [][]string{{"self", "signed"}, {"cert", "self", "signed"}}},
		{"certificate for another name", [][]string{{"name", "mismatch"}, {"cert", "name", "mismatch"}}},
		{"certificate key too weak", [][]string{{"weak", "key"}, {"cert", "weak", "key"}}},
		{"certificate signature too weak", [][]string{{"weak", "signature"}, {"cert", "weak", "signature"}}},
	}
}

// flawOf returns the CWE id of a topic about certificates, 0 for others.
func flawOf(topic string) int {
	switch topic {
	case "certificate expired", "certificate not yet valid":
		return 298
	case "certificate self-signed":
		return 296
	case "certificate for another name":
		return 297
	case "certificate key too weak":
		return 326
	case "certificate signature too weak":
		return 328
	}
	return 0
}

// topicOf returns the topic of an observation, empty where it has none. What it discerns counts before the rule, and a
// finding of another kind than configuration, exposure or TLS has no topic.
func topicOf(o finding.Observation) string {
	switch o.Category {
	case finding.CategoryVulnerability, finding.CategorySecret, finding.CategoryDisclosure:
		return ""
	case finding.CategoryExposure, finding.CategoryService, finding.CategoryTLS, finding.CategoryConfig, finding.CategoryCrypto:
	}
	_, rule, ok := strings.Cut(o.Rule, ":")
	if !ok {
		rule = o.Rule
	}
	said, called := wordsOf(o.Discern), wordsOf(rule)
	if o.Certificate() != "" {
		said = nil
	}
	for _, t := range topics() {
		for _, words := range t.words {
			if len(said) > 0 && slices.Equal(said, words) || len(said) == 0 && endsIn(called, words) {
				return t.name
			}
		}
	}
	return ""
}

// wordsOf cuts a name into lower-case words of letters and digits.
func wordsOf(name string) []string {
	return strings.FieldsFunc(strings.ToLower(name), func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9')
	})
}

func endsIn(words, tail []string) bool {
	return len(words) >= len(tail) && slices.Equal(words[len(words)-len(tail):], tail)
}
