// Package lake compacts the lake's tables and removes what they no longer need.
package lake

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// An Engine is Trino; query.Client is one.
type Engine interface {
	Texts(ctx context.Context, statement string) ([][]string, error)
}

// A Store lists what lies below a folder of the object store, s3://….
type Store interface {
	Size(ctx context.Context, folder string) (objects, bytes int64, err error)
}

// Session are the properties that the engine needs for thresholds shorter than
// the week that Trino allows.
var Session = map[string]string{
	"lake.expire_snapshots_min_retention":    "0s",
	"lake.remove_orphan_files_min_retention": "0s",
}

// Figures of a table.
type Figures struct {
	Files     int64 // that hold the table's rows and deletions now
	Bytes     int64 // of these files
	Snapshots int64 // states of the table that can be read
	Objects   int64 // in the store, for all snapshots, and left-overs
	Stored    int64 // bytes of these objects
}

// Options say what may be removed.
type Options struct {
	// Snapshots older than this expire, and with them the files that only they
	// need; the newest one always stays.
	Snapshots time.Duration
	// Files that no snapshot knows are removed when they are older than this.
	// What is being written is not known to any snapshot yet, so it must be
	// longer than any statement takes.
	Orphans time.Duration
}

// Tables are the Iceberg tables of the catalog lake, "lake.schema.table", by name;
// materialized views and Trino's own tables, which it lists among them, are not.
func Tables(ctx context.Context, trino Engine) ([]string, error) {
	rows, err := trino.Texts(ctx, `SELECT 'lake.' || table_schema || '.' || table_name
  FROM lake.information_schema.tables
 WHERE table_type = 'BASE TABLE' AND table_schema NOT IN ('information_schema', 'system')
   AND (table_schema, table_name) NOT IN (SELECT schema_name, name FROM system.metadata.materialized_views WHERE catalog_name = 'lake')
 ORDER BY 1`)
	if err != nil {
		return nil, fmt.Errorf("list the tables of the lake: %w", err)
	}
	var names []string
	for _, r := range rows {
		names = append(names, r[0])
	}
	return names, nil
}

// Compact writes the small files of a table anew as few large ones, without the
// rows that were deleted, expires snapshots and removes left-over files. The
// rows of the table stay the same; each step is a commit of its own or none.
func Compact(ctx context.Context, trino Engine, store Store, table string, o Options) (before, after Figures, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("compact %s: %w", table, err)
		}
	}()
	if err := CheckName(table); err != nil {
		return before, after, err
	}
	if before, err = figures(ctx, trino, store, table); err != nil {
		return before, after, err
	}
	for _, step := range []string{
		// Not optimize_manifests: it would write a manifest for every partition.
		"optimize",
		fmt.Sprintf("expire_snapshots(retention_threshold => '%s')", seconds(o.Snapshots)),
		fmt.Sprintf("remove_orphan_files(retention_threshold => '%s')", seconds(o.Orphans)),
	} {
		if _, err := trino.Texts(ctx, "ALTER TABLE "+quoted(table, "")+" EXECUTE "+step); err != nil {
			return before, after, err
		}
	}
	after, err = figures(ctx, trino, store, table)
	return before, after, err
}

// seconds is a duration as Trino reads it.
func seconds(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'f', -1, 64) + "s" }

// CheckName tells whether a text can name a table of the lake.
func CheckName(table string) error {
	parts := strings.Split(table, ".")
	if len(parts) != 3 || parts[0] != "lake" || parts[1] == "" || parts[2] == "" {
		return fmt.Errorf("%q is no table of the lake like lake.sales.orders", table)
	}
	return nil
}

// quoted makes a name, or that of a table's metadata, safe inside a statement.
func quoted(table, suffix string) string {
	parts := strings.Split(table+suffix, ".")
	for i := range parts {
		parts[i] = `"` + strings.ReplaceAll(parts[i], `"`, `""`) + `"`
	}
	return strings.Join(parts, ".")
}

// figures measures a table.
func figures(ctx context.Context, trino Engine, store Store, table string) (f Figures, err error) {
	rows, err := trino.Texts(ctx, fmt.Sprintf(`SELECT f.files, f.bytes, s.snapshots, m.file
  FROM (SELECT count(*) AS files, coalesce(sum(file_size_in_bytes), 0) AS bytes FROM %s) f,
       (SELECT count(*) AS snapshots FROM %s) s,
       (SELECT max_by(file, timestamp) AS file FROM %s) m`,
		quoted(table, "$files"), quoted(table, "$snapshots"), quoted(table, "$metadata_log_entries")))
	if err != nil {
		return f, err
	}
	if len(rows) != 1 || len(rows[0]) != 4 {
		return f, fmt.Errorf("its files are %v by Trino", rows)
	}
	for i, to := range []*int64{&f.Files, &f.Bytes, &f.Snapshots} {
		if *to, err = strconv.ParseInt(rows[0][i], 10, 64); err != nil {
			return f, err
		}
	}
	folder, _, ok := strings.Cut(rows[0][3], "/metadata/")
	if !ok {
		return f, fmt.Errorf("its metadata lies at %s, not in a folder metadata", rows[0][3])
	}
	f.Objects, f.Stored, err = store.Size(ctx, folder)
	return f, err
}
