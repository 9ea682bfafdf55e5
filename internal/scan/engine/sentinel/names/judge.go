package names

import (
	"fmt"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// Confidences, as findings know them.
const (
	certain   = ""
	firm      = "firm"
	tentative = "tentative"
)

// Issue is one thing that is wrong with a name: the rule that says what it means, and what differs.
type Issue struct {
	Rule       string // without Sentinel's prefix
	Discern    string
	Evidence   string
	Confidence string // "firm", "tentative"; empty = certain
}

// judge reads one record.
type judge struct {
	rec    Record
	by     map[string]Answer
	issues []Issue
}

// Judge says what a look amounts to, in a stable order. It is pure and takes any record: only what was answered counts,
// so that a question without an answer never becomes something missing.
func Judge(rec Record) []Issue {
	j := &judge{rec: rec, by: map[string]Answer{}}
	for _, a := range rec.Answers[:min(len(rec.Answers), maxQuestions)] {
		j.by[plainName(a.Name)+" "+a.Type] = a
	}
	j.pointers()
	j.certifiers()
	j.signatures()
	j.zone()
	if rec.Mail {
		j.spf()
		j.dmarc()
		j.dkim()
		j.transport()
	}
	return j.issues
}

func (j *judge) add(i Issue) {
	if len(j.issues) < 200 {
		j.issues = append(j.issues, i)
	}
}

// answer returns what was answered to a question; ok is false where nothing was.
func (j *judge) answer(name, typ string) (Answer, bool) {
	a, known := j.by[name+" "+typ]
	return a, known && (a.Code == "NOERROR" || a.Code == codeNoName)
}

// nowhere reports whether a name is known to lead to no address.
func (j *judge) nowhere(name string) bool {
	four, ok := j.answer(name, "A")
	if !ok || len(of[*dns.A](four)) > 0 {
		return false
	}
	if four.Code == codeNoName {
		return true
	}
	six, ok := j.answer(name, "AAAA")
	return ok && len(of[*dns.AAAA](six)) == 0
}

// pointers looks for NS, MX and CNAME records that point at nothing.
func (j *judge) pointers() {
	for _, p := range []struct{ typ, rule string }{{"NS", "dns-dangling-ns"}, {"MX", "dns-dangling-mx"}} {
		a, ok := j.answer(j.rec.Name, p.typ)
		if !ok {
			continue
		}
		for _, server := range targets(a) {
			if j.nowhere(server) {
				j.add(Issue{Rule: p.rule, Discern: server, Confidence: firm, Evidence: j.rec.Name + " " + p.typ + " " + server + ", which has no address"})
			}
		}
	}
	for _, a := range j.rec.Answers[:min(len(j.rec.Answers), maxQuestions)] {
		if a.Type == "A" && (a.Name == j.rec.Name || strings.HasSuffix(a.Name, "."+j.rec.Name)) {
			j.alias(a)
		}
	}
}

// alias looks at where a chain of CNAME records ends.
func (j *judge) alias(a Answer) {
	chain := of[*dns.CNAME](a)
	if a.Code != codeNoName || len(chain) == 0 || len(of[*dns.A](a)) > 0 {
		return
	}
	last := plainName(chain[len(chain)-1].Target)
	i := Issue{Rule: "dns-dangling-cname", Discern: a.Name, Confidence: firm, Evidence: a.Name + " CNAME " + last + ", which doesn't exist"}
	if slices.ContainsFunc(rented(), func(suffix string) bool { return strings.HasSuffix(last, "."+suffix) }) {
		i.Rule, i.Confidence = "dns-takeover", tentative
	}
	j.add(i)
}

// rented are suffixes below which anybody may take a free name from its service.
func rented() []string {
	return []string{
		"s3.amazonaws.com", "elasticbeanstalk.com", "github.io", "gitlab.io", "bitbucket.io", "herokuapp.com", "herokudns.com", "azurewebsites.net",
		"cloudapp.azure.com", "cloudapp.net", "trafficmanager.net", "blob.core.windows.net", "azureedge.net", "azure-api.net", "azurecontainer.io",
		"pantheonsite.io", "readthedocs.io", "surge.sh", "wordpress.com", "ghost.io", "zendesk.com", "unbouncepages.com", "helpscoutdocs.com",
		"netlify.app", "fly.dev", "vercel.app", "firebaseapp.com", "web.app", "myshopify.com", "statuspage.io", "launchrock.com", "ngrok.io",
		"agilecrm.com", "cargocollective.com", "webflow.io", "readme.io",
	}
}

// certifiers looks whether the domain says who may issue certificates for it.
func (j *judge) certifiers() {
	asked := false
	for _, name := range climb(j.rec.Name) {
		a, ok := j.answer(name, "CAA")
		if !ok {
			continue
		}
		asked = true
		if len(of[*dns.CAA](a)) > 0 {
			return
		}
	}
	if asked && j.exists() {
		j.add(Issue{Rule: "dns-caa-missing", Evidence: "no CAA record at " + strings.Join(climb(j.rec.Name), ", ")})
	}
}

// exists reports whether the name is one.
func (j *judge) exists() bool {
	a, ok := j.answer(j.rec.Name, "A")
	return ok && a.Code == "NOERROR"
}

// zone judges what the zone's servers gave away.
func (j *judge) zone() {
	for _, t := range j.rec.Transfers[:min(len(j.rec.Transfers), 2*maxServers)] {
		if t.State == stateGiven {
			j.add(Issue{Rule: "dns-zone-transfer", Discern: t.Server, Evidence: fmt.Sprintf("%s (%s) answered AXFR with %d records in its first message", t.Server, t.Addr, t.Records)})
		}
	}
}

// Names are the names below the one looked at that exist, sorted.
func Names(rec Record) []string {
	var out []string
	for _, a := range rec.Answers[:min(len(rec.Answers), maxQuestions)] {
		if a.Type == "A" && strings.HasSuffix(a.Name, "."+rec.Name) && len(of[*dns.A](a)) > 0 && !slices.Contains(out, a.Name) {
			out = append(out, a.Name)
		}
	}
	slices.Sort(out)
	return out
}
