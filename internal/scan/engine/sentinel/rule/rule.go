// Package rule is what Sentinel can report: each rule's texts, severity and the reason for it, in one place.
//
// It is data. Which rule applies where is decided by package sentinel, which alone may import it; the reference page
// docs/reference/sentinel.md is generated from it. Start with Rule, then the file of the probe in question.
package rule

import (
	"slices"

	"assay.dev/assay/internal/scan/finding"
)

// Checks are what coverage is counted in: a rule's silence means something only where its check was done to the end.
const (
	CheckPorts       = "ports"           // every port of the list was tried
	CheckService     = "service"         // an open port was listened to
	CheckQuestions   = "questions"       // and asked all that services can be asked
	CheckVersions    = "tls-versions"    // each TLS version was offered
	CheckSuites      = "tls-suites"      // each weak suite was offered
	CheckCertificate = "tls-certificate" // the chain was seen
	CheckKEX         = "tls-kex"         // post-quantum groups were offered
	CheckHeaders     = "http-headers"    // the page was answered
	CheckCORS        = "http-cors"       // a foreign origin asked
	CheckMethods     = "http-methods"    // OPTIONS and TRACE were answered
	CheckListing     = "http-listing"    // each folder was answered
	CheckFiles       = "files"           // each of the quick paths was answered
	CheckMoreFiles   = "files-more"      // each path was answered
	CheckSSH         = "ssh"             // the offer of key exchanges was read
	CheckCrawl       = "crawl"           // every linked page was visited
	CheckParameters  = "parameters"      // and every parameter asked
	CheckNames       = "dns"             // every question about the name was answered
	CheckMail        = "mail"            // and those about its mail
	CheckSecrets     = "secrets"         // every text of the tree was searched
	CheckKeys        = "keys"            // every key file of the tree was read
)

// Rule is one thing that can be found: its texts and how bad it is, with the reason. What differs from place to place
// stands in a finding's evidence.
type Rule struct {
	ID       string           // "sentinel:port-open"
	Check    string           // after which its silence counts, one of the Check constants
	Title    string           // at most 60 bytes
	Severity finding.Severity // everywhere the same
	Reason   string           // why this severity
	Category finding.Category
	CWE      []int  // MITRE CWE
	About    string // what it means
	Remedy   string // what to do
	Refs     []string
	Kind     string // of file, for file rules
}

// All lists every rule in the order of the reference page.
func All() []Rule {
	out := slices.Concat(ports(), ssh(), tls(), certificates(), crypto(), http(), web(), files(), names(), signatures(), mail(), trees())
	for i := range out {
		out[i].ID = "sentinel:" + out[i].ID
	}
	return out
}

// Kinds of file content that can be proved.
const (
	KindGit      = "git"
	KindEnv      = "env"
	KindSVN      = "svn"
	KindStatus   = "server-status"
	KindPHPInfo  = "phpinfo"
	KindKey      = "private-key"
	KindHtpasswd = "htpasswd"
	KindSQL      = "sql-dump"
	KindArchive  = "archive"
	KindConfig   = "config-backup"
	KindDSStore  = "ds-store"
	KindCloud    = "cloud-credentials"
	KindRegistry = "registry-credentials"
	KindNpm      = "npm-token"
	KindActuator = "actuator"
	KindPprof    = "pprof"
)

// OWASP and RFC references that several rules share.
const (
	refHeaders  = "https://cheatsheetseries.owasp.org/cheatsheets/HTTP_Headers_Cheat_Sheet.html"
	refTLS      = "https://cheatsheetseries.owasp.org/cheatsheets/Transport_Layer_Security_Cheat_Sheet.html"
	refRFC9325  = "https://www.rfc-editor.org/rfc/rfc9325"
	refBackups  = "https://owasp.org/www-project-web-security-testing-guide/latest/4-Web_Application_Security_Testing/02-Configuration_and_Deployment_Management_Testing/04-Review_Old_Backup_and_Unreferenced_Files_for_Sensitive_Information"
	refCookies  = "https://www.rfc-editor.org/rfc/rfc6265"
	refRFC5280  = "https://www.rfc-editor.org/rfc/rfc5280"
	refMethods  = "https://www.rfc-editor.org/rfc/rfc9110#section-9"
	refFinger   = "https://owasp.org/www-project-web-security-testing-guide/latest/4-Web_Application_Security_Testing/01-Information_Gathering/02-Fingerprint_Web_Server"
	refExposure = "https://owasp.org/Top10/2025/A02_2025-Security_Misconfiguration/"
)
