package usage

import (
	"context"
	"net/netip"
	"strconv"
	"time"

	"assay.dev/assay/internal/org/access"
	"assay.dev/assay/internal/org/tenant"
	"assay.dev/assay/internal/word/fault"
)

// ipv6Site is the part of an IPv6 address that one customer line has: whoever has one has 2^64 addresses.
const ipv6Site = 64

// Deps is what a Service is made of; both are required.
type Deps struct {
	Counter Counter
	Now     func() time.Time
}

// Service charges calls to windows and plans. It is safe for concurrent use.
type Service struct {
	counter Counter
	now     func() time.Time
}

// New returns a Service.
func New(d Deps) *Service { return &Service{counter: d.Counter, now: d.Now} }

// Charge counts one call of an authenticated actor against its windows and its organization's daily requests. A
// refusal is an Exhausted fault, RATE_LIMIT_EXCEEDED or QUOTA_EXCEEDED, that names the window and says when it opens;
// the decision, for the headers, is valid with it too.
func (s *Service) Charge(ctx context.Context, a access.Actor) (Decision, error) {
	return s.take(ctx, Charge{
		Key: a.Principal(), Windows: a.Windows,
		PlanKey: "org:" + string(a.Org), PlanDay: tenant.Plan(a.Plan).Quota().RequestsPerDay,
	})
}

// ChargeAddress counts one call without a valid credential against its client's address, an IPv6 one by its /64: 60 a
// minute, 1,000 an hour, 10,000 a day. Faults as Charge.
func (s *Service) ChargeAddress(ctx context.Context, addr netip.Addr) (Decision, error) {
	return s.take(ctx, addressCharge(addr))
}

// PeekAddress answers as ChargeAddress would, and counts nothing: a call from a spent address can be refused before
// its credential costs a look-up.
func (s *Service) PeekAddress(ctx context.Context, addr netip.Addr) (Decision, error) {
	now := s.now()
	d, err := s.counter.Peek(ctx, addressCharge(addr), now)
	return refusal(d, err, now)
}

func addressCharge(addr netip.Addr) Charge {
	return Charge{Key: "addr:" + AddressKey(addr), Windows: access.DefaultWindows()}
}

// AddressKey returns the text under which calls from an address are counted: an IPv4 address as it is, also where it
// is written as IPv6, an IPv6 one by its /64.
func AddressKey(addr netip.Addr) string {
	addr = addr.Unmap().WithZone("")
	if !addr.Is6() {
		return addr.String()
	}
	site, err := addr.Prefix(ipv6Site)
	if err != nil {
		return addr.String()
	}
	return site.String()
}

func (s *Service) take(ctx context.Context, ch Charge) (Decision, error) {
	now := s.now()
	d, err := s.counter.Take(ctx, ch, now)
	return refusal(d, err, now)
}

func refusal(d Decision, err error, now time.Time) (Decision, error) {
	if err != nil || d.OK {
		return d, err
	}
	wait := max(d.Reset.Sub(now), time.Second)
	limit := strconv.FormatInt(d.Limit, 10)
	if d.Window == Plan {
		return d, fault.New(fault.Exhausted, fault.CodeQuota,
			"the organization's plan allows "+limit+" requests a day, and they are used up").After(wait)
	}
	return d, fault.New(fault.Exhausted, fault.CodeRateLimit,
		"rate limit exceeded: "+limit+" calls per "+string(d.Window)).After(wait)
}

// ScanQuota counts one accepted scan submission, inside the unit that accepts it, against the plan's scans of the
// present UTC month. A used-up quota is an Exhausted QUOTA_EXCEEDED fault, and nothing is counted.
func (s *Service) ScanQuota(ctx context.Context, tx Tx, plan tenant.Plan) error {
	return s.ScansQuota(ctx, tx, plan, 1)
}

// ScansQuota is ScanQuota for n submissions, all or none.
func (s *Service) ScansQuota(ctx context.Context, tx Tx, plan tenant.Plan, n int) error {
	return tx.Consume(ctx, MetricScans, Period(s.now()), int64(n), plan.Quota().ScansPerMonth)
}

// Period returns the name of t's UTC calendar month, under which quotas are counted: "2026-11".
func Period(t time.Time) string { return t.UTC().Format("2006-01") }
