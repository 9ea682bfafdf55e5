package trivy_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"go.etcd.io/bbolt"
)

// writeDatabase makes a small vulnerability database of Trivy's schema 2 in dir/db: real ids of old flaws in the
// packages that the planted tree and image hold, with texts of our own.
func writeDatabase(t *testing.T, dir string) {
	t.Helper()
	folder := filepath.Join(dir, "db")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	metadata := `{"Version":2,"NextUpdate":"2099-01-01T00:00:00Z","UpdatedAt":"2026-11-20T06:00:00Z","DownloadedAt":"2026-11-20T07:00:00Z"}`
	if err := os.WriteFile(filepath.Join(folder, "metadata.json"), []byte(metadata), 0o644); err != nil {
		t.Fatal(err)
	}
	db, err := bbolt.Open(filepath.Join(folder, "trivy.db"), 0o644, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		for _, s := range sources() {
			if err := s.put(tx); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// source is one ecosystem of the database.
type source struct {
	bucket, id, name string
	library          bool
	flaws            []flaw
}

type flaw struct {
	pkg, id, affected, fixed, title, severity, vector string
	score                                             float64
	cwe                                               []string
}

func sources() []source {
	return []source{
		{"npm::GitHub Security Advisory npm", "ghsa", "GitHub Security Advisory npm", true, []flaw{
			{"lodash", "CVE-2019-10744", "<4.17.12", "4.17.12", "Prototype pollution in lodash", "CRITICAL", "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:H/A:H", 9.1, []string{"CWE-1321"}},
			{"minimist", "CVE-2021-44906", "<0.2.4", "0.2.4", "Prototype pollution in minimist", "CRITICAL", "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 9.8, []string{"CWE-1321"}},
			{"axios", "CVE-2020-28168", "<0.21.1", "0.21.1", "Server-side request forgery in axios", "MEDIUM", "CVSS:3.1/AV:N/AC:H/PR:N/UI:N/S:U/C:H/I:N/A:N", 5.9, []string{"CWE-918"}},
			{"axios", "GHSA-cph5-m8f7-6c5x", "<0.21.2", "0.21.2", "Regular expression takes exponential time in axios", "HIGH", "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:H", 7.5, []string{"CWE-1333"}},
		}},
		{"pip::GitHub Security Advisory pip", "ghsa", "GitHub Security Advisory pip", true, []flaw{
			{"django", "CVE-2019-14234", "<2.2.4", "2.2.4", "SQL injection in Django's key transforms", "CRITICAL", "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 9.8, []string{"CWE-89"}},
			{"pyyaml", "CVE-2020-14343", "<5.4", "5.4", "Arbitrary code in PyYAML's full loader", "CRITICAL", "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 9.8, []string{"CWE-20"}},
		}},
		{"go::GitHub Security Advisory Go", "ghsa", "GitHub Security Advisory Go", true, []flaw{
			{"golang.org/x/text", "CVE-2021-38561", "<0.3.7", "0.3.7", "Out-of-bounds read in golang.org/x/text", "HIGH", "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:H", 7.5, []string{"CWE-125"}},
			{"gopkg.in/yaml.v2", "CVE-2019-11254", "<2.2.8", "2.2.8", "Excessive time in yaml.v2", "MEDIUM", "CVSS:3.1/AV:N/AC:L/PR:L/UI:N/S:U/C:N/I:N/A:H", 6.5, []string{"CWE-400"}},
		}},
		{"alpine 3.10", "alpine", "Alpine Secdb", false, []flaw{
			{"openssl", "CVE-2019-1549", "", "1.1.1d-r0", "OpenSSL random numbers repeat after fork", "MEDIUM", "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:L/I:N/A:N", 5.3, []string{"CWE-330"}},
			{"musl", "CVE-2019-14697", "", "1.1.22-r3", "x87 stack imbalance in musl", "CRITICAL", "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 9.8, []string{"CWE-787"}},
			{"busybox", "CVE-2021-42378", "", "1.30.1-r5", "Use after free in busybox awk", "HIGH", "CVSS:3.1/AV:N/AC:L/PR:H/UI:N/S:U/C:H/I:H/A:H", 7.2, []string{"CWE-416"}},
		}},
	}
}

func (s source) put(tx *bbolt.Tx) error {
	names, err := tx.CreateBucketIfNotExists([]byte("data-source"))
	if err != nil {
		return err
	}
	if err := putJSON(names, s.bucket, map[string]string{"ID": s.id, "Name": s.name, "URL": "https://example.test/" + s.id}); err != nil {
		return err
	}
	root, err := tx.CreateBucketIfNotExists([]byte(s.bucket))
	if err != nil {
		return err
	}
	details, err := tx.CreateBucketIfNotExists([]byte("vulnerability"))
	if err != nil {
		return err
	}
	severities := map[string]int{"MEDIUM": 2, "HIGH": 3, "CRITICAL": 4}
	for _, f := range s.flaws {
		pkg, err := root.CreateBucketIfNotExists([]byte(f.pkg))
		if err != nil {
			return err
		}
		advisory := map[string]any{"FixedVersion": f.fixed}
		if s.library {
			advisory = map[string]any{"PatchedVersions": []string{f.fixed}, "VulnerableVersions": []string{f.affected}}
		}
		if err := putJSON(pkg, f.id, advisory); err != nil {
			return err
		}
		err = putJSON(details, f.id, map[string]any{
			"Title": f.title, "Description": f.title + ".", "Severity": f.severity, "CweIDs": f.cwe,
			"VendorSeverity": map[string]int{"nvd": severities[f.severity], "ghsa": severities[f.severity]},
			"CVSS":           map[string]any{"nvd": map[string]any{"V3Vector": f.vector, "V3Score": f.score}},
			"References":     []string{"https://example.test/" + f.id},
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func putJSON(b *bbolt.Bucket, key string, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return b.Put([]byte(key), text)
}
