package trivy

import (
	"encoding/json"
	"errors"
	"io"
)

// Bounds of the report. What is over ends the reading.
const (
	maxElement = 8 << 20 // bytes of one package, finding or other value
	maxDepth   = 64      // values within each other; Trivy's own go to about 10
)

// section is one entry of Results, as far as it is known when its parts come: Trivy writes these fields first.
type section struct {
	Target string
	Class  string
	Type   string
}

// pkg is one package.
type pkg struct {
	Name       string
	Version    string
	Release    string
	Epoch      int
	FilePath   string
	Licenses   []string
	Dev        bool
	Identifier identifier
}

type identifier struct{ PURL string }

// vuln is one known flaw in one package.
type vuln struct {
	VulnerabilityID  string
	VendorIDs        []string
	PkgName          string
	PkgPath          string
	PkgIdentifier    identifier
	InstalledVersion string
	FixedVersion     string
	Status           string
	SeveritySource   string
	PrimaryURL       string
	Title            string
	Description      string
	Severity         string
	CweIDs           []string
	CVSS             map[string]score
	References       []string
}

// score is what one source says.
type score struct {
	V2Vector, V3Vector, V40Vector string
	V2Score, V3Score, V40Score    float64
}

// misconf is one check that failed.
type misconf struct {
	ID            string
	AVDID         string
	Title         string
	Description   string
	Message       string
	Resolution    string
	Severity      string
	PrimaryURL    string
	References    []string
	Status        string
	CauseMetadata cause
}

type cause struct {
	Resource  string
	Provider  string
	Service   string
	StartLine int
	Code      code
}

type code struct{ Lines []line }

type line struct {
	Number  int
	Content string
	IsCause bool
}

// leak is one secret; Trivy has masked it.
type leak struct {
	RuleID    string
	Category  string
	Severity  string
	Title     string
	StartLine int
	EndLine   int
	Match     string
	Offset    *int // where the secret begins in its file; older releases don't say
	// AssayFingerprint is not Trivy's: the run adds it where it found the value.
	AssayFingerprint string
}

// licence is one licence text or declaration.
type licence struct {
	Severity string
	Category string
	PkgName  string
	FilePath string
	Name     string
	Link     string
}

// events are what read tells of the report. None may be nil.
type events struct {
	pkg     func(at section, p pkg) error
	vuln    func(at section, v vuln) error
	misconf func(at section, m misconf) error
	leak    func(at section, l leak) error
	licence func(at section, l licence) error
}

// errEnd ends the reading of a document that is cut off, malformed or beyond the bounds; what came before it counts.
var errEnd = errors.New("the report ends early")

// read walks a report and holds one element of it at a time. A document that isn't whole ends the reading without an
// error. Errors are the source's own and those of the events.
func read(r io.Reader, ev events) error { return newWalker(r, ev).walk() }

func newWalker(r io.Reader, ev events) *walker {
	src := &source{r: r}
	return &walker{src: src, dec: json.NewDecoder(src), ev: ev}
}

// walk is read.
func (w *walker) walk() error {
	err := w.document()
	switch {
	case w.src.err != nil:
		return w.src.err
	case errors.Is(err, errEnd):
		return nil
	}
	return err
}

// source bounds what the decoder reads for one value.
type source struct {
	r    io.Reader
	left int
	err  error // of the reader, apart from its end
}

// Read implements io.Reader.
func (s *source) Read(p []byte) (int, error) {
	if s.left <= 0 {
		return 0, io.ErrShortBuffer // the value is too long
	}
	n, err := s.r.Read(p[:min(len(p), s.left)])
	s.left -= n
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return n, err
}

type walker struct {
	src *source
	dec *json.Decoder
	ev  events
}

// token returns the next token; a document that ends or breaks is errEnd.
func (w *walker) token() (json.Token, error) {
	w.src.left = maxElement
	t, err := w.dec.Token()
	if err != nil {
		return nil, errEnd
	}
	return t, nil
}

// opens reports whether the next value begins with the delimiter; another value is passed over.
func (w *walker) opens(want json.Delim) (bool, error) {
	t, err := w.token()
	if err != nil || t == want {
		return err == nil, err
	}
	return false, w.pass(t)
}

// pass reads the rest of a value whose first token is t.
func (w *walker) pass(t json.Token) error {
	depth := 0
	for {
		switch t {
		case json.Delim('{'), json.Delim('['):
			if depth++; depth > maxDepth {
				return errEnd
			}
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
		if depth <= 0 {
			return nil
		}
		var err error
		if t, err = w.token(); err != nil {
			return err
		}
	}
}

// skip passes over the next value.
func (w *walker) skip() error {
	t, err := w.token()
	if err != nil {
		return err
	}
	return w.pass(t)
}

// fields calls f for each member of the object that was opened.
func (w *walker) fields(f func(name string) error) error {
	for w.more() {
		t, err := w.token()
		if err != nil {
			return err
		}
		name, ok := t.(string)
		if !ok {
			return errEnd
		}
		if err := f(name); err != nil {
			return err
		}
	}
	_, err := w.token()
	return err
}

func (w *walker) more() bool {
	w.src.left = maxElement
	return w.dec.More()
}

func (w *walker) document() error {
	ok, err := w.opens('{')
	if err != nil || !ok {
		return err
	}
	return w.fields(func(name string) error {
		if name != "Results" {
			return w.skip()
		}
		list, err := w.opens('[')
		if err != nil || !list {
			return err
		}
		for w.more() {
			if err := w.result(); err != nil {
				return err
			}
		}
		_, err = w.token()
		return err
	})
}

func (w *walker) result() error {
	ok, err := w.opens('{')
	if err != nil || !ok {
		return err
	}
	var at section
	return w.fields(func(name string) error {
		switch name {
		case "Target":
			return w.text(&at.Target)
		case "Class":
			return w.text(&at.Class)
		case "Type":
			return w.text(&at.Type)
		case "Packages":
			return each(w, at, w.ev.pkg)
		case "Vulnerabilities":
			return each(w, at, w.ev.vuln)
		case "Misconfigurations":
			return each(w, at, w.ev.misconf)
		case "Secrets":
			return each(w, at, w.ev.leak)
		case "Licenses":
			return each(w, at, w.ev.licence)
		}
		return w.skip()
	})
}

func (w *walker) text(into *string) error {
	t, err := w.token()
	if err != nil {
		return err
	}
	if s, ok := t.(string); ok {
		*into = s
		return nil
	}
	return w.pass(t)
}

// each tells the elements of a list one by one. An element of another shape is passed over.
func each[T any](w *walker, at section, tell func(section, T) error) error {
	list, err := w.opens('[')
	if err != nil || !list {
		return err
	}
	for w.more() {
		var v T
		w.src.left = maxElement
		err := w.dec.Decode(&v)
		if _, other := errors.AsType[*json.UnmarshalTypeError](err); other {
			continue
		}
		if err != nil {
			return errEnd
		}
		if err := tell(at, v); err != nil {
			return err
		}
	}
	_, err = w.token()
	return err
}
