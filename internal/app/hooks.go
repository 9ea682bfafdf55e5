package app

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"net/netip"
	"time"

	"assay.dev/assay/internal/infra/egress"
	"assay.dev/assay/internal/notice/hook"
)

// receiverConns is how many connections to one receiver are kept open: as many as it gets tries at once.
const receiverConns = 32

// hooking builds what tells other systems: the service that people use, and the office that delivers, which wakes by
// the commits of whoever wrote an event.
func (a *App) hooking(ctx context.Context, p *parts, own []netip.AddrPort, allow []netip.Prefix) {
	out := egress.NewTransport(egress.TransportConfig{Allow: allow, Excluded: own, IdlePerHost: receiverConns})
	sender := hook.NewSender(out, a.sealer, a.now)
	office := hook.NewOffice(hook.OfficeDeps{
		Post: a.store.Post(), Store: a.store.Hooks(), Sender: sender, News: a.store.Hub().SubscribeAll, Base: a.URL(), Now: a.now,
		IDs: a.ids, Log: a.log, Alone: a.cfg.Database == "", Observe: p.metrics.ObserveDelivery,
		Chance: chance,
	})
	p.hooks = hook.New(hook.Deps{
		Store: a.store.Hooks(), Callbacks: a.store.Tenants(), Sealer: a.sealer, Sender: sender, Addresses: out, Base: a.URL(),
		Now: a.now, IDs: a.ids, Rand: rand.Reader, Changed: office.Wake,
	})
	if a.cfg.Has("scheduler") {
		p.workers = append(p.workers, part{"webhooks", office.Run})
	}
	p.metrics.Gauge("assay_webhook_queue", "Deliveries that wait to be made, those to be tried again among them; 10,001 stands for more.", func() float64 {
		scrape, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		n, err := a.store.Post().Depth(scrape)
		if err != nil {
			return -1
		}
		return float64(n)
	})
}

// chance is a number from 0 to 1, by which retries are spread.
func chance() float64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return float64(binary.BigEndian.Uint64(b[:])>>11) / (1 << 53)
}
