package access_test

import (
	"context"
	"encoding/base64"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/argon2"

	"assay.dev/assay/internal/audit"
	"assay.dev/assay/internal/org/access"
	"assay.dev/assay/internal/org/tenant"
	"assay.dev/assay/internal/word/event"
	"assay.dev/assay/internal/word/fault"
	"assay.dev/assay/internal/word/secret"
	"assay.dev/assay/internal/word/uid"
)

// cheapHash is a PHC string whose costs are below the present ones: quick to check, and outdated.
func cheapHash(password string) string {
	salt := []byte("salt salt salt s")
	key := argon2.IDKey([]byte(password), salt, 1, 64, 1, 32)
	enc := base64.RawStdEncoding
	return "$argon2id$v=19$m=64,t=1,p=1$" + enc.EncodeToString(salt) + "$" + enc.EncodeToString(key)
}

const rightPassword = "vexed-lantern-41-mule"

// user puts an account with rightPassword into the store.
func (b *bench) user(tb testing.TB, change ...func(*access.User)) access.User {
	tb.Helper()
	u := access.User{
		ID: "019aa000-0000-7000-8000-0000000000aa", Org: b.org, Username: "alice", Role: access.RoleAdmin,
		PasswordHash: cheapHash(rightPassword), CreatedAt: b.clock.Now(),
	}
	for _, f := range change {
		f(&u)
	}
	b.store.users[u.ID] = u
	return u
}

func (b *bench) login(tb testing.TB, password string) (access.Signed, error) {
	tb.Helper()
	return b.Login(tb.Context(), "Alice ", secret.New(password))
}

// signedIn logs alice in and returns her token and actor.
func (b *bench) signedIn(tb testing.TB) (string, access.Actor) {
	tb.Helper()
	s, err := b.login(tb, rightPassword)
	if err != nil {
		tb.Fatal(err)
	}
	a, err := b.Authenticate(tb.Context(), access.Credentials{Bearer: s.Token.Reveal()})
	if err != nil {
		tb.Fatal(err)
	}
	return s.Token.Reveal(), a
}

func TestFirstAdminGetsAOneTimePasswordThatMustBeChanged(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	first, err := b.CreateFirstAdmin(t.Context(), b.org, "Admin")
	if err != nil {
		t.Fatal(err)
	}
	lost := first.Password
	if first, err = b.CreateFirstAdmin(t.Context(), b.org, "admin"); err != nil { // a set-up that was cut off goes on
		t.Fatal(err)
	}
	_, err = b.Login(t.Context(), "admin", lost)
	wantCode(t, err, fault.Unauthenticated, fault.CodeCredentials)
	phc := b.store.users[first.User.ID].PasswordHash
	if !strings.HasPrefix(phc, "$argon2id$v=19$m=19456,t=2,p=1$") || strings.Contains(phc, first.Password.Reveal()) {
		t.Errorf("stored hash %q", phc)
	}
	signed, err := b.Login(t.Context(), "admin", first.Password)
	if err != nil || !signed.User.MustReset {
		t.Fatalf("must reset %v, %v", signed.User.MustReset, err)
	}
	c := access.Credentials{Cookie: signed.Token.Reveal()}
	a, err := b.Authenticate(t.Context(), c)
	if err != nil || !a.MustReset || !a.ByCookie {
		t.Fatalf("%+v, %v", a, err)
	}
	wantCode(t, a.May(access.ScansRead), fault.Forbidden, fault.CodePasswordChange)
	_, err = b.Me(t.Context(), a)
	wantCode(t, err, fault.Forbidden, fault.CodePasswordChange)
	wantCode(t, b.Logout(t.Context(), a), fault.Forbidden, fault.CodePasswordChange)
	if err := b.ChangePassword(t.Context(), a, first.Password, secret.New(rightPassword)); err != nil {
		t.Fatal(err)
	}
	if a, err = b.Authenticate(t.Context(), c); err != nil || a.MustReset {
		t.Fatalf("after the change: %+v, %v", a, err)
	}
	me, err := b.Me(t.Context(), a)
	if err != nil || me.Username != "admin" {
		t.Errorf("%+v, %v", me, err)
	}
	_, err = b.CreateFirstAdmin(t.Context(), b.org, "admin")
	wantCode(t, err, fault.Conflict, fault.CodeConflict)
	for _, name := range []string{"", "ab", "with space", "аdmin", strings.Repeat("x", 65)} {
		_, err = b.CreateFirstAdmin(t.Context(), b.org, name)
		wantCode(t, err, fault.Invalid, fault.CodeValidation)
	}
}

func TestLoginOpensASessionAndIsAudited(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	u := b.user(t, func(u *access.User) { u.Failures, u.FailedAt = 4, b.clock.Now() })
	s, err := b.login(t, rightPassword)
	if err != nil {
		t.Fatal(err)
	}
	want := access.Session{
		ID: s.Session.ID, User: u.ID, Org: b.org, Hash: s.Session.Hash,
		CreatedAt: b.clock.Now(), SeenAt: b.clock.Now(), ExpiresAt: b.clock.Now().Add(8 * time.Hour),
	}
	if d := cmp.Diff(want, s.Session); d != "" {
		t.Errorf("session (-want +got)\n%s", d)
	}
	stored := b.store.users[u.ID]
	if stored.Failures != 0 || !stored.LastLoginAt.Equal(b.clock.Now()) {
		t.Errorf("account %+v", stored)
	}
	if !strings.Contains(stored.PasswordHash, "m=19456,t=2,p=1") {
		t.Errorf("the outdated hash was not renewed: %s", stored.PasswordHash)
	}
	wantEvent := recorded{b.org, audit.Event{
		Type: event.AuthLoginSuccess, Resource: audit.Resource{Kind: "session", ID: string(s.Session.ID)},
		Actor: &audit.Actor{Kind: audit.ActorUser, ID: string(u.ID), Name: "alice"},
	}}
	if d := cmp.Diff(wantEvent, b.store.last(), cmp.AllowUnexported(audit.Event{})); d != "" {
		t.Errorf("event (-want +got)\n%s", d)
	}
	if _, err := b.login(t, rightPassword); err != nil {
		t.Errorf("with the renewed hash: %v", err)
	}
}

func TestFailedLoginsAreAlikeAndAudited(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	u := b.user(t)
	b.store.users["d"] = access.User{ID: "d", Org: b.org, Username: "disabled", Disabled: true, PasswordHash: cheapHash(rightPassword)}
	var texts []string
	for _, try := range []struct {
		name, password, reason string
		org                    uid.Org
		actor                  audit.Actor
	}{
		{"alice", "wrong-wrong-wrong", "wrong password", b.org, audit.Actor{Kind: audit.ActorUser, ID: string(u.ID), Name: "alice"}},
		{"nobody", rightPassword, "unknown user", uid.System, audit.Actor{Kind: audit.ActorAnonymous}},
		{"no body's name; a password?", rightPassword, "unknown user", uid.System, audit.Actor{Kind: audit.ActorAnonymous}},
		{"disabled", rightPassword, "account disabled", b.org, audit.Actor{Kind: audit.ActorUser, ID: "d", Name: "disabled"}},
	} {
		_, err := b.Login(t.Context(), try.name, secret.New(try.password))
		wantCode(t, err, fault.Unauthenticated, fault.CodeCredentials)
		texts = append(texts, fault.Of(err).Text)
		got := b.store.last()
		if got.Org != try.org || got.Event.Type != event.AuthLoginFailed || got.Event.Status != 401 || got.Event.Reason != try.reason ||
			*got.Event.Actor != try.actor {
			t.Errorf("%s: %+v by %+v", try.name, got, got.Event.Actor)
		}
	}
	for _, text := range texts {
		if text != texts[0] {
			t.Errorf("answers tell apart: %q and %q", text, texts[0])
		}
	}
	if len(b.store.events) != 4 || len(b.store.sessions) != 0 {
		t.Errorf("%d events, %d sessions", len(b.store.events), len(b.store.sessions))
	}
}

func TestFiveFailuresLockTheAccountForFifteenMinutes(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.user(t)
	for range 4 {
		_, err := b.login(t, "wrong-wrong-wrong")
		wantCode(t, err, fault.Unauthenticated, fault.CodeCredentials)
	}
	_, err := b.login(t, "wrong-wrong-wrong")
	wantCode(t, err, fault.Unauthenticated, fault.CodeLocked)
	if ev := b.store.last().Event; ev.Type != event.AuthAccountLocked || ev.Status != 401 {
		t.Errorf("event %+v", ev)
	}
	b.clock.add(15*time.Minute - time.Second)
	_, err = b.login(t, rightPassword)
	wantCode(t, err, fault.Unauthenticated, fault.CodeLocked)
	if ev := b.store.last().Event; ev.Type != event.AuthLoginFailed || ev.Reason != "account locked" {
		t.Errorf("event %+v", ev)
	}
	b.clock.add(time.Second)
	if _, err = b.login(t, rightPassword); err != nil {
		t.Errorf("after the lock: %v", err)
	}
}

func TestOldFailuresDoNotCount(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.user(t)
	for range 12 {
		_, err := b.login(t, "wrong-wrong-wrong")
		wantCode(t, err, fault.Unauthenticated, fault.CodeCredentials)
		b.clock.add(15*time.Minute + time.Microsecond)
	}
}

func TestParallelGuessesGetNoMoreThanFive(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	u := b.user(t)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() { _, _ = b.Login(t.Context(), "alice", secret.New("wrong-wrong-wrong")) })
	}
	wg.Wait()
	counted, locked := 0, 0
	for _, e := range b.store.events {
		switch {
		case e.Event.Type == event.AuthAccountLocked:
			locked++
		case e.Event.Reason == "wrong password":
			counted++
		}
	}
	if counted != 4 || locked != 1 {
		t.Errorf("%d guesses counted and %d locks, want 4 and 1", counted, locked)
	}
	if b.store.users[u.ID].LockedUntil.IsZero() {
		t.Error("not locked")
	}
}

// A correct password that was checked before the account got locked must not sign in after it.
func TestLockDuringALoginHolds(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	u := b.user(t)
	b.store.before = func() {
		row := b.store.users[u.ID]
		row.LockedUntil = b.clock.Now().Add(time.Minute)
		b.store.users[u.ID] = row
	}
	_, err := b.login(t, rightPassword)
	wantCode(t, err, fault.Unauthenticated, fault.CodeLocked)
	if len(b.store.sessions) != 0 {
		t.Error("a session was opened")
	}
}

func TestSuspendedOrganizationSaysSoOnlyToThoseWhoKnowThePassword(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.user(t)
	token, _ := b.signedIn(t)
	b.store.orgs[b.org] = tenant.Organization{ID: b.org, Suspended: true}
	b.Forget()
	_, err := b.login(t, "wrong-wrong-wrong")
	wantCode(t, err, fault.Unauthenticated, fault.CodeCredentials)
	_, err = b.login(t, rightPassword)
	wantCode(t, err, fault.Forbidden, fault.CodeOrgSuspended)
	if ev := b.store.last().Event; ev.Status != 403 || ev.Reason != "organization suspended" {
		t.Errorf("event %+v", ev)
	}
	_, err = b.Authenticate(t.Context(), access.Credentials{Bearer: token})
	wantCode(t, err, fault.Forbidden, fault.CodeOrgSuspended)
}

func TestSessionEnds(t *testing.T) {
	t.Parallel()
	ended := func(t *testing.T, b *bench, token string) {
		t.Helper()
		_, err := b.Authenticate(t.Context(), access.Credentials{Bearer: token})
		wantCode(t, err, fault.Unauthenticated, fault.CodeUnauthenticated)
	}
	t.Run("after 30 idle minutes, counted from the last call", func(t *testing.T) {
		t.Parallel()
		b := newBench(t)
		b.user(t)
		token, _ := b.signedIn(t)
		for range 3 {
			b.clock.add(30*time.Minute - time.Microsecond)
			if _, err := b.Authenticate(t.Context(), access.Credentials{Bearer: token}); err != nil {
				t.Fatal(err)
			}
		}
		b.clock.add(30 * time.Minute)
		ended(t, b, token)
	})
	t.Run("after 8 hours of work", func(t *testing.T) {
		t.Parallel()
		b := newBench(t)
		b.user(t)
		token, _ := b.signedIn(t)
		for range 8*3 - 1 {
			b.clock.add(20 * time.Minute)
			if _, err := b.Authenticate(t.Context(), access.Credentials{Bearer: token}); err != nil {
				t.Fatal(err)
			}
		}
		b.clock.add(20 * time.Minute)
		ended(t, b, token)
	})
	t.Run("at logout, at once", func(t *testing.T) {
		t.Parallel()
		b := newBench(t)
		b.user(t)
		token, a := b.signedIn(t)
		if err := b.Logout(t.Context(), a); err != nil {
			t.Fatal(err)
		}
		ended(t, b, token)
		if ev := b.store.last().Event; ev.Type != event.AuthLogout || ev.Resource.ID != string(a.Session) {
			t.Errorf("event %+v", ev)
		}
	})
	t.Run("when the user is disabled", func(t *testing.T) {
		t.Parallel()
		b := newBench(t)
		u := b.user(t)
		token, _ := b.signedIn(t)
		u.Disabled = true
		b.store.users[u.ID] = u
		b.clock.add(time.Second)
		ended(t, b, token)
	})
	t.Run("when it was never there", func(t *testing.T) {
		t.Parallel()
		ended(t, newBench(t), "asy_sess_00000000000000000000000000000000003Cno9l")
		ended(t, newBench(t), "asy_sess_typo")
		_, err := newBench(t).Authenticate(t.Context(), access.Credentials{Cookie: vectors()[0]})
		wantCode(t, err, fault.Unauthenticated, fault.CodeUnauthenticated)
	})
}

func TestSessionTokenIsNoAPIKey(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.user(t)
	token, _ := b.signedIn(t)
	_, err := b.Authenticate(t.Context(), access.Credentials{APIKey: token})
	wantCode(t, err, fault.Unauthenticated, fault.CodeInvalidKey)
}

func TestChangedPasswordEndsTheOtherSessions(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.user(t)
	other, _ := b.signedIn(t)
	own, a := b.signedIn(t)
	next := "another-Fjord-of-97-kites"
	if err := b.ChangePassword(t.Context(), a, secret.New(rightPassword), secret.New(next)); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Authenticate(t.Context(), access.Credentials{Bearer: own}); err != nil {
		t.Errorf("own session: %v", err)
	}
	_, err := b.Authenticate(t.Context(), access.Credentials{Bearer: other})
	wantCode(t, err, fault.Unauthenticated, fault.CodeUnauthenticated)
	if _, err := b.login(t, rightPassword); err == nil {
		t.Error("the old password still works")
	}
	if _, err := b.login(t, next); err != nil {
		t.Errorf("the new password: %v", err)
	}
}

func TestChangingThePasswordNeedsThePresentOne(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	u := b.user(t)
	_, a := b.signedIn(t)
	next := secret.New("another-Fjord-of-97-kites")
	err := b.ChangePassword(t.Context(), a, secret.New("wrong-wrong-wrong"), next)
	wantCode(t, err, fault.Unauthenticated, fault.CodeCredentials)
	if b.store.users[u.ID].Failures != 1 {
		t.Error("a wrong present password doesn't count as a failure")
	}
	for _, bad := range []string{"short", rightPassword, "alice-alice-2026", "grovehill-2026!"} {
		err := b.ChangePassword(t.Context(), a, secret.New(rightPassword), secret.New(bad))
		wantCode(t, err, fault.Invalid, fault.CodeValidation)
		if d := cmp.Diff([]string{"newPassword"}, locations(err)); d != "" {
			t.Error(d)
		}
	}
	key := b.as(t, b.key(t, access.NewKey{}), "")
	wantCode(t, b.ChangePassword(t.Context(), key, next, next), fault.Forbidden, fault.CodeForbidden)
	wantCode(t, b.Logout(t.Context(), key), fault.Forbidden, fault.CodeForbidden)
	_, err = b.Me(t.Context(), key)
	wantCode(t, err, fault.Forbidden, fault.CodeForbidden)
}

func TestDoctoredHashesAreRefused(t *testing.T) {
	t.Parallel()
	good := cheapHash(rightPassword)
	for _, phc := range []string{
		"plain text", strings.Replace(good, "argon2id", "argon2i", 1), strings.Replace(good, "v=19", "v=16", 1),
		strings.Replace(good, "m=64", "m=99999999", 1), strings.Replace(good, "t=1", "t=0", 1), strings.Replace(good, "p=1", "p=1,x=2", 1),
		good + "$", strings.TrimRight(good, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"),
	} {
		b := newBench(t)
		b.user(t, func(u *access.User) { u.PasswordHash = phc })
		_, err := b.login(t, rightPassword)
		wantCode(t, err, fault.Internal, fault.CodeInternal)
	}
}

func TestPasswordRules(t *testing.T) {
	t.Parallel()
	for _, good := range []string{
		rightPassword, "correct horse battery staple", "Tr0ub4dor&3-quill", "übergrößenträger-x", "j7Kq0ZmP3xWv", "пароль-из-слов-и-ёжика",
		strings.Repeat("ab3dx", 25) + "z!q",
	} {
		if err := access.CheckPassword("p", good, "alice", "alice@example.org", "Grove Hill"); err != nil {
			t.Errorf("%q refused: %s", good, fault.Of(err).Fields)
		}
	}
	for _, bad := range []string{
		"", "elevenchars", strings.Repeat("x7", 65), "with\x00controls-inside", "bad\xffutf8-here-now",
		"password1234", "Password2026!", "P@ssw0rd!2024!", "passwordpassword", "qwertyuiop12", "1q2w3e4r5t6y", "123456789012",
		"aaaaaaaaaaaaaaaa", "abcabcabcabcabc", "Welcome2026!!", "letmein-letmein", "ilovemymother", "Summer2026Summer", "adminadmin123!",
		"alicealice2026!", "GroveHill2026!!", "hill-grove-1999", "AssayAssay2026", "iloveyou-jennifer", "4bcdefghijklm", "zyxwvutsrqpo!",
		"dragon-monkey-99", "111222333444", "zxcvbnm,./zxcvbnm",
	} {
		err := access.CheckPassword("newPassword", bad, "alice", "alice@example.org", "Grove Hill")
		wantCode(t, err, fault.Invalid, fault.CodeValidation)
		if strings.Contains(fault.Of(err).Error(), bad) && bad != "" {
			t.Errorf("the refusal repeats the password")
		}
	}
}

func FuzzCheckPassword(f *testing.F) {
	f.Add("password1234", "alice")
	f.Add(strings.Repeat("é", 128), "é")
	f.Add("\xff\xfe", "")
	f.Fuzz(func(_ *testing.T, password, name string) {
		if len(password) < 1024 && len(name) < 256 {
			_ = access.CheckPassword("p", password, name)
		}
	})
}

func TestLoginsWaitInABoundedQueueForABoundedTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.user(t)
		release := b.HoldHashing()
		const callers = 40 // 32 may wait
		errs := make(chan error, callers)
		for range callers {
			go func() {
				_, err := b.Login(t.Context(), "alice", secret.New(rightPassword))
				errs <- err
			}()
		}
		synctest.Wait()
		if got := len(errs); got != callers-32 {
			t.Errorf("%d callers were refused at once, want %d", got, callers-32)
		}
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if got := len(errs); got != callers {
			t.Errorf("%d callers were answered after 5 seconds, want all", got)
		}
		for range callers {
			err := <-errs
			wantCode(t, err, fault.Unavailable, fault.CodeUnavailable)
			if fault.Of(err).RetryAfter <= 0 {
				t.Error("no word on when to retry")
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			_, err := b.Login(ctx, "alice", secret.New(rightPassword))
			errs <- err
		}()
		synctest.Wait()
		cancel()
		wantCode(t, <-errs, fault.Canceled, fault.CodeCanceled)
		release()
		if _, err := b.login(t, rightPassword); err != nil {
			t.Errorf("after the rush: %v", err)
		}
	})
}

func BenchmarkLogin(b *testing.B) {
	w := newBench(b)
	w.user(b)
	if _, err := w.login(b, rightPassword); err != nil { // renews the cheap hash
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := w.login(b, rightPassword); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCheckPassword(b *testing.B) {
	for b.Loop() {
		if err := access.CheckPassword("p", rightPassword, "alice", "Grove Hill"); err != nil {
			b.Fatal(err)
		}
	}
}
