package cli

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"assay.dev/assay/internal/app"
)

type fileWriter = io.Writer

// toFile writes a file whole or not at all; "-" is standard output.
func (stdio IO) toFile(name string, write func(w fileWriter) error) error {
	if name == "-" {
		return write(stdio.Out)
	}
	tmp, err := os.CreateTemp(filepath.Dir(name), ".assay-*") // beside its final name, to be renamed
	if err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	b := bufio.NewWriterSize(tmp, 1<<20)
	err = write(b)
	if err == nil {
		err = errors.Join(b.Flush(), tmp.Sync())
	}
	err = errors.Join(err, tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), name)
	}
	if err != nil {
		return errors.Join(err, os.Remove(tmp.Name()))
	}
	return nil
}

func logs(stdio IO) *cobra.Command {
	c := &cobra.Command{Use: "log", Short: "The audit log: export it, verify it offline"}
	var orgID, out string
	export := &cobra.Command{
		Use: "export", Short: "Write an organization's audit log with its newest checkpoint", Args: cobra.NoArgs,
		Example: "  assay log export --data assay-data --org ID --out log.jsonl",
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := stdio.settings(cmd)
			if err != nil {
				return err
			}
			return stdio.toFile(out, func(w fileWriter) error {
				return app.NewOperator(cfg).ExportLog(cmd.Context(), orgID, w)
			})
		},
	}
	dataFlag(export)
	orgFlag(export, &orgID)
	outFlag(export, &out)

	var keyFile, old string
	var asJSON bool
	verify := &cobra.Command{
		Use: "verify FILE --keys KEYS", Short: "Check an exported log offline: every entry, the tree, both signatures", Args: cobra.ExactArgs(1),
		Long: "Check an export with nothing but the file and the public keys. With --checkpoint, an older checkpoint that you kept, it\n" +
			"also proves that the log only grew since.\n\nExit codes: 0 good, 1 bad (the entry at fault is named), 2 usage, 3 no trusted key signed it.",
		Example: "  assay log verify log.jsonl --keys keys.json",
		RunE: func(_ *cobra.Command, args []string) error {
			if keyFile == "" {
				return usage{errors.New("--keys FILE is needed: the keys you trust, from `assay keys export`")}
			}
			return verifyLog(stdio, verification{file: args[0], keys: keyFile, checkpoint: old, json: asJSON})
		},
	}
	verify.Flags().StringVar(&keyFile, "keys", "", "verification keys that you trust")
	verify.Flags().StringVar(&old, "checkpoint", "", "an older checkpoint to check consistency with")
	verify.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	c.AddCommand(export, verify)
	return c
}
