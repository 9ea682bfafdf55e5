package simulator

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"assay.dev/assay/internal/word/fault"
)

func startWeak(t *testing.T) *WeakTarget {
	t.Helper()
	w, err := StartWeakTarget(t.Context(), WeakConfig{Rand: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

func TestWeakTargetRefusesAnythingButLoopback(t *testing.T) {
	for _, host := range []string{"0.0.0.0", "::", "192.168.1.1", "10.0.0.1", "::ffff:127.0.0.1", "169.254.1.1", "8.8.8.8", "::1%lo"} {
		w, err := StartWeakTarget(t.Context(), WeakConfig{Host: netip.MustParseAddr(host), Rand: rand.Reader})
		if fault.KindOf(err) != fault.Invalid {
			t.Errorf("%s: %v, want an invalid fault", host, err)
		}
		if w != nil {
			_ = w.Close()
		}
	}
}

func TestWeakTargetServesItsFlaws(t *testing.T) {
	w := startWeak(t)
	get := func(url string) (head http.Header, body string) {
		t.Helper()
		tr := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
		defer tr.CloseIdleConnections()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := tr.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		all, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.Header, string(all)
	}
	head, _ := get(w.URL(WeakHTTP))
	if got := head.Get("Server"); got != weakBanner {
		t.Errorf("Server = %q", got)
	}
	if _, body := get(w.URL(WeakHTTP) + ".git/config"); !strings.Contains(body, "[core]") {
		t.Errorf(".git/config = %q", body)
	}
	if _, body := get(w.URL(WeakHTTP) + "search?q=<b>"); !strings.Contains(body, "<b>") {
		t.Errorf("the query isn't reflected: %q", body)
	}
	if head, _ = get(w.URL(WeakHTTPS)); head.Get("Server") != weakNginx {
		t.Errorf("the portal's Server = %q", head.Get("Server"))
	}
	for name, talk := range map[string]struct{ say, want string }{
		WeakSSH: {"", "SSH-2.0-OpenSSH_7.2p2"}, WeakFTP: {"", "vsFTPd 2.3.4"}, WeakRedis: {"PING\r\n", "+PONG"},
	} {
		c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", w.Addr(name).String())
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(c, talk.say)
		line, err := bufio.NewReader(c).ReadString('\n')
		if err != nil || !strings.Contains(line, talk.want) {
			t.Errorf("%s said %q (%v), want %q", name, line, err, talk.want)
		}
		_ = c.Close()
	}
}

func TestWeakTargetEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	w, err := StartWeakTarget(ctx, WeakConfig{Rand: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	idle, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", w.Addr(WeakRedis).String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = idle.Close() }()
	cancel()
	_ = w.Close()
	if _, err := idle.Read(make([]byte, 1)); err == nil {
		t.Error("an open connection outlived the target")
	}
	if c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", w.Addr(WeakHTTP).String()); err == nil {
		_ = c.Close()
		t.Error("the target still listens")
	}
}

func TestWeakFlawIdsAreDistinctAndPlaced(t *testing.T) {
	w := startWeak(t)
	seen := map[string]bool{}
	for _, f := range w.Flaws() {
		if seen[f.ID] || f.Title == "" || f.Port == 0 {
			t.Errorf("flaw %+v is repeated or has no place", f)
		}
		seen[f.ID] = true
	}
}
