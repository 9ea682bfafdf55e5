package nmap

import (
	"slices"
	"strings"

	"assay.dev/assay/internal/scan/finding"
)

// maxPerScript bounds what is told of one script's output: a server that answers everything with 200 has thousands
// of "interesting" paths.
const maxPerScript = 50

// judgeCookies reads http-cookie-flags: a table per path, in it one per cookie, in it what is missing. A cookie is
// told once, whatever paths set it.
func judgeCookies(s node) []remark {
	var out []remark
	for _, path := range s.nodes {
		for _, cookie := range path.nodes {
			name := label(cookie.key, 128)
			if !cookie.table || name == "" || len(out) >= maxPerScript ||
				slices.ContainsFunc(out, func(r remark) bool { return r.discern == name }) {
				continue
			}
			var missing []string
			for _, x := range cookie.nodes {
				missing = append(missing, label(x.text, 100))
			}
			out = append(out, remark{
				rule: ruleOf(s), discern: name, title: "Cookie " + name + " lacks protective flags",
				description: "Without HttpOnly scripts can read it, without Secure it travels in clear.",
				severity:    finding.Low, confidence: finding.Certain, category: finding.CategoryConfig, cwe: []int{1004},
				evidence: "Set at " + label(path.key, 200) + ": " + strings.Join(missing, ", "), remediation: "Set HttpOnly, Secure and SameSite on it.",
			})
		}
	}
	return out
}

// judgeHeaders reads http-security-headers, which says "not configured" for what it misses.
func judgeHeaders(s node) []remark {
	var out []remark
	for _, header := range s.nodes {
		text := ""
		for _, x := range header.nodes {
			if strings.Contains(strings.ToLower(x.text), "not configured") {
				text = x.text
			}
		}
		if !header.table || text == "" || len(out) >= maxPerScript {
			continue
		}
		name := strings.ReplaceAll(label(header.key, 64), "_", "-")
		out = append(out, remark{
			rule: ruleOf(s), discern: name, title: "Header " + name + " is missing",
			description: "The header makes browsers protect the site's visitors.",
			severity:    finding.Low, confidence: finding.Certain, category: finding.CategoryConfig, cwe: []int{693},
			evidence: text, remediation: "Send the header with every answer.",
		})
	}
	return out
}

// judgeGit reads http-git: a table per repository with the files that were found.
func judgeGit(s node) []remark {
	for _, repo := range s.nodes {
		found := false
		for _, f := range repo.child("files-found").nodes {
			found = found || f.text == "true"
		}
		if found {
			return []remark{{
				rule: ruleOf(s), title: "A Git repository is served to everyone",
				description: "Its files can be downloaded: source, history, and every secret that was ever committed.",
				severity:    finding.High, confidence: finding.Firm, category: finding.CategoryDisclosure, cwe: []int{527},
				evidence: s.text, remediation: "Take the .git folder out of what the server serves, and replace secrets that were in it.",
			}}
		}
	}
	return nil
}

// judgePaths reads http-enum, which has no tables: lines of "/path: what it may be".
func judgePaths(s node) []remark {
	var out []remark
	for line := range strings.Lines(s.text) {
		path, what, ok := strings.Cut(strings.TrimSpace(line), ": ")
		if !ok || !strings.HasPrefix(path, "/") || len(out) >= maxPerScript {
			continue
		}
		path = label(path, 200)
		out = append(out, remark{
			rule: ruleOf(s), discern: path, title: "Path " + path + " answers",
			description: label(what, 200) + ". Nmap guesses what it is by its name.",
			severity:    finding.Info, confidence: finding.Tentative, category: finding.CategoryDisclosure, cwe: []int{425},
			evidence: strings.TrimSpace(line), remediation: "Check that it is meant for everyone.",
		})
	}
	return out
}

// judgeMethods reads http-methods, which names the risky ones.
func judgeMethods(s node) []remark {
	risky := s.list("Potentially risky methods")
	if len(risky) == 0 {
		return nil
	}
	return []remark{{
		rule: ruleOf(s), title: "Risky HTTP methods are offered",
		description: "The server says that it takes methods by which content can be changed or echoed. It may still refuse them.",
		severity:    finding.Info, confidence: finding.Tentative, category: finding.CategoryConfig, cwe: []int{650},
		evidence: strings.Join(risky, ", "), remediation: "Switch off the methods that aren't needed.",
	}}
}
