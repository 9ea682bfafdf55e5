package platform

import (
	"context"
	"net/http"
	"time"

	"assay.dev/assay/internal/org/access"
	"assay.dev/assay/internal/scan/intel"
	"assay.dev/assay/internal/web/api"
	"assay.dev/assay/internal/web/problem"
	"assay.dev/assay/internal/word/event"
)

// Intel is what the handlers need of package intel.
type Intel interface {
	Status(ctx context.Context) ([]intel.State, error)
}

const tagFindings = "Findings"

func (h *handlers) intelRoutes() []api.Entry {
	return []api.Entry{api.Op(api.Route[struct{}, Out[IntelStatus]]{
		ID: "getIntel", Method: http.MethodGet, Path: "/api/intel", Family: problem.Platform,
		Scope: access.FindingsRead, Audit: event.IntelRead, Tags: []string{tagFindings}, Summary: "Get what is known of exploited vulnerabilities",
		Description: "Which EPSS scores, KEV catalogue and NVD vectors findings are enriched from. The operator loads them with " +
			"`assay intel import`; what no source says stays null in findings, never zero or false.",
		Handle: h.intel,
	})}
}

// IntelStatus is the state of every source.
type IntelStatus struct {
	Sources []IntelSource `json:"sources"`
}

// IntelSource is the state of one source.
type IntelSource struct {
	Source     string    `json:"source" enum:"epss,kev,nvd"`
	Loaded     bool      `json:"loaded" doc:"False where nothing was ever loaded."`
	Version    string    `json:"version" doc:"Of the EPSS model or the KEV catalogue; empty where the file doesn't say."`
	Date       *api.Time `json:"date" nullable:"true" doc:"Of the data, where the file says one."`
	Rows       int       `json:"rows"`
	SHA256     string    `json:"sha256" doc:"Of the file, in hex; empty where nothing is loaded."`
	ImportedAt *api.Time `json:"importedAt" nullable:"true"`
	AgeDays    int       `json:"ageDays" doc:"Whole days since the date, or since the import where there is none."`
	Stale      bool      `json:"stale" doc:"Older than the source's rhythm allows: EPSS 7 days, KEV 14, NVD 30."`
}

func (h *handlers) intel(ctx context.Context, _ *struct{}) (*Out[IntelStatus], error) {
	all, err := h.d.Intel.Status(ctx)
	if err != nil {
		return nil, err
	}
	out := IntelStatus{Sources: make([]IntelSource, len(all))}
	for i, s := range all {
		out.Sources[i] = IntelSource{
			Source: string(s.Source), Loaded: s.Known, Version: s.Version, Date: api.Moment(s.Date), Rows: s.Rows, SHA256: s.SHA256,
			ImportedAt: api.Moment(s.ImportedAt), AgeDays: int(s.Age / (24 * time.Hour)), Stale: s.Stale,
		}
	}
	return &Out[IntelStatus]{Body: out}, nil
}
