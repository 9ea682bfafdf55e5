// Package intel is what public sources say of known vulnerabilities, and what people say of them in return: EPSS
// scores, the KEV catalogue and NVD's CVSS vectors come in from files that an operator fetched; VEX documents come in
// and go out.
//
// Files are hostile until read to their end: every reader is bounded, streams, and refuses the whole file before
// anything of it is kept. The package never fetches anything, never guesses (what no source says stays unknown, which
// is not zero), and never changes a finding: what is known is looked up when a finding is read. Start with Service,
// then epss.go, kev.go and nvd.go for the files, assess.go for what a finding gets, vex.go for VEX.
package intel

import (
	"context"
	"strconv"
	"strings"
	"time"

	"assay.dev/assay/internal/word/fault"
)

// Source is where knowledge comes from.
type Source string

// Sources.
const (
	EPSS Source = "epss" // FIRST: probability of exploitation within 30 days
	KEV  Source = "kev"  // CISA: known to be exploited
	NVD  Source = "nvd"  // NIST: CVSS vectors
)

// Sources lists them.
func Sources() []Source { return []Source{EPSS, KEV, NVD} }

// Shelf is one of the two places where a source's rows are kept: one is read, the other is being filled. 0 is none.
type Shelf int

// shelves returns the two places of a source.
func (s Source) shelves() (a, b Shelf) {
	switch s {
	case EPSS:
		return 1, 2
	case KEV:
		return 3, 4
	case NVD:
		return 5, 6
	}
	return 0, 0
}

// valid reports whether s is a source.
func (s Source) valid() bool { a, _ := s.shelves(); return a != 0 }

// staleAfter is the age from which a source's data deserve a warning: it is published daily, on working days, and
// continuously.
func (s Source) staleAfter() time.Duration {
	const day = 24 * time.Hour
	switch s {
	case EPSS:
		return 7 * day
	case KEV:
		return 14 * day
	case NVD:
		return 30 * day
	}
	return 0
}

// Record is one row: what one source says of one CVE. Which fields are set depends on the source.
type Record struct {
	CVE        string  // canonical, "CVE-2024-0001"
	Score      float64 // EPSS 0–1; CVSS 0–10
	Percentile float64 // EPSS 0–1
	Detail     string  // KEV: "added due ransomware"; NVD: "version vector"
}

// Loaded is the state of a source.
type Loaded struct {
	Source     Source
	Version    string    // EPSS model, KEV catalogue version, NVD format; may be empty
	Date       time.Time // of the data, as the file says; zero where it doesn't
	Rows       int
	SHA256     string // of the file as it was given, lower-case hex
	ImportedAt time.Time
}

// Round is one import under way. A newer one of the same source takes its hold away.
type Round struct {
	Source Source
	Token  string
	Live   Shelf // what is read now; 0 where nothing is loaded
	Target Shelf // what is filled
}

// Store keeps the rows of all sources for the whole server: they are public and belong to no organization.
type Store interface {
	// IntelSources returns the state of the sources that have been loaded.
	IntelSources(ctx context.Context) ([]Loaded, error)
	// BeginIntel takes hold of a source for r.Token and returns which shelf is read now.
	BeginIntel(ctx context.Context, s Source, token string) (live Shelf, err error)
	// IntelPage returns at most 5,000 rows of a shelf after a CVE, in the order of their text.
	IntelPage(ctx context.Context, s Shelf, after string) ([]Record, error)
	// WriteIntel writes and removes at most 500 rows of the target shelf; a Conflict fault when the hold is another's.
	WriteIntel(ctx context.Context, r Round, put []Record, drop []string) error
	// SwitchIntel makes the target shelf the one that is read, in one audited unit; a Conflict fault as above.
	SwitchIntel(ctx context.Context, r Round, l Loaded) error
}

// Canonical returns a CVE id in its one form, upper-case with at least four digits and no zeros before more; ok says
// whether text is one.
func Canonical(text string) (id string, ok bool) {
	text = strings.TrimSpace(text)
	if len(text) < 13 || len(text) > 19 || !strings.EqualFold(text[:4], "CVE-") || text[8] != '-' {
		return "", false
	}
	year, number := text[4:8], text[9:]
	if !digits(year) || !digits(number) {
		return "", false
	}
	for len(number) > 4 && number[0] == '0' {
		number = number[1:]
	}
	if text[:4] == "CVE-" && len(number) == len(text)-9 {
		return text, true
	}
	return "CVE-" + year + "-" + number, true
}

func digits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

// wrongFile is what a rejected file gets. It never repeats what the file holds.
func wrongFile(message string) *fault.Error {
	return fault.New(fault.Invalid, fault.CodeValidation, "the file was rejected and nothing was changed").With("file", message)
}

// wrongLine is wrongFile with a place.
func wrongLine(line int, message string) *fault.Error {
	return wrongFile("line " + strconv.Itoa(line) + ": " + message)
}

// plain keeps a version text where it is short and plain, so that it is safe to show and to log.
func plain(s string) string {
	if len(s) > 64 || strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") != "" {
		return ""
	}
	return s
}
