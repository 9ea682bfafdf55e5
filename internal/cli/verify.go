package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/word/fault"
)

// maxCheckpoint bounds the older checkpoint that is read whole; a real one has under 10 KiB.
const maxCheckpoint = 64 << 10

// verification are the arguments of `assay log verify`.
type verification struct {
	file       string
	keys       string
	checkpoint string
	json       bool
}

// verdict is what `assay log verify --json` prints.
type verdict struct {
	Valid bool       `json:"valid"`
	Code  fault.Code `json:"code,omitempty"`
	Text  string     `json:"text,omitempty"`
	audit.Report
}

// verifyLog checks an export and says what is wrong with it. A file that can't be read is an error (2), one that is
// wrong is bad (1), one that no trusted key signed is untrusted (3).
func verifyLog(stdio IO, v verification) error {
	keyFile, err := open(v.keys)
	if err != nil {
		return err
	}
	defer func() { _ = keyFile.Close() }()
	trusted, err := audit.ParseKeys(keyFile)
	if err != nil {
		return err
	}
	var old *audit.Checkpoint
	if v.checkpoint != "" {
		if old, err = oldCheckpoint(v.checkpoint, trusted); err != nil {
			return err
		}
	}
	file, err := open(v.file)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	report, err := audit.VerifyExport(file, trusted, old)
	return stdio.verdict(v, report, err)
}

func (stdio IO) verdict(v verification, report audit.Report, err error) error {
	f := fault.Of(err)
	if v.json {
		out := verdict{Valid: err == nil, Report: report}
		if f != nil {
			out.Code, out.Text = f.Code, f.Text
		}
		if jerr := stdio.json(out); jerr != nil {
			return jerr
		}
	}
	switch {
	case err == nil:
		if !v.json {
			fmt.Fprintf(stdio.Out, "good: %d entries of organization %s, up to %s, under a checkpoint with both signatures%s\n",
				report.Entries, report.Org, report.Newest.UTC().Format(time.RFC3339), gone(report))
		}
		return nil
	case f.Code == fault.CodeUntrustedKey:
		stdio.said("untrusted: %s", printable(f.Text))
		return exit{exitUntrusted}
	case f.Kind != fault.Invalid:
		return err
	}
	stdio.said("bad: %s", printable(f.Text))
	for _, p := range report.Problems {
		certainty := "diagnosed"
		if p.Proven {
			certainty = "proven"
		}
		stdio.said("  %s (%s): %s", p.Class, certainty, printable(p.Text))
	}
	if report.More > 0 {
		stdio.said("  and %d more", report.More)
	}
	return exit{exitBad}
}

// gone says what a good export no longer holds.
func gone(r audit.Report) string {
	text := ""
	if r.First > 0 {
		text += fmt.Sprintf("; retention has dropped the first %d", r.First)
	}
	if r.Erased > 0 {
		text += fmt.Sprintf("; %d without their personal data", r.Erased)
	}
	return text
}

// oldCheckpoint reads the older checkpoint and believes it only when trusted keys signed it.
func oldCheckpoint(name string, trusted audit.Keys) (*audit.Checkpoint, error) {
	f, err := open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	signed := make([]byte, maxCheckpoint)
	n, err := f.Read(signed)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	opened, err := audit.OpenCheckpoint(signed[:n], trusted, time.Time{})
	if err != nil {
		return nil, err
	}
	return &opened.Checkpoint, nil
}

// open opens a file that the user named; one that isn't there is the user's mistake.
func open(name string) (*os.File, error) {
	f, err := os.Open(name) //nolint:gosec // the user of the command line names the file
	if errors.Is(err, fs.ErrNotExist) {
		return nil, usage{fmt.Errorf("%s does not exist", name)}
	}
	return f, err
}
