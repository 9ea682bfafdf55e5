package engine

import (
	"context"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"time"

	"assay.dev/assay/internal/word/secret"
)

// LoopbackName is a name by which a run's proxy knows a target on this machine's loopback interface, with any port:
// many programs never use a proxy for "localhost" and 127.0.0.1 themselves.
const LoopbackName = "target.localhost"

// Env is what an engine may use, and nothing else: it starts no process, opens no socket and no file by itself. All of
// it ends with the run.
type Env struct {
	Proc     Launcher // starts the engine's program under limits
	Dial     Dialer   // connects within the scan's scope only
	Work     string   // path of the run's private scratch folder, for command lines; removed afterwards
	Files    Files    // the same folder, for the engine's own reading and writing
	Now      func() time.Time
	Rand     io.Reader // random bytes that nobody can guess: keys of what a program serves
	Log      *slog.Logger
	Progress func(percent int, phase string) // 0–99, may be called often; never goes back
	// Artifact opens a named raw output. Writes over MaxOutput are dropped silently; Truncated tells. The first artifact
	// that a run opens is what Parse will be given.
	Artifact func(name, mediaType string) (Artifact, error)
	// Proxy returns where programs started with NetworkProxy find the run's forward proxy, "127.0.0.1:PORT": HTTP, and
	// anything over TCP by CONNECT, reach what the scan may reach, decided on the address of each connection, and nothing
	// else. It is begun by the first call and ends with the run.
	Proxy func(ctx context.Context) (addr string, err error)
	// Web asks the third parties that the manifest names as sources, and nobody else. It follows no redirect.
	Web http.RoundTripper
	// SourceKey returns the operator's key for a source, by its id; empty = there is none.
	SourceKey func(source string) secret.Text
	// DNS sends one query in wire format (RFC 1035) to the configured resolvers and returns the answer.
	DNS func(ctx context.Context, query []byte) ([]byte, error)
	// Tree returns the files of a filesystem or repository target; a repository is checked out by the first call.
	Tree func(ctx context.Context) (Tree, error)
	// Data returns a folder of the operator's that the engine judges by (an advisory database, templates) under its name in
	// the configuration, "trivy_db". One that isn't there is fs.ErrNotExist. Programs read it by Process.Reads.
	Data func(name string) (Tree, error)
	// Fingerprint returns the organization's keyed fingerprint of a secret, "s1:" + hex, by which the same secret is known
	// wherever it turns up. The value itself must not be kept.
	Fingerprint func(value string) string
}

// Files is a folder. Names are relative, and lead nowhere else: not by "..", and not by a link that a program made.
type Files interface {
	// Write makes a file with mode 0600, or replaces it.
	Write(name string, content []byte) error
	// Open opens a regular file for reading; one that isn't there is fs.ErrNotExist. The caller bounds what it reads.
	Open(name string) (fs.File, error)
}

// FileCopier is what Files also is where large files can be taken into the folder without passing through memory.
type FileCopier interface {
	// Copy makes a private copy of an open file under name, with mode 0600, sharing blocks where the file system can.
	Copy(name string, from fs.File) error
}

// Tree is a folder of files to look at. What it holds is a stranger's. Dir is its path, for command lines of programs
// that are given it in Process.Reads; FS doesn't leave it, by links neither.
type Tree struct {
	Dir string
	FS  fs.FS
	// Revision is the checked-out commit, empty for folders.
	Revision string
}

// Artifact is raw output being written. The first artifact a run opens is what Parse will be given.
type Artifact interface {
	io.Writer
	Truncated() bool
}

// Launcher starts the engine's program.
type Launcher interface {
	Launch(ctx context.Context, p Process) (Exit, error)
}

// Dialer connects to an address within the scan's scope, decided on the resolved address at connect time.
type Dialer interface {
	DialContext(ctx context.Context, network, address string) (net.Conn, error)
}
