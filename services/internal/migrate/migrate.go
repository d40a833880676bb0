// Package migrate is the program that moves a database from one schema version to another.
package migrate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"strconv"
	"time"

	"github.com/golang-migrate/migrate/v4"
	"github.com/golang-migrate/migrate/v4/database"
	_ "github.com/golang-migrate/migrate/v4/database/pgx/v5" // the pgx5:// driver
	"github.com/golang-migrate/migrate/v4/source/iofs"

	"github.com/datameesh/datameesh/services/internal/schema"
)

const usage = `Usage: %s up | down [N] | version | force N

  up        apply every migration that is not applied yet
  down [N]  take back the last N migrations (default 1; "all" takes back all)
  version   print the version of the schema
  force N   note that the schema is that of version N (0: empty), running nothing;
            for a schema that was left dirty

Environment: DATABASE_URL (postgres://OWNER@HOST:PORT/DATABASE), PGPASSWORD.
Exit codes: 0 done, 1 a migration failed, 2 wrong usage, 3 database not reached.
`

const (
	// migratorTimeout bounds the wait for another migrator; the second of two at
	// once finds nothing left to do.
	migratorTimeout = time.Minute
	// lockTimeout bounds the wait of a statement for a table that others use: as
	// long as it waits, all that come after it wait too.
	lockTimeout = 5 * time.Second
)

// Main runs the program name with args (up, down, version) on the migrations in
// files and gives its exit code.
func Main(ctx context.Context, name string, args []string, files fs.FS, stdout, stderr io.Writer) int {
	if len(args) == 1 && (args[0] == "-h" || args[0] == "--help" || args[0] == "help") {
		fmt.Fprintf(stdout, usage, name)
		return 0
	}
	direction, steps, err := parse(args)
	if err != nil {
		fmt.Fprintf(stderr, "%s: %v\n", name, err)
		fmt.Fprintf(stderr, usage, name)
		return 2
	}
	target, err := driverURL(os.Getenv("DATABASE_URL"))
	if err != nil {
		fmt.Fprintf(stderr, "%s: %v\n", name, err)
		return 2
	}
	m, err := open(target, files)
	if err != nil {
		fmt.Fprintf(stderr, "%s: cannot reach the database: %v; check DATABASE_URL and PGPASSWORD, and that the server runs\n", name, err)
		return 3
	}
	defer m.Close() //nolint:errcheck // the process ends; the result is already known
	defer context.AfterFunc(ctx, func() { m.GracefulStop <- true })()

	switch err := patiently(func() error { return run(m, direction, steps) }); {
	case errors.Is(err, migrate.ErrNoChange):
		fmt.Fprintln(stderr, "no change")
	case errors.Is(err, migrate.ErrNilVersion):
		fmt.Fprintln(stdout, "0")
		return 0
	case err != nil:
		fmt.Fprintf(stderr, "%s %s: %v\n", name, direction, describe(err, name, m, target, files))
		return 1
	}
	version, dirty, err := m.Version()
	if errors.Is(err, migrate.ErrNilVersion) {
		version, err = 0, nil
	}
	if err != nil {
		fmt.Fprintf(stderr, "%s: read the schema version: %v\n", name, err)
		return 1
	}
	if dirty {
		fmt.Fprintf(stderr, "%s: %v\n", name, schema.Dirty(name, int(version)))
		return 1
	}
	fmt.Fprintln(stdout, version)
	return 0
}

// Up applies every migration in files to the database.
func Up(databaseURL string, files fs.FS) error {
	target, err := driverURL(databaseURL)
	if err != nil {
		return err
	}
	m, err := open(target, files)
	if err != nil {
		return fmt.Errorf("cannot reach the database: %w", err)
	}
	defer m.Close() //nolint:errcheck // the result is already known
	if err := patiently(func() error { return run(m, "up", 0) }); err != nil && !errors.Is(err, migrate.ErrNoChange) {
		return describe(err, "the migrator", m, target, files)
	}
	return nil
}

func open(target string, files fs.FS) (*migrate.Migrate, error) {
	source, err := iofs.New(files, ".")
	if err != nil {
		return nil, fmt.Errorf("read the embedded migrations: %w", err)
	}
	var m *migrate.Migrate
	err = patiently(func() (err error) {
		m, err = migrate.NewWithSourceInstance("iofs", source, target)
		return err
	})
	if err != nil {
		return nil, err
	}
	m.LockTimeout = migratorTimeout
	return m, nil
}

func parse(args []string) (direction string, steps int, err error) {
	if len(args) == 0 {
		return "", 0, errors.New("say what to do")
	}
	switch direction = args[0]; direction {
	case "up", "version":
		if len(args) > 1 {
			return "", 0, fmt.Errorf("%s takes no argument, got %q", direction, args[1])
		}
		return direction, 0, nil
	case "down":
		if len(args) > 2 {
			return "", 0, fmt.Errorf("down takes one number, got %q", args[1:])
		}
		if len(args) == 1 {
			return direction, 1, nil
		}
		if args[1] == "all" {
			return direction, 0, nil
		}
		steps, err = strconv.Atoi(args[1])
		if err != nil || steps < 1 {
			return "", 0, fmt.Errorf("down takes a number of migrations from 1, or \"all\", got %q", args[1])
		}
		return direction, steps, nil
	case "force":
		if len(args) != 2 {
			return "", 0, errors.New("force takes the version that the schema has")
		}
		if steps, err = strconv.Atoi(args[1]); err != nil || steps < 0 {
			return "", 0, fmt.Errorf("force takes a version, 0 for an empty schema, got %q", args[1])
		}
		return direction, steps, nil
	default:
		return "", 0, fmt.Errorf("unknown command %q", direction)
	}
}

// patiently runs f again while another migrator is at work: golang-migrate's lock
// is subject to lockTimeout too.
func patiently(f func() error) error {
	for deadline := time.Now().Add(migratorTimeout); ; {
		err := f()
		var of *database.Error
		if !errors.As(err, &of) || of.Err != "try lock failed" || time.Now().After(deadline) {
			return err
		}
	}
}

func run(m *migrate.Migrate, direction string, steps int) error {
	switch {
	case direction == "up":
		return m.Up()
	case direction == "down" && steps == 0:
		return m.Down()
	case direction == "down":
		return m.Steps(-steps)
	case direction == "force" && steps == 0:
		return m.Force(database.NilVersion)
	case direction == "force":
		return m.Force(steps)
	default:
		_, _, err := m.Version()
		return err
	}
}

// describe adds to what m failed with how to mend what it left, and closes m.
func describe(err error, name string, m *migrate.Migrate, target string, files fs.FS) error {
	var dirty migrate.ErrDirty
	if errors.As(err, &dirty) {
		return schema.Dirty(name, dirty.Version)
	}
	var short migrate.ErrShortLimit
	if errors.As(err, &short) {
		return fmt.Errorf("%d fewer migrations than asked for were there; all of them were taken back", short.Short)
	}
	// The connection of a migration that failed is in a transaction that was
	// aborted, holds the migrators' lock and answers nothing more.
	if _, closeErr := m.Close(); closeErr != nil {
		return errors.Join(err, closeErr)
	}
	again, openErr := open(target, files)
	if openErr != nil {
		return errors.Join(err, openErr)
	}
	defer again.Close() //nolint:errcheck // the result is already known
	if version, dirty, versionErr := again.Version(); versionErr == nil && dirty {
		return fmt.Errorf("%w\n%w", err, schema.Dirty(name, int(version)))
	}
	return err
}

// driverURL turns the URL of the environment into the one golang-migrate's pgx
// driver is registered under.
func driverURL(databaseURL string) (string, error) {
	if databaseURL == "" {
		return "", errors.New("DATABASE_URL is not set; set it to postgres://OWNER@HOST:PORT/DATABASE")
	}
	u, err := url.Parse(databaseURL)
	if err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" || u.Host == "" {
		return "", errors.New("DATABASE_URL is not a PostgreSQL URL (postgres://OWNER@HOST:PORT/DATABASE)")
	}
	u.Scheme = "pgx5"
	query := u.Query()
	query.Set("connect_timeout", "5")
	query.Set("lock_timeout", strconv.FormatInt(lockTimeout.Milliseconds(), 10))
	u.RawQuery = query.Encode()
	return u.String(), nil
}
