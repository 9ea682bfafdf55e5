package config

import (
	"fmt"
	"io"
	"reflect"
	"strings"
)

// Setting is one line of the reference.
type Setting struct {
	Key     string `json:"key"`
	Env     string `json:"env"`
	Default string `json:"default"`
	Help    string `json:"help"`
}

// Reference lists every setting in the order of Config.
func Reference() []Setting {
	def := reflect.ValueOf(Default())
	var out []Setting
	for f, v := range def.Fields() {
		key := f.Tag.Get("koanf")
		out = append(out, Setting{
			Key: key, Env: EnvPrefix + strings.ToUpper(key), Default: text(v), Help: f.Tag.Get("help"),
		})
	}
	return out
}

func text(v reflect.Value) string {
	if v.Kind() == reflect.Slice {
		parts := make([]string, v.Len())
		for i := range parts {
			parts[i] = fmt.Sprint(v.Index(i))
		}
		return strings.Join(parts, ",")
	}
	return fmt.Sprint(v)
}

// WriteReference writes the reference as a Markdown table (docs/reference/configuration.md is made of it).
func WriteReference(w io.Writer) error {
	if _, err := fmt.Fprint(w, "# Settings\n\nDefaults < file (`--config FILE`, YAML) < environment < flags. Unknown keys are fatal. Lists in the environment are\ncomma-separated. `assay config check` reads and checks without starting.\n\n| Key | Environment | Default | What it is |\n|---|---|---|---|\n"); err != nil {
		return err
	}
	for _, s := range Reference() {
		d := s.Default
		if d == "" {
			d = "–"
		} else {
			d = "`" + d + "`"
		}
		if _, err := fmt.Fprintf(w, "| `%s` | `%s` | %s | %s |\n", s.Key, s.Env, d, s.Help); err != nil {
			return err
		}
	}
	return nil
}
