package access_test

import (
	"crypto/rand"
	"crypto/sha256"
	mathrand "math/rand/v2"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"assay.dev/assay/internal/org/access"
	"assay.dev/assay/internal/word/fault"
)

// vectors are those of docs/reference/api-key-format.md, made by another implementation of CRC-32.
func vectors() []string {
	return []string{
		"asy_live_00000000000000000000000000000000002sZrBT",
		"asy_live_0123456789ABCDEFGHIJKLMNOPQRSTUVWX2vpXwx",
		"asy_live_zyxwvutsrqponmlkjihgfedcbaZYXWVUTS0eP3eR",
		"asy_live_8aspm4G7VmSUfOoD6V1vrORcmn0ixVweMO000dvo",
	}
}

func TestPublishedVectorsAreAccepted(t *testing.T) {
	t.Parallel()
	for _, v := range vectors() {
		h, err := access.ParseKey(v)
		if err != nil {
			t.Errorf("%s: %v", v, err)
		}
		if h != sha256.Sum256([]byte(v)) {
			t.Errorf("%s: the hash is not the SHA-256 of the whole key", v)
		}
	}
	for _, v := range []string{
		"asy_sess_00000000000000000000000000000000003Cno9l",
		"asy_sess_0123456789ABCDEFGHIJKLMNOPQRSTUVWX2gHzTB",
	} {
		if _, err := access.ParseSession(v); err != nil {
			t.Errorf("%s: %v", v, err)
		}
		if _, err := access.ParseKey(v); err == nil {
			t.Errorf("%s: a session token passed as a key", v)
		}
	}
}

func TestSingleCharacterMutationsAreRejectedOffline(t *testing.T) {
	t.Parallel()
	const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_-+/ \x00é"
	b := newBench(t)
	tried := 0
	for tried < 10_000 {
		key := b.key(t, access.NewKey{}).Secret.Reveal()
		for i := range len(key) {
			for _, r := range alphabet {
				mutant := key[:i] + string(r) + key[i+1:]
				if mutant == key {
					continue
				}
				tried++
				_, err := access.ParseKey(mutant)
				wantCode(t, err, fault.Unauthenticated, fault.CodeInvalidKey)
			}
		}
	}
	if b.store.lookups != 0 {
		t.Errorf("%d look-ups, want none", b.store.lookups)
	}
}

func TestSwappedNeighboursAreRejected(t *testing.T) {
	t.Parallel()
	key := newBench(t).key(t, access.NewKey{}).Secret.Reveal()
	for i := range len(key) - 1 {
		if key[i] == key[i+1] {
			continue
		}
		if _, err := access.ParseKey(key[:i] + key[i+1:i+2] + key[i:i+1] + key[i+2:]); err == nil {
			t.Errorf("characters %d and %d swapped: accepted", i, i+1)
		}
	}
}

func TestIssuedKeysHaveThePublishedPattern(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	pattern := regexp.MustCompile("^" + access.KeyPattern + "$")
	seen := map[string]bool{}
	for range 200 {
		k := b.key(t, access.NewKey{})
		s := k.Secret.Reveal()
		if !pattern.MatchString(s) || seen[s] {
			t.Fatalf("bad or repeated key")
		}
		seen[s] = true
		if !strings.HasPrefix(s, k.Key.Prefix) || len(k.Key.Prefix) != 13 {
			t.Errorf("display prefix %q", k.Key.Prefix)
		}
	}
}

func TestRandomCharactersAreWithoutModuloBias(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(d *access.Deps) { d.Rand = mathrand.NewChaCha8([32]byte{1}) })
	count := map[byte]int{}
	const keys = 1000
	for range keys {
		s := b.key(t, access.NewKey{}).Secret.Reveal()
		for i := range 34 {
			count[s[len(access.KeyPrefix)+i]]++
		}
	}
	// A plain remainder of a byte would give the first eight characters 22 % more than the mean.
	mean := keys * 34 / 62
	for c, n := range count {
		if n < mean*85/100 || n > mean*115/100 {
			t.Errorf("%q occurs %d times, mean %d", c, n, mean)
		}
	}
	if len(count) != 62 {
		t.Errorf("%d different characters, want 62", len(count))
	}
}

func FuzzParseKey(f *testing.F) {
	for _, v := range vectors() {
		f.Add(v)
		f.Add(v[:len(v)-1])
	}
	f.Add("asy_live_")
	f.Add("asy_live_" + strings.Repeat("\xff", 40))
	pattern := regexp.MustCompile("^" + access.KeyPattern + "$")
	f.Fuzz(func(t *testing.T, s string) {
		if _, err := access.ParseKey(s); err == nil && !pattern.MatchString(s) {
			t.Errorf("accepted text outside of the published pattern")
		}
		if _, err := access.ParseSession(s); err == nil && !strings.HasPrefix(s, access.SessionPrefix) {
			t.Errorf("accepted a session token without its prefix")
		}
	})
}

func FuzzParseAddress(f *testing.F) {
	for _, s := range []string{
		"192.0.2.1", "192.0.2.77/24", "2001:db8::1/32", "::ffff:192.0.2.1", "::ffff:192.0.2.1/120", "fe80::1%eth0", "0.0.0.0/0",
		"01.2.3.4", "1.2.3.4/33", "/", "1.2.3.4/", "::/0", "::ffff:0:0/95",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, ok := access.ParseAddress(s)
		if !ok {
			return
		}
		if !p.IsValid() || p != p.Masked() || p.Addr().Is4In6() || p.Addr().Zone() != "" {
			t.Fatalf("not canonical: %v", p)
		}
		again, ok := access.ParseAddress(p.String())
		if !ok || again != p {
			t.Fatalf("%v reads back as %v", p, again)
		}
	})
}

func TestAddressListHoldsExactlyItsBlocks(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		raw := rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(rt, "block")
		bits := rapid.IntRange(0, 32).Draw(rt, "bits")
		from := netip.AddrFrom4([4]byte(rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(rt, "from")))
		block := netip.PrefixFrom(netip.AddrFrom4([4]byte(raw)), bits)
		p, ok := access.ParseAddress(block.String())
		if !ok {
			rt.Fatalf("%v refused", block)
		}
		if p.Contains(from) != block.Contains(from) {
			rt.Fatalf("%v and %v differ on %v", p, block, from)
		}
	})
}

func BenchmarkParseKey(b *testing.B) {
	key := vectors()[0]
	b.ReportAllocs()
	for b.Loop() {
		if _, err := access.ParseKey(key); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAuthenticateCachedKey(b *testing.B) {
	w := newBench(b, func(d *access.Deps) { d.Rand = rand.Reader })
	c := access.Credentials{APIKey: w.key(b, access.NewKey{}).Secret.Reveal()}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := w.Authenticate(b.Context(), c); err != nil {
			b.Fatal(err)
		}
	}
}

func TestDocumentedVectorsAreTheTestedOnes(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile("../../../docs/reference/api-key-format.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(doc), access.KeyPattern) {
		t.Error("the document lacks the pattern")
	}
	if got := regexp.MustCompile(access.KeyPattern).FindAllString(string(doc), -1); !slices.Equal(got, vectors()) {
		t.Errorf("the document has %q, tested are %q", got, vectors())
	}
}
