package runner

import (
	"context"
	"errors"
	"net"
	"strconv"
	"time"
)

// A program's port is tried again after firstTry, then twice as long each time, lastTry at most.
const (
	firstTry = 10 * time.Millisecond
	lastTry  = 250 * time.Millisecond
	dialTime = 5 * time.Second
)

// dialFunc connects to the port at which a program serves.
type dialFunc func(context.Context) (net.Conn, error)

// errPanicked says that an engine's Ready panicked.
var errPanicked = errors.New("the engine's conversation with its program panicked")

// service is the conversation of an engine with its program.
type service struct {
	port  int
	ready func(context.Context, func(context.Context) (net.Conn, error))

	end  context.CancelFunc
	done chan struct{}
	err  error // read after done
}

// begin waits on a goroutine for the port to answer and calls ready. mine tells whether what answered is the program;
// failed ends the program.
func (s *service) begin(ctx context.Context, dial dialFunc, mine func() bool, failed func()) {
	ctx, s.end = context.WithCancel(ctx)
	s.done = make(chan struct{})
	go func() {
		defer close(s.done)
		defer func() {
			if recover() != nil {
				s.err = errPanicked
				failed()
			}
		}()
		if await(ctx, dial, mine) {
			s.ready(ctx, dial)
		}
	}()
}

// close ends the conversation and waits for the engine to let go of it.
func (s *service) close() error {
	if s == nil || s.done == nil {
		return nil
	}
	s.end()
	<-s.done
	return s.err
}

// await reports whether the program answered before ctx was done.
func await(ctx context.Context, dial dialFunc, mine func() bool) bool {
	for wait := firstTry; ; wait = min(2*wait, lastTry) {
		if conn, err := dial(ctx); err == nil {
			_ = conn.Close()
			if mine() {
				return true
			}
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(wait):
		}
	}
}

// dialHost connects to a port of the host's loopback.
func dialHost(port int) dialFunc {
	return func(ctx context.Context) (net.Conn, error) {
		d := net.Dialer{Timeout: dialTime}
		return d.DialContext(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	}
}
