package postgres

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"time"
)

// Days is a time that something is kept, in whole days from 1.
type Days int

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Days) UnmarshalText(text []byte) error {
	n, err := strconv.Atoi(string(text))
	if err != nil || n < 1 || n > 36_500 {
		return fmt.Errorf("%q is no number of days from 1 to 36500", text)
	}
	*d = Days(n)
	return nil
}

// A Retention says how long request logs and metrics are kept.
type Retention struct{ Logs, Metrics Days }

// tidyPause is short against the days for which partitions are made ahead.
const tidyPause = time.Hour

// Tidy makes partitions ahead and drops what is older than the retention, now
// and every hour until ctx ends. What fails is logged and tried again.
func (s *Store) Tidy(ctx context.Context, keep Retention) {
	ticker := time.NewTicker(tidyPause)
	defer ticker.Stop()
	for {
		if err := s.MakePartitions(ctx); err != nil {
			slog.WarnContext(ctx, "partitions not made; the next batch makes them", "error", err)
		}
		if err := s.Drop(ctx, keep); err != nil {
			slog.WarnContext(ctx, "old request logs not dropped; tried again in an hour", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// Drop drops the partitions, and deletes the metrics, that are older than the
// retention. The days before as_of stay.
func (s *Store) Drop(ctx context.Context, keep Retention) error {
	for {
		var partition *string
		if err := s.db.QueryRow(ctx, `SELECT drop_old_api_logs($1)`, int(keep.Logs)).Scan(&partition); err != nil {
			return wrap(err, "drop old request logs")
		}
		if partition == nil {
			break
		}
		slog.InfoContext(ctx, "dropped a day of request logs", "partition", *partition)
	}
	for {
		var deleted int64
		if err := s.db.QueryRow(ctx, `SELECT delete_old_metrics($1)`, int(keep.Metrics)).Scan(&deleted); err != nil {
			return wrap(err, "delete old metrics")
		}
		if deleted == 0 {
			return nil
		}
	}
}
