package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/datameesh/datameesh/services/internal/database"
	"github.com/datameesh/datameesh/services/internal/idempotency"
	"github.com/datameesh/datameesh/services/marketing"
)

const leadColumns = `lead_id, email, full_name, source, campaign_id, campaign_name, status, score, created_at, converted_at, external_id`

func scanLead() pgx.RowToFunc[marketing.Lead] {
	var l marketing.Lead
	return database.Scanner(&l, &l.ID, &l.Email, &l.FullName, &l.Source, &l.CampaignID, &l.CampaignName, (*string)(&l.Status), &l.Score, &l.CreatedAt, &l.ConvertedAt, &l.ExternalID)
}

// campaignName reads the name of the campaign of lead n, which stays as it is
// until the lead is stored. Without such a campaign the lead breaks
// leads_campaign_fkey.
const campaignName = `coalesce((SELECT campaign_name FROM campaigns AS c WHERE c.campaign_id = n.campaign_id FOR KEY SHARE), '')`

// CreateLead takes in a new lead.
func (s *Store) CreateLead(ctx context.Context, n marketing.NewLead) (marketing.Lead, error) {
	l, err := idempotency.Do(ctx, s.db, func(q idempotency.Querier) (marketing.Lead, error) {
		rows, _ := q.Query(ctx, touch+`
			INSERT INTO leads (email, full_name, source, campaign_id, campaign_name, score)
			SELECT $1, $2, $3, n.campaign_id, `+campaignName+`, $5
			  FROM (VALUES ($4::bigint)) AS n (campaign_id)
			RETURNING `+leadColumns,
			n.Email, n.FullName, n.Source, n.CampaignID, n.Score)
		return pgx.CollectExactlyOneRow(rows, scanLead())
	})
	if isUnknownCampaign(err) {
		err = fmt.Errorf("%w: campaign %d", marketing.ErrNotFound, n.CampaignID)
	}
	return l, wrap(err, "create lead")
}

// CreateLeads takes in all leads, or none, and gives their ids in order.
func (s *Store) CreateLeads(ctx context.Context, list []marketing.NewLead) ([]int64, error) {
	emails, names, sources := make([]string, len(list)), make([]string, len(list)), make([]string, len(list))
	campaigns, scores := make([]int64, len(list)), make([]int, len(list))
	for i, n := range list {
		emails[i], names[i], sources[i], campaigns[i], scores[i] = n.Email, n.FullName, n.Source, n.CampaignID, n.Score
	}
	ids, err := idempotency.Do(ctx, s.db, func(q idempotency.Querier) ([]int64, error) {
		rows, _ := q.Query(ctx, touch+`
			INSERT INTO leads (email, full_name, source, campaign_id, campaign_name, score)
			SELECT n.email, n.full_name, n.source, n.campaign_id, `+campaignName+`, n.score
			  FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::smallint[])
			       WITH ORDINALITY AS n (email, full_name, source, campaign_id, score, place)
			 ORDER BY n.place
			RETURNING lead_id`,
			emails, names, sources, campaigns, scores)
		return pgx.CollectRows(rows, pgx.RowTo[int64])
	})
	if isUnknownCampaign(err) {
		err = s.unknownCampaigns(ctx, campaigns)
	}
	return ids, wrap(err, "create %d leads", len(list))
}

func isUnknownCampaign(err error) bool { return database.Constraint(err) == "leads_campaign_fkey" }

// unknownCampaigns gives the ids that no campaign has as an error.
func (s *Store) unknownCampaigns(ctx context.Context, ids []int64) error {
	rows, _ := s.db.Query(ctx, `
		SELECT id FROM unnest($1::bigint[]) AS given (id)
		EXCEPT
		SELECT campaign_id FROM campaigns`, ids)
	unknown, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	switch {
	case err != nil:
		return err
	case len(unknown) == 0:
		return fmt.Errorf("%w: a campaign of the batch was registered at the same moment; send the batch again", marketing.ErrConflict)
	}
	return marketing.UnknownCampaigns(unknown)
}

// Lead gives the lead with the id.
func (s *Store) Lead(ctx context.Context, id int64) (marketing.Lead, error) {
	rows, _ := s.db.Query(ctx, `
		SELECT `+leadColumns+`
		  FROM leads
		 WHERE lead_id = $1`, id)
	l, err := pgx.CollectExactlyOneRow(rows, scanLead())
	return l, wrap(err, "lead %d", id)
}

// Leads gives the leads that the filter picks.
func (s *Store) Leads(ctx context.Context, f marketing.LeadFilter) ([]marketing.Lead, error) {
	where := database.Where(f.After)
	where.And(`status = ?`, f.Status)
	where.And(`campaign_id = ?`, f.CampaignID)
	where.And(`source = ?`, f.Source)
	where.And(`lower(btrim(email)) = lower(btrim(?))`, f.Email)
	where.And(`created_at >= ?`, f.CreatedFrom)
	where.And(`created_at < ?`, f.CreatedTo)
	rows, _ := s.db.Query(ctx, `
		SELECT `+leadColumns+`
		  FROM leads
		 WHERE lead_id > $1`+where.SQL()+`
		 ORDER BY lead_id`+where.Limit(f.Limit), where.Args()...)
	list, err := pgx.CollectRows(rows, scanLead())
	return list, wrap(err, "list leads")
}

// UpdateLead changes the status of a lead.
func (s *Store) UpdateLead(ctx context.Context, id int64, change func(*marketing.Lead) error) (marketing.Lead, error) {
	l, err := database.Change(ctx, s.db, change,
		func(tx pgx.Tx) (marketing.Lead, error) {
			rows, _ := tx.Query(ctx, `
				SELECT `+leadColumns+`
				  FROM leads
				 WHERE lead_id = $1
				   FOR NO KEY UPDATE`, id)
			return pgx.CollectExactlyOneRow(rows, scanLead())
		},
		func(tx pgx.Tx, l marketing.Lead) (marketing.Lead, error) {
			// A mesh seeded as of a day to come holds leads from the future.
			rows, _ := tx.Query(ctx, touch+`
				UPDATE leads
				   SET status = $2,
				       converted_at = CASE WHEN $2 = 'converted' THEN greatest(now(), created_at) END
				 WHERE lead_id = $1
				RETURNING `+leadColumns,
				id, l.Status)
			return pgx.CollectExactlyOneRow(rows, scanLead())
		})
	return l, wrap(err, "update lead %d", id)
}
