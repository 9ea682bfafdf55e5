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
func SQLite(tb testing.TB, opts ...Option) *store.Store {
	tb.Helper()
	return open(tb, store.Config{Path: filepath.Join(tb.TempDir(), "assay.db")}, opts)
}

// Postgres opens a fresh database on the test server, which ASSAY_TEST_POSTGRES names; it is dropped with the test.
// Without a server the test is skipped, or fails where REQUIRE_PG=1.
func Postgres(tb testing.TB, opts ...Option) *store.Store {
	tb.Helper()
	return open(tb, store.Config{DSN: Database(tb)}, opts)
}

// Database makes an empty database on the test server and returns the DSN of its owner.
func Database(tb testing.TB) string {
	tb.Helper()
	admin := os.Getenv(envPostgres)
	if admin == "" {
		if os.Getenv(envRequire) == "1" {
			tb.Fatalf("%s=1 but %s names no PostgreSQL server", envRequire, envPostgres)
		}
		tb.Skipf("NOT TESTED ON POSTGRESQL: set %s to a superuser's URL, or run make test", envPostgres)
	}
	name := "assay_test_" + random()
	command(tb, admin, "CREATE DATABASE "+name+" OWNER "+role(tb, admin))
	tb.Cleanup(func() { command(tb, admin, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)") })
	u, err := url.Parse(admin)
	if err != nil {
		tb.Fatalf("%s must be a URL", envPostgres)
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
func role(tb testing.TB, admin string) string {
	tb.Helper()
	err := try(admin, fmt.Sprintf("CREATE ROLE %s LOGIN NOSUPERUSER NOBYPASSRLS PASSWORD '%s'", testRole, testRole))
	var pg *pgconn.PgError
	if err != nil && (!errors.As(err, &pg) || (pg.Code != "42710" && pg.Code != "23505")) {
		tb.Fatalf("making the test role: %v", err)
	}
	return testRole
}

func command(tb testing.TB, dsn, sql string) {
	tb.Helper()
	if err := try(dsn, sql); err != nil {
		tb.Fatalf("preparing PostgreSQL: %v", err)
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

func open(tb testing.TB, cfg store.Config, opts []Option) *store.Store {
	tb.Helper()
	cfg.Now, cfg.Rand = time.Now, rand.Reader
	cfg.IDs = (&Clock{now: time.Now()}).IDs()
	cfg.Logger = slog.New(slog.DiscardHandler)
	cfg.Budget = time.Minute // the race detector on a busy machine is no runaway
	for _, o := range opts {
		o(&cfg)
	}
	s, err := store.Open(tb.Context(), cfg)
	if err != nil {
		tb.Fatalf("opening the test's database: %v", err)
	}
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute) // the test's context has ended here
		defer cancel()
		if err := s.Close(ctx); err != nil {
			tb.Errorf("closing the test's database: %v", err)
		}
	})
	return s
}

// Run starts the store's background work for as long as the test runs.
func Run(tb testing.TB, s *store.Store) {
	tb.Helper()
	ctx, cancel := context.WithCancel(context.Background()) // ends in the clean-up, before the store is closed
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	tb.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			tb.Errorf("the store's background work: %v", err)
		}
	})
}
