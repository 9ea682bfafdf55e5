package tls

import (
	"bytes"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"io/fs"
	"os"
	"runtime"
	"slices"
	"strings"

	"assay.dev/assay/internal/word/fault"
)

const (
	// maxFile bounds a certificate or key file in bytes; a long chain takes a tenth of it.
	maxFile = 256 << 10
	// openKey are the permission bits that a private key's file may not have. The group may read: that is how a service
	// manager or an orchestrator hands a key to one user.
	openKey fs.FileMode = 0o037
	// minRSA is the shortest RSA key that clients of TLS 1.3 still take.
	minRSA = 2048
)

// parsePair reads a chain in PEM, leaf first, and its private key. Whatever no client would take is an Invalid fault that
// says what is wrong; dates are not looked at, because a certificate that expired is still the best there is.
func parsePair(chain, key []byte) (*tls.Certificate, error) {
	if bytes.Contains(key, []byte("ENCRYPTED")) {
		return nil, badPair("the private key is protected by a passphrase; give one without, in a file of mode 0600")
	}
	pair, err := tls.X509KeyPair(chain, key)
	if err != nil {
		return nil, badPair(explain(chain, key, err)).Because(err)
	}
	leaf := pair.Leaf
	if rsaKey, ok := leaf.PublicKey.(*rsa.PublicKey); ok && rsaKey.N.BitLen() < minRSA {
		return nil, badPair("the certificate's RSA key is shorter than 2,048 bits")
	}
	if len(leaf.DNSNames) == 0 && len(leaf.IPAddresses) == 0 {
		return nil, badPair("the certificate names no host as subject alternative name, so no client would take it")
	}
	server := []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageAny}
	if len(leaf.ExtKeyUsage) > 0 && !slices.ContainsFunc(leaf.ExtKeyUsage, func(u x509.ExtKeyUsage) bool { return slices.Contains(server, u) }) {
		return nil, badPair("the certificate isn't made for servers (extended key usage)")
	}
	return &pair, nil
}

// explain turns what crypto/tls says of a pair into what to do.
func explain(chain, key []byte, err error) string {
	switch text := err.Error(); {
	case strings.Contains(text, "does not match"):
		return "the private key doesn't belong to the certificate; the first certificate of the file must be the server's own"
	case !hasBlock(chain, "CERTIFICATE"):
		return "the certificate file holds no certificate in PEM"
	case !hasBlock(key, "PRIVATE KEY"):
		return "the key file holds no private key in PEM"
	}
	return "the certificate and its key can't be read"
}

func hasBlock(text []byte, suffix string) bool {
	for {
		var b *pem.Block
		if b, text = pem.Decode(text); b == nil {
			return false
		}
		if strings.HasSuffix(b.Type, suffix) {
			return true
		}
	}
}

// readFile reads a small regular file that has none of the closed permission bits. what names it to the user.
func readFile(path, what string, closed fs.FileMode) ([]byte, error) {
	f, err := os.Open(path) //nolint:gosec // the operator's own setting
	if err != nil {
		text := "the " + what + " file can't be opened"
		if errors.Is(err, fs.ErrNotExist) {
			text = "the " + what + " file doesn't exist"
		}
		return nil, badPair(text).Because(err)
	}
	defer f.Close() //nolint:errcheck // nothing was written
	info, err := f.Stat()
	if err != nil {
		return nil, badPair("the " + what + " file can't be read").Because(err)
	}
	if !info.Mode().IsRegular() {
		return nil, badPair("the " + what + " must be in a regular file").Because(errors.New(path))
	}
	if runtime.GOOS != "windows" && info.Mode().Perm()&closed != 0 {
		return nil, badPair("the " + what + " file is open to others; set its mode to 0600, or 0640 for a group of its own").Because(errors.New(path))
	}
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, badPair("the " + what + " file can't be read").Because(err)
	}
	if len(b) > maxFile {
		return nil, badPair("the " + what + " file is larger than 256 KiB").Because(errors.New(path))
	}
	return b, nil
}

func badPair(text string) *fault.Error {
	return fault.New(fault.Invalid, fault.CodeValidation, text)
}
