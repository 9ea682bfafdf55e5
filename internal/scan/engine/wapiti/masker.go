package wapiti

import (
	"bytes"
	"io"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// minSecret is the length of the shortest secret that is looked for: shorter ones would be found everywhere.
const minSecret = 4

// masker passes whole lines on with secrets of the order replaced: Wapiti prints the requests that it sends. It is used
// by one writer at a time.
type masker struct {
	to      io.Writer
	secrets *strings.Replacer
	rest    bytes.Buffer
}

func newMasker(to io.Writer, secrets []string) *masker {
	slices.SortFunc(secrets, func(a, b string) int { return len(b) - len(a) }) // the whole before its parts
	var pairs []string
	for _, s := range secrets {
		for _, form := range []string{s, url.QueryEscape(s), url.PathEscape(s), strings.ReplaceAll(url.QueryEscape(s), "+", "%20")} {
			if len(s) >= minSecret {
				pairs = append(pairs, form, "[masked]")
			}
		}
	}
	return &masker{to: to, secrets: strings.NewReplacer(pairs...)}
}

// Write implements io.Writer.
func (m *masker) Write(p []byte) (int, error) {
	m.rest.Write(p)
	end := bytes.LastIndexByte(m.rest.Bytes(), '\n') + 1
	if end == 0 && m.rest.Len() > 2*maxLine {
		end = m.rest.Len()
	}
	if end == 0 {
		return len(p), nil
	}
	if _, err := io.WriteString(m.to, m.secrets.Replace(string(m.rest.Next(end)))); err != nil {
		return 0, err
	}
	return len(p), nil
}

// flush passes on the last line, which has no end.
func (m *masker) flush() error {
	_, err := io.WriteString(m.to, m.secrets.Replace(m.rest.String()))
	m.rest.Reset()
	return err
}

// jsonForms adds to secrets how they may be written within a JSON text.
func jsonForms(secrets []string) []string {
	out := slices.Clone(secrets)
	for _, s := range secrets {
		out = append(out, strings.NewReplacer("\\", "\\\\", "\"", "\\\"").Replace(s), strings.Trim(strconv.QuoteToASCII(s), "\""))
	}
	return out
}
