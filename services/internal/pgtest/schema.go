package pgtest

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Connect opens a connection as the role, closed when the test ends.
func (d Database) Connect(t testing.TB, role string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), d.URL(role))
	if err != nil {
		t.Fatalf("connect as %s: %v", role, err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) }) //nolint:errcheck // the test is over
	return conn
}

// Pool opens a pool as the role, closed when the test ends.
func (d Database) Pool(t testing.TB, role string) *pgxpool.Pool {
	t.Helper()
	pool, err := pgxpool.New(context.Background(), d.URL(role))
	if err != nil {
		t.Fatalf("connect as %s: %v", role, err)
	}
	t.Cleanup(pool.Close)
	return pool
}

// Allowed says whether the role may run the statement, which is rolled back.
// Any error but a refusal (SQLSTATE 42501, insufficient privilege) fails the
// test: a statement that is wrong in itself proves nothing.
func (d Database) Allowed(t testing.TB, role, statement string) bool {
	t.Helper()
	conn := d.Connect(t, role)
	tx, err := conn.Begin(context.Background())
	if err != nil {
		t.Fatalf("begin as %s: %v", role, err)
	}
	defer tx.Rollback(context.Background()) //nolint:errcheck // nothing is kept
	_, err = tx.Exec(context.Background(), statement)
	var refused *pgconn.PgError
	if errors.As(err, &refused) && refused.Code == "42501" {
		return false
	}
	if err != nil {
		t.Fatalf("%s as %s: %v", statement, role, err)
	}
	return true
}

// Dump describes everything the migrations made: relations, columns, defaults,
// constraints, indexes, triggers, functions, policies, rights, comments; sorted, so that
// two databases with the same schema have the same dump.
func (d Database) Dump(t testing.TB, owner string) string {
	t.Helper()
	rows, err := d.Connect(t, owner).Query(context.Background(), `
		SELECT 'relation ' || c.relname || ' ' || c.relkind::text || ' ' || coalesce(c.relacl::text, '') || ' ' || coalesce(obj_description(c.oid), '')
		  FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relname <> 'schema_migrations' AND c.relname <> 'schema_migrations_pkey'
		UNION ALL
		SELECT 'column ' || c.relname || '.' || a.attname || ' ' || format_type(a.atttypid, a.atttypmod) || ' ' || a.attnotnull || ' ' || a.attidentity::text
		       || ' ' || coalesce(pg_get_expr(ad.adbin, ad.adrelid), '') || ' ' || coalesce(a.attacl::text, '') || ' ' || coalesce(col_description(c.oid, a.attnum), '')
		  FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid LEFT JOIN pg_attrdef ad ON ad.adrelid = c.oid AND ad.adnum = a.attnum
		 WHERE c.relnamespace = 'public'::regnamespace AND a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p') AND c.relname <> 'schema_migrations'
		UNION ALL
		SELECT 'constraint ' || conrelid::regclass || ' ' || conname || ' ' || pg_get_constraintdef(oid)
		  FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND conrelid <> 0 AND conname <> 'schema_migrations_pkey'
		UNION ALL
		SELECT 'index ' || indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename <> 'schema_migrations'
		UNION ALL
		SELECT 'trigger ' || pg_get_triggerdef(t.oid) FROM pg_trigger t JOIN pg_class c ON c.oid = tgrelid
		 WHERE c.relnamespace = 'public'::regnamespace AND NOT tgisinternal
		UNION ALL
		SELECT 'function ' || pg_get_functiondef(oid) || coalesce(proacl::text, '') FROM pg_proc WHERE pronamespace = 'public'::regnamespace
		UNION ALL
		SELECT 'policy ' || polrelid::regclass || ' ' || polname || ' ' || polcmd::text || ' ' || (SELECT string_agg(r::regrole::text, ',' ORDER BY r::regrole::text) FROM unnest(polroles) r)
		       || ' ' || coalesce(pg_get_expr(polqual, polrelid), '') || ' ' || coalesce(pg_get_expr(polwithcheck, polrelid), '')
		  FROM pg_policy
		UNION ALL
		SELECT 'row security ' || relname FROM pg_class WHERE relrowsecurity
		UNION ALL
		SELECT 'schema ' || coalesce(nspacl::text, '') FROM pg_namespace WHERE nspname = 'public'
		 ORDER BY 1`)
	if err != nil {
		t.Fatalf("dump: %v", err)
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatalf("dump: %v", err)
	}
	return strings.Join(lines, "\n")
}
