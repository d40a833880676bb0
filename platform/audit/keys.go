package audit

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
)

func requests(n int64) string {
	if n == 1 {
		return "1 request"
	}
	return strconv.FormatInt(n, 10) + " requests"
}

// A cursor says which rows of a request log were seen.
type cursor struct {
	SeededAt string `json:"seeded_at"` // of the data that the cursor belongs to
	LogID    int64  `json:"log_id"`    // all up to it were seen
	// Last is the highest number at the last look. Rows are taken one look
	// later: a transaction that was at work then has ended.
	Last int64 `json:"last"`
}

// keyUses returns one event per key, service, route, method and outcome for the
// requests that were logged since the cursor. Seeded rows are nobody's.
func (l RequestLog) keyUses(ctx context.Context, from cursor) (events []Event, to cursor, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("request log of %s: %w", l.Database, err)
		}
	}()
	u := url.URL{Scheme: "postgres", User: url.UserPassword(l.User, os.Getenv(l.PasswordEnv)), Host: l.Address, Path: "/" + l.Database}
	conn, err := pgx.Connect(ctx, u.String()+"?application_name=mesh-audit&connect_timeout=5")
	if err != nil {
		return nil, from, err
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // only read
	var (
		seeded string
		last   int64
	)
	err = conn.QueryRow(ctx, `
		SELECT coalesce((SELECT seeded_at::text FROM mesh_meta WHERE state = 'seeded'), ''),
		       coalesce((SELECT max(log_id) FROM api_logs), 0)`).Scan(&seeded, &last)
	if err != nil {
		return nil, from, err
	}
	switch {
	case seeded == "":
		return nil, from, nil // being seeded
	case seeded != from.SeededAt || last < from.LogID:
		// Other data: what is logged now counts from its seeding on.
		from = cursor{SeededAt: seeded}
	}
	to = cursor{seeded, max(from.Last, from.LogID), last}
	if from.Last <= from.LogID {
		return nil, to, nil
	}
	rows, err := conn.Query(ctx, `
		SELECT api_key, service, method, route, status IN (401, 403), status >= 400 AND status NOT IN (401, 403), count(*), max(served_at)
		  FROM api_logs
		 WHERE log_id > $1
		   AND log_id <= $2
		   AND served_at >= (SELECT seeded_at FROM mesh_meta)
		   AND route NOT IN ('/livez', '/readyz')
		 GROUP BY 1, 2, 3, 4, 5, 6
		 ORDER BY max(served_at)`, from.LogID, from.Last)
	if err != nil {
		return nil, from, err
	}
	defer rows.Close()
	for rows.Next() {
		var (
			key, service, method, route string
			refused, failed             bool
			count                       int64
			at                          time.Time
		)
		if err := rows.Scan(&key, &service, &method, &route, &refused, &failed, &count, &at); err != nil {
			return nil, from, err
		}
		e := Event{At: at, Who: key, Tool: ToolAPI, Action: "use-key", Object: service + " " + method + " " + route, Outcome: OK,
			Detail: requests(count), ID: fmt.Sprintf("%s/%s/%d/%s %s %s %s %v %v", l.Database, seeded, from.Last, key, service, method, route, refused, failed)}
		if key == "" {
			e.Who = "(no key)"
		}
		switch {
		case refused:
			e.Outcome = Refused
		case failed:
			e.Outcome = Failed
		}
		events = append(events, e)
	}
	return events, to, rows.Err()
}
