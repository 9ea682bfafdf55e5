package egress

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"assay.dev/assay/internal/word/fault"
)

// Bounds of a DNS exchange.
const (
	dnsTimeout    = 3 * time.Second // of one try at one server
	maxDNSMessage = 65_535          // RFC 1035 section 4.2.2
	minDNSMessage = 12              // the header
)

// DNS asks resolvers in wire format, for engines that read more of an answer than addresses. It is safe for concurrent
// use.
type DNS struct {
	servers []netip.AddrPort
	dialer  net.Dialer
}

// NewDNS returns a client of the given resolvers, asked in order.
func NewDNS(servers []netip.AddrPort) *DNS { return &DNS{servers: slices.Clone(servers)} }

// SystemResolvers reads the name servers of /etc/resolv.conf (resolv.conf(5)), at most three; none is no error.
func SystemResolvers() ([]netip.AddrPort, error) {
	f, err := os.Open("/etc/resolv.conf")
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	var out []netip.AddrPort
	lines := bufio.NewScanner(io.LimitReader(f, 64<<10))
	for lines.Scan() && len(out) < 3 {
		words := strings.Fields(lines.Text())
		if len(words) < 2 || words[0] != "nameserver" {
			continue
		}
		if a, err := netip.ParseAddr(words[1]); err == nil {
			out = append(out, netip.AddrPortFrom(a, 53))
		}
	}
	return out, lines.Err()
}

// Exchange sends one query (RFC 1035) and returns the first answer with its id, over TCP where the answer over UDP was
// cut. A resolver that doesn't answer is an Unavailable fault.
func (d *DNS) Exchange(ctx context.Context, query []byte) ([]byte, error) {
	if len(query) < minDNSMessage || len(query) > 4096 {
		return nil, fault.New(fault.Internal, fault.CodeInternal, "a DNS query has no message's size")
	}
	var errs []error
	for range 2 {
		for _, s := range d.servers {
			answer, err := d.ask(ctx, s, query)
			if err == nil {
				return answer, nil
			}
			errs = append(errs, err)
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
		}
	}
	return nil, fault.New(fault.Unavailable, fault.CodeUnavailable, "no DNS resolver answers").Because(errors.Join(errs...))
}

func (d *DNS) ask(ctx context.Context, server netip.AddrPort, query []byte) ([]byte, error) {
	answer, err := d.over(ctx, "udp", server, query)
	if err == nil && answer[2]&0x02 != 0 { // TC
		return d.over(ctx, "tcp", server, query)
	}
	return answer, err
}

func (d *DNS) over(ctx context.Context, network string, server netip.AddrPort, query []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, dnsTimeout)
	defer cancel()
	conn, err := d.dialer.DialContext(ctx, network, server.String())
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if network == "tcp" {
		return overTCP(conn, query)
	}
	if _, err := conn.Write(query); err != nil {
		return nil, err
	}
	buf := make([]byte, maxDNSMessage)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return nil, err
		}
		if answers(buf[:n], query) {
			return buf[:n], nil
		}
	}
}

func overTCP(conn net.Conn, query []byte) ([]byte, error) {
	if _, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(query))), query...)); err != nil { //nolint:gosec // Exchange bounds it
		return nil, err
	}
	var size [2]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return nil, err
	}
	answer := make([]byte, binary.BigEndian.Uint16(size[:]))
	if _, err := io.ReadFull(conn, answer); err != nil {
		return nil, err
	}
	if !answers(answer, query) {
		return nil, errors.New("the answer is another query's")
	}
	return answer, nil
}

// answers reports whether b is a response with the query's id.
func answers(b, query []byte) bool {
	return len(b) >= minDNSMessage && b[0] == query[0] && b[1] == query[1] && b[2]&0x80 != 0
}
