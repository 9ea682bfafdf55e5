package secrets

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
	"github.com/zricethezav/gitleaks/v8/config"
)

var update = flag.Bool("update", false, "write rules.json anew from the published rules")

// upstream is the form of the published file.
type upstream struct {
	AllowList upstreamAllow  `toml:"allowlist"`
	Rules     []upstreamRule `toml:"rules"`
}

type upstreamRule struct {
	ID          string          `toml:"id"`
	Description string          `toml:"description"`
	Regex       string          `toml:"regex"`
	Path        string          `toml:"path"`
	SecretGroup int             `toml:"secretGroup"`
	Entropy     float64         `toml:"entropy"`
	Keywords    []string        `toml:"keywords"`
	Allowlists  []upstreamAllow `toml:"allowlists"`
}

type upstreamAllow struct {
	Condition   string   `toml:"condition"`
	RegexTarget string   `toml:"regexTarget"`
	Paths       []string `toml:"paths"`
	Regexes     []string `toml:"regexes"`
	StopWords   []string `toml:"stopwords"`
}

func (a upstreamAllow) file() allowFile {
	return allowFile{All: strings.EqualFold(a.Condition, "and"), Target: a.RegexTarget, Paths: a.Paths, Regexes: a.Regexes, Stop: a.StopWords}
}

func TestTheEmbeddedRulesAreThePublishedOnes(t *testing.T) {
	t.Parallel()
	var from upstream
	meta, err := toml.Decode(config.DefaultConfig, &from)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range meta.Undecoded() {
		switch key[len(key)-1] {
		case "title", "minVersion", "description":
		default:
			t.Errorf("the published rules have %s, which isn't read", key)
		}
	}
	file := bookFile{Allow: from.AllowList.file()}
	for _, r := range from.Rules {
		out := ruleFile{ID: r.ID, About: r.Description, Regex: r.Regex, Path: r.Path, Group: r.SecretGroup, Entropy: r.Entropy}
		for _, k := range r.Keywords {
			out.Keywords = append(out.Keywords, strings.ToLower(k))
		}
		for _, a := range r.Allowlists {
			out.Allow = append(out.Allow, a.file())
		}
		file.Rules = append(file.Rules, out)
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", " ")
	if err := enc.Encode(file); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile("rules.json", b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if !bytes.Equal(b.Bytes(), published) {
		t.Error("rules.json isn't what is published; run with -update and look at the difference")
	}
}

func TestEveryRuleCompilesAndCanBeWoken(t *testing.T) {
	t.Parallel()
	for _, r := range readBook().rules {
		r.find()
		r.path()
		if r.expression != "" && len(r.keywords) == 0 {
			t.Errorf("rule %s has no keyword: nothing would ever wake it", r.id)
		}
		for _, a := range r.allow {
			a.paths()
			a.regexes()
		}
	}
}
