package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"reflect"
	"slices"
	"sort"
	"strings"

	"github.com/go-viper/mapstructure/v2"
	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/providers/file"
	"github.com/knadh/koanf/v2"
)

// Sources says where settings come from. Flags are the keys that were given on the command line.
type Sources struct {
	File    string // YAML; empty = none; a named file that is missing is an error
	Environ []string
	Flags   map[string]any
}

// clientVariables are environment variables with our prefix that the command line reads for itself.
func clientVariables() []string {
	return []string{"ASSAY_API_KEY", "ASSAY_SERVER", "ASSAY_CONFIG", "ASSAY_CA_FILE"}
}

// Load reads defaults < file < environment < flags and checks the result. Unknown keys, in the file and in the
// environment, are errors that name the key and never its value.
func Load(src Sources) (Config, error) {
	k := koanf.New(".")
	if src.File != "" {
		if err := k.Load(file.Provider(src.File), yaml.Parser()); err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				return Config{}, fmt.Errorf("configuration file %s does not exist", src.File)
			}
			return Config{}, fmt.Errorf("configuration file %s is not valid YAML: %w", src.File, err)
		}
	}
	if err := k.Load(env.Provider(".", env.Opt{
		Prefix: EnvPrefix, EnvironFunc: func() []string { return src.Environ }, TransformFunc: fromEnv,
	}), nil); err != nil {
		return Config{}, fmt.Errorf("reading the environment: %w", err)
	}
	if err := k.Load(confmap.Provider(src.Flags, "."), nil); err != nil {
		return Config{}, fmt.Errorf("reading flags: %w", err)
	}
	if err := unknown(k); err != nil {
		return Config{}, err
	}
	cfg := Default()
	err := k.UnmarshalWithConf("", &cfg, koanf.UnmarshalConf{DecoderConfig: &mapstructure.DecoderConfig{
		Result: &cfg, WeaklyTypedInput: true, TagName: "koanf", ZeroFields: true,
		DecodeHook: mapstructure.StringToTimeDurationHookFunc(),
	}})
	if err != nil {
		return Config{}, fmt.Errorf("a setting has the wrong type: %s", firstLine(err))
	}
	if err := cfg.Check(); err != nil {
		return Config{}, err
	}
	return cfg, nil
}

// fromEnv turns a variable into a key and its value; lists are comma-separated. Names that belong to the command line
// or to tests are left out.
func fromEnv(name, value string) (string, any) {
	if slices.Contains(clientVariables(), name) || strings.HasPrefix(name, "ASSAY_TEST_") {
		return "", nil
	}
	key := strings.ToLower(strings.TrimPrefix(name, EnvPrefix))
	if isList(key) {
		return key, splitList(value)
	}
	return key, value
}

func splitList(v string) []string {
	var out []string
	for part := range strings.SplitSeq(v, ",") {
		if part = strings.TrimSpace(part); part != "" {
			out = append(out, part)
		}
	}
	return out
}

func isList(key string) bool {
	for f := range reflect.TypeFor[Config]().Fields() {
		if f.Tag.Get("koanf") == key {
			return f.Type.Kind() == reflect.Slice
		}
	}
	return false
}

func unknown(k *koanf.Koanf) error {
	known := map[string]bool{}
	for f := range reflect.TypeFor[Config]().Fields() {
		known[f.Tag.Get("koanf")] = true
	}
	var bad []string
	for key := range k.Raw() {
		if !known[key] {
			bad = append(bad, key)
		}
	}
	if len(bad) == 0 {
		return nil
	}
	sort.Strings(bad)
	return fmt.Errorf("unknown setting %s; `assay config reference` lists all (in the environment: %s%s)",
		strings.Join(bad, ", "), EnvPrefix, strings.ToUpper(bad[0]))
}

func firstLine(err error) string {
	s, _, _ := strings.Cut(err.Error(), "\n")
	return s
}

// FromOS returns the sources of a real process.
func FromOS(path string, flags map[string]any) Sources {
	if path == "" {
		path = os.Getenv("ASSAY_CONFIG")
	}
	return Sources{File: path, Environ: os.Environ(), Flags: flags}
}
