package audit

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"time"

	"github.com/jackc/pgx/v5"
)

// A GrafanaDatabase is the database in which Grafana keeps its sessions
// (user_auth_token) and attempts to log in that failed (login_attempt); both
// tables are in Grafana 9 to 12.
type GrafanaDatabase RequestLog

// A sessionCursor says which sessions and attempts were seen.
type sessionCursor struct {
	Session int64 `json:"session"`
	Attempt int64 `json:"attempt"`
}

// logins returns the log-ins since the cursor. Grafana forgets failed attempts
// when their user comes in, so one just before that may be missed.
func (g GrafanaDatabase) logins(ctx context.Context, from sessionCursor) (events []Event, to sessionCursor, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("log-ins of Grafana: %w", err)
		}
	}()
	u := url.URL{Scheme: "postgres", User: url.UserPassword(g.User, os.Getenv(g.PasswordEnv)), Host: g.Address, Path: "/" + g.Database}
	conn, err := pgx.Connect(ctx, u.String()+"?application_name=mesh-audit&connect_timeout=5")
	if err != nil {
		return nil, from, err
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // only read
	var there bool
	if err := conn.QueryRow(ctx, `SELECT to_regclass('user_auth_token') IS NOT NULL AND to_regclass('login_attempt') IS NOT NULL`).Scan(&there); err != nil || !there {
		return nil, from, err // Grafana has not made its tables yet
	}
	to = from
	for _, part := range []struct {
		last    *int64
		sql     string
		outcome string
	}{
		{&to.Session, `
			SELECT t.id, u.login, t.client_ip, to_timestamp(t.created_at)
			  FROM user_auth_token t JOIN "user" u ON u.id = t.user_id
			 WHERE t.id > $1
			 ORDER BY t.id`, OK},
		{&to.Attempt, `
			SELECT id, username, ip_address, to_timestamp(created)
			  FROM login_attempt
			 WHERE id > $1
			 ORDER BY id`, Refused},
	} {
		rows, err := conn.Query(ctx, part.sql, *part.last)
		if err != nil {
			return nil, from, err
		}
		var (
			id        int64
			who, addr string
			at        time.Time
		)
		_, err = pgx.ForEachRow(rows, []any{&id, &who, &addr, &at}, func() error {
			*part.last = id
			events = append(events, Event{
				At: at, Who: who, Tool: ToolGrafana, Action: "login", Outcome: part.outcome, From: addr,
				ID: fmt.Sprintf("grafana/%s/%d/%d", part.outcome, id, at.Unix()),
			})
			return nil
		})
		if err != nil {
			return nil, from, err
		}
	}
	return events, to, nil
}
