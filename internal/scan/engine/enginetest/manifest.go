package enginetest

import (
	"encoding/json"
	"errors"
	"regexp"
	"slices"
	"strings"
	"testing"

	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/word/fault"
)

func checkManifest(t *testing.T, m engine.Manifest) {
	t.Helper()
	if !regexp.MustCompile(`^[a-z][a-z0-9]{1,19}$`).MatchString(m.ID) {
		t.Errorf("id %q isn't a short lower-case word", m.ID)
	}
	for what, text := range map[string]string{"title": m.Title, "description": m.Description, "licence note": m.Licence} {
		if text == "" {
			t.Errorf("the manifest has no %s", what)
		}
	}
	if (m.Program == "") != (m.Install == "") {
		t.Error("an engine with a program says how to get it, and only such a one")
	}
	if m.ParserVersion < 1 {
		t.Error("parser versions begin at 1")
	}
	l := m.Limits
	if l.MaxOutput <= 0 || l.MaxFindings <= 0 || l.MaxMemory < 0 || l.CancelGrace < 0 || l.CancelGrace.Seconds() > 4 {
		t.Errorf("limits %+v: output and findings must be bounded, the grace at most four seconds", l)
	}
	seen := map[string]bool{}
	for _, o := range m.Options {
		if seen[o.Name] || !regexp.MustCompile(`^[a-z][a-zA-Z0-9]{1,39}$`).MatchString(o.Name) {
			t.Errorf("option %q isn't camelCase, or is there twice", o.Name)
		}
		seen[o.Name] = true
		checkOption(t, m, o)
	}
	if _, err := json.Marshal(map[string]any{"options": m.Schema(), "config": m.ConfigSchema()}); err != nil {
		t.Errorf("the schema doesn't marshal: %v", err)
	}
}

func checkOption(t *testing.T, m engine.Manifest, o engine.Option) {
	t.Helper()
	if o.Help == "" || !strings.HasSuffix(o.Help, ".") {
		t.Errorf("option %s needs a help text in sentences", o.Name)
	}
	switch o.Type {
	case engine.TypeInt, engine.TypeTargets:
		if o.Min > o.Max || o.Max == 0 {
			t.Errorf("option %s is not bounded", o.Name)
		}
	case engine.TypeEnum, engine.TypeEnumSet:
		if len(o.Enum) == 0 {
			t.Errorf("option %s has no values", o.Name)
		}
	case engine.TypeBool, engine.TypePorts:
	default:
		t.Errorf("option %s has the unknown type %q", o.Name, o.Type)
	}
	for _, other := range append(slices.Clone(o.Excludes), o.NotAbove, o.Consent) {
		if other != "" && !slices.ContainsFunc(m.Options, func(x engine.Option) bool { return x.Name == other }) {
			t.Errorf("option %s refers to %s, which isn't there", o.Name, other)
		}
	}
	if o.Default == nil {
		return
	}
	got, err := engine.ParseOptions(engine.Manifest{Options: []engine.Option{o}}, map[string]json.RawMessage{o.Name: raw(t, o.Default)}, nil)
	if err != nil {
		t.Errorf("option %s doesn't take its own default: %v", o.Name, err)
		return
	}
	if string(raw(t, got[o.Name])) != string(raw(t, o.Default)) {
		t.Errorf("the default of option %s isn't in its canonical form", o.Name)
	}
}

func checkOptions(t *testing.T, m engine.Manifest) {
	t.Helper()
	refuse := func(name, value string) {
		t.Helper()
		_, err := engine.ParseOptions(m, map[string]json.RawMessage{name: json.RawMessage(value)}, engine.Capabilities{engine.NetRaw})
		if !errors.Is(err, fault.New(fault.Invalid, fault.CodeValidation, "")) {
			t.Errorf("options {%q: %s} is taken: %v", name, value, err)
		}
	}
	// What lets a request run code or reach files in one engine or another must not be an option of any.
	for _, name := range []string{"unknownOption", "args", "script", "scriptArgs", "proxy", "output", "config", "file", "shell", "template"} {
		refuse(name, `"x"`)
	}
	for _, o := range m.Options {
		for _, value := range []string{`null`, `{}`, `[{}]`, `"\u0000"`, `"$(id)"`, `"--help"`, `-9223372036854775808`, `1.5`, `[["x"]]`} {
			refuse(o.Name, value)
		}
	}
}

func checkConfig(t *testing.T, m engine.Manifest) {
	t.Helper()
	all := map[engine.ConfigField]string{
		engine.ConfigRateLimit: `5`, engine.ConfigMaxParallelism: `5`, engine.ConfigUserAgent: `"x"`,
		engine.ConfigHeaders: `{"X-A":"b"}`, engine.ConfigAuthentication: `{}`,
	}
	for field, value := range all {
		_, err := engine.ParseConfig(m, map[string]json.RawMessage{string(field): json.RawMessage(value)})
		if supported := slices.Contains(m.Config, field); supported != (err == nil) {
			t.Errorf("config %s is supported: %v, but parsing says %v", field, supported, err)
		}
	}
	for _, f := range m.Config {
		if _, known := all[f]; !known {
			t.Errorf("config field %q isn't one", f)
		}
	}
}
