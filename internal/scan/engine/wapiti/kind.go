package wapiti

import "assay.dev/assay/internal/scan/finding"

// modules are the kinds of attack that may be chosen, by Wapiti's names. Left out: those that report to or load from a
// third party (ssrf, xxe, wapp, nikto, log4shell, cms), guess passwords or names (brute_login_form, buster), or upload.
func modules() []string {
	return append(standard(), "blindsql", "crlf", "htaccess", "methods", "ldap")
}

func standard() []string {
	return []string{"csp", "cookieflags", "http_headers", "csrf", "exec", "file", "sql", "xss", "permanentxss", "redirect", "backup"}
}

// renamed gives the name of a module in newer releases. Both are asked for; a release passes over what it doesn't know.
func renamed(module string) string {
	if module == "blindsql" {
		return "timesql"
	}
	return ""
}

// kind is what a category of Wapiti's means here. Severities are our own: the makers rate cross-site scripting below a
// crashed page.
type kind struct {
	rule     string
	title    string
	about    string
	remedy   string
	module   string // whose silence counts for it
	cwe      int
	severity finding.Severity
	sure     finding.Confidence
	category finding.Category
}

const (
	queries = "Use parameterized queries (prepared statements) for every value that comes from a request."
	escape  = "Encode every value that comes from a request or a store for the place of the page where it is shown, and send a Content-Security-Policy."
	cookie  = "Set the attribute where the cookie is set."
)

// kindOf is the table of categories, under the names of all releases that are known.
func kindOf(category string) (kind, bool) {
	vulnerable, set := finding.CategoryVulnerability, finding.CategoryConfig
	switch category {
	case "SQL Injection":
		return kind{"sql-injection", "SQL injection", "What is sent becomes part of a database query.", queries, "sql", 89, finding.High, finding.Firm, vulnerable}, true
	case "Blind SQL Injection":
		return kind{"blind-sql-injection", "SQL injection (blind)", "What is sent becomes part of a database query: the answer comes late when the query says so.", queries, "blindsql", 89, finding.High, finding.Firm, vulnerable}, true
	case "LDAP Injection":
		return kind{"ldap-injection", "LDAP injection", "What is sent becomes part of a query of a directory.", "Encode values for LDAP filters, or bind them as the library offers.", "ldap", 90, finding.High, finding.Firm, vulnerable}, true
	case "Command execution":
		return kind{"command-execution", "Command execution", "What is sent is run as code or as a command of the server.", "Don't hand values from requests to a shell or an interpreter.", "exec", 78, finding.Critical, finding.Firm, vulnerable}, true
	case "Path Traversal":
		return kind{"path-traversal", "Path traversal", "What is sent names a file of the server, and leads out of the folder that was meant.", "Map names from requests to files by a list, or resolve the path and check that it stays within its folder.", "file", 22, finding.High, finding.Firm, vulnerable}, true
	case "Cross Site Scripting", "Reflected Cross Site Scripting":
		return kind{"cross-site-scripting", "Cross-site scripting", "What is sent comes back as script of the page.", escape, "xss", 79, finding.Medium, finding.Firm, vulnerable}, true
	case "Stored Cross Site Scripting":
		return kind{"stored-cross-site-scripting", "Stored cross-site scripting", "What is sent comes back later as script of a page, to whoever opens it.", escape, "permanentxss", 79, finding.High, finding.Firm, vulnerable}, true
	case "HTML Injection", "Stored HTML Injection":
		return kind{slug(category), "HTML injection", "What is sent comes back as markup of a page.", escape, "xss", 80, finding.Low, finding.Firm, vulnerable}, true
	case "Open Redirect":
		return kind{"open-redirect", "Open redirect", "What is sent names the page to which visitors are sent, on whatever host.", "Redirect to paths of the site only, or to a list of hosts.", "redirect", 601, finding.Medium, finding.Firm, vulnerable}, true
	case "CRLF Injection":
		return kind{"crlf-injection", "CRLF injection", "What is sent becomes a header of the answer.", "Refuse line breaks in values that become headers.", "crlf", 93, finding.Medium, finding.Firm, vulnerable}, true
	case "Server Side Request Forgery":
		return kind{"server-side-request-forgery", "Server-side request forgery", "What is sent names an address that the server asks.", "Ask only addresses of a list.", "ssrf", 918, finding.High, finding.Firm, vulnerable}, true
	case "XML External Entity":
		return kind{"xml-external-entity", "XML external entities are resolved", "XML that is sent makes the server read files or addresses.", "Switch external entities off in the parser.", "xxe", 611, finding.High, finding.Firm, vulnerable}, true
	case "Cross Site Request Forgery":
		return kind{"cross-site-request-forgery", "Form without a token against cross-site request forgery", "Another site can send this form in the name of a visitor who is signed in.", "Add a token to the form and check it, or check Sec-Fetch-Site and Origin; set SameSite on session cookies.", "csrf", 352, finding.Low, finding.Tentative, vulnerable}, true
	case "Backup file":
		return kind{"backup-file", "Backup copy of a script", "The server gives out a copy of a file, by the name that editors and archivers give such copies.", "Remove the copy, and keep copies out of the folders that are served.", "backup", 530, finding.Medium, finding.Firm, finding.CategoryDisclosure}, true
	case "Htaccess Bypass":
		return kind{"htaccess-bypass", "Access rule that holds for some methods only", "A page that asks for a login is given out to another request method.", "Let the rule hold for all methods.", "htaccess", 538, finding.Medium, finding.Firm, vulnerable}, true
	case "Content Security Policy Configuration":
		return kind{"content-security-policy", "Content-Security-Policy missing or weak", "Injected script runs without limits.", "Send a Content-Security-Policy that names what the page loads.", "csp", 693, finding.Low, finding.Certain, set}, true
	case "HTTP Secure Headers", "Clickjacking Protection", "MIME Type Confusion", "HTTP Strict Transport Security (HSTS)":
		return kind{"header", "Security header missing", "Browsers are not told to protect the page in this way.", "Send the header with every page.", "http_headers", 693, finding.Low, finding.Certain, set}, true
	case "HttpOnly Flag cookie":
		return kind{"cookie-httponly", "Cookie without HttpOnly", "Script on the page can read the cookie.", cookie, "cookieflags", 1004, finding.Low, finding.Certain, set}, true
	case "Secure Flag cookie":
		return kind{"cookie-secure", "Cookie without Secure", "The cookie is also sent over plain HTTP.", cookie, "cookieflags", 614, finding.Low, finding.Certain, set}, true
	case "Internal Server Error":
		return kind{"internal-server-error", "Request that makes the server fail", "An unexpected value is not refused but ends in an error of the server, which often is the trace of a flaw.", "Check values before they are used, and handle what goes wrong.", "", 755, finding.Low, finding.Tentative, vulnerable}, true
	case "Resource consumption":
		return kind{"resource-consumption", "Request that takes the server long", "A single request keeps the server busy past the time-out.", "Bound what a request may cost.", "", 400, finding.Low, finding.Tentative, vulnerable}, true
	}
	return kind{}, false
}

// categories are the names that the table knows and whose silence counts.
func categories() []string {
	return []string{
		"SQL Injection", "Blind SQL Injection", "LDAP Injection", "Command execution", "Path Traversal", "Cross Site Scripting",
		"Stored Cross Site Scripting", "Open Redirect", "CRLF Injection", "Cross Site Request Forgery", "Backup file", "Htaccess Bypass",
		"Content Security Policy Configuration", "HTTP Secure Headers", "HttpOnly Flag cookie", "Secure Flag cookie", "Internal Server Error",
	}
}

// header is what a missing header means. ok is false for headers whose absence is no weakness: X-XSS-Protection switched
// on a filter that browsers have removed because it could be turned against pages.
func header(name string) (title string, cwe int, ok bool) {
	switch name {
	case "x-frame-options":
		return "X-Frame-Options missing", 1021, true
	case "x-content-type-options":
		return "X-Content-Type-Options missing", 693, true
	case "strict-transport-security":
		return "Strict-Transport-Security missing", 319, true
	}
	return "", 0, false
}
