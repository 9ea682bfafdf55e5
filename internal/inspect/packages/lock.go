package packages

import (
	"bufio"
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	packageurl "github.com/package-url/packageurl-go"
	"golang.org/x/mod/modfile"
)

// readGo reads go.mod: what is required, after replacements by other modules. Local replacements hold no version.
func readGo(content []byte, _ Tree, into *basket) error {
	file, err := modfile.Parse("go.mod", content, nil)
	if err != nil { // newer than this reader; what is required reads the same
		file, err = modfile.ParseLax("go.mod", content, nil)
	}
	if err != nil || file.Module == nil {
		return ErrUnreadable
	}
	replaced := map[string][2]string{}
	for _, r := range file.Replace {
		replaced[r.Old.Path+"@"+r.Old.Version] = [2]string{r.New.Path, r.New.Version}
	}
	for _, r := range file.Require {
		name, version := r.Mod.Path, r.Mod.Version
		for _, key := range []string{name + "@" + version, name + "@"} {
			if to, ok := replaced[key]; ok {
				name, version = to[0], to[1]
				break
			}
		}
		if version == "" {
			continue
		}
		space, base, ok := cutLast(name, "/")
		if !ok {
			space, base = "", name
		}
		into.add(part{typ: packageurl.TypeGolang, space: space, name: base, version: version})
	}
	return nil
}

// tables reads lock files of TOML tables: each [[package]] has a name and a version as plain strings (Cargo.lock,
// poetry.lock, uv.lock). Local members of a workspace have no source, or an editable or virtual one.
func tables(typ string) func([]byte, Tree, *basket) error {
	return func(content []byte, _ Tree, into *basket) error {
		var p part
		source, local, known := typ != packageurl.TypeCargo, false, false
		flush := func() {
			if p.name != "" && p.version != "" && source && !local {
				into.add(p)
			}
			p, source, local = part{typ: typ}, typ != packageurl.TypeCargo, false
		}
		flush()
		top := false // within the table itself, not one below it
		for line := range strings.Lines(string(content)) {
			line = strings.TrimSpace(line)
			if strings.HasPrefix(line, "[") {
				if top = line == "[[package]]"; top {
					flush()
					known = true
				}
				continue
			}
			key, value, ok := strings.Cut(line, "=")
			if !ok || !top {
				continue
			}
			key, value = strings.TrimSpace(key), strings.TrimSpace(value)
			switch key {
			case "name":
				p.name = strings.Trim(value, `"'`)
			case "version":
				p.version = strings.Trim(value, `"'`)
			case "category":
				p.dev = strings.Trim(value, `"'`) == "dev"
			case "source":
				source = true
				local = strings.Contains(value, "editable") || strings.Contains(value, "virtual") || strings.Contains(value, "directory")
			}
		}
		flush()
		if !known && len(bytes.TrimSpace(content)) > 0 && !bytes.Contains(content, []byte("version = ")) {
			return ErrUnreadable
		}
		return nil
	}
}

// readRequirements takes pinned lines ("name==1.0"). What is included from elsewhere is read where it lies.
func readRequirements(content []byte, _ Tree, into *basket) error {
	for line := range strings.Lines(string(content)) {
		line, _, _ = strings.Cut(line, "#")
		line, _, _ = strings.Cut(line, ";")
		line, _, _ = strings.Cut(line, " --") // hashes
		name, version, ok := strings.Cut(strings.TrimSuffix(strings.TrimSpace(line), `\`), "==")
		if !ok || strings.HasPrefix(name, "-") {
			continue
		}
		name, _, _ = strings.Cut(name, "[")
		version = strings.TrimSpace(strings.TrimPrefix(version, "="))
		if strings.ContainsAny(version, ",*") {
			continue
		}
		into.add(part{typ: packageurl.TypePyPi, name: name, version: version})
	}
	return nil
}

func readPipfile(content []byte, _ Tree, into *basket) error {
	type pin struct {
		Version string `json:"version"`
	}
	var file struct {
		Default map[string]pin `json:"default"`
		Develop map[string]pin `json:"develop"`
	}
	if json.Unmarshal(content, &file) != nil {
		return ErrUnreadable
	}
	take := func(pins map[string]pin, dev bool) {
		for _, name := range slices.Sorted(maps.Keys(pins)) {
			into.add(part{typ: packageurl.TypePyPi, name: name, version: strings.TrimPrefix(pins[name].Version, "=="), dev: dev})
		}
	}
	take(file.Default, false)
	take(file.Develop, true)
	return nil
}

// readGems takes the resolved lines of GEM sections: four spaces, the name, the version in parentheses.
func readGems(content []byte, _ Tree, into *basket) error {
	section, known := "", false
	for line := range strings.Lines(string(content)) {
		line = strings.TrimRight(line, "\r\n")
		if line != "" && line[0] != ' ' {
			section = line
			known = known || section == "GEM" || section == "PLATFORMS"
			continue
		}
		if section != "GEM" || !strings.HasPrefix(line, "    ") || strings.HasPrefix(line, "     ") {
			continue
		}
		name, version, ok := strings.Cut(strings.TrimSpace(line), " (")
		version = strings.TrimSuffix(version, ")")
		if v, platform, found := strings.Cut(version, "-"); found && platform != "" && !strings.HasPrefix(platform, "rc") {
			version = v // a platform's build
		}
		if ok {
			into.add(part{typ: packageurl.TypeGem, name: name, version: version})
		}
	}
	if !known {
		return ErrUnreadable
	}
	return nil
}

func readComposer(content []byte, _ Tree, into *basket) error {
	type locked struct {
		Name    string          `json:"name"`
		Version string          `json:"version"`
		Licence json.RawMessage `json:"license"`
	}
	var file struct {
		Packages []locked `json:"packages"`
		Dev      []locked `json:"packages-dev"`
	}
	if json.Unmarshal(content, &file) != nil {
		return ErrUnreadable
	}
	take := func(list []locked, dev bool) {
		for _, l := range list {
			space, name, ok := strings.Cut(l.Name, "/")
			if !ok {
				continue
			}
			p := part{typ: packageurl.TypeComposer, space: space, name: name, version: strings.TrimPrefix(l.Version, "v"), dev: dev}
			_ = json.Unmarshal(l.Licence, &p.licences) // one of another form is left out
			into.add(p)
		}
	}
	take(file.Packages, false)
	take(file.Dev, true)
	return nil
}

// readGradle reads "group:artifact:version=configurations" lines.
func readGradle(content []byte, _ Tree, into *basket) error {
	for line := range strings.Lines(string(content)) {
		line = strings.TrimSpace(line)
		coordinates, uses, ok := strings.Cut(line, "=")
		parts := strings.Split(coordinates, ":")
		if !ok || strings.HasPrefix(line, "#") || len(parts) != 3 {
			continue
		}
		dev := true
		for use := range strings.SplitSeq(uses, ",") {
			dev = dev && strings.HasPrefix(strings.ToLower(use), "test")
		}
		into.add(part{typ: packageurl.TypeMaven, space: parts[0], name: parts[1], version: parts[2], dev: dev})
	}
	return nil
}

func readNuget(content []byte, _ Tree, into *basket) error {
	var file struct {
		Dependencies map[string]map[string]struct {
			Type     string `json:"type"`
			Resolved string `json:"resolved"`
		} `json:"dependencies"`
	}
	if json.Unmarshal(content, &file) != nil {
		return ErrUnreadable
	}
	for _, framework := range slices.Sorted(maps.Keys(file.Dependencies)) {
		for _, name := range slices.Sorted(maps.Keys(file.Dependencies[framework])) {
			d := file.Dependencies[framework][name]
			if d.Type != "Project" {
				into.add(part{typ: packageurl.TypeNuget, name: name, version: d.Resolved})
			}
		}
	}
	return nil
}

// fields reads "Key: value" paragraphs; a paragraph ends at an empty line. What goes on in the next line is left out.
func fields(content []byte, separator string, each func(map[string]string)) {
	paragraph := map[string]string{}
	lines := bufio.NewScanner(bytes.NewReader(content))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		if strings.TrimSpace(line) == "" {
			each(paragraph)
			clear(paragraph)
			continue
		}
		if key, value, ok := strings.Cut(line, separator); ok && line[0] != ' ' && len(paragraph) < 64 {
			if _, twice := paragraph[key]; !twice {
				paragraph[key] = strings.TrimSpace(value)
			}
		}
	}
	each(paragraph)
}

func readDpkg(content []byte, tree Tree, into *basket) error {
	fields(content, ":", func(p map[string]string) {
		if status := p["Status"]; status == "" || strings.HasSuffix(status, " installed") {
			into.add(part{typ: packageurl.TypeDebian, space: cmpOr(tree.Distro, "debian"), name: p["Package"], version: p["Version"]})
		}
	})
	return nil
}

func readApk(content []byte, tree Tree, into *basket) error {
	fields(content, ":", func(p map[string]string) {
		out := part{typ: packageurl.TypeApk, space: cmpOr(tree.Distro, "alpine"), name: p["P"], version: p["V"]}
		if l := p["L"]; l != "" {
			out.licences = []string{strings.ReplaceAll(l, " ", "-")}
		}
		into.add(out)
	})
	return nil
}
