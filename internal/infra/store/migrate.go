package store

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"assay.dev/assay/internal/word/fault"
)

//go:embed migrate
var migrateFiles embed.FS

// migrate brings the schema up to date: forward only, one transaction a file, one process at a time. It refuses a
// schema that isn't ours: newer by more than one step, or one of whose applied files reads otherwise today.
func migrate(ctx context.Context, s *Store, db *sql.DB) error {
	files, err := fs.Sub(migrateFiles, path.Join("migrate", string(s.dialect)))
	if err != nil {
		return internal("the schema's files are missing", err)
	}
	opts := []goose.ProviderOption{goose.WithDisableGlobalRegistry(true)}
	kind := goose.DialectSQLite3
	if s.dialect == postgresDialect {
		kind = goose.DialectPostgres
		session, err := lock.NewPostgresSessionLocker()
		if err != nil {
			return internal("the schema can't be locked", err)
		}
		opts = append(opts, goose.WithSessionLocker(session))
	}
	p, err := goose.NewProvider(kind, db, files, opts...)
	if err != nil {
		return internal("the schema's files can't be read", err)
	}
	current, target, err := p.GetVersions(ctx)
	if err != nil {
		return migrateFault("the database's schema can't be read", err)
	}
	if current > target+1 {
		return fault.New(fault.Internal, fault.CodeInternal, "the database was made by a newer version; start that one").
			Because(fmt.Errorf("schema %d, newest known %d", current, target))
	}
	sums, err := checksums(files)
	if err != nil {
		return internal("the schema's files can't be read", err)
	}
	if current > 0 {
		if err := compareChecksums(ctx, s, db, sums); err != nil {
			return err
		}
	}
	if _, err := p.Up(ctx); err != nil {
		return migrateFault("the database's schema can't be brought up to date", err)
	}
	return recordChecksums(ctx, s, db, sums)
}

func migrateFault(text string, err error) error {
	if f := fault.Of(readFault(err)); f.Kind == fault.Unavailable || f.Kind == fault.Canceled {
		return f
	}
	return internal(text, err)
}

// checksums returns the SHA-256 of each file by version.
func checksums(files fs.FS) (map[int64]string, error) {
	names, err := fs.Glob(files, "*.sql")
	if err != nil {
		return nil, err
	}
	sums := make(map[int64]string, len(names))
	for _, n := range names {
		number, _, _ := strings.Cut(n, "_")
		version, err := strconv.ParseInt(number, 10, 64)
		if err != nil {
			return nil, err
		}
		b, err := fs.ReadFile(files, n)
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256(b)
		sums[version] = hex.EncodeToString(sum[:])
	}
	return sums, nil
}

func compareChecksums(ctx context.Context, s *Store, db *sql.DB, sums map[int64]string) error {
	q, err := s.queries.get("all.schema_files")
	if err != nil {
		return err
	}
	rows, err := db.QueryContext(ctx, q.text)
	if err != nil {
		return migrateFault("the database's schema can't be read", err)
	}
	defer rows.Close() //nolint:errcheck // the error that matters is Err's
	for rows.Next() {
		var version int64
		var sum string
		if err := rows.Scan(&version, &sum); err != nil {
			return internal("the database's schema can't be read", err)
		}
		if want, known := sums[version]; known && want != sum {
			return internal("an applied step of the schema was changed afterwards; use the version that made the database",
				fmt.Errorf("migration %d has sha256 %s, applied was %s", version, want, sum))
		}
	}
	return readFault(rows.Err())
}

func recordChecksums(ctx context.Context, s *Store, db *sql.DB, sums map[int64]string) error {
	q, err := s.queries.get("all.schema_file_insert")
	if err != nil {
		return err
	}
	for version, sum := range sums {
		if _, err := db.ExecContext(ctx, q.text, version, sum); err != nil {
			return migrateFault("the database's schema can't be recorded", err)
		}
	}
	return nil
}
