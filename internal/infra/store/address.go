package store

import (
	"net/netip"

	"github.com/jackc/pgx/v5"
)

// Addresses returns the addresses at which the PostgreSQL servers of a DSN listen, as far as they are given by number or
// are this machine, so that no scan touches them. A DSN that is empty or can't be read has none.
func Addresses(dsn string) []netip.AddrPort {
	if dsn == "" {
		return nil
	}
	cfg, err := pgx.ParseConfig(dsn)
	if err != nil {
		return nil
	}
	var out []netip.AddrPort
	add := func(host string, port uint16) {
		if host == "localhost" {
			out = append(out, netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port), netip.AddrPortFrom(netip.IPv6Loopback(), port))
			return
		}
		if a, err := netip.ParseAddr(host); err == nil {
			out = append(out, netip.AddrPortFrom(a.Unmap(), port))
		}
	}
	add(cfg.Host, cfg.Port)
	for _, f := range cfg.Fallbacks {
		add(f.Host, f.Port)
	}
	return out
}
