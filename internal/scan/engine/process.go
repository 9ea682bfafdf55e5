package engine

import (
	"context"
	"io"
	"net"
	"time"
)

// Process is one start of a program. There is no shell, no inherited environment, no standard input.
type Process struct {
	Program   string // bare name, looked up in the configured path
	Args      []string
	Env       []string // beside the fixed allow-list PATH, HOME, TMPDIR, LANG, TZ
	Dir       string   // working folder; empty = the run's scratch folder
	Stdout    io.Writer
	Stderr    io.Writer
	First     Signal        // sent first on cancel and at the deadline
	Grace     time.Duration // until SIGKILL to the whole group
	MaxMemory int64         // bytes of address space; 0 = none
	Network   Network       // what it may reach
	// Reads are absolute paths beside the system's own folders and the scratch folder that the program may read: the
	// target's tree, a database. Everything else of the host is out of its sight where the kernel can hold that.
	Reads []string
	// Listens is the loopback port at which the program serves; 0 = none. Ready is then called once, on a goroutine of its
	// own, with what connects to that port wherever the program runs; its ctx ends with the program.
	Listens int
	Ready   func(ctx context.Context, dial func(context.Context) (net.Conn, error))
}

// Network says what a program may reach.
type Network uint8

// Networks.
const (
	// NetworkHost is the host's own: for programs that are given checked addresses and must send by themselves.
	NetworkHost Network = iota
	// NetworkProxy is a network of its own in which only the run's forward proxy answers, where one can be had; else the
	// host's.
	NetworkProxy
	// NetworkNone is an empty network where one can be had; else the host's.
	NetworkNone
)

// Signal is the first signal an engine wants on cancel.
type Signal uint8

// First signals.
const (
	Interrupt Signal = iota
	Terminate
)

// Exit is how a program ended.
type Exit struct {
	Code     int  // -1 when a signal ended it
	Signaled bool // ended by a signal
	Canceled bool // ctx ended it
	CPU      time.Duration
	MaxRSS   int64 // bytes
}
