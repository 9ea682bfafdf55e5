package runner

import (
	"bufio"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// listensMarked reports whether a process that carries the mark listens on the port: on the host's own network
// somebody else may, such as the program of another scan.
func listensMarked(port int, mark string) bool {
	sockets := listening("/proc/net/tcp", port)
	sockets = append(sockets, listening("/proc/net/tcp6", port)...)
	if len(sockets) == 0 {
		return false
	}
	pids, err := processes()
	if err != nil {
		return false
	}
	for _, pid := range pids {
		if carries(pid, mark) && holds(pid, sockets) {
			return true
		}
	}
	return false
}

// listening returns the sockets that listen on the port, as /proc/PID/fd names them (proc(5): state 0A is LISTEN).
func listening(table string, port int) []string {
	f, err := os.Open(table) //nolint:gosec // one of two names above
	if err != nil {
		return nil
	}
	defer func() { _ = f.Close() }()
	var out []string
	for lines := bufio.NewScanner(f); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) < 10 || fields[3] != "0A" {
			continue
		}
		_, hex, _ := strings.Cut(fields[1], ":")
		if n, err := strconv.ParseUint(hex, 16, 16); err == nil && int(n) == port {
			out = append(out, "socket:["+fields[9]+"]")
		}
	}
	return out
}

// holds reports whether a process has one of the sockets open.
func holds(pid int, sockets []string) bool {
	names, err := filepath.Glob(filepath.Join("/proc", strconv.Itoa(pid), "fd", "*"))
	if err != nil {
		return false
	}
	for _, name := range names {
		link, err := os.Readlink(name)
		if err != nil {
			continue
		}
		if slices.Contains(sockets, link) {
			return true
		}
	}
	return false
}
