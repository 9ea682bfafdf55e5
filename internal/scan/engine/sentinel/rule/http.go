package rule

import "assay.dev/assay/internal/scan/finding"

func http() []Rule {
	return []Rule{
		{
			ID: "http-no-https", Check: CheckHeaders, Title: "Plain HTTP without a redirect to HTTPS", Severity: finding.Medium,
			Category: finding.CategoryConfig, CWE: []int{319},
			Reason: "what is sent can be read and changed on the way, by an attacker who sits on it",
			About:  "The site answers over plain HTTP and doesn't send browsers to HTTPS.",
			Remedy: "Serve the site over HTTPS and answer plain HTTP with a permanent redirect to it.", Refs: []string{refTLS},
		},
		{
			ID: "http-hsts-missing", Check: CheckHeaders, Title: "Strict-Transport-Security missing", Severity: finding.Low,
			Category: finding.CategoryConfig, CWE: []int{319},
			Reason: "matters on a first or downgraded visit only",
			About:  "The site doesn't tell browsers to use HTTPS only, or for less than a day.",
			Remedy: "Send Strict-Transport-Security: max-age=31536000; includeSubDomains.",
			Refs:   []string{"https://www.rfc-editor.org/rfc/rfc6797", refHeaders},
		},
		{
			ID: "http-csp-missing", Check: CheckHeaders, Title: "Content-Security-Policy missing", Severity: finding.Low,
			Category: finding.CategoryConfig, CWE: []int{693}, Reason: "a second line of defence: it limits an injection that is already there",
			About:  "The page has no Content-Security-Policy, so that injected script runs without limits.",
			Remedy: "Send a Content-Security-Policy, beginning with default-src 'self'.",
			Refs:   []string{"https://www.w3.org/TR/CSP3/", refHeaders},
		},
		{
			ID: "http-nosniff-missing", Check: CheckHeaders, Title: "X-Content-Type-Options missing", Severity: finding.Low,
			Category: finding.CategoryConfig, CWE: []int{693}, Reason: "matters where users upload files that a browser might take for script",
			About:  "Browsers may guess another content type than the one that was sent.",
			Remedy: "Send X-Content-Type-Options: nosniff.", Refs: []string{refHeaders},
		},
		{
			ID: "http-framing-allowed", Check: CheckHeaders, Title: "Page may be framed by any site", Severity: finding.Low,
			Category: finding.CategoryConfig, CWE: []int{1021}, Reason: "a user must be lured and click while signed in",
			About:  "Neither frame-ancestors nor X-Frame-Options keeps other sites from framing the page (clickjacking).",
			Remedy: "Send Content-Security-Policy: frame-ancestors 'none' (or the sites that may), and X-Frame-Options: DENY for old browsers.",
			Refs:   []string{"https://cheatsheetseries.owasp.org/cheatsheets/Clickjacking_Defense_Cheat_Sheet.html"},
		},
		{
			ID: "http-referrer-missing", Check: CheckHeaders, Title: "Referrer-Policy missing", Severity: finding.Info,
			Category: finding.CategoryConfig, CWE: []int{200}, Reason: "current browsers' own default already withholds paths from other sites",
			About:  "The page doesn't say how much of its address other sites may learn.",
			Remedy: "Send Referrer-Policy: strict-origin-when-cross-origin or stricter.", Refs: []string{refHeaders},
		},
		{
			ID: "http-version", Check: CheckHeaders, Title: "Web server announces its version", Severity: finding.Low,
			Category: finding.CategoryDisclosure, CWE: []int{497}, Reason: "it saves an attacker the search for a matching exploit; easy to turn off",
			About:  "A response header names a product with its version.",
			Remedy: "Shorten or remove the header (ServerTokens Prod, server_tokens off, expose_php = Off).", Refs: []string{refFinger},
		},
		{
			ID: "http-cookie-insecure", Check: CheckHeaders, Title: "Cookie without Secure", Severity: finding.Low,
			Category: finding.CategoryConfig, CWE: []int{614}, Reason: "an attacker on the way must get the browser to make a plain request",
			About:  "The cookie is also sent over plain HTTP.",
			Remedy: "Set the cookie with Secure.", Refs: []string{refCookies + "#section-4.1.2.5"},
		},
		{
			ID: "http-cookie-script", Check: CheckHeaders, Title: "Cookie without HttpOnly", Severity: finding.Low,
			Category: finding.CategoryConfig, CWE: []int{1004}, Reason: "needs an injection first, which it then makes worse",
			About:  "Script on the page can read the cookie.",
			Remedy: "Set the cookie with HttpOnly unless the page's own script needs it.", Refs: []string{refCookies + "#section-4.1.2.6"},
		},
		{
			ID: "http-cookie-samesite", Check: CheckHeaders, Title: "Cookie without SameSite", Severity: finding.Low,
			Category: finding.CategoryConfig, CWE: []int{1275}, Reason: "browsers treat it as Lax by default; others and old ones don't",
			About:  "The cookie goes along with requests that other sites cause (cross-site request forgery).",
			Remedy: "Set the cookie with SameSite=Lax or Strict.",
			Refs:   []string{"https://datatracker.ietf.org/doc/html/draft-ietf-httpbis-rfc6265bis"},
		},
		{
			ID: "http-cors-any", Check: CheckCORS, Title: "Any origin may read answers with credentials", Severity: finding.High,
			Category: finding.CategoryConfig, CWE: []int{942}, Reason: "any page that a signed-in user visits can read what the user can",
			About:  "The server repeated a foreign origin in Access-Control-Allow-Origin and allowed credentials.",
			Remedy: "Answer with a fixed list of origins, and allow credentials only to those that need them.",
			Refs:   []string{"https://fetch.spec.whatwg.org/#http-cors-protocol"},
		},
		{
			ID: "http-trace", Check: CheckMethods, Title: "TRACE enabled", Severity: finding.Low, Category: finding.CategoryConfig,
			CWE: []int{693}, Reason: "browsers refuse to send it; it still shows headers that proxies add",
			About:  "The server sends requests back with their headers, those among them that proxies on the way add.",
			Remedy: "Turn TRACE off (TraceEnable off).", Refs: []string{refMethods + ".3.8"},
		},
		{
			ID: "http-method", Check: CheckMethods, Title: "Risky HTTP method advertised", Severity: finding.Low,
			Category: finding.CategoryConfig, CWE: []int{650}, Reason: "advertised, not tried: whether it does harm without a login is unknown",
			About:  "The answer to OPTIONS names a method that changes content. It was not tried.",
			Remedy: "Allow only the methods that the application needs.", Refs: []string{refMethods},
		},
		{
			ID: "http-listing", Check: CheckListing, Title: "Directory listing", Severity: finding.Low, Category: finding.CategoryDisclosure,
			CWE: []int{548}, Reason: "it shows files; how bad they are is another matter",
			About:  "The server lists the files of a folder.",
			Remedy: "Turn listings off (Options -Indexes, autoindex off) or add an index page.", Refs: []string{refExposure},
		},
	}
}
