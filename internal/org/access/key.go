package access

import (
	"crypto/sha256"
	"fmt"
	"hash/crc32"
	"io"
	"strings"

	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/secret"
)

// The format of keys and session tokens (decisions G3; docs/reference/api-key-format.md holds vectors): a prefix, 34
// random base62 characters, and 6 base62 characters of the CRC-32 (IEEE) of everything before them.
const (
	// KeyPrefix begins every API key.
	KeyPrefix = "asy_live_"
	// SessionPrefix begins every session token.
	SessionPrefix = "asy_sess_"
	// KeyPattern is the published pattern by which secret scanners find leaked keys (RE2 syntax). What it finds is a key
	// only if the checksum holds; ParseKey tells.
	KeyPattern = `asy_live_[0-9A-Za-z]{40}`

	randomChars   = 34
	checksumChars = 6
	displayChars  = 4 // of the random part, shown in lists
	base62        = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
)

// ParseKey checks an API key's form and checksum and returns the hash under which it is found. It touches no
// database: a typo ends here, as an Unauthenticated INVALID_API_KEY fault.
func ParseKey(key string) (Hash, error) {
	if !wellFormed(KeyPrefix, key) {
		return Hash{}, errInvalidKey()
	}
	return sha256.Sum256([]byte(key)), nil
}

// ParseSession is ParseKey for session tokens; its fault is Unauthenticated UNAUTHENTICATED.
func ParseSession(token string) (Hash, error) {
	if !wellFormed(SessionPrefix, token) {
		return Hash{}, errSessionEnded()
	}
	return sha256.Sum256([]byte(token)), nil
}

func wellFormed(prefix, token string) bool {
	body, ok := strings.CutPrefix(token, prefix)
	if !ok || len(body) != randomChars+checksumChars {
		return false
	}
	for i := range len(body) {
		if !isBase62(body[i]) {
			return false
		}
	}
	payload, sum := token[:len(prefix)+randomChars], body[randomChars:]
	want := checksum(payload)
	return string(want[:]) == sum
}

func isBase62(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
}

// checksum returns the CRC-32 of payload as six base62 digits, most significant first, padded with 0. Six digits hold
// any 32-bit value; since CRC-32 sees every burst of up to 32 bits, no single wrong character passes.
func checksum(payload string) [checksumChars]byte {
	n := crc32.ChecksumIEEE([]byte(payload))
	var out [checksumChars]byte
	for i := checksumChars - 1; i >= 0; i-- {
		out[i] = base62[n%62]
		n /= 62
	}
	return out
}

// issue makes a token with the prefix and returns it with its hash.
func issue(prefix string, random io.Reader) (secret.Text, Hash, error) {
	body, err := randomBase62(random, randomChars)
	if err != nil {
		return secret.Text{}, Hash{}, err
	}
	payload := prefix + body
	sum := checksum(payload)
	token := payload + string(sum[:])
	return secret.New(token), sha256.Sum256([]byte(token)), nil
}

// display returns what lists show of a key: the prefix and a few random characters, far too few to guess the rest.
func display(key secret.Text) string { return key.Reveal()[:len(KeyPrefix)+displayChars] }

// randomBase62 returns n characters, each of the 62 equally likely: bytes of 248 (4 × 62) and above are thrown away,
// because a plain remainder would favour the first eight characters.
func randomBase62(random io.Reader, n int) (string, error) {
	const fair = 256 - 256%62
	out := make([]byte, 0, n)
	buf := make([]byte, n+n/8)
	for {
		if _, err := io.ReadFull(random, buf); err != nil {
			return "", fault.Of(fmt.Errorf("reading randomness: %w", err))
		}
		for _, b := range buf {
			if b >= fair {
				continue
			}
			if out = append(out, base62[b%62]); len(out) == n {
				return string(out), nil
			}
		}
	}
}
