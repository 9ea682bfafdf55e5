package store

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"assay.dev/assay/internal/word/uid"
)

// Bounds of the full-text index: words of a record, bytes of a word, words of a query.
const (
	maxWords      = 64
	maxWordBytes  = 64
	maxQueryWords = 8
	// afterAll is above every letter, so that [word, word+afterAll) is every word that begins with word.
	afterAll = "\U0010FFFF"
)

// words cuts texts into distinct folded words: runs of letters, marks and digits in lower case. It is the one
// tokenizer of both databases, for what is kept and for what is asked.
func words(limit int, texts ...string) []string {
	var out []string
	seen := map[string]bool{}
	for _, text := range texts {
		text = strings.ToLower(norm.NFKC.String(text))
		for w := range strings.FieldsFuncSeq(text, between) {
			if w = cut(w); seen[w] {
				continue
			}
			if len(out) == limit {
				return out
			}
			seen[w] = true
			out = append(out, w)
		}
	}
	return out
}

// between reports whether r lies between words.
func between(r rune) bool {
	if r < utf8.RuneSelf {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9')
	}
	return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsMark(r)
}

// cut shortens a word to whole runes.
func cut(w string) string {
	if len(w) <= maxWordBytes {
		return w
	}
	n := maxWordBytes
	for n > 0 && !utf8.RuneStart(w[n]) {
		n--
	}
	return w[:n]
}

// matching narrows a list to the organization's records that hold, for each word of q, one that begins with it. table
// and column name the word table and the record's id.
func (l *listing) matching(org uid.Org, q, table, column string) {
	if q == "" {
		return
	}
	l.unknown = true
	asked := words(maxQueryWords, q)
	if len(asked) == 0 {
		l.nothing = true
		return
	}
	for _, w := range asked {
		l.also(column+" IN (SELECT w.id FROM "+table+" w WHERE w.org = ? AND w.word >= ? AND w.word < ?)",
			string(org), w, w+afterAll)
	}
}
