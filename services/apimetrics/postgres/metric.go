package postgres

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/datameesh/datameesh/services/apimetrics"
	"github.com/datameesh/datameesh/services/internal/database"
)

// addMetrics gives the statements that add the metrics, which come in the order
// of their keys, to the stored ones.
func addMetrics(metrics []apimetrics.Metric) *pgx.Batch {
	batch := &pgx.Batch{}
	for _, m := range metrics {
		batch.Queue(`
			INSERT INTO metrics AS m (service, route, method, minute, count, errors, client_errors, duration_us_sum, latency_histogram)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
			ON CONFLICT (service, route, method, minute) DO UPDATE SET
				count             = m.count + excluded.count,
				errors            = m.errors + excluded.errors,
				client_errors     = m.client_errors + excluded.client_errors,
				duration_us_sum   = m.duration_us_sum + excluded.duration_us_sum,
				latency_histogram = ARRAY(SELECT old + new
				                            FROM unnest(m.latency_histogram, excluded.latency_histogram) WITH ORDINALITY AS bucket (old, new, place)
				                           ORDER BY place)`,
			m.Service, m.Route, m.Method, m.Minute, m.Requests, m.Errors, m.ClientErrors, m.Duration, m.Latency[:])
	}
	return batch
}

// totalColumns add metrics up. PostgreSQL has no sum of arrays, and a sum per
// bucket is ten times as fast as taking the arrays apart.
var totalColumns = func() string {
	sums := make([]string, apimetrics.Buckets)
	for i := range sums {
		sums[i] = fmt.Sprintf("sum(latency_histogram[%d])", i+1)
	}
	return `sum(count)::bigint AS count, sum(errors)::bigint AS errors, sum(client_errors)::bigint AS client_errors,
		sum(duration_us_sum)::bigint AS duration_us_sum, ARRAY[` + strings.Join(sums, ", ") + `]::bigint[] AS latency_histogram`
}()

// scanTotal scans a row of first columns followed by totalColumns.
func scanTotal(row pgx.CollectableRow, t *apimetrics.Total, first ...any) error {
	var latency []int64
	err := row.Scan(append(first, &t.Requests, &t.Errors, &t.ClientErrors, &t.Duration, &latency)...)
	copy(t.Latency[:], latency)
	return err
}

// ofFilter begins with the window, then the values of the statement's own.
func ofFilter(f apimetrics.MetricFilter, more ...any) *database.Conditions {
	where := database.Where(append([]any{f.From, f.To}, more...)...)
	where.And(`service = ?`, f.Service)
	where.And(`route = ?`, f.Route)
	where.And(`method = ?`, f.Method)
	return where
}

// Totals gives what each service, route and method served in the filter's window.
func (s *Store) Totals(ctx context.Context, f apimetrics.MetricFilter) ([]apimetrics.RouteTotal, error) {
	where := ofFilter(f)
	rows, _ := s.db.Query(ctx, `
		SELECT service, route, method, `+totalColumns+`
		  FROM metrics
		 WHERE minute >= $1
		   AND minute < $2`+where.SQL()+`
		 GROUP BY service, route, method
		 ORDER BY service, route, method`, where.Args()...)
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (t apimetrics.RouteTotal, err error) {
		err = scanTotal(row, &t.Total, &t.Service, &t.Route, &t.Method)
		return t, err
	})
	return list, wrap(err, "totals")
}

// Timeline gives what was served in each step of the filter's window; a step
// without requests has zeros.
func (s *Store) Timeline(ctx context.Context, f apimetrics.MetricFilter, step apimetrics.Step) ([]apimetrics.StepTotal, error) {
	where := ofFilter(f, step.Duration())
	rows, _ := s.db.Query(ctx, `
		WITH served AS (
			SELECT date_bin($3::interval, minute, $1) AS at, `+totalColumns+`
			  FROM metrics
			 WHERE minute >= $1
			   AND minute < $2`+where.SQL()+`
			 GROUP BY 1)
		SELECT at, coalesce(count, 0), coalesce(errors, 0), coalesce(client_errors, 0), coalesce(duration_us_sum, 0), latency_histogram
		  FROM generate_series($1::timestamptz, $2::timestamptz - $3::interval, $3::interval) AS at
		  LEFT JOIN served USING (at)
		 ORDER BY at`, where.Args()...)
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (t apimetrics.StepTotal, err error) {
		err = scanTotal(row, &t.Total, &t.At)
		t.At = t.At.UTC()
		return t, err
	})
	return list, wrap(err, "timeline")
}
