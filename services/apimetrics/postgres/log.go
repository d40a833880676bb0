package postgres

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/datameesh/datameesh/services/apimetrics"
	"github.com/datameesh/datameesh/services/internal/database"
	"github.com/datameesh/datameesh/services/internal/idempotency"
)

const logColumns = `log_id, served_at, service, route, method, status, duration_us, response_bytes, request_id, api_key`

func scanLog() pgx.RowToFunc[apimetrics.Log] {
	var l apimetrics.Log
	return database.Scanner(&l, &l.ID, &l.ServedAt, &l.Service, &l.Route, &l.Method, &l.Status, &l.Duration, &l.Bytes, &l.RequestID, &l.KeyName)
}

// StoreLogs stores entries and adds them to the metrics, both or neither, and
// once for each Idempotency-Key in the context.
func (s *Store) StoreLogs(ctx context.Context, entries []apimetrics.Entry) error {
	if err := s.MakePartitions(ctx, entries...); err != nil {
		// Then the entries go to the default partition, and move when the
		// partition of their day is made.
		slog.WarnContext(ctx, "partitions not made", "error", err)
	}
	err := s.storeLogs(ctx, entries)
	if isRouted(err) {
		err = s.storeLogs(ctx, entries)
	}
	return wrap(err, "store logs")
}

func (s *Store) storeLogs(ctx context.Context, entries []apimetrics.Entry) error {
	_, err := idempotency.Do(ctx, s.db, func(q idempotency.Querier) (int, error) {
		return len(entries), pgx.BeginFunc(ctx, q, func(tx pgx.Tx) error { return insertLogs(ctx, tx, entries) })
	})
	return err
}

func insertLogs(ctx context.Context, tx pgx.Tx, entries []apimetrics.Entry) error {
	for chunk := range slices.Chunk(entries, copySize) {
		if _, err := tx.Conn().PgConn().CopyFrom(ctx, bytes.NewReader(rowsOf(chunk)), copyLogs); err != nil {
			return err
		}
	}
	return tx.SendBatch(ctx, addMetrics(apimetrics.Rollup(entries))).Close()
}

// isRouted recognises a row that was on its way into the default partition while
// another writer made the partition of its day: the next attempt finds that one.
func isRouted(err error) bool {
	var pgErr *pgconn.PgError
	return errors.As(err, &pgErr) && pgErr.Code == "23514" && pgErr.TableName == "other" // check_violation
}

// MakePartitions makes the partitions for the days of the entries and, ahead of
// need, for today and the days after. It has a transaction of its own: making a
// partition takes locks that a batch should not hold.
func (s *Store) MakePartitions(ctx context.Context, entries ...apimetrics.Entry) error {
	days := []time.Time{}
	known := map[time.Time]bool{}
	for _, e := range entries {
		if day := e.ServedAt.UTC().Truncate(24 * time.Hour); !known[day] {
			known[day] = true
			days = append(days, day)
		}
	}
	_, err := s.db.Exec(ctx, `SELECT make_api_logs_partitions($1::date[])`, days)
	return wrap(err, "make partitions")
}

// Logs gives the logs that the filter picks, newest first.
func (s *Store) Logs(ctx context.Context, f apimetrics.LogFilter) ([]apimetrics.Log, error) {
	where := database.Where()
	where.And(`log_id < ?`, f.Before)
	where.And(`service = ?`, f.Service)
	where.And(`route = ?`, f.Route)
	where.And(`method = ?`, f.Method)
	where.And(`status = ?`, f.Status)
	where.And(`request_id = ?`, f.RequestID)
	where.And(`served_at >= ?`, f.From)
	where.And(`served_at < ?`, f.To)
	rows, _ := s.db.Query(ctx, `
		SELECT `+logColumns+`
		  FROM api_logs
		 WHERE true`+where.SQL()+`
		 ORDER BY log_id DESC`+where.Limit(f.Limit), where.Args()...)
	list, err := pgx.CollectRows(rows, scanLog())
	return list, wrap(err, "list logs")
}
