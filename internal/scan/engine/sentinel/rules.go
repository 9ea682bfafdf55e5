package sentinel

import (
	"slices"

	"assay.dev/assay/internal/scan/finding"
)

// Checks are what coverage is counted in: a rule's silence means something only where its check was done to the end.
const (
	checkPorts       = "ports"           // every port of the list was tried
	checkService     = "service"         // an open port was listened to
	checkQuestions   = "questions"       // and asked all that services can be asked
	checkVersions    = "tls-versions"    // each TLS version was offered
	checkSuites      = "tls-suites"      // each weak suite was offered
	checkCertificate = "tls-certificate" // the chain was seen
	checkKEX         = "tls-kex"         // post-quantum groups were offered
	checkHeaders     = "http-headers"    // the page was answered
	checkCORS        = "http-cors"       // a foreign origin asked
	checkMethods     = "http-methods"    // OPTIONS and TRACE were answered
	checkListing     = "http-listing"    // each folder was answered
	checkFiles       = "files"           // each of the quick paths was answered
	checkMoreFiles   = "files-more"      // each path was answered
)

// rule is one check's finding: its texts and how bad it is, with the reason. Titles and texts are fixed; what differs
// from place to place stands in evidence.
type rule struct {
	id       string // after "sentinel:"
	check    string // after which its silence counts
	title    string
	severity finding.Severity
	reason   string // why this severity, for the reference page
	category finding.Category
	cwe      []int
	about    string // description
	remedy   string
	refs     []string
	kind     string // of file, for file rules
}

// ID returns the rule's full id.
func (r rule) ID() string { return "sentinel:" + r.id }

// rules lists every rule in the order of the reference page.
func rules() []rule {
	return slices.Concat(portRules(), tlsRules(), certificateRules(), httpRules(), fileRules())
}

// book finds rules by id.
type book map[string]rule

func newBook() book {
	b := book{}
	for _, r := range rules() {
		b[r.id] = r
	}
	return b
}

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
