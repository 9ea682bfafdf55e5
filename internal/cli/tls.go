package cli

import (
	"fmt"
	"net/http"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"assay.dev/assay/internal/app"
	"assay.dev/assay/internal/client"
)

// maxAuthority bounds a file of authorities in bytes.
const maxAuthority = 4 << 20

// serverTLSFlags are the settings of TLS that a person tries on the command line.
func serverTLSFlags(c *cobra.Command) {
	c.Flags().String("tls-cert", "", "file with the certificate chain to serve (PEM)")
	c.Flags().String("tls-key", "", "file with its private key (PEM)")
	c.Flags().Bool("pq-only", false, "refuse clients without a post-quantum key exchange")
}

// authority is the file of authorities that the caller trusts: --ca, else ASSAY_CA_FILE, else none.
func (stdio IO) authority() string {
	if stdio.ca != nil && *stdio.ca != "" {
		return *stdio.ca
	}
	return stdio.getenv("ASSAY_CA_FILE")
}

// transport is the way to the server.
func (stdio IO) transport() (http.RoundTripper, error) {
	path := stdio.authority()
	if path == "" {
		return client.Transport(nil)
	}
	info, err := os.Stat(path)
	if err == nil && info.Size() > maxAuthority {
		err = fmt.Errorf("%s is larger than 4 MiB", path)
	}
	if err != nil {
		return nil, usage{fmt.Errorf("--ca: %w", err)}
	}
	pem, err := os.ReadFile(path) //nolint:gosec // the file that the caller names
	if err != nil {
		return nil, usage{fmt.Errorf("--ca: %w", err)}
	}
	t, err := client.Transport(pem)
	if err != nil {
		return nil, usage{fmt.Errorf("--ca: %s holds no certificate in PEM", path)}
	}
	return t, nil
}

func certificates(stdio IO) *cobra.Command {
	c := &cobra.Command{Use: "tls", Short: "Certificates of the server"}
	c.AddCommand(selfSigned(stdio))
	return c
}

func selfSigned(stdio IO) *cobra.Command {
	var hosts []string
	var days int
	var replace, asJSON bool
	c := &cobra.Command{
		Use: "self-signed", Short: "Make a private authority and a certificate for a server without a public name", Args: cobra.NoArgs,
		Long: "Make a certificate for this server and a private authority that vouches for it, in DIR/tls. Clients trust the authority's\n" +
			"file (--ca FILE). Its private key is thrown away, so that it can never vouch for anything else.",
		Example: "  assay tls self-signed --data /var/lib/assay --host assay.home.arpa --host 192.0.2.7",
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := stdio.settings(cmd)
			if err != nil {
				return err
			}
			made, err := app.SelfSigned(cfg, hosts, days, replace)
			if err != nil {
				return err
			}
			if asJSON {
				return stdio.json(made)
			}
			stdio.said("a certificate for %s, good until %s", strings.Join(made.Hosts, ", "), made.NotAfter.Format("2006-01-02"))
			stdio.table([]string{"WHAT", "FILE"}, [][]string{{"authority", made.CA}, {"certificate", made.Cert}, {"private key", made.Key}})
			stdio.said("\nServe with it:\n  assay serve --data %s --listen :8443 --tls-cert %s --tls-key %s\nUse it:\n  ASSAY_CA_FILE=%s assay scans list --server https://%s:8443",
				cfg.Data, made.Cert, made.Key, made.CA, bracketed(made.Hosts[0]))
			return nil
		},
	}
	dataFlag(c)
	c.Flags().StringSliceVar(&hosts, "host", []string{"localhost", "127.0.0.1", "::1"}, "names and addresses under which the server is reached")
	c.Flags().IntVar(&days, "days", 365, "how long it holds, 1–825")
	c.Flags().BoolVar(&replace, "replace", false, "make a new one where there is one; clients must then trust the new authority")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// bracketed writes a host as it stands in a URL.
func bracketed(host string) string {
	if strings.Contains(host, ":") {
		return "[" + host + "]"
	}
	return host
}
