package storetest_test

import (
	"testing"

	"assay.dev/assay/internal/infra/store/storetest"
	"assay.dev/assay/internal/testkit"
)

func TestSQLite(t *testing.T) {
	t.Parallel()
	storetest.Run(t, testkit.SQLite)
}

func TestPostgres(t *testing.T) {
	t.Parallel()
	storetest.Run(t, testkit.Postgres)
}
