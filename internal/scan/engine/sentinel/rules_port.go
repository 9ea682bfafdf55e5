package sentinel

import "assay.dev/assay/internal/scan/finding"

func portRules() []rule {
	return []rule{
		{
			id: "port-open", check: checkPorts, title: "Open TCP port", severity: finding.Info, category: finding.CategoryService,
			reason: "an open port is a fact for the inventory, not a flaw by itself",
			about:  "A TCP connection to this port was accepted.",
			remedy: "Close the port, or restrict who may reach it, if nothing outside needs it.",
		},
		{
			id: "port-version", check: checkService, title: "Service announces its version", severity: finding.Info,
			category: finding.CategoryDisclosure, cwe: []int{200},
			reason: "many protocols can't do without a banner; it helps an attacker only if the version is vulnerable",
			about:  "The service names its product and version to whoever connects, so that known flaws can be looked up without a try.",
			remedy: "Keep the service up to date; shorten its banner where its configuration allows.",
		},
		{
			id: "port-telnet", check: checkService, title: "Telnet service", severity: finding.High, category: finding.CategoryExposure,
			cwe: []int{319}, reason: "logins and whole sessions cross the network readable and changeable, and telnet is a common target of worms",
			about:  "Telnet carries user names, passwords and the session in clear text.",
			remedy: "Turn telnet off and use SSH.", refs: []string{"https://cwe.mitre.org/data/definitions/319.html"},
		},
		{
			id: "port-ftp-cleartext", check: checkQuestions, title: "FTP without TLS", severity: finding.Medium,
			category: finding.CategoryExposure, cwe: []int{319},
			reason: "passwords are readable on the way, but an attacker must sit on it",
			about:  "The FTP service doesn't accept AUTH TLS, so that logins and files cross the network in clear text.",
			remedy: "Require TLS (RFC 4217), or use SFTP.", refs: []string{"https://www.rfc-editor.org/rfc/rfc4217"},
		},
		{
			id: "port-redis-open", check: checkService, title: "Redis answers without a password", severity: finding.Critical,
			category: finding.CategoryExposure, cwe: []int{306},
			reason: "whoever connects reads and writes all data and, through its configuration, often runs code on the host",
			about:  "The Redis service answered PING and INFO without authentication.",
			remedy: "Bind Redis to loopback or a private network, set a password or ACLs, and keep protected-mode on.",
			refs:   []string{"https://redis.io/docs/latest/operate/oss_and_stack/management/security/"},
		},
		{
			id: "port-memcached-open", check: checkService, title: "Memcached answers without a login", severity: finding.High,
			category: finding.CategoryExposure, cwe: []int{306},
			reason: "cached data can be read and replaced by anyone; no code runs",
			about:  "The memcached service answered a command without authentication.",
			remedy: "Bind memcached to loopback or a private network, and turn UDP off.",
		},
		{
			id: "port-database", check: checkService, title: "Database reachable", severity: finding.Low, category: finding.CategoryExposure,
			cwe: []int{668}, reason: "a login still stands before the data; reachability widens who may try",
			about:  "A database server accepts connections from where the scan ran.",
			remedy: "Let only the application's hosts reach the database.",
		},
		{
			id: "port-database-cleartext", check: checkService, title: "Database without TLS", severity: finding.Medium,
			category: finding.CategoryExposure, cwe: []int{319},
			reason: "queries and results are readable on the way, but an attacker must sit on it",
			about:  "The database server says that it doesn't offer TLS.",
			remedy: "Turn TLS on at the server and require it for remote logins.",
		},
		{
			id: "port-vnc", check: checkService, title: "VNC service reachable", severity: finding.Medium, category: finding.CategoryExposure,
			cwe: []int{668}, reason: "a screen is one often weak password away, and the protocol is not encrypted",
			about:  "A VNC server accepts connections from where the scan ran.",
			remedy: "Let VNC listen on loopback only and reach it through SSH or a VPN.",
		},
	}
}
