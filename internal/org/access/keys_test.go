package access_test

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/org/access"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/page"
	"assay.dev/assay/internal/word/uid"
)

func TestNewKeyHasTheDocumentedDefaults(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	got := b.key(t, access.NewKey{Name: "CI", Description: "two\nlines", Scopes: []string{"scans:read", "scans:create", "scans:read"}})
	want := access.Key{
		Org: b.org, Name: "CI", Description: "two\nlines", Scopes: access.Scopes{"scans:create", "scans:read"},
		Windows: access.Windows{PerMinute: 60, PerHour: 1000, PerDay: 10000}, CreatedBy: "operator", CreatedAt: b.clock.Now(),
	}
	cmpKey := got.Key
	cmpKey.ID, cmpKey.Prefix = "", ""
	if d := cmp.Diff(want, cmpKey, cmp.Comparer(func(x, y netip.Prefix) bool { return x == y })); d != "" {
		t.Errorf("key (-want +got)\n%s", d)
	}
	if ev := b.store.last(); ev.Event.Type != event.KeyCreated || ev.Event.Resource.ID != string(got.Key.ID) {
		t.Errorf("audit event %+v", ev)
	}
	for h := range b.store.secrets {
		if want, _ := access.ParseKey(got.Secret.Reveal()); h != want {
			t.Error("stored hash is not the secret's SHA-256")
		}
	}
}

func TestEveryWrongFieldOfANewKeyIsNamed(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	long := strings.Repeat("é", 256)
	many := make([]string, 101)
	for i := range many {
		many[i] = "192.0.2.1"
	}
	_, err := b.CreateKey(t.Context(), b.admin, access.NewKey{
		Name: long, Description: strings.Repeat("x", 2001), Scopes: []string{"scans:read", "scans:fly", "*", "nothing:*"},
		Engines: []string{"nmap", "metasploit"}, Addresses: []string{"10.0.0.1", "10.0.0.0/33", "fe80::1%eth0", "host"},
		PerMinute: new(0), PerHour: new(50_001), PerDay: new(-1), ExpiresInDays: new(3651),
	})
	wantCode(t, err, fault.Invalid, fault.CodeValidation)
	want := []string{
		"name", "description", "scopes[1]", "scopes[2]", "scopes[3]", "allowedScanTypes[1]", "allowedIpAddresses[1]",
		"allowedIpAddresses[2]", "allowedIpAddresses[3]", "expiresInDays", "rateLimitPerMinute", "rateLimitPerHour", "rateLimitPerDay",
	}
	if d := cmp.Diff(want, locations(err)); d != "" {
		t.Errorf("fields (-want +got)\n%s", d)
	}
	for _, in := range []access.NewKey{
		{Name: " ", Scopes: []string{"scans:read"}},
		{Name: "a\x00b", Scopes: []string{"scans:read"}},
		{Name: "bad\xff", Scopes: []string{"scans:read"}},
		{Name: "none"},
		{Name: "many", Scopes: []string{"scans:read"}, Addresses: many},
		{Name: "zero", Scopes: []string{"scans:read"}, ExpiresInDays: new(0)},
	} {
		_, err := b.CreateKey(t.Context(), b.admin, in)
		wantCode(t, err, fault.Invalid, fault.CodeValidation)
	}
	if len(b.store.keys) != 0 {
		t.Error("a wrong order made a key")
	}
}

func TestBoundsOfNumbersAreInclusive(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.key(t, access.NewKey{Name: strings.Repeat("é", 255), PerMinute: new(1), PerHour: new(1), PerDay: new(1), ExpiresInDays: new(1)})
	k := b.key(t, access.NewKey{PerMinute: new(1000), PerHour: new(50_000), PerDay: new(500_000), ExpiresInDays: new(3650)})
	if want := b.clock.Now().Add(3650 * 24 * time.Hour); !k.Key.ExpiresAt.Equal(want) {
		t.Errorf("ends %v, want %v", k.Key.ExpiresAt, want)
	}
}

func TestCeilingMultipliesTheMaxima(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(d *access.Deps) { d.Ceiling = 3 })
	b.key(t, access.NewKey{PerMinute: new(3000), PerHour: new(150_000), PerDay: new(1_500_000)})
	_, err := b.CreateKey(t.Context(), b.admin, access.NewKey{Name: "n", Scopes: []string{"scans:read"}, PerMinute: new(3001)})
	wantCode(t, err, fault.Invalid, fault.CodeValidation)
}

func TestCeilingOfZeroLetsOnlyTheOperatorDropWindows(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(d *access.Deps) { d.Ceiling = 0 })
	if k := b.key(t, access.NewKey{}); k.Key.Windows != (access.Windows{}) {
		t.Errorf("operator's key has windows %+v", k.Key.Windows)
	}
	if k := b.key(t, access.NewKey{PerMinute: new(5000)}); k.Key.Windows != (access.Windows{PerMinute: 5000}) {
		t.Errorf("windows %+v", k.Key.Windows)
	}
	user := access.Actor{Org: b.org, Kind: audit.ActorUser, ID: "u", Role: access.RoleAdmin, Scopes: access.RoleAdmin.Scopes()}
	k, err := b.CreateKey(t.Context(), user, access.NewKey{Name: "n", Scopes: []string{"scans:read"}})
	if err != nil || k.Key.Windows != access.DefaultWindows() {
		t.Errorf("%+v, %v", k.Key.Windows, err)
	}
	_, err = b.CreateKey(t.Context(), user, access.NewKey{Name: "n", Scopes: []string{"scans:read"}, PerMinute: new(0)})
	wantCode(t, err, fault.Invalid, fault.CodeValidation)
	_, err = b.CreateKey(t.Context(), user, access.NewKey{Name: "n", Scopes: []string{"scans:read"}, PerMinute: new(1001)})
	wantCode(t, err, fault.Invalid, fault.CodeValidation)
}

// as authenticates with the key and returns the actor.
func (b *bench) as(tb testing.TB, k access.Issued, from string) access.Actor {
	tb.Helper()
	c := access.Credentials{APIKey: k.Secret.Reveal()}
	if from != "" {
		c.Address = addr(from)
	}
	a, err := b.Authenticate(tb.Context(), c)
	if err != nil {
		tb.Fatal(err)
	}
	return a
}

func TestKeyCannotHandOnMoreThanItHas(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	a := b.as(t, b.key(t, access.NewKey{
		Scopes: []string{"keys:manage", "scans:*"}, Engines: []string{"nmap", "zap"}, Addresses: []string{"192.0.2.0/24"},
		PerMinute: new(30), PerHour: new(300), PerDay: new(3000), ExpiresInDays: new(10),
	}), "192.0.2.1")
	ok := access.NewKey{Name: "child", Scopes: []string{"scans:read"}}
	child, err := b.CreateKey(t.Context(), a, ok)
	if err != nil {
		t.Fatal(err)
	}
	// What is left out is inherited, never widened.
	got := access.Key{Engines: child.Key.Engines, Addresses: child.Key.Addresses, Windows: child.Key.Windows, ExpiresAt: child.Key.ExpiresAt}
	want := access.Key{
		Engines: []string{"nmap", "zap"}, Addresses: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")},
		Windows: access.Windows{PerMinute: 30, PerHour: 300, PerDay: 3000}, ExpiresAt: a.Key.ExpiresAt,
	}
	if d := cmp.Diff(want, got, cmp.Comparer(func(x, y netip.Prefix) bool { return x == y })); d != "" {
		t.Errorf("inherited (-want +got)\n%s", d)
	}
	for field, change := range map[string]func(*access.NewKey){
		"scopes":             func(k *access.NewKey) { k.Scopes = []string{"scans:read", "usage:read"} },
		"allowedScanTypes":   func(k *access.NewKey) { k.Engines = []string{"nmap", "trivy"} },
		"allowedIpAddresses": func(k *access.NewKey) { k.Addresses = []string{"192.0.0.0/16"} },
		"rateLimitPerMinute": func(k *access.NewKey) { k.PerMinute = new(31) },
		"rateLimitPerHour":   func(k *access.NewKey) { k.PerHour = new(301) },
		"rateLimitPerDay":    func(k *access.NewKey) { k.PerDay = new(3001) },
		"expiresInDays":      func(k *access.NewKey) { k.ExpiresInDays = new(11) },
	} {
		in := ok
		change(&in)
		_, err := b.CreateKey(t.Context(), a, in)
		wantCode(t, err, fault.Forbidden, fault.CodeForbidden)
		if d := cmp.Diff([]string{field}, locations(err)); d != "" {
			t.Errorf("%s: fields (-want +got)\n%s", field, d)
		}
	}
	for _, in := range []access.NewKey{{Engines: []string{}}, {Addresses: []string{}}} { // "no restriction" is more than some
		in.Name, in.Scopes = "n", []string{"scans:read"}
		_, err := b.CreateKey(t.Context(), a, in)
		wantCode(t, err, fault.Forbidden, fault.CodeForbidden)
	}
}

func TestWeakerKeyCannotRotateOrChangeAStrongerOne(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	strong := b.key(t, access.NewKey{Scopes: []string{"org:manage", "keys:manage"}})
	weak := b.as(t, b.key(t, access.NewKey{Scopes: []string{"keys:manage"}}), "")
	_, err := b.RotateKey(t.Context(), weak, strong.Key.ID, nil)
	wantCode(t, err, fault.Forbidden, fault.CodeForbidden)
	_, err = b.UpdateKey(t.Context(), weak, strong.Key.ID, access.KeyPatch{Name: new("mine")})
	wantCode(t, err, fault.Forbidden, fault.CodeForbidden)
	_, err = b.SuspendKey(t.Context(), weak, strong.Key.ID)
	wantCode(t, err, fault.Forbidden, fault.CodeForbidden)
	if _, err := b.Authenticate(t.Context(), access.Credentials{APIKey: strong.Secret.Reveal()}); err != nil {
		t.Errorf("the stronger key was touched: %v", err)
	}
	if _, err := b.UpdateKey(t.Context(), weak, uid.Key(weak.ID), access.KeyPatch{Scopes: &[]string{"keys:manage", "org:manage"}}); err == nil {
		t.Error("a key widened itself")
	}
}

func TestUserCannotGiveScopesTheRoleLacks(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	a := access.Actor{Org: b.org, Kind: audit.ActorUser, ID: "u", Role: access.RoleUser, Scopes: access.RoleUser.Scopes()}
	_, err := b.CreateKey(t.Context(), a, access.NewKey{Name: "n", Scopes: []string{"scans:*", "alerts:write"}})
	wantCode(t, err, fault.Forbidden, fault.CodeForbidden)
	if _, err := b.CreateKey(t.Context(), a, access.NewKey{Name: "n", Scopes: []string{"scans:*"}}); err != nil {
		t.Error(err)
	}
}

func TestUpdateChangesWhatIsSetAndLeavesTheRest(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	k := b.key(t, access.NewKey{Name: "before", Description: "d", Engines: []string{"nmap"}, PerMinute: new(7), ExpiresInDays: new(5)})
	got, err := b.UpdateKey(t.Context(), b.admin, k.Key.ID, access.KeyPatch{Name: new("after"), Engines: &[]string{}, NeverExpires: true})
	if err != nil {
		t.Fatal(err)
	}
	want := k.Key
	want.Name, want.Engines, want.ExpiresAt = "after", []string{}, time.Time{}
	if d := cmp.Diff(want, got, cmp.Comparer(func(x, y netip.Prefix) bool { return x == y })); d != "" {
		t.Errorf("key (-want +got)\n%s", d)
	}
	_, err = b.UpdateKey(t.Context(), b.admin, k.Key.ID, access.KeyPatch{
		Name: new(""), Scopes: &[]string{}, PerDay: new(0), ExpiresInDays: new(1), NeverExpires: true,
	})
	wantCode(t, err, fault.Invalid, fault.CodeValidation)
	if d := cmp.Diff([]string{"name", "scopes", "rateLimitPerDay", "expiresInDays"}, locations(err)); d != "" {
		t.Errorf("fields (-want +got)\n%s", d)
	}
}

// A change that was prepared before a revocation must not take it back.
func TestChangeDoesNotUndoARevocationMadeMeanwhile(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	k := b.key(t, access.NewKey{})
	b.store.before = func() {
		if _, err := b.RevokeKey(t.Context(), b.admin, k.Key.ID); err != nil {
			t.Error(err)
		}
	}
	_, err := b.UpdateKey(t.Context(), b.admin, k.Key.ID, access.KeyPatch{Name: new("renamed")})
	wantCode(t, err, fault.Conflict, fault.CodeConflict)
	if b.store.keys[k.Key.ID].RevokedAt.IsZero() {
		t.Error("the key lives again")
	}
}

func TestRotationKeepsTheKeyAndGivesGrace(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	k := b.key(t, access.NewKey{Engines: []string{"nmap"}, PerMinute: new(9)})
	next, err := b.RotateKey(t.Context(), b.admin, k.Key.ID, nil)
	if err != nil {
		t.Fatal(err)
	}
	if next.Key.ID != k.Key.ID || next.Key.Windows != k.Key.Windows || next.Secret == k.Secret {
		t.Errorf("rotated into %+v", next.Key)
	}
	if want := b.clock.Now().Add(24 * time.Hour); !next.Key.PreviousExpires.Equal(want) {
		t.Errorf("grace ends %v, want %v", next.Key.PreviousExpires, want)
	}
	call := func(i access.Issued) error {
		_, err := b.Authenticate(t.Context(), access.Credentials{APIKey: i.Secret.Reveal()})
		return err
	}
	if err := errors.Join(call(k), call(next)); err != nil {
		t.Errorf("within grace: %v", err)
	}
	b.clock.add(24*time.Hour - time.Microsecond)
	if err := call(k); err != nil {
		t.Errorf("at the end of grace: %v", err)
	}
	b.clock.add(time.Microsecond)
	wantCode(t, call(k), fault.Unauthenticated, fault.CodeInvalidKey)
	if err := call(next); err != nil {
		t.Error(err)
	}
}

func TestAtMostTwoSecretsLive(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	first := b.key(t, access.NewKey{})
	all := []access.Issued{first}
	for range 3 {
		next, err := b.RotateKey(t.Context(), b.admin, first.Key.ID, new(168))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, next)
	}
	for i, k := range all {
		_, err := b.Authenticate(t.Context(), access.Credentials{APIKey: k.Secret.Reveal()})
		if living := err == nil; living != (i >= 2) {
			t.Errorf("secret %d of 4 lives: %v", i+1, living)
		}
	}
}

func TestGraceOfZeroCutsAtOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	k := b.key(t, access.NewKey{})
	c := access.Credentials{APIKey: k.Secret.Reveal()}
	if _, err := b.Authenticate(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if _, err := b.RotateKey(t.Context(), b.admin, k.Key.ID, new(0)); err != nil {
		t.Fatal(err)
	}
	_, err := b.Authenticate(t.Context(), c)
	wantCode(t, err, fault.Unauthenticated, fault.CodeInvalidKey)
	for _, hours := range []int{-1, 169} {
		_, err := b.RotateKey(t.Context(), b.admin, k.Key.ID, new(hours))
		wantCode(t, err, fault.Invalid, fault.CodeValidation)
		if d := cmp.Diff([]string{"gracePeriodHours"}, locations(err)); d != "" {
			t.Error(d)
		}
	}
}

func TestDeadKeysStayDead(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	k := b.key(t, access.NewKey{ExpiresInDays: new(1)})
	b.clock.add(24 * time.Hour)
	_, err := b.RotateKey(t.Context(), b.admin, k.Key.ID, nil)
	wantCode(t, err, fault.Conflict, fault.CodeConflict)
	at := b.clock.Now()
	for range 2 { // the second changes nothing
		got, err := b.RevokeKey(t.Context(), b.admin, k.Key.ID)
		if err != nil || !got.RevokedAt.Equal(at) {
			t.Errorf("%v, %v", got.RevokedAt, err)
		}
		b.clock.add(time.Hour)
	}
	for name, err := range map[string]error{
		"rotate":  second(b.RotateKey(t.Context(), b.admin, k.Key.ID, nil)),
		"update":  second(b.UpdateKey(t.Context(), b.admin, k.Key.ID, access.KeyPatch{Name: new("x")})),
		"suspend": second(b.SuspendKey(t.Context(), b.admin, k.Key.ID)),
		"resume":  second(b.ResumeKey(t.Context(), b.admin, k.Key.ID)),
	} {
		if fault.KindOf(err) != fault.Conflict {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestListsAreBounded(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for range 25 {
		b.key(t, access.NewKey{})
	}
	for limit, want := range map[int]int{0: 20, -5: 20, 3: 3, 1000: 25} {
		got, err := b.Keys(t.Context(), b.admin, page.Request{Limit: limit})
		if err != nil || len(got.Items) != want {
			t.Errorf("limit %d: %d keys, %v", limit, len(got.Items), err)
		}
	}
}

// Whatever a restricted key orders, it gets a refusal or a key that lies within itself.
func TestNoOrderWidensAKey(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	parent := b.as(t, b.key(t, access.NewKey{
		Scopes: []string{"keys:manage", "scans:*", "findings:read"}, Engines: []string{"nmap", "zap"},
		Addresses: []string{"10.0.0.0/8", "2001:db8::/32"}, PerMinute: new(50), PerHour: new(500), PerDay: new(5000), ExpiresInDays: new(30),
	}), "10.0.0.1")
	some := func(rt *rapid.T, label string, from []string) []string {
		if rapid.Bool().Draw(rt, label+" left out") {
			return nil
		}
		return rapid.SliceOfN(rapid.SampledFrom(from), 0, 3).Draw(rt, label)
	}
	number := func(rt *rapid.T, label string, top int) *int {
		if rapid.Bool().Draw(rt, label+" left out") {
			return nil
		}
		return new(rapid.IntRange(-1, top).Draw(rt, label))
	}
	rapid.Check(t, func(rt *rapid.T) {
		got, err := b.CreateKey(context.Background(), parent, access.NewKey{
			Name:          "child",
			Scopes:        some(rt, "scopes", []string{"scans:*", "scans:read", "findings:read", "findings:*", "usage:read", "keys:manage"}),
			Engines:       some(rt, "engines", []string{"nmap", "zap", "trivy"}),
			Addresses:     some(rt, "addresses", []string{"10.1.0.0/16", "10.0.0.0/7", "2001:db8:1::/48", "::/0", "192.0.2.1", "::ffff:10.2.3.4"}),
			PerMinute:     number(rt, "minute", 60),
			PerHour:       number(rt, "hour", 600),
			PerDay:        number(rt, "day", 6000),
			ExpiresInDays: number(rt, "days", 40),
		})
		if err != nil {
			return
		}
		k, p := got.Key, parent.Key
		switch {
		case !p.Scopes.Covers(k.Scopes):
			rt.Fatalf("scopes %v", k.Scopes)
		case len(k.Engines) == 0 || len(k.Addresses) == 0:
			rt.Fatalf("a restriction was lifted: %v %v", k.Engines, k.Addresses)
		case k.Windows.PerMinute < 1 || k.Windows.PerMinute > 50 || k.Windows.PerHour > 500 || k.Windows.PerDay > 5000:
			rt.Fatalf("windows %+v", k.Windows)
		case k.ExpiresAt.IsZero() || k.ExpiresAt.After(p.ExpiresAt):
			rt.Fatalf("lives until %v, its maker until %v", k.ExpiresAt, p.ExpiresAt)
		}
		for _, e := range k.Engines {
			if e == "trivy" {
				rt.Fatal("engine beyond the maker's")
			}
		}
		for _, a := range k.Addresses {
			if !netip.MustParsePrefix("10.0.0.0/8").Overlaps(a) && !netip.MustParsePrefix("2001:db8::/32").Overlaps(a) {
				rt.Fatalf("address %v", a)
			}
			if a.Bits() < 8 {
				rt.Fatalf("block %v", a)
			}
		}
	})
}
