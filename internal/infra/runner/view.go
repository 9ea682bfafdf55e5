package runner

import (
	"cmp"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// maxBeside bounds the entries of a folder that is shown without one of them.
const maxBeside = 4096

// view is what a program may read and write. show is what its root holds: rather more than it may read, since what
// Landlock keeps from it needs no mount of its own.
type view struct{ show, read, write []string }

// programs are where every program and library of the system lies.
func programs() []string {
	return []string{"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/opt"}
}

// settings are what programs look up in /etc.
func settings() []string {
	out := []string{}
	for _, name := range []string{
		"ld.so.cache", "ld.so.conf", "ld.so.conf.d", "passwd", "group", "hosts", "host.conf", "hostname", "resolv.conf", "nsswitch.conf",
		"gai.conf", "services", "protocols", "rpc", "networks", "ethers", "localtime", "timezone", "mime.types", "magic", "alternatives",
		"ssl/certs", "ssl/openssl.cnf", "ca-certificates", "ca-certificates.conf", "pki/tls/certs", "pki/tls/openssl.cnf", "pki/ca-trust",
		"pki/java", "crypto-policies", "fonts", "perl",
	} {
		out = append(out, "/etc/"+name)
	}
	entries, err := os.ReadDir("/etc")
	if err != nil {
		return out
	}
	for _, e := range entries {
		if name := e.Name(); strings.HasPrefix(name, "java") || strings.HasPrefix(name, "python") {
			out = append(out, "/etc/"+name)
		}
	}
	return out
}

// viewOf returns what the program in file may see. reads are the engine's wishes for this start.
func (r *Runner) viewOf(file, work, dir string, reads []string) view {
	name := filepath.Base(file)
	own := append(programs(), "/var/lib/"+name)
	own = append(own, r.path...)
	own = append(own, r.reads...)
	own = append(own, r.home(file)...)
	if real, err := filepath.EvalSymlinks(file); err == nil && real != file {
		own = append(own, r.home(real)...)
	}
	for _, path := range append(slices.Clone(reads), dir) {
		if filepath.IsAbs(path) && !within(path, work) && (r.offered(path) || !r.hidden(path)) {
			own = append(own, filepath.Clean(path))
		}
	}
	etc := r.shown(append(settings(), "/etc/"+name, "/etc/"+name+".conf"))
	return view{show: r.shown(append(elsewhere(etc), append(own, "/etc")...)), read: r.shown(append(etc, own...)), write: []string{work}}
}

// elsewhere returns what settings link to outside of /etc.
func elsewhere(etc []string) []string {
	return slices.DeleteFunc(slices.Clone(etc), func(path string) bool { return within(path, "/etc") })
}

// home returns the folder of a program, with what lies beside its "bin": a virtual environment, a Java.
func (r *Runner) home(file string) []string {
	dir := filepath.Dir(file)
	parent := filepath.Dir(dir)
	if base := filepath.Base(dir); base != "bin" && base != "sbin" || r.holdsHidden(parent) || slices.Contains(ordinary(), parent) {
		return []string{dir}
	}
	return []string{dir, parent}
}

// ordinary are folders whose "bin" says nothing about what lies beside it.
func ordinary() []string {
	out := []string{"/", "/root", "/home", "/tmp", "/var", "/srv", "/mnt"}
	if home, err := os.UserHomeDir(); err == nil {
		out = append(out, filepath.Clean(home))
	}
	return out
}

// shown resolves links, leaves out what is hidden, and returns each folder once, parents first.
func (r *Runner) shown(paths []string) []string {
	var all []string
	for _, path := range paths {
		info, err := os.Lstat(path)
		if err != nil {
			continue
		}
		all = append(all, r.around(path)...)
		if info.Mode().Type() != fs.ModeSymlink {
			continue
		}
		real, err := filepath.EvalSymlinks(path)
		if err != nil {
			continue
		}
		// A link must not lead to what is hidden; only what lies there by name may be shown.
		if !r.hidden(real) || r.offered(real) {
			all = append(all, r.around(real)...)
		}
	}
	slices.SortFunc(all, func(a, b string) int {
		return cmp.Or(cmp.Compare(strings.Count(a, "/"), strings.Count(b, "/")), cmp.Compare(a, b))
	})
	var out []string
	for _, path := range all {
		if !slices.ContainsFunc(out, func(had string) bool { return within(path, had) }) {
			out = append(out, path)
		}
	}
	return out
}

// around returns path, or what it holds but for what is hidden.
func (r *Runner) around(path string) []string {
	if !r.holdsHidden(path) {
		return []string{path}
	}
	entries, err := os.ReadDir(path)
	if err != nil || len(entries) > maxBeside {
		return nil
	}
	var out []string
	for _, e := range entries {
		child := filepath.Join(path, e.Name())
		if !slices.Contains(r.hides, child) {
			out = append(out, r.around(child)...)
		}
	}
	return out
}

// holdsHidden reports whether something hidden is path or lies in it.
func (r *Runner) holdsHidden(path string) bool {
	return slices.ContainsFunc(r.hides, func(h string) bool { return within(h, path) })
}

// hidden reports whether path lies in something hidden.
func (r *Runner) hidden(path string) bool {
	return slices.ContainsFunc(r.hides, func(h string) bool { return within(path, h) })
}

// offered reports whether path lies in what every program may read.
func (r *Runner) offered(path string) bool {
	return slices.ContainsFunc(r.reads, func(o string) bool { return within(path, o) })
}

// within reports whether path is dir or lies in it.
func within(path, dir string) bool {
	return path == dir || dir == "/" || strings.HasPrefix(path, dir+"/")
}
