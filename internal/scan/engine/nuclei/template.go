package nuclei

import (
	"bufio"
	"bytes"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"assay.dev/assay/internal/scan/engine"
)

// Bounds of the templates that are counted.
const (
	maxTemplates = 50_000
	maxTemplate  = 256 << 10 // bytes read of one
)

// sets are the folders behind each name of the option templateSet, as the public collection has them.
func sets() map[string][]string {
	return map[string][]string{
		"cves":             {"http/cves", "network/cves"},
		"vulnerabilities":  {"http/vulnerabilities", "network/vulnerabilities"},
		"misconfiguration": {"http/misconfiguration", "network/misconfig"},
		"exposures":        {"http/exposures", "network/exposures"},
		"panels":           {"http/exposed-panels"},
		"technologies":     {"http/technologies", "network/detection"},
		"defaultLogins":    {"http/default-logins", "network/default-login"},
		"takeovers":        {"http/takeovers"},
		"tls":              {"ssl"},
		"custom":           {"custom"},
	}
}

func setNames() []string { return slices.Sorted(maps.Keys(sets())) }

// unwanted are the tags that stand for what isn't done unless it is asked for.
func unwanted() []string {
	return []string{"brute-force", "bruteforce", "dos", "fuzz", "fuzzing", "intrusive"}
}

// library is the chosen part of the operator's templates.
type library struct {
	dir     string   // absolute path of the folder
	folders []string // within it, that exist; "." is all of it
	missing []string // chosen sets of which nothing is there
	all     []template
}

// template is what is known of one file without understanding it.
type template struct {
	id       string
	file     string // path within the folder
	severity string
	tags     []string
	protocol string
}

// openLibrary finds the chosen templates. fs.ErrNotExist says that there is no folder at all.
func openLibrary(env engine.Env, chosen []string) (library, error) {
	if env.Data == nil {
		return library{}, fs.ErrNotExist
	}
	tree, err := env.Data(TemplatesKey)
	if err != nil {
		return library{}, err
	}
	l := library{dir: tree.Dir}
	if len(chosen) == 0 {
		l.folders = []string{"."}
	}
	for _, name := range chosen {
		found := false
		for _, folder := range sets()[name] {
			if info, err := fs.Stat(tree.FS, folder); err == nil && info.IsDir() {
				l.folders, found = append(l.folders, folder), true
			}
		}
		if !found {
			l.missing = append(l.missing, name)
		}
	}
	for _, folder := range l.folders {
		err := fs.WalkDir(tree.FS, folder, func(name string, d fs.DirEntry, err error) error {
			if err != nil || len(l.all) == maxTemplates {
				return err
			}
			if d.IsDir() && strings.HasPrefix(d.Name(), ".") && name != "." {
				return fs.SkipDir
			}
			if ext := path.Ext(name); !d.Type().IsRegular() || ext != ".yaml" && ext != ".yml" {
				return nil
			}
			if t, ok := readTemplate(tree.FS, name); ok {
				l.all = append(l.all, t)
			}
			return nil
		})
		if err != nil {
			return library{}, err
		}
	}
	return l, nil
}

// readTemplate reads the few lines of a template that say what it is. It understands no YAML: what is written another
// way than everybody writes it isn't counted, and then nothing counts as covered.
func readTemplate(from fs.FS, name string) (template, bool) {
	f, err := from.Open(name)
	if err != nil {
		return template{}, false
	}
	defer func() { _ = f.Close() }()
	t := template{file: name}
	lines := bufio.NewScanner(io.LimitReader(f, maxTemplate))
	lines.Buffer(make([]byte, 0, 4<<10), maxTemplate)
	inInfo := false
	for lines.Scan() {
		line := bytes.TrimRight(lines.Bytes(), " \r")
		key, value, ok := bytes.Cut(line, []byte(":"))
		if !ok || len(key) == 0 {
			continue
		}
		text := strings.Trim(strings.TrimSpace(string(value)), `"'`)
		indented := key[0] == ' '
		switch name := string(bytes.TrimSpace(key)); {
		case !indented:
			inInfo = name == "info"
			t.top(name, text)
		case inInfo && name == "severity":
			t.severity = strings.ToLower(text)
		case inInfo && name == "tags":
			for tag := range strings.SplitSeq(text, ",") {
				t.tags = append(t.tags, strings.ToLower(strings.TrimSpace(tag)))
			}
		}
	}
	return t, t.id != "" && t.protocol != ""
}

// top takes a member of the outermost mapping.
func (t *template) top(name, text string) {
	switch name {
	case "id":
		t.id = text
	case "http", "requests":
		t.is(protoHTTP)
	case "tcp", "network":
		t.is(protoTCP)
	case "ssl":
		t.is(protoSSL)
	case "dns", "headless", "javascript", "code", "file", "websocket", "whois", "workflows":
		t.is(name)
	}
}

// is notes the protocol; a template of several is of none that is used.
func (t *template) is(protocol string) {
	if t.protocol == "" {
		t.protocol = protocol
		return
	}
	t.protocol = "several"
}

// fits returns the templates that Nuclei should load for a start.
func (l library) fits(o engine.Options, protocols []string) []template {
	var out []template
	severities := o.Set("severities")
	for _, t := range l.all {
		if !slices.Contains(protocols, t.protocol) || len(severities) > 0 && !slices.Contains(severities, t.severity) {
			continue
		}
		if !o.Bool("includeIntrusive") && slices.ContainsFunc(t.tags, func(tag string) bool { return slices.Contains(unwanted(), tag) }) {
			continue
		}
		out = append(out, t)
	}
	return out
}
