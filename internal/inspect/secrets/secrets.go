// Package secrets finds credentials in text: files in, facts out.
//
// Its rules are those that gitleaks publishes (rules.json, MIT, see LICENSE.gitleaks), judged as gitleaks judges them:
// a keyword first, then the rule's expression, entropy and allow-lists. It differs in speed: one walk of the text by an
// Aho-Corasick automaton finds all keywords, and expressions see only what stands around their own. A value that was
// found never leaves this package: what leaves is where it stands, which rule knew it, a fingerprint by the caller's key,
// and the text around it without it. The package opens nothing and knows no scan. Start with Scanner.Scan; rule.go says
// how rules are read, judge.go which matches count.
package secrets

import (
	"bytes"
	"cmp"
	"slices"
	"strings"

	ahocorasick "github.com/BobuSumisu/aho-corasick"
)

// Version names the rules' edition.
const Version = "gitleaks 8.30.1"

// MaxLeaks bounds what one text yields; a text with more is data, not configuration.
const MaxLeaks = 200

// Leak is one credential that stands in a text.
type Leak struct {
	Rule        string `json:"rule"`        // the rule's id, "aws-access-token"
	About       string `json:"about"`       // what the rule knows, one sentence
	Line        int    `json:"line"`        // from 1
	Column      int    `json:"column"`      // of the match, in bytes, from 1
	Excerpt     string `json:"excerpt"`     // what stands around it, the value masked; printable, at most 120 bytes
	Fingerprint string `json:"fingerprint"` // by the function given to Scan
}

// Scanner holds the rules. It is safe for concurrent use; expressions are compiled when they are first needed.
type Scanner struct {
	rules []*rule
	words *ahocorasick.Trie
	users [][]int // by word: the rules that it wakes
	sizes []int   // by word: its length
	allow allowlist
}

// New reads the embedded rules.
func New() *Scanner {
	book := readBook()
	s := &Scanner{allow: book.allow}
	number := map[string]int{}
	build := ahocorasick.NewTrieBuilder()
	for i, r := range book.rules {
		s.rules = append(s.rules, r)
		for _, word := range r.keywords {
			n, known := number[word]
			if !known {
				n = len(s.users)
				number[word] = n
				s.users, s.sizes = append(s.users, nil), append(s.sizes, len(word))
				build.AddString(word)
			}
			s.users[n] = append(s.users[n], i)
		}
	}
	s.words = build.Build()
	return s
}

// Rules is the number of rules.
func (s *Scanner) Rules() int { return len(s.rules) }

// Skips reports whether the rules' allow-list leaves a path out altogether: lock files, pictures, vendored code.
func (s *Scanner) Skips(path string) bool { return s.allow.path(path) }

// span is a part of a text.
type span struct{ from, to int }

// Scan looks through one text and yields its leaks in the order of their places, at most MaxLeaks. path is the text's
// name below its tree, with forward slashes; some rules hold for some names only. fingerprint is given each value once
// and must keep none. The text is not changed.
func (s *Scanner) Scan(path string, text []byte, fingerprint func(string) string, yield func(Leak)) {
	if s.Skips(path) {
		return
	}
	spans := s.wake(text)
	var found []match
	for i, r := range s.rules {
		if r.expression == "" {
			if r.fits(path) {
				found = append(found, match{rule: r})
			}
			continue
		}
		if len(spans[i]) > 0 && r.fits(path) && !r.spares(path) {
			found = s.judge(found, r, path, text, spans[i])
		}
	}
	found = distinct(found)
	lines := newCounter(text)
	for _, m := range found[:min(len(found), MaxLeaks)] {
		l := Leak{Rule: m.rule.id, About: m.rule.about, Line: 1, Column: 1, Excerpt: "a file of the kind " + m.rule.id}
		value := path // of a file that is a secret as a whole, its place
		if m.rule.expression != "" {
			l.Line, l.Column = lines.at(m.from)
			l.Excerpt = excerpt(string(text[m.from:m.to]), m.value)
			value = m.value
			if m.rule.id == privateKey {
				value = keyOf(value)
			}
		}
		l.Fingerprint = fingerprint(value)
		yield(l)
	}
}

// keyOf returns what identifies a private key: its body as KeyBody has it, or the whole where it has another form.
func keyOf(block string) string {
	const dashes = "-----"
	_, rest, _ := strings.Cut(block, dashes)
	_, rest, _ = strings.Cut(rest, dashes)
	body, _, ok := strings.Cut(rest, dashes)
	if body = KeyBody(body); !ok || body == "" {
		return block
	}
	return body
}

// KeyBody returns what stands between the first and the last line of a PEM private key (RFC 7468) in the form whose
// fingerprint is taken: without white space and without line breaks that are written as \n or \r, so that a key is the
// same one whatever its lines end with and in whatever it is embedded.
func KeyBody(body string) string {
	body = strings.NewReplacer(`\r`, "", `\n`, "").Replace(body)
	return strings.Join(strings.Fields(body), "")
}

// wake walks the text once and returns, by rule, the spans around the rule's words.
func (s *Scanner) wake(text []byte) [][]span {
	lower := bytes.ToLower(text)
	if len(lower) != len(text) { // text that isn't UTF-8 or that grows: then only ASCII is folded
		lower = foldASCII(text)
	}
	spans := make([][]span, len(s.rules))
	s.words.Walk(lower, func(end, _, pattern int64) bool {
		to := int(end) + 1
		from := to - s.sizes[pattern]
		for _, i := range s.users[pattern] {
			r := s.rules[i]
			if r.early != nil && !r.early(lower, from, to) {
				continue
			}
			at := r.around(text, from, to)
			if n := len(spans[i]); n > 0 && at.from <= spans[i][n-1].to {
				spans[i][n-1].to = max(spans[i][n-1].to, at.to)
				continue
			}
			spans[i] = append(spans[i], at)
		}
		return true
	})
	return spans
}

func foldASCII(text []byte) []byte {
	out := bytes.Clone(text)
	for i, c := range out {
		if c >= 'A' && c <= 'Z' {
			out[i] = c | 0x20
		}
	}
	return out
}

// match is one place where a rule's expression holds and nothing speaks against it.
type match struct {
	rule     *rule
	from, to int
	value    string
}

// distinct sorts matches by place and leaves out what repeats another: the same value at the same place by the
// catch-all rule, or by the same rule through two of its words.
func distinct(all []match) []match {
	slices.SortStableFunc(all, func(a, b match) int {
		return cmp.Or(cmp.Compare(a.from, b.from), cmp.Compare(a.rule.id, b.rule.id))
	})
	var out []match
	for i, m := range all {
		repeated := slices.ContainsFunc(out[max(0, len(out)-20):], func(o match) bool {
			return o.rule == m.rule && o.from == m.from
		})
		if m.rule.id == catchAll {
			repeated = repeated || slices.ContainsFunc(all[max(0, i-20):min(len(all), i+20)], func(o match) bool {
				return o.rule.id != catchAll && o.from < m.to && m.from < o.to && (strings.Contains(o.value, m.value) || strings.Contains(m.value, o.value))
			})
		}
		if !repeated {
			out = append(out, m)
		}
	}
	return out
}

// counter turns ascending offsets into lines and columns.
type counter struct {
	text        []byte
	done, line  int
	beginOfLine int
}

func newCounter(text []byte) *counter { return &counter{text: text, line: 1} }

func (c *counter) at(offset int) (line, column int) {
	for i := c.done; i < offset; i++ {
		if c.text[i] == '\n' {
			c.line, c.beginOfLine = c.line+1, i+1
		}
	}
	c.done = max(c.done, offset)
	return c.line, offset - c.beginOfLine + 1
}
