package runner

import (
	"context"
	"errors"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"assay.dev/assay/internal/infra/runner/cell"
)

// stepError says at which step the sandbox couldn't be set up, or the program not be started.
type stepError struct {
	step  string
	errno syscall.Errno
}

func (e *stepError) Error() string { return "sandbox: " + e.step + ": " + e.errno.Error() }

// Unwrap returns the system's error.
func (e *stepError) Unwrap() error { return e.errno }

var (
	errDial = errors.New("the program doesn't answer")
	errGone = errors.New("the program has ended")
)

// link is the server's end of the control socket of one start.
type link struct {
	conn   *net.UnixConn
	listen func(net.Listener) // takes the listener for the forward proxy

	mu     sync.Mutex
	dials  map[uint64]chan net.Conn
	next   uint64
	closed bool

	done   chan struct{} // closed when the helper's end is
	failed *stepError    // read after done, as is the following
	status syscall.WaitStatus
	ended  bool // status is known
}

// newLink makes the socket and returns the helper's end, which the caller closes once the helper has it.
func newLink(listen func(net.Listener)) (*link, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "control"), os.NewFile(uintptr(fds[1]), "control")
	c, err := net.FileConn(ours)
	_ = ours.Close()
	if err != nil {
		_ = theirs.Close()
		return nil, nil, err
	}
	conn, ok := c.(*net.UnixConn)
	if !ok {
		_ = theirs.Close()
		return nil, nil, errors.Join(errors.New("not a UNIX socket"), c.Close())
	}
	return &link{conn: conn, listen: listen, dials: map[uint64]chan net.Conn{}, done: make(chan struct{})}, theirs, nil
}

// read takes the helper's messages until its end.
func (l *link) read() {
	defer close(l.done)
	defer l.shut()
	buf, oob := make([]byte, cell.MaxMessage), make([]byte, unix.CmsgSpace(4))
	for {
		n, oobn, _, _, err := l.conn.ReadMsgUnix(buf, oob)
		if err != nil || n == 0 {
			return
		}
		l.take(buf[:n], received(oob[:oobn]))
	}
}

func (l *link) take(message []byte, file *os.File) {
	if file != nil {
		defer func() { _ = file.Close() }()
	}
	switch message[0] {
	case cell.Failed:
		step, errno, _ := strings.Cut(string(message[1:]), " ")
		n, err := strconv.Atoi(errno)
		if err != nil {
			n = int(syscall.EINVAL)
		}
		l.failed = &stepError{step: step, errno: syscall.Errno(n)}
	case cell.Finished:
		if v, ok := cell.Unpack(message, 1); ok {
			l.status, l.ended = syscall.WaitStatus(v[0]), true //nolint:gosec // a wait status
		}
	case cell.Listens:
		if file == nil {
			return
		}
		if listener, err := net.FileListener(file); err == nil {
			l.listen(listener)
		}
	case cell.Dialled:
		if v, ok := cell.Unpack(message, 1); ok {
			l.dialled(v[0], file)
		}
	}
}

// received returns the descriptor that came with a message, nil where none did.
func received(oob []byte) *os.File {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil || len(messages) == 0 {
		return nil
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) == 0 {
		return nil
	}
	unix.CloseOnExec(fds[0])
	return os.NewFile(uintptr(fds[0]), "passed")
}

func (l *link) dialled(id uint64, file *os.File) {
	var conn net.Conn
	if file != nil {
		if c, err := net.FileConn(file); err == nil {
			conn = c
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if reply := l.dials[id]; reply != nil {
		delete(l.dials, id)
		reply <- conn // has room for one
	} else if conn != nil {
		_ = conn.Close() // nobody waits any more
	}
}

// shut tells everybody who waits for a connection that there will be none.
func (l *link) shut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	for id, reply := range l.dials {
		delete(l.dials, id)
		reply <- nil
	}
}

// signal sends a signal to the program's group.
func (l *link) signal(s syscall.Signal) { l.send(cell.Pack(cell.Signal, uint64(s))) } //nolint:gosec // a signal's number

func (l *link) send(message []byte) {
	_, _ = l.conn.Write(message) // it fails where the helper has ended, and then there is nobody to tell
}

// dial connects to a port within the program's network.
func (l *link) dial(ctx context.Context, port int) (net.Conn, error) {
	reply := make(chan net.Conn, 1)
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil, errGone
	}
	l.next++
	id := l.next
	l.dials[id] = reply
	l.mu.Unlock()
	l.send(cell.Pack(cell.Dial, id, uint64(port))) //nolint:gosec // a port
	select {
	case conn := <-reply:
		if conn == nil {
			return nil, errDial
		}
		return conn, nil
	case <-ctx.Done():
		l.abandon(id, reply)
		return nil, ctx.Err()
	}
}

// abandon closes a connection that comes too late.
func (l *link) abandon(id uint64, reply chan net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.dials, id)
	select {
	case conn := <-reply:
		if conn != nil {
			_ = conn.Close()
		}
	default:
	}
}

// close waits for what the helper has still said, at most as long as pipes may stay open, and lets go of it.
func (l *link) close() {
	late := time.AfterFunc(drain, func() { _ = l.conn.Close() })
	<-l.done
	late.Stop()
	_ = l.conn.Close()
}
