package rule

import "assay.dev/assay/internal/scan/finding"

func web() []Rule {
	return []Rule{
		{
			ID: "web-sql-injection", Check: CheckParameters, Title: "SQL injection", Severity: finding.Critical, Category: finding.CategoryVulnerability,
			CWE: []int{89}, Reason: "whoever can send a request reads, and often changes, the database",
			About:  "A parameter becomes part of a database query: a quote breaks it, or a condition in it decides the answer.",
			Remedy: "Use parameterised queries everywhere; give the application's database user as few rights as it needs.",
			Refs:   []string{"https://cheatsheetseries.owasp.org/cheatsheets/SQL_Injection_Prevention_Cheat_Sheet.html"},
		},
		{
			ID: "web-xss", Check: CheckParameters, Title: "Reflected cross-site scripting", Severity: finding.Medium, Category: finding.CategoryVulnerability,
			CWE: []int{79}, Reason: "a user must follow a prepared link; then the attacker acts as that user",
			About:  "A parameter comes back into the page with the characters that make markup, so that a link can run script in the visitor's browser.",
			Remedy: "Encode output for the place where it stands; let the template engine do it. Send a Content-Security-Policy.",
			Refs:   []string{"https://cheatsheetseries.owasp.org/cheatsheets/Cross_Site_Scripting_Prevention_Cheat_Sheet.html"},
		},
		{
			ID: "web-open-redirect", Check: CheckParameters, Title: "Open redirect", Severity: finding.Medium, Category: finding.CategoryVulnerability,
			CWE: []int{601}, Reason: "a link that begins at the trusted site ends elsewhere, which helps phishing and steals tokens from logins",
			About: "A parameter decides to which site a redirect leads.", Remedy: "Redirect to paths of the own site only, or to a list of places.",
			Refs: []string{"https://cheatsheetseries.owasp.org/cheatsheets/Unvalidated_Redirects_and_Forwards_Cheat_Sheet.html"},
		},
		{
			ID: "web-path-traversal", Check: CheckParameters, Title: "Path traversal", Severity: finding.High, Category: finding.CategoryVulnerability,
			CWE: []int{22}, Reason: "files of the server can be read, credentials among them",
			About:  "A parameter names a file, and steps out of the folder that it was meant for.",
			Remedy: "Map names to files by a list, or open them below a root that can't be left.",
			Refs:   []string{"https://owasp.org/www-community/attacks/Path_Traversal"},
		},
		{
			ID: "web-error-details", Check: CheckParameters, Title: "Page shows inner errors", Severity: finding.Low, Category: finding.CategoryDisclosure,
			CWE: []int{209}, Reason: "paths, versions and code help an attacker; they are no attack by themselves",
			About: "An unexpected value makes the page show a stack trace.", Remedy: "Turn debug mode off, log errors, and show a plain page.",
			Refs: []string{"https://cheatsheetseries.owasp.org/cheatsheets/Error_Handling_Cheat_Sheet.html"},
		},
		{
			ID: "web-form-token", Check: CheckCrawl, Title: "Form without a token against forged requests", Severity: finding.Low,
			Category: finding.CategoryConfig, CWE: []int{352}, Reason: "a cookie with SameSite, or a check of the Origin header, may protect it all the same",
			About:  "A form that changes something has no hidden field with a token.",
			Remedy: "Check Origin or Sec-Fetch-Site on the server, add tokens, and set SameSite on cookies.",
			Refs:   []string{"https://cheatsheetseries.owasp.org/cheatsheets/Cross-Site_Request_Forgery_Prevention_Cheat_Sheet.html"},
		},
		{
			ID: "web-password-cleartext", Check: CheckCrawl, Title: "Password sent over plain HTTP", Severity: finding.Medium, Category: finding.CategoryConfig,
			CWE: []int{319}, Reason: "whoever sits on the way reads the password", About: "A login form sends its password without encryption.",
			Remedy: "Serve the form and take its answers over HTTPS only.", Refs: []string{refTLS},
		},
		{
			ID: "web-admin-open", Check: CheckCrawl, Title: "Administration page without a login", Severity: finding.Medium,
			Category: finding.CategoryExposure, CWE: []int{306}, Reason: "what the page can do is unknown; its name says that not everybody should",
			About: "A page whose name says administration answers without asking who is there.", Remedy: "Require a login, and restrict who may reach it.",
			Refs: []string{refExposure},
		},
		{
			ID: "web-robots", Check: CheckCrawl, Title: "robots.txt names places to hide", Severity: finding.Info, Category: finding.CategoryDisclosure,
			CWE: []int{200}, Reason: "it hides nothing: whoever looks for such places reads this file first",
			About: "robots.txt lists paths that sound like administration, backups or the like.", Remedy: "Protect those places by a login; don't list them.",
			Refs: []string{"https://www.rfc-editor.org/rfc/rfc9309"},
		},
	}
}
