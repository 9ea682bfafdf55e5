package access

import (
	"context"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"golang.org/x/crypto/argon2"
	"golang.org/x/text/unicode/norm"

	"assay.dev/assay/internal/word/fault"
)

// Parameters of new password hashes: argon2id (RFC 9106) with 19 MiB, two passes, one lane, the second choice of the
// OWASP password storage guide for servers that can't give more memory to each login.
const (
	argonMemory  = 19 << 10 // KiB
	argonTime    = 2
	argonThreads = 1
	argonSalt    = 16
	argonKey     = 32

	// hashesAtOnce bounds the memory that logins can take; hashesWaiting and hashWait bound the queue before it.
	hashesAtOnce  = 2
	hashesWaiting = 32
	hashWait      = 5 * time.Second
)

// hasher computes password hashes, a few at a time.
type hasher struct {
	running chan struct{}
	waiting chan struct{}
}

func newHasher() *hasher {
	return &hasher{running: make(chan struct{}, hashesAtOnce), waiting: make(chan struct{}, hashesWaiting)}
}

// enter waits for a turn; leave must be called after it. A full queue or a long wait is an Unavailable fault.
func (h *hasher) enter(ctx context.Context) (leave func(), err error) {
	select {
	case h.waiting <- struct{}{}:
		defer func() { <-h.waiting }()
	default:
		return nil, errBusy().After(hashWait)
	}
	limit := time.NewTimer(hashWait)
	defer limit.Stop()
	select {
	case h.running <- struct{}{}:
		return func() { <-h.running }, nil
	case <-limit.C:
		return nil, errBusy().After(time.Second)
	case <-ctx.Done():
		return nil, fault.Of(fmt.Errorf("waiting to check a password: %w", ctx.Err()))
	}
}

// hash returns the PHC string of a password under the present parameters and a fresh salt.
func (h *hasher) hash(ctx context.Context, random io.Reader, password string) (string, error) {
	salt := make([]byte, argonSalt)
	if _, err := io.ReadFull(random, salt); err != nil {
		return "", fault.Of(fmt.Errorf("reading randomness: %w", err))
	}
	leave, err := h.enter(ctx)
	if err != nil {
		return "", err
	}
	defer leave()
	p := presentParams()
	p.salt = salt
	p.key = p.derive(password)
	return p.String(), nil
}

// verify reports whether the password belongs to the PHC string, and whether that string's parameters are older than
// the present ones. An empty PHC string stands for a user who doesn't exist: it costs the same and never matches.
func (h *hasher) verify(ctx context.Context, phc, password string) (ok, outdated bool, err error) {
	p, real := presentParams(), phc != ""
	p.salt, p.key = make([]byte, argonSalt), make([]byte, argonKey)
	if real {
		if p, err = parsePHC(phc); err != nil {
			return false, false, fault.Of(err)
		}
	}
	leave, err := h.enter(ctx)
	if err != nil {
		return false, false, err
	}
	defer leave()
	same := subtle.ConstantTimeCompare(p.derive(password), p.key) == 1
	now := presentParams()
	outdated = p.memory != now.memory || p.time != now.time || p.threads != now.threads || len(p.key) != argonKey
	return same && real, outdated, nil
}

// params are an argon2id hash taken apart.
type params struct {
	memory, time uint32
	threads      uint8
	salt, key    []byte
}

func presentParams() params {
	return params{memory: argonMemory, time: argonTime, threads: argonThreads}
}

// derive computes the key. The password is normalised (NFKC), so that it matches however a keyboard composes an é.
func (p params) derive(password string) []byte {
	n := uint32(argonKey)
	if len(p.key) > 0 {
		n = uint32(len(p.key)) //nolint:gosec // parsePHC bounds it to 64
	}
	return argon2.IDKey([]byte(norm.NFKC.String(password)), p.salt, p.time, p.memory, p.threads, n)
}

// String returns the PHC string: $argon2id$v=19$m=19456,t=2,p=1$salt$key, with base64 without padding.
func (p params) String() string {
	enc := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, p.memory, p.time, p.threads,
		enc.EncodeToString(p.salt), enc.EncodeToString(p.key))
}

var errPHC = errors.New("the stored password hash is not an argon2id PHC string that we accept")

// parsePHC reads a stored hash. Its costs are bounded, so that a doctored database can't stop the server.
func parsePHC(phc string) (params, error) {
	parts := strings.Split(phc, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return params{}, errPHC
	}
	var p params
	n, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &p.memory, &p.time, &p.threads)
	if err != nil || n != 3 || parts[3] != fmt.Sprintf("m=%d,t=%d,p=%d", p.memory, p.time, p.threads) {
		return params{}, errPHC
	}
	if p.memory < 8 || p.memory > 256<<10 || p.time < 1 || p.time > 16 || p.threads < 1 || p.threads > 16 {
		return params{}, errPHC
	}
	enc := base64.RawStdEncoding.Strict()
	var saltErr, keyErr error
	p.salt, saltErr = enc.DecodeString(parts[4])
	p.key, keyErr = enc.DecodeString(parts[5])
	if saltErr != nil || keyErr != nil || len(p.salt) < 8 || len(p.salt) > 64 || len(p.key) < 16 || len(p.key) > 64 {
		return params{}, errPHC
	}
	return p, nil
}
