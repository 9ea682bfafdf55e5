package asset_test

import (
	"errors"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"unicode"

	"pgregory.net/rapid"

	"assay.dev/assay/internal/asset"
	"assay.dev/assay/internal/word/fault"
)

func TestParseTargetReadsEveryType(t *testing.T) {
	t.Parallel()
	digest := "sha256:" + strings.Repeat("0a", 32)
	for _, c := range []struct {
		text string
		typ  asset.TargetType
		want string
		is   asset.TargetType
	}{
		{"192.0.2.7", "", "192.0.2.7", asset.TypeIP},
		{"::ffff:192.0.2.7", "", "192.0.2.7", asset.TypeIP},
		{"2001:DB8::7", "", "2001:db8::7", asset.TypeIP},
		{"192.0.2.77/28", "", "192.0.2.64/28", asset.TypeNetwork},
		{"2001:db8::ffff/120", "", "2001:db8::ff00/120", asset.TypeNetwork},
		{"WWW.Example.ORG", "", "www.example.org", asset.TypeHost},
		{"www.example.org.", "", "www.example.org", asset.TypeHost},
		{"example.org。", "", "example.org", asset.TypeHost},
		{"bücher.example", "", "xn--bcher-kva.example", asset.TypeHost},
		{"localhost", "", "localhost", asset.TypeHost},
		{"192.0.2.7", asset.TypeHost, "192.0.2.7", asset.TypeHost},
		{"example.org", asset.TypeDomain, "example.org", asset.TypeDomain},
		{"http://Example.org", "", "http://example.org/", asset.TypeURL},
		{"HTTPS://EXAMPLE.ORG:443/a?b=c#d", "", "https://example.org/a?b=c", asset.TypeURL},
		{"http://example.org:0080/", "", "http://example.org/", asset.TypeURL},
		{"http://example.org:8080", "", "http://example.org:8080/", asset.TypeURL},
		{"http://[::1]:80/x", "", "http://[::1]/x", asset.TypeURL},
		{"http://[::ffff:127.0.0.1]/", "", "http://127.0.0.1/", asset.TypeURL},
		{"https://example.org/a/../b/./c", "", "https://example.org/b/c", asset.TypeURL},
		{"https://example.org/a%2Fb", "", "https://example.org/a%2Fb", asset.TypeURL},
		{"nginx", asset.TypeImage, "nginx", asset.TypeImage},
		{"nginx:1.25", asset.TypeImage, "nginx:1.25", asset.TypeImage},
		{"Registry.example.org:5000/team/app:v1.2_b", asset.TypeImage, "registry.example.org:5000/team/app:v1.2_b", asset.TypeImage},
		{"registry.example.org/a__b/c-d.e@" + digest, asset.TypeImage, "registry.example.org/a__b/c-d.e@" + digest, asset.TypeImage},
		{"app:1@" + digest, asset.TypeImage, "app:1@" + digest, asset.TypeImage},
		{"[::1]:5000/app", asset.TypeImage, "[::1]:5000/app", asset.TypeImage},
		{"https://git.example.org/team/app.git/", asset.TypeRepository, "https://git.example.org/team/app.git", asset.TypeRepository},
		{"/srv/code/app", asset.TypeFilesystem, "/srv/code/app", asset.TypeFilesystem},
	} {
		got, err := asset.ParseTarget(c.text, c.typ)
		if err != nil {
			t.Errorf("ParseTarget(%q, %q): %v", c.text, c.typ, err)
			continue
		}
		if got.String() != c.want || got.Type() != c.is {
			t.Errorf("ParseTarget(%q, %q) = %q (%s), want %q (%s)", c.text, c.typ, got, got.Type(), c.want, c.is)
		}
	}
}

// hostile lists spellings that reach another place than they seem to, or that an engine would read as something else.
func hostile() []struct {
	text string
	typ  asset.TargetType
} {
	type c = struct {
		text string
		typ  asset.TargetType
	}
	digest := "sha256:" + strings.Repeat("0", 64)
	return []c{
		// Addresses in notations that inet_aton reads and the scope would not.
		{"127.1", ""},
		{"127.0.1", ""},
		{"2130706433", ""},
		{"0x7f000001", ""},
		{"0x7f.0.0.1", ""},
		{"0x7f.1", ""},
		{"017700000001", ""},
		{"0177.0.0.1", ""},
		{"127.0.0.01", ""},
		{"127.0.0.1.", ""},
		{"127.0.0.256", ""},
		{"1.2.3.4.5", ""},
		{"00000127.0.0.1", ""},
		{"127.0.0.0x1", ""},
		{"0", ""},
		{"0x", ""},
		{"08.8.8.8", ""},
		{"１２７.0.0.1", ""},
		{"①②⑦.⓪.⓪.①", ""},
		{"127。0。0。1", ""},
		{"127．0．0．1", ""},
		{"१२७.0.0.1", asset.TypeIP},
		{"http://2130706433/", ""},
		{"http://0x7f000001/", ""},
		{"http://127.1/", ""},
		{"http://0177.0.0.1/", ""},
		{"http://127.0.0.1./", ""},
		{"http://127。0。0。1/", ""},
		{"http://1.2.3.4.5/", ""},
		{"http://017700000001:80/", ""},
		{"1.2.3.4-9", ""},
		{"1.2.3.*", ""},
		{"1.2.3.1-254", ""},
		{"1.2.3.4,5.6.7.8", ""},
		{"192.0.2.7:80", ""},
		// IPv6 with zones, brackets and cut forms.
		{"fe80::1%eth0", ""},
		{"fe80::1%25eth0", ""},
		{"[::1]", ""},
		{"::1]", ""},
		{":::1", ""},
		{"::1::", ""},
		{"1::2::3", ""},
		{"http://[fe80::1%25eth0]/", ""},
		{"http://[::1", ""},
		{"http://::1/", ""},
		{"http://[::1]x/", ""},
		{"http://[::ffff:127.0.0.1%25lo]/", ""},
		{"::ffff:0:0/96", ""},
		{"::ffff:10.0.0.0/120", ""},
		{"fe80::%1/120", ""},
		// Networks that are too large or not in canonical notation.
		{"0.0.0.0/0", ""},
		{"10.0.0.0/8", ""},
		{"10.0.0.0/19", ""},
		{"2001:db8::/64", ""},
		{"::/0", ""},
		{"2001:db8::/115", ""},
		{"10.0.0.0/33", ""},
		{"10.0.0.0/-1", ""},
		{"10.0.0.0/024", ""},
		{"10.0.0.0/255.255.255.0", ""},
		{"10.0.0/24", ""},
		{"10.0.0.0/", ""},
		{"/24", ""},
		{"10.0.0.0/24/24", ""},
		// Options, control characters, white space, backslashes, invisible characters.
		{"-oN/tmp/x", ""},
		{"--script=http-fetch", ""},
		{"-iL", asset.TypeImage},
		{"-", ""},
		{"", ""},
		{" ", ""},
		{"example.org -oN x", ""},
		{"example.org\t", ""},
		{"example.org\n-p1", ""},
		{"example.org\r", ""},
		{"example\x00.org", ""},
		{"example.org\x7f", ""},
		{"example\u0085.org", ""},
		{"example.org\u2028", ""},
		{"exam\u200bple.org", ""},
		{"\ufeffexample.org", ""},
		{"\u202eexample.org", ""},
		{"exa\\mple.org", ""},
		{"\xff\xfe", ""},
		{"http://example.org/\x00", ""},
		{"http://exa mple.org/", ""},
		// Names that are none.
		{"exa_mple.org", ""},
		{"-example.org", ""},
		{"example-.org", ""},
		{"a..b", ""},
		{".example.org", ""},
		{".", ""},
		{"..", ""},
		{"*.example.org", ""},
		{"example.org/24", ""},
		{"example.org:80", ""},
		{"user@example.org", ""},
		{"xn--0.example", ""},
		{strings.Repeat("a", 64) + ".org", ""},
		{strings.Repeat("abcdefg.", 32) + "org", ""},
		{"example", asset.TypeDomain},
		{"$(id)", ""},
		{"`id`", ""},
		{"a;b", ""},
		{"a|b", ""},
		{"{{7*7}}", ""},
		{"%65xample.org", ""},
		// URLs with userinfo, other schemes, hidden segments, bad ports.
		{"http://user@example.org/", ""},
		{"http://user:pass@example.org/", ""},
		{"http://@example.org/", ""},
		{"http://a@b@example.org/", ""},
		{"http://127.0.0.1@example.org/", ""},
		{"http://example.org\\@127.0.0.1/", ""},
		{"file:///etc/passwd", ""},
		{"gopher://example.org/", ""},
		{"ftp://example.org/", ""},
		{"javascript://example.org/", ""},
		{"http:example.org", asset.TypeURL},
		{"http:/example.org", asset.TypeURL},
		{"http:///path", ""},
		{"//example.org/", asset.TypeURL},
		{"://example.org", ""},
		{"http://example.org:0/", ""},
		{"http://example.org:65536/", ""},
		{"http://example.org:/", ""},
		{"http://example.org:80:80/", ""},
		{"http://example.org:+80/", ""},
		{"http://example.org:8a/", ""},
		{"http://example.org/%2e%2e/admin", ""},
		{"http://example.org/a/..%2fadmin", ""},
		{"http://example.org/a/%2e./b", ""},
		{"http://example.org/a/..%5cb", ""},
		{"http://example.org/a/..;/b", ""},
		{"http://example.org/a%00b", ""},
		{"http://example.org/a%0d%0aHost:b", ""},
		{"http://exam%00ple.org/", ""},
		{"http://example.org%2f@x/", ""},
		{"http://%/", ""},
		{"http://" + strings.Repeat("a", 2050) + "/", ""},
		// References, repositories and folders.
		{"Nginx", asset.TypeImage},
		{"nginx:", asset.TypeImage},
		{"nginx:-x", asset.TypeImage},
		{"nginx@sha256:00", asset.TypeImage},
		{"nginx@md5:" + strings.Repeat("0", 64), asset.TypeImage},
		{"nginx@" + strings.ToUpper(digest), asset.TypeImage},
		{"a//b", asset.TypeImage},
		{"/a", asset.TypeImage},
		{"a/", asset.TypeImage},
		{"a/../b", asset.TypeImage},
		{"a___b", asset.TypeImage},
		{"a..b", asset.TypeImage},
		{"a-", asset.TypeImage},
		{"a._b", asset.TypeImage},
		{"127.1/a", asset.TypeImage},
		{"0x7f.1:5000/a", asset.TypeImage},
		{"registry.example.org:0/a", asset.TypeImage},
		{"registry.example.org:99999/a", asset.TypeImage},
		{"u:p@registry.example.org/a", asset.TypeImage},
		{"https://example.org/a", asset.TypeImage},
		{"oci-archive:/tmp/x.tar", asset.TypeImage},
		{strings.Repeat("a", 256), asset.TypeImage},
		{"http://git.example.org/a", asset.TypeRepository},
		{"git@git.example.org:a/b", asset.TypeRepository},
		{"https://token@git.example.org/a", asset.TypeRepository},
		{"https://git.example.org/", asset.TypeRepository},
		{"https://git.example.org/a?x=1", asset.TypeRepository},
		{"https://git.example.org/a#main", asset.TypeRepository},
		{"ext::sh -c id", asset.TypeRepository},
		{"file:///srv/code", asset.TypeRepository},
		{"https://git.example.org/a/%2e%2e/b", asset.TypeRepository},
		{"srv/code", asset.TypeFilesystem},
		{"./code", asset.TypeFilesystem},
		{"/srv/../etc", asset.TypeFilesystem},
		{"/srv//code", asset.TypeFilesystem},
		{"/srv/code/", asset.TypeFilesystem},
		{"~/code", asset.TypeFilesystem},
		{"/srv/./code", asset.TypeFilesystem},
		{"C:\\code", asset.TypeFilesystem},
		{"example.org", "hostname"},
		{"example.org", "HOST"},
	}
}

func TestParseTargetRefusesHostileSpellings(t *testing.T) {
	t.Parallel()
	for _, c := range hostile() {
		got, err := asset.ParseTarget(c.text, c.typ)
		if err == nil {
			t.Errorf("ParseTarget(%q, %q) = %q (%s), want a fault", c.text, c.typ, got, got.Type())
			continue
		}
		var f *fault.Error
		if !errors.As(err, &f) || f.Kind != fault.Invalid || len(f.Fields) != 1 {
			t.Errorf("ParseTarget(%q, %q): %v, want one Invalid field", c.text, c.typ, err)
		}
		if len(c.text) > 4 && strings.Contains(err.Error(), c.text) {
			t.Errorf("ParseTarget(%q): the fault repeats the text", c.text)
		}
	}
}

func TestURLTargetsKnowWhereTheyGo(t *testing.T) {
	t.Parallel()
	target, err := asset.ParseTarget("https://www.example.org:8443/a?b", "")
	if err != nil {
		t.Fatal(err)
	}
	if target.Host() != "www.example.org" || target.Port() != 8443 || target.Addr().IsValid() {
		t.Errorf("host %q, port %d, address %v", target.Host(), target.Port(), target.Addr())
	}
	u := target.URL()
	u.Host = "changed"
	if target.URL().Host != "www.example.org:8443" {
		t.Error("a caller could change the target's URL")
	}
	image, err := asset.ParseTarget("nginx:1", asset.TypeImage)
	if err != nil || image.Host() != "docker.io" {
		t.Errorf("an image without registry goes to %q (%v), want docker.io", image.Host(), err)
	}
	image, err = asset.ParseTarget("192.0.2.9:5000/app", asset.TypeImage)
	if err != nil || image.Addr() != netip.MustParseAddr("192.0.2.9") || image.Host() != "" {
		t.Errorf("an image of a registry by address: %v, %q (%v)", image.Addr(), image.Host(), err)
	}
}

func allTypes() []asset.TargetType {
	return []asset.TargetType{
		"", asset.TypeHost, asset.TypeURL, asset.TypeDomain, asset.TypeIP, asset.TypeNetwork, asset.TypeImage,
		asset.TypeRepository, asset.TypeFilesystem,
	}
}

// checkTarget holds what every accepted target must keep.
func checkTarget(t interface{ Errorf(string, ...any) }, text string, typ asset.TargetType) {
	got, err := asset.ParseTarget(text, typ)
	if err != nil {
		return
	}
	canonical := got.String()
	if canonical == "" || canonical[0] == '-' || len(canonical) > 2048 {
		t.Errorf("ParseTarget(%q, %q): canonical text %q", text, typ, canonical)
	}
	if strings.ContainsFunc(canonical, func(r rune) bool { return unicode.IsControl(r) || unicode.IsSpace(r) || r == '\\' }) {
		t.Errorf("ParseTarget(%q, %q): canonical text %q holds control characters or spaces", text, typ, canonical)
	}
	if u := got.URL(); u != nil && (u.User != nil || (u.Scheme != "http" && u.Scheme != "https") || got.Port() < 1) {
		t.Errorf("ParseTarget(%q, %q): URL %v", text, typ, u)
	}
	if got.Host() != "" && got.Addr().IsValid() {
		t.Errorf("ParseTarget(%q, %q): both a name and an address", text, typ)
	}
	if _, err := netip.ParseAddr(got.Host()); err == nil {
		t.Errorf("ParseTarget(%q, %q): name %q is an address", text, typ, got.Host())
	}
	again, err := asset.ParseTarget(canonical, got.Type())
	if err != nil {
		t.Errorf("ParseTarget(%q, %q): canonical text %q isn't read back: %v", text, typ, canonical, err)
		return
	}
	if !reflect.DeepEqual(again, got) {
		t.Errorf("ParseTarget(%q, %q): canonical text %q reads back as %+v, want %+v", text, typ, canonical, again, got)
	}
}

func TestAcceptedTargetsReadBackTheSame(t *testing.T) {
	t.Parallel()
	host := rapid.StringMatching(`[a-zA-Z0-9äß。.-]{1,20}`)
	path := rapid.StringMatching(`(/[a-z0-9.%;@:-]{0,6}){0,4}`)
	text := rapid.OneOf(
		host,
		rapid.StringMatching(`[0-9.]{1,15}(/[0-9]{1,2})?`),
		rapid.StringMatching(`[0-9a-f:]{2,20}(/1[0-9]{2})?`),
		rapid.Custom(func(r *rapid.T) string {
			return rapid.SampledFrom([]string{"http://", "https://", "HTTP://"}).Draw(r, "scheme") + host.Draw(r, "host") +
				rapid.SampledFrom([]string{"", ":80", ":443", ":8080"}).Draw(r, "port") + path.Draw(r, "path") +
				rapid.StringMatching(`(\?[a-z=&%0-9]{0,8})?`).Draw(r, "query")
		}),
		rapid.StringMatching(`([a-z0-9.:]{1,12}/)?[a-z0-9_.-]{1,10}(:[A-Za-z0-9_.-]{1,8})?(@sha256:[0-9a-f]{64})?`),
		path,
	)
	rapid.Check(t, func(r *rapid.T) {
		checkTarget(r, text.Draw(r, "text"), rapid.SampledFrom(allTypes()).Draw(r, "type"))
	})
}

func FuzzParseTarget(f *testing.F) {
	for _, c := range hostile() {
		f.Add(c.text, string(c.typ))
	}
	for _, s := range []string{"example.org", "http://example.org/a/../b?c", "10.0.0.0/24", "::1", "example.org。"} {
		f.Add(s, "")
	}
	f.Add("registry.example.org:5000/team/app:1.2@sha256:"+strings.Repeat("0", 64), "image")
	f.Add("https://git.example.org/a/b", "repository")
	f.Add("/srv/code", "filesystem")
	f.Fuzz(func(t *testing.T, text, typ string) { checkTarget(t, text, asset.TargetType(typ)) })
}
