package targets

import (
	"net/url"
	"slices"
	"strings"

	"assay.dev/assay/internal/scan/finding"
)

// Flaw is one planted flaw, and what a finding must say to be counted as it: a CWE of one of its kinds, or one of its
// CVE ids, at its place. Titles never count.
type Flaw struct {
	ID   string // "W01"
	What string
	// CWE are the weakness ids under which engines may report the flaw. The first is the one that says it best.
	CWE []int
	CVE []string
	// Where the flaw is. An empty Paths means the whole service; an empty Parameter means any or none. A path that ends
	// in "/" stands for everything below it, too.
	Port      int
	Paths     []string
	Parameter string
	// Alike are further weakness ids, which many flaws share at one place (the headers that a page lacks, what is wrong with
	// a certificate): they count only where one of Words stands in what the finding discerns or in the engine's id of the
	// check.
	Alike []int
	Words []string
	// Depends is the id of a flaw of whose place this one is a plain consequence: what is reported for it isn't false,
	// but missing it costs nothing. Empty = a flaw in its own right.
	Depends string
}

// Is reports whether the observation tells of this flaw.
func (f Flaw) Is(o finding.Observation) bool {
	return f.at(o.Location) && f.kind(o)
}

func (f Flaw) at(l finding.Location) bool {
	if l.Port != f.Port {
		return false
	}
	if f.Parameter != "" && l.Parameter != "" && !strings.EqualFold(l.Parameter, f.Parameter) {
		return false
	}
	return len(f.Paths) == 0 || l.URL == "" || slices.ContainsFunc(f.Paths, func(p string) bool {
		path := pathOf(l.URL)
		return path == p || strings.HasSuffix(p, "/") && strings.HasPrefix(path, p)
	})
}

func (f Flaw) kind(o finding.Observation) bool {
	for _, id := range f.CVE {
		if slices.Contains(o.CVE, id) {
			return true
		}
	}
	if len(f.Paths) > 0 && o.Location.URL == "" {
		return len(f.CWE) > 0 && slices.Contains(o.CWE, f.CWE[0]) // engines that name no page must name the kind exactly
	}
	said := strings.ToLower(o.Rule + " " + o.Discern)
	named := slices.ContainsFunc(f.Words, func(w string) bool { return strings.Contains(said, w) })
	return slices.ContainsFunc(o.CWE, func(id int) bool { return slices.Contains(f.CWE, id) || named && slices.Contains(f.Alike, id) })
}

func pathOf(text string) string {
	u, err := url.Parse(text)
	if err != nil || u.Path == "" {
		return "/"
	}
	return u.Path
}

// webFlaws are the flaws of vulnweb.py, by the ids of its head.
func webFlaws(port int) []Flaw {
	sql, xss := []int{89, 564, 943}, []int{79, 80, 81, 83, 84, 85, 86, 87}
	files := []int{538, 552, 200, 219, 527, 530, 540, 548, 312, 522, 260, 497, 651}
	flaws := []Flaw{
		{ID: "W01", What: "SQL injection in /item?id=, errors and UNION visible", CWE: sql, Paths: []string{"/item"}, Parameter: "id"},
		{ID: "W02", What: "SQL injection in the login form, login", CWE: sql, Paths: []string{"/login"}, Parameter: "login"},
		{ID: "W02a", What: "SQL injection in the login form, pass", CWE: sql, Paths: []string{"/login"}, Parameter: "pass"},
		{ID: "W02b", What: "login form without a CSRF token", CWE: []int{352}, Paths: []string{"/login", "/"}},
		{ID: "W03", What: "reflected XSS in /search?q=", CWE: xss, Paths: []string{"/search"}, Parameter: "q"},
		{ID: "W04", What: "directory listing of /files/", CWE: append([]int{548}, files...), Paths: []string{"/files/"}},
		{ID: "W05", What: "exposed .git folder", CWE: append([]int{527}, files...), Paths: []string{"/.git/", "/.git"}},
		{ID: "W06a", What: "no Content-Security-Policy", Alike: []int{693, 1021, 16, 1173}, Words: []string{"content-security-policy", "csp"}},
		{ID: "W06b", What: "no X-Frame-Options", CWE: []int{1021}, Alike: []int{693, 16}, Words: []string{"frame", "framing", "clickjack", "10020"}},
		{ID: "W06c", What: "no X-Content-Type-Options", Alike: []int{693, 16}, Words: []string{"content-type-options", "nosniff", "mime", "10021"}},
		{ID: "W07a", What: "Server names Apache 2.4.49, which has known flaws", Alike: []int{200, 497, 1104, 1395, 937}, Words: []string{"server", "apache", "httpd"}, CVE: []string{"CVE-2021-41773", "CVE-2021-42013"}},
		{ID: "W07b", What: "X-Powered-By names PHP 5.4.16", Alike: []int{200, 497, 1104, 1395, 937}, Words: []string{"powered", "php", "10037"}},
		{ID: "W08a", What: "session cookie without HttpOnly", CWE: []int{1004}},
		{ID: "W08b", What: "session cookie without SameSite", CWE: []int{1275}, Alike: []int{352}, Words: []string{"session", "samesite"}},
		{ID: "W09", What: "open redirect in /go?to=", CWE: []int{601}, Paths: []string{"/go"}, Parameter: "to"},
		{ID: "W10", What: "path traversal in /download?f=", CWE: []int{22, 23, 36, 73, 98, 538}, Paths: []string{"/download"}, Parameter: "f"},
		{ID: "W11", What: "exposed .env with credentials", CWE: append([]int{538}, files...), Paths: []string{"/.env"}},
		{ID: "W12", What: "stack trace in /debug", CWE: []int{209, 210, 211, 497, 550, 755, 388, 248, 200}, Paths: []string{"/debug"}},
		{ID: "W13", What: "robots.txt names hidden paths", CWE: []int{200, 538, 1230}, Paths: []string{"/robots.txt"}},
		{ID: "W14", What: "/admin/ without a login", CWE: []int{306, 284, 285, 287, 425, 862, 200, 538}, Paths: []string{"/admin/", "/admin"}},
		{ID: "W15", What: "blind SQL injection in /ping?host=", CWE: sql, Paths: []string{"/ping"}, Parameter: "host"},
		{ID: "W16", What: "login form over plain HTTP", CWE: []int{319, 311, 523}, Depends: "W02"},
		{ID: "W17", What: "session cookie without Secure on plain HTTP", CWE: []int{614, 311}, Depends: "W08a"},
		{ID: "W18", What: "error pages of /item and /login show SQL", CWE: []int{209, 210, 211, 388, 550, 755, 248, 200}, Paths: []string{"/item", "/login"}, Depends: "W01"},
		{ID: "W19", What: "split response in /go?to=", CWE: []int{93, 113}, Paths: []string{"/go"}, Depends: "W09"},
		{ID: "W20", What: "further response headers that aren't there", CWE: []int{693, 1021, 16, 200, 525, 319, 523, 1173}, Depends: "W06a"},
		{ID: "W21", What: "/files/dump.sql and /files/old.zip can be had", CWE: files, Paths: []string{"/files/"}, Depends: "W04"},
	}
	for i := range flaws {
		flaws[i].Port = port
	}
	return flaws
}

// bannerFlaws are the flaws of banners.py.
func bannerFlaws(ports []int) []Flaw {
	old := []int{1104, 1395, 937, 200, 497, 672}
	return []Flaw{
		{ID: "B1", What: "OpenSSH 7.2p2, which has known flaws", CWE: old, Port: ports[0], CVE: []string{"CVE-2016-6210", "CVE-2016-10009", "CVE-2016-10012", "CVE-2018-15473", "CVE-2016-8858", "CVE-2016-6515"}},
		{ID: "B2", What: "vsFTPd 2.3.4, of which a copy with a back door went round", CWE: append([]int{78, 506}, old...), Port: ports[1], CVE: []string{"CVE-2011-2523"}},
		{ID: "B3", What: "FTP takes an anonymous login", CWE: []int{287, 284, 306, 1188, 522, 276}, Port: ports[1]},
		{ID: "B4", What: "FTP sends passwords in clear", CWE: []int{319, 523}, Port: ports[1], Depends: "B3"},
		{ID: "B5", What: "SMTP without STARTTLS", CWE: []int{319, 523, 200, 204}, Port: ports[2]},
		{ID: "B6", What: "redis without a password", CWE: []int{306, 287, 284, 668, 1188}, Port: ports[3]},
		{ID: "B7", What: "telnet", CWE: []int{319, 523}, Port: ports[4]},
	}
}

// tlsFlaws are the flaws of the TLS server.
func tlsFlaws(port int) []Flaw {
	return []Flaw{
		{ID: "T1", What: "certificate has run out", CWE: []int{298, 324}, Alike: []int{295}, Words: []string{"expir", "valid"}, Port: port},
		{ID: "T2", What: "certificate is for another name", CWE: []int{297}, Alike: []int{295}, Words: []string{"name", "host"}, Port: port},
		{ID: "T3", What: "certificate is self-signed", CWE: []int{296}, Alike: []int{295}, Words: []string{"self", "untrusted", "authority"}, Port: port},
		{ID: "T4", What: "RSA key of 1,024 bits", CWE: []int{326}, Port: port},
		{ID: "T5", What: "TLS 1.0", Alike: []int{327, 326, 757, 310}, Words: []string{"1.0", "tls10"}, Port: port},
		{ID: "T5a", What: "TLS 1.1", Alike: []int{327, 326, 757, 310}, Words: []string{"1.1", "tls11"}, Port: port},
		{ID: "T6", What: "weak cipher suites", CWE: []int{327, 326, 757, 310}, Port: port, Depends: "T5"},
		{ID: "T7", What: "Server names nginx 1.4.6, which has known flaws", Alike: []int{200, 497, 1104, 1395, 937}, Words: []string{"server", "nginx"}, Port: port},
		{ID: "T8", What: "headers that aren't there", CWE: []int{693, 1021, 16, 319, 523, 200, 525, 1173}, Port: port, Depends: "T7"},
		{ID: "T9", What: "certificate that no client can trust", CWE: []int{295, 298, 297, 326}, Port: port, Depends: "T1"},
	}
}
