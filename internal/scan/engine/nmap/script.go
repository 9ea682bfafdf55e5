package nmap

import (
	"regexp"
	"slices"
	"strings"

	"assay.dev/assay/internal/scan/finding"
)

// judge turns one script's output into what it shows. That a script said something proves nothing ("Couldn't find
// any …" is output too): each script has a case that knows what a hit looks like, scripts on Nmap's vulns library
// are known by their tables, and every other output means nothing here. end is when the host was done, in seconds
// since 1970.
func judge(s node, end int64) []remark {
	if out := judgeVulns(s); len(out) > 0 {
		return out
	}
	switch s.key {
	case scriptCertificate:
		return judgeCertificate(s, end)
	case "ssl-enum-ciphers":
		return judgeCiphers(s)
	case "ssh2-enum-algos":
		return judgeSSH(s)
	case "http-cookie-flags":
		return judgeCookies(s)
	case "http-security-headers":
		return judgeHeaders(s)
	case "http-git":
		return judgeGit(s)
	case "http-enum":
		return judgePaths(s)
	case "http-methods":
		return judgeMethods(s)
	}
	for _, c := range saying() {
		if c.script == s.key && strings.Contains(s.text, c.says) {
			return []remark{c.remark(s)}
		}
	}
	return nil
}

// scriptCertificate is the script that shows a certificate; its flaws have a rule each.
const scriptCertificate = "ssl-cert"

func ruleOf(s node) string { return "nmap:" + label(s.key, 64) }

// phrase is a script whose hit shows by a text in its output.
type phrase struct {
	script, says string
	title        string
	description  string
	severity     finding.Severity
	category     finding.Category
	cwe          int
	remediation  string
}

func (p phrase) remark(s node) remark {
	return remark{
		rule: ruleOf(s), title: p.title, description: p.description, severity: p.severity, confidence: finding.Firm,
		category: p.category, cwe: []int{p.cwe}, evidence: s.text, remediation: p.remediation,
	}
}

// saying is the table of such scripts. Severities are ours: Nmap has none.
func saying() []phrase {
	const auth = "Require authentication and TLS, and let a firewall admit only those who need it."
	return []phrase{
		{
			"ftp-anon", "Anonymous FTP login allowed", "FTP admits anonymous users", "Anyone can sign in and see, perhaps change, the files.",
			finding.Medium, finding.CategoryConfig, 306, "Switch anonymous login off unless the files are meant for everyone.",
		},
		{
			"redis-info", "Version:", "Redis answers without a password", "Anyone who reaches it can read and change its data, and often run code.",
			finding.High, finding.CategoryConfig, 306, auth,
		},
		{
			"memcached-info", "Process ID", "Memcached answers without a password", "Anyone who reaches it can read and change what is cached.",
			finding.High, finding.CategoryConfig, 306, auth,
		},
		{
			"mongodb-databases", "totalSize", "MongoDB lists its databases to strangers", "Anyone who reaches it can list the databases, and most likely read them.",
			finding.High, finding.CategoryConfig, 306, auth,
		},
		{
			"couchdb-stats", "NOT enabled ('admin party')", "CouchDB runs without authentication", "Everyone who reaches it is its administrator.",
			finding.High, finding.CategoryConfig, 306, auth,
		},
		{
			"cassandra-info", "Cluster name:", "Cassandra answers without a password", "Anyone who reaches it can use the database.",
			finding.High, finding.CategoryConfig, 306, auth,
		},
		{
			"x11-access", "X server access is granted", "The X server admits strangers", "Anyone sees the screen and the keys that are pressed.",
			finding.High, finding.CategoryConfig, 306, "Require authentication, and forward X over SSH only.",
		},
		{
			"vnc-info", "None (1)", "VNC asks for no password", "Anyone who connects controls the desktop.",
			finding.High, finding.CategoryConfig, 306, "Set a password and reach it over a VPN or SSH only.",
		},
		{
			"rsync-list-modules", "\n", "rsync lists its modules to strangers", "The names of shares are shown to anyone; their content may be too.",
			finding.Low, finding.CategoryDisclosure, 200, "Set `list = no` and authentication for each module.",
		},
		{
			"nfs-showmount", "/", "NFS lists its exports to strangers", "What is shared, and with whom, is shown to anyone.",
			finding.Low, finding.CategoryDisclosure, 200, "Admit only the clients of the shares, by a firewall.",
		},
		{
			"ajp-methods", "Potentially risky methods", "Risky methods are offered over AJP", "Whoever reaches the connector may change content through it.",
			finding.Low, finding.CategoryConfig, 650, "Admit only the web server in front.",
		},
		{
			"telnet-encryption", "does not support encryption", "Telnet runs without encryption", "Names, passwords and content travel in clear.",
			finding.Medium, finding.CategoryConfig, 319, "Replace Telnet with SSH.",
		},
		{
			"sshv1", "Server supports SSHv1", "SSH protocol 1 is accepted", "Its encryption has been broken for decades.",
			finding.High, finding.CategoryCrypto, 327, "Allow protocol 2 only.",
		},
		{
			"sslv2", "SSLv2 supported", "SSL 2.0 is accepted", "Its encryption is broken, and it weakens newer versions under the same key (DROWN).",
			finding.High, finding.CategoryTLS, 327, "Allow TLS 1.2 and 1.3 only.",
		},
		{
			"smb-protocols", "NT LM 0.12 (SMBv1)", "SMB version 1 is accepted", "SMBv1 has no protection against change on the way, and worms use its flaws.",
			finding.Medium, finding.CategoryConfig, 327, "Switch SMBv1 off.",
		},
		{
			"smb-security-mode", "message_signing: disabled", "SMB messages need not be signed", "Whoever is on the way can pass sign-ins on to other machines (relay).",
			finding.Medium, finding.CategoryConfig, 345, "Require message signing.",
		},
		{
			"smb2-security-mode", "Message signing enabled but not required", "SMB messages need not be signed", "Whoever is on the way can pass sign-ins on to other machines (relay).",
			finding.Low, finding.CategoryConfig, 345, "Require message signing.",
		},
		{
			"http-trace", "TRACE is enabled", "HTTP TRACE is enabled", "TRACE sends back what it gets, headers with secrets among it.",
			finding.Low, finding.CategoryConfig, 16, "Switch the method off.",
		},
		{
			"http-ls", "Volume", "A web folder lists its content", "Files that nobody links to are shown to everyone.",
			finding.Low, finding.CategoryDisclosure, 548, "Switch directory listings off.",
		},
	}
}

// judgeVulns reads the tables of Nmap's vulns library: one per weakness, with title, state, ids, scores, references.
func judgeVulns(s node) []remark {
	var out []remark
	for _, t := range s.nodes {
		state, title := t.elem("state"), t.elem("title")
		confidence := finding.Firm
		switch {
		case !t.table || title == "":
			continue
		case strings.HasPrefix(state, "LIKELY VULNERABLE"):
			confidence = finding.Tentative
		case !strings.HasPrefix(state, "VULNERABLE"):
			continue // not vulnerable, or not known
		}
		cve := cvesOf(t)
		out = append(out, remark{
			rule: ruleOf(s), discern: discernOf(t, title, cve), title: title, description: prose(strings.Join(t.list("description"), "\n")),
			severity: vulnSeverity(s.key, t), confidence: confidence, category: finding.CategoryVulnerability, cve: cve,
			evidence:    s.text,
			remediation: "Update the software or apply the maker's advice for this weakness.", references: refsOf(t),
		})
	}
	return out
}

// discernOf tells the weaknesses of one script apart: by CVE, else by the table's key, which for weaknesses without
// any id is only a count of the run and gives way to the title.
func discernOf(t node, title string, cve []string) string {
	switch {
	case len(cve) > 0:
		return cve[0]
	case t.key == "" || strings.HasPrefix(t.key, "NMAP-"):
		return label(title, 128)
	}
	return label(t.key, 128)
}

func cvePattern() *regexp.Regexp { return regexp.MustCompile(`^CVE-[0-9]{4}-[0-9]{4,7}$`) }

func cvesOf(t node) []string {
	pattern := cvePattern()
	var out []string
	for _, text := range append([]string{t.key}, t.list("ids")...) {
		c := strings.ToUpper(strings.TrimPrefix(strings.TrimSpace(text), "CVE:"))
		if pattern.MatchString(c) && !slices.Contains(out, c) && len(out) < finding.MaxIDs {
			out = append(out, c)
		}
	}
	slices.Sort(out)
	return out
}

func refsOf(t node) []string {
	var out []string
	for _, r := range t.list("refs") {
		r = label(r, 300)
		if (strings.HasPrefix(r, "https://") || strings.HasPrefix(r, "http://")) && len(out) < finding.MaxReferences {
			out = append(out, r)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// vulnSeverity is our table; a script that isn't in it gets what its scores say in words, or info: never a guess.
func vulnSeverity(script string, t node) finding.Severity {
	switch script {
	case "smb-vuln-ms17-010", "smb-double-pulsar-backdoor", "http-vuln-cve2017-5638", "http-vuln-cve2015-1635":
		return finding.Critical
	case "ssl-heartbleed", "ssl-ccs-injection", "realvnc-auth-bypass":
		return finding.High
	case "ssl-poodle", "ssl-dh-params":
		return finding.Medium
	case "http-trace":
		return finding.Low
	}
	scores := strings.ToUpper(strings.Join(t.list("scores"), " "))
	for _, s := range []finding.Severity{finding.Critical, finding.High, finding.Medium, finding.Low} {
		if strings.Contains(scores, "("+strings.ToUpper(string(s))+")") {
			return s
		}
	}
	return finding.Info
}

// elem returns the text of the elem with the key, "" where there is none.
func (n node) elem(key string) string {
	for _, x := range n.nodes {
		if !x.table && x.key == key {
			return x.text
		}
	}
	return ""
}

// child returns the table with the key; the zero node where there is none.
func (n node) child(key string) node {
	for _, x := range n.nodes {
		if x.table && x.key == key {
			return x
		}
	}
	return node{}
}

// list returns the texts of all elems in the table with the key.
func (n node) list(key string) []string {
	var out []string
	for _, x := range n.child(key).nodes {
		if !x.table {
			out = append(out, x.text)
		}
	}
	return out
}
