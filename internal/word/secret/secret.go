// Package secret holds values that must not be seen: text that redacts itself wherever it is printed, and keyed
// fingerprints by which an equal secret is recognised without being kept.
//
// Redaction is by type, not by a list of field names, so that a new secret field is safe by default. The package does
// no I/O and keeps nothing.
package secret

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
)

const redacted = "[redacted]"

// Text is a secret string. Every way of printing it, formatting, JSON and slog among them, shows [redacted]; only
// Reveal returns the value. The zero value is an absent secret. Compare two with crypto/subtle.
type Text struct{ v string }

// New takes a value into custody.
func New(v string) Text { return Text{v} }

// Reveal returns the value. Each call site is a place where the secret leaves custody: keep them few.
func (t Text) Reveal() string { return t.v }

// Empty reports whether there is no secret.
func (t Text) Empty() bool { return t.v == "" }

// String implements fmt.Stringer with the redacted form.
func (t Text) String() string { return redacted }

// GoString implements fmt.GoStringer, so that %#v redacts too.
func (t Text) GoString() string { return redacted }

// Format implements fmt.Formatter for all verbs, %x and %d among them.
func (t Text) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// LogValue implements slog.LogValuer.
func (t Text) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText implements encoding.TextMarshaler, and by it JSON and YAML.
func (t Text) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// UnmarshalText takes the value from a document, for request bodies and configuration.
func (t *Text) UnmarshalText(b []byte) error {
	t.v = string(b)
	return nil
}

// Fingerprint returns the lower-case hex HMAC-SHA256 of value under the organization's fingerprint key, so that an
// equal secret is recognised again but nobody without the key can test guesses. The domain keeps uses apart.
func Fingerprint(key []byte, domain, value string) string {
	m := hmac.New(sha256.New, key)
	_, _ = fmt.Fprintf(m, "%d:%s|", len(domain), domain)
	m.Write([]byte(value))
	return hex.EncodeToString(m.Sum(nil))
}
