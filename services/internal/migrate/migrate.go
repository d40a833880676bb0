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
	_ "github.com/golang-migrate/migrate/v4/database/pgx/v5" // the pgx5:// driver
	"github.com/golang-migrate/migrate/v4/source/iofs"
)

const usage = `Usage: %s up | down [N] | version

  up        apply every migration that is not applied yet
  down [N]  take back the last N migrations (default 1; "all" takes back all)
  version   print the version of the schema

Environment: DATABASE_URL (postgres://OWNER@HOST:PORT/DATABASE), PGPASSWORD.
Exit codes: 0 done, 1 a migration failed, 2 wrong usage, 3 database not reached.
`

// lockTimeout bounds the wait for another migrator; the second of two at once
// finds nothing left to do.
const lockTimeout = time.Minute

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

	switch err := run(m, direction, steps); {
	case errors.Is(err, migrate.ErrNoChange):
		fmt.Fprintln(stderr, "no change")
	case errors.Is(err, migrate.ErrNilVersion):
		fmt.Fprintln(stdout, "0")
		return 0
	case err != nil:
		fmt.Fprintf(stderr, "%s %s: %v\n", name, direction, describe(err))
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
		fmt.Fprintf(stderr, "%s: version %d is dirty: a migration was cut off in the middle; look at the schema and mend it by hand\n", name, version)
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
	if err := run(m, "up", 0); err != nil && !errors.Is(err, migrate.ErrNoChange) {
		return describe(err)
	}
	return nil
}

func open(target string, files fs.FS) (*migrate.Migrate, error) {
	source, err := iofs.New(files, ".")
	if err != nil {
		return nil, fmt.Errorf("read the embedded migrations: %w", err)
	}
	m, err := migrate.NewWithSourceInstance("iofs", source, target)
	if err != nil {
		return nil, err
	}
	m.LockTimeout = lockTimeout
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
	default:
		return "", 0, fmt.Errorf("unknown command %q", direction)
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
	default:
		_, _, err := m.Version()
		return err
	}
}

func describe(err error) error {
	var dirty migrate.ErrDirty
	if errors.As(err, &dirty) {
		return fmt.Errorf("the schema is dirty at version %d: a migration was cut off in the middle; look at the schema and mend it by hand", dirty.Version)
	}
	var short migrate.ErrShortLimit
	if errors.As(err, &short) {
		return fmt.Errorf("%d fewer migrations than asked for were there; all of them were taken back", short.Short)
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
	u.RawQuery = query.Encode()
	return u.String(), nil
}
