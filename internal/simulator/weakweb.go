package simulator

import (
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"html"
	"io"
	"math/big"
	"net/http"
	"strings"
	"time"

	"assay.dev/assay/internal/word/fault"
)

// Banners and names that the weak web servers show.
const (
	weakBanner = "Apache/2.4.49 (Unix)"
	weakPHP    = "PHP/5.4.16"
	weakNginx  = "nginx/1.4.6 (Ubuntu)"
	weakName   = "old.example.test"
)

// weakFiles are the web application's exposed files. The values say themselves that they are fake.
func weakFiles() map[string]string {
	return map[string]string{
		"/.git/HEAD": "ref: refs/heads/main\n",
		"/.git/config": "[core]\n\trepositoryformatversion = 0\n\tbare = false\n" +
			"[remote \"origin\"]\n\turl = https://git.example.test/shop.git\n",
		"/.env":             "APP_NAME=shop\nAPP_KEY=fake-app-key-000000\nDB_PASSWORD=fake-db-password\nMAIL_HOST=mail.example.test\n",
		"/files/report.txt": "quarterly report\n",
		"/robots.txt":       "User-agent: *\nDisallow: /files/\n",
	}
}

// weakApp is the shop: no security headers, old banners, a bare cookie, exposed files, a listing, TRACE, CORS that
// reflects, and a reflected parameter.
func weakApp() http.Handler {
	files := weakFiles()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Server", weakBanner)
		h.Set("X-Powered-By", weakPHP)
		if origin := r.Header.Get("Origin"); origin != "" {
			h.Set("Access-Control-Allow-Origin", origin)
			h.Set("Access-Control-Allow-Credentials", "true")
		}
		if r.Method == http.MethodTrace {
			h.Set("Content-Type", "message/http")
			_, _ = fmt.Fprintf(w, "%s %s HTTP/1.1\r\n", r.Method, r.URL.RequestURI()) //nolint:gosec // the planted echo
			_ = r.Header.Write(w)
			return
		}
		h.Set("Set-Cookie", "session=fake-session-0001; Path=/")
		if body, ok := files[r.URL.Path]; ok {
			h.Set("Content-Type", "text/plain")
			_, _ = io.WriteString(w, body)
			return
		}
		h.Set("Content-Type", "text/html; charset=utf-8")
		switch r.URL.Path {
		case "/":
			weakPage(w, "Shop", `<a href="/search?q=lamp">search</a> <a href="/files/">files</a>`)
		case "/search":
			weakPage(w, "Search", "<p>results for "+r.URL.Query().Get("q")+"</p>") // the planted reflection
		case "/files/":
			weakPage(w, "Index of /files", "<pre><a href=\"../\">Parent Directory</a>\n<a href=\"report.txt\">report.txt</a></pre>")
		default:
			w.WriteHeader(http.StatusNotFound)
			weakPage(w, "Not found", "<p>no such page</p>")
		}
	})
}

// weakPortal is what the HTTPS listener serves; its flaws are in the transport.
func weakPortal() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Server", weakNginx)
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		if r.URL.Path != "/" {
			w.WriteHeader(http.StatusNotFound)
		}
		weakPage(w, "Old portal", "")
	})
}

func weakPage(w io.Writer, title, body string) {
	title = html.EscapeString(title)
	_, _ = io.WriteString(w, strings.Join([]string{
		"<!doctype html><html><head><title>", title, "</title></head><body><h1>",
		title, "</h1>", body, "</body></html>\n",
	}, ""))
}

// weakTLS makes a certificate that is expired, self-signed, for another name, with RSA 1024 and SHA-1, and a
// configuration that takes TLS 1.0 to 1.3, RC4 and 3DES, and no post-quantum key exchange. RSA 1024 is the least that
// Go's crypto/rsa makes (shorter keys are refused since Go 1.24).
func weakTLS(rand io.Reader) (*tls.Config, error) {
	key, err := rsa.GenerateKey(rand, 1024) //nolint:gosec // the weak key is the point: a flaw for scanners to find
	if err != nil {
		return nil, fault.New(fault.Internal, fault.CodeInternal, "the weak target's key can't be made").Because(err)
	}
	t := &x509.Certificate{
		SerialNumber:       big.NewInt(1),
		Subject:            pkix.Name{CommonName: weakName, Organization: []string{"Example Test"}},
		NotBefore:          time.Date(2015, 1, 1, 0, 0, 0, 0, time.UTC),
		NotAfter:           time.Date(2016, 1, 1, 0, 0, 0, 0, time.UTC),
		DNSNames:           []string{weakName},
		KeyUsage:           x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
		ExtKeyUsage:        []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		SignatureAlgorithm: x509.SHA1WithRSA,
	}
	der, err := x509.CreateCertificate(rand, t, t, &key.PublicKey, key)
	if err != nil {
		return nil, fault.New(fault.Internal, fault.CodeInternal, "the weak target's certificate can't be made").Because(err)
	}
	cfg := &tls.Config{ //nolint:gosec // the old versions and suites are the point
		Certificates:     []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
		MinVersion:       tls.VersionTLS10,
		CurvePreferences: []tls.CurveID{tls.X25519, tls.CurveP256},
		NextProtos:       []string{"http/1.1"},
	}
	for _, s := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
		cfg.CipherSuites = append(cfg.CipherSuites, s.ID)
	}
	return cfg, nil
}
