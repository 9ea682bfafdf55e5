package cli

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

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
	c := &cobra.Command{Use: "log", Short: "The audit log: export it, verify it offline, erase personal data"}
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
	c.AddCommand(export, verify, eraseLog(stdio))
	return c
}

func eraseLog(stdio IO) *cobra.Command {
	var order app.Erasure
	var before string
	var asJSON bool
	c := &cobra.Command{
		Use: "erase (--actor ID | --before DATE)", Short: "Erase the personal data beside an organization's audit entries", Args: cobra.NoArgs,
		Long: "Erase client address, user agent and display name, with their salt, beside the entries of one actor or beside all\n" +
			"that are older than a date (YYYY-MM-DD, from 00:00 UTC, or RFC 3339). There is no way back. The entries stay, and so\n" +
			"do checkpoints and proofs: exports made afterwards verify. Backups made before still hold the data.",
		Example: "  assay log erase --data assay-data --org ID --actor 0198a3c4-6c1e-7b6a-9d42-0f5b8f1c2d3e\n" +
			"  assay log erase --data assay-data --org ID --before 2025-01-01",
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if (order.Actor == "") == (before == "") {
				return usage{errors.New("one of --actor ID and --before DATE is needed")}
			}
			if before != "" {
				if order.Before, err = date(before); err != nil {
					return err
				}
			}
			cfg, err := stdio.settings(cmd)
			if err != nil {
				return err
			}
			done, err := app.NewOperator(cfg).EraseLog(cmd.Context(), order)
			if err != nil {
				return err
			}
			if asJSON {
				return stdio.json(done)
			}
			fmt.Fprintf(stdio.Out, "erased the personal data of %d entries of organization %s\n", done.Entries, done.Organization)
			return nil
		},
	}
	dataFlag(c)
	orgFlag(c, &order.Org)
	c.Flags().StringVar(&order.Actor, "actor", "", "id of the actor whose entries are meant")
	c.Flags().StringVar(&before, "before", "", "entries older than this date are meant")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// date reads a day, from its first moment in UTC on, or a moment.
func date(s string) (time.Time, error) {
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		t, err = time.Parse(time.RFC3339, s)
	}
	if err != nil {
		return t, usage{errors.New("--before takes YYYY-MM-DD or RFC 3339")}
	}
	return t, nil
}
