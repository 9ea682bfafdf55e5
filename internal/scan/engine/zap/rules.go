package zap

import (
	"slices"
	"strconv"

	"assay.dev/assay/internal/scan/finding"
)

// siteRule says that an alert is the site's and not a page's: a header is set in one place, and every page would repeat
// it. header is what tells it apart; empty = the alert's own parameter is (a cookie's or header's name).
type siteRule struct{ header string }

// siteRules by plugin id (https://www.zaproxy.org/docs/alerts/).
func siteRules() map[string]siteRule {
	return map[string]siteRule{
		"10010": {}, "10011": {}, "10054": {}, "10029": {}, "10033": {}, // cookies
		"90033": {}, "90004": {}, // loosely scoped cookie; Cross-Origin-*-Policy
		"10015": {"cache-control"},
		"10020": {"x-frame-options"},
		"10021": {"x-content-type-options"},
		"10035": {"strict-transport-security"},
		"10036": {"server"},
		"10037": {"x-powered-by"},
		"10038": {"content-security-policy"},
		"10039": {"x-backend-server"},
		"10055": {"content-security-policy"},
		"10056": {"x-debug-token"},
		"10061": {"x-aspnet-version"},
		"10063": {"permissions-policy"},
		"10049": {"cache-control"},
		"10050": {"age"},
		"10098": {"access-control-allow-origin"},
		"10109": {}, "10106": {}, // modern web application; plain HTTP
	}
}

// revealing reports whether an alert's evidence is the very thing that must not be kept: card numbers, credentials,
// hashes, session ids, private addresses' tokens.
func revealing(plugin string) bool {
	return slices.Contains([]string{
		"3",              // session id in URL
		"10024",          // information in URL
		"10025",          // information in Referer
		"10057",          // username hash
		"10062",          // personal data
		"10094",          // Base64
		"10097",          // hash
		"10099",          // source code
		"10105",          // weak authentication, the header among it
		"10111", "10112", // authentication request, session token
		"90011", // charset, harmless, but it repeats bodies
	}, plugin)
}

// weaknesses are CWE ids of rules for which ZAP names none, or a parent that ties no engines together.
func weakness(plugin string, named int) []int {
	switch plugin {
	case "10038", "10055":
		return []int{693}
	case "10020":
		return []int{1021}
	case "10035":
		return []int{319}
	case "10033":
		return []int{548} // directory browsing
	case "10098":
		return []int{942}
	}
	if named > 0 {
		return []int{named}
	}
	return nil
}

func severity(risk string) finding.Severity {
	switch risk {
	case "High", "3":
		return finding.High
	case "Medium", "2":
		return finding.Medium
	case "Low", "1":
		return finding.Low
	}
	return finding.Info
}

// confidence maps ZAP's; ok is false for what ZAP itself calls a false positive.
func confidence(said string) (c finding.Confidence, ok bool) {
	switch said {
	case "False Positive", "0":
		return "", false
	case "Confirmed", "User Confirmed", "4":
		return finding.Certain, true
	case "Medium", "High", "2", "3":
		return finding.Firm, true
	}
	return finding.Tentative, true
}

// category is by kind of weakness, and where that says nothing, by how bad it is.
func category(cwe []int, severity finding.Severity, known bool) finding.Category {
	if known {
		return finding.CategoryVulnerability
	}
	for _, id := range cwe {
		switch id {
		case 200, 209, 215, 219, 497, 527, 530, 538, 540, 541, 548, 550, 615, 598:
			return finding.CategoryDisclosure
		case 16, 264, 319, 345, 524, 525, 565, 614, 650, 693, 829, 942, 1004, 1021, 1275, 1385:
			return finding.CategoryConfig
		case 311, 295, 326, 327:
			return finding.CategoryTLS
		}
	}
	if severity == finding.Info {
		return finding.CategoryConfig
	}
	return finding.CategoryVulnerability
}

// number reads a decimal id, 0 where there is none: ZAP's "-1" and "0" are none.
func number(s word) int {
	n, err := strconv.Atoi(string(s))
	if err != nil || n < 0 || n > 1_000_000 {
		return 0
	}
	return n
}
