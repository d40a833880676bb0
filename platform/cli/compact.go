package cli

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/datameesh/datameesh/platform/lake"
	"github.com/datameesh/datameesh/platform/local"
	"github.com/datameesh/datameesh/platform/query"
)

// leastOrphans is longer than any statement of a mesh takes: what it has
// written and not committed yet looks like a left-over.
const leastOrphans = time.Hour

func newCompactCommand() *cobra.Command {
	var (
		format string
		o      lake.Options
	)
	cmd := &cobra.Command{
		Use:   "compact [TABLE]...",
		Short: "Compact the lake's tables, expire snapshots, remove left-over files",
		Long: `For each table of the catalog lake, or those named: write its small files anew as
few large ones, forget old snapshots with the files that only they need, and
remove files that no snapshot knows. The rows stay the same, and readers go on.

Shows for each table before and after: files and bytes of its present state,
snapshots, and the objects that the store holds for it.`,
		Example: `  meesh compact
  meesh compact lake.sales.orders --snapshots 0s`,
		RunE: func(cmd *cobra.Command, tables []string) error {
			if o.Snapshots < 0 {
				return usageError(cmd, fmt.Errorf("--snapshots %s lies in the future", o.Snapshots))
			}
			if o.Orphans < leastOrphans {
				return usageError(cmd, fmt.Errorf("--orphans %s would remove what is being written; choose at least %s", o.Orphans, leastOrphans))
			}
			out, err := query.NewWriter(format, cmd.OutOrStdout())
			if err != nil {
				return usageError(cmd, err)
			}
			return runCompact(cmd, out, tables, o)
		},
	}
	cmd.Flags().DurationVar(&o.Snapshots, "snapshots", 7*24*time.Hour, "expire snapshots older than this; the newest one stays")
	cmd.Flags().DurationVar(&o.Orphans, "orphans", 7*24*time.Hour, "remove files that no snapshot knows when they are older than this")
	cmd.Flags().StringVarP(&format, "output", "o", "table", "output format: "+strings.Join(query.Formats, ", "))
	return cmd
}

func runCompact(cmd *cobra.Command, out query.Writer, tables []string, o lake.Options) error {
	ctx := cmd.Context()
	m, client, err := lakeClient("meesh compact", lake.Session)
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	store, err := local.ObjectStore(m.mesh, m.secrets.StoreKey)
	if err != nil {
		return err
	}
	for _, table := range tables {
		if err := lake.CheckName(table); err != nil {
			return usageError(cmd, err)
		}
	}
	if len(tables) == 0 {
		if tables, err = lake.Tables(ctx, client); err != nil {
			return m.queryError(err)
		}
		if len(tables) == 0 {
			say(cmd.ErrOrStderr(), "The lake has no tables yet. Next: %s export", self())
		}
	}
	columns := []query.Column{{Name: "table"}}
	for _, name := range []string{"files", "bytes", "snapshots", "objects", "stored_bytes"} {
		columns = append(columns, query.Column{Name: name + "_before", Type: "bigint"}, query.Column{Name: name + "_after", Type: "bigint"})
	}
	if err := out.Header(columns); err != nil {
		return err
	}
	// One table that is broken keeps the others from nothing.
	var failed error
	for _, table := range tables {
		say(cmd.ErrOrStderr(), "%s …", table)
		b, a, err := lake.Compact(ctx, client, store, table, o)
		if err != nil {
			err = m.queryError(err)
			failed = errors.Join(failed, err)
			if _, away := errors.AsType[*exitError](err); away || ctx.Err() != nil {
				break
			}
			continue
		}
		if err := out.Row([]any{table, b.Files, a.Files, b.Bytes, a.Bytes, b.Snapshots, a.Snapshots, b.Objects, a.Objects, b.Stored, a.Stored}); err != nil {
			return err
		}
	}
	return errors.Join(failed, out.Close())
}
