package blob

import (
	"encoding/base64"
	"fmt"
	"io"
	"os"

	"filippo.io/age"

	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/uid"
)

// Keys closes and opens the key of each blob under its organization; keys.Sealer is one.
type Keys interface {
	Seal(org uid.Org, record string, plaintext []byte) ([]byte, error)
	Open(org uid.Org, record string, sealed []byte) ([]byte, error)
}

// record binds a sealed file key to its use, so that it can't be passed off as another sealed thing of the
// organization.
const record = "artifact"

// stanza is the type of the one stanza in a blob's header (age-encryption.org/v1, "Recipient stanza").
const stanza = "assay.dev/artifact-v1"

// lock wraps a blob's file key by the organization's key; it implements age.Recipient and age.Identity, so that the
// content itself is age's format: ChaCha20-Poly1305 in chunks of 64 KiB, which can be read from anywhere and cut
// nowhere.
type lock struct {
	keys Keys
	org  uid.Org
}

// Wrap implements age.Recipient.
func (l lock) Wrap(fileKey []byte) ([]*age.Stanza, error) {
	body, err := l.keys.Seal(l.org, record, fileKey)
	if err != nil {
		return nil, err
	}
	return []*age.Stanza{{Type: stanza, Args: []string{base64.RawStdEncoding.EncodeToString(body)}}}, nil
}

// Unwrap implements age.Identity.
func (l lock) Unwrap(stanzas []*age.Stanza) ([]byte, error) {
	for _, s := range stanzas {
		if s.Type != stanza || len(s.Args) != 1 {
			continue
		}
		body, err := base64.RawStdEncoding.DecodeString(s.Args[0])
		if err != nil {
			return nil, err
		}
		return l.keys.Open(l.org, record, body)
	}
	return nil, age.ErrIncorrectIdentity
}

// opened is a blob being read.
type opened struct {
	*io.SectionReader

	file *os.File
}

// Close implements io.Closer.
func (o opened) Close() error { return o.file.Close() }

// open reads the sealed file from anywhere. What doesn't open under the organization's key is an Internal fault: it was
// damaged, or put there by somebody else. It takes the file over.
func (l lock) open(file *os.File) (io.ReadSeekCloser, error) {
	info, err := file.Stat()
	if err == nil {
		var plain io.ReaderAt
		var size int64
		if plain, size, err = age.DecryptReaderAt(file, info.Size(), l); err == nil {
			return opened{io.NewSectionReader(plain, 0, size), file}, nil
		}
	}
	_ = file.Close()
	return nil, fault.New(fault.Internal, fault.CodeInternal, "a kept artifact doesn't open: it was damaged, or sealed by another key").Because(fmt.Errorf("opening an artifact: %w", err))
}
