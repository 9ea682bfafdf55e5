package keys

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"assay.dev/assay/internal/word/fault"
)

// Where the master key of a data folder lies when nobody says otherwise.
const (
	keyFolder = "keys"
	keyFile   = "master.key"
	// CredentialName is the name of the systemd credential that holds the master key.
	CredentialName = "assay-master-key"
)

// maxKeyFile bounds what is read of a key file in bytes: the longest form is 64 hex digits and a line's end.
const maxKeyFile = 128

// Place says where the master key is. The first that is set counts.
type Place struct {
	File        string // a file, from configuration
	Credentials string // the folder of systemd credentials ($CREDENTIALS_DIRECTORY); used if CredentialName is in it
	Data        string // the data folder: keys/master.key below it
	// Create lets a missing key of the data folder be made (never one of the other places). It is for the first
	// start only: with data there, a fresh key is a wrong key.
	Create bool
}

// Origin says where a master key came from, for `assay doctor`: a key beside the data protects copies of the database,
// not the host.
type Origin string

// Origins of the master key.
const (
	FromFile       Origin = "file"
	FromCredential Origin = "credential"
	FromData       Origin = "data_folder"
)

// Load reads the master key from its place and returns a sealer for it. The file must be a regular one, readable by
// its owner alone, and hold 32 bytes: raw, in base64 or in hex. A missing, open or malformed key is an Invalid fault
// that says what to do; the path is in its cause only.
func Load(p Place, rand io.Reader) (*Sealer, Origin, error) {
	path, origin, closed := filepath.Join(p.Data, keyFolder, keyFile), FromData, fs.FileMode(0o077)
	switch credential := filepath.Join(p.Credentials, CredentialName); {
	case p.File != "":
		path, origin = p.File, FromFile
	case p.Credentials != "" && exists(credential):
		// systemd gives the service's user access by an ACL, whose mask shows as the group's read bit; the folder
		// itself is seen by that service alone.
		path, origin, closed = credential, FromCredential, 0o037
	}
	master, err := readKey(path, closed)
	if errors.Is(err, fs.ErrNotExist) && origin == FromData && p.Create {
		if err = createKey(path, rand); err == nil {
			master, err = readKey(path, closed)
		}
	}
	if err != nil {
		return nil, "", err
	}
	defer clear(master)
	s, err := NewSealer(master, rand)
	return s, origin, err
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// readKey reads a key file that has none of the closed permission bits.
func readKey(path string, closed fs.FileMode) ([]byte, error) {
	f, err := os.Open(path) //nolint:gosec // the operator's own setting
	if err != nil {
		return nil, badKey("the master key file can't be opened; name one that is there, or run init to make one").Because(err)
	}
	defer f.Close() //nolint:errcheck // nothing was written
	info, err := f.Stat()
	if err != nil {
		return nil, badKey("the master key file can't be read").Because(err)
	}
	if !info.Mode().IsRegular() {
		return nil, badKey("the master key must be in a regular file").Because(errors.New(path))
	}
	if runtime.GOOS != "windows" && info.Mode().Perm()&closed != 0 {
		return nil, badKey("the master key file is open to its group or to others; set its mode to 0600").Because(errors.New(path))
	}
	b, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err != nil {
		return nil, badKey("the master key file can't be read").Because(err)
	}
	defer clear(b)
	key := decodeKey(b)
	if key == nil {
		return nil, badKey("the master key file must hold 32 bytes: raw, in base64 or in hex").Because(errors.New(path))
	}
	return key, nil
}

// decodeKey returns the 32 bytes, nil where there aren't any. The three forms differ in length.
func decodeKey(b []byte) []byte {
	if len(b) == KeySize {
		return bytes.Clone(b)
	}
	text := bytes.TrimSpace(b)
	key := make([]byte, base64.StdEncoding.DecodedLen(maxKeyFile))
	var n int
	var err error
	switch len(text) {
	case base64.StdEncoding.EncodedLen(KeySize):
		n, err = base64.StdEncoding.Strict().Decode(key, text)
	case hex.EncodedLen(KeySize):
		n, err = hex.Decode(key, text)
	}
	if err != nil || n != KeySize {
		return nil
	}
	return key[:KeySize]
}

// createKey makes a key file that appears whole or not at all and never replaces one: of two processes that start at
// once, both go on with the key of the first.
func createKey(path string, rand io.Reader) error {
	var key [KeySize]byte
	defer clear(key[:])
	if err := readRandom(rand, key[:]); err != nil {
		return err
	}
	text := append(base64.StdEncoding.AppendEncode(nil, key[:]), '\n')
	defer clear(text)
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return notMade(err)
	}
	f, err := os.CreateTemp(dir, ".master-*") // mode 0600
	if err != nil {
		return notMade(err)
	}
	defer os.Remove(f.Name()) //nolint:errcheck // under its own name the key stays
	_, err = f.Write(text)
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		return notMade(err)
	}
	if err := os.Link(f.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return notMade(err)
	}
	return syncFolder(dir)
}

func syncFolder(dir string) error {
	d, err := os.Open(dir) //nolint:gosec // the folder just written to
	if err != nil {
		return notMade(err)
	}
	err = d.Sync()
	if runtime.GOOS == "windows" {
		err = nil // folders can't be synced there
	}
	if err := errors.Join(err, d.Close()); err != nil {
		return notMade(err)
	}
	return nil
}

func badKey(text string) *fault.Error {
	return fault.New(fault.Invalid, fault.CodeValidation, text)
}

func notMade(err error) error {
	return fault.New(fault.Unavailable, fault.CodeUnavailable, "the master key file could not be written").Because(err)
}
