package sentinel

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"sync"

	"golang.org/x/sync/errgroup"
)

// candidate is a path that may lie open, and the kind of content that proves it. Quick ones are asked at every depth.
type candidate struct {
	path  string
	kind  string
	quick bool
}

// candidates are the paths that are asked for, most telling first. Several paths of one kind make one finding.
func candidates() []candidate {
	return []candidate{
		{"/.git/config", kindGit, true},
		{"/.git/HEAD", kindGit, true},
		{"/.env", kindEnv, true},
		{"/.env.local", kindEnv, false},
		{"/.env.production", kindEnv, false},
		{"/.svn/entries", kindSVN, false},
		{"/server-status", kindStatus, true},
		{"/phpinfo.php", kindPHPInfo, true},
		{"/info.php", kindPHPInfo, false},
		{"/id_rsa", kindKey, true},
		{"/.ssh/id_rsa", kindKey, false},
		{"/server.key", kindKey, false},
		{"/privatekey.pem", kindKey, false},
		{"/.htpasswd", kindHtpasswd, true},
		{"/dump.sql", kindSQL, true},
		{"/backup.sql", kindSQL, false},
		{"/database.sql", kindSQL, false},
		{"/db.sql", kindSQL, false},
		{"/backup.zip", kindArchive, true},
		{"/backup.tar.gz", kindArchive, false},
		{"/www.zip", kindArchive, false},
		{"/site.tar.gz", kindArchive, false},
		{"/wp-config.php.bak", kindConfig, true},
		{"/wp-config.php~", kindConfig, false},
		{"/config.php.bak", kindConfig, false},
		{"/.DS_Store", kindDSStore, true},
		{"/.aws/credentials", kindCloud, false},
		{"/.docker/config.json", kindRegistry, false},
		{"/.npmrc", kindNpm, false},
		{"/actuator/env", kindActuator, false},
		{"/debug/pprof/", kindPprof, false},
	}
}

// maxFile is how much of a file is read: enough to prove what it is, too little to carry it off.
const maxFile = 2 << 10

// probeFiles asks one origin for files that shouldn't lie there, and for two that can't, so that a server which has an
// answer for everything is recognised.
func (r *run) probeFiles(ctx context.Context, s *site) filesRecord {
	rec := filesRecord{URL: bareURL(s.base), Addr: s.at.Addr().String(), Port: int(s.at.Port())}
	for _, path := range []string{"/assay-" + r.token() + ".txt", "/.assay-" + r.token() + "/config"} {
		seen, ok := s.file(ctx, path, "")
		if !ok {
			return rec
		}
		rec.Control = append(rec.Control, seen)
	}
	var ask []candidate
	for _, c := range candidates() {
		if c.quick || r.depth.thorough {
			ask = append(ask, c)
		}
	}
	seen, complete := make([]fileSeen, len(ask)), true
	var mu sync.Mutex
	var g errgroup.Group
	g.SetLimit(siteParallel)
	for i, c := range ask {
		g.Go(func() error {
			f, ok := s.file(ctx, c.path, c.kind)
			mu.Lock()
			defer mu.Unlock()
			seen[i], complete = f, complete && ok
			return nil
		})
	}
	_ = g.Wait() // every answer is in its place
	for _, f := range seen {
		if f.Status > 0 {
			rec.Seen = append(rec.Seen, f)
		}
	}
	if complete {
		rec.Checked = append(rec.Checked, checkFiles)
		if r.depth.thorough {
			rec.Checked = append(rec.Checked, checkMoreFiles)
		}
	}
	return rec
}

// file asks for one path at the origin's root. For a control (no kind) all kinds that its content would prove are
// noted.
func (s *site) file(ctx context.Context, path, kind string) (fileSeen, bool) {
	a, ok := s.send(ctx, http.MethodGet, s.base.ResolveReference(&url.URL{Path: path}), nil, false)
	if !ok {
		return fileSeen{}, false
	}
	f := fileSeen{Path: path, Status: a.status}
	if a.status != http.StatusOK {
		return f, true
	}
	body := a.body[:min(len(a.body), maxFile)]
	sum := sha256.Sum256(body)
	f.Digest = hex.EncodeToString(sum[:])
	if kind != "" {
		f.Proof = prove(kind, body)
		if f.Proof != "" {
			f.Proves = []string{kind}
		}
		return f, true
	}
	for _, k := range kinds() {
		if prove(k, body) != "" {
			f.Proves = append(f.Proves, k)
		}
	}
	return f, true
}
