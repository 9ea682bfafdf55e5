package engine

import (
	"bytes"
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"assay.dev/assay/internal/word/secret"
)

// Bounds of a scan's config.
const (
	MaxRateLimit      = 10_000 // requests or packets a second
	MaxParallelism    = 256
	MaxUserAgent      = 255      // bytes
	MaxHeaders        = 20       // decisions C1
	MaxHeaderName     = 64       // bytes
	MaxHeaderValue    = 4 << 10  // bytes
	MaxAuthentication = 16 << 10 // bytes of JSON
)

// ParseConfig reads a scan's config {rateLimit, maxParallelism, userAgent, headers, authentication}; only the fields
// that the manifest supports are taken. headers is an object of name to value, authentication an object whose meaning
// is the engine's. A fault is Invalid, names `config.<field>` and never repeats a value or a header's name.
func ParseConfig(m Manifest, raw map[string]json.RawMessage) (Config, error) {
	var c Config
	var wrong wrongs
	for _, name := range slices.Sorted(maps.Keys(raw)) {
		if !slices.Contains(m.Config, ConfigField(name)) {
			wrong.add(at("config", name), "is not supported by this engine")
			continue
		}
		if message := c.parse(ConfigField(name), bytes.TrimSpace(raw[name])); message != "" {
			wrong.add(at("config", name), message)
		}
	}
	if err := wrong.err(); err != nil {
		return Config{}, err
	}
	return c, nil
}

func (c *Config) parse(field ConfigField, raw []byte) (message string) {
	switch field {
	case ConfigRateLimit:
		c.RateLimit, message = whole(raw, MaxRateLimit)
	case ConfigMaxParallelism:
		c.MaxParallelism, message = whole(raw, MaxParallelism)
	case ConfigUserAgent:
		c.UserAgent, message = userAgent(raw)
	case ConfigHeaders:
		c.Headers, message = headers(raw)
	case ConfigAuthentication:
		c.Authentication, message = authentication(raw)
	default:
		message = "is not supported by this engine"
	}
	return message
}

func whole(raw []byte, limit int64) (int, string) {
	v, message := Option{Type: TypeInt, Min: 1, Max: limit}.parseInt(raw)
	n, _ := v.(int64)
	return int(n), message
}

func userAgent(raw []byte) (string, string) {
	s, ok := text(raw)
	if !ok || s == "" || len(s) > MaxUserAgent || !printable(s) || s[0] == '-' {
		return "", "must be a text of 1 to 255 printable ASCII characters that doesn't begin with '-'"
	}
	return s, ""
}

func headers(raw []byte) ([]Header, string) {
	var values map[string]json.RawMessage
	if len(raw) == 0 || raw[0] != '{' || json.Unmarshal(raw, &values) != nil {
		return nil, "must be an object of header names and values"
	}
	if len(values) > MaxHeaders {
		return nil, "holds too many headers; at most 20"
	}
	out := make([]Header, 0, len(values))
	for name, rawValue := range values {
		value, ok := text(bytes.TrimSpace(rawValue))
		switch {
		case !token(name):
			return nil, "holds a name that is not a header name"
		case reserved(name):
			return nil, "must not hold Host or a header that frames the request or the connection"
		case !ok || len(value) > MaxHeaderValue || !fieldValue(value):
			return nil, "holds a value that is not a text of at most 4,096 bytes without control characters"
		case slices.ContainsFunc(out, func(h Header) bool { return strings.EqualFold(h.Name, name) }):
			return nil, "names a header twice"
		}
		out = append(out, Header{Name: name, Value: secret.New(value)})
	}
	slices.SortFunc(out, func(a, b Header) int { return cmp.Compare(a.Name, b.Name) })
	return out, ""
}

func authentication(raw []byte) (secret.Text, string) {
	var object map[string]json.RawMessage
	if len(raw) == 0 || raw[0] != '{' || len(raw) > MaxAuthentication || json.Unmarshal(raw, &object) != nil {
		return secret.Text{}, "must be an object of at most 16 KiB"
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, raw); err != nil {
		return secret.Text{}, "must be an object of at most 16 KiB"
	}
	return secret.New(compact.String()), ""
}

func printable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' })
}

// token reports whether s is an RFC 9110 token.
func token(s string) bool {
	if s == "" || len(s) > MaxHeaderName {
		return false
	}
	for _, c := range []byte(s) {
		if !isAlnum(c) && !strings.ContainsRune("!#$%&'*+-.^_`|~", rune(c)) {
			return false
		}
	}
	return true
}

// fieldValue reports whether s can stand in a header: no control character, CR and LF among them.
func fieldValue(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f })
}

// reserved reports whether a header decides where a request goes or where it ends, which is the engine's business.
func reserved(name string) bool {
	switch strings.ToLower(name) {
	case "host", "content-length", "transfer-encoding", "connection", "upgrade", "te", "trailer", "keep-alive",
		"proxy-connection", "expect":
		return true
	}
	return false
}

// mask stands where a write-only value is.
const mask = "[redacted]"

// Masked returns the config as the API reads it back: header values and authentication never leave (decisions C1).
// Fields that were not given are left out.
func (c Config) Masked() map[string]any {
	out := map[string]any{}
	if c.RateLimit > 0 {
		out[string(ConfigRateLimit)] = c.RateLimit
	}
	if c.MaxParallelism > 0 {
		out[string(ConfigMaxParallelism)] = c.MaxParallelism
	}
	if c.UserAgent != "" {
		out[string(ConfigUserAgent)] = c.UserAgent
	}
	if len(c.Headers) > 0 {
		names := make(map[string]any, len(c.Headers))
		for _, h := range c.Headers {
			names[h.Name] = mask
		}
		out[string(ConfigHeaders)] = names
	}
	if !c.Authentication.Empty() {
		out[string(ConfigAuthentication)] = mask
	}
	return out
}
