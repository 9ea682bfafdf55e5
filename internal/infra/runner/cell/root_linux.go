package cell

import (
	"strings"

	"golang.org/x/sys/unix"
)

// inMemory bounds each folder in memory.
const inMemory = "mode=1777,size=256m,nr_inodes=65536"

// memoryFolders are private folders in memory: programs that insist on them find them empty, and nobody sees what
// they put there.
func memoryFolders() []string { return []string{"/tmp", "/var/tmp", "/dev/shm"} }

// devices are the devices that a program may use.
func devices() []string {
	return []string{"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"}
}

// part is one piece of the old root, taken before it is covered.
type part struct {
	path string
	tree int    // a detached copy of its mount; -1 = a link
	link string // where it leads
	dir  bool
}

// ownRoot gives this process a root that holds only what may be read and written, each at its own path. The step tells
// what failed.
func ownRoot(s Spec) (step string, err error) {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return StepMount, err
	}
	const readable = unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV
	var parts []part
	for _, group := range []struct {
		paths []string
		attr  uint64
	}{{s.Show, readable}, {devices(), unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NOEXEC}} {
		for _, path := range group.paths {
			if parts, err = take(parts, path, group.attr); err != nil {
				return StepMount, err
			}
		}
	}
	var writable []part
	for _, path := range s.Write {
		if writable, err = take(writable, path, unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV); err != nil {
			return StepMount, err
		}
	}
	// The new root lies over the working folder for a moment: that is a folder that certainly exists.
	root := s.Dir
	if err := unix.Mount("tmpfs", root, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755,size=4m,nr_inodes=65536"); err != nil {
		return StepMount, err
	}
	if err := furnish(root, parts, writable); err != nil {
		return StepMount, err
	}
	if err := mountProc(root, s.OldProc); err != nil {
		return StepProc, err
	}
	if err := moveInto(root); err != nil {
		return StepMount, err
	}
	return "", nil
}

// take adds a copy of what lies at path. What isn't there, or can't be opened, is not in the new root.
func take(parts []part, path string, attr uint64) ([]part, error) {
	var stat unix.Stat_t
	if err := unix.Lstat(path, &stat); err != nil {
		return parts, nil //nolint:nilerr // less is no breach
	}
	if stat.Mode&unix.S_IFMT == unix.S_IFLNK {
		buf := make([]byte, unix.PathMax)
		n, err := unix.Readlink(path, buf)
		if err != nil {
			return parts, nil //nolint:nilerr // less is no breach
		}
		return append(parts, part{path: path, tree: -1, link: string(buf[:n])}), nil
	}
	tree, err := unix.OpenTree(unix.AT_FDCWD, path, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE)
	if err == unix.EACCES || err == unix.ENOENT {
		return parts, nil
	}
	if err != nil {
		return nil, err
	}
	if err := unix.MountSetattr(tree, "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, &unix.MountAttr{Attr_set: attr}); err != nil {
		return nil, err
	}
	return append(parts, part{path: path, tree: tree, dir: stat.Mode&unix.S_IFMT == unix.S_IFDIR}), nil
}

// furnish puts the parts into the new root, what may be written over what may be read.
func furnish(root string, parts, writable []part) error {
	for _, dir := range append(memoryFolders(), "/dev", "/proc") {
		if err := makeFolder(root, dir); err != nil {
			return err
		}
	}
	for _, dir := range memoryFolders() {
		if err := unix.Mount("tmpfs", root+dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, inMemory); err != nil {
			return err
		}
	}
	for _, p := range append(parts, writable...) {
		if err := place(root, p); err != nil {
			return err
		}
	}
	for _, l := range [][2]string{{"/proc/self/fd", "/dev/fd"}, {"/proc/self/fd/0", "/dev/stdin"}, {"/proc/self/fd/1", "/dev/stdout"}, {"/proc/self/fd/2", "/dev/stderr"}} {
		if err := unix.Symlink(l[0], root+l[1]); err != nil {
			return err
		}
	}
	return nil
}

func place(root string, p part) error {
	if err := makeFolder(root, p.path[:strings.LastIndexByte(p.path, '/')]); err != nil {
		return err
	}
	if p.tree < 0 {
		if err := unix.Symlink(p.link, root+p.path); err != nil && err != unix.EEXIST {
			return err
		}
		return nil
	}
	defer func() { _ = unix.Close(p.tree) }()
	if p.dir {
		if err := makeFolder(root, p.path); err != nil {
			return err
		}
	} else {
		fd, err := unix.Open(root+p.path, unix.O_CREAT|unix.O_RDONLY|unix.O_CLOEXEC, 0o600)
		if err != nil {
			return err
		}
		_ = unix.Close(fd)
	}
	return unix.MoveMount(p.tree, "", unix.AT_FDCWD, root+p.path, unix.MOVE_MOUNT_F_EMPTY_PATH)
}

// makeFolder makes a folder of the new root with all above it. Below a part that is there already nothing can be made,
// nor needs to be.
func makeFolder(root, path string) error {
	for i := 1; i <= len(path); i++ {
		if i < len(path) && path[i] != '/' {
			continue
		}
		if err := unix.Mkdir(root+path[:i], 0o755); err != nil && err != unix.EEXIST && err != unix.EROFS {
			return err
		}
	}
	return nil
}

// mountProc shows the processes of this namespace, or as before where a new /proc can't be mounted.
func mountProc(root string, old bool) error {
	if old {
		return unix.Mount("/proc", root+"/proc", "", unix.MS_BIND|unix.MS_REC, "")
	}
	return unix.Mount("proc", root+"/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "")
}

// moveInto makes the new root the root and lets go of the old one.
func moveInto(root string) error {
	if err := unix.Chdir(root); err != nil {
		return err
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return err
	}
	// The old root lies over the new one now, by pivot_root(2).
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return err
	}
	if err := unix.Chdir("/"); err != nil {
		return err
	}
	return unix.MountSetattr(unix.AT_FDCWD, "/", 0, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY})
}
