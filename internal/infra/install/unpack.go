package install

import (
	"archive/tar"
	"archive/zip"
	"compress/bzip2"
	"compress/gzip"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"assay.dev/assay/internal/word/fault"
)

// Bounds of an archive.
const (
	maxEntries  = 100_000
	maxUnpacked = 4 << 30 // bytes, all files together
	maxLink     = 4 << 10 // bytes of a link's target
)

// unpack puts an archive's files into dir, or the file itself under the part's name where it is none.
func unpack(from *os.File, name, part, dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return broken("the engine's folder can't be opened", err)
	}
	defer func() { _ = root.Close() }()
	u := &unpacker{root: root, left: maxUnpacked, entries: maxEntries}
	switch lower := strings.ToLower(name); {
	case strings.HasSuffix(lower, ".tar.gz"), strings.HasSuffix(lower, ".tgz"):
		z, zerr := gzip.NewReader(from)
		if zerr != nil {
			return damaged(zerr)
		}
		err = u.tar(z)
	case strings.HasSuffix(lower, ".tar.bz2"):
		err = u.tar(bzip2.NewReader(from))
	case strings.HasSuffix(lower, ".tar"):
		err = u.tar(from)
	case strings.HasSuffix(lower, ".zip"), strings.HasSuffix(lower, ".whl"):
		err = u.zip(from)
	default:
		if part == "" || strings.Contains(part, "/") {
			part = name
		}
		err = u.file(part, 0o755, from)
	}
	if f := (*fault.Error)(nil); err != nil && !errors.As(err, &f) {
		return damaged(err)
	}
	return err
}

func damaged(cause error) error {
	return fault.New(fault.Invalid, fault.CodeValidation, "the archive can't be unpacked").Because(cause)
}

// hostile is the fault of an archive that wants more than to be unpacked.
func hostile(why string) error {
	return fault.New(fault.Forbidden, fault.CodeTargetForbidden, "the archive is refused: it holds "+why)
}

// unpacker writes entries below one folder. Names and links that lead out of it are refused, not corrected; os.Root
// refuses what slips through.
type unpacker struct {
	root    *os.Root
	left    int64
	entries int
}

func (u *unpacker) tar(from io.Reader) error {
	r := tar.NewReader(from)
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		switch h.Typeflag {
		case tar.TypeReg:
			err = u.file(h.Name, h.FileInfo().Mode(), r)
		case tar.TypeDir:
			err = u.folder(h.Name)
		case tar.TypeSymlink:
			err = u.link(h.Name, h.Linkname)
		case tar.TypeXGlobalHeader, tar.TypeXHeader:
		default:
			err = hostile("a hard link, device or pipe")
		}
		if err != nil {
			return err
		}
	}
}

func (u *unpacker) zip(from *os.File) error {
	info, err := from.Stat()
	if err != nil {
		return err
	}
	r, err := zip.NewReader(from, info.Size())
	if err != nil && !errors.Is(err, zip.ErrInsecurePath) {
		return err
	}
	for _, f := range r.File {
		if err := u.member(f); err != nil {
			return err
		}
	}
	return nil
}

func (u *unpacker) member(f *zip.File) error {
	mode := f.Mode()
	if mode.IsDir() {
		return u.folder(f.Name)
	}
	in, err := f.Open()
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	switch {
	case mode&fs.ModeSymlink != 0:
		target, err := io.ReadAll(io.LimitReader(in, maxLink+1))
		if err != nil {
			return err
		}
		return u.link(f.Name, string(target))
	case !mode.IsRegular():
		return hostile("a device or pipe")
	}
	return u.file(f.Name, mode, in)
}

// clean returns an entry's name as a path below the folder.
func (u *unpacker) clean(name string) (string, error) {
	if u.entries--; u.entries < 0 {
		return "", hostile("too many files")
	}
	name = strings.TrimSuffix(name, "/")
	if name == "." || name == "" {
		return ".", nil
	}
	if strings.ContainsAny(name, "\\\x00") || !filepath.IsLocal(filepath.FromSlash(name)) {
		return "", hostile("a name that leads out of its folder")
	}
	return path.Clean(name), nil
}

func (u *unpacker) folder(name string) error {
	name, err := u.clean(name)
	if err != nil || name == "." {
		return err
	}
	return u.root.MkdirAll(name, 0o755)
}

// link makes a symbolic link whose target lies below the folder.
func (u *unpacker) link(name, target string) error {
	name, err := u.clean(name)
	if err != nil {
		return err
	}
	if target == "" || len(target) > maxLink || path.IsAbs(target) || strings.ContainsAny(target, "\\\x00") ||
		!filepath.IsLocal(filepath.FromSlash(path.Join(path.Dir(name), target))) {
		return hostile("a link that leads out of its folder")
	}
	if err := u.root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	return u.root.Symlink(target, name)
}

// file writes one file; of its mode only whether it may be run is kept. A file that is there already is refused.
func (u *unpacker) file(name string, mode fs.FileMode, from io.Reader) error {
	name, err := u.clean(name)
	if err != nil {
		return err
	}
	perm := fs.FileMode(0o644)
	if mode.Perm()&0o111 != 0 {
		perm = 0o755
	}
	if err := u.root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	to, err := u.root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, perm)
	if err != nil {
		return err
	}
	n, err := io.Copy(to, io.LimitReader(from, u.left+1))
	u.left -= n
	if err = errors.Join(err, to.Close()); err == nil && u.left < 0 {
		return hostile("more than 4 GiB")
	}
	return err
}
