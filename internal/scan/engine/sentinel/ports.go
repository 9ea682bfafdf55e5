package sentinel

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"

	"golang.org/x/sync/errgroup"

	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/word/fault"
)

// Bounds of a port scan.
const (
	defaultParallel = 128
	maxOpen         = 200    // open ports of one host that are looked into; more is a tarpit or a proxy
	maxOpenAll      = 20_000 // of the whole run
	maxRetries      = 100    // silent ports of a living host that are tried once more
	maxAddrs        = 64     // of one name, generously: scans are given 16
	maxSpared       = 100    // spared ports of a host; with more it isn't ours to judge
)

// answer is what one connection attempt met.
type answer uint8

const (
	open    answer = iota
	refused        // a host is there, nothing listens
	silent         // no answer within the patience
	spared         // the scope, or a listener of ours
	failed         // for reasons on our side: says nothing of the port
)

// host is one address under scan.
type host struct {
	addr netip.Addr

	mu                           sync.Mutex
	open                         []int
	quiet                        []int // silent ports, as long as they may be retried
	spared                       []int
	refused, silent, fails, left int
	flooded                      bool
}

// alive reports whether anything answered. The caller holds the lock or is alone.
func (h *host) alive() bool { return len(h.open) > 0 || h.refused > 0 }

// count files one answer.
func (h *host) count(port int, a answer) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.left--
	switch a {
	case open:
		if len(h.open) >= maxOpen {
			h.flooded = true
			return
		}
		h.open = append(h.open, port)
	case refused:
		h.refused++
	case silent:
		h.silent++
		if len(h.quiet) <= maxRetries {
			h.quiet = append(h.quiet, port)
		}
	case spared:
		h.spared = append(h.spared, port)
	case failed:
		h.fails++
	}
}

// classify names what an attempt met.
func classify(err error) answer {
	var wait net.Error
	switch {
	case err == nil:
		return open
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ECONNRESET):
		return refused
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.ETIMEDOUT),
		errors.Is(err, context.DeadlineExceeded), errors.As(err, &wait) && wait.Timeout():
		return silent
	}
	var f *fault.Error
	if errors.As(err, &f) && f.Kind == fault.Forbidden {
		return spared
	}
	return failed
}

// try connects once and hangs up.
func (r *run) try(ctx context.Context, at netip.AddrPort) answer {
	if r.req.Spares(at) {
		return spared
	}
	if !r.pace.Wait(ctx) {
		return failed
	}
	ctx, cancel := context.WithTimeout(ctx, r.depth.patience)
	defer cancel()
	conn, err := r.env.Dial.DialContext(ctx, "tcp", at.String())
	if err == nil {
		_ = conn.Close() // nothing was sent: there is nothing to lose
	}
	return classify(err)
}

// scanPorts tries every port of every host, hosts side by side so that no single one takes the whole pace, and then
// once more the few silent ports of hosts that are alive: on a busy way a packet gets lost.
func (r *run) scanPorts(ctx context.Context, hosts []*host, list engine.Ports) {
	all := list.Expand()
	for _, h := range hosts {
		h.left = len(all)
	}
	const side = 16 // hosts at a time
	total, step := len(hosts)*len(all), 0
	for group := range slices.Chunk(hosts, side) {
		r.each(ctx, len(group)*len(all), func(ctx context.Context, i int) {
			h, port := group[i%len(group)], all[i/len(group)]
			h.count(port, r.try(ctx, netip.AddrPortFrom(h.addr, uint16(port)))) //nolint:gosec // engine.Ports holds 1–65535
		}, func(done int) { r.progress.At("ports", 5, 55, step+done, total) })
		step += len(group) * len(all)
	}
	var again []*host
	for _, h := range hosts {
		if h.alive() && r.depth.thorough && len(h.quiet) > 0 && len(h.quiet) <= maxRetries {
			again = append(again, h)
		}
	}
	r.each(ctx, len(again), func(ctx context.Context, i int) { r.retry(ctx, again[i]) },
		func(done int) { r.progress.At("ports", 55, 60, done, len(again)) })
	for _, h := range hosts {
		slices.Sort(h.open)
		slices.Sort(h.spared)
	}
}

func (r *run) retry(ctx context.Context, h *host) {
	ports := h.quiet
	for _, port := range ports {
		if ctx.Err() != nil {
			return
		}
		if a := r.try(ctx, netip.AddrPortFrom(h.addr, uint16(port))); a != silent { //nolint:gosec // engine.Ports holds 1–65535
			h.silent, h.left = h.silent-1, h.left+1
			h.count(port, a)
		}
	}
}

// discover leaves only those hosts of a network that answer on one of a few common ports, so that empty addresses
// don't cost a whole port list each. Addresses that don't answer are not covered and said to be silent.
func (r *run) discover(ctx context.Context, hosts []*host) []*host {
	knock := []int{80, 443, 22, 445, 3389, 8080, 25, 53}
	answered := make([]bool, len(hosts))
	r.each(ctx, len(hosts), func(ctx context.Context, i int) {
		for _, port := range knock {
			if ctx.Err() != nil {
				return
			}
			if a := r.try(ctx, netip.AddrPortFrom(hosts[i].addr, uint16(port))); a == open || a == refused { //nolint:gosec // literals above
				answered[i] = true
				return
			}
		}
	}, func(done int) { r.progress.At("discovery", 0, 5, done, len(hosts)) })
	var out []*host
	for i, h := range hosts {
		if answered[i] {
			out = append(out, h)
		}
	}
	return out
}

// each runs do for 0..n-1 with the order's parallelism and reports how many are done. It returns when all it began
// have ended; after ctx ended nothing more is begun.
func (r *run) each(ctx context.Context, n int, do func(context.Context, int), done func(int)) {
	var g errgroup.Group
	g.SetLimit(r.parallel)
	var mu sync.Mutex
	var count int
	for i := range n {
		if ctx.Err() != nil {
			break
		}
		g.Go(func() error {
			do(ctx, i)
			mu.Lock()
			defer mu.Unlock()
			count++
			done(count)
			return nil
		})
	}
	_ = g.Wait() // do reports into its own place
}
