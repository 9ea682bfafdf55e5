package config_test

import (
	"strings"
	"testing"

	"assay.dev/assay/internal/config"
)

func TestTLSSettingsThatContradictThemselvesAreRefused(t *testing.T) {
	t.Parallel()
	const directory = "ASSAY_TLS_ACME_DIRECTORY=https://acme.example.com/directory"
	for name, tc := range map[string]struct {
		env  []string
		want string
	}{
		"plain HTTP off loopback says how to mend it": {[]string{"ASSAY_LISTEN=0.0.0.0:8080"}, "tls_acme_domains"},
		"plain HTTP on every address":                 {[]string{"ASSAY_LISTEN=:8080"}, "tls_cert"},
		"plain HTTP on a name":                        {[]string{"ASSAY_LISTEN=assay.example.com:8080"}, "tls_cert"},
		"a certificate without key":                   {[]string{"ASSAY_TLS_CERT=/c"}, "tls_key"},
		"a key without certificate":                   {[]string{"ASSAY_TLS_KEY=/k"}, "tls_cert"},
		"files and ACME":                              {[]string{"ASSAY_TLS_CERT=/c", "ASSAY_TLS_KEY=/k", "ASSAY_TLS_ACME_DOMAINS=a.example.com"}, "from files or by ACME"},
		"post-quantum only without TLS":               {[]string{"ASSAY_TLS_PQ_ONLY=true"}, "tls_pq_only"},
		"post-quantum only behind a proxy":            {[]string{"ASSAY_TLS_PQ_ONLY=true", "ASSAY_BEHIND_TLS_PROXY=true"}, "decides for itself"},
		"a public address that isn't https":           {[]string{"ASSAY_TLS_CERT=/c", "ASSAY_TLS_KEY=/k", "ASSAY_PUBLIC_URL=http://assay.example.com"}, "public_url"},
		"a wildcard":                                  {[]string{"ASSAY_TLS_ACME_DOMAINS=*.example.com"}, "tls_acme_domains"},
		"an address as domain":                        {[]string{"ASSAY_TLS_ACME_DOMAINS=192.0.2.1"}, "tls_acme_domains"},
		"a name without dot":                          {[]string{"ASSAY_TLS_ACME_DOMAINS=localhost"}, "tls_acme_domains"},
		"a name in capitals":                          {[]string{"ASSAY_TLS_ACME_DOMAINS=Assay.Example.com"}, "tls_acme_domains"},
		"a directory over plain HTTP":                 {[]string{"ASSAY_TLS_ACME_DOMAINS=a.example.com", "ASSAY_TLS_ACME_DIRECTORY=http://acme.example.com/"}, "tls_acme_directory"},
		"a private directory that egress refuses":     {[]string{"ASSAY_TLS_ACME_DOMAINS=a.example.com", "ASSAY_TLS_ACME_DIRECTORY=https://10.0.0.1/"}, "egress_allow"},
		"another challenge":                           {[]string{"ASSAY_TLS_ACME_DOMAINS=a.example.com", directory, "ASSAY_TLS_ACME_CHALLENGE=dns-01"}, "tls_acme_challenge"},
		"http-01 without an address":                  {[]string{"ASSAY_TLS_ACME_DOMAINS=a.example.com", "ASSAY_TLS_ACME_CHALLENGE=http-01", "ASSAY_TLS_ACME_HTTP_LISTEN=80"}, "tls_acme_http_listen"},
		"half an account binding":                     {[]string{"ASSAY_TLS_ACME_DOMAINS=a.example.com", "ASSAY_TLS_ACME_ACCOUNT_KEY_ID=x"}, "tls_acme_account_mac_file"},
		"an e-mail address that is none":              {[]string{"ASSAY_TLS_ACME_DOMAINS=a.example.com", "ASSAY_TLS_ACME_EMAIL=me"}, "tls_acme_email"},
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

func TestACertificateOpensEveryAddress(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		env []string
		url string
	}{
		"files":               {[]string{"ASSAY_LISTEN=192.0.2.7:8443", "ASSAY_TLS_CERT=/c", "ASSAY_TLS_KEY=/k"}, "https://192.0.2.7:8443"},
		"ACME":                {[]string{"ASSAY_LISTEN=:443", "ASSAY_TLS_ACME_DOMAINS=assay.example.com,b.example.com"}, "https://assay.example.com"},
		"ACME, other port":    {[]string{"ASSAY_LISTEN=:8443", "ASSAY_TLS_ACME_DOMAINS=assay.example.com"}, "https://assay.example.com:8443"},
		"ACME, own directory": {[]string{"ASSAY_LISTEN=:443", "ASSAY_TLS_ACME_DOMAINS=a.home.arpa", "ASSAY_TLS_ACME_DIRECTORY=https://10.0.0.1/", "ASSAY_EGRESS_ALLOW=10.0.0.1"}, "https://a.home.arpa"},
		"a public address":    {[]string{"ASSAY_LISTEN=:8443", "ASSAY_TLS_CERT=/c", "ASSAY_TLS_KEY=/k", "ASSAY_PUBLIC_URL=https://assay.example.com/"}, "https://assay.example.com"},
		"none, on loopback":   {nil, "http://127.0.0.1:8080"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg, err := config.Load(config.Sources{Environ: tc.env})
			if err != nil {
				t.Fatal(err)
			}
			if got := cfg.URL(); got != tc.url {
				t.Errorf("URL %q, want %q", got, tc.url)
			}
		})
	}
}
