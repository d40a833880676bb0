package ingest

import (
	"github.com/gin-gonic/gin"

	"github.com/datameesh/datameesh/services/internal/rest"
	"github.com/datameesh/datameesh/services/marketing"
)

const campaigns = "/v1/campaigns"

func (s server) listCampaigns(c *gin.Context) error {
	query := rest.Query(c)
	limit := query.Limit()
	filter := marketing.CampaignFilter{
		Channel: query.OneOf("channel", marketing.Channels...),
		After:   query.After(campaigns),
		Limit:   limit + 1,
	}
	if err := query.Err(); err != nil {
		return err
	}
	list, err := s.store.Campaigns(c.Request.Context(), filter)
	return rest.Page(c, campaigns, list, limit, func(x marketing.Campaign) int64 { return x.ID }, err)
}

func (s server) createCampaign(c *gin.Context) error {
	n, err := rest.Body[marketing.NewCampaign](c)
	if err != nil {
		return err
	}
	campaign, err := s.store.CreateCampaign(c.Request.Context(), n)
	return rest.Created(c, campaigns, campaign.ID, campaign, err)
}

func (s server) getCampaign(c *gin.Context) error {
	id, err := rest.ID(c)
	if err != nil {
		return err
	}
	campaign, err := s.store.Campaign(c.Request.Context(), id)
	return rest.OK(c, campaign, err)
}

func (s server) updateCampaign(c *gin.Context) error {
	id, err := rest.ID(c)
	if err != nil {
		return err
	}
	change, err := rest.Body[marketing.CampaignChange](c)
	if err != nil {
		return err
	}
	campaign, err := s.store.UpdateCampaign(c.Request.Context(), id, func(campaign *marketing.Campaign) error {
		if err := rest.IfMatch(c, *campaign); err != nil {
			return err
		}
		return change.Apply(campaign)
	})
	return rest.OK(c, campaign, err)
}
