package packages

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	packageurl "github.com/package-url/packageurl-go"
)

// npmPart splits a scope off.
func npmPart(name, version string, dev bool) part {
	p := part{typ: packageurl.TypeNPM, name: name, version: version, dev: dev}
	if strings.HasPrefix(name, "@") {
		p.space, p.name, _ = strings.Cut(name, "/")
	}
	return p
}

// elsewhere reports whether a version is no release of the registry but a path, an archive or a repository.
func elsewhere(version string) bool {
	return strings.ContainsAny(version, "/:") || version == ""
}

// readNPM reads package-lock.json of lockfileVersion 1 (nested "dependencies") and 2 and 3 ("packages" by path).
func readNPM(content []byte, _ Tree, into *basket) error {
	type old struct {
		Version      string         `json:"version"`
		Dev          bool           `json:"dev"`
		Dependencies map[string]any `json:"dependencies"`
	}
	var file struct {
		Packages map[string]struct {
			Name    string          `json:"name"`
			Version string          `json:"version"`
			Dev     bool            `json:"dev"`
			Link    bool            `json:"link"`
			Licence json.RawMessage `json:"license"`
		} `json:"packages"`
		Dependencies map[string]json.RawMessage `json:"dependencies"`
	}
	if json.Unmarshal(content, &file) != nil {
		return ErrUnreadable
	}
	for _, at := range slices.Sorted(maps.Keys(file.Packages)) {
		p := file.Packages[at]
		_, name, nested := cutLast(at, "node_modules/")
		if !nested || p.Link || elsewhere(p.Version) {
			continue // the project itself, its workspaces, and links to them
		}
		if p.Name != "" {
			name = p.Name // an alias keeps the real name here
		}
		out := npmPart(name, p.Version, p.Dev)
		var licence string
		if json.Unmarshal(p.Licence, &licence) == nil && licence != "" {
			out.licences = []string{licence}
		}
		into.add(out)
	}
	if len(file.Packages) > 0 {
		return nil
	}
	var walk func(deps map[string]json.RawMessage, depth int)
	walk = func(deps map[string]json.RawMessage, depth int) {
		for _, name := range slices.Sorted(maps.Keys(deps)) {
			var d old
			if json.Unmarshal(deps[name], &d) != nil {
				continue
			}
			if real, ok := strings.CutPrefix(d.Version, "npm:"); ok { // an alias
				if n, v, found := cutLast(real, "@"); found {
					name, d.Version = n, v
				}
			}
			if !elsewhere(d.Version) {
				into.add(npmPart(name, d.Version, d.Dev))
			}
			var inner struct {
				Dependencies map[string]json.RawMessage `json:"dependencies"`
			}
			if len(d.Dependencies) > 0 && depth < 50 && json.Unmarshal(deps[name], &inner) == nil {
				walk(inner.Dependencies, depth+1)
			}
		}
	}
	walk(file.Dependencies, 0)
	return nil
}

// cutLast splits around the last separator.
func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// readNPMManifest takes exact versions; ranges say nothing of what is there.
func readNPMManifest(content []byte, _ Tree, into *basket) error {
	var file struct {
		Dependencies    map[string]string `json:"dependencies"`
		DevDependencies map[string]string `json:"devDependencies"`
	}
	if json.Unmarshal(content, &file) != nil {
		return ErrUnreadable
	}
	take := func(deps map[string]string, dev bool) {
		for _, name := range slices.Sorted(maps.Keys(deps)) {
			version := strings.TrimPrefix(deps[name], "=")
			if version != "" && strings.Count(version, ".") >= 2 && !strings.ContainsAny(version, "^~<>|*xX /:") {
				into.add(npmPart(name, version, dev))
			}
		}
	}
	take(file.Dependencies, false)
	take(file.DevDependencies, true)
	return nil
}

// readYarn reads yarn.lock of version 1 and of Berry: blocks that begin with their descriptors at the margin and hold
// "version" and, in Berry, "resolution".
func readYarn(content []byte, _ Tree, into *basket) error {
	name, version, resolution, local := "", "", "", false
	flush := func() {
		if at, n, ok := strings.Cut(resolution, "@npm:"); ok {
			name, version = at, cmpOr(version, n)
		}
		if name != "" && !local && !elsewhere(version) && name != "__metadata" {
			into.add(npmPart(name, version, false))
		}
		name, version, resolution, local = "", "", "", false
	}
	known := false
	for line := range strings.Lines(string(content)) {
		line = strings.TrimRight(line, "\r\n")
		trimmed := strings.TrimSpace(line)
		switch {
		case trimmed == "", strings.HasPrefix(trimmed, "#"):
			known = known || strings.Contains(trimmed, "yarn lockfile")
			continue
		case line[0] != ' ':
			flush()
			first, _, _ := strings.Cut(strings.Trim(strings.TrimSuffix(line, ":"), `"`), ",")
			first = strings.Trim(first, `" `)
			name, local = yarnName(first), strings.Contains(first, "@workspace:") || strings.Contains(first, "@file:") || strings.Contains(first, "@link:")
			known = known || strings.HasSuffix(line, ":") && strings.Contains(first, "@") || name == "__metadata"
		case strings.HasPrefix(line, "  ") && !strings.HasPrefix(line, "   "):
			key, value, _ := strings.Cut(trimmed, " ")
			value = strings.Trim(value, `" `)
			switch strings.TrimSuffix(key, ":") {
			case "version":
				version = value
			case "resolution":
				resolution = value
			}
		}
	}
	flush()
	if !known {
		return ErrUnreadable
	}
	return nil
}

// yarnName takes the name off a descriptor "name@range", where range may be an alias "npm:real@range".
func yarnName(descriptor string) string {
	at := strings.IndexByte(descriptor[min(1, len(descriptor)):], '@')
	if at < 0 {
		return descriptor
	}
	name, wanted := descriptor[:at+1], descriptor[at+2:]
	if real, ok := strings.CutPrefix(wanted, "npm:"); ok {
		if i := strings.LastIndexByte(real, '@'); i > 0 {
			return real[:i]
		}
	}
	return name
}

func cmpOr(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// readPnpm reads the keys of "packages" in pnpm-lock.yaml: "/name/1.0.0" (to version 5), "/name@1.0.0(peer)" (6),
// "name@1.0.0" (9).
func readPnpm(content []byte, _ Tree, into *basket) error {
	text := string(content)
	if !strings.Contains(text, "lockfileVersion") {
		return ErrUnreadable
	}
	within := false
	var last part
	flush := func() {
		if last.name != "" {
			into.add(last)
		}
		last = part{}
	}
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n ")
		switch {
		case line == "":
		case line[0] != ' ':
			flush()
			within = line == "packages:"
		case within && strings.HasPrefix(line, "  ") && line[2] != ' ' && strings.HasSuffix(line, ":"):
			flush()
			last = pnpmPart(strings.Trim(strings.TrimSuffix(line[2:], ":"), `'"`))
		case within && strings.TrimSpace(line) == "dev: true":
			last.dev = true
		}
	}
	flush()
	return nil
}

func pnpmPart(key string) part {
	key, _, _ = strings.Cut(strings.TrimPrefix(key, "/"), "(")
	name, version, ok := cutLast(key, "/")
	version, _, _ = strings.Cut(version, "_") // peers, in old files
	if !ok || version == "" || version[0] < '0' || version[0] > '9' || strings.Contains(version, "@") {
		if name, version, ok = cutLast(key, "@"); !ok || name == "" {
			return part{}
		}
	}
	if elsewhere(version) || version[0] < '0' || version[0] > '9' {
		return part{}
	}
	return npmPart(name, version, false)
}
