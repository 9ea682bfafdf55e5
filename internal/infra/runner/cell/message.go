package cell

import "encoding/binary"

// Kinds of messages on the control socket, a pair of SOCK_SEQPACKET: one message, one packet; its first byte is its
// kind.
const (
	// From the helper.
	Failed   = 'E' // the confinement or the start failed: step, ' ', errno in decimal; the helper ends
	Listens  = 'L' // carries the descriptor of the listener for the forward proxy
	Dialled  = 'C' // id (8 bytes); carries a connected descriptor, or none where the connection failed
	Finished = 'X' // wait status of the program (8 bytes)
	// From the server.
	Signal = 'K' // signal number (8 bytes), for the program's process group
	Dial   = 'D' // id, port (8 bytes each)
)

// Steps that a Failed message names.
const (
	StepArguments = "arguments"
	StepNetwork   = "network"
	StepMount     = "mount"
	StepProc      = "proc"
	StepFork      = "fork"
	StepLimit     = "limit"
	StepUser      = "user"
	StepReach     = "reach" // the user can't enter the working folder
	StepLandlock  = "landlock"
	StepExec      = "exec"
)

// MaxMessage bounds one message.
const MaxMessage = 128

// Pack makes a message of numbers.
func Pack(kind byte, numbers ...uint64) []byte {
	b := append(make([]byte, 0, 1+8*len(numbers)), kind)
	for _, n := range numbers {
		b = binary.BigEndian.AppendUint64(b, n)
	}
	return b
}

// Unpack reads n numbers after a message's kind.
func Unpack(b []byte, n int) ([]uint64, bool) {
	if len(b) != 1+8*n {
		return nil, false
	}
	out := make([]uint64, n)
	for i := range out {
		out[i] = binary.BigEndian.Uint64(b[1+8*i:])
	}
	return out, true
}
