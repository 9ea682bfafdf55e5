package trivy

import (
	"bytes"
	"io"
	"io/fs"
	"path"
	"strings"

	"assay.dev/assay/internal/inspect/secrets"
)

// Bounds of the search for the values of reported secrets. What is over has no fingerprint.
const (
	maxSecrets    = 10_000    // of one report
	maxSecretFile = 5 << 20   // bytes of a file that holds one
	maxMatch      = 64 << 10  // bytes of a line as it is reported
	maxKeyBody    = 64 << 10  // bytes of a private key
	maxReach      = 1 << 20   // bytes behind the reported line that are searched
	maxCompared   = 512 << 20 // bytes compared in one run
	window        = 30        // bytes before a secret that Trivy shows of a long line
)

// finder finds reported secrets in the tree and returns their fingerprints. Trivy masks what it reports byte by byte with
// '*', so that a reported line is a template that fits at one place of the file. A value is given to print and kept
// nowhere else.
type finder struct {
	files fs.FS
	print func(value string) string

	name     string   // of the file read last
	texts    [][]byte // it as it is and, where that differs, as Trivy reads it: without carriage returns
	asked    int      // secrets so far
	compared int      // bytes so far
}

// fingerprint returns the fingerprint of a reported secret, "" where its value can't be told for sure.
func (f *finder) fingerprint(at section, l leak) string {
	if f.asked++; f.asked > maxSecrets || len(l.Match) > maxMatch || l.EndLine > l.StartLine && !l.key() {
		return "" // of a value of many lines, only the first is shown
	}
	template := strings.Trim(l.Match, "\uFFFD") // what was left of a character that the shown part begins or ends within
	for _, text := range f.read(at.Target) {
		where, ok := f.locate(text, template, l)
		if !ok {
			continue
		}
		value := string(text[where.from:where.to])
		if l.key() {
			value = keyAround(text, where.from)
		}
		if value != "" {
			return f.print(value)
		}
	}
	return ""
}

// key reports whether the secret is a private key, whose lines count as one value.
func (l leak) key() bool { return l.RuleID == "private-key" || l.Category == "AsymmetricPrivateKey" }

// read returns the file's texts; none where it isn't a small regular file of the tree.
func (f *finder) read(name string) [][]byte {
	name = path.Clean(name)
	if name == f.name {
		return f.texts
	}
	f.name, f.texts = name, nil
	if !fs.ValidPath(name) {
		return nil
	}
	if info, err := fs.Stat(f.files, name); err != nil || !info.Mode().IsRegular() || info.Size() > maxSecretFile {
		return nil
	}
	file, err := f.files.Open(name)
	if err != nil {
		return nil
	}
	text, err := io.ReadAll(io.LimitReader(file, maxSecretFile+1))
	if closing := file.Close(); err != nil || closing != nil || len(text) > maxSecretFile {
		return nil
	}
	f.texts = [][]byte{text}
	if bytes.IndexByte(text, '\r') >= 0 {
		f.texts = [][]byte{bytes.ReplaceAll(text, []byte("\r"), nil), text}
	}
	return f.texts
}

// span is a part of a text.
type span struct{ from, to int }

// locate returns where the masked part of the template stands in the text. Newer releases say the place; else it is
// looked for from the reported line on, which may come too early: older ones count no lines within what they mask.
func (f *finder) locate(text []byte, template string, l leak) (span, bool) {
	masked := runs(template)
	if l.Offset != nil {
		for _, m := range masked {
			if s := *l.Offset - m.from; f.fits(text, s, template, l.key()) {
				return span{s + m.from, s + m.to}, true
			}
		}
		return span{}, false
	}
	if len(masked) != 1 {
		return span{}, false // nobody says which of them this one is
	}
	m := masked[0]
	begin, ok := f.line(text, l.StartLine)
	if !ok {
		return span{}, false
	}
	literal, from := template[:m.from], 0
	if rest := template[m.to:]; len(rest) > len(literal) {
		literal, from = rest, m.to
	}
	if end := begin + len(template); f.fits(text, begin, template, l.key()) && (end == len(text) || text[end] == '\n') {
		// A line of nothing but a secret fits anywhere: below a private key its number can't be trusted.
		if literal == "" && bytes.Contains(text[:begin], []byte("PRIVATE KEY-----")) {
			return span{}, false
		}
		return trimmed(text, span{begin + m.from, begin + m.to})
	}
	if literal == "" {
		return span{}, false
	}
	last := min(len(text), begin+maxReach)
	for at := max(0, begin-window); at < last; {
		i := bytes.Index(text[at:last], []byte(literal))
		if f.compared += max(i, 0); i < 0 || f.compared > maxCompared {
			break
		}
		if s := at + i - from; f.fits(text, s, template, l.key()) {
			return trimmed(text, span{s + m.from, s + m.to})
		}
		at += i + 1
	}
	return span{}, false
}

// runs returns the masked parts of a template.
func runs(template string) []span {
	var out []span
	for i := 0; i < len(template); {
		from := i
		for i < len(template) && template[i] == '*' {
			i++
		}
		if i > from {
			out = append(out, span{from, i})
			continue
		}
		i++
	}
	return out
}

// fits reports whether the template fits the text at i: what is masked may be anything, of a key line breaks too.
func (f *finder) fits(text []byte, i int, template string, key bool) bool {
	if i < 0 || i > len(text)-len(template) || f.compared > maxCompared {
		return false
	}
	for n := range len(template) {
		f.compared++
		if c := text[i+n]; c != template[n] && (template[n] != '*' || c == '\n' && !key) {
			return false
		}
	}
	return true
}

// trimmed leaves out the asterisks of the file's own around a value.
func trimmed(text []byte, s span) (span, bool) {
	for s.from < s.to && text[s.from] == '*' {
		s.from++
	}
	for s.from < s.to && text[s.to-1] == '*' {
		s.to--
	}
	return s, s.from < s.to
}

// line returns where a line begins, counted from 1.
func (f *finder) line(text []byte, number int) (int, bool) {
	at := 0
	for ; number > 1; number-- {
		i := bytes.IndexByte(text[at:], '\n')
		if i < 0 {
			return 0, false
		}
		at += i + 1
	}
	f.compared += at
	return at, number == 1 && f.compared <= maxCompared
}

// keyAround returns the private key that holds the place, in the form in which private keys are known; "" where none does.
func keyAround(text []byte, at int) string {
	const dashes = "-----"
	head := text[max(0, at-256):at]
	i := bytes.LastIndex(head, []byte(dashes))
	if i < 0 || !bytes.Contains(head[:i], []byte("PRIVATE KEY")) {
		return ""
	}
	body := text[at-len(head)+i+len(dashes):]
	body = body[:min(len(body), maxKeyBody)]
	end := bytes.Index(body, []byte(dashes))
	if end < 0 {
		return ""
	}
	return secrets.KeyBody(string(body[:end]))
}
