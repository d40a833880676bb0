package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/datameesh/datameesh/services/internal/database"
	"github.com/datameesh/datameesh/services/internal/idempotency"
	"github.com/datameesh/datameesh/services/marketing"
)

const campaignColumns = `campaign_id, campaign_name, channel, budget, spend, to_char(starts_on, 'YYYY-MM-DD'), to_char(ends_on, 'YYYY-MM-DD')`

func scanCampaign() pgx.RowToFunc[marketing.Campaign] {
	var c marketing.Campaign
	return database.Scanner(&c, &c.ID, &c.Name, &c.Channel, &c.Budget, &c.Spend, &c.StartsOn, &c.EndsOn)
}

// CreateCampaign registers a campaign.
func (s *Store) CreateCampaign(ctx context.Context, n marketing.NewCampaign) (marketing.Campaign, error) {
	c, err := idempotency.Do(ctx, s.db, func(q idempotency.Querier) (marketing.Campaign, error) {
		rows, _ := q.Query(ctx, touch+`
			INSERT INTO campaigns (campaign_name, channel, budget, spend, starts_on, ends_on)
			VALUES ($1, $2, $3, $4, $5::text::date, $6::text::date)
			RETURNING `+campaignColumns,
			n.Name, n.Channel, n.Budget, n.Spend, n.StartsOn, orNull(n.EndsOn))
		return pgx.CollectExactlyOneRow(rows, scanCampaign())
	})
	return c, wrap(nameConflict(err), "create campaign")
}

// Campaign gives the campaign with the id.
func (s *Store) Campaign(ctx context.Context, id int64) (marketing.Campaign, error) {
	rows, _ := s.db.Query(ctx, `
		SELECT `+campaignColumns+`
		  FROM campaigns
		 WHERE campaign_id = $1`, id)
	c, err := pgx.CollectExactlyOneRow(rows, scanCampaign())
	return c, wrap(err, "campaign %d", id)
}

// Campaigns gives the campaigns that the filter picks.
func (s *Store) Campaigns(ctx context.Context, f marketing.CampaignFilter) ([]marketing.Campaign, error) {
	where := database.Where(f.After)
	where.And(`channel = ?`, f.Channel)
	rows, _ := s.db.Query(ctx, `
		SELECT `+campaignColumns+`
		  FROM campaigns
		 WHERE campaign_id > $1`+where.SQL()+`
		 ORDER BY campaign_id`+where.Limit(f.Limit), where.Args()...)
	list, err := pgx.CollectRows(rows, scanCampaign())
	return list, wrap(err, "list campaigns")
}

// UpdateCampaign changes a campaign; the names of its leads follow. The lock
// is FOR UPDATE because leads that are being stored must wait for a new name.
func (s *Store) UpdateCampaign(ctx context.Context, id int64, change func(*marketing.Campaign) error) (marketing.Campaign, error) {
	c, err := database.Change(ctx, s.db, change,
		func(tx pgx.Tx) (marketing.Campaign, error) {
			rows, _ := tx.Query(ctx, `
				SELECT `+campaignColumns+`
				  FROM campaigns
				 WHERE campaign_id = $1
				   FOR UPDATE`, id)
			return pgx.CollectExactlyOneRow(rows, scanCampaign())
		},
		func(tx pgx.Tx, c marketing.Campaign) (marketing.Campaign, error) {
			rows, _ := tx.Query(ctx, touch+`
				UPDATE campaigns
				   SET campaign_name = $2, channel = $3, budget = $4, spend = $5, starts_on = $6::text::date, ends_on = $7::text::date
				 WHERE campaign_id = $1
				RETURNING `+campaignColumns,
				id, c.Name, c.Channel, c.Budget, c.Spend, c.StartsOn, c.EndsOn)
			return pgx.CollectExactlyOneRow(rows, scanCampaign())
		})
	return c, wrap(nameConflict(err), "update campaign %d", id)
}

func nameConflict(err error) error {
	if database.Constraint(err) == "campaigns_name_key" {
		return fmt.Errorf("%w: another campaign has this name", marketing.ErrConflict)
	}
	return err
}
