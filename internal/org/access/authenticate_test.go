package access_test

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/org/access"
	"assay.dev/assay/internal/org/tenant"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/uid"
)

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

func TestKeyAuthenticatesInEitherHeader(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	k := b.key(t, access.NewKey{Scopes: []string{"scans:*", "results:read"}, Engines: []string{"nmap"}})
	for name, c := range map[string]access.Credentials{
		"X-API-Key":     {APIKey: k.Secret.Reveal()},
		"Authorization": {Bearer: k.Secret.Reveal()},
		"both alike":    {APIKey: k.Secret.Reveal(), Bearer: k.Secret.Reveal()},
		"beside cookie": {APIKey: k.Secret.Reveal(), Cookie: "something"},
	} {
		a, err := b.Authenticate(t.Context(), c)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		want := access.Actor{
			Org: b.org, Kind: audit.ActorKey, ID: string(k.Key.ID), Name: "test", Scopes: access.Scopes{"results:read", "scans:*"},
			Engines: []string{"nmap"}, Windows: access.DefaultWindows(), Plan: "enterprise",
		}
		a.Key = nil
		if d := cmp.Diff(want, a); d != "" {
			t.Errorf("%s: actor (-want +got)\n%s", name, d)
		}
	}
}

// refusals makes a key for which every check from a place on fails, so that only the order decides on the answer.
func TestChecksRunInTheDocumentedOrder(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	k := b.key(t, access.NewKey{Addresses: []string{"192.0.2.0/24"}, ExpiresInDays: new(1)})
	b.clock.add(48 * time.Hour)
	row := b.store.keys[k.Key.ID]
	row.SuspendedAt, row.RevokedAt = b.clock.Now(), b.clock.Now()
	b.store.keys[k.Key.ID] = row
	org := b.store.orgs[b.org]
	org.Suspended = true
	b.store.orgs[b.org] = org

	good := k.Secret.Reveal()
	unknown := vectors()[0]
	call := func(c access.Credentials) error {
		b.Forget()
		c.Address = addr("198.51.100.1")
		_, err := b.Authenticate(t.Context(), c)
		return err
	}
	set := func(change func(*access.Key)) {
		row := b.store.keys[k.Key.ID]
		change(&row)
		b.store.keys[k.Key.ID] = row
	}
	wantCode(t, call(access.Credentials{APIKey: good, Bearer: unknown}), fault.Invalid, fault.CodeAmbiguousCredentials)
	wantCode(t, call(access.Credentials{}), fault.Unauthenticated, fault.CodeMissingKey)
	wantCode(t, call(access.Credentials{APIKey: good + "x"}), fault.Unauthenticated, fault.CodeInvalidKey)
	wantCode(t, call(access.Credentials{APIKey: unknown}), fault.Unauthenticated, fault.CodeInvalidKey)
	wantCode(t, call(access.Credentials{APIKey: good}), fault.Unauthenticated, fault.CodeKeyRevoked)
	set(func(k *access.Key) { k.RevokedAt = time.Time{} })
	wantCode(t, call(access.Credentials{APIKey: good}), fault.Unauthenticated, fault.CodeKeySuspended)
	set(func(k *access.Key) { k.SuspendedAt = time.Time{} })
	wantCode(t, call(access.Credentials{APIKey: good}), fault.Forbidden, fault.CodeOrgSuspended)
	org.Suspended = false
	b.store.orgs[b.org] = org
	wantCode(t, call(access.Credentials{APIKey: good}), fault.Unauthenticated, fault.CodeKeyExpired)
	set(func(k *access.Key) { k.ExpiresAt = time.Time{} })
	wantCode(t, call(access.Credentials{APIKey: good}), fault.Forbidden, fault.CodeIPNotAllowed)
	set(func(k *access.Key) { k.Addresses = nil })
	if err := call(access.Credentials{APIKey: good}); err != nil {
		t.Error(err)
	}
}

func TestAddressListIsCheckedAgainstTheClient(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	k := b.key(t, access.NewKey{Addresses: []string{"192.0.2.7", "2001:db8::/48", "10.1.2.3/8"}})
	for from, ok := range map[string]bool{
		"192.0.2.7": true, "::ffff:192.0.2.7": true, "192.0.2.8": false, "2001:db8:0:ffff::1": true, "2001:db8:1::1": false,
		"10.255.0.1": true, "11.0.0.1": false, "fe80::1%eth0": false,
	} {
		_, err := b.Authenticate(t.Context(), access.Credentials{APIKey: k.Secret.Reveal(), Address: addr(from)})
		if ok != (err == nil) {
			t.Errorf("%s: %v", from, err)
		}
	}
	_, err := b.Authenticate(t.Context(), access.Credentials{APIKey: k.Secret.Reveal()})
	wantCode(t, err, fault.Forbidden, fault.CodeIPNotAllowed)
}

func TestStoreTroubleIsNotACredentialError(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(d *access.Deps) { d.Store = broken{d.Store} })
	_, err := b.Authenticate(t.Context(), access.Credentials{APIKey: vectors()[0]})
	wantCode(t, err, fault.Unavailable, fault.CodeUnavailable)
	_, err = b.Authenticate(t.Context(), access.Credentials{Bearer: "asy_sess_00000000000000000000000000000000003Cno9l"})
	wantCode(t, err, fault.Unavailable, fault.CodeUnavailable)
}

type broken struct{ access.Store }

func (broken) KeyByHash(context.Context, access.Hash) (access.KeyMatch, error) {
	return access.KeyMatch{}, fault.New(fault.Unavailable, fault.CodeUnavailable, "the database doesn't answer")
}

func (broken) SessionByHash(context.Context, access.Hash) (access.SessionMatch, error) {
	return access.SessionMatch{}, fault.New(fault.Unavailable, fault.CodeUnavailable, "the database doesn't answer")
}

// liar answers every look-up with one key, whatever was asked.
type liar struct {
	access.Store
	match access.KeyMatch
}

func (l liar) KeyByHash(context.Context, access.Hash) (access.KeyMatch, error) { return l.match, nil }

func TestMatchIsComparedWithWhatWasAsked(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(d *access.Deps) {
		d.Store = liar{d.Store, access.KeyMatch{Key: access.Key{ID: "some", Org: "other"}}}
	})
	_, err := b.Authenticate(t.Context(), access.Credentials{APIKey: vectors()[0]})
	wantCode(t, err, fault.Unauthenticated, fault.CodeInvalidKey)
}

func TestRevocationElsewhereHoldsWithinHalfASecond(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	c := access.Credentials{APIKey: b.key(t, access.NewKey{}).Secret.Reveal()}
	for range 100 {
		if _, err := b.Authenticate(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	if b.store.lookups != 1 {
		t.Errorf("%d look-ups for 100 calls, want 1", b.store.lookups)
	}
	for id, k := range b.store.keys { // another node
		k.RevokedAt = b.clock.Now()
		b.store.keys[id] = k
	}
	b.clock.add(501 * time.Millisecond)
	_, err := b.Authenticate(t.Context(), c)
	wantCode(t, err, fault.Unauthenticated, fault.CodeKeyRevoked)
}

func TestClockSetBackDoesNotKeepAnOldAnswer(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	c := access.Credentials{APIKey: b.key(t, access.NewKey{}).Secret.Reveal()}
	if _, err := b.Authenticate(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	b.clock.add(-time.Hour)
	if _, err := b.Authenticate(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if b.store.lookups != 2 {
		t.Errorf("%d look-ups, want 2", b.store.lookups)
	}
}

func TestLocalChangesHoldAtOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	k := b.key(t, access.NewKey{})
	c := access.Credentials{APIKey: k.Secret.Reveal()}
	call := func() error { _, err := b.Authenticate(t.Context(), c); return err }
	if err := call(); err != nil {
		t.Fatal(err)
	}
	admin := access.Actor{Org: b.org, Kind: audit.ActorUser, ID: "u", Role: access.RoleAdmin, Scopes: access.RoleAdmin.Scopes()}
	if _, err := b.SuspendKey(t.Context(), admin, k.Key.ID); err != nil {
		t.Fatal(err)
	}
	wantCode(t, call(), fault.Unauthenticated, fault.CodeKeySuspended)
	if _, err := b.ResumeKey(t.Context(), admin, k.Key.ID); err != nil {
		t.Fatal(err)
	}
	if err := call(); err != nil {
		t.Fatal(err)
	}
	if _, err := b.RevokeKey(t.Context(), b.admin, k.Key.ID); err != nil {
		t.Fatal(err)
	}
	wantCode(t, call(), fault.Unauthenticated, fault.CodeKeyRevoked)
}

// A look-up that read its row before a revocation and ends after it must not bring the old answer into the cache.
func TestSlowLookUpDoesNotOutliveARevocation(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	k := b.key(t, access.NewKey{})
	c := access.Credentials{APIKey: k.Secret.Reveal()}
	b.store.during = func() {
		if _, err := b.RevokeKey(t.Context(), b.admin, k.Key.ID); err != nil {
			t.Error(err)
		}
	}
	_, _ = b.Authenticate(t.Context(), c) // began before; either answer is right
	_, err := b.Authenticate(t.Context(), c)
	wantCode(t, err, fault.Unauthenticated, fault.CodeKeyRevoked)
}

func TestUnknownKeysAreNotRemembered(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	k := b.key(t, access.NewKey{})
	c := access.Credentials{APIKey: k.Secret.Reveal()}
	row := b.store.secrets
	b.store.secrets = map[access.Hash]secretRow{}
	_, err := b.Authenticate(t.Context(), c)
	wantCode(t, err, fault.Unauthenticated, fault.CodeInvalidKey)
	b.store.secrets = row
	if _, err := b.Authenticate(t.Context(), c); err != nil {
		t.Errorf("a key made on another node doesn't work at once: %v", err)
	}
}

func TestLastUseIsWrittenAtMostOnceAMinuteAndEndsExact(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, func(d *access.Deps) { d.Now = time.Now })
		k := b.key(t, access.NewKey{})
		c := access.Credentials{APIKey: k.Secret.Reveal()}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- b.Run(ctx) }()
		var last time.Time
		for range 300 { // five minutes, a call each second
			time.Sleep(time.Second)
			last = time.Now()
			if _, err := b.Authenticate(ctx, c); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if n := b.store.touched(); n < 4 || n > 6 {
			t.Errorf("%d writes in five minutes", n)
		}
		time.Sleep(2 * time.Minute) // no calls: the last use is written all the same
		synctest.Wait()
		got := locked(b.store, func() time.Time { return b.store.keys[k.Key.ID].LastUsedAt })
		if !got.Equal(last.UTC().Truncate(time.Microsecond)) {
			t.Errorf("last use %v, want %v", got, last)
		}
		before := b.store.touched()
		if _, err := b.Authenticate(ctx, c); err != nil {
			t.Fatal(err)
		}
		stop()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if b.store.touched() != before+1 {
			t.Error("the stop lost the last use")
		}
		if len(b.store.events) != 1 {
			t.Errorf("last use left audit entries: %v", b.store.events)
		}
	})
}

func TestFailedLastUseIsTriedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, func(d *access.Deps) { d.Now = time.Now })
		k := b.key(t, access.NewKey{})
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		if _, err := b.Authenticate(ctx, access.Credentials{APIKey: k.Secret.Reveal()}); err != nil {
			t.Fatal(err)
		}
		b.store.fail = errors.New("disk full")
		go func() { _ = b.Run(ctx) }()
		time.Sleep(6 * time.Second)
		synctest.Wait()
		if b.store.touched() != 0 {
			t.Fatal("written although the store failed")
		}
		locked(b.store, func() bool {
			b.store.before = func() { panic("a defect in the store") }
			return true
		})
		time.Sleep(5 * time.Second)
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if n := b.store.touched(); n != 1 {
			t.Errorf("%d writes, want 1", n)
		}
		stop()
		synctest.Wait()
	})
}

func TestScopesDecideWhatAnActorMay(t *testing.T) {
	t.Parallel()
	key := access.Actor{Kind: audit.ActorKey, Scopes: access.Scopes{"scans:*"}, Engines: []string{"nmap"}}
	if err := key.May(access.ScansCancel); err != nil {
		t.Error(err)
	}
	if err := key.May(access.Public); err != nil {
		t.Error(err)
	}
	err := key.May(access.UsageRead)
	wantCode(t, err, fault.Forbidden, fault.CodeScope)
	if got := fault.Of(err).Text; got != "Insufficient scope: requires usage:read" {
		t.Errorf("documented text: %q", got)
	}
	wantCode(t, key.May(access.Self), fault.Forbidden, fault.CodeScope)
	if err := key.MayEngine("nmap"); err != nil {
		t.Error(err)
	}
	wantCode(t, key.MayEngine("zap"), fault.Forbidden, fault.CodeScanType)

	fresh := access.Actor{Kind: audit.ActorUser, Role: access.RoleAdmin, Scopes: access.RoleAdmin.Scopes(), MustReset: true}
	for _, s := range access.AllScopes() {
		wantCode(t, fresh.May(s), fault.Forbidden, fault.CodePasswordChange)
	}
	if err := fresh.May(access.Self); err != nil {
		t.Error(err)
	}
}

func TestAnotherOrganizationsKeyIsNotThere(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	k := b.key(t, access.NewKey{})
	other := access.Operator(uid.Org("019aa000-0000-7000-8000-000000000001"))
	b.store.orgs[other.Org] = tenant.Organization{ID: other.Org}
	ctx, id := t.Context(), k.Key.ID
	for name, err := range map[string]error{
		"get":     second(b.Key(ctx, other, id)),
		"update":  second(b.UpdateKey(ctx, other, id, access.KeyPatch{Name: new("x")})),
		"rotate":  second(b.RotateKey(ctx, other, id, nil)),
		"revoke":  second(b.RevokeKey(ctx, other, id)),
		"suspend": second(b.SuspendKey(ctx, other, id)),
		"resume":  second(b.ResumeKey(ctx, other, id)),
		"no id":   second(b.Key(ctx, b.admin, "nonsense")),
	} {
		if fault.KindOf(err) != fault.NotFound {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }
