package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"assay.dev/assay/internal/app"
)

func intel(stdio IO) *cobra.Command {
	c := &cobra.Command{
		Use: "intel", Short: "What is known of exploited vulnerabilities: import EPSS, KEV and NVD files, status",
		Long: "Findings with CVE ids show EPSS scores, KEV entries and NVD's CVSS from files that you fetch and import here; Assay never\n" +
			"fetches them itself. What no file says stays unknown. docs/guides/intel.md says where the files come from.",
	}
	var asJSON bool
	for _, sub := range []*cobra.Command{stdio.intelImport(&asJSON), stdio.intelStatus(&asJSON)} {
		dataFlag(sub)
		sub.Flags().BoolVar(&asJSON, "json", false, "print JSON")
		c.AddCommand(sub)
	}
	return c
}

func (stdio IO) intelImport(asJSON *bool) *cobra.Command {
	var epss, kev string
	var nvd []string
	c := &cobra.Command{
		Use: "import", Short: "Load files; each counts at once when it is whole, and one that is rejected changes nothing", Args: cobra.NoArgs,
		Example: "  assay intel import --data assay-data --epss epss_scores-current.csv.gz --kev known_exploited_vulnerabilities.json\n" +
			"  assay intel import --data assay-data --nvd nvdcve-2.0-2026.json.gz --nvd nvdcve-2.0-modified.json.gz",
		RunE: func(cmd *cobra.Command, _ []string) error {
			var files []intelFile
			if epss != "" {
				files = append(files, intelFile{"epss", epss})
			}
			if kev != "" {
				files = append(files, intelFile{"kev", kev})
			}
			for _, name := range nvd {
				files = append(files, intelFile{"nvd", name})
			}
			if len(files) == 0 {
				return usage{errors.New("name at least one file with --epss, --kev or --nvd")}
			}
			done, err := stdio.loadIntel(cmd, files)
			if err == nil || len(done) > 0 {
				err = errors.Join(stdio.showIntel(done, *asJSON), err)
			}
			return err
		},
	}
	f := c.Flags()
	f.StringVar(&epss, "epss", "", "FIRST's EPSS scores (CSV); replaces those that are loaded")
	f.StringVar(&kev, "kev", "", "CISA's catalogue of known exploited vulnerabilities (JSON); replaces the one that is loaded")
	f.StringArrayVar(&nvd, "nvd", nil, "answers or feeds of NVD's API 2.0 (JSON); add to what is loaded; may be given several times")
	return c
}

// intelFile is one file to load.
type intelFile struct{ source, name string }

// loadIntel loads files in order, after all of them were found; it stops at the first that is rejected and returns
// what was loaded before.
func (stdio IO) loadIntel(cmd *cobra.Command, files []intelFile) ([]app.IntelSource, error) {
	cfg, err := stdio.settings(cmd)
	if err != nil {
		return nil, err
	}
	open := make([]io.Reader, len(files))
	for i, f := range files {
		file, err := os.Open(f.name)
		if err != nil {
			return nil, usage{fmt.Errorf("reading the %s file: %w", f.source, err)}
		}
		defer file.Close() //nolint:errcheck // it is only read
		open[i] = file
	}
	var done []app.IntelSource
	for i, f := range files {
		loaded, err := app.NewOperator(cfg).ImportIntel(cmd.Context(), f.source, open[i])
		if err != nil {
			stdio.said("%s was not loaded: %s", f.source, printable(f.name))
			return done, err
		}
		done = append(done, loaded)
		if loaded.Skipped > 0 {
			stdio.said("%d vectors of %s don't check and were left out", loaded.Skipped, printable(f.name))
		}
	}
	return done, nil
}

func (stdio IO) intelStatus(asJSON *bool) *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "Show what is loaded, and what is old", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := stdio.settings(cmd)
			if err != nil {
				return err
			}
			all, err := app.NewOperator(cfg).Intel(cmd.Context())
			if err != nil {
				return err
			}
			return stdio.showIntel(all, *asJSON)
		},
	}
}

func (stdio IO) showIntel(all []app.IntelSource, asJSON bool) error {
	if asJSON {
		return stdio.json(all)
	}
	rows := [][]string{}
	for _, s := range all {
		if !s.Loaded {
			rows = append(rows, []string{s.Source, "never loaded", "", "", "", ""})
			continue
		}
		date, state := "", "fresh"
		if s.Date != nil {
			date = s.Date.UTC().Format(time.DateOnly)
		}
		if s.Stale {
			state = fmt.Sprintf("old: %d days", s.AgeDays)
			stdio.said("%s is %d days old; fetch and import a newer file", s.Source, s.AgeDays)
		}
		rows = append(rows, []string{s.Source, state, s.Version, date, strconv.Itoa(s.Rows), when(s.ImportedAt)})
	}
	stdio.table([]string{"SOURCE", "STATE", "VERSION", "DATE", "ROWS", "IMPORTED"}, rows)
	return nil
}
