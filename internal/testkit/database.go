package testkit

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"assay.dev/assay/internal/infra/store"
)

// Environment of the PostgreSQL tests.
const (
	envPostgres = "ASSAY_TEST_POSTGRES" // a superuser's DSN, as a URL
	envRequire  = "REQUIRE_PG"          // 1 = a missing server fails the test instead of skipping it
)

// testRole is the role the store connects as: it owns its database and nothing else, so that row-level security holds.
const testRole = "assay_test"

// Option changes how a test's store is opened.
type Option func(*store.Config)

// WithClock gives the store a clock of the test's; by default it has the real one.
func WithClock(c *Clock) Option {
	return func(cfg *store.Config) { cfg.Now, cfg.IDs = c.Now, c.IDs() }
}

// WithConfig changes anything else.
func WithConfig(change func(*store.Config)) Option { return change }

// Each runs f on a fresh SQLite file and on a fresh PostgreSQL database, as the subtests "sqlite" and "postgres".
func Each(t *testing.T, f func(t *testing.T, s *store.Store), opts ...Option) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { f(t, SQLite(t, opts...)) })
	t.Run("postgres", func(t *testing.T) { f(t, Postgres(t, opts...)) })
}

// SQLite opens a fresh database in a folder of the test's.
func SQLite(t testing.TB, opts ...Option) *store.Store {
	t.Helper()
	return open(t, store.Config{Path: filepath.Join(t.TempDir(), "assay.db")}, opts)
}

// Postgres opens a fresh database on the test server, which ASSAY_TEST_POSTGRES names; it is dropped with the test.
// Without a server the test is skipped, or fails where REQUIRE_PG=1.
func Postgres(t testing.TB, opts ...Option) *store.Store {
	t.Helper()
	return open(t, store.Config{DSN: Database(t)}, opts)
}

// Database makes an empty database on the test server and returns the DSN of its owner.
func Database(t testing.TB) string {
	t.Helper()
	admin := os.Getenv(envPostgres) //nolint:forbidigo // the test target says here where its server is
	if admin == "" {
		if os.Getenv(envRequire) == "1" { //nolint:forbidigo // continuous integration says here that a skip is a failure
			t.Fatalf("%s=1 but %s names no PostgreSQL server", envRequire, envPostgres)
		}
		t.Skipf("NOT TESTED ON POSTGRESQL: set %s to a superuser's URL, or run make test", envPostgres)
	}
	name := "assay_test_" + random()
	command(t, admin, "CREATE DATABASE "+name+" OWNER "+role(t, admin))
	t.Cleanup(func() { command(t, admin, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)") })
	u, err := url.Parse(admin)
	if err != nil {
		t.Fatalf("%s must be a URL", envPostgres)
	}
	u.Path, u.User = "/"+name, url.UserPassword(testRole, testRole)
	return u.String()
}

func random() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// role makes the role of the tests where it is missing; another process may be doing the same.
func role(t testing.TB, admin string) string {
	t.Helper()
	err := try(admin, fmt.Sprintf("CREATE ROLE %s LOGIN NOSUPERUSER NOBYPASSRLS PASSWORD '%s'", testRole, testRole))
	var pg *pgconn.PgError
	if err != nil && (!errors.As(err, &pg) || (pg.Code != "42710" && pg.Code != "23505")) {
		t.Fatalf("making the test role: %v", err)
	}
	return testRole
}

func command(t testing.TB, dsn, sql string) {
	t.Helper()
	if err := try(dsn, sql); err != nil {
		t.Fatalf("preparing PostgreSQL: %v", err)
	}
}

func try(dsn, sql string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute) // also runs in clean-ups, after the test's context
	defer cancel()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	defer conn.Close(ctx) //nolint:errcheck // nothing is lost with it
	_, err = conn.Exec(ctx, sql)
	return err
}

func open(t testing.TB, cfg store.Config, opts []Option) *store.Store {
	t.Helper()
	cfg.Now, cfg.Rand = time.Now, rand.Reader //nolint:forbidigo // the kit stands where app stands: it hands the real clock in
	cfg.IDs = (&Clock{now: time.Now()}).IDs() //nolint:forbidigo // ids begin at the real time and rise by counting
	cfg.Logger = slog.New(slog.DiscardHandler)
	for _, o := range opts {
		o(&cfg)
	}
	s, err := store.Open(t.Context(), cfg)
	if err != nil {
		t.Fatalf("opening the test's database: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute) // the test's context has ended here
		defer cancel()
		if err := s.Close(ctx); err != nil {
			t.Errorf("closing the test's database: %v", err)
		}
	})
	return s
}

// Run starts the store's background work for as long as the test runs.
func Run(t testing.TB, s *store.Store) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background()) // ends in the clean-up, before the store is closed
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the store's background work: %v", err)
		}
	})
}
