package intel_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"assay.dev/assay/internal/scan/intel"
	"assay.dev/assay/internal/word/fault"
)

func file(tb testing.TB, name string) []byte {
	tb.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func packed(tb testing.TB, b []byte) []byte {
	tb.Helper()
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	if _, err := z.Write(b); err != nil {
		tb.Fatal(err)
	}
	if err := z.Close(); err != nil {
		tb.Fatal(err)
	}
	return out.Bytes()
}

func read(tb testing.TB, src intel.Source, b []byte) intel.Set {
	tb.Helper()
	set, err := intel.Read(src, bytes.NewReader(b))
	if err != nil {
		tb.Fatalf("%v (%+v)", err, fault.Of(err).Fields)
	}
	return set
}

func TestPublishedFilesAreReadAsTheyAre(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		source intel.Source
		file   string
		want   intel.Set
	}{
		{intel.EPSS, "epss_scores-2026-11-20.csv", intel.Set{
			Version: "v2025.03.14", Date: time.Date(2026, 11, 20, 12, 55, 0, 0, time.UTC),
			Records: []intel.Record{
				{CVE: "CVE-1999-0001", Score: 0.01141, Percentile: 0.77649},
				{CVE: "CVE-2014-0160", Score: 0.94439, Percentile: 0.9999},
				{CVE: "CVE-2021-41773", Score: 0.94388, Percentile: 0.99965},
				{CVE: "CVE-2021-44228", Score: 0.94358, Percentile: 0.99957},
				{CVE: "CVE-2023-44487", Score: 0.94428, Percentile: 0.99985},
				{CVE: "CVE-2024-10003", Score: 0.00043, Percentile: 0.12034},
				{CVE: "CVE-2024-3094", Score: 0.8493, Percentile: 0.9931},
				{CVE: "CVE-2024-9999", Score: 0.00081, Percentile: 0.35012},
			},
		}},
		{intel.KEV, "kev.json", intel.Set{
			Version: "2026.11.19", Date: time.Date(2026, 11, 19, 17, 3, 41, 651100000, time.UTC),
			Records: []intel.Record{
				{CVE: "CVE-2014-0160", Detail: "2022-05-04 2022-05-25 0"},
				{CVE: "CVE-2021-41773", Detail: "2021-11-03 2021-11-17 1"},
				{CVE: "CVE-2021-44228", Detail: "2021-12-10 2021-12-24 1"},
			},
		}},
		{intel.NVD, "nvd.json", intel.Set{
			Version: "2.0", Date: time.Date(2026, 11, 20, 8, 0, 1, 437000000, time.UTC),
			Records: []intel.Record{
				{CVE: "CVE-1999-0001", Score: 5, Detail: "2.0 AV:N/AC:L/Au:N/C:N/I:N/A:P"},
				{CVE: "CVE-2021-44228", Score: 10, Detail: "3.1 CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:C/C:H/I:H/A:H"},
				{CVE: "CVE-2024-3094", Score: 9.3, Detail: "4.0 CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N"},
			},
			Removed: []string{"CVE-2024-10003", "CVE-2024-9999"}, Skipped: 1,
		}},
	} {
		plain := read(t, c.source, file(t, c.file))
		again := read(t, c.source, packed(t, file(t, c.file)))
		marked := read(t, c.source, append([]byte("\ufeff"), file(t, c.file)...))
		for how, got := range map[string]intel.Set{"plain": plain, "packed": again, "with a byte order mark": marked} {
			if len(got.SHA256) != 64 {
				t.Errorf("%s: digest %q", c.file, got.SHA256)
			}
			got.SHA256 = ""
			c.want.Source = c.source
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("%s, %s:\n%s", c.file, how, diff)
			}
		}
		if plain.SHA256 == again.SHA256 {
			t.Errorf("%s: the digest is not of the file as it was given", c.file)
		}
	}
}

const epssHead = "#model_version:v1,score_date:2026-01-01\ncve,epss,percentile\n"

func TestAFileThatIsNotWhatItShouldBeIsRejectedAndNamesThePlace(t *testing.T) {
	t.Parallel()
	kev := func(entry string) string {
		return `{"catalogVersion":"1","vulnerabilities":[{"cveID":"CVE-2024-0001","dateAdded":"2024-01-01"},` + entry + `]}`
	}
	for name, c := range map[string]struct {
		source intel.Source
		file   string
		place  string
	}{
		"empty":                    {intel.EPSS, "", "holds no scores"},
		"no header":                {intel.EPSS, "CVE-2024-0001,0.1,0.2\n", "line 1: "},
		"other columns":            {intel.EPSS, "cve,percentile,epss\n", "line 1: "},
		"header only":              {intel.EPSS, epssHead, "holds no scores"},
		"two columns":              {intel.EPSS, epssHead + "CVE-2024-0001,0.1\n", "line 3: must hold three columns"},
		"four columns":             {intel.EPSS, epssHead + "CVE-2024-0001,0.1,0.2,0.3\n", "line 3: "},
		"no CVE":                   {intel.EPSS, epssHead + "GHSA-xxxx,0.1,0.2\n", "line 3: "},
		"NaN":                      {intel.EPSS, epssHead + "CVE-2024-0001,NaN,0.2\n", "line 3: epss"},
		"infinite":                 {intel.EPSS, epssHead + "CVE-2024-0001,0.1,Inf\n", "line 3: percentile"},
		"negative":                 {intel.EPSS, epssHead + "CVE-2024-0001,-0.1,0.2\n", "line 3: epss"},
		"over one":                 {intel.EPSS, epssHead + "CVE-2024-0001,1.1,0.2\n", "line 3: epss"},
		"hexadecimal":              {intel.EPSS, epssHead + "CVE-2024-0001,0x1p-3,0.2\n", "line 3: epss"},
		"twice":                    {intel.EPSS, epssHead + "CVE-2024-0001,0.1,0.2\ncve-2024-0001,0.1,0.2\n", "twice"},
		"a comment in the middle":  {intel.EPSS, epssHead + "CVE-2024-0001,0.1,0.2\n#x\n", "line 4: "},
		"a huge line":              {intel.EPSS, epssHead + strings.Repeat("9", 5000), "line 3: is too long"},
		"a KEV file":               {intel.EPSS, string(file(t, "kev.json")), "line 1: "},
		"text for JSON":            {intel.KEV, "cve,epss", "isn't a JSON object"},
		"a list":                   {intel.KEV, "[]", "isn't a JSON object"},
		"nothing for JSON":         {intel.KEV, "", "isn't a JSON object"},
		"an NVD error":             {intel.KEV, `{"message":"x"}`, "no list vulnerabilities"},
		"an empty catalogue":       {intel.KEV, `{"vulnerabilities":[]}`, "lists nothing"},
		"not a list":               {intel.KEV, `{"vulnerabilities":{}}`, "where a list should be"},
		"cut off":                  {intel.KEV, kev(`{"cveID":"CVE-2024-0002"`)[:90], "cut off"},
		"more behind":              {intel.KEV, kev(`{"cveID":"CVE-2024-0002","dateAdded":"2024-01-01"}`) + "{}", "after its end"},
		"KEV twice":                {intel.KEV, kev(`{"cveID":"CVE-2024-0001","dateAdded":"2024-01-01"}`), "twice"},
		"KEV without date":         {intel.KEV, kev(`{"cveID":"CVE-2024-0002"}`), "entry 2: "},
		"KEV with a strange due":   {intel.KEV, kev(`{"cveID":"CVE-2024-0002","dateAdded":"2024-01-01","dueDate":"soon"}`), "entry 2: "},
		"KEV without CVE":          {intel.KEV, kev(`{"dateAdded":"2024-01-01"}`), "entry 2: "},
		"KEV of another form":      {intel.KEV, kev(`{"cveID":7}`), "entry 2: has a wrong form"},
		"a wrong count":            {intel.KEV, `{"count":2,"vulnerabilities":[{"cveID":"CVE-2024-0001","dateAdded":"2024-01-01"}]}`, "another number"},
		"a member twice":           {intel.KEV, `{"vulnerabilities":[],"vulnerabilities":[]}`, "twice"},
		"NVD without CVE":          {intel.NVD, `{"vulnerabilities":[{"cve":{"id":"x"}}]}`, "entry 1: "},
		"NVD of another form":      {intel.NVD, `{"vulnerabilities":[{"cve":{"id":"CVE-2024-0001","metrics":[]}}]}`, "entry 1: "},
		"NVD empty":                {intel.NVD, `{"vulnerabilities":[]}`, "lists nothing"},
		"one entry that is huge":   {intel.NVD, `{"vulnerabilities":[{"x":"` + strings.Repeat("x", 9<<20) + `"}]}`, "larger than any"},
		"one member that is huge":  {intel.KEV, `{"title":"` + strings.Repeat("x", 9<<20) + `"}`, "larger than any"},
		"gzip that is cut off":     {intel.EPSS, string(packed(t, []byte(epssHead+"CVE-2024-0001,0.1,0.2\n"))[:40]), "cut off"},
		"gzip of nothing sensible": {intel.EPSS, "\x1f\x8bxxxxxxxxxxxxxxxxxxxx", "cut off or damaged"},
		"an unknown source":        {"osv", "x", "must be epss, kev or nvd"},
	} {
		_, err := intel.Read(c.source, strings.NewReader(c.file))
		f := fault.Of(err)
		if f == nil || f.Kind != fault.Invalid || len(f.Fields) != 1 || !strings.Contains(f.Fields[0].Message, c.place) {
			t.Errorf("%s: %v %+v", name, err, f)
			continue
		}
		if strings.Contains(f.Text+f.Fields[0].Message, "GHSA") {
			t.Errorf("%s: the fault repeats what was sent", name)
		}
	}
}

// endless is a stream without end, as a packed file of a few kilobytes can be.
type endless struct{ n int }

func (e *endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = "\n"[0]
	}
	e.n += len(p)
	return len(p), nil
}

func TestAStreamWithoutEndIsGivenUp(t *testing.T) {
	t.Parallel()
	blank := &endless{}
	if _, err := intel.Read(intel.EPSS, blank); fault.KindOf(err) != fault.Invalid || blank.n > 300<<20 {
		t.Errorf("%v after %d bytes", err, blank.n)
	}
	if _, err := intel.Read(intel.KEV, io.MultiReader(strings.NewReader("{"), &endless{})); fault.KindOf(err) != fault.Invalid {
		t.Error(err)
	}
	bomb := packed(t, make([]byte, 64<<20))
	if _, err := intel.Read(intel.EPSS, bytes.NewReader(bomb)); fault.KindOf(err) != fault.Invalid {
		t.Error(err)
	}
}

func TestAnIDHasOneForm(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"CVE-2024-0001": "CVE-2024-0001", " cve-2024-12345 ": "CVE-2024-12345", "CVE-2024-000123": "CVE-2024-0123",
		"CVE-2024-1": "", "CVE-24-0001": "", "CVE-2024-0001x": "", "CVE_2024-0001": "", "CVE-2024-": "", "": "",
		"CVE-2024-12345678901": "",
	} {
		if got, ok := intel.Canonical(in); got != want || ok != (want != "") {
			t.Errorf("%q: %q, %v", in, got, ok)
		}
	}
}

func TestScoresComeFromTheVectorAlone(t *testing.T) {
	t.Parallel()
	for vector, want := range map[string]float64{
		"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H":                    9.8,
		"CVSS:3.0/AV:L/AC:H/PR:L/UI:R/S:U/C:L/I:N/A:N":                    2.2,
		"AV:N/AC:M/Au:N/C:C/I:C/A:C":                                      9.3,
		"CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:H/SI:H/SA:H": 10,
	} {
		if got, ok := intel.Score(vector); !ok || got.Score != want {
			t.Errorf("%s: %+v, %v", vector, got, ok)
		}
	}
	for _, vector := range []string{"", "9.8", "CVSS:3.1/AV:N", "CVSS:9.0/AV:N", "AV:N", "CVSS:3.1/" + strings.Repeat("A", 300)} {
		if got, ok := intel.Score(vector); ok {
			t.Errorf("%q is scored %+v", vector, got)
		}
	}
}

func TestEveryEPSSFileThatIsWrittenIsReadBack(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		ids := rapid.SliceOfNDistinct(rapid.IntRange(1, 200_000), 1, 50, rapid.ID).Draw(t, "ids")
		want := map[string]float64{}
		var b strings.Builder
		b.WriteString(epssHead)
		for _, n := range ids {
			id, score := fmt.Sprintf("CVE-2024-%04d", n), float64(rapid.IntRange(0, 100_000).Draw(t, "score"))/100_000
			want[id] = score
			fmt.Fprintf(&b, "%s,%g,%g\n", id, score, score)
		}
		set, err := intel.Read(intel.EPSS, strings.NewReader(b.String()))
		if err != nil || len(set.Records) != len(want) {
			t.Fatalf("%v %d", err, len(set.Records))
		}
		for i, r := range set.Records {
			if want[r.CVE] != r.Score || (i > 0 && set.Records[i-1].CVE >= r.CVE) {
				t.Fatalf("%+v", r)
			}
		}
	})
}

func FuzzRead(f *testing.F) {
	for _, name := range []string{"epss_scores-2026-11-20.csv", "kev.json", "nvd.json"} {
		f.Add(file(f, name))
		f.Add(packed(f, file(f, name)))
	}
	f.Add([]byte(epssHead + "CVE-2024-0001,1e-5,.5\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, src := range intel.Sources() {
			set, err := intel.Read(src, bytes.NewReader(b))
			if err != nil {
				if fault.KindOf(err) != fault.Invalid {
					t.Fatalf("%s: %v", src, err)
				}
				continue
			}
			for i, r := range set.Records {
				id, ok := intel.Canonical(r.CVE)
				if !ok || id != r.CVE || (i > 0 && set.Records[i-1].CVE >= r.CVE) {
					t.Fatalf("%s: row %d is %+v", src, i, r)
				}
				top := 1.0
				if src == intel.NVD {
					top = 10
				}
				if !(r.Score >= 0 && r.Score <= top && r.Percentile >= 0 && r.Percentile <= 1) {
					t.Fatalf("%s: %+v", src, r)
				}
			}
		}
	})
}

func BenchmarkReadEPSS(b *testing.B) {
	var text bytes.Buffer
	text.WriteString(epssHead)
	for i := range 300_000 {
		fmt.Fprintf(&text, "CVE-%d-%04d,%.5f,%.5f\n", 2000+i/12_000, i%12_000+1, float64(i%1000)/1000, float64(i)/300_000)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := intel.Read(intel.EPSS, bytes.NewReader(text.Bytes())); err != nil {
			b.Fatal(err)
		}
	}
}
