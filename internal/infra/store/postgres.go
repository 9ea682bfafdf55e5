package store

import (
	"context"
	"database/sql"
)

type postgresStore struct{ s *Store }

func openPostgres(context.Context, *Store) (*postgresStore, error) {
	return nil, internal("not yet", nil)
}
func (b *postgresStore) write(context.Context, *unit) error { return nil }
func (b *postgresStore) read(context.Context, scope, bool, func(context.Context, *View) error) error {
	return nil
}
func (b *postgresStore) run(context.Context) error   { return nil }
func (b *postgresStore) database() *sql.DB           { return nil }
func (b *postgresStore) close(context.Context) error { return nil }
