// Package packages reads which packages a file tree holds out of its lock files, manifests and package databases: files
// in, facts out.
//
// It reads what is written there and guesses nothing: no network, no resolving of ranges, no program is asked. Files
// are a stranger's: what can't be read is an error of that file, never a panic, and what it holds is bounded. The package
// opens nothing and knows no scan and no vulnerability. Start with Read; format.go says which file is read by whom, and
// one file per family holds the readers. Why these readers are our own is told in docs/adr/0018-package-readers.md.
package packages

import (
	"cmp"
	"errors"
	"path"
	"slices"
	"strings"

	packageurl "github.com/package-url/packageurl-go"
)

// Bounds of one file.
const (
	MaxFile     = 32 << 20 // bytes that are worth reading
	MaxPackages = 50_000
	maxField    = 255
)

// ErrUnreadable is the error for a file that isn't of the form that its name promises.
var ErrUnreadable = errors.New("the file isn't of the form that its name promises")

// Package is one package as a file names it.
type Package struct {
	Name     string   `json:"name"` // with its group or scope: "@scope/name", "group:artifact", "github.com/a/b"
	Version  string   `json:"version"`
	Type     string   `json:"type"` // purl type: "npm", "golang", "deb"
	PURL     string   `json:"purl"`
	Licences []string `json:"licences,omitempty"`
	Dev      bool     `json:"dev,omitempty"` // needed for building or testing only, where the file tells
}

// Tree is what of the whole tree its readers need.
type Tree struct {
	Distro string // ID of etc/os-release: "debian", "alpine"; empty = unknown
}

// Knows reports whether a file of that path is read at all.
func Knows(name string) bool { return formatOf(name) != nil }

// Manifest reports whether a file states wishes rather than results: where a lock file lies beside it, that one counts.
func Manifest(name string) bool {
	f := formatOf(name)
	return f != nil && f.manifest
}

// Family names the packages that a file speaks of, "npm": manifests and lock files of one family belong together.
func Family(name string) string {
	if f := formatOf(name); f != nil {
		return f.family
	}
	return ""
}

// Read yields the packages that a file names, sorted by package URL, each once, at most MaxPackages. name is
// the file's path below its tree. A file that nobody reads yields nothing; one of another form is ErrUnreadable, and
// yields what was read before that showed.
func Read(name string, content []byte, tree Tree, yield func(Package)) error {
	f := formatOf(name)
	if f == nil {
		return nil
	}
	b := &basket{seen: map[string]int{}}
	err := f.read(content, tree, b)
	slices.SortFunc(b.all, func(x, y Package) int { return cmp.Compare(x.PURL, y.PURL) })
	for _, p := range b.all {
		yield(p)
	}
	return err
}

// basket gathers packages.
type basket struct {
	all  []Package
	seen map[string]int // by purl, where in all
}

// part is a package before it has its URL.
type part struct {
	typ, space, name, version string
	licences                  []string
	dev                       bool
}

// add files one package. One that is there twice, once for use, isn't for development only.
func (b *basket) add(p part) {
	p.name, p.version, p.space = strings.TrimSpace(p.name), strings.TrimSpace(p.version), strings.Trim(p.space, "/")
	if !plain(p.name) || !plain(p.version) || p.space != "" && !plain(p.space) {
		return
	}
	purl := packageurl.NewPackageURL(p.typ, p.space, p.name, p.version, nil, "")
	if purl.Normalize() != nil {
		return
	}
	text := purl.String()
	if i, known := b.seen[text]; known {
		b.all[i].Dev = b.all[i].Dev && p.dev
		return
	}
	if len(b.all) == MaxPackages {
		return
	}
	out := Package{Name: p.full(), Version: p.version, Type: p.typ, PURL: text, Dev: p.dev}
	for _, l := range p.licences[:min(len(p.licences), 10)] {
		if plain(l) {
			out.Licences = append(out.Licences, l)
		}
	}
	b.seen[text] = len(b.all)
	b.all = append(b.all, out)
}

// full is the name as the ecosystem writes it.
func (p part) full() string {
	switch {
	case p.space == "", p.typ == packageurl.TypeDebian, p.typ == packageurl.TypeApk:
		return p.name
	case p.typ == packageurl.TypeMaven:
		return p.space + ":" + p.name
	}
	return p.space + "/" + p.name
}

// plain reports whether a text can be a name or version: printable, without space, not too long.
func plain(s string) bool {
	if s == "" || len(s) > maxField {
		return false
	}
	return !strings.ContainsFunc(s, func(c rune) bool { return c <= ' ' || c == 0x7f || c == '\uFFFD' || c > 0x7f && c < 0xa1 })
}

// format is how one kind of file is read.
type format struct {
	family   string
	manifest bool
	read     func(content []byte, tree Tree, into *basket) error
}

// formatOf goes by the name alone, as the package managers do.
func formatOf(name string) *format {
	base := path.Base(name)
	for _, suffix := range []string{"var/lib/dpkg/status", "lib/apk/db/installed"} {
		if name == suffix || strings.HasSuffix(name, "/"+suffix) {
			base = suffix
		}
	}
	if strings.Contains("/"+name, "/var/lib/dpkg/status.d/") && !strings.HasSuffix(base, ".md5sums") {
		base = "var/lib/dpkg/status"
	}
	if f, ok := formats()[base]; ok {
		return &f
	}
	switch {
	case strings.HasSuffix(base, ".csproj"), strings.HasSuffix(base, ".fsproj"), strings.HasSuffix(base, ".vbproj"):
		return &format{family: packageurl.TypeNuget, manifest: true, read: readProject}
	case strings.HasPrefix(base, "requirements") && strings.HasSuffix(base, ".txt"):
		return &format{family: packageurl.TypePyPi, manifest: true, read: readRequirements}
	case strings.HasSuffix(base, ".gradle.lockfile"):
		return &format{family: packageurl.TypeMaven, read: readGradle}
	}
	return nil
}

func formats() map[string]format {
	return map[string]format{
		"package-lock.json":    {family: packageurl.TypeNPM, read: readNPM},
		"npm-shrinkwrap.json":  {family: packageurl.TypeNPM, read: readNPM},
		"package.json":         {family: packageurl.TypeNPM, manifest: true, read: readNPMManifest},
		"yarn.lock":            {family: packageurl.TypeNPM, read: readYarn},
		"pnpm-lock.yaml":       {family: packageurl.TypeNPM, read: readPnpm},
		"go.mod":               {family: packageurl.TypeGolang, read: readGo},
		"poetry.lock":          {family: packageurl.TypePyPi, read: tables(packageurl.TypePyPi)},
		"uv.lock":              {family: packageurl.TypePyPi, read: tables(packageurl.TypePyPi)},
		"pdm.lock":             {family: packageurl.TypePyPi, read: tables(packageurl.TypePyPi)},
		"Pipfile.lock":         {family: packageurl.TypePyPi, read: readPipfile},
		"Cargo.lock":           {family: packageurl.TypeCargo, read: tables(packageurl.TypeCargo)},
		"Gemfile.lock":         {family: packageurl.TypeGem, read: readGems},
		"gems.locked":          {family: packageurl.TypeGem, read: readGems},
		"composer.lock":        {family: packageurl.TypeComposer, read: readComposer},
		"pom.xml":              {family: packageurl.TypeMaven, manifest: true, read: readPOM},
		"gradle.lockfile":      {family: packageurl.TypeMaven, read: readGradle},
		"packages.lock.json":   {family: packageurl.TypeNuget, read: readNuget},
		"packages.config":      {family: packageurl.TypeNuget, read: readNugetConfig},
		"var/lib/dpkg/status":  {family: packageurl.TypeDebian, read: readDpkg},
		"lib/apk/db/installed": {family: packageurl.TypeApk, read: readApk},
	}
}
