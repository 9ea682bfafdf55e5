package names

import (
	"fmt"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// signatures judges DNSSEC by the records themselves. What a resolver says of them (the AD bit) is no proof: it may be
// anybody's on the way.
func (j *judge) signatures() {
	keysAnswer, ok := j.answer(j.rec.Name, "DNSKEY")
	parent, okDS := j.answer(j.rec.Name, "DS")
	if !ok || !okDS || !j.exists() {
		return
	}
	keys, set := of[*dns.DNSKEY](keysAnswer), of[*dns.DS](parent)
	switch {
	case len(keys) == 0 && len(set) == 0:
		j.add(Issue{Rule: "dnssec-missing", Evidence: "neither DNSKEY nor DS at " + j.rec.Name})
		return
	case len(keys) == 0:
		j.add(Issue{Rule: "dnssec-broken", Discern: "DS", Evidence: "the parent has a DS record, but the zone has no key"})
		return
	case len(set) == 0:
		j.add(Issue{Rule: "dnssec-unanchored", Evidence: "the zone has keys, but its parent no DS record"})
	case !slices.ContainsFunc(set, func(d *dns.DS) bool { return matches(d, keys) }):
		j.add(Issue{Rule: "dnssec-broken", Discern: "DS", Evidence: "no key of the zone is the one that its parent names"})
	}
	j.strength(keys, set)
	j.valid("DNSKEY", keysAnswer, keys)
	if soa, ok := j.answer(j.rec.Name, "SOA"); ok && len(of[*dns.SOA](soa)) > 0 {
		j.valid("SOA", soa, keys)
	}
}

// matches reports whether a DS record is of one of the keys.
func matches(d *dns.DS, keys []*dns.DNSKEY) bool {
	return slices.ContainsFunc(keys, func(k *dns.DNSKEY) bool {
		if k.KeyTag() != d.KeyTag || k.Algorithm != d.Algorithm {
			return false
		}
		made := k.ToDS(d.DigestType)
		return made != nil && strings.EqualFold(made.Digest, d.Digest)
	})
}

// strength judges algorithms (RFC 8624) and sizes.
func (j *judge) strength(keys []*dns.DNSKEY, set []*dns.DS) {
	for _, k := range keys {
		name := dns.AlgorithmToString[k.Algorithm]
		switch k.Algorithm {
		case dns.RSAMD5, dns.DSA, dns.RSASHA1, dns.DSANSEC3SHA1, dns.RSASHA1NSEC3SHA1, dns.ECCGOST:
			j.add(Issue{Rule: "dnssec-weak-algorithm", Discern: name, Evidence: fmt.Sprintf("key %d uses %s", k.KeyTag(), name)})
		case dns.RSASHA256, dns.RSASHA512:
			if bits := modulus(k); bits > 0 && bits < 2048 {
				j.add(Issue{Rule: "dnssec-short-key", Discern: fmt.Sprint(k.KeyTag()), Evidence: fmt.Sprintf("key %d: %s, %d bits", k.KeyTag(), name, bits)})
			}
		}
	}
	if len(set) > 0 && !slices.ContainsFunc(set, func(d *dns.DS) bool { return d.DigestType != dns.SHA1 && d.DigestType != dns.GOST94 }) {
		j.add(Issue{Rule: "dnssec-weak-algorithm", Discern: "DS", Evidence: "every DS record is made with SHA-1 or GOST"})
	}
}

// modulus returns the bits of an RSA key (RFC 3110), 0 where it can't be read.
func modulus(k *dns.DNSKEY) int {
	raw := k.PublicKey
	size := len(raw) * 3 / 4
	if strings.HasSuffix(raw, "==") {
		size -= 2
	} else if strings.HasSuffix(raw, "=") {
		size--
	}
	if size < 64 || size > 1024 {
		return 0
	}
	return (size - 4) / 8 * 64 // without the exponent's four bytes, in whole words
}

// valid checks that the zone's own signature over a set verifies with one of its keys, at the time of the look. One
// good signature is enough: zones that change their keys have more.
func (j *judge) valid(what string, a Answer, keys []*dns.DNSKEY) {
	var set []dns.RR
	for _, text := range a.Records[:min(len(a.Records), maxRecords)] {
		if rr, err := dns.NewRR(text); err == nil && rr != nil && dns.TypeToString[rr.Header().Rrtype] == what {
			set = append(set, rr)
		}
	}
	var expired, failed string
	for _, sig := range of[*dns.RRSIG](a) {
		if dns.TypeToString[sig.TypeCovered] != what || plainName(sig.SignerName) != j.rec.Name {
			continue
		}
		for _, k := range keys {
			if k.KeyTag() != sig.KeyTag || k.Algorithm != sig.Algorithm {
				continue
			}
			switch {
			case sig.Verify(k, set) != nil:
				failed = fmt.Sprintf("the signature over %s by key %d doesn't verify", what, sig.KeyTag)
			case !sig.ValidityPeriod(j.rec.At):
				expired = fmt.Sprintf("the signature over %s by key %d holds from %s to %s", what, sig.KeyTag, dns.TimeToString(sig.Inception), dns.TimeToString(sig.Expiration))
			default:
				return
			}
		}
	}
	switch {
	case expired != "":
		j.add(Issue{Rule: "dnssec-expired", Discern: what, Evidence: expired})
	case failed != "":
		j.add(Issue{Rule: "dnssec-broken", Discern: what, Evidence: failed})
	case j.signed():
		j.add(Issue{Rule: "dnssec-broken", Discern: what, Confidence: firm, Evidence: "no signature over " + what + " by a key of the zone"})
	}
}

// signed reports whether any signature came along at all: some resolvers keep them to themselves.
func (j *judge) signed() bool {
	return slices.ContainsFunc(j.rec.Answers[:min(len(j.rec.Answers), maxQuestions)], func(a Answer) bool { return len(of[*dns.RRSIG](a)) > 0 })
}
