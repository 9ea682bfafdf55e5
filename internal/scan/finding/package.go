package finding

// Package is one package that a target holds: a library, or a part of its operating system. Parsers make it; nothing
// in it is trusted until CleanPackage has passed it.
type Package struct {
	Name     string
	Version  string
	PURL     string // package URL without qualifiers that move (purl-spec)
	Type     string // purl type: "npm", "golang", "deb"
	File     string // manifest or database that names it, relative to the target
	Licences []string
	Dev      bool // needed for building or testing only
}

// CleanPackage makes a package fit to be kept and shown, as Clean does observations. One without a name is empty.
func CleanPackage(p Package) Package {
	p.Name, p.Version, p.Type = key(p.Name), key(p.Version), key(p.Type)
	p.PURL = cut(oneLine(p.PURL), maxURL)
	p.File = cleanFile(p.File)
	for i, l := range p.Licences {
		p.Licences[i] = key(l)
	}
	p.Licences = p.Licences[:min(len(p.Licences), MaxReferences)]
	return p
}
