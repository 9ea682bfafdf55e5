package sentinel

import (
	"context"
	"io"
	"net"
	"net/netip"
	"strings"
	"time"

	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/scan/engine/sentinel/banner"
)

// Bounds of what is read of a service's words.
const (
	maxSaid  = 2 << 10
	maxOffer = 16 << 10 // of SSH's key exchange offer
)

// ask connects, says something (nothing waits for a greeting) and returns what came back within the depth's patience.
// No answer is no error: services wait, hang up or dislike the question.
func (r *run) ask(ctx context.Context, at netip.AddrPort, say string) []byte {
	ctx, cancel := context.WithTimeout(ctx, r.depth.patience+r.depth.listen)
	defer cancel()
	conn, err := r.dial(ctx, at)
	if err != nil {
		return nil
	}
	defer func() { _ = conn.Close() }()
	return r.converse(ctx, conn, say, maxSaid)
}

// offer reads what an SSH server offers after the banners (RFC 4253); no key is exchanged.
func (r *run) offer(ctx context.Context, at netip.AddrPort) *banner.KEX {
	ctx, cancel := context.WithTimeout(ctx, r.depth.patience+r.depth.listen)
	defer cancel()
	conn, err := r.dial(ctx, at)
	if err != nil {
		return nil
	}
	defer func() { _ = conn.Close() }()
	kex, ok := banner.ReadKEX(r.converse(ctx, conn, "SSH-2.0-Assay_Sentinel\r\n", maxOffer))
	if !ok {
		return nil
	}
	return &kex
}

// converse says something and reads the answer, up to most bytes.
func (r *run) converse(ctx context.Context, conn net.Conn, say string, most int) []byte {
	// Closing ends a read that waits; deadlines of the socket would need the wall clock.
	timer := time.AfterFunc(r.depth.listen, func() { _ = conn.Close() })
	defer timer.Stop()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	if say != "" {
		if _, err := io.WriteString(conn, say); err != nil {
			return nil
		}
	}
	said := make([]byte, 0, most)
	buf := make([]byte, most)
	for len(said) < most {
		n, err := conn.Read(buf[:most-len(said)])
		said = append(said, buf[:n]...)
		if err != nil {
			break
		}
		// Most greetings come at once. What follows is awaited shortly, not for the whole patience.
		timer.Reset(min(r.depth.listen, 150*time.Millisecond))
	}
	return said
}

// dial opens a connection within scope and pace.
func (r *run) dial(ctx context.Context, at netip.AddrPort) (net.Conn, error) {
	if !r.pace.Wait(ctx) {
		return nil, context.Cause(ctx)
	}
	return r.env.Dial.DialContext(ctx, "tcp", at.String())
}

// identify finds out what speaks at an open port: it listens and asks in HTTP at the same time, then tries TLS, then
// the questions of services that never speak first.
func (r *run) identify(ctx context.Context, at netip.AddrPort) service {
	if usuallyTLS().Contains(int(at.Port())) && r.speaksTLS(ctx, at) {
		return r.withinTLS(ctx, at)
	}
	heard, answered := make(chan service, 1), make(chan service, 1)
	listening, hush := context.WithCancel(ctx)
	defer hush()
	go func() { heard <- recognise(r.ask(listening, at, "")) }()
	go func() {
		answered <- recognise(r.ask(ctx, at, "GET / HTTP/1.1\r\nHost: "+r.hostHeader(at)+"\r\nConnection: close\r\n\r\n"))
	}()
	var s service
	if s = <-answered; s.Name != "http" && s.Name != "tls" {
		if first := <-heard; first.Name != "" || first.Banner != "" {
			s = first // what a service says by itself tells more than what it says to a wrong question
		}
	}
	switch {
	case s.Name == "tls", s.Name == "" && s.Banner == "" && r.speaksTLS(ctx, at):
		return r.withinTLS(ctx, at)
	case s.Name == "ftp" && r.depth.thorough:
		s.NoTLS = !strings.HasPrefix(r.afterGreeting(ctx, at, "AUTH TLS\r\n"), "234")
		// The guest login that RFC 1635 names; nothing is listed or fetched.
		s.NoAuth = strings.Contains(string(r.ask(ctx, at, "USER anonymous\r\nPASS sentinel@sentinel.invalid\r\nQUIT\r\n")), "\n230")
	case s.Name == "smtp" && r.depth.thorough:
		said := string(r.ask(ctx, at, "EHLO sentinel.invalid\r\n"))
		s.NoTLS = strings.Contains(said, "\n250") && !strings.Contains(strings.ToUpper(said), "STARTTLS")
	}
	return r.followUp(ctx, at, s)
}

// followUp asks services by their own protocol: those that were recognised for more, silent ones by the port's usual
// service, or by all where the depth is thorough.
func (r *run) followUp(ctx context.Context, at netip.AddrPort, s service) service {
	silent := s.Name == "" && s.Banner == ""
	usual := func(port uint16) bool { return silent && (at.Port() == port || r.depth.thorough) }
	if s.Name == "redis" || usual(6379) {
		if said := r.ask(ctx, at, "PING\r\nINFO server\r\n"); recognise(said).Name == "redis" {
			return banner.RedisInfo(said)
		}
	}
	if s.Name == "memcached" || usual(11211) {
		if said := r.ask(ctx, at, "version\r\n"); strings.HasPrefix(string(said), "VERSION ") {
			return banner.MemcachedVersion(said)
		}
	}
	if usual(5432) {
		// SSLRequest: length 8, code 80877103; the answer is the single byte S or N.
		if said := r.ask(ctx, at, "\x00\x00\x00\x08\x04\xd2\x16\x2f"); len(said) == 1 && (said[0] == 'S' || said[0] == 'N') {
			return service{Name: "postgresql", Product: "PostgreSQL", NoTLS: said[0] == 'N'}
		}
	}
	return s
}

// afterGreeting says one line to a service that greets first and returns its answer's last line.
func (r *run) afterGreeting(ctx context.Context, at netip.AddrPort, say string) string {
	lines := strings.Split(strings.TrimSpace(string(r.ask(ctx, at, say))), "\n")
	return lines[len(lines)-1]
}

// usuallyTLS are ports on which TLS is tried before anything else.
func usuallyTLS() engine.Ports {
	return engine.PortsOf(443, 465, 563, 636, 853, 989, 990, 992, 993, 994, 995, 2376, 3269, 4443, 5061, 5986, 6443, 6514, 8443,
		8834, 8883, 9443, 10250)
}
