package nmap

import (
	"fmt"
	"io"
	"testing"

	"assay.dev/assay/internal/scan/engine"
)

// Scripts returns every script that any set holds.
func Scripts() []string { return scriptsOf(setNames()) }

// hosts is an endless network of hosts as Nmap would print it, up to size bytes.
type hosts struct {
	size, n int64
	count   int
	rest    []byte
}

func (h *hosts) Read(p []byte) (int, error) {
	if len(h.rest) == 0 {
		switch {
		case h.n == 0:
			h.rest = []byte(`<?xml version="1.0"?><!DOCTYPE nmaprun><nmaprun version="7.93"><scaninfo protocol="tcp" services="1-1000"/>`)
		case h.n >= h.size:
			return 0, io.EOF
		default:
			h.rest = h.host()
		}
	}
	n := copy(p, h.rest)
	h.rest, h.n = h.rest[n:], h.n+int64(n)
	return n, nil
}

func (h *hosts) host() []byte {
	h.count++
	b := fmt.Appendf(nil, `<host endtime="1795303757"><status state="up" reason="syn-ack"/><address addr="10.0.%d.%d" addrtype="ipv4"/><ports>`, h.count>>8&15, h.count&255)
	for port := 1; port <= 40; port++ {
		b = fmt.Appendf(b, `<port protocol="tcp" portid="%d"><state state="open" reason="syn-ack" reason_ttl="0"/><service name="http" product="nginx" version="1.22.1" method="probed" conf="10"><cpe>cpe:/a:igor_sysoev:nginx:1.22.1</cpe></service><script id="http-title" output="Shop"><elem key="title">Shop</elem></script></port>`+"\n", port)
	}
	return append(b, "</ports></host>\n"...)
}

// BenchmarkParse reads 100 MB. B/op is what was allocated in all; TestParseStaysSmall bounds what is held at a time.
func BenchmarkParse(b *testing.B) {
	const size = 100 << 20
	req := request(b, "10.0.0.0/20", `{}`)
	b.SetBytes(size)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := New().Parse(&hosts{size: size}, req, func(engine.Item) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
}
