package sentinel

import "assay.dev/assay/internal/scan/finding"

func httpRules() []rule {
	return []rule{
		{
			id: "http-no-https", check: checkHeaders, title: "Plain HTTP without a redirect to HTTPS", severity: finding.Medium,
			category: finding.CategoryConfig, cwe: []int{319},
			reason: "what is sent can be read and changed on the way, by an attacker who sits on it",
			about:  "The site answers over plain HTTP and doesn't send browsers to HTTPS.",
			remedy: "Serve the site over HTTPS and answer plain HTTP with a permanent redirect to it.", refs: []string{refTLS},
		},
		{
			id: "http-hsts-missing", check: checkHeaders, title: "Strict-Transport-Security missing", severity: finding.Low,
			category: finding.CategoryConfig, cwe: []int{319},
			reason: "matters on a first or downgraded visit only",
			about:  "The site doesn't tell browsers to use HTTPS only, or for less than a day.",
			remedy: "Send Strict-Transport-Security: max-age=31536000; includeSubDomains.",
			refs:   []string{"https://www.rfc-editor.org/rfc/rfc6797", refHeaders},
		},
		{
			id: "http-csp-missing", check: checkHeaders, title: "Content-Security-Policy missing", severity: finding.Low,
			category: finding.CategoryConfig, cwe: []int{693}, reason: "a second line of defence: it limits an injection that is already there",
			about:  "The page has no Content-Security-Policy, so that injected script runs without limits.",
			remedy: "Send a Content-Security-Policy, beginning with default-src 'self'.",
			refs:   []string{"https://www.w3.org/TR/CSP3/", refHeaders},
		},
		{
			id: "http-nosniff-missing", check: checkHeaders, title: "X-Content-Type-Options missing", severity: finding.Low,
			category: finding.CategoryConfig, cwe: []int{693}, reason: "matters where users upload files that a browser might take for script",
			about:  "Browsers may guess another content type than the one that was sent.",
			remedy: "Send X-Content-Type-Options: nosniff.", refs: []string{refHeaders},
		},
		{
			id: "http-framing-allowed", check: checkHeaders, title: "Page may be framed by any site", severity: finding.Low,
			category: finding.CategoryConfig, cwe: []int{1021}, reason: "a user must be lured and click while signed in",
			about:  "Neither frame-ancestors nor X-Frame-Options keeps other sites from framing the page (clickjacking).",
			remedy: "Send Content-Security-Policy: frame-ancestors 'none' (or the sites that may), and X-Frame-Options: DENY for old browsers.",
			refs:   []string{"https://cheatsheetseries.owasp.org/cheatsheets/Clickjacking_Defense_Cheat_Sheet.html"},
		},
		{
			id: "http-referrer-missing", check: checkHeaders, title: "Referrer-Policy missing", severity: finding.Info,
			category: finding.CategoryConfig, cwe: []int{200}, reason: "current browsers' own default already withholds paths from other sites",
			about:  "The page doesn't say how much of its address other sites may learn.",
			remedy: "Send Referrer-Policy: strict-origin-when-cross-origin or stricter.", refs: []string{refHeaders},
		},
		{
			id: "http-version", check: checkHeaders, title: "Web server announces its version", severity: finding.Low,
			category: finding.CategoryDisclosure, cwe: []int{497}, reason: "it saves an attacker the search for a matching exploit; easy to turn off",
			about:  "A response header names a product with its version.",
			remedy: "Shorten or remove the header (ServerTokens Prod, server_tokens off, expose_php = Off).", refs: []string{refFinger},
		},
		{
			id: "http-cookie-insecure", check: checkHeaders, title: "Cookie without Secure", severity: finding.Low,
			category: finding.CategoryConfig, cwe: []int{614}, reason: "an attacker on the way must get the browser to make a plain request",
			about:  "The cookie is also sent over plain HTTP.",
			remedy: "Set the cookie with Secure.", refs: []string{refCookies + "#section-4.1.2.5"},
		},
		{
			id: "http-cookie-script", check: checkHeaders, title: "Cookie without HttpOnly", severity: finding.Low,
			category: finding.CategoryConfig, cwe: []int{1004}, reason: "needs an injection first, which it then makes worse",
			about:  "Script on the page can read the cookie.",
			remedy: "Set the cookie with HttpOnly unless the page's own script needs it.", refs: []string{refCookies + "#section-4.1.2.6"},
		},
		{
			id: "http-cookie-samesite", check: checkHeaders, title: "Cookie without SameSite", severity: finding.Low,
			category: finding.CategoryConfig, cwe: []int{1275}, reason: "browsers treat it as Lax by default; others and old ones don't",
			about:  "The cookie goes along with requests that other sites cause (cross-site request forgery).",
			remedy: "Set the cookie with SameSite=Lax or Strict.",
			refs:   []string{"https://datatracker.ietf.org/doc/html/draft-ietf-httpbis-rfc6265bis"},
		},
		{
			id: "http-cors-any", check: checkCORS, title: "Any origin may read answers with credentials", severity: finding.High,
			category: finding.CategoryConfig, cwe: []int{942}, reason: "any page that a signed-in user visits can read what the user can",
			about:  "The server repeated a foreign origin in Access-Control-Allow-Origin and allowed credentials.",
			remedy: "Answer with a fixed list of origins, and allow credentials only to those that need them.",
			refs:   []string{"https://fetch.spec.whatwg.org/#http-cors-protocol"},
		},
		{
			id: "http-trace", check: checkMethods, title: "TRACE enabled", severity: finding.Low, category: finding.CategoryConfig,
			cwe: []int{693}, reason: "browsers refuse to send it; it still shows headers that proxies add",
			about:  "The server sends requests back with their headers, those among them that proxies on the way add.",
			remedy: "Turn TRACE off (TraceEnable off).", refs: []string{refMethods + ".3.8"},
		},
		{
			id: "http-method", check: checkMethods, title: "Risky HTTP method advertised", severity: finding.Low,
			category: finding.CategoryConfig, cwe: []int{650}, reason: "advertised, not tried: whether it does harm without a login is unknown",
			about:  "The answer to OPTIONS names a method that changes content. It was not tried.",
			remedy: "Allow only the methods that the application needs.", refs: []string{refMethods},
		},
		{
			id: "http-listing", check: checkListing, title: "Directory listing", severity: finding.Low, category: finding.CategoryDisclosure,
			cwe: []int{548}, reason: "it shows files; how bad they are is another matter",
			about:  "The server lists the files of a folder.",
			remedy: "Turn listings off (Options -Indexes, autoindex off) or add an index page.", refs: []string{refExposure},
		},
	}
}
