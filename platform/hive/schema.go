package hive

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// SchemaVersion is the version of the tables that the metastore 3.1.3 works on.
const SchemaVersion = "3.1.0"

// tables is how many the script of SchemaVersion makes.
const tables = 74

// InitSchema makes the metastore's tables in the database that conn is
// connected to, as its owner, unless they are there. home is the tree of the
// metastore, whose own script is run, in one transaction: the tables are there
// completely or not at all. What is there is verified: version and number of
// tables. made tells which of the two happened.
func InitSchema(ctx context.Context, conn *pgx.Conn, home string) (made bool, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("schema of the Hive metastore: %w", err)
		}
	}()
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		// Two at once: the second finds what the first made.
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(7310)`); err != nil {
			return err
		}
		var count int
		if err := tx.QueryRow(ctx, `SELECT count(*) FROM pg_tables WHERE schemaname = 'public'`).Scan(&count); err != nil {
			return err
		}
		if count == 0 {
			script, err := os.ReadFile(filepath.Join(home, "scripts", "metastore", "upgrade", "postgres", "hive-schema-"+SchemaVersion+".postgres.sql"))
			if err != nil {
				return err
			}
			if _, err := tx.Conn().PgConn().Exec(ctx, string(script)).ReadAll(); err != nil {
				return err
			}
			made = true
			// The script counts on a database of its own and leaves settings behind.
			if _, err := tx.Exec(ctx, `RESET ALL`); err != nil {
				return err
			}
		}
		return verifySchema(ctx, tx)
	})
	return made && err == nil, err
}

func verifySchema(ctx context.Context, tx pgx.Tx) error {
	var version string
	var count int
	err := tx.QueryRow(ctx, `
		SELECT (SELECT "SCHEMA_VERSION" FROM "VERSION" WHERE "VER_ID" = 1),
		       (SELECT count(*) FROM pg_tables WHERE schemaname = 'public')`).Scan(&version, &count)
	var pgErr *pgconn.PgError
	const undefinedTable = "42P01"
	switch {
	case errors.As(err, &pgErr) && pgErr.Code == undefinedTable:
		return errors.New("the database holds tables of something else; give the metastore a database of its own")
	case err != nil:
		return err
	case version != SchemaVersion:
		return fmt.Errorf("the database holds version %s, this metastore works on %s", version, SchemaVersion)
	case count < tables:
		return fmt.Errorf("%d of %d tables are there; somebody dropped some: restore the database from a backup", count, tables)
	}
	return nil
}
