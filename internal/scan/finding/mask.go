package finding

import (
	"net/url"
	"strings"
)

// masked stands where a credential stood.
const masked = "[masked]"

// Mask returns s with what looks like a credential replaced: values of Authorization, Cookie and API-key headers, user
// information in URLs, values of names such as password or token, tokens of well-known forms, and private keys. The
// rules prefer precision: what they replace is a credential, what they leave may be one. It runs in one pass, and
// masking twice changes nothing.
func Mask(s string) string {
	if s == "" {
		return s
	}
	s = maskPrivateKeys(s)
	s = maskUserinfo(s)
	m := masker{in: s}
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

// masker walks over words and copies what stays.
type masker struct {
	in   string
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
	if from < to && m.in[from:to] != masked {
		m.out.WriteString(m.in[m.kept:from])
		m.out.WriteString(masked)
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
	switch name := strings.ToLower(m.in[m.i:end]); name {
	case "authorization", "proxy-authorization":
		m.header(value, true)
	case "cookie", "set-cookie", "x-api-key", "x-auth-token", "x-amz-security-token":
		m.header(value, false)
	default:
		if !sensitive(name) {
			m.i = end
			return
		}
		m.assignment(value, strings.Contains(m.in[end:value], ":"))
	}
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

// header masks a header's value to the end of its line or quote; of Authorization the scheme stays, of a cookie its
// name.
func (m *masker) header(from int, scheme bool) {
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
	if name, _, found := strings.Cut(m.in[from:to], " "); scheme && found {
		from += len(name) + 1
	} else if eq := strings.IndexByte(m.in[from:to], '='); !scheme && eq > 0 && !strings.ContainsAny(m.in[from:from+eq], " ;") {
		from += eq + 1
	}
	if strings.HasPrefix(m.in[from:to], masked) {
		m.i = to
		return
	}
	m.replace(from, to)
}

// assignment masks the value of a sensitive name. After a colon only a value in quotes or with a digit in it counts:
// "password: the form sends it in clear" is prose.
func (m *masker) assignment(from int, colon bool) {
	const least = 4 // shorter values are words such as "yes"
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
	if to-from < least || (colon && !quoted && !strings.ContainsAny(m.in[from:to], "0123456789")) {
		m.i = from
		return
	}
	m.replace(from, to)
}

// sensitive names what is followed by a credential. name is in lower case.
func sensitive(name string) bool {
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

// tokenEnd returns the end of a token of a well-known form at s[i:], 0 where there is none.
func tokenEnd(s string, i int) int {
	if strings.IndexByte("Aaeghnrswx", s[i]) < 0 { // the forms' first letters: most words end here
		return 0
	}
	for _, form := range tokenForms() {
		if !strings.HasPrefix(s[i:], form.prefix) {
			continue
		}
		end := i + len(form.prefix)
		for end < len(s) && (isWordByte(s[end]) || strings.IndexByte(form.also, s[end]) >= 0) {
			end++
		}
		if end-i-len(form.prefix) >= form.least {
			return end
		}
	}
	return 0
}

// tokenForm is a prefix, the fewest characters behind it, and which characters beside letters, digits and '_' it holds.
type tokenForm struct {
	prefix string
	least  int
	also   string
}

func tokenForms() [21]tokenForm {
	return [...]tokenForm{
		{"AKIA", 16, ""},
		{"ASIA", 16, ""},
		{"ghp_", 36, ""},
		{"gho_", 36, ""},
		{"ghu_", 36, ""},
		{"ghs_", 36, ""},
		{"ghr_", 36, ""},
		{"github_pat_", 40, ""},
		{"glpat-", 20, "-"},
		{"xoxb-", 20, "-"},
		{"xoxa-", 20, "-"},
		{"xoxp-", 20, "-"},
		{"xoxs-", 20, "-"},
		{"AIza", 35, "-"},
		{"sk_live_", 20, ""},
		{"rk_live_", 20, ""},
		{"npm_", 36, ""},
		{"asy_live_", 40, ""},
		{"whsec_", 24, "+/="},
		{"eyJ", 40, "-."}, // a JSON Web Token
		{"hvs.", 24, "-."},
	}
}

func isQuote(c byte) bool { return c == '"' || c == '\'' }

func isWordByte(c byte) bool {
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_'
}

// maskPrivateKeys replaces the body of PEM private keys, also where the end was cut off.
func maskPrivateKeys(s string) string {
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
		b.WriteString(s[:i+len(begin)] + label + dashes + masked)
		j := strings.Index(body, end)
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
func maskUserinfo(s string) string {
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
		if at := strings.LastIndexByte(authority, '@'); at >= 0 && strings.IndexByte(authority[:at], ':') >= 0 {
			b.WriteString(masked)
			s = s[at:]
		}
	}
	if b.Len() == 0 {
		return s
	}
	return b.String() + s
}

// maskQuery replaces the values of sensitive names in a URL's query; the rest stays as it was written.
func maskQuery(query string) string {
	if query == "" {
		return query
	}
	pairs := strings.Split(query, "&")
	for i, pair := range pairs {
		name, value, found := strings.Cut(pair, "=")
		plain, err := url.QueryUnescape(name)
		if found && value != "" && err == nil && sensitive(strings.ToLower(plain)) {
			pairs[i] = name + "=" + masked
		}
	}
	return strings.Join(pairs, "&")
}
