// Package idempotency gives a request that is sent twice the effect of one.
//
// The answer of the first is stored in the transaction that did the work, so
// there is no moment in which one exists without the other. The header is that
// of draft-ietf-httpapi-idempotency-key-header-07 (October 2025).
package idempotency

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"

	"github.com/jackc/pgx/v5"
)

// Header carries the caller's key.
const Header = "Idempotency-Key"

// Lifetime is how long a key is remembered, as PostgreSQL writes it.
const Lifetime = "24 hours"

// Errors of a repeated request.
var (
	ErrRunning = errors.New("the first request with this key is still running")
	ErrReused  = errors.New("the key was used with another request")
)

// A Request is what makes two requests the same.
type Request struct {
	Caller string // name of the API key
	Key    string // what the caller sent in Header
	Hash   []byte // of method, path and body
}

type contextKey struct{}

// With gives a context that carries the request to Do.
func With(ctx context.Context, r Request) context.Context {
	return context.WithValue(ctx, contextKey{}, r)
}

// A Beginner begins transactions; a pool does.
type Beginner interface {
	BeginTx(context.Context, pgx.TxOptions) (pgx.Tx, error)
}

// A Querier runs statements; a pool does, and so does a transaction.
type Querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	// Begin begins a transaction, or a savepoint inside of one.
	Begin(ctx context.Context) (pgx.Tx, error)
}

// DB is what Do needs of a pool.
type DB interface {
	Beginner
	Querier
}

// Do runs work, or gives the stored result when the context's request was done
// before. Without a request in the context work runs on db itself; with one it
// runs in a transaction that also stores its result in idempotency_keys. Errors
// are work's, ErrRunning or ErrReused; a failed request is not remembered.
func Do[T any](ctx context.Context, db DB, work func(Querier) (T, error)) (result T, err error) {
	request, ok := ctx.Value(contextKey{}).(Request)
	if !ok {
		return work(db)
	}
	err = pgx.BeginTxFunc(ctx, db, pgx.TxOptions{}, func(tx pgx.Tx) error {
		var first bool
		if err := tx.QueryRow(ctx, `SELECT pg_try_advisory_xact_lock($1)`, request.lock()).Scan(&first); err != nil {
			return fmt.Errorf("lock the idempotency key: %w", err)
		}
		found, err := stored(ctx, tx, request, &result)
		if err != nil || found {
			return err // also when others are asking for the same at this moment
		}
		if !first {
			return ErrRunning
		}
		if result, err = work(tx); err != nil {
			return err
		}
		return store(ctx, tx, request, result)
	})
	return result, err
}

// lock is the number under which requests with the same key exclude each other.
func (r Request) lock() int64 {
	h := fnv.New64a()
	fmt.Fprintf(h, "%s\x00%s", r.Caller, r.Key)
	return int64(h.Sum64())
}

func stored(ctx context.Context, tx pgx.Tx, r Request, result any) (found bool, err error) {
	var same bool
	var text []byte
	err = tx.QueryRow(ctx, `
		SELECT request_hash = $3, result
		  FROM idempotency_keys
		 WHERE caller = $1 AND key = $2 AND created_at > now() - $4::interval`,
		r.Caller, r.Key, r.Hash, Lifetime).Scan(&same, &text)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("read the idempotency key: %w", err)
	case !same:
		return false, ErrReused
	}
	if err := json.Unmarshal(text, result); err != nil {
		return false, fmt.Errorf("read the stored result: %w", err)
	}
	return true, nil
}

// store notes the result and forgets a few keys whose time is over: never many
// at once, so that no request pays for all others.
func store(ctx context.Context, tx pgx.Tx, r Request, result any) error {
	text, err := json.Marshal(result)
	if err != nil {
		return fmt.Errorf("write the result: %w", err)
	}
	_, err = tx.Exec(ctx, `
		WITH expired AS (
			DELETE FROM idempotency_keys
			 WHERE (caller, key) IN (SELECT caller, key FROM idempotency_keys
			                          WHERE created_at <= now() - $5::interval
			                          ORDER BY created_at LIMIT 20 FOR UPDATE SKIP LOCKED)
			   AND NOT (caller = $1 AND key = $2))
		INSERT INTO idempotency_keys (caller, key, request_hash, result)
		VALUES ($1, $2, $3, $4)
		ON CONFLICT (caller, key) DO UPDATE
		   SET request_hash = excluded.request_hash, result = excluded.result, created_at = now()`,
		r.Caller, r.Key, r.Hash, text, Lifetime)
	if err != nil {
		return fmt.Errorf("store the idempotency key: %w", err)
	}
	return nil
}
