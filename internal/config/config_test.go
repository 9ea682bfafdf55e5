package config_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"assay.dev/assay/internal/config"
)

var update = flag.Bool("update", false, "rewrite docs/reference/configuration.md")

func TestLoadTakesDefaultsThenFileThenEnvironmentThenFlags(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "assay.yaml")
	if err := os.WriteFile(file, []byte("workers: 2\nlog_level: warn\nlog_format: json\nshutdown_timeout: 5s\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := config.Load(config.Sources{
		File:    file,
		Environ: []string{"ASSAY_LOG_LEVEL=debug", "ASSAY_LOG_FORMAT=text", "ASSAY_EGRESS_ALLOW=127.0.0.1/32, 10.0.0.1", "ASSAY_RATE_LIMIT_CEILING=0", "ASSAY_API_KEY=x", "HOME=/h"},
		Flags:   map[string]any{"log_format": "json", "listen": "127.0.0.1:9"},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := config.Default()
	want.Workers, want.LogLevel, want.LogFormat, want.Listen = 2, "debug", "json", "127.0.0.1:9"
	want.ShutdownTimeout, want.RateLimitCeiling = 5*time.Second, 0
	want.EgressAllow = []string{"127.0.0.1/32", "10.0.0.1"}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("settings (-want +got):\n%s", d)
	}
}

func TestDefaultsPassTheirOwnCheck(t *testing.T) {
	t.Parallel()
	if err := config.Default().Check(); err != nil {
		t.Error(err)
	}
}

func TestLoadRefusesWhatItDoesNotKnowOrCannotUse(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		env  []string
		want string
	}{
		"mistyped key":             {[]string{"ASSAY_LISTN=127.0.0.1:1"}, "unknown setting listn"},
		"plain HTTP off loopback":  {[]string{"ASSAY_LISTEN=0.0.0.0:8080"}, "loopback"},
		"listen without port":      {[]string{"ASSAY_LISTEN=localhost"}, "HOST:PORT"},
		"number that is none":      {[]string{"ASSAY_WORKERS=many"}, "wrong type"},
		"too many workers":         {[]string{"ASSAY_WORKERS=1000"}, "workers"},
		"network that is none":     {[]string{"ASSAY_EGRESS_ALLOW=home"}, "egress_allow"},
		"role that does not exist": {[]string{"ASSAY_ROLES=api,king"}, "roles"},
		"other database":           {[]string{"ASSAY_DATABASE=mysql://x"}, "postgres://"},
		"collector egress refuses": {[]string{"ASSAY_OTLP_ENDPOINT=http://127.0.0.1:4318"}, "egress_allow"},
		"collector that is none":   {[]string{"ASSAY_OTLP_ENDPOINT=collector:4318"}, "otlp_endpoint"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := config.Load(config.Sources{Environ: tc.env})
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want an error about %q", err, tc.want)
			}
		})
	}
}

func TestServingOffLoopbackNeedsADeclaredProxy(t *testing.T) {
	t.Parallel()
	_, err := config.Load(config.Sources{Environ: []string{"ASSAY_LISTEN=0.0.0.0:8080", "ASSAY_BEHIND_TLS_PROXY=true"}})
	if err != nil {
		t.Error(err)
	}
}

func TestReferenceDocumentIsUpToDate(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	if err := config.WriteReference(&b); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join("..", "..", "docs", "reference", "configuration.md")
	if *update {
		if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), b.String()); d != "" {
		t.Errorf("run `make gen` (-file +now):\n%s", d)
	}
}
