// Package keys is the master key and what hangs on it: secrets sealed at rest, fingerprint keys, and the pairs of keys
// (Ed25519 and ML-DSA-65) by which an organization signs its audit log.
//
// One master key of 32 bytes stands above everything. It never encrypts data itself: HKDF-SHA256 (RFC 5869) makes from
// it one subkey per use, so that no use weakens another. A sealed record is an envelope. A fresh random data key
// encrypts the record with AES-256-GCM, and the sealing subkey encrypts the data key; both are bound to the
// organization and the record's id, so that an envelope opens in its own place only. With the data key apart, a later
// master key (or a key service in its place) needs to encrypt 32 bytes per record anew, not the record. Envelope:
//
//	version 1 | master key id (8) | nonce (12) | sealed data key (48) | nonce (12) | sealed record (n + 16)
//
// The package must never write a key or a plain text to a log, an error or a file other than the master key's own, and
// never reads the environment: paths, the clock and randomness come in. Start with Sealer, then signing.go.
package keys

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"encoding/hex"
	"io"
	"sync"

	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/uid"
)

const (
	// KeySize is the length of the master key and of every derived key in bytes.
	KeySize = 32

	envelopeVersion = 1
	idSize          = 8
	nonceSize       = 12
	tagSize         = 16
	headSize        = 1 + idSize
	wrappedSize     = nonceSize + KeySize + tagSize
	// Overhead is by how many bytes an envelope is longer than what it seals.
	Overhead = headSize + wrappedSize + nonceSize + tagSize
	// MaxRecord bounds what one envelope seals, in bytes. Secrets are small; files have their own format.
	MaxRecord = 1 << 20
)

// Labels of the subkeys. One is never renamed: what it sealed could not be opened again.
const (
	useID          = "assay.dev/master/v1/id"
	useSeal        = "assay.dev/master/v1/seal"
	useFingerprint = "assay.dev/master/v1/fingerprint/" // + organization
)

// Sealer seals and opens under one master key. It is safe for concurrent use; its keys stay in memory as long as it
// does. It prints as its key id.
type Sealer struct {
	id          [idSize]byte
	wrap        cipher.AEAD
	fingerprint [KeySize]byte // parent of the organizations' keys

	mu   sync.Mutex // rand need not be safe for concurrent use
	rand io.Reader
}

// NewSealer makes a sealer from the 32 bytes of a master key, which it doesn't keep; the caller clears them. rand must
// be cryptographically strong. Another length is an Invalid fault.
func NewSealer(master []byte, rand io.Reader) (*Sealer, error) {
	if len(master) != KeySize {
		return nil, fault.New(fault.Invalid, fault.CodeValidation, "the master key must be 32 bytes")
	}
	s := &Sealer{rand: rand}
	id, err := derive(master, useID, idSize)
	if err != nil {
		return nil, err
	}
	copy(s.id[:], id)
	parent, err := derive(master, useFingerprint, KeySize)
	if err != nil {
		return nil, err
	}
	copy(s.fingerprint[:], parent)
	sealing, err := derive(master, useSeal, KeySize)
	if err != nil {
		return nil, err
	}
	defer clear(sealing)
	s.wrap, err = gcm(sealing)
	return s, err
}

// ID names the master key, in 16 hex digits. It says nothing of the key.
func (s *Sealer) ID() string { return hex.EncodeToString(s.id[:]) }

// String returns the master key's id, so that a sealer printed by accident shows no key.
func (s *Sealer) String() string { return "master key " + s.ID() }

// GoString is String, for %#v.
func (s *Sealer) GoString() string { return s.String() }

// FingerprintKey returns the key by which an organization's secrets are recognised (secret.Fingerprint). The same
// master key and organization have always the same key; those of two organizations are unrelated.
func (s *Sealer) FingerprintKey(org uid.Org) ([]byte, error) {
	return derive(s.fingerprint[:], useFingerprint+string(org), KeySize)
}

// Seal encrypts a record of an organization. record is its id, unique in the organization and unchanging (kind and id,
// "webhook/<id>"); the envelope opens under the same two only. Records over MaxRecord are an Invalid fault, failing
// randomness is an Internal one.
func (s *Sealer) Seal(org uid.Org, record string, plaintext []byte) ([]byte, error) {
	if len(plaintext) > MaxRecord {
		return nil, fault.New(fault.Invalid, fault.CodeTooLarge, "the secret is too large to be sealed")
	}
	var fresh [KeySize + 2*nonceSize]byte
	defer clear(fresh[:])
	if err := s.read(fresh[:]); err != nil {
		return nil, err
	}
	dataKey, wrapNonce, nonce := fresh[:KeySize], fresh[KeySize:KeySize+nonceSize], fresh[KeySize+nonceSize:]
	data, err := gcm(dataKey)
	if err != nil {
		return nil, err
	}
	bound := s.bound(org, record)
	out := make([]byte, 0, Overhead+len(plaintext))
	out = append(append(out, envelopeVersion), s.id[:]...)
	out = append(out, wrapNonce...)
	out = s.wrap.Seal(out, wrapNonce, dataKey, append(bound, 'k'))
	out = append(out, nonce...)
	return data.Seal(out, nonce, plaintext, append(bound, 'd')), nil
}

// Open decrypts what Seal made for the same organization and record. An envelope of another master key is an
// Unavailable fault of code WRONG_MASTER_KEY; one that was altered, cut, or moved from another place is an Internal
// fault.
func (s *Sealer) Open(org uid.Org, record string, sealed []byte) ([]byte, error) {
	if len(sealed) < Overhead || sealed[0] != envelopeVersion {
		return nil, unreadable()
	}
	if subtle.ConstantTimeCompare(sealed[1:headSize], s.id[:]) != 1 {
		return nil, wrongKey()
	}
	bound := s.bound(org, record)
	wrapped, rest := sealed[headSize:headSize+wrappedSize], sealed[headSize+wrappedSize:]
	dataKey, err := s.wrap.Open(nil, wrapped[:nonceSize], wrapped[nonceSize:], append(bound, 'k'))
	if err != nil {
		return nil, unreadable().Because(err)
	}
	defer clear(dataKey)
	data, err := gcm(dataKey)
	if err != nil {
		return nil, err
	}
	plaintext, err := data.Open(nil, rest[:nonceSize], rest[nonceSize:], append(bound, 'd'))
	if err != nil {
		return nil, unreadable().Because(err)
	}
	return plaintext, nil
}

// Place and text of the probe.
const (
	probeRecord = "master-key/probe"
	probeText   = "assay.dev/master-key-probe/v1"
)

// Probe returns a sealed text by which Check recognises this master key. The store keeps it from the first start on.
func (s *Sealer) Probe() ([]byte, error) {
	return s.Seal(uid.System, probeRecord, []byte(probeText))
}

// Check reports whether the stored probe was made with this master key. If not, the error is an Unavailable fault of
// code WRONG_MASTER_KEY and the server must not start, because it could read none of its secrets and would seal new
// ones under a key that the next start may not have.
func (s *Sealer) Check(probe []byte) error {
	got, err := s.Open(uid.System, probeRecord, probe)
	if err != nil {
		return err
	}
	if string(got) != probeText {
		return unreadable()
	}
	return nil
}

// bound is the additional data of both layers: header, organization and record, each with its length, with room for
// the byte that tells the layers apart.
func (s *Sealer) bound(org uid.Org, record string) []byte {
	b := make([]byte, 0, headSize+8+len(org)+len(record)+1)
	b = append(append(b, envelopeVersion), s.id[:]...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(org))) //nolint:gosec // ids are short
	b = append(b, org...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(record))) //nolint:gosec // ids are short
	return append(b, record...)
}

func (s *Sealer) read(b []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return readRandom(s.rand, b)
}

func readRandom(rand io.Reader, b []byte) error {
	if _, err := io.ReadFull(rand, b); err != nil {
		return fault.New(fault.Internal, fault.CodeInternal, "there is no randomness to make a key from").Because(err)
	}
	return nil
}

func derive(secret []byte, use string, size int) ([]byte, error) {
	k, err := hkdf.Key(sha256.New, secret, nil, use, size)
	if err != nil {
		return nil, fault.New(fault.Internal, fault.CodeInternal, "a key could not be derived").Because(err)
	}
	return k, nil
}

func gcm(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err == nil {
		var a cipher.AEAD
		if a, err = cipher.NewGCM(block); err == nil {
			return a, nil
		}
	}
	return nil, fault.New(fault.Internal, fault.CodeInternal, "a key could not be used").Because(err)
}

func unreadable() *fault.Error {
	return fault.New(fault.Internal, fault.CodeInternal, "a sealed secret can't be opened: it was altered or belongs elsewhere")
}

func wrongKey() *fault.Error {
	return fault.New(fault.Unavailable, fault.CodeWrongKey,
		"wrong master key: the data was sealed under another one; start with the key file that belongs to this data")
}
