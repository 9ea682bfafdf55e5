package intel

import (
	"encoding/json"
	"io"
	"strings"

	gocvss20 "github.com/pandatix/go-cvss/20"
	gocvss30 "github.com/pandatix/go-cvss/30"
	gocvss31 "github.com/pandatix/go-cvss/31"
	gocvss40 "github.com/pandatix/go-cvss/40"

	"assay.dev/assay/internal/scan/finding"
)

// readNVD reads a page or a feed of NVD's API 2.0. It adds to what is loaded: each CVE in it replaces what was known of
// that CVE, and one that was rejected or lost its metrics is forgotten. A later entry of the same CVE wins.
func readNVD(r io.Reader) (Set, error) {
	m := &meter{r: r, left: maxNVDBytes, each: maxElement}
	found := false
	var set Set
	details := map[string]string{} // each text once: there are few different vectors
	err := eachMember(m, func(dec *json.Decoder, name string) error {
		switch name {
		case "version":
			return texted(dec, func(v string) { set.Version = plain(v) })
		case "timestamp":
			return texted(dec, func(v string) { set.Date = moment(v) })
		case "vulnerabilities":
			found = true
			return eachElement(m, dec, func(n int) error {
				rec, skipped, err := nvdEntry(dec, n)
				if err != nil {
					return err
				}
				if n > maxRecords {
					return wrongEntry(n, "is beyond the largest number of rows")
				}
				set.Skipped += skipped
				rec.Detail = once(details, rec.Detail)
				set.Records = with(set.Records, rec)
				return nil
			})
		}
		return skip(dec)
	})
	switch {
	case err != nil:
		return Set{}, err
	case !found:
		return Set{}, wrongFile("isn't an answer of NVD's API 2.0: it has no list vulnerabilities")
	case len(set.Records) == 0:
		return Set{}, wrongFile("lists nothing")
	}
	set.settle()
	return set, nil
}

// maxDetails bounds how many texts are shared.
const maxDetails = 10_000

// once returns the one copy of a text.
func once(kept map[string]string, text string) string {
	if same, ok := kept[text]; ok {
		return same
	}
	if len(kept) < maxDetails {
		kept[text] = text
	}
	return text
}

// settle keeps the last record of each id, in order, and takes out those that say nothing.
func (s *Set) settle() {
	inOrder(s.Records)
	kept := s.Records[:0]
	for i, r := range s.Records {
		switch {
		case i+1 < len(s.Records) && s.Records[i+1].CVE == r.CVE:
		case r.Detail == "":
			s.Removed = append(s.Removed, r.CVE)
		default:
			kept = append(kept, r)
		}
	}
	s.Records = kept
}

// nvdMetric is one assessment of a CVE.
type nvdMetric struct {
	Type string `json:"type"` // Primary is NVD's own
	Data struct {
		Vector string `json:"vectorString"`
	} `json:"cvssData"`
}

// nvdEntry reads one CVE; its record has no detail where it has no score. skipped counts vectors that don't check.
func nvdEntry(dec *json.Decoder, n int) (rec Record, skipped int, err error) {
	var e struct {
		CVE struct {
			ID      string `json:"id"`
			Status  string `json:"vulnStatus"`
			Metrics struct {
				V40 []nvdMetric `json:"cvssMetricV40"`
				V31 []nvdMetric `json:"cvssMetricV31"`
				V30 []nvdMetric `json:"cvssMetricV30"`
				V2  []nvdMetric `json:"cvssMetricV2"`
			} `json:"metrics"`
		} `json:"cve"`
	}
	if err := dec.Decode(&e); err != nil {
		return rec, 0, entryError(n, err)
	}
	var ok bool
	if rec.CVE, ok = Canonical(e.CVE.ID); !ok {
		return rec, 0, wrongEntry(n, "cve.id isn't a CVE id")
	}
	rec.CVE = strings.Clone(rec.CVE)
	if strings.EqualFold(e.CVE.Status, "Rejected") {
		return rec, 0, nil
	}
	best := e.CVE.Metrics
	// NVD's own assessment before another's, the newest version first.
	for _, own := range []bool{true, false} {
		for _, list := range [][]nvdMetric{best.V40, best.V31, best.V30, best.V2} {
			for _, k := range list {
				if (k.Type == "Primary") != own {
					continue
				}
				c, good := Score(k.Data.Vector)
				if !good {
					skipped++
					continue
				}
				rec.Score, rec.Detail = c.Score, c.Version+" "+c.Vector
				return rec, skipped, nil
			}
		}
	}
	return rec, skipped, nil
}

// Score checks a CVSS vector of any version and computes its score; ok is false where the vector isn't one. The
// vector comes back in its canonical form.
func Score(vector string) (c finding.CVSS, ok bool) {
	if len(vector) > 255 {
		return c, false
	}
	defer func() {
		if recover() != nil { // the parser is not ours and the text is a stranger's
			c, ok = finding.CVSS{}, false
		}
	}()
	switch {
	case strings.HasPrefix(vector, "CVSS:4.0/"):
		if v, err := gocvss40.ParseVector(vector); err == nil {
			return finding.CVSS{Version: "4.0", Vector: v.Vector(), Score: v.Score()}, true
		}
	case strings.HasPrefix(vector, "CVSS:3.1/"):
		if v, err := gocvss31.ParseVector(vector); err == nil {
			return finding.CVSS{Version: "3.1", Vector: v.Vector(), Score: v.BaseScore()}, true
		}
	case strings.HasPrefix(vector, "CVSS:3.0/"):
		if v, err := gocvss30.ParseVector(vector); err == nil {
			return finding.CVSS{Version: "3.0", Vector: v.Vector(), Score: v.BaseScore()}, true
		}
	case strings.HasPrefix(vector, "AV:"):
		if v, err := gocvss20.ParseVector(vector); err == nil {
			return finding.CVSS{Version: "2.0", Vector: v.Vector(), Score: v.BaseScore()}, true
		}
	}
	return c, false
}
