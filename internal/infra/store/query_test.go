package store_test

import (
	"context"
	"database/sql"
	"regexp"
	"slices"
	"strings"
	"testing"

	"assay.dev/assay/internal/infra/store"
	"assay.dev/assay/internal/testkit"
)

func TestBothDatabasesHaveTheSameQueries(t *testing.T) {
	t.Parallel()
	lite, err := store.QueryNames("sqlite")
	if err != nil {
		t.Fatal(err)
	}
	post, err := store.QueryNames("postgres")
	if err != nil {
		t.Fatal(err)
	}
	// What only PostgreSQL does: numbering after the commit, and counting for many processes.
	only := []string{
		"all.audit_insert_pending", "all.audit_pending", "all.audit_place", "all.log_node_unnest", "all.log_states",
		"all.notify", "all.outbox_place", "all.role", "all.sequencer_lock", "all.window_take", "audit.insert_pending",
	}
	for _, n := range post {
		if !slices.Contains(lite, n) && !slices.Contains(only, n) {
			t.Errorf("query %s exists on PostgreSQL alone", n)
		}
	}
	for _, n := range lite {
		if !slices.Contains(post, n) {
			t.Errorf("query %s exists on SQLite alone", n)
		}
	}
	for _, n := range only {
		if !slices.Contains(post, n) || slices.Contains(lite, n) {
			t.Errorf("query %s is not PostgreSQL's alone any more", n)
		}
	}
}

func TestEveryQueryPreparesOnTheMigratedSchema(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s *store.Store) {
		for _, q := range s.Queries() {
			if err := prepare(t.Context(), s.Database(), q.Text); err != nil {
				t.Errorf("%s: %v", q.Name, err)
			}
		}
	})
}

func prepare(ctx context.Context, db *sql.DB, text string) error {
	st, err := db.PrepareContext(ctx, text)
	if err != nil {
		return err
	}
	defer st.Close() //nolint:errcheck // it was only tried
	return nil
}

// scoped matches what ties a statement to the organization in $1: a comparison, or an insert whose first column it is.
var scoped = regexp.MustCompile(`(?is)\borg\s*=\s*[$?]1\b|insert\s+into\s+\w+\s*\(\s*org\b.*?[$?]1\b`)

func TestEveryQueryIsScopedToItsOrganizationOrSaysWhyNot(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s *store.Store) {
		tables := scopedTables(t, s)
		for _, q := range s.Queries() {
			if q.Shared {
				if len(q.Reason) < 10 {
					t.Errorf("%s sees all organizations and doesn't say why", q.Name)
				}
				continue
			}
			if !scoped.MatchString(q.Text) {
				t.Errorf("%s isn't tied to the organization in $1:\n%s", q.Name, q.Text)
			}
			// A statement over several tables must tie each of them; joins on org count.
			for _, alias := range aliases(q.Text, tables) {
				if !regexp.MustCompile(`(?i)\b(` + alias + `\.)?org\b`).MatchString(q.Text) {
					t.Errorf("%s doesn't tie %s to an organization:\n%s", q.Name, alias, q.Text)
				}
			}
		}
	})
}

// aliases returns the names under which a statement uses scoped tables, where it uses more than one.
func aliases(text string, tables []string) []string {
	var out []string
	for _, t := range tables {
		re := regexp.MustCompile(`(?i)\b(?:from|join|update|into)\s+` + t + `\b(?:\s+(?:as\s+)?([a-z]\w*))?`)
		for _, m := range re.FindAllStringSubmatch(text, -1) {
			a := strings.ToLower(m[1])
			if a == "" || slices.Contains([]string{"where", "set", "on", "order", "join", "left", "using", "group", "limit", "values", "select"}, a) {
				a = t
			}
			out = append(out, a)
		}
	}
	if len(out) < 2 {
		return nil
	}
	return out
}

// scopedTables lists the tables with a column org.
func scopedTables(t *testing.T, s *store.Store) []string {
	t.Helper()
	text := "SELECT table_name FROM information_schema.columns WHERE column_name = 'org' AND table_schema = 'public'"
	if s.Dialect() == "sqlite" {
		text = "SELECT m.name FROM sqlite_master m JOIN pragma_table_info(m.name) c WHERE m.type = 'table' AND c.name = 'org'"
	}
	return column(t, s.Database(), text)
}

func column(t *testing.T, db *sql.DB, text string) []string {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), text)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close() //nolint:errcheck // the error that matters is Err's
	var out []string
	for rows.Next() {
		var v string
		if err := rows.Scan(&v); err != nil {
			t.Fatal(err)
		}
		out = append(out, v)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestEveryTableOfOrganizationsHasRowLevelSecurity(t *testing.T) {
	t.Parallel()
	s := testkit.Postgres(t)
	forced := column(t, s.Database(), `SELECT c.relname FROM pg_class c WHERE c.relkind = 'r' AND c.relrowsecurity AND c.relforcerowsecurity
		AND EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid)`)
	for _, table := range scopedTables(t, s) {
		if !slices.Contains(forced, table) {
			t.Errorf("table %s has no forced row-level security; call assay_isolate in its migration", table)
		}
	}
}

func TestNoForeignKeyIsDeferred(t *testing.T) {
	t.Parallel()
	// A deferred key fails at COMMIT, and with it everybody's batch.
	s := testkit.SQLite(t)
	for _, def := range column(t, s.Database(), "SELECT coalesce(sql, '') FROM sqlite_master") {
		if strings.Contains(strings.ToUpper(def), "DEFERR") {
			t.Errorf("a deferrable constraint in:\n%s", def)
		}
	}
}

// whole lists the queries that may read a table from end to end, with the reason.
func whole() map[string]string {
	return map[string]string{
		"all.schema_files": "a handful of rows",
		"all.role":         "asked once, of the server's own tables",
		"all.tenant.list":  "lists every organization, for the operator",
		"all.outbox_prune": "looks at the cursors of the outbox's readers, one row each",
	}
}

// TestEveryQueryFindsItsRowsByAnIndex plans every query of PostgreSQL as it will run: for any arguments, under row-level
// security, which keeps conditions that aren't leakproof away from indexes. A sequential scan is then left only where
// no index can serve.
func TestEveryQueryFindsItsRowsByAnIndex(t *testing.T) {
	t.Parallel()
	s := testkit.Postgres(t)
	for _, q := range s.Queries() {
		if whole()[q.Name] != "" {
			continue
		}
		plan, err := s.Plan(t.Context(), q.Text)
		if err != nil {
			t.Errorf("%s: %v", q.Name, err)
			continue
		}
		if strings.Contains(plan, "Seq Scan on ") {
			t.Errorf("%s reads a whole table:\n%s", q.Name, plan)
		}
	}
}
