package sentinel

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/inspect/keyfile"
	"assay.dev/assay/internal/inspect/secrets"
	"assay.dev/assay/internal/scan/engine/sentinel/rule"
	"assay.dev/assay/internal/scan/engine/sentinel/tree"
	"assay.dev/assay/internal/scan/finding"
)

// keyAt is a key and the file that holds it.
type keyAt struct {
	keyfile.Fact
	file string
}

// place is where a tree's findings stand: a tree has no host of its own, so that its name takes that place.
func (j *judge) tree() (finding.Location, bool) {
	switch j.req.Target.Type() {
	case asset.TypeRepository, asset.TypeFilesystem:
		return finding.Location{Host: finding.CanonicalHost(j.req.Target.String())}, true
	case asset.TypeHost, asset.TypeURL, asset.TypeDomain, asset.TypeIP, asset.TypeNetwork, asset.TypeImage:
	}
	j.damaged = true // no run of ours looks at files there
	return finding.Location{}, false
}

// file takes what one file holds.
func (j *judge) file(rec tree.File) {
	at, ok := j.tree()
	if !ok {
		return
	}
	at.File = printable(rec.Path, 1024)
	if at.File == "" {
		j.damaged = true
		return
	}
	for _, l := range rec.Leaks[:min(len(rec.Leaks), secrets.MaxLeaks)] {
		j.leak(l, at)
	}
	j.stock.Add(rec)
	for _, k := range rec.Keys {
		if len(j.keys) < maxAssets {
			j.keys = append(j.keys, keyAt{k, at.File})
		}
	}
}

// leak takes one credential. Its fingerprint tells it apart, so that it stays itself when its line moves.
func (j *judge) leak(l secrets.Leak, at finding.Location) {
	id, sure := "secret-known", finding.Firm
	switch l.Rule {
	case "generic-api-key":
		id, sure = "secret-generic", finding.Tentative
	case "private-key", "pkcs12-file":
		id = "secret-private-key"
	}
	print, _ := strings.CutPrefix(l.Fingerprint, "s1:")
	at.Line = max(l.Line, 0)
	j.add(id, at, detail{
		discern: printable(l.Rule, 64) + " " + printable(print, 16), title: j.book[id].Title + ": " + printable(l.Rule, 64) + " in " + printable(at.File, 120),
		evidence:   fmt.Sprintf("%s:%d:%d: %s\n%s", at.File, at.Line, max(l.Column, 0), printable(l.Excerpt, 200), printable(l.About, 300)),
		confidence: sure, secret: printable(l.Fingerprint, 128),
	})
}

// packages are the tree's, sorted by file and name.
func (j *judge) packages() []finding.Package {
	var out []finding.Package
	told := map[string]bool{}
	for _, p := range j.stock.Packages() {
		one := finding.Package{
			Name: printable(p.Name, 255), Version: printable(p.Version, 255), PURL: printable(p.PURL, 1024), Type: printable(p.Type, 32),
			File: printable(p.File, 1024), Dev: p.Dev,
		}
		for _, l := range p.Licences[:min(len(p.Licences), 10)] {
			one.Licences = append(one.Licences, printable(l, 128))
		}
		if key := one.File + "\x00" + one.PURL + "\x00" + one.Name + "\x00" + one.Version; one.Name != "" && one.PURL != "" && one.File != "" && !told[key] {
			told[key] = true
			out = append(out, one)
		}
	}
	return out
}

// treeEnd closes the look: now all keys are known.
func (j *judge) treeEnd(rec treeRecord) {
	at, ok := j.tree()
	if !ok {
		return
	}
	kinds := map[string]int{}
	for _, k := range j.keys {
		j.keyIn(k, at, rec.At)
		what := strings.ReplaceAll(printable(string(k.Kind), 32), "_", " ") + ": " + algorithm(k.Fact)
		if safe, known := k.QuantumSafe(); known {
			what += ", quantum-safe " + yes(safe)
		}
		kinds[what]++
	}
	if len(kinds) > 0 {
		var lines []string
		for _, what := range slices.Sorted(maps.Keys(kinds)) {
			lines = append(lines, fmt.Sprintf("%d × %s", kinds[what], what))
		}
		j.add("crypto-tree", at, detail{evidence: strings.Join(lines[:min(len(lines), 60)], "\n")})
	}
	if j.req.Target.Type() == asset.TypeRepository {
		j.saw(asset.KindRepository, j.req.Target.String(), map[string]any{"revision": printable(rec.Revision, 64), "packages": len(j.stock.Packages())})
	}
	if rec.Sum.Done {
		j.cover.Whole(at.Host, rec.Checked)
	}
}

// keyIn judges one key or certificate of a file at the time of the look.
func (j *judge) keyIn(k keyAt, at finding.Location, now time.Time) {
	file := k.file
	at.File, at.Line = file, max(k.Line, 0)
	digest := k.Digest
	discern := "sha256:" + digest
	if len(digest) != 64 {
		discern = ""
	}
	about := string(k.Kind) + ": " + algorithm(k.Fact)
	if k.Kind == keyfile.Certificate {
		about += fmt.Sprintf("\nSubject: %s\nValid: %s to %s", printable(k.Subject, 256), k.NotBefore.Format(time.RFC3339), k.NotAfter.Format(time.RFC3339))
		if len(digest) == 64 && strings.Trim(digest, "0123456789abcdef") == "" {
			j.saw(asset.KindCertificate, "sha256:"+digest, map[string]any{
				"subject": printable(k.Subject, 256), "issuer": printable(k.Issuer, 256), "notBefore": k.NotBefore.Format(time.RFC3339),
				"notAfter": k.NotAfter.Format(time.RFC3339), "keyAlgorithm": printable(k.Algorithm, 64), "keyBits": bits(k.Fact), "keyDigest": printable(k.KeyDigest, 64),
				"signatureAlgorithm": printable(k.Signature, 64), "quantumSafe": quantumSafe(k.Fact),
			})
		}
	} else {
		j.sawKey(k.Fact, digest, string(k.Kind))
	}
	name := printable(path.Base(file), 100)
	if weak := k.Weak(); weak != "" {
		j.add("keyfile-weak", at, detail{discern: discern, title: j.book["keyfile-weak"].Title + ": " + weak + " in " + name, evidence: printable(about, 1024)})
	}
	if k.Kind == keyfile.Certificate && !k.NotAfter.IsZero() && now.After(k.NotAfter) {
		j.add("keyfile-expired", at, detail{discern: discern, title: j.book["keyfile-expired"].Title + ": " + name, evidence: printable(about, 1024)})
	}
}

// treeChecks are the checks that a look at a tree does.
func treeChecks(o tree.Options) []string {
	var out []string
	if o.Secrets {
		out = append(out, rule.CheckSecrets)
	}
	if o.Keys {
		out = append(out, rule.CheckKeys)
	}
	return out
}
