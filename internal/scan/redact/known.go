package redact

import (
	"bytes"
	"io"
	"net/url"
	"slices"
	"strings"
)

// knownForms returns a replacer of secrets that are known, as they are and as URLs hold them, and nil where there is
// none. Longer ones come first: a secret that begins with another mustn't leave its rest behind. Ones of fewer than
// leastValue bytes would be found everywhere and are left out.
func knownForms(secrets []string, mark Mark) *strings.Replacer {
	secrets = slices.SortedStableFunc(slices.Values(secrets), func(a, b string) int { return len(b) - len(a) })
	var pairs []string
	for _, s := range secrets {
		if len(s) < leastValue {
			continue
		}
		query := url.QueryEscape(s)
		for _, form := range []string{s, query, url.PathEscape(s), strings.ReplaceAll(query, "+", "%20")} {
			pairs = append(pairs, form, mark.of(s))
		}
	}
	if len(pairs) == 0 {
		return nil
	}
	return strings.NewReplacer(pairs...)
}

// maxKnownLine is how much of one line Lines holds back.
const maxKnownLine = 128 << 10

// Lines passes whole lines on with known secrets replaced by "[masked]", for output that a program writes about its own
// order and an engine reads while it comes. It is used by one writer at a time; Flush must be called.
type Lines struct {
	to      io.Writer
	secrets *strings.Replacer // nil = none
	rest    bytes.Buffer
}

// NewLines returns a writer into to.
func NewLines(to io.Writer, secrets []string) *Lines {
	return &Lines{to: to, secrets: knownForms(secrets, nil)}
}

// Write implements io.Writer.
func (l *Lines) Write(p []byte) (int, error) {
	l.rest.Write(p)
	end := bytes.LastIndexByte(l.rest.Bytes(), '\n') + 1
	if end == 0 && l.rest.Len() > maxKnownLine {
		end = l.rest.Len()
	}
	if end == 0 {
		return len(p), nil
	}
	if err := l.pass(string(l.rest.Next(end))); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Flush passes on the last line, which has no end.
func (l *Lines) Flush() error {
	err := l.pass(l.rest.String())
	l.rest.Reset()
	return err
}

func (l *Lines) pass(text string) error {
	if l.secrets != nil {
		text = l.secrets.Replace(text)
	}
	_, err := io.WriteString(l.to, text)
	return err
}
