package ingest

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/gin-gonic/gin"

	"github.com/datameesh/datameesh/services/internal/jsonbody"
	"github.com/datameesh/datameesh/services/internal/problem"
	"github.com/datameesh/datameesh/services/internal/rest"
	"github.com/datameesh/datameesh/services/marketing"
)

// A batchCreated is the answer to a batch.
type batchCreated struct {
	Count   int     `json:"count"`
	LeadIDs []int64 `json:"lead_ids"` // in the order of the batch
}

func (s server) createLeads(c *gin.Context) error {
	list, err := batchBody(c)
	if err != nil {
		return err
	}
	ids, err := s.store.CreateLeads(c.Request.Context(), list)
	var unknown marketing.UnknownCampaigns
	if errors.As(err, &unknown) {
		wrong := map[string]string{}
		for i, n := range list {
			if slices.Contains(unknown, n.CampaignID) {
				wrong[fmt.Sprintf("/leads/%d/campaign_id", i)] = noCampaign
			}
		}
		return problem.Invalid(wrong)
	}
	if err != nil {
		return err
	}
	c.JSON(http.StatusCreated, batchCreated{Count: len(ids), LeadIDs: ids})
	return nil
}

// batchBody decodes and validates the leads of a batch. Each lead is decoded as
// a body of its own, so that a mistake is told with the place of its lead.
func batchBody(c *gin.Context) (marketing.NewLeads, error) {
	var batch struct {
		Leads []json.RawMessage `json:"leads"`
	}
	if err := jsonbody.Decode(c.Writer, c.Request, rest.MaxBody, &batch); err != nil {
		return nil, err
	}
	list := make(marketing.NewLeads, len(batch.Leads))
	if len(list) > marketing.MaxBatch {
		return nil, problem.Invalid(list.Validate())
	}
	wrong := map[string]string{}
	for i, text := range batch.Leads {
		err := jsonbody.Unmarshal(text, &list[i])
		var p *problem.Problem
		if errors.As(err, &p) {
			if len(p.Fields) == 0 {
				wrong[fmt.Sprintf("/leads/%d", i)] = p.Detail
			}
			for _, field := range p.Fields {
				wrong[fmt.Sprintf("/leads/%d%s", i, field.Pointer)] = field.Detail
			}
		} else if err != nil {
			return nil, err
		}
	}
	if len(wrong) == 0 {
		wrong = list.Validate()
	}
	if len(wrong) > 0 {
		return nil, problem.Invalid(wrong)
	}
	return list, nil
}
