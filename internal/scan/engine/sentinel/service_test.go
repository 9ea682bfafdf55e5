package sentinel

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"assay.dev/assay/internal/scan/engine/sentinel/rule"
)

func TestRecogniseNamesServicesByTheirWords(t *testing.T) {
	mysql := "\x26\x00\x00\x00\x0a8.0.36\x00\x08\x00\x00\x00abcdefgh\x00\xff\xf7\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
	for _, tc := range []struct{ name, said, service, product, version string }{
		{"openssh", "SSH-2.0-OpenSSH_7.2p2 Ubuntu-4ubuntu2.8\r\n", "ssh", "OpenSSH", "7.2p2"},
		{"dropbear", "SSH-2.0-dropbear_2022.83\r\n", "ssh", "dropbear", "2022.83"},
		{"vsftpd", "220 (vsFTPd 2.3.4)\r\n", "ftp", "vsFTPd", "2.3.4"},
		{"proftpd", "220 ProFTPD 1.3.5 Server ready\r\n", "ftp", "ProFTPD", "1.3.5"},
		{"postfix", "220 mail.example.test ESMTP Postfix (Debian/GNU)\r\n", "smtp", "", ""},
		{"exim", "220 mail.example.test ESMTP Exim 4.92 Mon, 01 Jan\r\n", "smtp", "Exim", "4.92"},
		{"pop3", "+OK Dovecot ready.\r\n", "pop3", "", ""},
		{"imap", "* OK [CAPABILITY IMAP4rev1] ready\r\n", "imap", "", ""},
		{"vnc", "RFB 003.008\n", "vnc", "", "003.008"},
		{"telnet by option", "\xff\xfd\x18\xff\xfd\x20\r\nrouter login: ", "telnet", "", ""},
		{"telnet by prompt", "\r\nrouter login: ", "telnet", "", ""},
		{"mysql", mysql, "mysql", "MySQL", "8.0.36"},
		{"redis", "-ERR unknown command 'GET'\r\n", "redis", "", ""},
		{"memcached", "ERROR\r\n", "memcached", "", ""},
		{"tls alert", "\x15\x03\x01\x00\x02\x02\x28", "tls", "", ""},
		{"http", "HTTP/1.1 200 OK\r\nServer: Apache/2.4.49 (Unix)\r\n\r\n", "http", "Apache", "2.4.49"},
		{"http to a TLS port", "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n", "tls", "", ""},
		{"http without a version", "HTTP/1.1 200 OK\r\nServer: nginx\r\n\r\n", "http", "", ""},
		{"unknown", "hello\r\n", "", "", ""},
		{"nothing", "", "", "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := recognise([]byte(tc.said))
			if got.Name != tc.service || got.Product != tc.product || got.Version != tc.version {
				t.Errorf("recognise = %q %q %q, want %q %q %q", got.Name, got.Product, got.Version, tc.service, tc.product, tc.version)
			}
		})
	}
}

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
			got := prove(tc.kind, []byte(tc.body))
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("prove (-want +got):\n%s", diff)
			}
			if strings.Contains(got, "hunter2") || strings.Contains(got, "s3cret") {
				t.Errorf("the proof holds a value: %q", got)
			}
		})
	}
}
