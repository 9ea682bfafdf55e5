package packages

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"strings"

	packageurl "github.com/package-url/packageurl-go"
)

// maxDepth bounds nesting of XML.
const maxDepth = 100

// document reads XML as strangers write it: no entities of its own, any encoding taken for UTF-8, bounded depth.
// visit is called at each element's end with its path, its attributes and its text.
func document(content []byte, visit func(path []string, attrs map[string]string, text string)) error {
	d := xml.NewDecoder(bytes.NewReader(content))
	d.Strict = true
	d.CharsetReader = func(_ string, in io.Reader) (io.Reader, error) { return in, nil }
	var path []string
	var attrs []map[string]string
	var text strings.Builder
	root := false
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) && len(path) == 0 && root {
			return nil
		}
		if err != nil {
			return ErrUnreadable
		}
		switch t := token.(type) {
		case xml.StartElement:
			if len(path) == maxDepth {
				return ErrUnreadable
			}
			path, root = append(path, t.Name.Local), true
			a := map[string]string{}
			for _, x := range t.Attr {
				a[x.Name.Local] = x.Value
			}
			attrs = append(attrs, a)
			text.Reset()
		case xml.CharData:
			if text.Len() < 4096 {
				text.Write(t)
			}
		case xml.EndElement:
			visit(path, attrs[len(attrs)-1], strings.TrimSpace(text.String()))
			path, attrs = path[:len(path)-1], attrs[:len(attrs)-1]
			text.Reset()
		}
	}
}

// readPOM takes dependencies whose versions stand in the file, properties of the same file filled in.
func readPOM(content []byte, _ Tree, into *basket) error {
	type dependency struct{ group, artifact, version, scope string }
	var all []dependency
	managed := map[string]string{}
	properties := map[string]string{}
	var d dependency
	err := document(content, func(path []string, _ map[string]string, text string) {
		at := strings.Join(path, "/")
		last := path[len(path)-1]
		switch {
		case len(path) == 3 && path[1] == "properties":
			properties[last] = text
		case at == "project/version", at == "project/groupId":
			properties["project."+last], properties["pom."+last] = text, text
		case at == "project/parent/version", at == "project/parent/groupId":
			for _, prefix := range []string{"project.", "pom."} {
				properties[prefix+"parent."+last] = text
				if properties[prefix+last] == "" {
					properties[prefix+last] = text
				}
			}
		case len(path) >= 2 && path[len(path)-2] == "dependency":
			switch last {
			case "groupId":
				d.group = text
			case "artifactId":
				d.artifact = text
			case "version":
				d.version = text
			case "scope":
				d.scope = text
			}
		case at == "project/dependencies/dependency":
			all, d = append(all, d), dependency{}
		case at == "project/dependencyManagement/dependencies/dependency":
			managed[d.group+":"+d.artifact] = d.version
			d = dependency{}
		case last == "dependency":
			d = dependency{} // of plugins and profiles
		}
	})
	fill := func(s string) string {
		for range 5 {
			head, rest, ok := strings.Cut(s, "${")
			name, tail, closed := strings.Cut(rest, "}")
			if !ok || !closed || len(s) > maxField {
				break
			}
			s = head + properties[name] + tail
		}
		return s
	}
	for _, x := range all[:min(len(all), MaxPackages)] {
		version := fill(cmpOr(x.version, managed[x.group+":"+x.artifact]))
		if version == "" || strings.ContainsAny(version, "[](),$") {
			continue
		}
		into.add(part{typ: packageurl.TypeMaven, space: fill(x.group), name: fill(x.artifact), version: version, dev: x.scope == "test"})
	}
	return err
}

// readProject takes PackageReference elements of .NET projects that fix a version.
func readProject(content []byte, _ Tree, into *basket) error {
	inner := ""
	return document(content, func(path []string, attrs map[string]string, text string) {
		switch {
		case len(path) >= 2 && path[len(path)-2] == "PackageReference" && path[len(path)-1] == "Version":
			inner = text
		case path[len(path)-1] == "PackageReference":
			version := cmpOr(attrs["Version"], inner)
			inner = ""
			if !strings.ContainsAny(version, "[](),*$") {
				into.add(part{typ: packageurl.TypeNuget, name: attrs["Include"], version: version})
			}
		}
	})
}

func readNugetConfig(content []byte, _ Tree, into *basket) error {
	return document(content, func(path []string, attrs map[string]string, _ string) {
		if len(path) == 2 && path[1] == "package" {
			into.add(part{typ: packageurl.TypeNuget, name: attrs["id"], version: attrs["version"], dev: attrs["developmentDependency"] == "true"})
		}
	})
}
