package database

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// previousPassword names the variable with the password before the one of PGPASSWORD.
const previousPassword = "PGPASSWORD_PREVIOUS"

// A rotation lets connections open before and after PostgreSQL gets the new
// password, so that programs can be given it first.
type rotation struct {
	previous string
	over     atomic.Bool // the new one has opened
}

// choose implements pgxpool.Config.BeforeConnect. It tries the new password, and
// takes the previous one when PostgreSQL does not know the new one yet.
func (r *rotation) choose(ctx context.Context, config *pgx.ConnConfig) error {
	if r.over.Load() {
		return nil
	}
	conn, err := pgconn.ConnectConfig(ctx, &config.Config)
	if pgErr, ok := errors.AsType[*pgconn.PgError](err); ok && pgErr.Code == "28P01" { // invalid_password
		config.Password = r.previous
		return nil
	}
	if err != nil {
		return nil //nolint:nilerr // the connection itself tells
	}
	r.over.Store(true)
	return conn.Close(ctx)
}
