package dbt

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Prepare makes marts_next a copy of what is published, so that incremental
// models have something to start from, and a build of some marts leaves the
// others as they are. conn is connected as the owner of the schemas.
func Prepare(ctx context.Context, conn *pgx.Conn) error {
	err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if err := dropTables(ctx, tx, martsNext); err != nil {
			return err
		}
		published, err := tables(ctx, tx, Marts)
		if err != nil {
			return err
		}
		for _, name := range published {
			from, to := pgx.Identifier{Marts, name}.Sanitize(), pgx.Identifier{martsNext, name}.Sanitize()
			// Made in this schema: its default privileges are those of marts.
			if _, err := tx.Exec(ctx, `CREATE TABLE `+to+` (LIKE `+from+` INCLUDING ALL)`); err != nil {
				return err
			}
			if _, err := tx.Exec(ctx, `INSERT INTO `+to+` SELECT * FROM `+from); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("prepare %s: %w", martsNext, err)
	}
	return nil
}

// A reader that holds a mart makes the swap wait, and whoever comes after it
// waits for the swap: so it gives up soon and comes again. It gives up before a
// second is over, which is when PostgreSQL looks for deadlocks: a reader of two
// marts may hold one and wait for the other, and must not be the one that fails.
const (
	lockTimeout = 500 * time.Millisecond // for all marts together
	swapTries   = 120
	swapPause   = 300 * time.Millisecond
)

// Publish swaps all marts in one transaction: those of marts_next go to marts,
// what was there to marts_old, also what is no mart any more. wanted are the
// marts that the project has; each must have been built.
func Publish(ctx context.Context, conn *pgx.Conn, wanted []string) error {
	// Not in the transaction of the swap, which may be tried often.
	err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error { return analyze(ctx, tx, wanted) })
	if err != nil {
		return fmt.Errorf("publish the marts: %w", err)
	}
	for range swapTries {
		err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error { return swap(ctx, tx, wanted) })
		if pgErr, ok := errors.AsType[*pgconn.PgError](err); !ok || pgErr.Code != "55P03" { // lock_not_available
			break
		}
		select {
		case <-time.After(swapPause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if err != nil {
		return fmt.Errorf("publish the marts: %w", err)
	}
	return nil
}

// analyze gives new marts what the planner goes by. Autovacuum comes up to a minute
// after them, and the pages of dashboards took three times as long until then.
func analyze(ctx context.Context, tx pgx.Tx, wanted []string) error {
	next, err := tables(ctx, tx, martsNext)
	if err != nil {
		return err
	}
	for _, name := range wanted {
		if !slices.Contains(next, name) {
			return fmt.Errorf("%s was not built", name)
		}
		if _, err := tx.Exec(ctx, `ANALYZE `+pgx.Identifier{martsNext, name}.Sanitize()); err != nil {
			return err
		}
	}
	return nil
}

func swap(ctx context.Context, tx pgx.Tx, wanted []string) error {
	published, err := tables(ctx, tx, Marts)
	if err != nil {
		return err
	}
	perTable := lockTimeout / time.Duration(len(published)+1)
	if _, err := tx.Exec(ctx, fmt.Sprintf(`SET LOCAL lock_timeout = '%dms'`, max(perTable.Milliseconds(), 1))); err != nil {
		return err
	}
	if err := dropTables(ctx, tx, martsOld); err != nil {
		return err
	}
	// Whoever waits for one mart would wait longer while the others were moved.
	for _, name := range published {
		if _, err := tx.Exec(ctx, `LOCK TABLE `+pgx.Identifier{Marts, name}.Sanitize()+` IN ACCESS EXCLUSIVE MODE`); err != nil {
			return err
		}
	}
	for _, name := range published {
		if err := move(ctx, tx, Marts, name, martsOld); err != nil {
			return err
		}
	}
	for _, name := range wanted {
		if err := move(ctx, tx, martsNext, name, Marts); err != nil {
			return err
		}
	}
	return dropTables(ctx, tx, martsNext)
}

func move(ctx context.Context, tx pgx.Tx, from, name, to string) error {
	_, err := tx.Exec(ctx, `ALTER TABLE `+pgx.Identifier{from, name}.Sanitize()+` SET SCHEMA `+pgx.Identifier{to}.Sanitize())
	return err
}

func tables(ctx context.Context, tx pgx.Tx, schema string) ([]string, error) {
	rows, err := tx.Query(ctx, `SELECT tablename FROM pg_tables WHERE schemaname = $1 ORDER BY 1`, schema)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

func dropTables(ctx context.Context, tx pgx.Tx, schema string) error {
	names, err := tables(ctx, tx, schema)
	if err != nil {
		return err
	}
	for _, name := range names {
		if _, err := tx.Exec(ctx, `DROP TABLE `+pgx.Identifier{schema, name}.Sanitize()); err != nil {
			return err
		}
	}
	return nil
}

// martsOf reads from a manifest which marts the project has.
func martsOf(target string) ([]string, error) {
	text, err := os.ReadFile(filepath.Join(target, "manifest.json"))
	if err != nil {
		return nil, err
	}
	var manifest struct {
		Nodes map[string]struct {
			ResourceType string `json:"resource_type"`
			Schema       string `json:"schema"`
			Alias        string `json:"alias"`
		} `json:"nodes"`
	}
	if err := json.Unmarshal(text, &manifest); err != nil {
		return nil, fmt.Errorf("manifest.json: %w", err)
	}
	var names []string
	for _, n := range manifest.Nodes {
		if n.Schema == martsNext && slices.Contains([]string{"model", "seed", "snapshot"}, n.ResourceType) {
			names = append(names, n.Alias)
		}
	}
	if len(names) == 0 {
		return nil, errors.New("the project has no mart")
	}
	slices.Sort(names)
	return names, nil
}

// Build runs a command of dbt's that writes to target prod: it writes marts_next;
// when the command is a build and all went well, what it built is published and
// the documents are made anew. published are the marts; none when the command
// does not publish.
func (r Runner) Build(ctx context.Context, conn *pgx.Conn, c Command) (published []string, err error) {
	if c.Name() != "retry" { // which goes on where the run before it failed
		if err := Prepare(ctx, conn); err != nil {
			return nil, err
		}
	}
	if err := r.Run(ctx, martsNext, c.Args...); err != nil || !c.Publishes() {
		return nil, err
	}
	published, err = martsOf(r.target(martsNext))
	if err != nil {
		return nil, fmt.Errorf("publish the marts: %w", err)
	}
	if err := Publish(ctx, conn, published); err != nil {
		return nil, err
	}
	return published, r.MakeDocs(ctx)
}
