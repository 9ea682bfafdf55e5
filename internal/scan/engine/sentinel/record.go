package sentinel

import (
	"encoding/json"
	"errors"
	"io"
	"sync"
	"time"

	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/scan/engine/sentinel/banner"
	"assay.dev/assay/internal/scan/engine/sentinel/crawl"
	"assay.dev/assay/internal/scan/engine/sentinel/names"
	"assay.dev/assay/internal/scan/engine/sentinel/tree"
	"assay.dev/assay/internal/word/fault"
)

// recordVersion is the version of the raw output; Parse refuses a newer one.
const recordVersion = 2

// Bounds of raw output. Texts are cut when written and again when read.
const (
	maxLine    = 256 << 10
	maxText    = 512
	maxRecords = 200_000
)

// record is one line of raw output: what a probe did and what was answered. Exactly one member is set. Each record
// stands for itself and names the checks that were done to their end, so that a cut-off file says less but never
// something wrong. No record holds a secret value: what could be one is masked before it is written.
type record struct {
	Start *startRecord  `json:"start,omitempty"`
	Host  *hostRecord   `json:"host,omitempty"`
	Port  *portRecord   `json:"port,omitempty"`
	TLS   *tlsRecord    `json:"tls,omitempty"`
	Site  *siteRecord   `json:"site,omitempty"`
	Files *filesRecord  `json:"files,omitempty"`
	Crawl *crawlRecord  `json:"crawl,omitempty"`
	Names *names.Record `json:"names,omitempty"`
	File  *tree.File    `json:"file,omitempty"` // of a tree
	Tree  *treeRecord   `json:"tree,omitempty"`
	End   *endRecord    `json:"end,omitempty"`
}

// startRecord opens the file.
type startRecord struct {
	Version int       `json:"version"`
	Target  string    `json:"target"`
	At      time.Time `json:"at"`
	Depth   string    `json:"depth"`
}

// hostRecord is one address whose ports were all tried, or none that answered.
type hostRecord struct {
	Addr    string   `json:"addr"`
	Ports   [][2]int `json:"ports"` // the ranges that were tried, inclusive
	Alive   bool     `json:"alive"` // some port answered, be it with a refusal
	Refused int      `json:"refused"`
	Silent  int      `json:"silent"`
	Spared  []int    `json:"spared,omitempty"` // ours, or outside of the scope
	Failed  int      `json:"failed"`           // not tried for reasons on our side
	Checked []string `json:"checked,omitempty"`
}

// portRecord is one open port and what speaks there.
type portRecord struct {
	Addr    string  `json:"addr"`
	Port    int     `json:"port"`
	Service service `json:"service"`
	// KEX is what SSH offers; nil where nothing was heard.
	KEX     *banner.KEX `json:"kex,omitempty"`
	Checked []string    `json:"checked,omitempty"`
}

// tlsRecord is how one port does TLS.
type tlsRecord struct {
	Addr     string    `json:"addr"`
	Port     int       `json:"port"`
	Name     string    `json:"name,omitempty"` // sent as server name
	At       time.Time `json:"at"`
	Versions []string  `json:"versions,omitempty"` // accepted, "TLS 1.0"
	Suites   []string  `json:"suites,omitempty"`   // weak ones that were accepted, by IANA name
	Agreed   []agreed  `json:"agreed,omitempty"`   // what was negotiated in each version
	Groups   []string  `json:"groups,omitempty"`   // key exchange groups that were accepted; empty = not asked one by one
	KEX      string    `json:"kex,omitempty"`      // post-quantum group that was negotiated; empty = none
	Chain    [][]byte  `json:"chain,omitempty"`    // DER, leaf first
	Trust    string    `json:"trust,omitempty"`    // what the system's roots say, see trust
	Checked  []string  `json:"checked,omitempty"`
}

// agreed is what one version's handshake came to.
type agreed struct {
	Version string `json:"version"`
	Suite   string `json:"suite"`
	Group   string `json:"group,omitempty"`
}

// crawlRecord is a walk through one web origin.
type crawlRecord struct {
	URL     string       `json:"url"`
	Addr    string       `json:"addr"`
	Port    int          `json:"port"`
	Walk    crawl.Record `json:"walk"`
	Checked []string     `json:"checked,omitempty"`
}

// treeRecord closes the look at a tree.
type treeRecord struct {
	Sum      tree.Sum  `json:"sum"`
	At       time.Time `json:"at"`
	Revision string    `json:"revision,omitempty"`
	Checked  []string  `json:"checked,omitempty"`
}

// siteRecord is one web origin.
type siteRecord struct {
	URL       string     `json:"url"` // the page that was asked for
	Addr      string     `json:"addr"`
	Port      int        `json:"port"`
	Exchanges []exchange `json:"exchanges"`
	Checked   []string   `json:"checked,omitempty"`
}

// exchange is one HTTP request and its answer.
type exchange struct {
	Name    string              `json:"name"`
	Method  string              `json:"method"`
	URL     string              `json:"url"`
	Status  int                 `json:"status"`
	Headers map[string][]string `json:"headers,omitempty"` // cookie values masked
	Proof   string              `json:"proof,omitempty"`   // what in the body shows it
}

// filesRecord is what lay open at one web origin.
type filesRecord struct {
	URL     string     `json:"url"`
	Addr    string     `json:"addr"`
	Port    int        `json:"port"`
	Control []fileSeen `json:"control"` // paths that can't exist
	Seen    []fileSeen `json:"seen"`
	Checked []string   `json:"checked,omitempty"`
}

// fileSeen is the answer to one path.
type fileSeen struct {
	Path   string   `json:"path"`
	Status int      `json:"status"`
	Digest string   `json:"digest,omitempty"` // SHA-256 of what was read
	Proves []string `json:"proves,omitempty"` // kinds of file that the content shows
	Proof  string   `json:"proof,omitempty"`  // masked
}

// endRecord closes the file.
type endRecord struct {
	Outcome string `json:"outcome"`
}

// recorder writes records as JSON lines. It is safe for concurrent use.
type recorder struct {
	mu  sync.Mutex
	out engine.Artifact
	err error
}

// write appends one record. An error stays: the run ends as partial, since what follows would be missing.
func (r *recorder) write(rec record) {
	line, err := json.Marshal(rec)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		return
	}
	if err == nil && len(line) >= maxLine {
		err = errors.New("a record is too long")
	}
	if err == nil {
		_, err = r.out.Write(append(line, '\n'))
	}
	if err == nil && r.out.Truncated() {
		err = io.ErrShortWrite
	}
	if err != nil {
		r.err = fault.New(fault.Internal, fault.CodeScanFailed, "the scan's raw output could not be kept").Because(err)
	}
}

func (r *recorder) failed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err != nil
}
