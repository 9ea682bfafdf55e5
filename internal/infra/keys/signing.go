package keys

import (
	"crypto/ed25519"
	"slices"
	"time"

	"filippo.io/mldsa"

	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/uid"
)

// Pair is one pair of an organization's signing keys as the store keeps it: the private halves sealed, the public ones
// plain. Pairs of a purpose follow one another; the one without To signs.
type Pair struct {
	ID      string        `json:"id"` // the Ed25519 key's id; with the purpose part of the record id under which Sealed opens
	Org     uid.Org       `json:"organizationId"`
	Purpose audit.Purpose `json:"purpose"`
	From    time.Time     `json:"from"`
	To      time.Time     `json:"to,omitzero"` // zero while the pair signs
	Public  []audit.Key   `json:"public"`
	Sealed  []byte        `json:"sealed"`
}

// Sealed content: version, Ed25519 seed (RFC 8032), ML-DSA-65 seed (FIPS 204, ξ).
const (
	pairVersion = 1
	pairSize    = 1 + ed25519.SeedSize + mldsa.PrivateKeySize
)

// NewPair makes an organization's signing keys for a purpose, valid from now on. Failing randomness is an Internal
// fault.
func NewPair(s *Sealer, org uid.Org, p audit.Purpose, now time.Time) (Pair, error) {
	var secret [pairSize]byte
	defer clear(secret[:])
	if err := s.read(secret[:]); err != nil {
		return Pair{}, err
	}
	secret[0] = pairVersion
	ed, pq, err := private(secret[:])
	if err != nil {
		return Pair{}, err
	}
	k1, err := audit.NewKey(org, p, audit.Ed25519, ed[ed25519.SeedSize:], now)
	if err != nil {
		return Pair{}, err
	}
	k2, err := audit.NewKey(org, p, audit.MLDSA65, pq.PublicKey().Bytes(), now)
	if err != nil {
		return Pair{}, err
	}
	pair := Pair{ID: k1.ID, Org: org, Purpose: p, From: k1.ValidFrom, Public: []audit.Key{k1, k2}}
	pair.Sealed, err = s.Seal(org, pair.record(), secret[:])
	return pair, err
}

func (p Pair) record() string { return "signing/" + string(p.Purpose) + "/" + p.ID }

func private(secret []byte) (ed25519.PrivateKey, *mldsa.PrivateKey, error) {
	if len(secret) != pairSize || secret[0] != pairVersion {
		return nil, nil, unreadable()
	}
	pq, err := mldsa.NewPrivateKey(mldsa.MLDSA65(), secret[1+ed25519.SeedSize:])
	if err != nil {
		return nil, nil, unreadable().Because(err)
	}
	return ed25519.NewKeyFromSeed(secret[1 : 1+ed25519.SeedSize]), pq, nil
}

// Open returns the pair's signers. They must belong to the public keys of the pair, so that a row with a swapped public
// key is an Internal fault rather than checkpoints that nobody can verify; a wrong master key is as in Sealer.Open.
func (p Pair) Open(s *Sealer) (audit.Signers, error) {
	secret, err := s.Open(p.Org, p.record(), p.Sealed)
	if err != nil {
		return audit.Signers{}, err
	}
	defer clear(secret)
	ed, pq, err := private(secret)
	if err != nil {
		return audit.Signers{}, err
	}
	name := audit.KeyName(p.Org, p.Purpose)
	var out audit.Signers
	if out.Ed25519, err = audit.NewEd25519Signer(name, ed); err != nil {
		return audit.Signers{}, err
	}
	if out.MLDSA, err = audit.NewMLDSASigner(name, pq); err != nil {
		return audit.Signers{}, err
	}
	if !p.holds(audit.Ed25519, ed[ed25519.SeedSize:]) || !p.holds(audit.MLDSA65, pq.PublicKey().Bytes()) {
		return audit.Signers{}, fault.New(fault.Internal, fault.CodeInternal, "the stored public keys don't belong to the signing keys")
	}
	return out, nil
}

func (p Pair) holds(alg audit.Algorithm, public []byte) bool {
	return slices.ContainsFunc(p.Public, func(k audit.Key) bool {
		return k.Algorithm == alg && string(k.PublicKey) == string(public)
	})
}

// Rotate ends the pair that signs and makes its successor. overlap is how long the old keys stay valid after now, for
// nodes that have not heard of the change yet. The history keeps every pair; without one that signs (the first time)
// only the new one is added. Store both changes in one transaction.
func Rotate(s *Sealer, history []Pair, org uid.Org, p audit.Purpose, now time.Time, overlap time.Duration) ([]Pair, error) {
	next, err := NewPair(s, org, p, now)
	if err != nil {
		return nil, err
	}
	out := make([]Pair, 0, len(history)+1)
	for _, old := range history {
		if old.Org == org && old.Purpose == p && old.To.IsZero() {
			old = old.ended(now.Add(overlap))
		}
		out = append(out, old)
	}
	return append(out, next), nil
}

// ended returns a copy that is valid until at, rounded up to the second, because a key document counts in seconds.
func (p Pair) ended(at time.Time) Pair {
	p.To = at.UTC().Add(time.Second - time.Nanosecond).Truncate(time.Second)
	p.Public = slices.Clone(p.Public)
	for i := range p.Public {
		p.Public[i].ValidTo = p.To
	}
	return p
}

// Current returns the pair of an organization and purpose that signs; a missing one is a NotFound fault.
func Current(history []Pair, org uid.Org, p audit.Purpose) (Pair, error) {
	for _, pair := range slices.Backward(history) {
		if pair.Org == org && pair.Purpose == p && pair.To.IsZero() {
			return pair, nil
		}
	}
	return Pair{}, fault.Missing("signing key")
}

// Document returns the key document of an organization: all public keys of its pairs, oldest first. It holds nothing
// secret.
func Document(history []Pair, org uid.Org) audit.Keys {
	var all []audit.Key
	for _, p := range history {
		if p.Org == org {
			all = append(all, p.Public...)
		}
	}
	return audit.NewKeys(org, all)
}
