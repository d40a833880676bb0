package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/spf13/cobra"

	"github.com/datameesh/datameesh/platform/demo"
	"github.com/datameesh/datameesh/platform/query"
	"github.com/datameesh/datameesh/platform/topology"
)

func newDemoCommand() *cobra.Command {
	var (
		format string
		runs   int
	)
	formats := []string{"table", "json"}
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Ask the mesh's four questions and prove the answers",
		Long: `Ask Trino four questions that span both domains, and measure them. Then prove
the answers: PostgreSQL is asked the same through postgres_fdw and must give the
same rows and sums, and while nobody has written to the data since it was
seeded, the numbers of rows must be the published ones.

Ends with 1 when a check failed.`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !slices.Contains(formats, format) {
				return usageError(cmd, fmt.Errorf("unknown output format %q; choose one of %s", format, strings.Join(formats, ", ")))
			}
			if runs < 1 || runs > 1000 {
				return usageError(cmd, fmt.Errorf("--runs is %d; choose 1 to 1000", runs))
			}
			report, err := runDemo(cmd.Context(), cmd.ErrOrStderr(), runs)
			if err != nil {
				return err
			}
			if format == "json" {
				e := json.NewEncoder(cmd.OutOrStdout())
				e.SetIndent("", "  ")
				err = e.Encode(report)
			} else {
				err = writeDemo(cmd.OutOrStdout(), report)
			}
			if err != nil {
				return err
			}
			if report.Failed > 0 {
				return &exitError{exitFailed, fmt.Errorf("%d of %d checks failed", report.Failed, len(report.Checks))}
			}
			say(cmd.ErrOrStderr(), "\nAsk something yourself: %s query \"SHOW TABLES FROM sales.public\"", self())
			return nil
		},
	}
	cmd.Flags().IntVar(&runs, "runs", 20, "how often each query is measured after the first time")
	cmd.Flags().StringVarP(&format, "output", "o", "table", "output format: "+strings.Join(formats, ", "))
	return cmd
}

// comparisons is how often the demo compares while the data changes under it.
const comparisons = 5

// oracleUser is who asks, on both paths.
const oracleUser = topology.DatabaseVerify

func runDemo(ctx context.Context, log io.Writer, runs int) (*demo.Report, error) {
	m, err := openMesh()
	if err != nil {
		return nil, err
	}
	client, err := m.client(oracleUser, "meesh demo")
	if err != nil {
		return nil, err
	}
	defer func() { _ = client.Close() }()
	server, database, err := verifyDatabase()
	if err != nil {
		return nil, err
	}
	password, err := m.secrets.Role(server.Name, oracleUser)
	if err != nil {
		return nil, err
	}
	dsn := url.URL{
		Scheme:   "postgres",
		User:     url.UserPassword(oracleUser, password),
		Host:     net.JoinHostPort("127.0.0.1", strconv.Itoa(m.mesh.Port(server.Port))),
		Path:     "/" + database,
		RawQuery: "sslmode=disable&connect_timeout=10",
	}
	conn, err := pgx.Connect(ctx, dsn.String())
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, &exitError{exitUnreachable, fmt.Errorf("connect to %s: %w; see how the mesh is: %s status", server.Name, err, self())}
	}
	defer func() {
		// Also after Ctrl-C: say good-bye, but do not wait for it.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = conn.Close(ctx)
	}()
	mesh := demo.Mesh{
		Trino:    client,
		Oracle:   demo.Oracle(conn),
		Attempts: comparisons,
		Queries:  demo.Queries(),
	}
	report, err := mesh.Run(ctx, runs, log)
	if err != nil {
		return nil, demoError(ctx, err)
	}
	return report, nil
}

func verifyDatabase() (topology.Server, string, error) {
	for _, s := range topology.Servers {
		for _, d := range s.Databases {
			if d.Name == topology.DatabaseVerify {
				return s, d.Name, nil
			}
		}
	}
	return topology.Server{}, "", errors.New("the topology has no verify database")
}

func demoError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var pgErr *pgconn.PgError
	var connectErr *pgconn.ConnectError
	unreachable := errors.As(err, &connectErr)
	// 08…: connection exceptions, as postgres_fdw reports a domain that is
	// down. 57P0…: the server is stopping or starting.
	if errors.As(err, &pgErr) {
		unreachable = strings.HasPrefix(pgErr.Code, "08") || strings.HasPrefix(pgErr.Code, "57P0")
	}
	if unreachable {
		return &exitError{exitUnreachable, fmt.Errorf("%w; see how the mesh is: %s status", err, self())}
	}
	return queryError(err)
}

// writeDemo writes the report for people.
func writeDemo(w io.Writer, r *demo.Report) error {
	for _, d := range r.Domains {
		say(w, "%s: scale %s, seed %s, data as of %s", d.Name, d.Scale, d.Seed, d.AsOf)
	}
	say(w, "")

	var rows [][]any
	for _, t := range r.Timings {
		rows = append(rows, []any{t.Query, t.About, t.Rows, seconds(t.FirstSeconds), seconds(t.WarmSeconds)})
	}
	if err := writeTable(w, []query.Column{
		{Name: "query"}, {Name: "question"}, {Name: "rows", Type: "bigint"}, {Name: "first", Type: "double"}, {Name: "warm", Type: "double"},
	}, rows); err != nil {
		return err
	}
	for _, t := range r.Timings {
		if t.Query == "Q2" {
			say(w, "\nwarm: median of %d. The seed's document gives %.1f s for Q2; here it takes %s.", t.WarmRuns, r.Seed, seconds(t.WarmSeconds))
		}
	}

	if len(r.Groups) > 0 {
		say(w, "\nQ3, %d groups:", len(r.Groups)-1)
		var columns []query.Column
		for i, name := range r.Groups[0] {
			c := query.Column{Name: name}
			if i >= 2 {
				c.Type = "decimal"
			}
			columns = append(columns, c)
		}
		rows = nil
		for _, g := range r.Groups[1:] {
			row := make([]any, len(g))
			for i := range g {
				row[i] = g[i]
			}
			rows = append(rows, row)
		}
		if err := writeTable(w, columns, rows); err != nil {
			return err
		}
	}

	say(w, "")
	rows = nil
	for _, c := range r.Checks {
		outcome := "ok"
		if !c.OK {
			outcome = "FAILED"
		}
		rows = append(rows, []any{outcome, c.Query, c.Check, c.Found, c.Expected})
	}
	if err := writeTable(w, []query.Column{
		{Name: "check"}, {Name: "query"}, {Name: "what"}, {Name: "found"}, {Name: "expected"},
	}, rows); err != nil {
		return err
	}
	if !r.AsSeed {
		say(w, "\nNot compared with the golden figures: %s.", r.Why)
	}
	return nil
}

func seconds(s float64) string { return fmt.Sprintf("%.2f s", s) }

func writeTable(w io.Writer, columns []query.Column, rows [][]any) error {
	out, err := query.NewWriter("table", w)
	if err != nil {
		return err
	}
	if err := out.Header(columns); err != nil {
		return err
	}
	for _, row := range rows {
		if err := out.Row(row); err != nil {
			return err
		}
	}
	return out.Close()
}
