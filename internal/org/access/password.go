package access

import (
	_ "embed"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"assay.dev/assay/internal/word/fault"
)

// Bounds of a password, in characters (decisions B14).
const (
	MinPassword = 12
	MaxPassword = 128
)

// ownChars is how many characters of a password must be its owner's: not part of a common word, a run of the
// alphabet, the digits or the keyboard, a year, or the name of the account or the organization.
const ownChars = 4

// common.txt is our own list: the stems that lists of leaked passwords keep showing (password, welcome, names, clubs,
// months, …), one a line. Literal leaked passwords of 12 characters and more are almost all such stems joined and
// decorated, which CheckPassword takes apart, so a few hundred stems refuse more than thousands of literals would.
//
//go:embed common.txt
var commonWords string

// CheckPassword reports why a new password can't be accepted, as a validation fault at location. related are words
// an attacker would try first for this account: its name, its e-mail, its organization.
func CheckPassword(location, password string, related ...string) error {
	password = norm.NFKC.String(password)
	switch n := utf8.RuneCountInString(password); {
	case !utf8.ValidString(password):
		return fault.Wrong(location, "must be valid UTF-8")
	case n < MinPassword:
		return fault.Wrong(location, "must have at least 12 characters")
	case n > MaxPassword:
		return fault.Wrong(location, "must have at most 128 characters")
	}
	for _, r := range password {
		if unicode.IsControl(r) {
			return fault.Wrong(location, "must not hold control characters")
		}
	}
	chars := []rune(strings.ToLower(password))
	if periodic(chars) {
		return fault.Wrong(location, "must not repeat a few characters over and over")
	}
	if uncovered(chars, stems(related)) < ownChars {
		return fault.Wrong(location, "is too close to a common password, a keyboard run, or the names of the account")
	}
	return nil
}

// stems returns the common words and those of the related texts, in lower case, as runes.
func stems(related []string) [][]rune {
	words := strings.Fields(commonWords)
	for _, text := range related {
		for _, w := range strings.FieldsFunc(strings.ToLower(text), func(r rune) bool {
			return !unicode.IsLetter(r) && !unicode.IsDigit(r)
		}) {
			if utf8.RuneCountInString(w) >= 3 {
				words = append(words, w)
			}
		}
	}
	out := make([][]rune, len(words))
	for i, w := range words {
		out[i] = []rune(w)
	}
	return out
}

// uncovered returns the least number of letters and digits that are left when the text is covered by stems and runs.
// Punctuation costs nothing: it is where people put their exclamation marks.
func uncovered(text []rune, words [][]rune) int {
	left := make([]int, len(text)+1) // left[i]: of text[i:]
	for i := len(text) - 1; i >= 0; i-- {
		cost := 0
		if unicode.IsLetter(text[i]) || unicode.IsDigit(text[i]) || unicode.IsMark(text[i]) {
			cost = 1
		}
		left[i] = cost + left[i+1]
		if n := runLength(text[i:]); n > 0 {
			left[i] = min(left[i], left[i+n])
		}
		if n := yearLength(text[i:]); n > 0 {
			left[i] = min(left[i], left[i+n])
		}
		for _, w := range words {
			if beginsWith(text[i:], w) {
				left[i] = min(left[i], left[i+len(w)])
			}
		}
	}
	return left[0]
}

// beginsWith compares letter by letter and sees through the usual substitutes (p4$$w0rd).
func beginsWith(text, word []rune) bool {
	if len(text) < len(word) {
		return false
	}
	for i, w := range word {
		if text[i] != w && !strings.ContainsRune(substitutes(w), text[i]) {
			return false
		}
	}
	return true
}

func substitutes(letter rune) string {
	switch letter {
	case 'a':
		return "4@"
	case 'b':
		return "8"
	case 'e':
		return "3€"
	case 'g':
		return "69"
	case 'i':
		return "1!|"
	case 'l':
		return "1|"
	case 'o':
		return "0"
	case 's':
		return "5$"
	case 't':
		return "7+"
	case 'z':
		return "2"
	}
	return ""
}

// runLength returns the length of the run that text begins with, if it has at least three characters: one character
// repeated, or neighbours in the alphabet, the digits or a row of a keyboard, in either direction.
func runLength(text []rune) int {
	longest := 1
	for longest < len(text) && text[longest] == text[0] {
		longest++
	}
	for _, row := range []string{
		"abcdefghijklmnopqrstuvwxyz", "01234567890", "qwertyuiop", "qwertzuiop", "azertyuiop",
		"asdfghjkl", "zxcvbnm", "yxcvbnm", "1q2w3e4r5t6y7u8i9o0p", "qazwsxedcrfvtgbyhnujmikolp", "!@#$%^&*()",
	} {
		longest = max(longest, runIn([]rune(row), text))
	}
	if longest < 3 {
		return 0
	}
	return longest
}

func runIn(row, text []rune) int {
	longest := 0
	for start := range row {
		for _, step := range []int{1, -1} {
			n := 0
			for at := start; n < len(text) && at >= 0 && at < len(row) && row[at] == text[n]; at += step {
				n++
			}
			longest = max(longest, n)
		}
	}
	return longest
}

// yearLength returns 4 where the text begins with a year of the last or this century.
func yearLength(text []rune) int {
	if len(text) < 4 || !unicode.IsDigit(text[2]) || !unicode.IsDigit(text[3]) {
		return 0
	}
	if century := string(text[:2]); century == "19" || century == "20" {
		return 4
	}
	return 0
}

// periodic reports whether the text is one unit of at most four characters over and over.
func periodic(text []rune) bool {
	for unit := 1; unit <= 4; unit++ {
		same := true
		for i := unit; i < len(text) && same; i++ {
			same = text[i] == text[i-unit]
		}
		if same {
			return true
		}
	}
	return false
}
