package tree

import (
	"cmp"
	"path"
	"slices"

	"assay.dev/assay/internal/inspect/packages"
)

// Stock gathers the packages of a tree from its records until all of them are known: a lock file may come after its
// manifest. It takes any records.
type Stock struct {
	parts  map[string]Part
	wishes map[string]string // by file: the family of a manifest
	locked map[string]bool   // family and folder of a lock file
}

// Part is one package and the file that names it.
type Part struct {
	packages.Package
	File string
}

// NewStock returns an empty Stock.
func NewStock() *Stock {
	return &Stock{parts: map[string]Part{}, wishes: map[string]string{}, locked: map[string]bool{}}
}

// Add takes one record's packages.
func (s *Stock) Add(f File) {
	if f.Manifest {
		s.wishes[f.Path] = f.Family
	} else if f.Family != "" && f.Error == "" {
		s.locked[f.Family+"\x00"+path.Dir(f.Path)] = true
	}
	for _, p := range f.Packages {
		if len(s.parts) < maxPackages {
			s.parts[f.Path+"\x00"+p.PURL] = Part{Package: p, File: f.Path}
		}
	}
}

// Packages are those that count, sorted by file and package URL. What a manifest wishes for doesn't where a lock file of
// its folder says what is there.
func (s *Stock) Packages() []Part {
	var out []Part
	for _, p := range s.parts {
		if family, wish := s.wishes[p.File]; wish && s.locked[family+"\x00"+path.Dir(p.File)] {
			continue
		}
		out = append(out, p)
	}
	slices.SortFunc(out, func(a, b Part) int { return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.PURL, b.PURL)) })
	return out
}
