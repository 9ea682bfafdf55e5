package proof_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"assay.dev/assay/internal/scan/engine/sentinel/proof"
	"assay.dev/assay/internal/scan/engine/sentinel/rule"
)

func TestProofsNeedTheirContentAndHoldNoValue(t *testing.T) {
	for _, tc := range []struct{ name, kind, body, want string }{
		{"git config", rule.KindGit, "[core]\n\tbare = false\n", "[core]\nbare=[masked]"},
		{"git head", rule.KindGit, "ref: refs/heads/main\n", "ref: refs/heads/main"},
		{"an INI file without core", rule.KindGit, "[x]\na=b\n", ""},
		{"env", rule.KindEnv, "# comment\nDB_PASSWORD=hunter2\nexport API_KEY=s3cret\n", "DB_PASSWORD=[masked]\nAPI_KEY=[masked]"},
		{"env in a page", rule.KindEnv, "<html>\nDB_PASSWORD=hunter2\n", ""},
		{"prose with an equals sign", rule.KindEnv, "if a = b then\n", ""},
		{"key", rule.KindKey, "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n", "-----BEGIN OPENSSH PRIVATE KEY----- [masked]"},
		{"a public key", rule.KindKey, "-----BEGIN PUBLIC KEY-----\nAAAA\n", ""},
		{"htpasswd", rule.KindHtpasswd, "admin:$apr1$abc$def\n", "admin:$apr1$[masked]"},
		{"a line with a colon", rule.KindHtpasswd, "note: hello\n", ""},
		{"dump", rule.KindSQL, "-- MySQL dump 10.13\n", "holds MYSQL DUMP [masked]"},
		{"insert", rule.KindSQL, "insert into users values('admin','hunter2');\n", "holds INSERT INTO [masked]"},
		{"zip", rule.KindArchive, "PK\x03\x04....", "begins as a ZIP archive"},
		{"a page about zip", rule.KindArchive, "<html>PK</html>", ""},
		{"npm", rule.KindNpm, "//registry.example.org/:_authToken=hunter2\n", "an _authToken [masked]"},
		{"wp-config", rule.KindConfig, "<?php define('DB_PASSWORD', 'hunter2');", "DB_PASSWORD=[masked]"},
		{"a page where the copy should be", rule.KindConfig, "<html>DB_PASSWORD</html>", ""},
		{"aws", rule.KindCloud, "[default]\naws_access_key_id = hunter2\n", "[default]\naws_access_key_id=[masked]"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := proof.Prove(tc.kind, []byte(tc.body))
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("Prove (-want +got):\n%s", diff)
			}
			if strings.Contains(got, "hunter2") || strings.Contains(got, "s3cret") {
				t.Errorf("the proof holds a value: %q", got)
			}
		})
	}
}
