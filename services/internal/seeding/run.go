package seeding

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/datameesh/datameesh/services/internal/money"
	"github.com/datameesh/datameesh/services/internal/population"
)

var errUnreachable = errors.New("cannot reach the database")

// seedingLock is the advisory lock that keeps two seeders of one database apart.
const seedingLock = 0x6d65657368 // "meesh"

// meta is the row of mesh_meta.
type meta struct {
	asOf   time.Time
	seed   int64
	scale  string
	rows   population.Rows
	state  string // seeding | seeded
	nextTx int
}

func (m meta) same(p Params) bool {
	return m.asOf.Equal(p.AsOf) && m.seed == p.Seed && m.scale == p.Scale && m.rows == p.Rows
}

func (m meta) String() string {
	return fmt.Sprintf("scale %s, seed %d, as of %s", m.scale, m.seed, m.asOf.Format(time.DateOnly))
}

func run(ctx context.Context, domain Domain, opts options, stdout, stderr io.Writer) error {
	conn, err := pgx.Connect(ctx, os.Getenv("DATABASE_URL"))
	if err != nil {
		return fmt.Errorf("%w: %w; check DATABASE_URL and PGPASSWORD, and that the server runs", errUnreachable, err)
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // the process ends; every result is committed or reported

	if err := lock(ctx, conn); err != nil {
		return err
	}
	plan := domain.Plan(opts.Params)
	first, err := start(ctx, conn, plan, opts, stderr)
	if err != nil || first < 0 {
		return err
	}
	progress := newProgress(stderr, domain.Program, plan, first)
	making, stop := context.WithCancel(ctx)
	defer stop()
	made := makeRows(making, plan, first)
	for i := first; i < plan.Transactions; i++ {
		copied, err := transact(ctx, conn, plan, opts, i, made)
		if err != nil {
			return err
		}
		progress.add(copied)
	}
	progress.end()
	for _, table := range plan.Tables {
		var rows int64
		if err := conn.QueryRow(ctx, `SELECT count(*) FROM `+pgx.Identifier{table}.Sanitize()).Scan(&rows); err != nil {
			return fmt.Errorf("count %s: %w", table, err)
		}
		fmt.Fprintf(stdout, "%s %d\n", table, rows)
	}
	return nil
}

// lock takes the seeding lock until the connection ends. The server of a seeder
// that was interrupted a moment ago may still hold it, so it is waited for briefly.
func lock(ctx context.Context, conn *pgx.Conn) error {
	err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SET LOCAL lock_timeout = '2s'`); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `SELECT pg_advisory_lock($1)`, int64(seedingLock))
		return err
	})
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) && pgErr.Code == "55P03" { // lock_not_available
		return errors.New("another seeder is at work in this database; wait for it to end")
	}
	if err != nil {
		return fmt.Errorf("take the seeding lock: %w", err)
	}
	return nil
}

// start decides where the seeding begins: the number of its first transaction,
// or -1 when there is nothing to do.
func start(ctx context.Context, conn *pgx.Conn, plan Plan, opts options, stderr io.Writer) (int, error) {
	found, exists, err := readMeta(ctx, conn)
	if err != nil {
		return 0, err
	}
	filled, err := firstFilled(ctx, conn, plan.Tables)
	if err != nil {
		return 0, err
	}
	switch {
	case opts.force, !exists && filled == "":
		return 0, nil
	case exists && found.state == "seeding" && found.same(opts.Params):
		if plan.Others != "" {
			var others string
			err := conn.QueryRow(ctx, plan.Others).Scan(&others)
			if err == nil {
				return 0, fmt.Errorf("another seeding, of %s, was interrupted; repeat it, or replace it with --force", others)
			}
			if !errors.Is(err, pgx.ErrNoRows) {
				return 0, fmt.Errorf("look for rows of another seeding: %w", err)
			}
		}
		fmt.Fprintf(stderr, "going on with an interrupted seeding: %d of %d transactions are done\n", found.nextTx, plan.Transactions)
		return found.nextTx, nil
	case exists && found.state == "seeding":
		return 0, fmt.Errorf("a seeding with other settings (%v) was interrupted; repeat it with those, or replace it with --force", found)
	case opts.ifEmpty:
		fmt.Fprintf(stderr, "already seeded: %v\n", found)
		return -1, nil
	case exists:
		return 0, fmt.Errorf("the database holds data (%v); replace it with --force", found)
	default:
		return 0, fmt.Errorf("table %s holds data that no seeder made; replace it with --force", filled)
	}
}

func readMeta(ctx context.Context, conn *pgx.Conn) (m meta, exists bool, err error) {
	var rows []byte
	err = conn.QueryRow(ctx, `SELECT as_of, seed, scale, row_counts, state, transactions_done FROM mesh_meta`).
		Scan(&m.asOf, &m.seed, &m.scale, &rows, &m.state, &m.nextTx)
	if errors.Is(err, pgx.ErrNoRows) {
		return meta{}, false, nil
	}
	if err != nil {
		return meta{}, false, fmt.Errorf("read mesh_meta (are the migrations applied?): %w", err)
	}
	if err := json.Unmarshal(rows, &m.rows); err != nil {
		return meta{}, false, fmt.Errorf("read mesh_meta.row_counts: %w", err)
	}
	return m, true, nil
}

func firstFilled(ctx context.Context, conn *pgx.Conn, tables []string) (string, error) {
	for _, table := range tables {
		var filled bool
		err := conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM `+pgx.Identifier{table}.Sanitize()+`)`).Scan(&filled)
		if err != nil {
			return "", fmt.Errorf("look into %s: %w", table, err)
		}
		if filled {
			return table, nil
		}
	}
	return "", nil
}

// transact runs transaction i with the rows made for it and gives their number.
func transact(ctx context.Context, conn *pgx.Conn, plan Plan, opts options, i int, made <-chan [][]any) (copied int64, err error) {
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if i == 0 {
			if err := reset(ctx, tx, plan, opts.Params); err != nil {
				return err
			}
		}
		if err := execAll(ctx, tx, plan.Before); err != nil {
			return err
		}
		for _, c := range plan.Transaction(i) {
			n, err := tx.CopyFrom(ctx, pgx.Identifier{c.Table}, c.Columns, &rowSource{left: c.To - c.From, made: made})
			if err != nil {
				return fmt.Errorf("copy rows %d to %d of %s: %w", c.From, c.To-1, c.Table, err)
			}
			copied += n
		}
		if err := execAll(ctx, tx, plan.After); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `UPDATE mesh_meta SET transactions_done = $1`, i+1)
		if err == nil && i == plan.Transactions-1 {
			err = execAll(ctx, tx, append(plan.Last, `UPDATE mesh_meta SET state = 'seeded', seeded_at = now()`))
		}
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("transaction %d of %d: %w", i+1, plan.Transactions, err)
	}
	return copied, nil
}

// reset empties the tables and notes which seeding begins.
func reset(ctx context.Context, tx pgx.Tx, plan Plan, p Params) error {
	tables := make([]string, len(plan.Tables))
	for i, table := range plan.Tables {
		tables[i] = pgx.Identifier{table}.Sanitize()
	}
	// What refers to the rows goes with them.
	if _, err := tx.Exec(ctx, `TRUNCATE `+strings.Join(tables, ", ")+` RESTART IDENTITY CASCADE`); err != nil {
		return fmt.Errorf("empty the tables: %w", err)
	}
	rows, err := json.Marshal(p.Rows)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `
		INSERT INTO mesh_meta (as_of, seed, scale, row_counts, state, transactions_done, touched, seeded_at)
		VALUES ($1, $2, $3, $4, 'seeding', 0, false, NULL)
		ON CONFLICT (id) DO UPDATE SET
			as_of = excluded.as_of, seed = excluded.seed, scale = excluded.scale, row_counts = excluded.row_counts,
			state = 'seeding', transactions_done = 0, touched = false, seeded_at = NULL`,
		p.AsOf, p.Seed, p.Scale, rows)
	if err != nil {
		return fmt.Errorf("note the seeding in mesh_meta: %w", err)
	}
	return nil
}

func execAll(ctx context.Context, tx pgx.Tx, statements []string) error {
	for _, statement := range statements {
		if _, err := tx.Exec(ctx, statement); err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
	}
	return nil
}

// Rows are made while the database is at work on those before: so many at once,
// and so many times at most.
const (
	rowsAtOnce = 500
	ahead      = 16
)

// makeRows makes the rows of the transactions from first on, in their order, until
// ctx ends. What comes out at once is of one Copy.
func makeRows(ctx context.Context, plan Plan, first int) <-chan [][]any {
	made := make(chan [][]any, ahead)
	go func() {
		defer close(made)
		for i := first; i < plan.Transactions; i++ {
			for _, c := range plan.Transaction(i) {
				for n := c.From; n < c.To; {
					rows := make([][]any, 0, min(rowsAtOnce, c.To-n))
					for ; len(rows) < cap(rows); n++ {
						rows = append(rows, encodable(c.Row(n)))
					}
					select {
					case made <- rows:
					case <-ctx.Done():
						return
					}
				}
			}
		}
	}()
	return made
}

// rowSource feeds the rows of a Copy to COPY.
type rowSource struct {
	left   int64 // rows of the Copy
	made   <-chan [][]any
	rows   [][]any // made, not yet fed
	values []any
	cutOff bool // there are no more, though some are left
}

func (s *rowSource) Next() bool {
	if s.left == 0 {
		return false
	}
	if len(s.rows) == 0 {
		rows, more := <-s.made
		if !more {
			s.cutOff = true
			return false
		}
		s.rows = rows
	}
	s.values, s.rows = s.rows[0], s.rows[1:]
	s.left--
	return true
}

func (s *rowSource) Values() ([]any, error) { return s.values, nil }

// Err keeps a Copy whose rows end too early from being taken for a whole one.
func (s *rowSource) Err() error {
	if s.cutOff {
		return fmt.Errorf("%d rows are missing: %w", s.left, context.Canceled)
	}
	return nil
}

// encodable gives the values as COPY can carry them.
func encodable(values []any) []any {
	for i, value := range values {
		if amount, ok := value.(money.Amount); ok {
			values[i] = numeric(amount)
		}
	}
	return values
}

// numeric turns an amount into what the binary format of COPY can carry.
func numeric(a money.Amount) pgtype.Numeric {
	return pgtype.Numeric{Int: big.NewInt(int64(a)), Exp: -2, Valid: true}
}
