package names

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"assay.dev/assay/internal/inspect/mailpolicy"
)

// maxLookups is how many DNS queries a policy may cost (RFC 7208 section 4.6.4).
const maxLookups = 10

// policy returns the SPF records of a name; ok is false where the question has no answer.
func (j *judge) policy(name string) (found []string, ok bool) {
	a, ok := j.answer(name, "TXT")
	if !ok {
		return nil, false
	}
	for _, text := range texts(a) {
		if mailpolicy.IsSPF(text) {
			found = append(found, text)
		}
	}
	return found, true
}

func (j *judge) spf() {
	found, ok := j.policy(j.rec.Name)
	switch {
	case !ok:
		return
	case len(found) == 0:
		j.add(Issue{Rule: "mail-spf-missing", Evidence: "no TXT record of " + j.rec.Name + " begins with v=spf1"})
		return
	case len(found) > 1:
		j.add(Issue{Rule: "mail-spf-multiple", Evidence: strconv.Itoa(len(found)) + " records:\n" + strings.Join(found, "\n")})
		return
	}
	p := mailpolicy.ParseSPF(found[0])
	if len(p.Errors) > 0 {
		j.add(Issue{Rule: "mail-spf-syntax", Evidence: strings.Join(p.Errors, "; ") + "\n" + found[0]})
	}
	if len(p.Wide) > 0 {
		j.add(Issue{Rule: "mail-spf-wide", Evidence: strings.Join(p.Wide, ", ") + "\n" + found[0]})
	}
	end, known := j.ending(p, 0)
	switch {
	case end == '+':
		j.add(Issue{Rule: "mail-spf-open", Evidence: found[0]})
	case known && (end == '?' || end == 0):
		j.add(Issue{Rule: "mail-spf-neutral", Evidence: found[0]})
	}
	if n := j.lookups(p, map[string]bool{j.rec.Name: true}); n > maxLookups {
		j.add(Issue{Rule: "mail-spf-lookups", Evidence: fmt.Sprintf("at least %d of %d allowed\n%s", n, maxLookups, found[0])})
	}
}

// ending is what a policy says of everybody else, through redirects; known is false where one couldn't be followed.
func (j *judge) ending(p mailpolicy.SPF, depth int) (all byte, known bool) {
	if p.All != 0 || p.Redirect == "" {
		return p.All, true
	}
	found, ok := j.policy(p.Redirect)
	if !ok || len(found) != 1 || depth > maxLookups {
		return 0, false
	}
	return j.ending(mailpolicy.ParseSPF(found[0]), depth+1)
}

// lookups counts what evaluating the whole policy costs, as far as its parts were answered.
func (j *judge) lookups(p mailpolicy.SPF, seen map[string]bool) int {
	n := p.Lookups
	for _, next := range append(slices.Clone(p.Includes), p.Redirect) {
		if next == "" || seen[next] || len(seen) > 2*maxIncludes {
			continue
		}
		seen[next] = true
		if found, ok := j.policy(next); ok && len(found) == 1 {
			n += j.lookups(mailpolicy.ParseSPF(found[0]), seen)
		}
	}
	return n
}

func (j *judge) dmarc() {
	asked := false
	for i, name := range climb(j.rec.Name) {
		a, ok := j.answer("_dmarc."+name, "TXT")
		if !ok {
			continue
		}
		asked = true
		var found []string
		for _, text := range texts(a) {
			if mailpolicy.IsDMARC(text) {
				found = append(found, text)
			}
		}
		if len(found) > 0 {
			j.dmarcRecord(found, i > 0)
			return
		}
	}
	if asked {
		j.add(Issue{Rule: "mail-dmarc-missing", Evidence: "no policy at _dmarc." + strings.Join(climb(j.rec.Name), ", _dmarc.")})
	}
}

func (j *judge) dmarcRecord(found []string, inherited bool) {
	if len(found) > 1 {
		j.add(Issue{Rule: "mail-dmarc-syntax", Evidence: "more than one record, so that none counts:\n" + strings.Join(found, "\n")})
		return
	}
	p := mailpolicy.ParseDMARC(found[0])
	if len(p.Errors) > 0 {
		j.add(Issue{Rule: "mail-dmarc-syntax", Evidence: strings.Join(p.Errors, "; ") + "\n" + found[0]})
	}
	policy := p.Policy
	if inherited && p.Subdomain != "" {
		policy = p.Subdomain
	}
	switch {
	case policy == "none":
		j.add(Issue{Rule: "mail-dmarc-none", Evidence: found[0]})
	case policy != "" && p.Percent < 100:
		j.add(Issue{Rule: "mail-dmarc-partial", Evidence: found[0]})
	}
	if !inherited && p.Policy != "none" && p.Policy != "" && p.Subdomain == "none" {
		j.add(Issue{Rule: "mail-dmarc-subdomains", Evidence: found[0]})
	}
}

func (j *judge) dkim() {
	for _, selector := range selectors() {
		a, ok := j.answer(selector+"._domainkey."+j.rec.Name, "TXT")
		if !ok {
			continue
		}
		for _, text := range texts(a) {
			key, fits := mailpolicy.ParseDKIM(text)
			if !fits {
				continue
			}
			about := fmt.Sprintf("%s._domainkey.%s: %s, %d bits", selector, j.rec.Name, key.Algorithm, key.Bits)
			switch {
			case key.Revoked:
				j.add(Issue{Rule: "mail-dkim-revoked", Discern: selector, Evidence: about})
			case key.Error != "":
				j.add(Issue{Rule: "mail-dkim-broken", Discern: selector, Evidence: key.Error + "\n" + about})
			case key.Algorithm == "rsa" && key.Bits < 1024:
				j.add(Issue{Rule: "mail-dkim-weak", Discern: selector, Evidence: about})
			case key.Algorithm == "rsa" && key.Bits < 2048:
				j.add(Issue{Rule: "mail-dkim-short", Discern: selector, Evidence: about})
			}
			if key.Testing {
				j.add(Issue{Rule: "mail-dkim-testing", Discern: selector, Evidence: about})
			}
		}
	}
}

// transport judges how mail to the domain is protected on its way. A domain that takes no mail needs none of it.
func (j *judge) transport() {
	mx, ok := j.answer(j.rec.Name, "MX")
	servers := targets(mx)
	if !ok || len(servers) == 0 {
		return
	}
	if a, ok := j.answer("_smtp._tls."+j.rec.Name, "TXT"); ok && !slices.ContainsFunc(texts(a), mailpolicy.IsTLSReport) {
		j.add(Issue{Rule: "mail-tlsrpt-missing", Evidence: "no policy at _smtp._tls." + j.rec.Name})
	}
	a, ok := j.answer("_mta-sts."+j.rec.Name, "TXT")
	if !ok {
		return
	}
	for _, text := range texts(a) {
		id, announced := mailpolicy.IsMTASTS(text)
		if !announced {
			continue
		}
		if id == "" {
			j.add(Issue{Rule: "mail-sts-broken", Discern: "record", Evidence: "the record has no id of letters and digits\n" + text})
		}
		j.sts(servers)
		return
	}
	j.add(Issue{Rule: "mail-sts-missing", Evidence: "no record at _mta-sts." + j.rec.Name})
}

func (j *judge) sts(servers []string) {
	if j.rec.STS == nil {
		return
	}
	broken := func(why string) { j.add(Issue{Rule: "mail-sts-broken", Discern: "policy", Evidence: why}) }
	switch j.rec.STS.State {
	case stateMissing:
		broken("the record announces a policy, but there is none at https://mta-sts." + j.rec.Name + "/.well-known/mta-sts.txt")
	case stateUntrusted:
		broken("the certificate of mta-sts." + j.rec.Name + " doesn't verify, so that senders ignore the policy")
	case stateFetched:
		p := mailpolicy.ParseSTSPolicy(j.rec.STS.Text)
		if p.Error != "" {
			broken(p.Error)
			return
		}
		for _, s := range servers {
			if !p.Covers(s) {
				broken("the policy doesn't list the mail server " + s)
				return
			}
		}
		if p.Mode != "enforce" {
			j.add(Issue{Rule: "mail-sts-testing", Evidence: "mode: " + p.Mode})
		}
	}
}
