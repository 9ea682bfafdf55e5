package engine

import (
	"encoding"

	"assay.dev/assay/internal/asset"
)

// Schema describes the engine's options as a JSON Schema (2020-12, as OpenAPI 3.1 embeds it): an object without
// further properties. What the schema can't say (capabilities, options that exclude each other) stands in the
// descriptions and in `x-` members.
func (m Manifest) Schema() map[string]any {
	properties := make(map[string]any, len(m.Options))
	for _, o := range m.Options {
		properties[o.Name] = o.Schema()
	}
	return map[string]any{
		"type":                 "object",
		"title":                m.Title + " options",
		"additionalProperties": false,
		"properties":           properties,
	}
}

// Schema describes one option's value as JSON.
func (o Option) Schema() map[string]any {
	s := map[string]any{"description": o.Help}
	switch o.Type {
	case TypeBool:
		s["type"] = "boolean"
	case TypeInt:
		s["type"], s["minimum"], s["maximum"] = "integer", o.Min, o.Max
	case TypeEnum:
		s["type"], s["enum"] = "string", o.Enum
	case TypeEnumSet:
		s["type"], s["uniqueItems"] = "array", true
		s["items"] = map[string]any{"type": "string", "enum": o.Enum}
	case TypePorts:
		s["type"], s["maxLength"] = "string", maxPortsText
		s["pattern"] = `^[1-9][0-9]{0,4}(-[1-9][0-9]{0,4})?(,[1-9][0-9]{0,4}(-[1-9][0-9]{0,4})?){0,99}$`
	case TypeTargets:
		s["type"], s["maxItems"], s["uniqueItems"] = "array", o.Max, true
		s["items"] = map[string]any{"type": "string", "description": "an IP address or a network in CIDR notation"}
	}
	if o.Default != nil {
		s["default"] = plain(o.Default)
	}
	if o.Needs != "" {
		s["x-needs"] = o.Needs
	}
	if len(o.ValueNeeds) > 0 {
		s["x-value-needs"] = o.ValueNeeds
	}
	if len(o.Excludes) > 0 {
		s["x-excludes"] = o.Excludes
	}
	if o.Consent != "" {
		s["x-consent"] = o.Consent
	}
	return s
}

// plain returns a default as JSON shows it.
func plain(v any) any {
	switch v := v.(type) {
	case []asset.Target:
		out := make([]string, 0, len(v))
		for _, t := range v {
			out = append(out, t.String())
		}
		return out
	case encoding.TextMarshaler:
		if b, err := v.MarshalText(); err == nil {
			return string(b)
		}
	}
	return v
}

// ConfigSchema describes the config fields that the engine supports as a JSON Schema.
func (m Manifest) ConfigSchema() map[string]any {
	properties := make(map[string]any, len(m.Config))
	for _, f := range m.Config {
		properties[string(f)] = f.schema()
	}
	return map[string]any{"type": "object", "additionalProperties": false, "properties": properties}
}

func (f ConfigField) schema() map[string]any {
	switch f {
	case ConfigRateLimit:
		return map[string]any{
			"type": "integer", "minimum": 1, "maximum": MaxRateLimit,
			"description": "Most requests or packets a second.",
		}
	case ConfigMaxParallelism:
		return map[string]any{
			"type": "integer", "minimum": 1, "maximum": MaxParallelism,
			"description": "Most probes or connections under way at a time.",
		}
	case ConfigUserAgent:
		return map[string]any{
			"type": "string", "minLength": 1, "maxLength": MaxUserAgent,
			"description": "User-Agent of HTTP requests.",
		}
	case ConfigHeaders:
		return map[string]any{
			"type": "object", "maxProperties": MaxHeaders, "writeOnly": true,
			"additionalProperties": map[string]any{"type": "string", "maxLength": MaxHeaderValue},
			"description":          "Further request headers by name. Values are sealed at rest and never read back.",
		}
	case ConfigAuthentication:
		return map[string]any{
			"type": "object", "writeOnly": true,
			"description": "How the engine signs in at the target. Sealed at rest and never read back.",
		}
	}
	return map[string]any{}
}
