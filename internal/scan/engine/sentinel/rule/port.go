package rule

import "assay.dev/assay/internal/scan/finding"

func ports() []Rule {
	return []Rule{
		{
			ID: "port-open", Check: CheckPorts, Title: "Open TCP port", Severity: finding.Info, Category: finding.CategoryService,
			Reason: "an open port is a fact for the inventory, not a flaw by itself",
			About:  "A TCP connection to this port was accepted.",
			Remedy: "Close the port, or restrict who may reach it, if nothing outside needs it.",
		},
		{
			ID: "port-version", Check: CheckService, Title: "Service announces its version", Severity: finding.Info,
			Category: finding.CategoryDisclosure, CWE: []int{200},
			Reason: "many protocols can't do without a banner; it helps an attacker only if the version is vulnerable",
			About:  "The service names its product and version to whoever connects, so that known flaws can be looked up without a try.",
			Remedy: "Keep the service up to date; shorten its banner where its configuration allows.",
		},
		{
			ID: "port-telnet", Check: CheckService, Title: "Telnet service", Severity: finding.High, Category: finding.CategoryExposure,
			CWE: []int{319}, Reason: "logins and whole sessions cross the network readable and changeable, and telnet is a common target of worms",
			About:  "Telnet carries user names, passwords and the session in clear text.",
			Remedy: "Turn telnet off and use SSH.", Refs: []string{"https://cwe.mitre.org/data/definitions/319.html"},
		},
		{
			ID: "port-ftp-anonymous", Check: CheckQuestions, Title: "FTP admits anonymous users", Severity: finding.Medium,
			Category: finding.CategoryConfig, CWE: []int{306},
			Reason: "anyone can read what lies there, though some servers mean just that",
			About:  "The FTP service accepts the user anonymous, so that anyone can see, and perhaps change, the files.",
			Remedy: "Switch anonymous login off unless the files are meant for everyone.", Refs: []string{"https://www.rfc-editor.org/rfc/rfc1635"},
		},
		{
			ID: "port-ftp-cleartext", Check: CheckQuestions, Title: "FTP without TLS", Severity: finding.Medium,
			Category: finding.CategoryExposure, CWE: []int{319},
			Reason: "passwords are readable on the way, but an attacker must sit on it",
			About:  "The FTP service doesn't accept AUTH TLS, so that logins and files cross the network in clear text.",
			Remedy: "Require TLS (RFC 4217), or use SFTP.", Refs: []string{"https://www.rfc-editor.org/rfc/rfc4217"},
		},
		{
			ID: "port-smtp-cleartext", Check: CheckQuestions, Title: "SMTP without STARTTLS", Severity: finding.Low, Category: finding.CategoryExposure,
			CWE: []int{319}, Reason: "mail is readable on the way, but an attacker must sit on it; relays fall back to clear text",
			About:  "The mail server doesn't offer STARTTLS, so that mail, and logins where it takes them, cross the network in clear text.",
			Remedy: "Give the server a certificate and turn STARTTLS on.", Refs: []string{"https://www.rfc-editor.org/rfc/rfc3207"},
		},
		{
			ID: "port-redis-open", Check: CheckService, Title: "Redis answers without a password", Severity: finding.Critical,
			Category: finding.CategoryExposure, CWE: []int{306},
			Reason: "whoever connects reads and writes all data and, through its configuration, often runs code on the host",
			About:  "The Redis service answered PING and INFO without authentication.",
			Remedy: "Bind Redis to loopback or a private network, set a password or ACLs, and keep protected-mode on.",
			Refs:   []string{"https://redis.io/docs/latest/operate/oss_and_stack/management/security/"},
		},
		{
			ID: "port-memcached-open", Check: CheckService, Title: "Memcached answers without a login", Severity: finding.High,
			Category: finding.CategoryExposure, CWE: []int{306},
			Reason: "cached data can be read and replaced by anyone; no code runs",
			About:  "The memcached service answered a command without authentication.",
			Remedy: "Bind memcached to loopback or a private network, and turn UDP off.",
		},
		{
			ID: "port-database", Check: CheckService, Title: "Database reachable", Severity: finding.Low, Category: finding.CategoryExposure,
			CWE: []int{668}, Reason: "a login still stands before the data; reachability widens who may try",
			About:  "A database server accepts connections from where the scan ran.",
			Remedy: "Let only the application's hosts reach the database.",
		},
		{
			ID: "port-database-cleartext", Check: CheckService, Title: "Database without TLS", Severity: finding.Medium,
			Category: finding.CategoryExposure, CWE: []int{319},
			Reason: "queries and results are readable on the way, but an attacker must sit on it",
			About:  "The database server says that it doesn't offer TLS.",
			Remedy: "Turn TLS on at the server and require it for remote logins.",
		},
		{
			ID: "port-vnc", Check: CheckService, Title: "VNC service reachable", Severity: finding.Medium, Category: finding.CategoryExposure,
			CWE: []int{668}, Reason: "a screen is one often weak password away, and the protocol is not encrypted",
			About:  "A VNC server accepts connections from where the scan ran.",
			Remedy: "Let VNC listen on loopback only and reach it through SSH or a VPN.",
		},
	}
}
