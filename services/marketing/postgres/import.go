package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/datameesh/datameesh/services/internal/idempotency"
	"github.com/datameesh/datameesh/services/marketing"
)

// acquireTimeout is how long an import waits for a connection of its own: when
// all are busy, the caller had better come again.
const acquireTimeout = 2 * time.Second

// Import takes in the rows of source, batch by batch. How far it is stands in
// the transaction of each batch, so that an import that was cut off anywhere
// goes on without storing a row twice. Errors of source are given as they are;
// idempotency.ErrRunning while the same import runs, idempotency.ErrReused when
// source is not the file that the key was used with.
func (s *Store) Import(ctx context.Context, request marketing.ImportRequest, source marketing.ImportSource) (i marketing.Import, err error) {
	conn, release, err := s.importing(ctx, request)
	if err != nil {
		return i, wrap(err, "start the import")
	}
	defer release()
	i, digest, err := begin(ctx, conn, request, source)
	if err != nil {
		return i, wrap(err, "start the import")
	}
	if err := goOn(i, digest, source); err != nil {
		return i, err
	}
	for i.State == marketing.Running {
		rows, err := source.Batch()
		last := errors.Is(err, io.EOF)
		if err != nil && !last {
			return i, err
		}
		if i, err = storeBatch(ctx, conn, i, rows, source.Sum(), last); err != nil {
			return i, wrap(err, "import %d, after line %d", i.ID, i.Position)
		}
	}
	return s.ImportOf(ctx, i.ID)
}

// importing takes a connection and, on it, the lock that keeps two sendings of
// one import apart. The lock ends with the connection, so a service that is
// killed leaves none behind.
func (s *Store) importing(ctx context.Context, request marketing.ImportRequest) (conn *pgxpool.Conn, release func(), err error) {
	waiting, cancel := context.WithTimeout(ctx, acquireTimeout)
	defer cancel()
	conn, err = s.db.Acquire(waiting)
	if err != nil {
		return nil, nil, fmt.Errorf("get a connection: %w", err)
	}
	name := fnv.New64a()
	fmt.Fprintf(name, "import\x00%s\x00%s", request.Caller, request.Key)
	lock := int64(name.Sum64())
	var first bool
	if err := conn.QueryRow(ctx, `SELECT pg_try_advisory_lock($1)`, lock).Scan(&first); err != nil {
		conn.Release()
		return nil, nil, fmt.Errorf("lock the import: %w", err)
	}
	if !first {
		conn.Release()
		return nil, nil, idempotency.ErrRunning
	}
	return conn, func() {
		unlocking, cancel := context.WithTimeout(context.WithoutCancel(ctx), acquireTimeout)
		defer cancel()
		if _, err := conn.Exec(unlocking, `SELECT pg_advisory_unlock($1)`, lock); err != nil {
			conn.Conn().Close(unlocking) //nolint:errcheck // the lock ends with the connection, however it ends
		}
		conn.Release()
	}, nil
}

// begin finds the import of the request, or notes a new one, and gives the
// digest of what is done of it.
func begin(ctx context.Context, conn *pgxpool.Conn, request marketing.ImportRequest, source marketing.ImportSource) (i marketing.Import, digest []byte, err error) {
	_, err = conn.Exec(ctx, `
		INSERT INTO lead_imports (caller, idempotency_key, format, columns)
		VALUES ($1, $2, $3, $4)
		ON CONFLICT (caller, idempotency_key) DO NOTHING`,
		request.Caller, request.Key, source.Format(), source.Columns())
	if err != nil {
		return i, nil, err
	}
	var same bool
	err = conn.QueryRow(ctx, `
		SELECT import_id, state, position, digest, format = $3 AND columns IS NOT DISTINCT FROM $4::text[]
		  FROM lead_imports
		 WHERE caller = $1 AND idempotency_key = $2`,
		request.Caller, request.Key, source.Format(), source.Columns()).Scan(&i.ID, &i.State, &i.Position, &digest, &same)
	if err == nil && !same {
		err = idempotency.ErrReused
	}
	return i, digest, err
}

// goOn brings source to where the import stopped.
func goOn(i marketing.Import, digest []byte, source marketing.ImportSource) error {
	if digest == nil {
		return nil // it did not begin
	}
	position := i.Position
	if i.State == marketing.Complete {
		position = -1
	}
	if position != 0 {
		found, err := source.Skip(position)
		if err != nil {
			return err
		}
		if !found {
			return idempotency.ErrReused
		}
	}
	if !bytes.Equal(source.Sum(), digest) {
		return idempotency.ErrReused
	}
	return nil
}

// storeBatch stores the rows, or parks them, and notes that they are done.
func storeBatch(ctx context.Context, conn *pgxpool.Conn, i marketing.Import, rows []marketing.ImportRow, digest []byte, last bool) (marketing.Import, error) {
	after := i
	if len(rows) > 0 {
		after.Position = rows[len(rows)-1].Position
	}
	if last {
		after.State = marketing.Complete
	}
	err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		good, bad, err := sift(ctx, tx, rows)
		if err != nil {
			return err
		}
		stored, err := insertLeads(ctx, tx, good)
		if err != nil {
			return err
		}
		if err := park(ctx, tx, i.ID, bad); err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, `
			UPDATE lead_imports
			   SET state = $3, position = $4, digest = $5, stored = stored + $6, duplicates = duplicates + $7, parked = parked + $8,
			       completed_at = CASE WHEN $3 = 'complete' THEN now() END
			 WHERE import_id = $1 AND position = $2 AND state = 'running'`,
			i.ID, i.Position, after.State, after.Position, digest, stored, len(good)-stored, len(bad))
		if err == nil && tag.RowsAffected() != 1 {
			err = idempotency.ErrRunning // somebody else went on with it
		}
		return err
	})
	if err != nil {
		return i, err
	}
	return after, nil
}

// sift parts the rows that can be stored from those that cannot. The campaigns
// of the former keep their names until the transaction ends.
func sift(ctx context.Context, tx pgx.Tx, rows []marketing.ImportRow) (good, bad []marketing.ImportRow, err error) {
	var ids []int64
	for _, row := range rows {
		if row.Wrong == "" && !slices.Contains(ids, row.Lead.CampaignID) {
			ids = append(ids, row.Lead.CampaignID)
		}
	}
	found, _ := tx.Query(ctx, `
		SELECT campaign_id
		  FROM campaigns
		 WHERE campaign_id = ANY ($1)
		 ORDER BY campaign_id
		   FOR KEY SHARE`, ids)
	known, err := pgx.CollectRows(found, pgx.RowTo[int64])
	if err != nil {
		return nil, nil, fmt.Errorf("look for the campaigns: %w", err)
	}
	for _, row := range rows {
		if row.Wrong == "" && !slices.Contains(known, row.Lead.CampaignID) {
			row.Wrong = "campaign_id is not the id of a campaign"
		}
		if row.Wrong == "" {
			good = append(good, row)
		} else {
			bad = append(bad, row)
		}
	}
	return good, bad, nil
}

// insertLeads gives the number of rows that were not known.
func insertLeads(ctx context.Context, tx pgx.Tx, rows []marketing.ImportRow) (int, error) {
	if len(rows) == 0 {
		return 0, nil
	}
	emails, names, sources, externals := make([]string, len(rows)), make([]string, len(rows)), make([]string, len(rows)), make([]*string, len(rows))
	campaigns, scores := make([]int64, len(rows)), make([]int, len(rows))
	for i, row := range rows {
		n := row.Lead
		emails[i], names[i], sources[i], campaigns[i], scores[i], externals[i] = n.Email, n.FullName, n.Source, n.CampaignID, n.Score, orNull(n.ExternalID)
	}
	// In the order of external ids, so that two imports of the same leads never
	// wait for each other in turn; the others in the order of the file.
	tag, err := tx.Exec(ctx, touch+`
		INSERT INTO leads (email, full_name, source, campaign_id, campaign_name, score, external_id)
		SELECT n.email, n.full_name, n.source, c.campaign_id, c.campaign_name, n.score, n.external_id
		  FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::smallint[], $6::text[])
		       WITH ORDINALITY AS n (email, full_name, source, campaign_id, score, external_id, place)
		  JOIN campaigns AS c ON c.campaign_id = n.campaign_id
		 ORDER BY n.external_id NULLS FIRST, CASE WHEN n.external_id IS NOT NULL THEN n.source END, n.place
		ON CONFLICT (source, external_id) WHERE external_id IS NOT NULL DO NOTHING`,
		emails, names, sources, campaigns, scores, externals)
	if err != nil {
		return 0, fmt.Errorf("store %d leads: %w", len(rows), err)
	}
	return int(tag.RowsAffected()), nil
}

func park(ctx context.Context, tx pgx.Tx, id int64, rows []marketing.ImportRow) error {
	if len(rows) == 0 {
		return nil
	}
	positions, reasons, raws := make([]int64, len(rows)), make([]string, len(rows)), make([]string, len(rows))
	for i, row := range rows {
		positions[i], reasons[i], raws[i] = row.Position, row.Wrong, row.Raw
	}
	_, err := tx.Exec(ctx, touch+`
		INSERT INTO lead_dead_letters (import_id, position, reason, raw)
		SELECT $1, n.position, n.reason, n.raw
		  FROM unnest($2::bigint[], $3::text[], $4::text[]) AS n (position, reason, raw)
		 ORDER BY n.position`,
		id, positions, reasons, raws)
	if err != nil {
		return fmt.Errorf("park %d rows: %w", len(rows), err)
	}
	return nil
}

// Imported gives what was done of an import so far; nothing of a new one.
func (s *Store) Imported(ctx context.Context, request marketing.ImportRequest) (i marketing.Import, err error) {
	err = s.db.QueryRow(ctx, `
		SELECT import_id, stored, duplicates, parked
		  FROM lead_imports
		 WHERE caller = $1 AND idempotency_key = $2`,
		request.Caller, request.Key).Scan(&i.ID, &i.Stored, &i.Duplicates, &i.Parked)
	if errors.Is(err, pgx.ErrNoRows) {
		err = nil
	}
	return i, wrap(err, "look for the import")
}

// ImportOf gives the import with the id.
func (s *Store) ImportOf(ctx context.Context, id int64) (i marketing.Import, err error) {
	err = s.db.QueryRow(ctx, `
		SELECT import_id, state, format, position, stored, duplicates, parked, started_at, completed_at
		  FROM lead_imports
		 WHERE import_id = $1`, id).
		Scan(&i.ID, &i.State, &i.Format, &i.Position, &i.Stored, &i.Duplicates, &i.Parked, &i.StartedAt, &i.CompletedAt)
	if err != nil {
		return i, wrap(err, "import %d", id)
	}
	rows, _ := s.db.Query(ctx, `
		SELECT dead_letter_id, position, reason
		  FROM lead_dead_letters
		 WHERE import_id = $1
		 ORDER BY position
		 LIMIT $2`, id, marketing.MaxProblems)
	i.Problems, err = pgx.CollectRows(rows, pgx.RowToStructByPos[marketing.ImportProblem])
	return i, wrap(err, "problems of import %d", id)
}
