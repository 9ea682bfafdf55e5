package sublist3r

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/miekg/dns"

	"assay.dev/assay/internal/scan/engine"
)

// Bounds of the DNS check.
const (
	resolvers    = 8     // looked up at once
	maxResolved  = 5_000 // names looked up; the others stay unverified
	maxAddresses = 16    // kept of one name
)

// resolve looks up what the sources told, writes down what the DNS says, and returns how many names got no answer. A
// name that nobody can have made tells whether the domain answers for any.
func resolve(ctx context.Context, env engine.Env, scan string, rec *recorder) (unanswered int) {
	names := slices.Sorted(maps.Keys(rec.names))
	names = names[:min(len(names), maxResolved)]
	_, wild := look(ctx, env, "assay-"+strings.ToLower(strings.ReplaceAll(scan, "-", ""))+"."+rec.domain, 1)
	turns := make(chan string)
	var all sync.WaitGroup
	var mu sync.Mutex
	done := 0
	for range min(resolvers, len(names)) {
		all.Go(func() {
			for name := range turns {
				addrs, state := look(ctx, env, name, 2)
				if state == dnsKnown && wild == dnsKnown && name != rec.domain {
					state = dnsWildcard
				}
				rec.write(record{Kind: kindResolved, Name: name, State: state, Addresses: addrs})
				mu.Lock()
				done++
				if state == dnsUnknown {
					unanswered++
				}
				env.Progress(80+done*19/len(names), "looking names up")
				mu.Unlock()
			}
		})
	}
	for _, name := range names {
		if ctx.Err() != nil {
			break
		}
		turns <- name
	}
	close(turns)
	all.Wait()
	return unanswered
}

// look asks for the addresses of a name, of both families. The last turn of it is how often a query without an answer is
// sent.
func look(ctx context.Context, env engine.Env, name string, tries int) (addrs []string, state string) {
	state = dnsMissing
	for _, typ := range []uint16{dns.TypeA, dns.TypeAAAA} {
		found, ok := query(ctx, env, name, typ, tries)
		if !ok {
			state = dnsUnknown
			continue
		}
		addrs = append(addrs, found...)
	}
	if len(addrs) > 0 {
		slices.Sort(addrs)
		addrs = slices.Compact(addrs)
		return addrs[:min(len(addrs), maxAddresses)], dnsKnown
	}
	return nil, state
}

// query sends one question; ok is false where no usable answer came.
func query(ctx context.Context, env engine.Env, name string, typ uint16, tries int) (addrs []string, ok bool) {
	q := new(dns.Msg).SetQuestion(dns.Fqdn(name), typ)
	q.SetEdns0(1232, false)
	wire, err := q.Pack()
	if err != nil {
		return nil, false
	}
	for range tries {
		if ctx.Err() != nil {
			return nil, false
		}
		raw, err := env.DNS(ctx, wire)
		if err != nil {
			continue
		}
		var m dns.Msg
		if m.Unpack(raw) != nil || m.Id != q.Id || len(m.Question) != 1 || !strings.EqualFold(m.Question[0].Name, q.Question[0].Name) ||
			(m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError) {
			continue
		}
		for _, rr := range m.Answer {
			switch r := rr.(type) {
			case *dns.A:
				addrs = append(addrs, r.A.String())
			case *dns.AAAA:
				addrs = append(addrs, r.AAAA.String())
			}
		}
		return addrs, true
	}
	return nil, false
}
