package cell

import "golang.org/x/sys/unix"

// lastCapability is the highest that a kernel may know; asking for more is an error that ends the loop.
const lastCapability = 63

// Secure bits (capabilities(7)): user 0 is nobody special, and that can't be taken back.
const (
	secureNoRoot        = 1<<0 | 1<<1
	secureNoSetuidFixup = 1<<2 | 1<<3
)

// surrender takes all privileges from this thread but, if raw is set, CAP_NET_RAW, which is kept in the ambient set so
// that it survives the program's start; then the thread becomes the user.
func surrender(user int, raw bool) error {
	var keep uint32
	if raw {
		keep = 1 << unix.CAP_NET_RAW
	}
	for c := range uintptr(lastCapability) {
		if c < 32 && keep&(1<<c) != 0 {
			continue
		}
		// EPERM: without CAP_SETPCAP, which is without privileges worth dropping; EINVAL: past the last.
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0); err != nil {
			break
		}
	}
	if user >= 0 {
		if err := become(uintptr(user)); err != nil {
			return err
		}
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	data := [2]unix.CapUserData{{Effective: keep, Permitted: keep, Inheritable: keep}}
	_ = unix.Prctl(unix.PR_SET_SECUREBITS, secureNoRoot|secureNoSetuidFixup, 0, 0, 0) // without CAP_SETPCAP there is nothing to secure
	if err := unix.Capset(&header, &data[0]); err != nil {
		return err
	}
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		return err
	}
	if raw {
		return unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, unix.CAP_NET_RAW, 0, 0)
	}
	return nil
}

// become changes user and groups of this thread and keeps its capabilities. Only this thread: it is the one that
// becomes the program.
func become(user uintptr) error {
	if err := unix.Prctl(unix.PR_SET_KEEPCAPS, 1, 0, 0, 0); err != nil {
		return err
	}
	if _, _, errno := unix.RawSyscall(unix.SYS_SETGROUPS, 0, 0, 0); errno != 0 {
		return errno
	}
	if _, _, errno := unix.RawSyscall(unix.SYS_SETRESGID, user, user, user); errno != 0 {
		return errno
	}
	if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, user, user, user); errno != 0 {
		return errno
	}
	return nil
}

// noMoreNamespaces forbids user namespaces within this one: they would give the program privileges over parts of the
// kernel that it needs nothing of. It is one wall more, where it can be had.
func noMoreNamespaces() {
	fd, err := unix.Open("/proc/sys/user/max_user_namespaces", unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	_, _ = unix.Write(fd, []byte("0"))
	_ = unix.Close(fd)
}
