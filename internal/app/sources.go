package app

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"

	"assay.dev/assay/internal/infra/egress"
	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/word/secret"
)

// maxSourceKey bounds the file of a source's key in bytes.
const maxSourceKey = 4 << 10

// chosen returns the sources that a run may ask: those that its options name. A source that no option of the engine
// offers is asked in every run. The base of a source that the operator has set elsewhere is its mirror's.
func (o *outfitter) chosen(m engine.Manifest, options json.RawMessage) []egress.Source {
	var raw map[string]json.RawMessage
	_ = json.Unmarshal(options, &raw) // they were checked when the scan was ordered; what can't be read chooses nothing
	parsed, err := engine.ParseOptions(m, raw, engine.Capabilities{engine.NetRaw})
	var out []egress.Source
	for _, s := range m.Sources {
		offered, wanted := false, false
		for _, opt := range m.Options {
			if opt.Type == engine.TypeEnumSet && slices.Contains(opt.Enum, s.ID) {
				offered = true
				wanted = wanted || err == nil && slices.Contains(parsed.Set(opt.Name), s.ID)
			}
		}
		base, parseErr := url.Parse(s.URL)
		if offered && !wanted || parseErr != nil {
			continue
		}
		asked := base
		if mirror, ok := o.mirrors[s.ID]; ok {
			asked = mirror
		}
		out = append(out, egress.Source{Public: base, Asked: asked})
	}
	return out
}

// web asks the run's sources, at their mirrors where the operator has set them.
func (o *outfitter) web(sources []egress.Source) http.RoundTripper {
	bases := make([]*url.URL, 0, len(sources))
	for _, s := range sources {
		bases = append(bases, s.Public)
	}
	return egress.NewSources(egress.NewMirrored(o.out, sources), bases...)
}

// programDial is what a run's programs connect by: to its sources under the policy of the server's own clients, to its
// target within the scan's scope. Programs of an engine that never touches its target reach the sources only.
func (o *outfitter) programDial(m engine.Manifest, sources []egress.Source, target egress.DialFunc) egress.DialFunc {
	if len(sources) == 0 && !m.Passive {
		return target
	}
	third := egress.NewSourceDialer(o.out, sources)
	if m.Passive {
		return third.DialContext
	}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		if third.Knows(address) {
			return third.DialContext(ctx, network, address)
		}
		return target(ctx, network, address)
	}
}

// sourceKey reads the operator's key of a source from its file, anew for each run, so that a key can be replaced while
// the server runs. A file that others may read is not used.
func (o *outfitter) sourceKey(source string) secret.Text {
	folder := o.app.cfg.SourceKeys
	if folder == "" {
		return secret.Text{}
	}
	root, err := os.OpenRoot(folder)
	if err != nil {
		o.app.log.Warn("source keys can't be read", slog.Any("error", err))
		return secret.Text{}
	}
	defer func() { _ = root.Close() }()
	f, err := root.Open(source)
	if err != nil {
		return secret.Text{}
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() || info.Mode().Perm()&0o077 != 0 {
		o.app.log.Warn("source key not used: its file must be its owner's alone", slog.String("source", source))
		return secret.Text{}
	}
	text, err := io.ReadAll(io.LimitReader(f, maxSourceKey))
	if err != nil {
		return secret.Text{}
	}
	return secret.New(strings.TrimSpace(string(text)))
}
