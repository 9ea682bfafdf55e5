package app

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"testing"

	"assay.dev/assay/internal/config"
	"assay.dev/assay/internal/infra/egress"
	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/word/fault"
)

// fitter is an outfitter without a server behind it.
func fitter(t *testing.T, cfg config.Config) *outfitter {
	t.Helper()
	mirrors, err := config.Mirrors(cfg.SourceMirrors)
	if err != nil {
		t.Fatal(err)
	}
	return &outfitter{
		app: &App{ground: &ground{cfg: cfg, log: slog.New(slog.DiscardHandler)}}, mirrors: mirrors,
		out: egress.NewTransport(egress.TransportConfig{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}),
	}
}

// askers is a manifest with sources of which an option chooses, and one that is always asked.
func askers(passive bool) engine.Manifest {
	return engine.Manifest{
		Passive: passive,
		Options: []engine.Option{{Name: "sources", Type: engine.TypeEnumSet, Enum: []string{"one", "two"}, Max: 2, Default: []string{"one"}}},
		Sources: []engine.Source{{ID: "one", URL: "https://one.example"}, {ID: "two", URL: "https://two.example"}, {ID: "always", URL: "https://always.example"}},
	}
}

func TestARunReachesItsChosenSources(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	at := "http://" + l.Addr().String()
	o := fitter(t, config.Config{SourceMirrors: []string{"one=" + at, "two=" + at, "always=" + at}})
	errTarget := errors.New("the target was dialled")
	target := func(context.Context, string, string) (net.Conn, error) { return nil, errTarget }
	for _, c := range []struct {
		options string
		passive bool
		reached map[string]bool
		target  bool
	}{
		{`{}`, true, map[string]bool{"one.example:443": true, "two.example:443": false, "always.example:443": true}, false},
		{`{"sources":["two"]}`, true, map[string]bool{"one.example:443": false, "two.example:443": true, "always.example:443": true}, false},
		{`{"sources":["two"]}`, false, map[string]bool{"one.example:443": false, "two.example:443": true}, true},
		{`{"sources":"nonsense"}`, true, map[string]bool{"one.example:443": false, "two.example:443": false, "always.example:443": true}, false},
		{`not JSON`, true, map[string]bool{"one.example:443": true, "two.example:443": false}, false}, // as without options
	} {
		m := askers(c.passive)
		chosen := o.chosen(m, json.RawMessage(c.options))
		dial := o.programDial(m, chosen, target)
		for address, want := range c.reached {
			conn, err := dial(t.Context(), "tcp", address)
			if (err == nil) != want {
				t.Errorf("%s %s: %v", c.options, address, err)
			}
			if err == nil {
				_ = conn.Close()
			}
			u := url.URL{Scheme: "https", Host: address[:len(address)-len(":443")], Path: "/x"}
			resp, err := o.web(chosen).RoundTrip((&http.Request{Method: http.MethodGet, URL: &u, Header: http.Header{}}).WithContext(canceled(t)))
			if err == nil {
				_ = resp.Body.Close()
			}
			if refused := fault.KindOf(err) == fault.Forbidden; refused == want {
				t.Errorf("%s %s: %v", c.options, u.Host, err)
			}
		}
		if _, err := dial(t.Context(), "tcp", "www.target.example:443"); errors.Is(err, errTarget) != c.target || !c.target && fault.KindOf(err) != fault.Forbidden {
			t.Errorf("%s passive %v: the target: %v", c.options, c.passive, err)
		}
	}
	plain := engine.Manifest{}
	if _, err := o.programDial(plain, nil, target)(t.Context(), "tcp", "x:1"); !errors.Is(err, errTarget) {
		t.Errorf("an engine without sources: %v", err)
	}
}

// canceled is a context that is over, so that only the policy's word comes back.
func canceled(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

func TestKeysOfSourcesAreTheirOwnersAlone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, value string, mode os.FileMode) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(value), mode); err != nil {
			t.Fatal(err)
		}
	}
	write("hunter", " key-1\n", 0o600)
	write("open", "key-2", 0o644)
	if err := os.Symlink("/etc/hostname", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	o := fitter(t, config.Config{SourceKeys: dir})
	for name, want := range map[string]string{"hunter": "key-1", "open": "", "link": "", "none": "", "../x": "", "": ""} {
		if got := o.sourceKey(name).Reveal(); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
	if !fitter(t, config.Config{}).sourceKey("hunter").Empty() {
		t.Error("a key without a folder")
	}
}
