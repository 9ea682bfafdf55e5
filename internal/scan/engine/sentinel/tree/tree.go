// Package tree is Sentinel's look at a tree of files: credentials, packages, keys and certificates.
//
// It walks what it is given and hands every file to the readers of package inspect. It follows no link, opens no archive,
// runs nothing, and what it reads is bounded, because the tree is a stranger's. No value of a secret is kept. What was
// left out is counted, so that nobody takes its silence for an answer. Start with Walk.
package tree

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"path"
	"strings"

	"assay.dev/assay/internal/inspect/keyfile"
	"assay.dev/assay/internal/inspect/packages"
	"assay.dev/assay/internal/inspect/secrets"
)

// Bounds of one walk.
const (
	maxDepth    = 64
	maxEntries  = 1_000_000
	maxBytes    = 4 << 30 // read of all files together
	maxText     = 8 << 20 // of one file that is searched for secrets
	maxLeaks    = 3000
	maxPackages = 100_000
	maxKeys     = 5000
	maxPath     = 1024
	chunk       = 200 // packages of one record
)

// Options say what to look for.
type Options struct {
	Secrets, Packages, Keys bool
	Fingerprint             func(string) string
	// Seen is called now and then with the number of files so far.
	Seen func(files int)
}

// File is what one file holds. Long lists come in several records of one path.
type File struct {
	Path     string             `json:"path"`
	Leaks    []secrets.Leak     `json:"leaks,omitempty"`
	Packages []packages.Package `json:"packages,omitempty"`
	Keys     []keyfile.Fact     `json:"keys,omitempty"`
	Family   string             `json:"family,omitempty"`   // of packages
	Manifest bool               `json:"manifest,omitempty"` // wishes, not results
	Error    string             `json:"error,omitempty"`    // why its packages couldn't be read
}

// Sum is what a walk met.
type Sum struct {
	Files      int   `json:"files"`
	Bytes      int64 `json:"bytes"`    // read
	Searched   int   `json:"searched"` // files searched for secrets
	Links      int   `json:"links,omitempty"`
	Special    int   `json:"special,omitempty"`  // devices, pipes, sockets
	Large      int   `json:"large,omitempty"`    // over the bound
	Binary     int   `json:"binary,omitempty"`   // not text
	Archives   int   `json:"archives,omitempty"` // not opened
	Vendored   int   `json:"vendored,omitempty"` // left out by the rules' allow-list
	Unreadable int   `json:"unreadable,omitempty"`
	Leaks      int   `json:"leaks,omitempty"`
	Packages   int   `json:"packages,omitempty"`
	Keys       int   `json:"keys,omitempty"`
	// Cut says which bound ended the walk or took something away from it; empty = none.
	Cut  string `json:"cut,omitempty"`
	Done bool   `json:"done,omitempty"`
}

// errEnough ends a walk at its bounds.
var errEnough = errors.New("enough")

type walk struct {
	fsys  fs.FS
	o     Options
	scan  *secrets.Scanner
	tree  packages.Tree
	sum   Sum
	yield func(File)
}

// Walk looks through a tree in the order of its paths and yields a record for every file that holds something. It ends
// with ctx; Sum.Done says whether it came to the tree's end within its bounds.
func Walk(ctx context.Context, fsys fs.FS, scan *secrets.Scanner, o Options, yield func(File)) Sum {
	w := &walk{fsys: fsys, o: o, scan: scan, yield: yield}
	w.tree.Distro = distro(fsys)
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return w.entry(name, d, err)
	})
	w.sum.Done = err == nil && w.sum.Cut == "" && w.sum.Unreadable == 0
	return w.sum
}

func (w *walk) entry(name string, d fs.DirEntry, err error) error {
	if err != nil {
		w.sum.Unreadable++
		if name == "." {
			return err
		}
		return fs.SkipDir
	}
	if d.IsDir() {
		switch {
		case d.Name() == ".git" && name != ".":
			return fs.SkipDir // its objects are packed; the history isn't looked at
		case strings.Count(name, "/") >= maxDepth:
			w.cut("folders deeper than 64")
			return fs.SkipDir
		}
		return nil
	}
	w.sum.Files++
	if w.sum.Files%500 == 0 && w.o.Seen != nil {
		w.o.Seen(w.sum.Files)
	}
	switch {
	case w.sum.Files > maxEntries:
		w.cut("more than 1,000,000 files")
		return errEnough
	case w.sum.Bytes > maxBytes:
		w.cut("more than 4 GiB")
		return errEnough
	case d.Type()&fs.ModeSymlink != 0:
		w.sum.Links++
	case !d.Type().IsRegular():
		w.sum.Special++
	case len(name) > maxPath:
		w.cut("paths longer than 1,024 bytes")
	default:
		w.file(name, d)
	}
	return nil
}

func (w *walk) cut(why string) {
	if w.sum.Cut == "" {
		w.sum.Cut = why
	}
}

// file reads one file as far as anybody wants it. A reader that fails by its own fault fails for this file only.
func (w *walk) file(name string, d fs.DirEntry) {
	defer func() {
		if recover() != nil {
			w.sum.Unreadable++
		}
	}()
	info, err := d.Info()
	if err != nil {
		w.sum.Unreadable++
		return
	}
	known := w.o.Packages && packages.Knows(name)
	most := int64(maxText)
	if known {
		most = packages.MaxFile
	}
	if info.Size() > most {
		w.sum.Large++
		return
	}
	if archive(name) && !known {
		w.sum.Archives++
		return
	}
	content, err := read(w.fsys, name, most)
	if err != nil {
		w.sum.Unreadable++
		return
	}
	w.sum.Bytes += int64(len(content))
	f := File{Path: strings.ToValidUTF8(name, "?")}
	if w.o.Keys && keyfile.Looks(name, content) {
		w.keys(&f, content)
	}
	w.leaks(&f, content)
	if known {
		w.packages(&f, content)
	}
	if len(f.Leaks)+len(f.Keys)+len(f.Packages) > 0 || f.Family != "" {
		w.yield(f)
	}
}

func (w *walk) keys(f *File, content []byte) {
	keyfile.Read(f.Path, content, func(k keyfile.Fact) {
		if w.sum.Keys == maxKeys {
			w.cut("more than 5,000 keys and certificates")
			return
		}
		w.sum.Keys++
		k.Subject, k.Issuer, k.Names = clip(k.Subject), clip(k.Issuer), k.Names[:min(len(k.Names), 20)]
		f.Keys = append(f.Keys, k)
		if len(f.Keys) == chunk {
			w.yield(File{Path: f.Path, Keys: f.Keys})
			f.Keys = nil
		}
	})
}

func (w *walk) leaks(f *File, content []byte) {
	switch {
	case !w.o.Secrets:
		return
	case w.scan.Skips(f.Path):
		w.sum.Vendored++
		return
	case bytes.IndexByte(content[:min(len(content), 8000)], 0) >= 0:
		w.sum.Binary++
		content = nil // its name may tell all the same
	default:
		w.sum.Searched++
	}
	w.scan.Scan(f.Path, content, w.o.Fingerprint, func(l secrets.Leak) {
		if w.sum.Leaks == maxLeaks {
			w.cut("more than 3,000 credentials")
			return
		}
		w.sum.Leaks++
		f.Leaks = append(f.Leaks, l)
	})
}

func (w *walk) packages(f *File, content []byte) {
	f.Family, f.Manifest = packages.Family(f.Path), packages.Manifest(f.Path)
	err := packages.Read(f.Path, content, w.tree, func(p packages.Package) {
		if w.sum.Packages == maxPackages {
			w.cut("more than 100,000 packages")
			return
		}
		w.sum.Packages++
		f.Packages = append(f.Packages, p)
		if len(f.Packages) == chunk {
			w.yield(File{Path: f.Path, Family: f.Family, Manifest: f.Manifest, Packages: f.Packages})
			f.Packages = nil
		}
	})
	if err != nil {
		w.sum.Unreadable++
		f.Error = err.Error()
	}
}

func clip(s string) string {
	if len(s) > 256 {
		return strings.ToValidUTF8(s[:256], "")
	}
	return s
}

// read reads a regular file of at most so many bytes; one that has grown meanwhile is an error.
func read(fsys fs.FS, name string, most int64) ([]byte, error) {
	file, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	content, err := io.ReadAll(io.LimitReader(file, most+1))
	if err == nil && int64(len(content)) > most {
		err = fs.ErrInvalid
	}
	return content, err
}

// archive goes by the name: opening one is what bombs wait for.
func archive(name string) bool {
	switch strings.ToLower(path.Ext(name)) {
	case ".zip", ".jar", ".war", ".ear", ".whl", ".gz", ".tgz", ".bz2", ".xz", ".zst", ".7z", ".rar", ".tar", ".nupkg", ".apk", ".deb", ".rpm", ".iso", ".gem", ".egg", ".br", ".lz4":
		return true
	}
	return false
}

// distro reads ID of os-release(5), "" where the tree is no root of a system.
func distro(fsys fs.FS) string {
	for _, name := range []string{"etc/os-release", "usr/lib/os-release"} {
		content, err := read(fsys, name, 64<<10)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(content)) {
			if id, ok := strings.CutPrefix(strings.TrimSpace(line), "ID="); ok {
				id = strings.ToLower(strings.Trim(id, `"'`))
				if id != "" && len(id) <= 32 && strings.Trim(id, "abcdefghijklmnopqrstuvwxyz0123456789-_.") == "" {
					return id
				}
			}
		}
	}
	return ""
}
