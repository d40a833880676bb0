package postgres

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// A reader reads rows by id. Reads that come while others are under way wait
// for these and then go to the database together, in one statement: under load
// a round trip brings many rows, without load nobody waits. A statement begins
// after the calls it serves, so each sees all that was committed before it.
type reader[T any] struct {
	// read gives the rows with the ids, in any order, without those that are not there.
	read func(ctx context.Context, ids []int64) (map[int64]T, error)

	mu      sync.Mutex
	waiting *batch[T]
	running int
}

// Limits of a reader. The reads that come while a statement is under way are better
// sent together after it; what has waited for patience goes beside it.
const (
	maxRunning = 2
	patience   = time.Millisecond
	// readTimeout bounds a statement that serves callers who may have gone.
	readTimeout = 10 * time.Second
)

var errNotRead = errors.New("the read did not end")

// A batch is reads that go to the database together.
type batch[T any] struct {
	ids  []int64
	done chan struct{} // closed when rows and err are there
	rows map[int64]T
	err  error

	impatience *time.Timer // of a batch that waits
}

// get gives the row with the id; pgx.ErrNoRows when there is none.
func (r *reader[T]) get(ctx context.Context, id int64) (row T, err error) {
	r.mu.Lock()
	b, begin := r.waiting, r.running == 0
	if b == nil {
		b = &batch[T]{done: make(chan struct{})}
		if begin {
			r.running++
		} else {
			r.waiting = b
			b.impatience = time.AfterFunc(patience, func() { r.hurry(ctx, b) })
		}
	}
	b.ids = append(b.ids, id)
	r.mu.Unlock()
	if begin {
		r.run(ctx, b)
	}
	select {
	case <-b.done:
	case <-ctx.Done():
		return row, ctx.Err()
	}
	if b.err != nil {
		return row, b.err
	}
	row, found := b.rows[id]
	if !found {
		return row, pgx.ErrNoRows
	}
	return row, nil
}

// hurry reads a batch that still waits beside the statements under way, if it may.
func (r *reader[T]) hurry(ctx context.Context, b *batch[T]) {
	r.mu.Lock()
	begin := r.waiting == b && r.running < maxRunning
	if begin {
		r.running++
		r.waiting = nil
	}
	r.mu.Unlock()
	if begin {
		r.run(ctx, b)
	}
}

// run reads a batch, then lets another goroutine read what came meanwhile.
func (r *reader[T]) run(ctx context.Context, b *batch[T]) {
	defer func() {
		close(b.done)
		r.mu.Lock()
		next := r.waiting
		r.waiting = nil
		if next == nil {
			r.running--
		}
		r.mu.Unlock()
		if next != nil {
			next.impatience.Stop()
			go r.run(ctx, next)
		}
	}()
	// The caller who began may go away; the others still want their rows.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readTimeout)
	defer cancel()
	b.err = errNotRead // in case read panics: nobody may take that for "no row"
	b.rows, b.err = r.read(ctx, b.ids)
}

// lists are parameters of so many ids: powers of two, so that there are few statements.
var lists = [...]string{
	"= $1",
	"IN ($1, $2)",
	"IN ($1, $2, $3, $4)",
	"IN ($1, $2, $3, $4, $5, $6, $7, $8)",
	"IN ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)",
}

// among compares a column with the ids, the last of them repeated up to the length of
// a list. PostgreSQL keeps the plan of a list; it does not know how long an array
// will be, expects ten elements, and plans the statement anew for each that is shorter.
func among(ids []int64) (condition string, args []any) {
	for i, list := range lists {
		if size := 1 << i; len(ids) <= size {
			args = make([]any, size)
			for k := range args {
				args[k] = ids[min(k, len(ids)-1)]
			}
			return list, args
		}
	}
	return "= ANY ($1)", []any{ids}
}

// byID collects rows by their ids.
func byID[T any](rows pgx.Rows, scan pgx.RowToFunc[T], id func(T) int64) (map[int64]T, error) {
	found := map[int64]T{}
	for rows.Next() {
		row, err := scan(rows)
		if err != nil {
			rows.Close()
			return nil, err
		}
		found[id(row)] = row
	}
	return found, rows.Err()
}
