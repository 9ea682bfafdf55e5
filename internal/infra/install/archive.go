package install

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/word/fault"
)

// Bounds of a download.
const (
	maxDownload  = 1 << 30 // bytes of one file
	maxRedirects = 5
	downloadTime = time.Hour
)

// archives fetches the recipe's parts, checks and unpacks them into place, and returns the program.
func (i *Installer) archives(ctx context.Context, m engine.Manifest, r engine.Recipe, place string) (string, error) {
	tree := filepath.Join(place, "tree")
	if err := os.MkdirAll(tree, 0o755); err != nil { //nolint:gosec // programs that engines run must be readable by the user they run as
		return "", broken("the engine's folder can't be made", err)
	}
	for _, p := range i.parts(r) {
		if err := i.archive(ctx, p, place, tree); err != nil {
			return "", err
		}
	}
	name := nameOf(m, r)
	if strings.HasSuffix(name, ".jar") {
		if _, err := executable(tree, name); err != nil {
			return "", err
		}
		return filepath.Join(tree, filepath.FromSlash(name)), nil
	}
	return executable(tree, name)
}

// archive fetches one part. Nothing of it is looked into before its digest is known to be the pinned one.
func (i *Installer) archive(ctx context.Context, p engine.Part, place, tree string) error {
	u, err := url.Parse(p.URL)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil {
		return fault.New(fault.Internal, fault.CodeInternal, "the recipe's address isn't an https one").Because(err)
	}
	name := path.Base(u.Path)
	i.d.Tell("fetching " + name)
	download, err := os.CreateTemp(place, "download-")
	if err != nil {
		return broken("the download can't be written", err)
	}
	defer func() { _ = errors.Join(download.Close(), os.Remove(download.Name())) }()
	ctx, cancel := context.WithTimeout(ctx, downloadTime)
	defer cancel()
	sum, err := i.fetch(ctx, u, download)
	if err != nil {
		return err
	}
	if sum != p.SHA256 {
		return fault.New(fault.Forbidden, fault.CodeTargetForbidden, "the download isn't what the recipe pins: its SHA-256 is "+sum+"; nothing of it was used")
	}
	i.d.Tell("unpacking " + name)
	if _, err := download.Seek(0, io.SeekStart); err != nil {
		return broken("the download can't be read", err)
	}
	return unpack(download, name, p.Name, tree)
}

// fetch downloads into to and returns the SHA-256 of what came, in lower-case hex.
func (i *Installer) fetch(ctx context.Context, u *url.URL, to io.Writer) (string, error) {
	client := http.Client{Transport: i.d.Web, CheckRedirect: func(r *http.Request, via []*http.Request) error {
		if len(via) > maxRedirects || r.URL.Scheme != "https" || r.URL.User != nil {
			return fault.New(fault.Forbidden, fault.CodeTargetForbidden, "the download was sent on too often, or to a place that isn't https")
		}
		return nil
	}}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return "", broken("the recipe's address can't be asked", err)
	}
	resp, err := client.Do(r)
	if err != nil {
		if f := (*fault.Error)(nil); errors.As(err, &f) {
			return "", f
		}
		return "", fault.New(fault.Unavailable, fault.CodeUnavailable, "the download can't be reached").Because(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return "", fault.New(fault.Unavailable, fault.CodeUnavailable, fmt.Sprintf("the download was answered with status %d", resp.StatusCode))
	}
	digest := sha256.New()
	n, err := io.Copy(io.MultiWriter(to, digest), io.LimitReader(resp.Body, maxDownload+1))
	if err != nil {
		return "", fault.New(fault.Unavailable, fault.CodeUnavailable, "the download broke off").Because(err)
	}
	if n > maxDownload {
		return "", fault.New(fault.Forbidden, fault.CodeTargetForbidden, "the download is larger than 1 GiB")
	}
	return hex.EncodeToString(digest.Sum(nil)), nil
}
