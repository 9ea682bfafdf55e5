package scan

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"sync"

	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/scan/redact"
	"assay.dev/assay/internal/word/fault"
)

// maxArtifacts bounds how many raw outputs a run may open.
const maxArtifacts = 16

// artifacts are a run's raw outputs while they are written. An engine that is left behind may go on writing: after
// close its output is dropped.
type artifacts struct {
	blobs Blobs
	scan  Scan
	limit int64       // bytes of all together, as the engine writes them
	mark  redact.Mark // what is left of a credential
	known []string    // the order's own secrets

	mu     sync.Mutex
	used   int64
	closed bool
	open   []*artifact
}

// artifact implements engine.Artifact.
type artifact struct {
	all       *artifacts
	blob      Blob
	masked    *redact.Stream // into blob: nothing that looks like a credential is written
	kept      Artifact
	truncated bool
	failed    error
}

// create implements engine.Env.Artifact.
func (a *artifacts) create(name, mediaType string) (engine.Artifact, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed || len(a.open) == maxArtifacts || !plainName(name) {
		return nil, fault.New(fault.Internal, fault.CodeInternal, "the engine opened an output that it may not have")
	}
	for _, o := range a.open {
		if o.kept.Name == name {
			return nil, fault.New(fault.Internal, fault.CodeInternal, "the engine opened an output twice")
		}
	}
	id := string(a.scan.ID) + "-" + strconv.Itoa(a.scan.Attempt) + "-" + strconv.Itoa(len(a.open))
	blob, err := a.blobs.Create(a.scan.Org, id)
	if err != nil {
		return nil, fault.New(fault.Internal, fault.CodeInternal, "raw output can't be kept").Because(err)
	}
	o := &artifact{
		all: a, blob: blob, masked: redact.NewStream(blob, redact.SyntaxOf(mediaType), a.mark, a.known...),
		kept: Artifact{Name: name, MediaType: mediaType},
	}
	a.open = append(a.open, o)
	return o, nil
}

func plainName(s string) bool {
	return s != "" && len(s) <= 64 && s[0] != '.' && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == ""
}

// Write keeps what is within the run's limit and drops the rest; it fails only where the disk does.
func (o *artifact) Write(b []byte) (int, error) {
	o.all.mu.Lock()
	defer o.all.mu.Unlock()
	if o.failed != nil {
		return 0, o.failed
	}
	keep := b
	if left := o.all.limit - o.all.used; o.all.closed || int64(len(b)) > left {
		keep, o.truncated = b[:max(left, 0)], true
	}
	if o.all.closed || len(keep) == 0 {
		return len(b), nil
	}
	n, err := o.masked.Write(keep)
	o.all.used += int64(n)
	if err != nil {
		o.failed, o.truncated = err, true
		return 0, err
	}
	return len(b), nil
}

// Truncated reports whether something of the output was dropped.
func (o *artifact) Truncated() bool {
	o.all.mu.Lock()
	defer o.all.mu.Unlock()
	return o.truncated
}

// close ends all writing.
func (a *artifacts) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closed = true
}

// commit makes the outputs durable and returns them, the one to parse first.
func (a *artifacts) commit() ([]Artifact, error) {
	a.close()
	a.mu.Lock()
	defer a.mu.Unlock()
	var out []Artifact
	for i, o := range a.open {
		sum, err := o.commit()
		if err != nil {
			a.open = a.open[i:]
			return nil, fault.New(fault.Internal, fault.CodeInternal, "raw output can't be kept").Because(err)
		}
		o.kept.SHA256 = sum
		out = append(out, o.kept)
	}
	a.open = nil
	return out, nil
}

// commit makes one output durable, what was held back of it included, and returns its digest.
func (o *artifact) commit() (string, error) {
	blob := o.blob
	o.blob = nil
	if err := o.masked.Close(); err != nil {
		return "", errors.Join(err, blob.Abort())
	}
	o.kept.Size, o.kept.Truncated = blob.Size(), o.truncated
	return blob.Commit()
}

// drop gives up what was not committed.
func (a *artifacts) drop() {
	a.close()
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, o := range a.open {
		if o.blob != nil {
			_ = o.blob.Abort() // its leavings are cleared at the next start
		}
	}
	a.open = nil
}

// keepArtifacts makes raw output durable and notes it with the scan.
func (r *run) keepArtifacts(ctx context.Context, e *end, kept *artifacts) error {
	list, err := kept.commit()
	if err != nil { // a full disk: another try would fill it again
		r.failed(ctx, e, err)
		return nil
	}
	for _, a := range list {
		if a.Truncated {
			e.weaken("raw output was longer than is kept; what lay over the limit was not read")
			break
		}
	}
	e.raw = list
	if len(list) == 0 {
		return nil
	}
	s := r.scan
	return r.change(ctx, audit.Bookkeeping("raw output of a running scan"), func(ctx context.Context, tx Tx) error {
		for _, a := range list {
			if err := tx.PutArtifact(ctx, s.ID, s.Attempt, a); err != nil {
				return err
			}
		}
		return nil
	})
}

// ownSecrets returns the secrets that the order itself holds: an answer that echoes a request must not keep them.
func ownSecrets(c engine.Config) []string {
	var out []string
	for _, h := range c.Headers {
		out = append(out, h.Value.Reveal())
	}
	var leaves func(v any)
	leaves = func(v any) {
		switch v := v.(type) {
		case string:
			out = append(out, v)
		case []any:
			for _, x := range v {
				leaves(x)
			}
		case map[string]any:
			for _, x := range v {
				leaves(x)
			}
		}
	}
	var auth any
	if !c.Authentication.Empty() && json.Unmarshal([]byte(c.Authentication.Reveal()), &auth) == nil {
		leaves(auth)
	}
	return out
}
