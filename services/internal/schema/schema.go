// Package schema says whether a database has the schema that a program was built for.
package schema

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// A Schema is what a program was built for.
type Schema struct {
	Migrator string // the program that mends a database, "sales-migrate"
	Files    fs.FS  // its migrations: NUMBER_verb_object.up.sql
}

// A Querier runs a query that gives one row; a pool does.
type Querier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// A Mismatch says what is wrong with the schema of a database and which command
// mends it.
type Mismatch string

// Error makes a Mismatch an error.
func (m Mismatch) Error() string { return string(m) }

// Explain gives the text, which is fit for everybody.
func (m Mismatch) Explain() string { return string(m) }

// SQLSTATE of PostgreSQL, appendix A.
const (
	undefinedTable = "42P01"
	noPrivilege    = "42501"
)

// Check gives a Mismatch unless the database has the newest version of the
// schema; another error when it does not answer. The version is where
// golang-migrate keeps it.
func (s Schema) Check(ctx context.Context, db Querier) error {
	wanted, err := s.newest()
	if err != nil {
		return err
	}
	var version int
	var dirty bool
	err = db.QueryRow(ctx, `SELECT version, dirty FROM schema_migrations`).Scan(&version, &dirty)
	var refused *pgconn.PgError
	switch {
	case errors.Is(err, pgx.ErrNoRows), errors.As(err, &refused) && refused.Code == undefinedTable:
		return Mismatch(fmt.Sprintf("the database has no schema yet; run: %s up", s.Migrator))
	case errors.As(err, &refused) && refused.Code == noPrivilege:
		// Only the newest versions let the services see which one it is.
		return Mismatch(fmt.Sprintf("the schema is older than version %d, which this program needs; run: %s up", wanted, s.Migrator))
	case err != nil:
		return fmt.Errorf("read the version of the schema: %w", err)
	case dirty:
		return Dirty(s.Migrator, version)
	case version < wanted:
		return Mismatch(fmt.Sprintf("the schema has version %d, this program needs version %d; run: %s up", version, wanted, s.Migrator))
	case version > wanted:
		return Mismatch(fmt.Sprintf("the schema has version %d, newer than version %d, which this program needs; start the newer release, or take the schema back with the %s of the newer release: %s down %d",
			version, wanted, s.Migrator, s.Migrator, version-wanted))
	}
	return nil
}

// Dirty says what to do about a migration that failed or was cut off. Each is
// one transaction, so nothing of it is there.
func Dirty(migrator string, version int) Mismatch {
	return Mismatch(fmt.Sprintf("the schema is dirty: migration %d did not end, and was taken back as a whole; mend what was wrong and run: %s force %d && %s up"+
		" (after a down that did not end: %s force %d)", version, migrator, version-1, migrator, migrator, version+1))
}

// newest gives the highest number of the migrations.
func (s Schema) newest() (newest int, err error) {
	names, err := fs.Glob(s.Files, "*.up.sql")
	if err != nil {
		return 0, fmt.Errorf("list the migrations: %w", err)
	}
	for _, name := range names {
		number, _, _ := strings.Cut(path.Base(name), "_")
		n, err := strconv.Atoi(number)
		if err != nil {
			return 0, fmt.Errorf("the migration %s has no number", name)
		}
		newest = max(newest, n)
	}
	if newest == 0 {
		return 0, errors.New("there are no migrations")
	}
	return newest, nil
}
