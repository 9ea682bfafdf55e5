package cli

import (
	"context"
	"encoding/json"
	"fmt"
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
