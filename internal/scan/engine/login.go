package engine

import (
	"encoding/json"
	"strings"

	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/secret"
)

// Login is how an HTTP engine signs in at the target: what config.authentication means to engines that take no form of
// their own. {"type": "basic" or "digest", "username", "password"}, {"type": "bearer", "token"} or
// {"type": "cookie", "cookie": "name=value; …"}.
type Login struct {
	Type     LoginType
	Username string
	Password string
	Token    string
	Cookie   string
}

// LoginType is the kind of a Login.
type LoginType string

// Login types. NoLogin is that of the zero Login.
const (
	NoLogin     LoginType = ""
	BasicLogin  LoginType = "basic"
	DigestLogin LoginType = "digest"
	BearerLogin LoginType = "bearer"
	CookieLogin LoginType = "cookie"
)

// ParseLogin reads config.authentication; an empty one is the zero Login. Values may stand in a header: they hold no
// control characters. A fault is Invalid, names config.authentication and repeats nothing.
func ParseLogin(authentication secret.Text) (Login, error) {
	if authentication.Empty() {
		return Login{}, nil
	}
	wrong := func(message string) (Login, error) { return Login{}, fault.Wrong("config.authentication", message) }
	var doc struct {
		Type     LoginType `json:"type"`
		Username string    `json:"username"`
		Password string    `json:"password"`
		Token    string    `json:"token"`
		Cookie   string    `json:"cookie"`
	}
	dec := json.NewDecoder(strings.NewReader(authentication.Reveal()))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&doc); err != nil {
		return wrong(`must be {"type": "basic" or "digest", "username", "password"}, {"type": "bearer", "token"} or {"type": "cookie", "cookie"}`)
	}
	l := Login(doc)
	for _, v := range []string{l.Username, l.Password, l.Token, l.Cookie} {
		if !fieldValue(v) {
			return wrong("must not hold control characters")
		}
	}
	switch l.Type {
	case BasicLogin, DigestLogin:
		if l.Username == "" || strings.Contains(l.Username, ":") {
			return wrong("needs a username, without ':'")
		}
	case BearerLogin:
		if l.Token == "" || strings.Contains(l.Token, " ") {
			return wrong("needs a token, without spaces")
		}
	case CookieLogin:
		if !strings.Contains(l.Cookie, "=") {
			return wrong(`needs a cookie of the form "name=value"`)
		}
	case NoLogin:
		return wrong("needs a type")
	default:
		return wrong("has a type that this engine doesn't know; it knows basic, digest, bearer and cookie")
	}
	return l, nil
}

// Secrets returns the values that must not turn up in what a run leaves behind.
func (l Login) Secrets() []string {
	var out []string
	for _, s := range []string{l.Password, l.Token} {
		if s != "" {
			out = append(out, s)
		}
	}
	for pair := range strings.SplitSeq(l.Cookie, ";") {
		if _, value, ok := strings.Cut(pair, "="); ok && strings.TrimSpace(value) != "" {
			out = append(out, strings.TrimSpace(value))
		}
	}
	return out
}
