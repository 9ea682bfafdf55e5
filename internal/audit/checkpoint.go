package audit

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"strconv"
	"strings"
	"time"

	"filippo.io/mldsa"
	"golang.org/x/mod/sumdb/note"

	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/uid"
)

// Signature types of the C2SP signed note.
const (
	noteEd25519 = 0x01
	noteOther   = 0xff
	// noteMLDSA is the longer identifier that follows 0xff.
	noteMLDSA = "assay.dev/ml-dsa-65"
)

// MaxCheckpoint bounds the bytes of a checkpoint, witnesses' signatures included.
const MaxCheckpoint = 64 << 10

const originPrefix = "assay.dev/log/"

// Origin returns the origin line of an organization's log; its log keys carry the same name.
func Origin(org uid.Org) string { return originPrefix + string(org) }

// Checkpoint says what an organization's log was at a size (C2SP tlog-checkpoint).
type Checkpoint struct {
	Org  uid.Org
	Size uint64
	Root Hash
}

// Text returns the note text that is signed: origin, size, root in base64, each on a line, no extension lines.
func (c Checkpoint) Text() string {
	return Origin(c.Org) + "\n" + strconv.FormatUint(c.Size, 10) + "\n" + base64.StdEncoding.EncodeToString(c.Root[:]) + "\n"
}

// Signers are the two keys that sign a checkpoint. Both must.
type Signers struct {
	Ed25519 note.Signer
	MLDSA   note.Signer
}

// Sign returns the checkpoint as a signed note with both signatures, Ed25519 first. A missing signer, or one that
// fails or signs under another name than the log's origin, is an Internal fault.
func (c Checkpoint) Sign(s Signers) ([]byte, error) {
	if s.Ed25519 == nil || s.MLDSA == nil {
		return nil, fault.New(fault.Internal, fault.CodeInternal, "a checkpoint needs both signing keys")
	}
	if s.Ed25519.Name() != Origin(c.Org) || s.MLDSA.Name() != Origin(c.Org) {
		return nil, fault.New(fault.Internal, fault.CodeInternal, "the signing keys belong to another log")
	}
	b, err := note.Sign(&note.Note{Text: c.Text()}, s.Ed25519, s.MLDSA)
	if err != nil {
		return nil, fault.New(fault.Internal, fault.CodeInternal, "the checkpoint could not be signed").Because(err)
	}
	return b, nil
}

// ParseCheckpoint reads what a signed note claims, without looking at its signatures: for showing, and for finding
// out which keys are needed. Nothing may be concluded from it; OpenCheckpoint verifies.
func ParseCheckpoint(signed []byte) (Checkpoint, error) {
	if len(signed) > MaxCheckpoint {
		return Checkpoint{}, badCheckpoint("it is too large")
	}
	end := bytes.LastIndex(signed, []byte("\n\n")) // as the note's own parser splits it
	if end < 0 {
		return Checkpoint{}, badCheckpoint("it has no signatures")
	}
	return parseText(string(signed[:end+1]))
}

// parseText accepts exactly what Text writes.
func parseText(text string) (Checkpoint, error) {
	lines := strings.Split(text, "\n")
	if len(lines) != 4 || lines[3] != "" {
		return Checkpoint{}, badCheckpoint("it must have an origin, a size and a root, one a line")
	}
	org, ok := strings.CutPrefix(lines[0], originPrefix)
	if !ok || !uid.Valid(org) {
		return Checkpoint{}, badCheckpoint("its origin is not one of our logs")
	}
	size, err := strconv.ParseUint(lines[1], 10, 63)
	if err != nil {
		return Checkpoint{}, badCheckpoint("its size is not a number")
	}
	root, err := base64.StdEncoding.Strict().DecodeString(lines[2])
	if err != nil || len(root) != sha256.Size {
		return Checkpoint{}, badCheckpoint("its root is not a hash")
	}
	c := Checkpoint{Org: uid.Org(org), Size: size, Root: Hash(root)}
	if c.Text() != text {
		return Checkpoint{}, badCheckpoint("it is not in canonical form")
	}
	if size == 0 && c.Root != (&Range{}).Root() {
		return Checkpoint{}, badCheckpoint("the root of an empty log is not as it must be")
	}
	return c, nil
}

// Opened is a checkpoint whose two signatures were verified.
type Opened struct {
	Checkpoint
	Ed25519ID string // key id of the key that signed
	MLDSAID   string
}

// OpenCheckpoint verifies a signed note: the text is a checkpoint of the organization of keys, an Ed25519 and an
// ML-DSA-65 key of keys with purpose log have signed it, and neither had ended before signedAfter (the time of the
// newest entry covered; zero when that isn't known). Signatures of other names (witnesses) are ignored.
//
// Failures: UNTRUSTED_KEY (kind Forbidden) when our log's signature is by a key that keys doesn't hold or that had
// ended; LOG_CORRUPT (kind Invalid) when the note is malformed, a signature is wrong, or one of the two is absent.
func OpenCheckpoint(signed []byte, keys Keys, signedAfter time.Time) (Opened, error) {
	c, err := ParseCheckpoint(signed)
	if err != nil {
		return Opened{}, err
	}
	if c.Org != keys.Org {
		return Opened{}, untrusted("the checkpoint is of another organization than the trusted keys")
	}
	known, err := keys.verifiers(PurposeLog)
	if err != nil {
		return Opened{}, err
	}
	n, err := note.Open(signed, known)
	if none, ok := errors.AsType[*note.UnverifiedNoteError](err); ok {
		n = none.Note
	} else if err != nil {
		return Opened{}, unproven("a signature of the checkpoint is wrong, or the note is malformed").Because(err)
	}
	if n.Text != c.Text() {
		return Opened{}, badCheckpoint("its text is not what was signed")
	}
	o := Opened{Checkpoint: c}
	for _, s := range n.Sigs {
		k := keys.find(PurposeLog, s.Hash)
		if !k.ValidTo.IsZero() && k.ValidTo.Before(signedAfter) {
			return Opened{}, untrusted("the checkpoint covers entries newer than the end of the key that signed it")
		}
		switch k.Algorithm {
		case Ed25519:
			o.Ed25519ID = k.ID
		case MLDSA65:
			o.MLDSAID = k.ID
		}
	}
	if o.Ed25519ID != "" && o.MLDSAID != "" {
		return o, nil
	}
	for _, s := range n.UnverifiedSigs {
		if s.Name == Origin(c.Org) {
			return Opened{}, untrusted("the checkpoint is signed by a key that is not among the trusted ones")
		}
	}
	return Opened{}, unproven("the checkpoint lacks one of its two signatures")
}

func badCheckpoint(why string) *fault.Error {
	return unproven("the checkpoint is malformed: " + why)
}

func untrusted(text string) *fault.Error {
	return fault.New(fault.Forbidden, fault.CodeUntrustedKey, text)
}

// keyHash is the key id of the C2SP signed note: SHA-256(name, newline, type, public key)[:4], where the type of
// ML-DSA-65 is 0xff followed by its longer identifier.
func keyHash(name string, alg Algorithm, public []byte) uint32 {
	h := sha256.New()
	h.Write([]byte(name))
	switch alg {
	case Ed25519:
		h.Write([]byte{'\n', noteEd25519})
	case MLDSA65:
		h.Write([]byte{'\n', noteOther})
		h.Write([]byte(noteMLDSA))
	}
	h.Write(public)
	return binary.BigEndian.Uint32(h.Sum(nil))
}

// signer implements note.Signer; sign is called with the note's text.
type signer struct {
	name string
	hash uint32
	sign func(msg []byte) ([]byte, error)
}

func (s *signer) Name() string                    { return s.name }
func (s *signer) KeyHash() uint32                 { return s.hash }
func (s *signer) Sign(msg []byte) ([]byte, error) { return s.sign(msg) }

// NewEd25519Signer returns a note signer (RFC 8032) under name. It is safe for concurrent use.
func NewEd25519Signer(name string, key ed25519.PrivateKey) (note.Signer, error) {
	if len(key) != ed25519.PrivateKeySize {
		return nil, fault.New(fault.Internal, fault.CodeInternal, "the Ed25519 signing key has a wrong length")
	}
	public := key[ed25519.PrivateKeySize-ed25519.PublicKeySize:]
	return &signer{name: name, hash: keyHash(name, Ed25519, public), sign: func(msg []byte) ([]byte, error) {
		return ed25519.Sign(key, msg), nil
	}}, nil
}

// NewMLDSASigner returns a note signer (FIPS 204 ML-DSA-65, pure, empty context, deterministic variant, so that it
// needs no source of randomness and a text has one signature) under name. It is safe for concurrent use.
func NewMLDSASigner(name string, key *mldsa.PrivateKey) (note.Signer, error) {
	if key == nil || key.PublicKey().Parameters() != mldsa.MLDSA65() {
		return nil, fault.New(fault.Internal, fault.CodeInternal, "the signing key is not an ML-DSA-65 key")
	}
	return &signer{name: name, hash: keyHash(name, MLDSA65, key.PublicKey().Bytes()), sign: func(msg []byte) ([]byte, error) {
		return key.SignDeterministic(msg, nil)
	}}, nil
}

// verifier implements note.Verifier.
type verifier struct {
	name   string
	hash   uint32
	verify func(msg, sig []byte) bool
}

func (v *verifier) Name() string                { return v.name }
func (v *verifier) KeyHash() uint32             { return v.hash }
func (v *verifier) Verify(msg, sig []byte) bool { return v.verify(msg, sig) }

// NewVerifier returns a note verifier for a public key: 32 bytes for Ed25519, 1,952 for ML-DSA-65. A key that isn't
// one is an Invalid fault.
func NewVerifier(name string, alg Algorithm, public []byte) (note.Verifier, error) {
	bad := fault.Wrong("publicKey", "must be a public key of the stated algorithm")
	v := &verifier{name: name, hash: keyHash(name, alg, public)}
	switch alg {
	case Ed25519:
		if len(public) != ed25519.PublicKeySize {
			return nil, bad
		}
		v.verify = func(msg, sig []byte) bool { return ed25519.Verify(public, msg, sig) }
	case MLDSA65:
		key, err := mldsa.NewPublicKey(mldsa.MLDSA65(), public)
		if err != nil {
			return nil, bad.Because(err)
		}
		v.verify = func(msg, sig []byte) bool { return mldsa.Verify(key, msg, sig, nil) == nil }
	default:
		return nil, fault.Wrong("algorithm", "must be ed25519 or ml-dsa-65")
	}
	return v, nil
}
