package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/datameesh/datameesh/services/internal/database"
	"github.com/datameesh/datameesh/services/marketing"
)

const letters = `
		SELECT d.dead_letter_id, d.import_id, d.position, d.reason, i.format, i.columns, d.raw, d.status, d.lead_id, d.created_at, d.updated_at
		  FROM lead_dead_letters AS d
		  JOIN lead_imports AS i USING (import_id)`

var scanLetter = pgx.RowToStructByPos[marketing.DeadLetter]

// DeadLetter gives the dead letter with the id.
func (s *Store) DeadLetter(ctx context.Context, id int64) (marketing.DeadLetter, error) {
	rows, _ := s.db.Query(ctx, letters+`
		 WHERE d.dead_letter_id = $1`, id)
	d, err := pgx.CollectExactlyOneRow(rows, scanLetter)
	return d, wrap(err, "dead letter %d", id)
}

// DeadLetters gives the dead letters that the filter picks.
func (s *Store) DeadLetters(ctx context.Context, f marketing.LetterFilter) ([]marketing.DeadLetter, error) {
	where := database.Where(f.After)
	where.And(`d.import_id = ?`, f.ImportID)
	where.And(`d.status = ?`, f.Status)
	rows, _ := s.db.Query(ctx, letters+`
		 WHERE d.dead_letter_id > $1`+where.SQL()+`
		 ORDER BY d.dead_letter_id`+where.Limit(f.Limit), where.Args()...)
	list, err := pgx.CollectRows(rows, scanLetter)
	return list, wrap(err, "list dead letters")
}

// UpdateDeadLetter changes the row or the status of a dead letter.
func (s *Store) UpdateDeadLetter(ctx context.Context, id int64, change func(*marketing.DeadLetter) error) (d marketing.DeadLetter, err error) {
	err = s.db.InTx(ctx, func(tx pgx.Tx) error {
		before, err := lockLetter(ctx, tx, id)
		if err != nil {
			return err
		}
		d = before
		if err := change(&d); err != nil || d.Raw == before.Raw && d.Status == before.Status {
			return err
		}
		return updateLetter(ctx, tx, &d)
	})
	return d, wrap(err, "update dead letter %d", id)
}

// DriveDeadLetter makes a lead of a parked letter.
func (s *Store) DriveDeadLetter(ctx context.Context, id int64, read func(marketing.DeadLetter) (marketing.ImportedLead, error)) (d marketing.DeadLetter, err error) {
	var lead marketing.ImportedLead
	err = s.db.InTx(ctx, func(tx pgx.Tx) (err error) {
		if d, err = lockLetter(ctx, tx, id); err != nil {
			return err
		}
		if err := d.MustBeParked(); err != nil {
			return err
		}
		if lead, err = read(d); err != nil {
			return err
		}
		err = tx.QueryRow(ctx, `
			INSERT INTO leads (email, full_name, source, campaign_id, campaign_name, score, external_id)
			SELECT $1, $2, $3, n.campaign_id, `+campaignName+`, $5, $6
			  FROM (VALUES ($4::bigint)) AS n (campaign_id)
			RETURNING lead_id`,
			lead.Email, lead.FullName, lead.Source, lead.CampaignID, lead.Score, orNull(lead.ExternalID)).Scan(&d.LeadID)
		if err != nil {
			return err
		}
		d.Status = marketing.Driven
		return updateLetter(ctx, tx, &d)
	})
	switch {
	case isUnknownCampaign(err):
		err = marketing.UnknownCampaigns{lead.CampaignID}
	case database.Constraint(err) == "leads_external_id_key":
		err = fmt.Errorf("%w: a lead of its source has the external_id already; discard the dead letter", marketing.ErrConflict)
	}
	return d, wrap(err, "drive dead letter %d", id)
}

func lockLetter(ctx context.Context, tx pgx.Tx, id int64) (marketing.DeadLetter, error) {
	rows, _ := tx.Query(ctx, letters+`
		 WHERE d.dead_letter_id = $1
		   FOR NO KEY UPDATE OF d`, id)
	return pgx.CollectExactlyOneRow(rows, scanLetter)
}

func updateLetter(ctx context.Context, tx pgx.Tx, d *marketing.DeadLetter) error {
	return tx.QueryRow(ctx, touch+`
		UPDATE lead_dead_letters
		   SET raw = $2, status = $3, lead_id = $4, updated_at = now()
		 WHERE dead_letter_id = $1
		RETURNING updated_at`,
		d.ID, d.Raw, d.Status, d.LeadID).Scan(&d.UpdatedAt)
}
