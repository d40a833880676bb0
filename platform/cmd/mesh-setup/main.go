// Command mesh-setup runs the tasks of the mesh inside a cluster: roles, keys, tables, marts.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/datameesh/datameesh/platform/dbt"
	"github.com/datameesh/datameesh/platform/setup"
)

const usage = `usage: mesh-setup COMMAND

  wait                        until the role of DATABASE_URL (PGPASSWORD) can log in
  roles SERVER…               roles and databases of PostgreSQL servers (PASSWORDS_DIR)
  object-store S3 ADMIN       buckets, keys and rights of the object store (PASSWORDS_DIR)
  grafana-people URL          people of Grafana (PASSWORDS_DIR, GRAFANA_ADMIN_PASSWORD)
  wait-object-store S3        until S3_ACCESS_KEY and S3_SECRET_KEY open the lake
  metastore-schema HOME       tables of the Hive metastore (DATABASE_URL, PGPASSWORD)
  dbt-build                   marts (DBT_PROGRAM, DBT_PROJECT, DBT_WORK, TRINO_HOST, TRINO_PORT, TRINO_CA,
                              TRINO_PASSWORD, DATABASE_URL, PGPASSWORD)
  dbt-docs ADDRESS WORK       serves the documents of the last build
  trino-leave ADDRESS         at SIGTERM asks a worker of Trino to finish its queries and end (TRINO_SHARED_SECRET)
  folders FOLDER…             makes folders

Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted.
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(realMain(ctx, os.Args[1:]))
}

func realMain(ctx context.Context, args []string) int {
	err := run(ctx, args)
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errUsage):
		fmt.Fprintf(os.Stderr, "mesh-setup: %v\n%s", err, usage)
		return 2
	case ctx.Err() != nil:
		fmt.Fprintln(os.Stderr, "mesh-setup: interrupted; the same command goes on where this one stopped")
		return 130
	}
	fmt.Fprintln(os.Stderr, "mesh-setup:", err)
	return 1
}

var errUsage = errors.New("wrong usage")

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return errUsage
	}
	rest := args[1:]
	var missing []error
	env := func(name string) string {
		value := os.Getenv(name)
		if value == "" {
			missing = append(missing, fmt.Errorf("%w: %s is not set", errUsage, name))
		}
		return value
	}
	switch {
	case args[0] == "wait" && len(rest) == 0:
		if dsn := env("DATABASE_URL"); missing == nil {
			return setup.Wait(ctx, os.Stderr, dsn)
		}
	case args[0] == "roles" && len(rest) > 0:
		if dir := env("PASSWORDS_DIR"); missing == nil {
			return setup.Roles(ctx, os.Stderr, setup.Passwords(dir), rest)
		}
	case args[0] == "object-store" && len(rest) == 2:
		if dir := env("PASSWORDS_DIR"); missing == nil {
			return setup.ObjectStore(ctx, os.Stderr, setup.Passwords(dir), rest[0], rest[1])
		}
	case args[0] == "grafana-people" && len(rest) == 1:
		if dir, password := env("PASSWORDS_DIR"), env("GRAFANA_ADMIN_PASSWORD"); missing == nil {
			return setup.GrafanaPeople(ctx, os.Stderr, setup.Passwords(dir), rest[0], password)
		}
	case args[0] == "wait-object-store" && len(rest) == 1:
		if access, secret := env("S3_ACCESS_KEY"), env("S3_SECRET_KEY"); missing == nil {
			return setup.WaitObjectStore(ctx, os.Stderr, rest[0], access, secret)
		}
	case args[0] == "metastore-schema" && len(rest) == 1:
		if dsn := env("DATABASE_URL"); missing == nil {
			return setup.MetastoreSchema(ctx, os.Stderr, dsn, rest[0])
		}
	case args[0] == "dbt-build" && len(rest) == 0:
		runner := dbt.Runner{
			Program: env("DBT_PROGRAM"), Project: dbt.Project(env("DBT_PROJECT")), Work: env("DBT_WORK"), Stdout: os.Stdout, Stderr: os.Stderr,
			Connection: dbt.Connection{Host: env("TRINO_HOST"), Port: env("TRINO_PORT"), User: "dbt", Password: env("TRINO_PASSWORD"), CAFile: env("TRINO_CA")},
		}
		if dsn := env("DATABASE_URL"); missing == nil {
			return setup.BuildMarts(ctx, runner, dsn)
		}
	case args[0] == "dbt-docs" && len(rest) == 2:
		return setup.ServeDocs(ctx, rest[0], rest[1])
	case args[0] == "trino-leave" && len(rest) == 1:
		if secret := env("TRINO_SHARED_SECRET"); missing == nil {
			return setup.LeaveTrino(ctx, os.Stderr, rest[0], secret)
		}
	case args[0] == "folders" && len(rest) > 0:
		return setup.Folders(rest)
	default:
		return errUsage
	}
	return errors.Join(missing...)
}
