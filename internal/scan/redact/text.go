// Package redact takes credentials out of what engines say: out of texts that are shown, and out of raw output on its
// way to the disk, where each leaves a keyed fingerprint by which it is known again.
//
// It is pure. It never decides what a finding is, and it must never keep or return a credential that it has replaced.
// Start with Text, then stream.go for output that is written piece by piece.
package redact

import (
	"net/url"
	"strings"
)

// masked stands where a credential stood, with a fingerprint behind a colon where there is a key: "[masked]",
// "[masked:" + hex + "]".
const masked = "[masked]"

// Mark returns what stands in the place of a credential. nil marks all alike.
type Mark func(credential string) string

// Keyed returns a Mark that shows a keyed fingerprint, so that one credential is known wherever it was seen.
// fingerprint is engine.Env.Fingerprint: "s1:" + hex.
func Keyed(fingerprint func(value string) string) Mark {
	return func(credential string) string {
		return "[masked:" + strings.TrimPrefix(fingerprint(credential), fingerprintScheme) + "]"
	}
}

const fingerprintScheme = "s1:"

// Fingerprint returns the fingerprint in the first mark of s, as Keyed was given it; "" where there is none.
func Fingerprint(s string) string {
	const open, size = "[masked:", 64
	for {
		i := strings.Index(s, open)
		if i < 0 {
			return ""
		}
		s = s[i+len(open):]
		if len(s) > size && s[size] == ']' && strings.Trim(s[:size], "0123456789abcdef") == "" {
			return fingerprintScheme + s[:size]
		}
	}
}

func (m Mark) of(credential string) string {
	if m == nil {
		return masked
	}
	return m(credential)
}

// isMark reports whether s begins with a mark, or was blotted out by somebody else: a fingerprint of asterisks would tie
// together what has nothing in common.
func isMark(s string) bool {
	return strings.HasPrefix(s, "[masked]") || strings.HasPrefix(s, "[masked:") || strings.Trim(s, "*•…") == ""
}

// Text returns s with what looks like a credential replaced: values of Authorization, Cookie and API-key headers, user
// information in URLs, values of names such as password or token, tokens of well-known forms, and private keys. The
// rules prefer precision: what they replace is a credential, what they leave may be one. It runs in one pass, and
// masking twice changes nothing.
func Text(s string, mark Mark) string {
	if s == "" {
		return s
	}
	s = maskPrivateKeys(s, mark)
	s = maskUserinfo(s, mark)
	m := masker{in: s, mark: mark}
	for m.i < len(s) {
		if !isWordByte(s[m.i]) {
			m.i++
			continue
		}
		end := m.i
		for end < len(s) && (isWordByte(s[end]) || s[end] == '-') {
			end++
		}
		m.word(end)
	}
	return m.done()
}

// Value returns the value of a name, as of a JSON member, masked as a whole where the name says that it is a
// credential, else as Text does it.
func Value(name, value string, mark Mark) string {
	name = strings.ToLower(name)
	switch {
	case len(value) < leastValue || isMark(value):
		return value
	case headerName(name) != noHeader:
		return strings.TrimPrefix(Text(name+": "+value, mark), name+": ")
	case sensitive(name):
		return mark.of(value)
	}
	return Text(value, mark)
}

// masker walks over words and copies what stays.
type masker struct {
	in   string
	mark Mark
	out  strings.Builder
	i    int // where it stands
	kept int // up to where in is copied
}

func (m *masker) done() string {
	if m.kept == 0 {
		return m.in
	}
	m.out.WriteString(m.in[m.kept:])
	return m.out.String()
}

// replace masks in[from:to] and goes on behind it.
func (m *masker) replace(from, to int) {
	if from < to && !isMark(m.in[from:to]) {
		m.out.WriteString(m.in[m.kept:from])
		m.out.WriteString(m.mark.of(m.in[from:to]))
		m.kept = to
	}
	m.i = to
}

// word looks at the word in[i:end]: is it a token, or the name of what follows?
func (m *masker) word(end int) {
	if token := tokenEnd(m.in, m.i); token > 0 {
		m.replace(m.i, token)
		return
	}
	value := m.value(end)
	if value < 0 || end-m.i > len("shared-access-signature") {
		m.i = end
		return
	}
	name := strings.ToLower(m.in[m.i:end])
	switch headerName(name) {
	case schemeHeader:
		m.header(value, true)
		return
	case keyHeader:
		m.header(value, false)
		return
	case cookieHeader:
		m.cookies(value)
		return
	case noHeader:
	}
	if !sensitive(name) {
		m.i = end
		return
	}
	m.assignment(value, strings.Contains(m.in[end:value], ":"))
}

// header tells how a header carries credentials.
type header uint8

const (
	noHeader     header = iota
	schemeHeader        // a scheme and then the credential
	keyHeader           // the credential
	cookieHeader        // NAME=VALUE pairs
)

// headerName tells headers that carry credentials. name is in lower case.
func headerName(name string) header {
	switch name {
	case "authorization", "proxy-authorization":
		return schemeHeader
	case "x-api-key", "x-auth-token", "x-amz-security-token":
		return keyHeader
	case "cookie", "set-cookie":
		return cookieHeader
	}
	return noHeader
}

// value returns where the value of a name that ends at end begins, behind '=' or ':' with quotes and spaces around
// them; -1 where no value follows.
func (m *masker) value(end int) int {
	blank := func(i int, set string) int {
		for i < len(m.in) && strings.IndexByte(set, m.in[i]) >= 0 {
			i++
		}
		return i
	}
	i := blank(end, ` "'`)
	if i >= len(m.in) || (m.in[i] != '=' && m.in[i] != ':') {
		return -1
	}
	return blank(i+1, " ")
}

// end returns where a header's value begins and ends: to the end of its line or quote.
func (m *masker) end(from int) (int, int) {
	stop := "\n"
	if from < len(m.in) && isQuote(m.in[from]) {
		stop += m.in[from : from+1]
		from++
	} else if m.i > 0 && isQuote(m.in[m.i-1]) {
		stop += m.in[m.i-1 : m.i]
	}
	to := from
	for to < len(m.in) && strings.IndexByte(stop, m.in[to]) < 0 {
		to++
	}
	return from, to
}

// header masks a header's value; a scheme before it stays.
func (m *masker) header(from int, scheme bool) {
	from, to := m.end(from)
	if name, _, found := strings.Cut(m.in[from:to], " "); scheme && found {
		from += len(name) + 1
	}
	if isMark(m.in[from:to]) {
		m.i = to
		return
	}
	m.replace(from, to)
}

// cookies masks the values of a cookie header; names and attributes (RFC 6265 section 4.1.1) stay. A text in which
// "cookie" is followed by no pair is prose.
func (m *masker) cookies(from int) {
	from, to := m.end(from)
	for from < to {
		end := from + len(m.in[from:to])
		if semicolon := strings.IndexByte(m.in[from:to], ';'); semicolon >= 0 {
			end = from + semicolon
		}
		name, value, found := strings.Cut(m.in[from:end], "=")
		value = strings.TrimRight(value, "\r")
		if name = strings.TrimSpace(name); found && len(value) >= leastValue && name != "" && !strings.Contains(name, " ") && !isAttribute(name) {
			start := end - len(m.in[from:end]) + strings.IndexByte(m.in[from:end], '=') + 1
			m.replace(start, start+len(value))
		}
		from = end + 1
	}
	m.i = to
}

// isAttribute reports whether a name in Set-Cookie says how the cookie is kept.
func isAttribute(name string) bool {
	switch strings.ToLower(name) {
	case "path", "domain", "expires", "max-age", "samesite", "version", "comment":
		return true
	}
	return false
}

// leastValue is the fewest bytes of a value that is masked: shorter ones are words such as "yes".
const leastValue = 4

// assignment masks the value of a sensitive name. After a colon only a value in quotes or with a digit in it counts:
// "password: the form sends it in clear" is prose.
func (m *masker) assignment(from int, colon bool) {
	stop := " \t\n&;,<>\"'()[]{}"
	quoted := from < len(m.in) && isQuote(m.in[from])
	if quoted {
		stop = m.in[from:from+1] + "\n"
		from++
	}
	to := from
	for to < len(m.in) && strings.IndexByte(stop, m.in[to]) < 0 {
		to++
	}
	if to-from < leastValue || (colon && !quoted && !strings.ContainsAny(m.in[from:to], "0123456789")) {
		m.i = from
		return
	}
	m.replace(from, to)
}

// sensitive names what is followed by a credential. name is in lower case.
func sensitive(name string) bool {
	if len(name) < 3 {
		return false
	}
	name = strings.ReplaceAll(strings.ReplaceAll(name, "_", ""), "-", "")
	for _, end := range [...]string{"password", "passwd", "passphrase", "secret", "token", "apikey", "accesskey", "secretkey", "privatekey"} {
		if strings.HasSuffix(name, end) {
			return true
		}
	}
	switch name {
	case "pwd", "sessionid", "phpsessid", "jsessionid", "accountkey", "sharedaccesssignature", "bearer":
		return true
	}
	return false
}

// tokenEnd returns the end of a token of a well-known form at s[i:], 0 where there is none. The forms are told by their
// first letter, because most words end there.
func tokenEnd(s string, i int) int {
	t := token{s: s, i: i}
	switch s[i] {
	case 'A':
		return t.first(t.form("AKIA", 16, ""), t.form("ASIA", 16, ""), t.form("AIza", 35, "-"))
	case 'a':
		return t.form("asy_live_", 40, "")
	case 'e':
		return t.form("eyJ", 40, "-.") // a JSON Web Token
	case 'g':
		if len(s)-i > 4 && s[i+1] == 'h' && s[i+3] == '_' && strings.IndexByte("pousr", s[i+2]) >= 0 {
			return t.form(s[i:i+4], 36, "")
		}
		return t.first(t.form("github_pat_", 40, ""), t.form("glpat-", 20, "-"))
	case 'h':
		return t.form("hvs.", 24, "-.")
	case 'n':
		return t.form("npm_", 36, "")
	case 'r':
		return t.form("rk_live_", 20, "")
	case 's':
		return t.form("sk_live_", 20, "")
	case 'w':
		return t.form("whsec_", 24, "+/=")
	case 'x':
		if len(s)-i > 5 && strings.HasPrefix(s[i:], "xox") && s[i+4] == '-' && strings.IndexByte("baps", s[i+3]) >= 0 {
			return t.form(s[i:i+5], 20, "-")
		}
	}
	return 0
}

// token is a place at which one may begin.
type token struct {
	s string
	i int
}

// form returns the end of a token with the prefix and at least so many characters behind it: letters, digits, '_' and
// those in also. 0 = it isn't there.
func (t token) form(prefix string, least int, also string) int {
	if !strings.HasPrefix(t.s[t.i:], prefix) {
		return 0
	}
	from := t.i + len(prefix)
	end := from
	for end < len(t.s) && (isWordByte(t.s[end]) || strings.IndexByte(also, t.s[end]) >= 0) {
		end++
	}
	if end-from < least {
		return 0
	}
	return end
}

func (token) first(ends ...int) int {
	for _, end := range ends {
		if end > 0 {
			return end
		}
	}
	return 0
}

func isQuote(c byte) bool { return c == '"' || c == '\'' }

func isWordByte(c byte) bool {
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_'
}

// maskPrivateKeys replaces the body of PEM private keys, also where the end was cut off.
func maskPrivateKeys(s string, mark Mark) string {
	const begin, end, dashes = "-----BEGIN ", "-----END ", "-----"
	var b strings.Builder
	for {
		i := strings.Index(s, begin)
		if i < 0 {
			break
		}
		label, body, found := strings.Cut(s[i+len(begin):], dashes)
		if !found || len(label) > 40 || !strings.HasSuffix(label, "PRIVATE KEY") {
			b.WriteString(s[:i+len(begin)])
			s = s[i+len(begin):]
			continue
		}
		b.WriteString(s[:i+len(begin)] + label + dashes)
		j := strings.Index(body, end)
		key := body
		if j >= 0 {
			key = body[:j]
		}
		if isMark(key) {
			b.WriteString(key)
		} else {
			b.WriteString(mark.of(strings.Join(strings.Fields(key), "")))
		}
		if j < 0 {
			return b.String()
		}
		s = body[j:]
	}
	if b.Len() == 0 {
		return s
	}
	return b.String() + s
}

// maskUserinfo replaces user information in URLs.
func maskUserinfo(s string, mark Mark) string {
	var b strings.Builder
	for {
		i := strings.Index(s, "://")
		if i < 0 {
			break
		}
		i += len("://")
		b.WriteString(s[:i])
		s = s[i:]
		authority := s
		if j := strings.IndexAny(s, "/?# \t\n\"'<>"); j >= 0 {
			authority = s[:j]
		}
		if at := strings.LastIndexByte(authority, '@'); at >= 0 && strings.IndexByte(authority[:at], ':') >= 0 && !isMark(authority) {
			b.WriteString(mark.of(authority[:at]))
			s = s[at:]
		}
	}
	if b.Len() == 0 {
		return s
	}
	return b.String() + s
}

// Query returns a URL's query with the values of sensitive names replaced; the rest stays as it was written.
func Query(query string, mark Mark) string {
	if query == "" {
		return query
	}
	pairs := strings.Split(query, "&")
	for i, pair := range pairs {
		name, value, found := strings.Cut(pair, "=")
		plain, err := url.QueryUnescape(name)
		if found && value != "" && err == nil && sensitive(strings.ToLower(plain)) && !isMark(value) {
			pairs[i] = name + "=" + mark.of(value)
		}
	}
	return strings.Join(pairs, "&")
}
