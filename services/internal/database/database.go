// Package database opens PostgreSQL and runs transactions on it, without knowing any table.
package database

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// ErrUnavailable says that the database could not be reached or went away; the
// same request may succeed a moment later.
var ErrUnavailable = errors.New("database unavailable")

// Limits of one service's pool. A statement that runs longer than the caller
// waits only takes resources from the others.
const (
	maxConnections   = 16
	connectTimeout   = 2 * time.Second
	statementTimeout = 10 * time.Second
	// acquireTimeout is how long a request waits while others have all connections.
	// A good statement takes milliseconds: who finds none by then is better told so.
	acquireTimeout = 900 * time.Millisecond
)

// A DB is a pool of connections to one database.
type DB struct{ *pgxpool.Pool }

// Open makes a pool for the URL. It does not connect: a service starts, and
// stays up, while its database is away. The password comes from PGPASSWORD,
// so that it stands in no URL. While it is rotated, PGPASSWORD_PREVIOUS is the one
// that PostgreSQL may still have.
func Open(ctx context.Context, url, applicationName string) (*DB, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("DATABASE_URL is not a PostgreSQL URL (postgres://user@host:port/database): %w", err)
	}
	config.MaxConns = maxConnections
	config.ConnConfig.ConnectTimeout = connectTimeout
	config.ConnConfig.Tracer = patience(acquireTimeout)
	config.ConnConfig.RuntimeParams["application_name"] = applicationName
	config.ConnConfig.RuntimeParams["timezone"] = "UTC"
	config.ConnConfig.RuntimeParams["statement_timeout"] = fmt.Sprint(statementTimeout.Milliseconds())
	if previous := os.Getenv(previousPassword); previous != "" {
		config.BeforeConnect = (&rotation{previous: previous}).choose
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("make the connection pool: %w", err)
	}
	return &DB{pool}, nil
}

// patience bounds how long to wait for a connection, but not what is done with
// it: a pgxpool.AcquireTracer is where pgx lets the context of the waiting alone
// be set.
type patience time.Duration

type patienceKey struct{}

// TraceAcquireStart implements pgxpool.AcquireTracer. While the pool may open a
// connection, connectTimeout is the limit: a machine that is busy takes longer to log in.
func (p patience) TraceAcquireStart(ctx context.Context, pool *pgxpool.Pool, _ pgxpool.TraceAcquireStartData) context.Context {
	if stat := pool.Stat(); stat.TotalConns() < stat.MaxConns() {
		return ctx
	}
	ctx, cancel := context.WithTimeout(ctx, time.Duration(p))
	return context.WithValue(ctx, patienceKey{}, cancel)
}

// TraceAcquireEnd implements pgxpool.AcquireTracer.
func (patience) TraceAcquireEnd(ctx context.Context, _ *pgxpool.Pool, _ pgxpool.TraceAcquireEndData) {
	if cancel, ok := ctx.Value(patienceKey{}).(context.CancelFunc); ok {
		cancel()
	}
}

// TraceQueryStart implements pgx.QueryTracer, which every tracer of pgx has to be.
func (patience) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	return ctx
}

// TraceQueryEnd implements pgx.QueryTracer.
func (patience) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// InTx runs f in one transaction: committed when f returns nil, else rolled back.
func (db *DB) InTx(ctx context.Context, f func(pgx.Tx) error) error {
	return Classify(pgx.BeginFunc(ctx, db.Pool, f))
}

// Change changes one row in one transaction and gives it as it is then: lock
// reads it and keeps others from changing it, change sets new values, and write
// stores them, unless nothing changed.
func Change[T comparable](ctx context.Context, db *DB, change func(*T) error, lock func(pgx.Tx) (T, error), write func(pgx.Tx, T) (T, error)) (row T, err error) {
	err = db.InTx(ctx, func(tx pgx.Tx) error {
		before, err := lock(tx)
		if err != nil {
			return err
		}
		row = before
		if err := change(&row); err != nil || row == before {
			return err
		}
		row, err = write(tx, row)
		return err
	})
	return row, err
}

// Constraint gives the name of the constraint that err broke, or "".
func Constraint(err error) string {
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) {
		return pgErr.ConstraintName
	}
	return ""
}

// passing are the SQLSTATEs (PostgreSQL documentation, appendix A) of what may
// succeed a moment later: no connection, no resources, a server that starts,
// stops or only reads after a failover, a statement that waited for too long, a
// transaction that gave way to another.
var passing = []string{"08", "53", "57P", "25006", "57014", "55P03", "40001", "40P01"}

// Classify wraps ErrUnavailable around errors that say the database is away, or
// too busy.
func Classify(err error) error {
	if err == nil || errors.Is(err, ErrUnavailable) {
		return err
	}
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) {
		if slices.ContainsFunc(passing, func(code string) bool { return strings.HasPrefix(pgErr.Code, code) }) {
			return fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		return err
	}
	var connectErr *pgconn.ConnectError
	var netErr net.Error
	if errors.As(err, &connectErr) || errors.As(err, &netErr) || pgconn.SafeToRetry(err) ||
		errors.Is(err, context.DeadlineExceeded) || isCutOff(err) {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return err
}

// isCutOff recognises a connection that ended in the middle of an answer: pgx
// reports these as plain io errors or as its own unexported types.
func isCutOff(err error) bool {
	for _, text := range []string{"unexpected EOF", "conn closed", "connection reset", "broken pipe", "closed pool"} {
		if strings.Contains(err.Error(), text) {
			return true
		}
	}
	return false
}
