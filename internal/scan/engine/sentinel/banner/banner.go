// Package banner names services by what they say: pure, bounded, for any bytes. It asks nobody; whoever connects decides
// what to ask. Start with Recognise; kex.go reads the key exchange that SSH offers.
package banner

import (
	"bytes"
	"strconv"
	"strings"
)

// MaxText bounds each text that is kept of a service, in bytes.
const MaxText = 512

// Service is what speaks at a port, as far as its own words tell.
type Service struct {
	Name    string `json:"name,omitempty"` // ssh, http, redis …; empty = unknown
	Product string `json:"product,omitempty"`
	Version string `json:"version,omitempty"`
	Banner  string `json:"banner,omitempty"` // Printable, bounded
	TLS     bool   `json:"tls,omitempty"`    // spoken within TLS
	NoAuth  bool   `json:"noAuth,omitempty"` // answered data without a login
	NoTLS   bool   `json:"noTls,omitempty"`  // the service says that it has no TLS to offer
}

// Recognise names a service by what it said, unasked or to an HTTP request. It is pure and takes any bytes.
func Recognise(said []byte) Service {
	if len(said) == 0 {
		return Service{}
	}
	if s, ok := recogniseBinary(said); ok {
		return s
	}
	line, _, _ := strings.Cut(string(said), "\n")
	line = Printable(line, MaxText)
	s := Service{Name: nameOf(line, string(said)), Banner: line}
	switch s.Name {
	case "ssh":
		// RFC 4253 section 4.2: SSH-protoversion-softwareversion SP comments
		if parts := strings.SplitN(line, "-", 3); len(parts) == 3 {
			software, _, _ := strings.Cut(parts[2], " ")
			s.Product, s.Version, _ = strings.Cut(software, "_")
		}
	case "ftp", "smtp", "pop3", "imap":
		s.Product, s.Version = Product(line)
	case "vnc":
		s.Version = strings.TrimSpace(strings.TrimPrefix(line, "RFB "))
	case "http":
		s.Product, s.Version = Product(serverHeader(string(said)))
	}
	return s
}

// nameOf goes by the first words, which each protocol's specification fixes.
func nameOf(line, all string) string {
	upper := strings.ToUpper(line)
	switch {
	case strings.HasPrefix(line, "SSH-"):
		return "ssh"
	case strings.HasPrefix(line, "HTTP/"):
		if strings.Contains(line, " 400") && (strings.Contains(all, "HTTPS") || strings.Contains(all, "SSL-enabled")) {
			return "tls"
		}
		return "http"
	case strings.HasPrefix(line, "220") && strings.Contains(upper, "SMTP"):
		return "smtp"
	case strings.HasPrefix(line, "220") && strings.Contains(upper, "FTP"):
		return "ftp"
	case strings.HasPrefix(line, "+OK"):
		return "pop3"
	case strings.HasPrefix(line, "* OK"), strings.HasPrefix(line, "* PREAUTH"):
		return "imap"
	case strings.HasPrefix(line, "RFB 0"):
		return "vnc"
	case strings.HasPrefix(line, "-ERR"), strings.HasPrefix(line, "-NOAUTH"), strings.HasPrefix(line, "-DENIED"),
		strings.HasPrefix(line, "+PONG"):
		return "redis"
	case strings.HasPrefix(line, "ERROR") && len(line) < 8, strings.HasPrefix(line, "VERSION "):
		return "memcached"
	case strings.Contains(strings.ToLower(all), "login:"):
		return "telnet"
	}
	return ""
}

// recogniseBinary reads greetings that are not text.
func recogniseBinary(said []byte) (Service, bool) {
	switch {
	case len(said) >= 3 && (said[0] == 0x15 || said[0] == 0x16) && said[1] == 3:
		return Service{Name: "tls"}, true // an alert or handshake record, RFC 8446 section 5.1
	case len(said) >= 2 && said[0] == 0xff && said[1] >= 0xfb && said[1] <= 0xfe:
		return Service{Name: "telnet", Banner: Printable(string(said), MaxText)}, true // option negotiation, RFC 854
	}
	return recogniseMySQL(said)
}

// recogniseMySQL reads the initial handshake packet, protocol 10: length, sequence 0, version text, thread id, salt,
// capabilities. A server that refuses this client sends an error packet, which names it too.
func recogniseMySQL(said []byte) (Service, bool) {
	if len(said) < 8 || said[3] != 0 {
		return Service{}, false
	}
	length := int(said[0]) | int(said[1])<<8 | int(said[2])<<16
	body := said[4:]
	if length < 4 || length > 4096 || length < len(body) {
		return Service{}, false
	}
	if body[0] == 0xff && bytes.Contains(body, []byte("is not allowed to connect")) {
		return Service{Name: "mysql", Banner: Printable(string(body[3:]), MaxText)}, true
	}
	end := bytes.IndexByte(body, 0)
	if body[0] != 10 || end < 2 {
		return Service{}, false
	}
	s := Service{Name: "mysql", Product: "MySQL", Version: Printable(string(body[1:end]), 64)}
	if strings.Contains(s.Version, "MariaDB") {
		s.Product = "MariaDB"
	}
	s.Banner = s.Version
	// 4 bytes thread id, 8 bytes salt, 1 filler, then the lower capabilities, whose bit 11 is CLIENT_SSL
	if at := end + 1 + 4 + 8 + 1; at+2 <= len(body) {
		s.NoTLS = (int(body[at])|int(body[at+1])<<8)&0x0800 == 0
	}
	return s, true
}

// RedisInfo reads the answer to PING and INFO.
func RedisInfo(said []byte) Service {
	s := Service{Name: "redis", Product: "Redis"}
	text := string(said)
	s.NoAuth = strings.HasPrefix(text, "+PONG")
	s.Banner, _, _ = strings.Cut(Printable(text, MaxText), "\n")
	if _, rest, ok := strings.Cut(text, "redis_version:"); ok {
		v, _, _ := strings.Cut(rest, "\n")
		s.Version = Printable(strings.TrimSpace(v), 32)
		s.Banner = "redis_version:" + s.Version
	}
	return s
}

// MemcachedVersion reads the answer to "version".
func MemcachedVersion(said []byte) Service {
	s := Service{Name: "memcached", Product: "memcached"}
	line, _, _ := strings.Cut(string(said), "\n")
	if v, ok := strings.CutPrefix(line, "VERSION "); ok {
		s.NoAuth, s.Version = true, Printable(strings.TrimSpace(v), 32)
	}
	s.Banner = Printable(line, MaxText)
	return s
}

// Product finds the first "Name/1.2", "Name 1.2" or "Name_1.2" in a banner, as most servers write theirs.
func Product(banner string) (name, version string) {
	fields := strings.FieldsFunc(banner, func(r rune) bool { return strings.ContainsRune(" \t()[]<>/,;_", r) })
	for i, f := range fields {
		if i > 0 && VersionLike(f) && Letter(fields[i-1][0]) {
			return Clip(fields[i-1], 64), Clip(f, 32)
		}
	}
	return "", ""
}

// VersionLike reports whether a word is a version: a digit first and a dot inside.
func VersionLike(word string) bool {
	if len(word) > 1 && (word[0] == 'v' || word[0] == 'V') {
		word = word[1:]
	}
	return len(word) >= 3 && word[0] >= '0' && word[0] <= '9' && strings.Contains(word, ".")
}

// Letter reports whether c is a letter of ASCII.
func Letter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

// serverHeader returns the Server header of a raw HTTP answer.
func serverHeader(answer string) string {
	head, _, _ := strings.Cut(answer, "\r\n\r\n")
	for line := range strings.SplitSeq(head, "\n") {
		name, value, ok := strings.Cut(line, ":")
		if ok && strings.EqualFold(strings.TrimSpace(name), "server") {
			return Printable(strings.TrimSpace(value), MaxText)
		}
	}
	return ""
}

// Printable returns s without control characters and bytes that are not UTF-8, cut to limit bytes.
func Printable(s string, limit int) string {
	var b strings.Builder
	for _, r := range s {
		if b.Len() >= limit {
			break
		}
		if r == '\uFFFD' || r == '\r' || r != '\n' && !strconv.IsPrint(r) {
			continue
		}
		b.WriteRune(r)
	}
	return Clip(strings.TrimSpace(b.String()), limit)
}

// Clip cuts s to limit bytes on a character's boundary.
func Clip(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	for limit > 0 && s[limit]&0xc0 == 0x80 {
		limit--
	}
	return s[:limit]
}
