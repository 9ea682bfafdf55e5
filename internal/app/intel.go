package app

import (
	"context"
	"encoding/json"
	"io"
	"slices"
	"time"

	"assay.dev/assay/internal/scan/intel"
	"assay.dev/assay/internal/word/fault"
)

// IntelSource is the state of one public source of knowledge about CVEs, as an operator sees it.
type IntelSource struct {
	Source     string     `json:"source"` // epss, kev or nvd
	Loaded     bool       `json:"loaded"`
	Version    string     `json:"version,omitempty"` // of the EPSS model or the KEV catalogue
	Date       *time.Time `json:"date,omitempty"`    // of the data, where the file says one
	Rows       int        `json:"rows"`
	SHA256     string     `json:"sha256,omitempty"` // of the file
	ImportedAt *time.Time `json:"importedAt,omitempty"`
	AgeDays    int        `json:"ageDays"`
	Stale      bool       `json:"stale"`             // older than the source's rhythm allows
	Written    int        `json:"written,omitempty"` // of an import: rows that had to be written
	Skipped    int        `json:"skipped,omitempty"` // of an import: CVSS vectors that don't check
}

// intelligence makes the service that loads public sources. It holds no state of its own.
func (g *ground) intelligence() *intel.Service {
	return intel.New(intel.Deps{Store: g.store.Intel(), Now: g.now, IDs: g.ids})
}

// ImportIntel loads a source (epss, kev or nvd) from its published file, plain or packed with gzip. The file is read
// to its end before anything counts; one that is rejected changes nothing.
func (o Operator) ImportIntel(ctx context.Context, source string, file io.Reader) (IntelSource, error) {
	return send[IntelSource](ctx, o, "intel.import", intelOrder{source}, file)
}

// Intel returns the state of every source.
func (o Operator) Intel(ctx context.Context) ([]IntelSource, error) {
	return ask[[]IntelSource](ctx, o, "intel.status", struct{}{})
}

type intelOrder struct {
	Source string `json:"source"`
}

func importIntel(ctx context.Context, g *ground, order json.RawMessage, file io.Reader, out io.Writer) error {
	var in intelOrder
	if err := json.Unmarshal(order, &in); err != nil {
		return fault.New(fault.Invalid, fault.CodeValidation, "the order can't be read").Because(err)
	}
	service := g.intelligence()
	r, err := service.Import(ctx, intel.Source(in.Source), file)
	if err != nil {
		return err
	}
	all, err := service.Status(ctx)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(all, func(s intel.State) bool { return s.Source == r.Source })
	v := sourceView(all[i])
	v.Written, v.Skipped = r.Written, r.Skipped
	return json.NewEncoder(out).Encode(v)
}

func intelStatus(ctx context.Context, g *ground, _ struct{}) ([]IntelSource, error) {
	all, err := g.intelligence().Status(ctx)
	out := make([]IntelSource, len(all))
	for i, s := range all {
		out[i] = sourceView(s)
	}
	return out, err
}

func sourceView(s intel.State) IntelSource {
	v := IntelSource{
		Source: string(s.Source), Loaded: s.Known, Version: s.Version, Rows: s.Rows, SHA256: s.SHA256,
		AgeDays: int(s.Age / (24 * time.Hour)), Stale: s.Stale,
	}
	if !s.Date.IsZero() {
		v.Date = &s.Date
	}
	if !s.ImportedAt.IsZero() {
		v.ImportedAt = &s.ImportedAt
	}
	return v
}
