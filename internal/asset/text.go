package asset

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"assay.dev/assay/internal/word/fault"
)

// ParseName reads the name of a record: 1 to MaxName characters on one line, without surrounding space, control or
// invisible characters (those that turn text around among them). It returns the NFC form. A fault is Invalid at location.
func ParseName(location, s string) (string, error) {
	return line(location, s, MaxName)
}

// ParseTags reads a list of at most MaxTags tags of at most MaxTag characters each, duplicates left out, order kept. A
// fault is Invalid and names the tag by its index. No tags are an empty, non-nil list.
func ParseTags(location string, tags []string) ([]string, error) {
	if len(tags) > MaxTags {
		return nil, fault.Wrong(location, "holds too many tags; at most 20")
	}
	out := make([]string, 0, len(tags))
	seen := make(map[string]bool, len(tags))
	for i, tag := range tags {
		t, err := line(location+"["+strconv.Itoa(i)+"]", tag, MaxTag)
		if err != nil {
			return nil, err
		}
		if !seen[t] {
			seen[t] = true
			out = append(out, t)
		}
	}
	return out, nil
}

// ParseNote reads a text of at most MaxNote characters, which may be empty and hold line breaks.
func ParseNote(location, s string) (string, error) {
	s = norm.NFC.String(s)
	if utf8.RuneCountInString(s) > MaxNote {
		return "", fault.Wrong(location, "is too long; at most 2,000 characters")
	}
	if !visible(strings.NewReplacer("\n", "", "\t", "", "\r\n", "").Replace(s)) {
		return "", fault.Wrong(location, "must not hold control or invisible characters")
	}
	return strings.ReplaceAll(s, "\r\n", "\n"), nil
}

func line(location, s string, limit int) (string, error) {
	s = norm.NFC.String(s)
	switch {
	case strings.TrimSpace(s) == "":
		return "", fault.Wrong(location, "must not be empty")
	case utf8.RuneCountInString(s) > limit:
		return "", fault.Wrong(location, "is too long; at most "+strconv.Itoa(limit)+" characters")
	case strings.TrimSpace(s) != s:
		return "", fault.Wrong(location, "must not begin or end with white space")
	case !visible(s):
		return "", fault.Wrong(location, "must not hold control or invisible characters")
	}
	return s, nil
}

// visible reports whether s is valid UTF-8 of characters that a person can see or that part words. Joiners are let past,
// because some scripts and emoji are written with them.
func visible(s string) bool {
	for _, r := range s {
		switch {
		case r == utf8.RuneError, r == '\u2028', r == '\u2029':
			return false
		case r == '\u200c', r == '\u200d':
		case unicode.Is(unicode.C, r):
			return false
		}
	}
	return true
}
