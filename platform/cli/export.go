package cli

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/datameesh/datameesh/platform/export"
	"github.com/datameesh/datameesh/platform/query"
	"github.com/datameesh/datameesh/platform/state"
)

// lakeUser is the service user that keeps the lake.
const lakeUser = "lake"

func newExportCommand() *cobra.Command {
	var (
		tables       []string
		since, until string
		format       string
		perCommit    int
	)
	var names []string
	for _, t := range export.Tables {
		names = append(names, t.String())
	}
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Copy finished days of the domains into the lake",
		Long: `Copy finished days of orders, leads and request logs into the lake, as the
service user ` + lakeUser + `: sales.orders to lake.sales.orders and so on, without personal
columns. A day is finished when it is over in UTC by Trino's clock.

Each partition is compared with its source by rows, sum and checksum, before and
after. One that is the same is left alone, one that is not is made so by one
commit: readers see all of it or nothing. Run it again after an interruption, or
for rows that came late. Request logs that their domain has dropped are kept.

lake.sales.orders_all (and so on) holds the exported days and the live rows of
all others.

Ends with 1 when a partition still differs from its source.`,
		Example: `  meesh export
  meesh export --table sales.orders --since 2026-11-01 --until 2026-11-07
  meesh query "SELECT count(*), sum(total_amount) FROM lake.sales.orders_all"`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			chosen, err := export.Named(tables...)
			if err != nil {
				return usageError(cmd, err)
			}
			o := export.Options{PerCommit: perCommit}
			if perCommit < 1 || perCommit > 100 {
				return usageError(cmd, fmt.Errorf("--per-commit is %d; choose 1 to 100", perCommit))
			}
			if o.Since, err = day("since", since); err != nil {
				return usageError(cmd, err)
			}
			if o.Until, err = day("until", until); err != nil {
				return usageError(cmd, err)
			}
			if !o.Until.IsZero() && o.Until.Before(o.Since) {
				return usageError(cmd, fmt.Errorf("--until %s comes before --since %s", until, since))
			}
			out, err := query.NewWriter(format, cmd.OutOrStdout())
			if err != nil {
				return usageError(cmd, err)
			}
			return runExport(cmd, out, chosen, o)
		},
	}
	cmd.Flags().StringSliceVar(&tables, "table", nil, "table to export, several times or with commas: "+strings.Join(names, ", ")+" (default all)")
	cmd.Flags().StringVar(&since, "since", "", "first day, YYYY-MM-DD (default the first one that there is)")
	cmd.Flags().StringVar(&until, "until", "", "last day, YYYY-MM-DD (default yesterday in UTC)")
	cmd.Flags().IntVar(&perCommit, "per-commit", 50, "partitions that are written together; each needs memory in Trino meanwhile")
	cmd.Flags().StringVarP(&format, "output", "o", "table", "output format: "+strings.Join(query.Formats, ", "))
	return cmd
}

// day reads a day of a flag; empty is the zero time.
func day(flag, value string) (time.Time, error) {
	if value == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.DateOnly, value)
	if err != nil {
		return t, fmt.Errorf("--%s %q is not a day like 2026-11-22", flag, value)
	}
	return t, nil
}

func runExport(cmd *cobra.Command, out query.Writer, tables []export.Table, o export.Options) error {
	m, client, err := lakeClient("meesh export", nil)
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()

	log := cmd.ErrOrStderr()
	begin := time.Now()
	count := map[export.State]int{}
	var rows int64
	if err := out.Header([]query.Column{
		{Name: "table"}, {Name: "partition"}, {Name: "rows", Type: "bigint"}, {Name: "sum", Type: "decimal"}, {Name: "state"}, {Name: "verified", Type: "boolean"},
	}); err != nil {
		return err
	}
	for _, t := range tables {
		say(log, "%s to %s …", t, t.Lake())
		tableBegin, done := time.Now(), 0
		err = export.Run(cmd.Context(), client, t, o, func(p export.Partition, left int) error {
			count[p.State]++
			if done++; isTerminal(log) {
				writeLeft(log, done, left, time.Since(tableBegin))
			}
			if p.State == export.Exported {
				rows += p.Rows
			}
			var sum any
			if p.Sum != "" {
				sum = p.Sum
			}
			return out.Row([]any{p.Table, p.Name, p.Rows, sum, string(p.State), p.Verified()})
		})
		if err != nil {
			break
		}
	}
	// What is done is done, also when the rest failed.
	if closeErr := out.Close(); closeErr != nil {
		return errors.Join(err, closeErr)
	}
	switch {
	case errors.Is(err, export.ErrNotOver):
		return usageError(cmd, err)
	case err != nil:
		if isTerminal(log) {
			fmt.Fprintln(log) // after a line that was not finished
		}
		return m.queryError(err)
	}
	reportExport(log, count, rows, time.Since(begin))
	if n := count[export.Differs]; n > 0 {
		return &exitError{exitFailed, fmt.Errorf("%d partitions differ from their source, which changes meanwhile; run it again", n)}
	}
	return nil
}

// writeLeft rewrites a line of the terminal, and removes it at the end.
func writeLeft(w io.Writer, done, left int, took time.Duration) {
	fmt.Fprint(w, "\r\x1b[K")
	if left > 0 {
		each := took / time.Duration(done)
		fmt.Fprintf(w, "%d of %d partitions, %.1f a second, about %d s left", done, done+left, 1/each.Seconds(), int((each * time.Duration(left)).Seconds()))
	}
}

func reportExport(w io.Writer, count map[export.State]int, rows int64, took time.Duration) {
	var total int
	for _, n := range count {
		total += n
	}
	say(w, "%d partitions in %.1f s: %d exported (%d rows), %d unchanged, %d kept. Next: %s query \"SELECT count(*) FROM lake.sales.orders_all\"",
		total, took.Seconds(), count[export.Exported], rows, count[export.Unchanged], count[export.Kept], self())
}

// lakeClient asks Trino as the user that keeps the lake.
func lakeClient(source string, session map[string]string) (*startedMesh, *query.Client, error) {
	m, err := openMesh()
	if err != nil {
		return nil, nil, err
	}
	if !m.mesh.Lake() {
		return nil, nil, &exitError{exitUnreachable, fmt.Errorf("this mesh has no lake (profile %s); give it one: %s up --profile %s", m.mesh.Profile, self(), state.ProfileFull)}
	}
	client, err := m.sessionClient(lakeUser, source, session)
	return m, client, err
}
