package tls

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/net/idna"

	"assay.dev/assay/internal/word/fault"
)

// Names of what SelfSigned writes, and how long it may hold.
const (
	authorityFile = "ca.pem"
	serverFile    = "server.pem"
	serverKeyFile = "server.key"

	// MaxSelfSignedDays is the longest life of a private certificate that all platforms take.
	MaxSelfSignedDays = 825
	maxHosts          = 20
)

// SelfSignedOrder says what a private certificate is for.
type SelfSignedOrder struct {
	Folder  string   // made with mode 0700
	Hosts   []string // names and addresses under which the server is reached, 1–20
	Days    int      // 1–MaxSelfSignedDays
	Replace bool     // a pair that lies there already goes
}

// SelfSigned are the files of a private authority and its one certificate.
type SelfSigned struct {
	CA       string    `json:"ca"`          // what clients trust
	Cert     string    `json:"certificate"` // the server's
	Key      string    `json:"key"`
	Hosts    []string  `json:"hosts"`
	NotAfter time.Time `json:"notAfter"`
	SHA256   string    `json:"caSha256"` // of the authority's certificate, to compare by eye
}

// MakeSelfSigned makes a private authority and one server certificate, and writes both but for the authority's private
// key, which is thrown away: whoever trusts the authority trusts this one certificate and no later one. The authority is
// also constrained to the hosts. Wrong hosts are an Invalid fault, files that lie there already a Conflict.
func MakeSelfSigned(d Deps, o SelfSignedOrder) (SelfSigned, error) {
	if o.Days < 1 || o.Days > MaxSelfSignedDays {
		return SelfSigned{}, fault.Wrong("days", "must lie within 1–825")
	}
	hosts, err := parseHosts(o.Hosts)
	if err != nil {
		return SelfSigned{}, err
	}
	made := SelfSigned{
		CA: filepath.Join(o.Folder, authorityFile), Cert: filepath.Join(o.Folder, serverFile), Key: filepath.Join(o.Folder, serverKeyFile),
		Hosts: o.Hosts, NotAfter: d.Now().Add(time.Duration(o.Days) * day).UTC().Truncate(time.Second),
	}
	if _, err := os.Stat(made.Key); err == nil && !o.Replace {
		return SelfSigned{}, fault.New(fault.Conflict, fault.CodeConflict,
			"there is a certificate already; --replace makes a new one, and clients must then trust its new authority")
	}
	f, err := openFolder(o.Folder)
	if err != nil {
		return SelfSigned{}, err
	}
	issued, err := issue(d, hosts, made.NotAfter)
	if err != nil {
		return SelfSigned{}, err
	}
	sum := sha256.Sum256(issued.authority)
	made.SHA256 = hex.EncodeToString(sum[:])
	// The key first: a certificate without its key would be found broken, a key without its certificate is only replaced.
	err = f.write(serverKeyFile, issued.key)
	if err == nil {
		err = f.write(serverFile, encode("CERTIFICATE", issued.leaf))
	}
	if err == nil {
		err = f.write(authorityFile, encode("CERTIFICATE", issued.authority))
	}
	return made, err
}

// hosts are names and addresses apart.
type hosts struct {
	names []string
	ips   []net.IP
}

func parseHosts(list []string) (hosts, error) {
	var h hosts
	if len(list) == 0 || len(list) > maxHosts {
		return h, fault.Wrong("host", "name 1–20 hosts")
	}
	for _, host := range list {
		if ip := net.ParseIP(host); ip != nil {
			h.ips = append(h.ips, ip)
			continue
		}
		name, err := idna.Lookup.ToASCII(strings.TrimSuffix(host, "."))
		if err != nil || name == "" || len(name) > 253 || strings.ContainsAny(name, "*_: /") {
			return h, fault.Wrong("host", "must be host names or addresses, without scheme and port").Because(err)
		}
		h.names = append(h.names, name)
	}
	return h, nil
}

// issued is a pair on its way to disk; key is in PEM.
type issued struct{ authority, leaf, key []byte }

func issue(d Deps, h hosts, until time.Time) (issued, error) {
	from := d.Now().Add(-time.Hour).UTC() // for clients whose clock is a little behind
	authority := &x509.Certificate{
		Subject: pkix.Name{CommonName: "Assay private authority " + from.Format("2006-01-02 15:04")}, NotBefore: from, NotAfter: until,
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true, KeyUsage: x509.KeyUsageCertSign,
		PermittedDNSDomainsCritical: true, PermittedDNSDomains: h.names,
	}
	for _, ip := range h.ips {
		bits := 8 * len(shortest(ip))
		authority.PermittedIPRanges = append(authority.PermittedIPRanges, &net.IPNet{IP: shortest(ip), Mask: net.CIDRMask(bits, bits)})
	}
	// A kind of name that isn't mentioned would be free to all: forbid it whole.
	if len(h.names) == 0 {
		authority.ExcludedDNSDomains = []string{""}
	}
	if len(h.ips) == 0 {
		authority.ExcludedIPRanges = []*net.IPNet{{IP: net.IPv4zero.To4(), Mask: net.CIDRMask(0, 32)}, {IP: net.IPv6zero, Mask: net.CIDRMask(0, 128)}}
	}
	authorityKey, err := newKey(d.Rand)
	if err != nil {
		return issued{}, err
	}
	var out issued
	if out.authority, err = x509.CreateCertificate(d.Rand, authority, authority, &authorityKey.PublicKey, authorityKey); err != nil {
		return issued{}, notIssued(err)
	}
	parent, err := x509.ParseCertificate(out.authority)
	if err != nil {
		return issued{}, notIssued(err)
	}
	key, err := newKey(d.Rand)
	if err != nil {
		return issued{}, err
	}
	leaf := &x509.Certificate{
		Subject: pkix.Name{CommonName: "Assay server"}, NotBefore: from, NotAfter: until, DNSNames: h.names, IPAddresses: h.ips,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, BasicConstraintsValid: true,
	}
	if out.leaf, err = x509.CreateCertificate(d.Rand, leaf, parent, &key.PublicKey, authorityKey); err != nil {
		return issued{}, notIssued(err)
	}
	out.key, err = encodeKey(key)
	return out, err
}

func shortest(ip net.IP) net.IP {
	if v4 := ip.To4(); v4 != nil {
		return v4
	}
	return ip
}

// temporary makes a stand-in for the time before the first certificate: a client that verifies refuses it, and one that
// only asks how the server is gets an answer.
func temporary(d Deps, names []string) (*tls.Certificate, error) {
	key, err := newKey(d.Rand)
	if err != nil {
		return nil, err
	}
	leaf := &x509.Certificate{
		Subject: pkix.Name{CommonName: "Assay waits for its certificate"}, DNSNames: names,
		NotBefore: d.Now().Add(-time.Hour), NotAfter: d.Now().Add(day),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(d.Rand, leaf, leaf, &key.PublicKey, key)
	if err != nil {
		return nil, notIssued(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, notIssued(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: parsed}, nil
}

func newKey(rand io.Reader) (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand)
	if err != nil {
		return nil, notIssued(err)
	}
	return key, nil
}

func encodeKey(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, notIssued(err)
	}
	defer clear(der)
	return encode("PRIVATE KEY", der), nil
}

func encode(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func notIssued(err error) error {
	return fault.New(fault.Internal, fault.CodeInternal, "a certificate could not be made").Because(err)
}
