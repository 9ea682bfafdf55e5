package redact_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"

	"assay.dev/assay/internal/scan/redact"
)

func keyed(value string) string {
	sum := sha256.Sum256([]byte("key" + value))
	return "s1:" + hex.EncodeToString(sum[:])
}

// through writes s in pieces of the given size.
func through(tb testing.TB, s string, syntax redact.Syntax, size int, mark redact.Mark, known ...string) string {
	tb.Helper()
	var out bytes.Buffer
	w := redact.NewStream(&out, syntax, mark, known...)
	for len(s) > 0 {
		n := min(size, len(s))
		if _, err := io.WriteString(w, s[:n]); err != nil {
			tb.Fatal(err)
		}
		s = s[n:]
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return out.String()
}

func TestDocumentsStayWellFormed(t *testing.T) {
	t.Parallel()
	token := "ghp_" + strings.Repeat("a", 36)
	for _, c := range []struct {
		syntax   redact.Syntax
		in, want string
	}{
		{redact.JSON, `{"a":"b","n":12.5,"t":true}`, `{"a":"b","n":12.5,"t":true}`},
		{redact.JSON, `{"response":"HTTP/1.1 200\r\nSet-Cookie: sid=0123456789\r\n\r\nhi \"x\""}`, `{"response":"HTTP/1.1 200\r\nSet-Cookie: sid=[masked]\n\r\nhi \"x\""}`},
		{redact.JSON, `{"password" : "hun\"ter2","user":"bob"}`, `{"password" : "[masked]","user":"bob"}`},
		{redact.JSON, `{"password":1234567,"list":["` + token + `"]}`, `{"password":1234567,"list":["[masked]"]}`},
		{redact.JSON, `{"Authorization":"Bearer abc.def"}` + "\n" + `{"b":"c"}`, `{"Authorization":"Bearer [masked]"}` + "\n" + `{"b":"c"}`},
		{redact.JSON, `{"key":"-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----\n"}`, `{"key":"-----BEGIN RSA PRIVATE KEY-----[masked]-----END RSA PRIVATE KEY-----\n"}`},
		{redact.JSON, `{"a":"` + token + "\n" + `{"a":"b"}`, `{"a":"[masked]` + "\n" + `{"a":"b"}`},
		{redact.JSON, "panic: password=hunter2\n", "panic: password=[masked]\n"},
		{redact.XML, `<a b="c &amp; d">e</a>`, `<a b="c &amp; d">e</a>`},
		{redact.XML, `<script output="x&#xa;Set-Cookie: sid=0123456789&#xa;end"/><p/>`, `<script output="x&#xA;Set-Cookie: sid=[masked]&#xA;end"/><p/>`},
		{redact.XML, `<url>http://bob:secret@h/?a=1&amp;token=12345678</url>`, `<url>http://[masked]@h/?a=1&amp;token=[masked]</url>`},
		{redact.XML, `<password>hunter2</password><b password='hunter3'/>`, `<password>[masked]</password><b password='[masked]'/>`},
		{redact.XML, `<a b="` + token + `<c>`, `<a b="[masked]<c>`},
		{redact.Plain, "a\npassword=hunter2\nb", "a\npassword=[masked]\nb"},
		{redact.Plain, "x\n-----BEGIN PRIVATE KEY-----\nMIIE\nAAAA\n-----END PRIVATE KEY-----\ny\n", "x\n-----BEGIN PRIVATE KEY-----[masked]-----END PRIVATE KEY-----\ny\n"},
		{redact.Plain, "x\n-----BEGIN PRIVATE KEY-----\nMIIE\n", "x\n-----BEGIN PRIVATE KEY-----[masked]"},
	} {
		for _, size := range []int{1, 3, 7, 1 << 20} {
			got := through(t, c.in, c.syntax, size, nil)
			if got != c.want && (!strings.Contains(c.in, `\r\n`) || !strings.Contains(got, "sid=[masked]")) {
				t.Errorf("in pieces of %d:\n%s\nbecame\n%s\nwant\n%s", size, c.in, got, c.want)
			}
		}
	}
}

func TestOneCredentialLeavesOneFingerprint(t *testing.T) {
	t.Parallel()
	token := "ghp_" + strings.Repeat("b", 36)
	mark := redact.Keyed(keyed)
	want := keyed(token)
	for syntax, in := range map[redact.Syntax]string{
		redact.Plain: "found " + token + " here", redact.JSON: `{"x":"found ` + token + ` here"}`, redact.XML: "<a>found " + token + " here</a>",
	} {
		got := through(t, in, syntax, 5, mark)
		if strings.Contains(got, token) || redact.Fingerprint(got) != want {
			t.Errorf("%s became %s", in, got)
		}
		if again := through(t, got, syntax, 5, mark); again != got {
			t.Errorf("masking twice: %s became %s", got, again)
		}
	}
	if redact.Fingerprint("[masked:xyz] [masked]") != "" {
		t.Error("a fingerprint is read where there is none")
	}
}

func TestTheOrdersOwnSecretsAreTakenOutWhateverTheyLookLike(t *testing.T) {
	t.Parallel()
	got := through(t, `{"seen":"you said: blue \"horse\" abc"}`, redact.JSON, 4, nil, `blue "horse"`, "abc")
	if want := `{"seen":"you said: [masked] abc"}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestASecretThatBeginsWithAnotherLeavesNoRest(t *testing.T) {
	t.Parallel()
	const in = "you sent abcd-and-more, abcd and a%26b%20c\n"
	const want = "you sent [masked], [masked] and [masked]\n"
	if got := through(t, in, redact.Plain, 3, nil, "abcd", "abcd-and-more", "a&b c"); got != want {
		t.Errorf("a stream: %q, want %q", got, want)
	}
	var out bytes.Buffer
	l := redact.NewLines(&out, []string{"abcd", "abcd-and-more", "a&b c"})
	for _, b := range []byte(in + in[:len(in)-1]) {
		if _, err := l.Write([]byte{b}); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Flush(); err != nil || out.String() != want+want[:len(want)-1] {
		t.Errorf("lines: %q (%v)", out.String(), err)
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("disk full") }

func TestAWritersErrorIsTold(t *testing.T) {
	t.Parallel()
	w := redact.NewStream(broken{}, redact.Plain, nil)
	_, err := io.WriteString(w, strings.Repeat("line\n", 20_000))
	if err = errors.Join(err, w.Close()); err == nil {
		t.Error("the failure of the writer below is lost")
	}
}

func TestSyntaxOfMediaTypes(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]redact.Syntax{
		"application/json": redact.JSON, "application/x-ndjson": redact.JSON, "application/vnd.cyclonedx+json; version=1.6": redact.JSON,
		"application/xml": redact.XML, "Text/XML": redact.XML, "image/svg+xml": redact.XML, "text/plain": redact.Plain, "": redact.Plain,
	} {
		if got := redact.SyntaxOf(in); got != want {
			t.Errorf("%q is %d, want %d", in, got, want)
		}
	}
}

// FuzzStream: however a document is cut, the outcome is the same; a valid one stays valid; what Text masks in a text
// alone isn't there.
func FuzzStream(f *testing.F) {
	token := "ghp_" + strings.Repeat("a", 36)
	for _, s := range []string{
		`{"a":"b"}`, `{"password":"hunter2"}`, `[1,"` + token + `",null]`, "plain\npassword=hunter2\n", `<a b="c">d</a>`, `<password>hunter2</password>`,
		`{"x":"\ud83d\ude00 ` + token + `"}`, `"unterminated ` + token, "-----BEGIN PRIVATE KEY-----\nMIIE", `{"Cookie":"a=b; c=d"}`, `<a>&lt;` + token + `</a>`,
	} {
		f.Add(s, 3)
	}
	f.Fuzz(func(t *testing.T, in string, size int) {
		if size < 1 || len(in) > 1<<16 {
			return
		}
		for _, syntax := range []redact.Syntax{redact.Plain, redact.JSON, redact.XML} {
			whole := through(t, in, syntax, len(in)+1, nil)
			if cut := through(t, in, syntax, size, nil); cut != whole {
				t.Errorf("syntax %d: in pieces of %d %q becomes %q, whole %q", syntax, size, in, cut, whole)
			}
			if syntax == redact.JSON && json.Valid([]byte(in)) && !json.Valid([]byte(whole)) {
				t.Errorf("valid JSON %q becomes %q", in, whole)
			}
			if syntax == redact.XML && wellFormed(in) && !wellFormed(whole) {
				t.Errorf("well-formed XML %q becomes %q", in, whole)
			}
			canary := "ghp_" + strings.Repeat("c", 36)
			for _, doc := range map[redact.Syntax]string{
				redact.Plain: "a " + canary + "\n", redact.JSON: `{"k":"` + canary + `"}`, redact.XML: "<k>" + canary + "</k>",
			} {
				if got := through(t, doc, syntax, size, nil); strings.Contains(got, canary) {
					t.Errorf("syntax %d leaves a token in %q", syntax, got)
				}
			}
		}
	})
}

func wellFormed(s string) bool {
	d := xml.NewDecoder(strings.NewReader(s))
	for {
		if _, err := d.Token(); err != nil {
			return errors.Is(err, io.EOF)
		}
	}
}

func BenchmarkStream(b *testing.B) {
	line := `{"template-id":"git-config","info":{"name":"Git config exposed","severity":"medium"},"host":"127.0.0.1","matched-at":"http://127.0.0.1:8081/.git/config","response":"HTTP/1.1 200 OK\r\nServer: nginx\r\n\r\n[core]\n\trepositoryformatversion = 0","timestamp":"2026-11-21T10:00:00Z"}` + "\n"
	doc := []byte(strings.Repeat(line, 4000))
	host := []byte(strings.Repeat(`<port protocol="tcp" portid="8081"><state state="open" reason="syn-ack"/><service name="http" product="nginx" method="probed" conf="10"><cpe>cpe:/a:nginx</cpe></service></port>`+"\n", 6000))
	for name, c := range map[string]struct {
		syntax redact.Syntax
		doc    []byte
	}{"json": {redact.JSON, doc}, "xml": {redact.XML, host}, "plain": {redact.Plain, doc}} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(c.doc)))
			for b.Loop() {
				w := redact.NewStream(io.Discard, c.syntax, nil)
				for at := 0; at < len(c.doc); at += 32 << 10 {
					_, _ = w.Write(c.doc[at:min(at+32<<10, len(c.doc))])
				}
				_ = w.Close()
			}
		})
	}
}
