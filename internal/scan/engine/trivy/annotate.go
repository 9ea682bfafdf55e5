package trivy

import (
	"io"
	"slices"
	"strings"

	"assay.dev/assay/internal/word/fault"
)

// output returns where Trivy's report goes and what must be called when Trivy has ended. Of folders and repositories each
// secret gets its fingerprint on the way, by which it is known wherever else it was found: Trivy writes its report when
// it has looked at everything, and the tree is still there.
func (r *runner) output() (to io.Writer, ended func() error) {
	if r.plan.image || r.tree == nil || r.env.Fingerprint == nil || !slices.Contains(r.plan.scanners, scanSecret) {
		return r.raw, func() error { return nil }
	}
	from, into := io.Pipe()
	done := make(chan error, 1)
	go func() {
		var err error
		defer func() {
			if recover() != nil { // by a stranger's file
				err = fault.New(fault.Internal, fault.CodeInternal, "Trivy's report couldn't be passed on")
			}
			_ = from.CloseWithError(err) // never fails; Trivy must not wait for a reader
			done <- err
		}()
		err = annotate(from, r.raw, &finder{files: r.tree, print: r.env.Fingerprint})
	}()
	return into, func() error {
		_ = into.Close() // never fails
		return <-done
	}
}

// annotate copies a report and adds to each secret its fingerprint, as a member that Trivy doesn't know. What isn't a
// report is copied as it is. Errors are those of reading and writing.
func annotate(from io.Reader, to io.Writer, f *finder) error {
	p := &passage{from: from, to: to}
	nothing := events{
		pkg: func(section, pkg) error { return nil }, vuln: func(section, vuln) error { return nil },
		misconf: func(section, misconf) error { return nil }, licence: func(section, licence) error { return nil },
		leak: func(at section, l leak) error {
			if print := f.fingerprint(at, l); print != "" && l.RuleID != "" {
				return p.insert(`,"` + fingerprintName + `":"` + print + `"`)
			}
			return nil
		},
	}
	w := newWalker(p, nothing)
	p.offset = w.dec.InputOffset
	if err := w.walk(); err != nil {
		return err
	}
	if err := p.pass(len(p.held)); err != nil {
		return err
	}
	_, err := io.Copy(to, from)
	return err
}

// fingerprintName is the member of a secret that holds its fingerprint. Its name says nothing of secrets, so that it isn't
// masked as one.
const fingerprintName = "AssayFingerprint"

// passage hands on what a decoder reads, up to where the decoder is.
type passage struct {
	from   io.Reader
	to     io.Writer
	offset func() int64 // up to where the decoder has understood
	held   []byte       // read and not yet handed on
	passed int64        // handed on
}

// Read implements io.Reader.
func (p *passage) Read(b []byte) (int, error) {
	if err := p.pass(int(p.offset() - p.passed)); err != nil {
		return 0, err
	}
	n, err := p.from.Read(b)
	p.held = append(p.held, b[:n]...)
	return n, err
}

func (p *passage) pass(n int) error {
	if n <= 0 {
		return nil
	}
	_, err := p.to.Write(p.held[:n])
	p.held = slices.Delete(p.held, 0, n)
	p.passed += int64(n)
	return err
}

// insert adds a member to the object that the decoder has just read.
func (p *passage) insert(member string) error {
	n := int(p.offset()-p.passed) - 1
	if n < 0 || n >= len(p.held) || p.held[n] != '}' {
		return nil
	}
	if err := p.pass(n); err != nil {
		return err
	}
	_, err := io.WriteString(p.to, member)
	return err
}

// printOf returns a fingerprint of the report's, "" where it is none.
func printOf(s string) string {
	if hex, ok := strings.CutPrefix(s, "s1:"); !ok || len(hex) != 64 || strings.Trim(hex, "0123456789abcdef") != "" {
		return ""
	}
	return s
}
