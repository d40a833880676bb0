package idempotency

import (
	"context"
	"errors"
	"testing"
	"testing/fstest"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/datameesh/datameesh/services/internal/pgtest"
)

// schema is the table as the services' migrations make it.
var schema = pgtest.Schema{Owner: "idempotency_owner", App: "idempotency_app", Migrations: fstest.MapFS{
	"000001_keys.up.sql": {Data: []byte(`
		CREATE TABLE idempotency_keys (caller text, key text, request_hash bytea NOT NULL, result jsonb NOT NULL,
			created_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (caller, key));
		GRANT SELECT, INSERT, UPDATE, DELETE ON idempotency_keys TO idempotency_app`)},
	"000001_keys.down.sql": {Data: []byte(`DROP TABLE idempotency_keys`)},
}}

func open(t *testing.T) *pgxpool.Pool {
	t.Helper()
	pool, err := pgxpool.New(t.Context(), pgtest.New(t, schema).URL("idempotency_app"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

// request gives a context with a request, its key and what is asked.
func request(t *testing.T, key, body string) context.Context {
	t.Helper()
	return With(t.Context(), Request{Caller: "a", Key: key, Hash: []byte(body)})
}

func TestDoneOnce(t *testing.T) {
	pool := open(t)
	worked := 0
	work := func(Querier) (int, error) { worked++; return worked, nil }
	for range 3 {
		if got, err := Do(request(t, "k", "body"), pool, work); got != 1 || err != nil {
			t.Errorf("got %d, %v", got, err)
		}
	}
	if _, err := Do(request(t, "k", "another body"), pool, work); !errors.Is(err, ErrReused) {
		t.Errorf("another body under the same key: %v", err)
	}
	other := With(t.Context(), Request{Caller: "b", Key: "k", Hash: []byte("body")})
	if got, err := Do(other, pool, work); got != 2 || err != nil {
		t.Errorf("the key of another caller: %d, %v", got, err)
	}
	if got, err := Do(t.Context(), pool, work); got != 3 || err != nil {
		t.Errorf("without a key: %d, %v", got, err)
	}
}

func TestWhatFailedIsTriedAgain(t *testing.T) {
	pool := open(t)
	broken := errors.New("broken")
	if _, err := Do(request(t, "k", "body"), pool, func(Querier) (int, error) { return 0, broken }); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	if got, err := Do(request(t, "k", "another body"), pool, func(Querier) (int, error) { return 7, nil }); got != 7 || err != nil {
		t.Errorf("again: %d, %v", got, err)
	}
}

func TestASecondRequestHearsThatTheFirstIsRunning(t *testing.T) {
	pool := open(t)
	begun, release, first := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		_, err := Do(request(t, "k", "body"), pool, func(Querier) (int, error) {
			close(begun)
			<-release
			return 1, nil
		})
		first <- err
	}()
	<-begun
	never := func(Querier) (int, error) { t.Error("the work was done twice"); return 2, nil }
	if _, err := Do(request(t, "k", "body"), pool, never); !errors.Is(err, ErrRunning) {
		t.Errorf("meanwhile: %v", err)
	}
	close(release)
	if err := <-first; err != nil {
		t.Fatal(err)
	}
	if got, err := Do(request(t, "k", "body"), pool, never); got != 1 || err != nil {
		t.Errorf("afterwards: %d, %v", got, err)
	}
}

func TestAKeyIsForgottenAfterItsTime(t *testing.T) {
	pool := open(t)
	one := func(Querier) (int, error) { return 1, nil }
	for _, key := range []string{"k", "old"} {
		if _, err := Do(request(t, key, "body"), pool, one); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := pool.Exec(t.Context(), `UPDATE idempotency_keys SET created_at = now() - interval '25 hours'`); err != nil {
		t.Fatal(err)
	}
	if got, err := Do(request(t, "k", "another body"), pool, func(Querier) (int, error) { return 2, nil }); got != 2 || err != nil {
		t.Errorf("after a day: %d, %v", got, err)
	}
	var left int
	if err := pool.QueryRow(t.Context(), `SELECT count(*) FROM idempotency_keys`).Scan(&left); err != nil || left != 1 {
		t.Errorf("%d keys are left, %v", left, err)
	}
}
