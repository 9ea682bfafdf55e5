// Package cell is what the program assay-sandbox does: it sets up the confinement of one engine's program and starts
// it there.
//
// Hold is the first stage: process 1 of a new process namespace. It brings up the namespaces that it was cloned into,
// starts the second stage, reaps, passes signals and connections on, and ends with the program, or with the server.
// Enter is the second stage: it takes limits, privileges and the view of the file system from itself and becomes the
// program. Probe is a program that tries to break out, for `assay doctor`.
//
// The package must stay small: it is started for every program, so it knows no net, no fmt and no JSON, and it decides
// nothing: what to set up is the runner's business and comes as a Spec; what can't be set up is an error, never a
// weaker confinement. Start with Spec, then hold_linux.go and enter_linux.go.
package cell

import (
	"errors"
	"strconv"
	"strings"
)

// Stages, the helper's first argument.
const (
	StageHold  = "hold"
	StageEnter = "enter"
	StageProbe = "probe"
	StagePass  = "pass" // does nothing and succeeds: what a trial runs
)

// Control is the descriptor of the socket to the server in both stages.
const Control = 3

// Self is the helper as a program of its own cell, seen from inside.
const Self = "/proc/self/exe"

// Environment comes before the program's own: it makes the helper, which has little to do, start faster.
func Environment() []string { return []string{"GOMAXPROCS=1", "GOGC=off"} }

// Spec is one confinement. The zero value confines nothing.
type Spec struct {
	Process1 bool // it was cloned into a process namespace of its own
	Owner    bool // it was cloned into a user namespace of its own
	Mounts   bool // give it a root of its own, which holds only what may be read or written
	OldProc  bool // with Mounts: show the old /proc, where a new one can't be mounted
	Loopback bool // it was cloned into a network of its own: bring its loopback up
	Proxy    int  // with Loopback: listen at this port for the forward proxy; 0 = none
	Landlock bool
	Raw      bool // keep CAP_NET_RAW
	User     int  // become this user and group; -1 = stay who one is

	Show   []string // files and folders that are in the root of its own
	Read   []string // files and folders that may be read and executed
	Write  []string // folders that may be written
	Dir    string   // working folder
	Memory uint64   // bytes of address space; this and the following: 0 = as inherited
	Files  uint64   // open files
	Procs  uint64   // processes and threads of its user
	Size   uint64   // bytes of one file
	CPU    uint64   // seconds

	Program string
	Args    []string
}

// Argv returns the spec as the helper's arguments for a stage.
func (s Spec) Argv(stage string) []string {
	argv := []string{stage}
	for _, f := range s.flags() {
		if *f.to {
			argv = append(argv, f.name)
		}
	}
	for _, n := range s.numbers() {
		if *n.to != 0 {
			argv = append(argv, n.name+"="+strconv.FormatUint(*n.to, 10))
		}
	}
	if s.Proxy != 0 {
		argv = append(argv, "proxy="+strconv.Itoa(s.Proxy))
	}
	if s.User >= 0 {
		argv = append(argv, "user="+strconv.Itoa(s.User))
	}
	for _, p := range s.Show {
		argv = append(argv, "show="+p)
	}
	for _, p := range s.Read {
		argv = append(argv, "read="+p)
	}
	for _, p := range s.Write {
		argv = append(argv, "write="+p)
	}
	argv = append(argv, "dir="+s.Dir, "--", s.Program)
	return append(argv, s.Args...)
}

// errSpec says that the arguments are no spec.
var errSpec = errors.New("malformed arguments")

// Parse reads what Argv wrote, without the stage.
func Parse(argv []string) (Spec, error) {
	s := Spec{User: -1}
	for i, arg := range argv {
		if arg == "--" {
			if i+1 >= len(argv) {
				return Spec{}, errSpec
			}
			s.Program, s.Args = argv[i+1], argv[i+2:]
			return s, nil
		}
		name, value, _ := strings.Cut(arg, "=")
		if !s.set(name, value) {
			return Spec{}, errSpec
		}
	}
	return Spec{}, errSpec
}

func (s *Spec) set(name, value string) bool {
	var err error
	switch name {
	case "show":
		s.Show = append(s.Show, value)
	case "read":
		s.Read = append(s.Read, value)
	case "write":
		s.Write = append(s.Write, value)
	case "dir":
		s.Dir = value
	case "proxy":
		s.Proxy, err = strconv.Atoi(value)
	case "user":
		s.User, err = strconv.Atoi(value)
	default:
		return s.setNumber(name, value)
	}
	return err == nil
}

func (s *Spec) setNumber(name, value string) bool {
	for _, n := range s.numbers() {
		if n.name == name {
			v, err := strconv.ParseUint(value, 10, 64)
			*n.to = v
			return err == nil
		}
	}
	for _, f := range s.flags() {
		if f.name == name && value == "" {
			*f.to = true
			return true
		}
	}
	return false
}

type flag struct {
	name string
	to   *bool
}

func (s *Spec) flags() []flag {
	return []flag{
		{"process1", &s.Process1},
		{"owner", &s.Owner},
		{"mounts", &s.Mounts},
		{"oldproc", &s.OldProc},
		{"loopback", &s.Loopback},
		{"landlock", &s.Landlock},
		{"raw", &s.Raw},
	}
}

type number struct {
	name string
	to   *uint64
}

func (s *Spec) numbers() []number {
	return []number{{"memory", &s.Memory}, {"files", &s.Files}, {"procs", &s.Procs}, {"size", &s.Size}, {"cpu", &s.CPU}}
}
