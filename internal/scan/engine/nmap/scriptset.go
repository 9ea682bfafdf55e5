package nmap

import "slices"

// setNames are the sets that the option scriptSet offers.
func setNames() []string { return []string{"tls", "web", "remote", "windows", "data"} }

// scriptsOf returns the scripts of the sets, sorted, each once. The lists are ours: they hold no script of Nmap's
// categories exploit, brute, dos, external and broadcast, and none that writes files or runs code on the other side
// (jdwp-info does). A script needs a case in judge, or its output is kept in the raw file alone.
func scriptsOf(sets []string) []string {
	var out []string
	for _, s := range sets {
		out = append(out, scriptSet(s)...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func scriptSet(name string) []string {
	switch name {
	case "tls":
		return []string{"ssl-cert", "ssl-enum-ciphers", "ssl-heartbleed", "ssl-poodle", "ssl-ccs-injection", "ssl-dh-params", "sslv2"}
	case "web":
		return []string{
			"http-methods", "http-security-headers", "http-cookie-flags", "http-git", "http-trace",
			"http-enum", "http-ls", "http-vuln-cve2015-1635", "http-vuln-cve2017-5638",
		}
	case "remote":
		return []string{
			"ftp-anon", "ssh2-enum-algos", "sshv1", "telnet-encryption", "x11-access", "vnc-info",
			"realvnc-auth-bypass", "rsync-list-modules", "nfs-showmount", "ajp-methods",
		}
	case "windows":
		return []string{
			"smb-protocols", "smb-security-mode", "smb2-security-mode", "smb-vuln-ms17-010",
			"smb-double-pulsar-backdoor",
		}
	case "data":
		return []string{"redis-info", "mongodb-databases", "memcached-info", "couchdb-stats", "cassandra-info"}
	}
	return nil
}
