package banner

import (
	"encoding/binary"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRecogniseNamesServicesByTheirWords(t *testing.T) {
	mysql := "\x26\x00\x00\x00\x0a8.0.36\x00\x08\x00\x00\x00abcdefgh\x00\xff\xf7\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
	for _, tc := range []struct{ name, said, service, product, version string }{
		{"openssh", "SSH-2.0-OpenSSH_7.2p2 Ubuntu-4ubuntu2.8\r\n", "ssh", "OpenSSH", "7.2p2"},
		{"dropbear", "SSH-2.0-dropbear_2022.83\r\n", "ssh", "dropbear", "2022.83"},
		{"vsftpd", "220 (vsFTPd 2.3.4)\r\n", "ftp", "vsFTPd", "2.3.4"},
		{"proftpd", "220 ProFTPD 1.3.5 Server ready\r\n", "ftp", "ProFTPD", "1.3.5"},
		{"postfix", "220 mail.example.test ESMTP Postfix (Debian/GNU)\r\n", "smtp", "", ""},
		{"exim", "220 mail.example.test ESMTP Exim 4.92 Mon, 01 Jan\r\n", "smtp", "Exim", "4.92"},
		{"pop3", "+OK Dovecot ready.\r\n", "pop3", "", ""},
		{"imap", "* OK [CAPABILITY IMAP4rev1] ready\r\n", "imap", "", ""},
		{"vnc", "RFB 003.008\n", "vnc", "", "003.008"},
		{"telnet by option", "\xff\xfd\x18\xff\xfd\x20\r\nrouter login: ", "telnet", "", ""},
		{"telnet by prompt", "\r\nrouter login: ", "telnet", "", ""},
		{"mysql", mysql, "mysql", "MySQL", "8.0.36"},
		{"redis", "-ERR unknown command 'GET'\r\n", "redis", "", ""},
		{"memcached", "ERROR\r\n", "memcached", "", ""},
		{"tls alert", "\x15\x03\x01\x00\x02\x02\x28", "tls", "", ""},
		{"http", "HTTP/1.1 200 OK\r\nServer: Apache/2.4.49 (Unix)\r\n\r\n", "http", "Apache", "2.4.49"},
		{"http to a TLS port", "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n", "tls", "", ""},
		{"http without a version", "HTTP/1.1 200 OK\r\nServer: nginx\r\n\r\n", "http", "", ""},
		{"unknown", "hello\r\n", "", "", ""},
		{"nothing", "", "", "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := Recognise([]byte(tc.said))
			if got.Name != tc.service || got.Product != tc.product || got.Version != tc.version {
				t.Errorf("recognise = %q %q %q, want %q %q %q", got.Name, got.Product, got.Version, tc.service, tc.product, tc.version)
			}
		})
	}
}

// kexinit is a server's first words: banner and key exchange packet.
func kexinit(lists ...string) []byte {
	body := append([]byte{20}, make([]byte, 16)...)
	for i := range 10 {
		list := ""
		if i < len(lists) {
			list = lists[i]
		}
		body = binary.BigEndian.AppendUint32(body, uint32(len(list)))
		body = append(body, list...)
	}
	body = append(body, 0, 0, 0, 0, 0)
	padding := 8
	packet := binary.BigEndian.AppendUint32(nil, uint32(1+len(body)+padding))
	packet = append(append(append(packet, byte(padding)), body...), make([]byte, padding)...)
	return append([]byte("SSH-2.0-OpenSSH_9.9\r\n"), packet...)
}

func TestKeyExchangeOffersAreRead(t *testing.T) {
	said := kexinit("mlkem768x25519-sha256,curve25519-sha256,diffie-hellman-group14-sha1", "ssh-ed25519,ssh-rsa", "x", "aes256-gcm@openssh.com,aes128-cbc", "x", "hmac-md5,hmac-sha2-256")
	kex, ok := ReadKEX(said)
	if !ok {
		t.Fatal("the packet isn't read")
	}
	if diff := cmp.Diff([]string{"mlkem768x25519-sha256"}, kex.Hybrid()); diff != "" {
		t.Errorf("hybrid (-want +got):\n%s", diff)
	}
	want := map[string][]string{"kex": {"diffie-hellman-group14-sha1"}, "host-key": {"ssh-rsa"}, "cipher": {"aes128-cbc"}, "mac": {"hmac-md5"}}
	if diff := cmp.Diff(want, kex.Weak()); diff != "" {
		t.Errorf("weak (-want +got):\n%s", diff)
	}
	for i := range said {
		if _, ok := ReadKEX(said[:i]); ok {
			t.Fatalf("the packet is read from its first %d bytes", i)
		}
	}
}

func FuzzKEX(f *testing.F) {
	f.Add(kexinit("a,b", "c"))
	f.Add([]byte("hello\nSSH-2.0-x\r\n\x00\x00\x00\x16\x04\x14"))
	f.Fuzz(func(t *testing.T, said []byte) {
		kex, _ := ReadKEX(said)
		if len(kex.Exchange) > maxNames || len(kex.MACs) > maxNames {
			t.Error("out of bounds")
		}
		kex.Weak()
		if s := Recognise(said); len(s.Banner) > MaxText {
			t.Errorf("out of bounds: %+v", s)
		}
	})
}
