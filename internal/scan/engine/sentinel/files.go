package sentinel

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"sync"

	"golang.org/x/sync/errgroup"

	"assay.dev/assay/internal/scan/engine/sentinel/rule"
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
		{"/.git/config", rule.KindGit, true},
		{"/.git/HEAD", rule.KindGit, true},
		{"/.env", rule.KindEnv, true},
		{"/.env.local", rule.KindEnv, false},
		{"/.env.production", rule.KindEnv, false},
		{"/.svn/entries", rule.KindSVN, false},
		{"/server-status", rule.KindStatus, true},
		{"/phpinfo.php", rule.KindPHPInfo, true},
		{"/info.php", rule.KindPHPInfo, false},
		{"/id_rsa", rule.KindKey, true},
		{"/.ssh/id_rsa", rule.KindKey, false},
		{"/server.key", rule.KindKey, false},
		{"/privatekey.pem", rule.KindKey, false},
		{"/.htpasswd", rule.KindHtpasswd, true},
		{"/dump.sql", rule.KindSQL, true},
		{"/backup.sql", rule.KindSQL, false},
		{"/database.sql", rule.KindSQL, false},
		{"/db.sql", rule.KindSQL, false},
		{"/backup.zip", rule.KindArchive, true},
		{"/backup.tar.gz", rule.KindArchive, false},
		{"/www.zip", rule.KindArchive, false},
		{"/site.tar.gz", rule.KindArchive, false},
		{"/wp-config.php.bak", rule.KindConfig, true},
		{"/wp-config.php~", rule.KindConfig, false},
		{"/config.php.bak", rule.KindConfig, false},
		{"/.DS_Store", rule.KindDSStore, true},
		{"/.aws/credentials", rule.KindCloud, false},
		{"/.docker/config.json", rule.KindRegistry, false},
		{"/.npmrc", rule.KindNpm, false},
		{"/actuator/env", rule.KindActuator, false},
		{"/debug/pprof/", rule.KindPprof, false},
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
		rec.Checked = append(rec.Checked, rule.CheckFiles)
		if r.depth.thorough {
			rec.Checked = append(rec.Checked, rule.CheckMoreFiles)
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
