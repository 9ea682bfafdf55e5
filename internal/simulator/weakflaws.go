package simulator

// Flaw is one planted weakness. Ids are stable and independent of any engine's rules, so that a test can compare what
// an engine found with what there is.
type Flaw struct {
	ID      string
	Service string // where: a service name of the weak target
	Port    int
	Path    string // of web flaws
	Title   string
}

// Flaws lists everything that is planted, each once.
func (w *WeakTarget) Flaws() []Flaw {
	out := weakFlaws()
	for i := range out {
		out[i].Port = int(w.addrs[out[i].Service].Port())
	}
	return out
}

func weakFlaws() []Flaw {
	return []Flaw{
		{ID: "csp-missing", Service: WeakHTTP, Path: "/", Title: "no Content-Security-Policy"},
		{ID: "nosniff-missing", Service: WeakHTTP, Path: "/", Title: "no X-Content-Type-Options"},
		{ID: "framing-allowed", Service: WeakHTTP, Path: "/", Title: "may be framed by any site"},
		{ID: "referrer-policy-missing", Service: WeakHTTP, Path: "/", Title: "no Referrer-Policy"},
		{ID: "banner-server", Service: WeakHTTP, Path: "/", Title: "Server names Apache 2.4.49"},
		{ID: "banner-powered-by", Service: WeakHTTP, Path: "/", Title: "X-Powered-By names PHP 5.4.16"},
		{ID: "cookie-not-secure", Service: WeakHTTP, Path: "/", Title: "cookie session without Secure"},
		{ID: "cookie-not-httponly", Service: WeakHTTP, Path: "/", Title: "cookie session without HttpOnly"},
		{ID: "cookie-no-samesite", Service: WeakHTTP, Path: "/", Title: "cookie session without SameSite"},
		{ID: "no-https", Service: WeakHTTP, Path: "/", Title: "plain HTTP without a redirect to HTTPS"},
		{ID: "trace-enabled", Service: WeakHTTP, Path: "/", Title: "TRACE echoes requests"},
		{ID: "cors-reflects", Service: WeakHTTP, Path: "/", Title: "any origin may read answers with credentials"},
		{ID: "listing", Service: WeakHTTP, Path: "/files/", Title: "directory listing"},
		{ID: "git-exposed", Service: WeakHTTP, Path: "/.git/config", Title: "git metadata"},
		{ID: "env-exposed", Service: WeakHTTP, Path: "/.env", Title: "configuration with (fake) credentials"},
		{ID: "reflected-query", Service: WeakHTTP, Path: "/search", Title: "parameter q is reflected unescaped"},
		{ID: "hsts-missing", Service: WeakHTTPS, Path: "/", Title: "no Strict-Transport-Security"},
		{ID: "banner-portal", Service: WeakHTTPS, Path: "/", Title: "Server names nginx 1.4.6"},
		{ID: "certificate-expired", Service: WeakHTTPS, Title: "certificate ran out in 2016"},
		{ID: "certificate-name", Service: WeakHTTPS, Title: "certificate is for another name"},
		{ID: "certificate-self-signed", Service: WeakHTTPS, Title: "certificate is self-signed"},
		{ID: "certificate-weak-key", Service: WeakHTTPS, Title: "certificate has an RSA 1024 key"},
		{ID: "certificate-weak-signature", Service: WeakHTTPS, Title: "certificate is signed with SHA-1"},
		{ID: "tls10", Service: WeakHTTPS, Title: "TLS 1.0 is accepted"},
		{ID: "tls11", Service: WeakHTTPS, Title: "TLS 1.1 is accepted"},
		{ID: "rc4", Service: WeakHTTPS, Title: "RC4 cipher suites are accepted"},
		{ID: "3des", Service: WeakHTTPS, Title: "3DES cipher suites are accepted"},
		{ID: "no-forward-secrecy", Service: WeakHTTPS, Title: "RSA key exchange is accepted"},
		{ID: "no-pq", Service: WeakHTTPS, Title: "no post-quantum key exchange"},
		{ID: "redis-open", Service: WeakRedis, Title: "Redis without a password"},
		{ID: "banner-ssh", Service: WeakSSH, Title: "OpenSSH 7.2p2 names itself"},
		{ID: "banner-ftp", Service: WeakFTP, Title: "vsFTPd 2.3.4 names itself"},
		{ID: "ftp-cleartext", Service: WeakFTP, Title: "FTP without TLS"},
	}
}
