// Package names is Sentinel's look at a name in the DNS: its addresses, servers and mail, what it says about who may
// send, certify and sign for it, and where it points at nothing.
//
// Look asks and keeps the answers; Judge, which is pure, reads them, so that a mended judgement can be applied to a kept
// look. Resolvers are asked through the function that is given; a name's own servers are only spoken to where the
// scan's dialer lets it. What an answer says is a stranger's. Start with Look; ask.go sends questions, judge.go,
// mail.go and dnssec.go read answers.
package names

import (
	"context"
	"crypto/x509"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"assay.dev/assay/internal/inspect/mailpolicy"
)

// Bounds of one look.
const (
	maxQuestions = 200
	maxRecords   = 60      // of one answer
	maxText      = 4 << 10 // of one record
	maxKept      = 180 << 10
	maxIncludes  = 15
	maxServers   = 8
)

// Deps is what a look needs.
type Deps struct {
	// Ask sends a query in wire format to the resolvers and returns the answer.
	Ask func(context.Context, []byte) ([]byte, error)
	// Dial connects within the scan's scope.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Spares says that an address is a listener of our own.
	Spares   func(netip.AddrPort) bool
	Now      func() time.Time
	Patience time.Duration // for one answer of a name's own server
	// Ports and roots other than the usual ones, for tests; 0 and nil = those.
	DNSPort, WebPort uint16
	Roots            *x509.CertPool
}

// Order says how far to look.
type Order struct {
	Name     string // ASCII, lower-case, without a dot at its end
	Domain   bool   // look at mail and signatures even where the name has no mail server
	Thorough bool   // more selectors and common names below the domain
}

// Record is what was asked and answered.
type Record struct {
	Name    string    `json:"name"`
	At      time.Time `json:"at"`
	Mail    bool      `json:"mail,omitempty"` // questions about mail were asked
	Answers []Answer  `json:"answers"`
	// Wildcard tells that any name below has an answer, so that those below weren't looked at.
	Wildcard  bool       `json:"wildcard,omitempty"`
	Transfers []Transfer `json:"transfers,omitempty"`
	STS       *Policy    `json:"sts,omitempty"`
	Asked     int        `json:"asked"`
	Failed    int        `json:"failed,omitempty"` // questions without an answer
	Cut       bool       `json:"cut,omitempty"`    // bounds were met
	Done      bool       `json:"done,omitempty"`   // every question was asked
}

// Answer is one question with what came back.
type Answer struct {
	Name    string   `json:"name"`
	Type    string   `json:"type"`
	Code    string   `json:"code"`              // "NOERROR", "NXDOMAIN"; empty = no answer
	Records []string `json:"records,omitempty"` // in presentation format
}

// Transfer is an attempt to have a whole zone from one of its servers.
type Transfer struct {
	Server  string `json:"server"`
	Addr    string `json:"addr"`
	State   string `json:"state"` // "refused", "given", "out_of_scope", "unreachable"
	Records int    `json:"records,omitempty"`
}

// Policy is a fetched MTA-STS policy.
type Policy struct {
	State string `json:"state"` // "fetched", "out_of_scope", "unreachable", "untrusted", "missing"
	Text  string `json:"text,omitempty"`
}

// look is one look under way.
type look struct {
	d     Deps
	order Order
	rec   Record
	kept  int
	known map[string]int // question → index of its answer
	id    uint16
}

// Look asks all about a name. It ends with ctx; what was answered until then is kept, and Done is false.
func Look(ctx context.Context, d Deps, o Order) Record {
	l := &look{d: d, order: o, rec: Record{Name: o.Name, At: d.Now().UTC()}, known: map[string]int{}}
	if d.DNSPort == 0 {
		l.d.DNSPort = 53
	}
	if d.WebPort == 0 {
		l.d.WebPort = 443
	}
	l.addresses(ctx, o.Name)
	l.authority(ctx)
	l.mail(ctx)
	if o.Thorough {
		l.below(ctx)
	}
	l.transfers(ctx)
	l.rec.Done = ctx.Err() == nil && !l.rec.Cut && l.rec.Failed == 0
	return l.rec
}

// addresses asks where a name leads and what an alias on the way points at.
func (l *look) addresses(ctx context.Context, name string) {
	l.ask(ctx, name, dns.TypeA)
	l.ask(ctx, name, dns.TypeAAAA)
}

// authority asks who serves the zone, who may certify it, and how it is signed.
func (l *look) authority(ctx context.Context) {
	name := l.order.Name
	l.ask(ctx, name, dns.TypeSOA)
	for _, server := range targets(l.ask(ctx, name, dns.TypeNS)) {
		l.addresses(ctx, server)
	}
	for _, parent := range climb(name) {
		if a := l.ask(ctx, parent, dns.TypeCAA); len(of[*dns.CAA](a)) > 0 {
			break // RFC 8659 section 3: the closest set counts
		}
	}
	if l.order.Domain {
		l.ask(ctx, name, dns.TypeDNSKEY)
		l.ask(ctx, name, dns.TypeDS)
	}
}

// mail asks what a domain says about its mail.
func (l *look) mail(ctx context.Context) {
	name := l.order.Name
	servers := targets(l.ask(ctx, name, dns.TypeMX))
	if !l.order.Domain && len(servers) == 0 {
		return
	}
	l.rec.Mail = true
	for _, server := range servers {
		l.addresses(ctx, server)
	}
	l.policies(ctx, name)
	for _, parent := range climb(name) {
		if slices.ContainsFunc(texts(l.ask(ctx, "_dmarc."+parent, dns.TypeTXT)), mailpolicy.IsDMARC) {
			break
		}
	}
	l.ask(ctx, "_smtp._tls."+name, dns.TypeTXT)
	for _, text := range texts(l.ask(ctx, "_mta-sts."+name, dns.TypeTXT)) {
		if _, ok := mailpolicy.IsMTASTS(text); ok && l.rec.STS == nil {
			l.addresses(ctx, "mta-sts."+name)
			l.rec.STS = l.fetchSTS(ctx, "mta-sts."+name)
		}
	}
	for i, selector := range selectors() {
		if i < 8 || l.order.Thorough {
			l.ask(ctx, selector+"._domainkey."+name, dns.TypeTXT)
		}
	}
}

// policies follows SPF from record to record.
func (l *look) policies(ctx context.Context, name string) {
	queue := []string{name}
	for n := 0; n < len(queue) && n < maxIncludes; n++ {
		for _, text := range texts(l.ask(ctx, queue[n], dns.TypeTXT)) {
			if !mailpolicy.IsSPF(text) {
				continue
			}
			p := mailpolicy.ParseSPF(text)
			for _, next := range append(p.Includes, p.Redirect) {
				if next != "" && !slices.Contains(queue, next) {
					queue = append(queue, next)
				}
			}
		}
	}
}

// below looks whether common names of the domain lead anywhere.
func (l *look) below(ctx context.Context) {
	if !l.order.Domain {
		return
	}
	if a := l.ask(ctx, "assay-no-such-name-7f3a."+l.order.Name, dns.TypeA); a.Code != codeNoName {
		l.rec.Wildcard = a.Code != ""
		return
	}
	for _, label := range labels() {
		l.ask(ctx, label+"."+l.order.Name, dns.TypeA)
	}
}

// climb returns a name and its parents down to two labels.
func climb(name string) []string {
	out := []string{name}
	for {
		_, parent, ok := strings.Cut(name, ".")
		if !ok || !strings.Contains(parent, ".") || len(out) == 5 {
			return out
		}
		out, name = append(out, parent), parent
	}
}

// selectors are under which mail providers and programs usually publish DKIM keys, the commonest first.
func selectors() []string {
	return []string{
		"default", "google", "selector1", "selector2", "k1", "s1", "mail", "dkim", "s2", "k2", "k3", "smtp", "mandrill", "mxvault", "pm", "zoho",
		"zmail", "protonmail", "protonmail2", "protonmail3", "fm1", "fm2", "fm3", "sig1", "key1", "key2", "mg", "mx", "20230601", "20210112",
		"everlytickey1", "krs", "dk", "titan1", "cm", "sm", "email", "dkim1",
	}
}

// labels are names that organizations commonly use below their domain.
func labels() []string {
	return []string{
		"www", "mail", "ftp", "dev", "test", "staging", "blog", "shop", "store", "app", "api", "cdn", "docs", "status", "support", "help", "static",
		"assets", "portal", "vpn", "git", "intranet", "beta", "demo", "media",
	}
}
