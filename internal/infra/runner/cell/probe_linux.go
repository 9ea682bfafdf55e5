package cell

import (
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Attempts that Probe makes; the order is that of its arguments.
const (
	ProbeRead      = "read"      // argument: a file that must not be read
	ProbeWrite     = "write"     // a folder that must not be written
	ProbeProcess   = "process"   // a process that must not be seen
	ProbeConnect   = "connect"   // a port of the host's loopback that must not answer
	ProbeProxy     = "proxy"     // a port at which the forward proxy must answer
	ProbeUser      = "user"      // "root": becoming root must fail, being it is a breach
	ProbePrivilege = "privilege" // capabilities that are allowed, a number in hexadecimal
	ProbeLimit     = "limit"     // bytes of address space that must not be had
	ProbeSpaces    = "spaces"    // the server's namespaces, "user:[1] pid:[2]", which must be others
)

// Probe is a program that attempts what it should be kept from. Its arguments are "name=value" of the attempts above;
// it prints a line "name ok" or "name broken WORDS" for each and returns 0.
func Probe(argv []string) int {
	for _, arg := range argv {
		name, value, _ := strings.Cut(arg, "=")
		line := name + " ok\n"
		if broken := attempt(name, value); broken != "" {
			line = name + " broken " + broken + "\n"
		}
		_, _ = unix.Write(1, []byte(line))
	}
	return 0
}

// attempt returns what could be done that must not be; empty = nothing.
func attempt(name, value string) string {
	switch name {
	case ProbeRead:
		return attemptRead(value)
	case ProbeWrite:
		return attemptWrite(value)
	case ProbeProcess:
		return attemptProcess(value)
	case ProbeConnect:
		return attemptConnect(value)
	case ProbeProxy:
		if n, err := strconv.Atoi(value); err != nil || !answers(n) {
			return "the forward proxy doesn't answer"
		}
	case ProbeUser:
		if unix.Geteuid() == 0 || unix.Getuid() == 0 {
			return "it runs as root"
		}
		if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, 0, 0, 0); errno == 0 {
			return "it could become root"
		}
	case ProbePrivilege:
		return attemptPrivilege(value)
	case ProbeLimit:
		return attemptLimit(value)
	case ProbeSpaces:
		return attemptSpaces(value)
	default:
		return "unknown attempt"
	}
	return ""
}

func attemptRead(file string) string {
	for _, path := range []string{file, "/root", "/home", "/var/log"} {
		fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err == nil {
			_ = unix.Close(fd)
			return "it could open " + map[bool]string{true: "the server's data", false: path}[path == file]
		}
	}
	return ""
}

func attemptWrite(dir string) string {
	for _, path := range []string{dir + "/probe", "/usr/probe", "/etc/probe", "/probe"} {
		fd, err := unix.Open(path, unix.O_WRONLY|unix.O_CREAT|unix.O_CLOEXEC, 0o600)
		if err == nil {
			_ = unix.Close(fd)
			_ = unix.Unlink(path)
			return "it could make a file outside its folder"
		}
	}
	fd, err := unix.Open("probe", unix.O_WRONLY|unix.O_CREAT|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return "it couldn't write into its own folder"
	}
	_ = unix.Close(fd)
	if fd, err = unix.Open("/dev/null", unix.O_WRONLY|unix.O_CLOEXEC, 0); err != nil {
		return "it couldn't write to /dev/null"
	}
	_ = unix.Close(fd)
	return ""
}

func attemptProcess(value string) string {
	pid, err := strconv.Atoi(value)
	if err != nil {
		return "no process was named"
	}
	if err := unix.Kill(pid, 0); err == nil {
		return "it could signal the server"
	}
	if err := unix.PtraceAttach(pid); err == nil {
		return "it could trace the server"
	}
	var stat unix.Stat_t
	if err := unix.Stat("/proc/"+value, &stat); err == nil {
		return "it could see the server among the processes"
	}
	return ""
}

func attemptConnect(value string) string {
	port, err := strconv.Atoi(value)
	if err != nil {
		return "no port was named"
	}
	if answers(port) {
		return "it could connect to a port of the host"
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return ""
	}
	defer func() { _ = unix.Close(fd) }()
	// 192.0.2.1 is for documentation: nothing is sent by connecting a datagram socket, but a route is looked up.
	if err := unix.Connect(fd, &unix.SockaddrInet4{Port: 9, Addr: [4]byte{192, 0, 2, 1}}); err == nil {
		return "it has a way to other machines"
	}
	return ""
}

func answers(port int) bool {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer func() { _ = unix.Close(fd) }()
	return unix.Connect(fd, loopback(port)) == nil
}

func attemptPrivilege(allowed string) string {
	status, ok := readFile("/proc/self/status")
	if !ok {
		return "its privileges can't be read"
	}
	most, err := strconv.ParseUint(allowed, 16, 64)
	if err != nil {
		return "no privileges were named"
	}
	for line := range strings.Lines(status) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":\t")
		switch name {
		case "NoNewPrivs":
			if value != "1" {
				return "it can get new privileges"
			}
		case "CapEff", "CapPrm", "CapInh", "CapAmb":
			if has, err := strconv.ParseUint(value, 16, 64); err != nil || has&^most != 0 {
				return "it has the privileges " + value
			}
		}
	}
	return ""
}

func attemptLimit(value string) string {
	n, err := strconv.Atoi(value)
	if err != nil {
		return "no limit was named"
	}
	if b, err := unix.Mmap(-1, 0, n, unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANON); err == nil {
		_ = unix.Munmap(b)
		return "it could have more memory than it may"
	}
	for _, resource := range []int{unix.RLIMIT_NOFILE, unix.RLIMIT_NPROC, unix.RLIMIT_FSIZE, unix.RLIMIT_CPU, unix.RLIMIT_CORE} {
		var limit unix.Rlimit
		if err := unix.Getrlimit(resource, &limit); err != nil || limit.Max == unix.RLIM_INFINITY {
			return "a limit isn't set: " + strconv.Itoa(resource)
		}
	}
	return ""
}

func attemptSpaces(value string) string {
	for theirs := range strings.FieldsSeq(value) {
		name, _, _ := strings.Cut(theirs, ":")
		buf := make([]byte, 64)
		n, err := unix.Readlink("/proc/self/ns/"+name, buf)
		if err != nil || string(buf[:n]) == theirs {
			return "it shares the namespace " + name
		}
	}
	return ""
}

// readFile reads a small file.
func readFile(path string) (string, bool) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", false
	}
	defer func() { _ = unix.Close(fd) }()
	buf := make([]byte, 8<<10)
	n, err := unix.Read(fd, buf)
	if err != nil {
		return "", false
	}
	return string(buf[:n]), true
}
