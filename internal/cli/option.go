package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"assay.dev/assay/internal/client"
)

// options turns NAME=VALUE pairs into JSON of the types that the engine declares: text stays text although it reads as
// a number ("ports=443"), and a comma parts the values of a list. Without a declaration (an unknown option or engine, or
// a key that may not read it) JSON is taken as such and all else as text; the server judges either way.
func options(ctx context.Context, api *client.Client, engine string, pairs []string) (map[string]json.RawMessage, error) {
	given := make([][2]string, 0, len(pairs))
	for _, p := range pairs {
		name, value, ok := strings.Cut(p, "=")
		if !ok || name == "" {
			return nil, usage{fmt.Errorf("--option takes NAME=VALUE, not %q", p)}
		}
		given = append(given, [2]string{name, value})
	}
	if len(given) == 0 {
		return nil, nil
	}
	declared := map[string]client.Option{}
	if all, err := api.Engines(ctx); err == nil {
		if i := slices.IndexFunc(all, func(e client.Engine) bool { return e.ID == engine }); i >= 0 {
			declared = all[i].Options.Properties
		}
	}
	out := make(map[string]json.RawMessage, len(given))
	for _, g := range given {
		raw, err := option(declared[g[0]].Type, g[1])
		if err != nil {
			return nil, err
		}
		out[g[0]] = raw
	}
	return out, nil
}

// option writes one value down as JSON of the type.
func option(typ, value string) (json.RawMessage, error) {
	raw := json.RawMessage(value)
	switch {
	case typ == "string":
		return json.Marshal(value)
	case typ == "array" && !strings.HasPrefix(value, "["):
		return json.Marshal(strings.Split(value, ","))
	case json.Valid(raw):
		return raw, nil
	}
	return json.Marshal(value)
}

// maxEngineConfig bounds what is read of a scan's config, in bytes; the server takes less.
const maxEngineConfig = 1 << 20

// engineConfig reads a scan's config from a file, "-" being in, and never from an argument: it may hold credentials, and
// arguments are seen by everybody. No name is no config.
func engineConfig(in io.Reader, name string) (json.RawMessage, error) {
	if name == "" {
		return nil, nil
	}
	if name != "-" {
		f, err := os.Open(name) //nolint:gosec // the file that the caller names
		if err != nil {
			return nil, usage{fmt.Errorf("--engine-config: %w", err)}
		}
		defer f.Close() //nolint:errcheck // it was only read
		in = f
	}
	raw, err := io.ReadAll(io.LimitReader(in, maxEngineConfig+1))
	if err != nil {
		return nil, usage{fmt.Errorf("--engine-config: %w", err)}
	}
	var object map[string]json.RawMessage
	if len(raw) > maxEngineConfig || json.Unmarshal(raw, &object) != nil {
		return nil, usage{errors.New("--engine-config: the file doesn't hold a JSON object")}
	}
	return raw, nil
}
