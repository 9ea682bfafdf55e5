package nmap

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

// pieces shows a document as tags with their attributes and texts.
func pieces(r io.Reader) (out []string, err error) {
	m := newMarkup(r)
	for {
		t, err := m.next()
		if err != nil {
			return out, err
		}
		switch t.kind {
		case opening:
			s := "<" + string(t.name)
			for _, a := range t.attrs {
				s += " " + string(a.name) + "=" + value(a.value)
			}
			out = append(out, s)
		case closing:
			out = append(out, "/"+string(t.name))
		case text:
			out = append(out, "|"+value(t.name))
		}
	}
}

// library is the same by the standard library.
func library(r io.Reader) (out []string, err error) {
	d := xml.NewDecoder(r)
	for {
		tok, err := d.Token()
		if err != nil {
			return out, err
		}
		switch t := tok.(type) {
		case xml.StartElement:
			s := "<" + t.Name.Local
			for _, a := range t.Attr {
				s += " " + a.Name.Local + "=" + a.Value
			}
			out = append(out, s)
		case xml.EndElement:
			out = append(out, "/"+t.Name.Local)
		case xml.CharData:
			out = append(out, "|"+string(t))
		}
	}
}

// within drops texts outside of elements, which one of the two doesn't tell.
func within(all []string) []string {
	var out []string
	depth := 0
	for _, p := range all {
		switch p[0] {
		case '<':
			depth++
		case '/':
			depth--
		case '|':
			if depth == 0 {
				continue
			}
		}
		out = append(out, p)
	}
	return out
}

func TestMarkupReadsWhatTheLibraryReads(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*/raw.xml")
	if err != nil || len(files) == 0 {
		t.Fatal("no documents", err)
	}
	docs := map[string]string{
		"small": "<?xml version='1.0' encoding=\"utf-8\"?>\n<!DOCTYPE a [<!ENTITY b '<c>'>]><a b = \"1\" c='&lt;&#10;&#x41;&amp;\">'><!-- <x> --><d/>t&gt;u\r\nv\rw</a>\n",
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		docs[f] = string(b)
	}
	for name, doc := range docs {
		want, wantErr := library(strings.NewReader(doc))
		got, err := pieces(strings.NewReader(doc))
		if last := len(want) - 1; !errors.Is(wantErr, io.EOF) && last >= 0 && want[last][0] == '|' {
			want = want[:last] // a text that the end cuts off
		}
		if diff := cmp.Diff(within(want), within(got)); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
		if errors.Is(wantErr, io.EOF) != errors.Is(err, io.EOF) {
			t.Errorf("%s: ends with %v, the library with %v", name, err, wantErr)
		}
		slow, _ := pieces(iotest.OneByteReader(strings.NewReader(doc)))
		if diff := cmp.Diff(got, slow); diff != "" {
			t.Errorf("%s read byte by byte:\n%s", name, diff)
		}
	}
}

func TestMarkupEndsAtWhatIsMalformed(t *testing.T) {
	t.Parallel()
	for _, doc := range []string{
		"<a", "<a>", "<a></b>", "</a>", "<a b></a>", "<a b=c></a>", "<a b='<'></a>", "<a b='></a>", "<1a/>", "<>", "< a/>", "<a><!-- ", "<!DOCTYPE <", "<?x",
		"<?xml version=\"1.1\"?><a/>", "<?xml version=\"1.0\" encoding=\"UTF-16\"?><a/>", "<a>text",
	} {
		if got, err := pieces(strings.NewReader(doc)); !errors.Is(err, errMarkup) {
			t.Errorf("%q: %q, %v", doc, got, err)
		}
	}
	broken := errors.New("disk")
	m := newMarkup(io.MultiReader(strings.NewReader("<a>"), iotest.ErrReader(broken)))
	for {
		if _, err := m.next(); err != nil {
			break
		}
	}
	if !errors.Is(m.err, broken) {
		t.Errorf("the source's error is lost: %v", m.err)
	}
}

func TestValuesAreMadeFit(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		"plain": "plain", "a&lt;&gt;&amp;&quot;&apos;b": `a<>&"'b`, "&#x2714;": "✔", "&unknown;": "", "&": "", "&#0;": "", "&#xd800;": "", "&#1114112;": "",
		"a\xffb\x00c": "a?b?c", "a\r\nb\rc\td": "a\nb\nc\td", "\ufffe": "?", "ü": "ü",
	} {
		if got := value([]byte(raw)); got != want {
			t.Errorf("%q: %q, want %q", raw, got, want)
		}
	}
}

func FuzzMarkup(f *testing.F) {
	f.Add([]byte(vulnDocument))
	f.Add([]byte("<?xml version=\"1.0\"?><!DOCTYPE a [<!ENTITY b '<'>]><a><b c='&lt;'/>t</a>"))
	f.Fuzz(func(t *testing.T, doc []byte) {
		whole, err := pieces(bytes.NewReader(doc))
		slow, err2 := pieces(iotest.HalfReader(bytes.NewReader(doc)))
		if diff := cmp.Diff(whole, slow); diff != "" || errors.Is(err, io.EOF) != errors.Is(err2, io.EOF) {
			t.Errorf("how it is cut into reads matters: %v, %v\n%s", err, err2, diff)
		}
	})
}
