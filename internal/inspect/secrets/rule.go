package secrets

import (
	_ "embed"
	"encoding/json"
	"regexp"
	"regexp/syntax"
	"strings"
	"sync"
)

// The published rules, as this package's test writes them from their source.
//
//go:embed rules.json
var published []byte

// catchAll is the rule for anything that looks like a key; where a rule of its own knows the value, that one speaks.
const catchAll = "generic-api-key"

// privateKey is the rule for private keys in PEM.
const privateKey = "private-key"

// rule is one rule of the book.
type rule struct {
	id, about  string
	expression string // empty: the path alone tells
	path       func() *regexp.Regexp
	find       func() *regexp.Regexp
	group      int // of the value; 0 = the first that isn't empty
	entropy    float64
	keywords   []string
	allow      []allowlist
	lines      bool // the expression reaches over many lines
	// early says before any expression whether a word's surroundings can match; nil = always.
	early func(lower []byte, from, to int) bool
}

// allowlist says what isn't a leak.
type allowlist struct {
	all     bool // every kind that is given must hold, else any
	target  string
	paths   func() []*regexp.Regexp
	regexes func() []*regexp.Regexp
	stop    []string
}

// The forms of rules.json.
type (
	bookFile struct {
		Allow allowFile  `json:"allow"`
		Rules []ruleFile `json:"rules"`
	}
	ruleFile struct {
		ID       string      `json:"id"`
		About    string      `json:"about"`
		Regex    string      `json:"regex,omitempty"`
		Path     string      `json:"path,omitempty"`
		Group    int         `json:"group,omitempty"`
		Entropy  float64     `json:"entropy,omitempty"`
		Keywords []string    `json:"keywords,omitempty"`
		Allow    []allowFile `json:"allow,omitempty"`
	}
	allowFile struct {
		All     bool     `json:"all,omitempty"`
		Target  string   `json:"target,omitempty"`
		Paths   []string `json:"paths,omitempty"`
		Regexes []string `json:"regexes,omitempty"`
		Stop    []string `json:"stop,omitempty"`
	}
)

type book struct {
	rules []*rule
	allow allowlist
}

// readBook reads the embedded rules, which a test has checked.
func readBook() book {
	var file bookFile
	if err := json.Unmarshal(published, &file); err != nil {
		panic("the embedded rules can't be read: " + err.Error())
	}
	out := book{allow: file.Allow.list()}
	for _, f := range file.Rules {
		r := &rule{
			id: f.ID, about: f.About, expression: f.Regex, group: f.Group, entropy: f.Entropy, keywords: f.Keywords,
			find: lazily(f.Regex), path: lazily(f.Path),
			lines: strings.Contains(f.Regex, `[\s\S`) || strings.Contains(f.Regex, "(?s:") || strings.Contains(f.Regex, `[\r\n]`),
		}
		for _, a := range f.Allow {
			r.allow = append(r.allow, a.list())
		}
		switch f.ID {
		case catchAll:
			r.early = assigned
		case "jwt":
			r.early = tokenHead
		}
		out.rules = append(out.rules, r)
	}
	return out
}

func (f allowFile) list() allowlist {
	a := allowlist{all: f.All, target: f.Target, paths: lazilyAll(f.Paths), regexes: lazilyAll(f.Regexes)}
	for _, s := range f.Stop {
		a.stop = append(a.stop, strings.ToLower(s))
	}
	return a
}

// lazily compiles an expression when it is first asked for; most never are.
func lazily(expression string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp {
		if expression == "" {
			return nil
		}
		return regexp.MustCompile(expression)
	})
}

// lazilyAll compiles a list. Without captures, many alternatives cost one pass.
func lazilyAll(expressions []string) func() []*regexp.Regexp {
	return sync.OnceValue(func() []*regexp.Regexp {
		var out []*regexp.Regexp
		for _, e := range expressions {
			out = append(out, regexp.MustCompile(e))
		}
		return out
	})
}

// fits reports whether the rule holds for files of that name.
func (r *rule) fits(path string) bool {
	p := r.path()
	return p == nil || p.MatchString(path)
}

// spares reports whether the rule's own allow-lists leave the path out.
func (r *rule) spares(path string) bool {
	for _, a := range r.allow {
		if !a.all && a.path(path) {
			return true
		}
	}
	return false
}

func (a allowlist) path(path string) bool {
	for _, p := range a.paths() {
		if p.MatchString(path) {
			return true
		}
	}
	return false
}

// Windows in bytes around a keyword: expressions name what is assigned at most some 80 bytes before the value.
const (
	before      = 128
	behind      = 384
	behindLines = 2 << 10
	behindKey   = 16 << 10 // a private key with all its lines
	beforeLines = 1 << 10
	stretch     = 8 << 10 // how far a window grows to end where a word ends
)

// around returns the part of the text that the rule's expression is shown for the keyword at from..to. It begins at the
// line's beginning or close before the word, and ends after the next line or well behind, never within a word: an
// expression must not take the window's end for the value's.
func (r *rule) around(text []byte, from, to int) span {
	switch {
	case r.id == privateKey:
		return span{max(0, from-before), min(len(text), to+behindKey)}
	case r.lines:
		return span{max(0, from-beforeLines), min(len(text), to+behindLines)}
	}
	s := span{max(0, from-before), min(len(text), to+behind)}
	for i := from - 1; i >= s.from; i-- {
		if text[i] == '\n' {
			s.from = i
			break
		}
	}
	lines := 0
	for i := to; i < s.to; i++ {
		if text[i] == '\n' {
			if lines++; lines == 2 {
				s.to = i
				return s
			}
		}
	}
	for limit := min(len(text), s.to+stretch); s.to < limit && syntax.IsWordChar(rune(text[s.to])); {
		s.to++
	}
	s.to = min(len(text), s.to+1)
	return s
}

// assigned reports whether what follows a name is an assignment of at least ten bytes, as the catch-all rule's
// expression wants: up to 20 bytes of a name, up to three of space and quotes, an operator, a value.
func assigned(lower []byte, _, to int) bool {
	i := to
	for ; i < len(lower) && i < to+23; i++ {
		c := lower[i]
		if !named(c) && c != ' ' && c != '\t' && c != '\n' && c != '\r' && c != '\'' && c != '"' && c != '\f' && c != '\v' {
			break
		}
	}
	if i >= len(lower) || !operator(lower[i]) {
		return false
	}
	for j := i; j < len(lower) && j < i+5 && (operator(lower[j]) || j == i); j++ {
		if valued(lower, j+1) {
			return true
		}
	}
	return false
}

// valued reports whether, after space and quotes, ten bytes of a value stand at i.
func valued(lower []byte, i int) bool {
	for n := 0; n < 6 && i < len(lower); n++ {
		c := lower[i]
		if c != '`' && c != '\'' && c != '"' && c != '=' && c != ' ' && c != '\t' && c != '\n' && c != '\r' && c != '\f' && c != '\v' {
			break
		}
		i++
	}
	run := 0
	for ; i < len(lower) && run < 10; i++ {
		if c := lower[i]; !named(c) && c != '=' && c != '+' && c != '/' {
			return false
		}
		run++
	}
	return run == 10
}

// named are the bytes of names: [\w.-].
func named(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '.' || c == '-'
}

func operator(c byte) bool {
	return c == '=' || c == '>' || c == ':' || c == '|' || c == ',' || c == '?'
}

// tokenHead reports whether "ey" begins a word of at least 19 letters and digits, as JSON Web Tokens do.
func tokenHead(lower []byte, from, to int) bool {
	if from > 0 && syntax.IsWordChar(rune(lower[from-1])) || to+17 > len(lower) {
		return false
	}
	for _, c := range lower[to : to+17] {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}
