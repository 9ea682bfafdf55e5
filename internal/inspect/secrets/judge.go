package secrets

import (
	"bytes"
	"math"
	"strconv"
	"strings"
)

// allowMark in a line is how authors say that its value is no secret; gitleaks knows it too.
const allowMark = "gitleaks:allow"

// judge adds the rule's matches within its spans.
func (s *Scanner) judge(found []match, r *rule, path string, text []byte, spans []span) []match {
	find := r.find()
	for _, sp := range spans {
		part := text[sp.from:sp.to]
		for _, at := range find.FindAllSubmatchIndex(part, MaxLeaks) {
			value := valueOf(r, part, at)
			m := match{rule: r, from: sp.from + at[0], to: sp.from + at[1], value: value}
			for m.from < m.to && text[m.from] == '\n' {
				m.from++
			}
			if value == "" || r.entropy != 0 && entropy(value) <= r.entropy || r.id == catchAll && !strings.ContainsAny(value, "0123456789") {
				continue
			}
			v := view{path: path, value: value, match: string(text[m.from:m.to]), line: lineOf(text, m.from, m.to)}
			if strings.Contains(v.line, allowMark) || s.allow.allows(v) || r.allows(v) {
				continue
			}
			found = append(found, m)
			if len(found) >= 4*MaxLeaks {
				return found
			}
		}
	}
	return found
}

// valueOf returns the secret within a match: the rule's group, or the first that holds something, or the whole.
func valueOf(r *rule, part []byte, at []int) string {
	group := func(n int) string {
		if 2*n+1 >= len(at) || at[2*n] < 0 {
			return ""
		}
		return string(part[at[2*n]:at[2*n+1]])
	}
	if r.group > 0 {
		return group(r.group)
	}
	for n := 1; 2*n < len(at); n++ {
		if v := group(n); v != "" {
			return v
		}
	}
	return strings.Trim(group(0), "\n")
}

// view is a match as allow-lists see it.
type view struct{ path, value, match, line string }

func (r *rule) allows(v view) bool {
	for _, a := range r.allow {
		if a.allows(v) {
			return true
		}
	}
	return false
}

// allows reports whether an allow-list says that a match is none: by any of its kinds, or by all that it gives.
func (a allowlist) allows(v view) bool {
	text := v.value
	switch a.target {
	case "match":
		text = v.match
	case "line":
		text = v.line
	}
	byRegex, byStop, byPath := false, false, a.path(v.path)
	for _, e := range a.regexes() {
		byRegex = byRegex || e.MatchString(text)
	}
	if len(a.stop) > 0 {
		low := strings.ToLower(v.value)
		for _, s := range a.stop {
			if strings.Contains(low, s) {
				byStop = true
				break
			}
		}
	}
	if !a.all {
		return byRegex || byStop || byPath
	}
	return (byRegex || len(a.regexes()) == 0) && (byStop || len(a.stop) == 0) && (byPath || len(a.paths()) == 0)
}

// lineOf returns the lines that a match touches, bounded.
func lineOf(text []byte, from, to int) string {
	const most = 2 << 10
	if i := bytes.LastIndexByte(text[:from], '\n'); i >= 0 {
		from = max(i+1, from-most)
	} else {
		from = max(0, from-most)
	}
	if i := bytes.IndexByte(text[to:min(len(text), to+most)], '\n'); i >= 0 {
		to += i
	} else {
		to = min(len(text), to+most)
	}
	return string(text[from:min(to, from+4*most)])
}

// entropy is Shannon's, in bits a character.
func entropy(s string) float64 {
	counts := map[rune]int{}
	n := 0
	for _, c := range s {
		counts[c]++
		n++
	}
	sum := 0.0
	for _, c := range counts {
		p := float64(c) / float64(n)
		sum -= p * math.Log2(p)
	}
	return sum
}

// excerpt is what stands around a value, without it: its head at most, since what follows may hold another.
func excerpt(match, value string) string {
	head, _, _ := strings.Cut(match, value)
	var b strings.Builder
	for _, c := range head {
		if b.Len() > 80 {
			break
		}
		if strconv.IsPrint(c) && c != '\uFFFD' {
			b.WriteRune(c)
		}
	}
	return strings.TrimSpace(b.String()) + "[masked, " + strconv.Itoa(len(value)) + " bytes]"
}
