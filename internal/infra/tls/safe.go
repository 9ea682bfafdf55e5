package tls

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"assay.dev/assay/internal/word/uid"
)

// Files of one authority below DIR/tls.
const (
	accountFile     = "account.pem"
	certificateFile = "certificate.pem"
	statusFile      = "status.json"

	// sealedKey is the PEM type of a private key that the master key closes.
	sealedKey = "ASSAY SEALED PRIVATE KEY"
)

// safe is where an authority's certificate, its key and the account's lie. Keys are sealed; a file is replaced whole.
type safe struct {
	folder

	name   string // of the folder, to which sealed keys are bound
	sealer Sealer
}

func openSafe(path, directory string, sealer Sealer) (safe, error) {
	if _, err := openFolder(path); err != nil {
		return safe{}, err
	}
	own := safePath(path, directory)
	f, err := openFolder(own)
	return safe{folder: f, name: filepath.Base(own), sealer: sealer}, err
}

// record names a sealed key, so that it opens in its own place only.
func (s safe) record(file string) string { return "tls/" + s.name + "/" + file }

// keep writes a certificate with its key in one file, so that the two never part.
func (s safe) keep(pair *tls.Certificate) error {
	key, ok := pair.PrivateKey.(*ecdsa.PrivateKey)
	if !ok {
		return notIssued(errors.New("the key is no ECDSA key"))
	}
	text, err := s.seal(certificateFile, key)
	if err != nil {
		return err
	}
	for _, der := range pair.Certificate {
		text = append(text, encode("CERTIFICATE", der)...)
	}
	return s.write(certificateFile, text)
}

func (s safe) seal(file string, key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, notIssued(err)
	}
	defer clear(der)
	sealed, err := s.sealer.Seal(uid.System, s.record(file), der)
	if err != nil {
		return nil, err
	}
	return encode(sealedKey, sealed), nil
}

func (s safe) open(file string, text []byte) (*ecdsa.PrivateKey, []byte, error) {
	block, rest := pem.Decode(text)
	if block == nil || block.Type != sealedKey {
		return nil, nil, errors.New(file + " doesn't begin with a sealed key")
	}
	der, err := s.sealer.Open(uid.System, s.record(file), block.Bytes)
	if err != nil {
		return nil, nil, err
	}
	defer clear(der)
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, nil, fmt.Errorf("reading the key of %s: %w", file, err)
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok {
		return nil, nil, errors.New("the key of " + file + " is no ECDSA key")
	}
	return key, rest, nil
}

// certificate reads what keep wrote; nil where there is none.
func (s safe) certificate() (*tls.Certificate, error) {
	text, err := s.read(certificateFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // no certificate yet is a state, not a failure
	}
	if err != nil {
		return nil, err
	}
	key, chain, err := s.open(certificateFile, text)
	if err != nil {
		return nil, err
	}
	plain, err := encodeKey(key)
	if err != nil {
		return nil, err
	}
	defer clear(plain)
	return parsePair(chain, plain)
}

// leaf reads the stored certificate without its key; nil where there is none.
func (s safe) leaf() (*x509.Certificate, error) {
	text, err := s.read(certificateFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // as above
	}
	for err == nil {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			return nil, errors.New("the stored file holds no certificate")
		}
		if block.Type == "CERTIFICATE" {
			return x509.ParseCertificate(block.Bytes)
		}
	}
	return nil, err
}

// account returns the account's key, which the first call takes from fresh.
func (s safe) account(fresh func() (*ecdsa.PrivateKey, error)) (crypto.Signer, error) {
	text, err := s.read(accountFile)
	if err == nil {
		key, _, err := s.open(accountFile, text)
		return key, err
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	key, err := fresh()
	if err != nil {
		return nil, err
	}
	if text, err = s.seal(accountFile, key); err != nil {
		return nil, err
	}
	return key, s.write(accountFile, text)
}

// status reads the notes; what can't be read is forgotten.
func (s safe) status() status {
	var st status
	if text, err := s.read(statusFile); err == nil && json.Unmarshal(text, &st) != nil {
		return status{}
	}
	return st
}

func (s safe) note(st status) error {
	text, err := json.MarshalIndent(st, "", "  ")
	if err != nil {
		return fmt.Errorf("writing the state of the certificate: %w", err)
	}
	return s.write(statusFile, append(text, '\n'))
}
