package nmap

import "assay.dev/assay/internal/scan/finding"

// exposure says why a service that answers is a weakness by itself.
type exposure struct {
	title    string
	reason   string
	severity finding.Severity
	cwe      int
	remedy   string
}

func (e exposure) remark(service string) remark {
	return remark{
		rule: ruleExposed, discern: service, title: e.title, description: e.reason, severity: e.severity,
		confidence: finding.Firm, category: finding.CategoryExposure, cwe: []int{e.cwe},
		evidence: "Nmap recognised the service as " + label(service, 64) + " by asking it.", remediation: e.remedy,
	}
}

const (
	cweCleartext = 319 // cleartext transmission of sensitive information
	cweNoAuth    = 306 // missing authentication for a critical function
	cweExposed   = 668 // exposure of a resource to the wrong sphere
)

// exposureOf is the table of services that shouldn't be reachable from where Assay looked, by Nmap's service name.
// Severities are for a service that answered, not for one that was broken into: high where reaching it commonly is
// enough (no authentication by design), medium where it invites guessing or hands out passwords in clear.
func exposureOf(service string) (exposure, bool) {
	inClear := func(title, what string) exposure {
		return exposure{
			title, what + " sends names, passwords and content in clear, so anyone on the way can read and change them.",
			finding.Medium, cweCleartext, "Switch it off, or replace it with one that encrypts (SSH, SFTP, TLS).",
		}
	}
	unguarded := func(title, what string, severity finding.Severity) exposure {
		return exposure{
			title, what, severity, cweNoAuth,
			"Bind it to a private address, require authentication and TLS, and let a firewall admit only those who need it.",
		}
	}
	reach := func(title, what string, severity finding.Severity) exposure {
		return exposure{
			title, what, severity, cweExposed,
			"Admit only those who need it, by a firewall or a VPN, and keep it patched.",
		}
	}
	switch service {
	case "telnet":
		return inClear("Telnet is reachable", "Telnet"), true
	case "login", "shell", "exec":
		e := inClear("An r-service (rlogin, rsh, rexec) is reachable", "It trusts the client's word about who is asking and")
		e.severity = finding.High
		return e, true
	case "tftp":
		return unguarded("TFTP is reachable", "TFTP knows no authentication: whoever guesses a name gets or replaces the file.", finding.Medium), true
	case "redis":
		return unguarded("Redis is reachable", "Redis was made for trusted networks; without authentication it lets anyone read and write data and often run code.", finding.High), true
	case "memcached", "memcache":
		return unguarded("Memcached is reachable", "Memcached knows no authentication by default, and over UDP it amplifies attacks on others.", finding.High), true
	case "mongodb":
		return unguarded("MongoDB is reachable", "A database that needn't be reachable invites guessing of passwords, and older ones ask for none.", finding.Medium), true
	case "elasticsearch", "couchdb", "cassandra", "cassandra-native":
		return unguarded("A database is reachable", "A database that needn't be reachable invites guessing of passwords, and this one asks for none by default.", finding.Medium), true
	case "docker":
		return unguarded("The Docker API is reachable", "Whoever can use the Docker API is root on the host.", finding.High), true
	case "etcd", "zookeeper", "kubernetes":
		return unguarded("A cluster's control service is reachable", "It holds a cluster's state and secrets; reaching it is half of taking it over.", finding.Medium), true
	case "jdwp":
		return unguarded("A Java debugger port is reachable", "The Java debug protocol runs any code for whoever connects.", finding.High), true
	case "X11":
		return unguarded("An X server is reachable", "Whoever is let in sees the screen and the keys that are pressed.", finding.Medium), true
	case "vnc":
		return reach("VNC is reachable", "Remote control of a desktop, with weak authentication and mostly without encryption.", finding.Medium), true
	case "ms-wbt-server":
		return reach("Remote Desktop is reachable", "Remote Desktop is a common way in: by guessed passwords and by its past flaws.", finding.Medium), true
	case "microsoft-ds", "netbios-ssn":
		return reach("Windows file sharing (SMB) is reachable", "SMB is a common way in for worms and ransomware where it is reachable beyond its own network.", finding.Low), true
	case "nfs", "mountd":
		return reach("NFS is reachable", "NFS trusts addresses and the user numbers that clients claim.", finding.Medium), true
	case "rsync":
		return reach("rsync is reachable", "rsync modules are often readable, some writable, without a password, and the content travels in clear.", finding.Low), true
	case "mysql", "postgresql", "ms-sql-s", "oracle-tns":
		return reach("A database is reachable", "A database that needn't be reachable invites guessing of passwords and the use of its flaws.", finding.Low), true
	case "ldap":
		return reach("LDAP without TLS is reachable", "Names and passwords of a directory bind travel in clear, and directories often answer strangers.", finding.Low), true
	case "ajp13":
		return reach("An AJP connector is reachable", "AJP is meant for the web server in front only; strangers can read files or run code through it (Ghostcat).", finding.Medium), true
	case "ipmi", "asf-rmcp":
		return reach("A management controller (IPMI) is reachable", "IPMI hands out password hashes by design, and its owner owns the machine.", finding.High), true
	}
	return exposure{}, false
}
