package ingest

import (
	"errors"

	"github.com/gin-gonic/gin"

	"github.com/datameesh/datameesh/services/internal/problem"
	"github.com/datameesh/datameesh/services/internal/rest"
	"github.com/datameesh/datameesh/services/marketing"
)

const (
	leads = "/v1/leads"
	// noCampaign is what is wrong with a campaign_id that no campaign has.
	noCampaign = "is not the id of a campaign"
)

func (s server) listLeads(c *gin.Context) error {
	query := rest.Query(c)
	limit := query.Limit()
	filter := marketing.LeadFilter{
		Status:      marketing.LeadStatus(query.OneOf("status", marketing.LeadStatusNames()...)),
		CampaignID:  query.ID("campaign_id"),
		Source:      query.OneOf("source", marketing.Sources...),
		Email:       query.String("email"),
		CreatedFrom: query.Time("created_from"),
		CreatedTo:   query.Time("created_to"),
		After:       query.After(leads),
		Limit:       limit + 1,
	}
	if err := query.Err(); err != nil {
		return err
	}
	list, err := s.store.Leads(c.Request.Context(), filter)
	return rest.Page(c, leads, list, limit, func(x marketing.Lead) int64 { return x.ID }, err)
}

func (s server) createLead(c *gin.Context) error {
	n, err := rest.Body[marketing.NewLead](c)
	if err != nil {
		return err
	}
	lead, err := s.store.CreateLead(c.Request.Context(), n)
	if errors.Is(err, marketing.ErrNotFound) {
		return problem.Invalid(map[string]string{"/campaign_id": noCampaign})
	}
	return rest.Created(c, leads, lead.ID, lead, err)
}

func (s server) getLead(c *gin.Context) error {
	id, err := rest.ID(c)
	if err != nil {
		return err
	}
	lead, err := s.store.Lead(c.Request.Context(), id)
	return rest.OK(c, lead, err)
}

// setLeadStatus needs no If-Match: the status itself says which changes fit.
func (s server) setLeadStatus(c *gin.Context) error {
	id, err := rest.ID(c)
	if err != nil {
		return err
	}
	change, err := rest.Body[marketing.StatusChange](c)
	if err != nil {
		return err
	}
	lead, err := s.store.UpdateLead(c.Request.Context(), id, change.Apply)
	return rest.OK(c, lead, err)
}
