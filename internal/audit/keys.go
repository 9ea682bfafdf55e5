package audit

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"time"

	"golang.org/x/mod/sumdb/note"

	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/uid"
)

// Algorithm of a verification key.
type Algorithm string

// Algorithms.
const (
	Ed25519 Algorithm = "ed25519"   // RFC 8032
	MLDSA65 Algorithm = "ml-dsa-65" // FIPS 204
)

// Purpose keeps keys of different uses apart: a key verifies what its purpose says and nothing else.
type Purpose string

// Purposes.
const (
	PurposeLog      Purpose = "log"      // checkpoints of the audit log
	PurposeEvidence Purpose = "evidence" // sealed evidence packs
)

// KeyName returns the name under which an organization's keys of a purpose sign: for the log its origin.
func KeyName(org uid.Org, p Purpose) string {
	return "assay.dev/" + string(p) + "/" + string(org)
}

// Key is the public half of a signing key with the time in which it signs.
type Key struct {
	ID        string    `json:"id"`   // C2SP key id, 8 hex digits; depends on name, algorithm and key
	Name      string    `json:"name"` // KeyName of its organization and purpose
	Algorithm Algorithm `json:"algorithm"`
	PublicKey []byte    `json:"publicKey"` // base64 in JSON
	Purpose   Purpose   `json:"purpose"`
	ValidFrom time.Time `json:"validFrom"`
	ValidTo   time.Time `json:"validTo,omitzero"` // zero while it is in use
}

// NewKey returns the Key for a public key of an organization. A key that isn't one is an Invalid fault.
func NewKey(org uid.Org, p Purpose, alg Algorithm, public []byte, from time.Time) (Key, error) {
	v, err := NewVerifier(KeyName(org, p), alg, public)
	if err != nil {
		return Key{}, err
	}
	return Key{
		ID: keyID(v.KeyHash()), Name: v.Name(), Algorithm: alg, PublicKey: slices.Clone(public), Purpose: p,
		ValidFrom: from.UTC().Truncate(time.Second),
	}, nil
}

func keyID(hash uint32) string { return fmt.Sprintf("%08x", hash) }

// keysFormat names version 1 of the document.
const keysFormat = "assay.dev/keys/v1"

// Bounds of a key document.
const (
	MaxKeysSize = 4 << 20 // bytes
	maxKeys     = 1000
)

// Keys is an organization's verification keys with their history: what GET /api/keys publishes, `assay keys export`
// writes and an auditor trusts. Old keys stay in it for ever, because old checkpoints do.
type Keys struct {
	Format string  `json:"format"`
	Org    uid.Org `json:"organizationId"`
	Keys   []Key   `json:"keys"`
}

// NewKeys makes the document of an organization, oldest key first.
func NewKeys(org uid.Org, keys []Key) Keys {
	sorted := slices.Clone(keys)
	slices.SortStableFunc(sorted, func(a, b Key) int { return a.ValidFrom.Compare(b.ValidFrom) })
	if sorted == nil {
		sorted = []Key{}
	}
	return Keys{Format: keysFormat, Org: org, Keys: sorted}
}

// ParseKeys reads a key document of at most MaxKeysSize bytes. It is strict, because everything that is verified rests
// on it: no unknown, doubled or differently cased member, no trailing data, every key of the stated organization,
// purpose and algorithm, every id as computed from its key. Failures are Invalid faults that name the place.
func ParseKeys(r io.Reader) (Keys, error) {
	b, err := io.ReadAll(io.LimitReader(r, MaxKeysSize+1))
	if err != nil {
		return Keys{}, fault.New(fault.Unavailable, fault.CodeUnavailable, "the key document could not be read").Because(err)
	}
	if len(b) > MaxKeysSize {
		return Keys{}, badKeys("is too large")
	}
	if err := exactMembers(b); err != nil {
		return Keys{}, badKeys("is not a key document").Because(err)
	}
	var k Keys
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&k); err != nil {
		return Keys{}, badKeys("is not a key document").Because(err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return Keys{}, badKeys("has data after its end")
	}
	if err := k.check(); err != nil {
		return Keys{}, err
	}
	return k, nil
}

func badKeys(what string) *fault.Error {
	return fault.Wrong("keys", what)
}

func (k Keys) check() error {
	if k.Format != keysFormat {
		return fault.Wrong("format", "must be "+keysFormat)
	}
	if !uid.Valid(string(k.Org)) {
		return fault.Wrong("organizationId", "must be an id")
	}
	if len(k.Keys) > maxKeys {
		return badKeys("holds too many keys")
	}
	seen := make(map[string]bool, len(k.Keys))
	for i, key := range k.Keys {
		at := fmt.Sprintf("keys[%d].", i)
		if key.Purpose != PurposeLog && key.Purpose != PurposeEvidence {
			return fault.Wrong(at+"purpose", "must be log or evidence")
		}
		if key.Name != KeyName(k.Org, key.Purpose) {
			return fault.Wrong(at+"name", "must be the name of the organization's keys of this purpose")
		}
		v, err := NewVerifier(key.Name, key.Algorithm, key.PublicKey)
		if err != nil {
			return fault.Wrong(at+"publicKey", "must be a public key of a known algorithm").Because(err)
		}
		if key.ID != keyID(v.KeyHash()) || seen[key.Name+key.ID] {
			return fault.Wrong(at+"id", "must be the id computed from the key, and there only once")
		}
		seen[key.Name+key.ID] = true
		if key.ValidFrom.IsZero() || !key.ValidTo.IsZero() && key.ValidTo.Before(key.ValidFrom) {
			return fault.Wrong(at+"validFrom", "must be a time not after validTo")
		}
	}
	return nil
}

func (k Keys) verifiers(p Purpose) (note.Verifiers, error) {
	var list []note.Verifier
	for _, key := range k.Keys {
		if key.Purpose != p || key.Name != KeyName(k.Org, p) {
			continue
		}
		v, err := NewVerifier(key.Name, key.Algorithm, key.PublicKey)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	if len(list) == 0 {
		return nil, untrusted("there is no trusted key for this")
	}
	return note.VerifierList(list...), nil
}

func (k Keys) find(p Purpose, hash uint32) Key {
	for _, key := range k.Keys {
		if key.Purpose == p && key.ID == keyID(hash) {
			return key
		}
	}
	return Key{}
}

// exactMembers refuses what encoding/json would let pass: doubled members and ones that differ from the documented
// names in case only. Every member name of the document is unique to its place, so one set of names suffices.
func exactMembers(b []byte) error {
	dec := json.NewDecoder(bytes.NewReader(b))
	var open []map[string]bool // per open object the names seen; nil for an array
	name := false              // the next token is a member name
	for {
		t, err := dec.Token()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		d, isDelim := t.(json.Delim)
		if !isDelim && name {
			s, _ := t.(string)
			seen := open[len(open)-1]
			if seen[s] || !knownMember(s) {
				return fmt.Errorf("unknown or doubled member")
			}
			seen[s] = true
			name = false
			continue
		}
		switch {
		case isDelim && d == '{':
			open = append(open, map[string]bool{})
		case isDelim && d == '[':
			open = append(open, nil)
		case isDelim:
			open = open[:len(open)-1]
		}
		if len(open) > 3 {
			return fmt.Errorf("nested too deeply")
		}
		name = len(open) > 0 && open[len(open)-1] != nil
	}
}

func knownMember(s string) bool {
	switch s {
	case "format", "organizationId", "keys", "id", "name", "algorithm", "publicKey", "purpose", "validFrom", "validTo":
		return true
	}
	return false
}
