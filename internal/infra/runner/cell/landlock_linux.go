package cell

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Rights by what they are good for (landlock(7)).
const (
	mayRead = unix.LANDLOCK_ACCESS_FS_EXECUTE | unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_READ_DIR
	// mayWrite holds everything but making devices.
	mayWrite = mayRead | unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_TRUNCATE | unix.LANDLOCK_ACCESS_FS_REFER |
		unix.LANDLOCK_ACCESS_FS_REMOVE_DIR | unix.LANDLOCK_ACCESS_FS_REMOVE_FILE | unix.LANDLOCK_ACCESS_FS_MAKE_DIR | unix.LANDLOCK_ACCESS_FS_MAKE_REG |
		unix.LANDLOCK_ACCESS_FS_MAKE_SOCK | unix.LANDLOCK_ACCESS_FS_MAKE_FIFO | unix.LANDLOCK_ACCESS_FS_MAKE_SYM
	mayUse = unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_TRUNCATE
	ofFile = unix.LANDLOCK_ACCESS_FS_EXECUTE | unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_TRUNCATE

	scopes = 1<<0 | 1<<1 // abstract UNIX sockets and signals stay within
)

// attributes is struct landlock_ruleset_attr.
type attributes struct{ fs, net, scoped uint64 }

// known returns the rights that a version of Landlock knows, and how much of the struct.
func known(version int) (a attributes, size uintptr) {
	a = attributes{fs: 1<<13 - 1}
	size = 8
	if version >= 2 {
		a.fs |= unix.LANDLOCK_ACCESS_FS_REFER
	}
	if version >= 3 {
		a.fs |= unix.LANDLOCK_ACCESS_FS_TRUNCATE
	}
	if version >= 5 {
		a.fs |= unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
	}
	if version >= 6 {
		a.scoped, size = scopes, 24
	}
	return a, size
}

// LandlockVersion returns the kernel's version of Landlock, 0 where there is none.
func LandlockVersion() int {
	v, _, errno := unix.RawSyscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 {
		return 0
	}
	return int(v)
}

// ruleset makes the rules and returns their descriptor.
func ruleset(s Spec) (int, error) {
	version := LandlockVersion()
	if version == 0 {
		return -1, unix.EOPNOTSUPP
	}
	a, size := known(version)
	fd, _, errno := unix.RawSyscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&a)), size, 0) //nolint:gosec // a struct for a system call
	if errno != 0 {
		return -1, errno
	}
	rules := int(fd)
	for _, group := range []struct {
		rights uint64
		paths  []string
	}{{mayRead, s.Read}, {mayRead, []string{"/proc", Self}}, {mayWrite, s.Write}, {mayWrite, private(s)}, {mayUse, devices()}} {
		for _, path := range group.paths {
			if err := allow(rules, path, group.rights&a.fs); err != nil {
				return -1, err
			}
		}
	}
	return rules, nil
}

// private are the folders in memory that exist for this program only. Without a root of its own there are none, but
// shared memory, which many programs can't do without.
func private(s Spec) []string {
	if s.Mounts {
		return memoryFolders()
	}
	return []string{"/dev/shm"}
}

// allow lets path be used. One that isn't there, or can't be opened, is not allowed.
func allow(rules int, path string, rights uint64) error {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil //nolint:nilerr // less is no breach
	}
	defer func() { _ = unix.Close(fd) }()
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		return err
	}
	if stat.Mode&unix.S_IFMT != unix.S_IFDIR {
		rights &= ofFile
	}
	beneath := packed(rights, fd)
	if _, _, errno := unix.RawSyscall6(unix.SYS_LANDLOCK_ADD_RULE, uintptr(rules), unix.LANDLOCK_RULE_PATH_BENEATH, uintptr(unsafe.Pointer(&beneath)), 0, 0, 0); errno != 0 { //nolint:gosec // a struct for a system call
		return errno
	}
	return nil
}

// packed is struct landlock_path_beneath_attr, which has no padding at its end.
func packed(rights uint64, fd int) [12]byte {
	var b [12]byte
	*(*uint64)(unsafe.Pointer(&b[0])) = rights   //nolint:gosec // host byte order, as the kernel reads it
	*(*int32)(unsafe.Pointer(&b[8])) = int32(fd) //nolint:gosec // host byte order, as the kernel reads it
	return b
}

func restrict(rules int) error {
	if _, _, errno := unix.RawSyscall(unix.SYS_LANDLOCK_RESTRICT_SELF, uintptr(rules), 0, 0); errno != 0 {
		return errno
	}
	return syscall.Close(rules)
}
