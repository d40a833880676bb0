package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/spf13/cobra"

	"github.com/datameesh/datameesh/platform/query"
	"github.com/datameesh/datameesh/platform/statistics"
	"github.com/datameesh/datameesh/platform/topology"
)

// statsQuery joins the lake with a live database.
const statsQuery = `SELECT c.segment, o.status, count(*), sum(o.total_amount)
  FROM lake.sales.orders o JOIN sales.public.customers c ON c.customer_id = o.customer_id
 GROUP BY c.segment, o.status`

func newStatsCommand() *cobra.Command {
	var file, format string
	cmd := &cobra.Command{
		Use:   "stats [SQL | - | --file FILE]",
		Short: "Analyze the tables that a query reads, and show its plan before and after",
		Long: `Analyze the tables that a query reads, so that Trino's planner knows their rows
and distinct values, and show the query's plan before and after: what each step
was expected to give, and is now. The query itself is not run.

Tables of lake and hive are analyzed by Trino. Trino has no ANALYZE for tables of
PostgreSQL: those are analyzed there, by the role that owns them, and Trino is
told to forget what it knew.

Without a query it is one that joins exported orders with live customers.`,
		Example: `  meesh stats
  meesh stats "SELECT count(*) FROM sales.public.customers s JOIN marketing.public.leads m ON s.email = m.email"`,
		Args: args(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, given []string) error {
			statement := statsQuery
			if file != "" || len(given) > 0 {
				var err error
				if statement, err = readStatement(cmd.InOrStdin(), given, file); err != nil {
					return err
				}
			}
			out, err := query.NewWriter(format, cmd.OutOrStdout())
			if err != nil {
				return usageError(cmd, err)
			}
			return runStats(cmd.Context(), cmd.ErrOrStderr(), out, statement)
		},
	}
	cmd.Flags().StringVarP(&file, "file", "f", "", "read the query from a file; - for standard input")
	cmd.Flags().StringVarP(&format, "output", "o", "table", "output format: "+strings.Join(query.Formats, ", "))
	return cmd
}

func runStats(ctx context.Context, log io.Writer, out query.Writer, statement string) error {
	m, err := openMesh()
	if err != nil {
		return err
	}
	client, err := m.client(lakeUser, "meesh stats")
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	tables, err := statistics.Read(ctx, client, statement)
	if err != nil {
		return m.queryError(err)
	}
	if len(tables) == 0 {
		return &exitError{exitUsage, errors.New("the query reads no table")}
	}
	before, err := statistics.Plan(ctx, client, statement)
	if err != nil {
		return m.queryError(err)
	}
	for _, t := range tables {
		begin := time.Now()
		by, err := m.analyze(ctx, client, t)
		if err != nil {
			return m.queryError(err)
		}
		say(log, "ANALYZE %s by %s, %.1f s", t, by, time.Since(begin).Seconds())
	}
	after, err := statistics.Plan(ctx, client, statement)
	if err != nil {
		return m.queryError(err)
	}
	return writePlans(log, out, before, after)
}

// analyze analyzes a table and returns who has done it.
func (m *startedMesh) analyze(ctx context.Context, client *query.Client, t statistics.Table) (by string, err error) {
	server, database, owner, found := topology.Behind(t.Catalog)
	if !found {
		if _, err := client.Texts(ctx, "ANALYZE "+t.SQL()); err != nil {
			return "", fmt.Errorf("analyze %s: %w", t, err)
		}
		return "Trino", nil
	}
	password, err := m.secrets.Role(server.Name, owner)
	if err != nil {
		return "", err
	}
	dsn := url.URL{
		Scheme:   "postgres",
		User:     url.UserPassword(owner, password),
		Host:     net.JoinHostPort("127.0.0.1", strconv.Itoa(m.mesh.Port(server.Port))),
		Path:     "/" + database.Name,
		RawQuery: "sslmode=disable&connect_timeout=10",
	}
	conn, err := pgx.Connect(ctx, dsn.String())
	if connectErr, down := errors.AsType[*pgconn.ConnectError](err); down && ctx.Err() == nil {
		return "", &exitError{exitUnreachable, fmt.Errorf("analyze %s: %w; see how the mesh is: %s status", t, connectErr, self())}
	}
	if err != nil {
		return "", fmt.Errorf("analyze %s: %w", t, err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	if _, err := conn.Exec(ctx, "ANALYZE "+pgx.Identifier{t.Schema, t.Name}.Sanitize()); err != nil {
		return "", fmt.Errorf("analyze %s: %w", t, err)
	}
	if _, err := client.Texts(ctx, "CALL "+t.Catalog+".system.flush_metadata_cache()"); err != nil {
		return "", fmt.Errorf("analyze %s: %w", t, err)
	}
	return server.Name + " (PostgreSQL)", nil
}

// writePlans writes the steps of both plans beside each other when they have
// one shape, else one after the other.
func writePlans(log io.Writer, out query.Writer, before, after []statistics.Step) error {
	if err := out.Header([]query.Column{
		{Name: "step"}, {Name: "table"},
		{Name: "rows_before", Type: "bigint"}, {Name: "rows_after", Type: "bigint"},
		{Name: "bytes_before", Type: "bigint"}, {Name: "bytes_after", Type: "bigint"},
	}); err != nil {
		return err
	}
	same := statistics.SameShape(before, after)
	row := func(s statistics.Step, b, a *statistics.Step) error {
		var table any
		if s.Table != "" {
			table = s.Table
		}
		values := []any{strings.Repeat("  ", s.Depth) + s.Operator, table, nil, nil, nil, nil}
		for i, of := range []*statistics.Step{b, a} {
			if of != nil {
				values[2+i], values[4+i] = estimate(of.Rows), estimate(of.Bytes)
			}
		}
		return out.Row(values)
	}
	for i := range before {
		var a *statistics.Step
		if same {
			a = &after[i]
		}
		if err := row(before[i], &before[i], a); err != nil {
			return err
		}
	}
	if !same {
		for i := range after {
			if err := row(after[i], nil, &after[i]); err != nil {
				return err
			}
		}
	}
	if err := out.Close(); err != nil {
		return err
	}
	switch {
	case !same:
		say(log, "The plan has another shape now: first the one before, then the one after.")
	case slices.EqualFunc(before, after, func(b, a statistics.Step) bool { return estimate(b.Rows) == estimate(a.Rows) }):
		say(log, "The planner expects what it expected before.")
	default:
		say(log, "The plan has kept its shape; the planner expects other numbers of rows.")
	}
	return nil
}

// estimate is a number of the planner's, nil when it cannot tell.
func estimate(f float64) any {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return nil
	}
	return int64(math.Round(f))
}
