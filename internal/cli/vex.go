package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"

	"github.com/spf13/cobra"

	"assay.dev/assay/internal/client"
)

// maxVEX is how much of a file is read: one byte more than the server takes.
const maxVEX = 16<<20 + 1

func vex(stdio IO) *cobra.Command {
	c := &cobra.Command{
		Use: "vex", Short: "VEX documents over the API: export decisions on findings, import those of others",
		Long: "VEX documents (OpenVEX, CycloneDX) over the API of a running server. The server is --server or ASSAY_SERVER, the key is ASSAY_API_KEY.",
	}
	var server string
	for _, sub := range []*cobra.Command{stdio.vexExport(&server), stdio.vexImport(&server)} {
		serverFlags(sub, &server)
		c.AddCommand(sub)
	}
	return c
}

func (stdio IO) vexExport(server *string) *cobra.Command {
	var q client.VEXQuery
	var out string
	c := &cobra.Command{
		Use: "export", Short: "Write what was decided on findings with a CVE id", Args: cobra.NoArgs,
		Example: "  assay vex export --out findings.openvex.json\n  assay vex export --format cyclonedx --host 192.0.2.7",
		RunE: func(cmd *cobra.Command, _ []string) error {
			api, err := stdio.client(*server)
			if err != nil {
				return err
			}
			doc, err := api.ExportVEX(cmd.Context(), q)
			if err != nil {
				return err
			}
			defer doc.Close() //nolint:errcheck // it is only read
			return stdio.toFile(out, func(w fileWriter) error {
				_, err := io.Copy(w, doc)
				return err
			})
		},
	}
	f := c.Flags()
	f.StringVar(&q.Format, "format", "openvex", "openvex or cyclonedx")
	f.StringVar(&q.Host, "host", "", "only findings on this host")
	f.StringVar(&q.Scan, "scan", "", "only findings that this scan saw")
	f.StringVar(&q.Product, "product", "", "only findings at this host, package URL, package name or image")
	outFlag(c, &out)
	return c
}

func (stdio IO) vexImport(server *string) *cobra.Command {
	var dry, overwrite, asJSON bool
	c := &cobra.Command{
		Use: "import FILE", Short: "Take a document's decisions over; people's decisions stay", Args: cobra.ExactArgs(1),
		Example: "  assay vex import vendor.openvex.json --dry-run",
		RunE: func(cmd *cobra.Command, args []string) error {
			api, err := stdio.client(*server)
			if err != nil {
				return err
			}
			doc, err := readVEX(cmd.InOrStdin(), args[0])
			if err != nil {
				return err
			}
			r, err := api.ImportVEX(cmd.Context(), doc, dry, overwrite)
			if err != nil {
				return err
			}
			if asJSON {
				return stdio.json(r)
			}
			stdio.showVEX(r)
			return nil
		},
	}
	f := c.Flags()
	f.BoolVar(&dry, "dry-run", false, "say what would happen, and decide nothing")
	f.BoolVar(&overwrite, "overwrite", false, "decide also where a person decided otherwise")
	f.BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// readVEX reads a document from a file, or from standard input where it is named -.
func readVEX(stdin io.Reader, name string) ([]byte, error) {
	in := stdin
	if name != "-" {
		file, err := os.Open(name) //nolint:gosec // the file that the caller names
		if err != nil {
			return nil, usage{fmt.Errorf("reading the document: %w", err)}
		}
		defer file.Close() //nolint:errcheck // it is only read
		in = file
	}
	doc, err := io.ReadAll(io.LimitReader(in, maxVEX))
	switch {
	case err != nil:
		return nil, usage{fmt.Errorf("reading the document: %w", err)}
	case len(doc) == maxVEX:
		return nil, usage{errors.New("the document is larger than 16 MiB")}
	case !json.Valid(doc):
		return nil, usage{errors.New("the document isn't JSON")}
	}
	return doc, nil
}

func (stdio IO) showVEX(r client.VEXReport) {
	f := r.Findings
	stdio.table([]string{"STATEMENTS", "MATCHED", "FINDINGS", "APPLIED", "UNCHANGED", "CONFLICTS", "PARTIAL", "CHANGED"}, [][]string{{
		strconv.Itoa(r.Statements.Total), strconv.Itoa(r.Statements.Matched), strconv.Itoa(f.Total), strconv.Itoa(f.Applied),
		strconv.Itoa(f.Unchanged), strconv.Itoa(f.Conflicts), strconv.Itoa(f.Partial), strconv.Itoa(f.Changed),
	}})
	if r.DryRun {
		stdio.said("nothing was decided: this was a dry run")
	}
	if len(r.Problems) == 0 {
		return
	}
	rows := [][]string{}
	for _, p := range r.Problems {
		rows = append(rows, []string{strconv.Itoa(p.Statement), p.Vulnerability, p.Reason, p.FindingID})
	}
	stdio.table([]string{"STATEMENT", "VULNERABILITY", "WHY NOT", "FINDING"}, rows)
}
