// Package ingest is the HTTP face of the marketing domain.
package ingest

import (
	_ "embed" // the description of the API

	"github.com/datameesh/datameesh/services/internal/rest"
	"github.com/datameesh/datameesh/services/marketing"
)

//go:embed openapi.yaml
var description []byte

// Scopes of the API.
const (
	read   = "leads:read"
	ingest = "leads:ingest"
)

type server struct{ store marketing.Store }

// Routes gives the routes of the marketing ingest API on the store.
func Routes(store marketing.Store, service rest.Service) (*rest.Router, error) {
	service.OpenAPI = description
	service.Errors = rest.Errors{NotFound: marketing.ErrNotFound, Conflict: marketing.ErrConflict, Unavailable: marketing.ErrUnavailable}
	r, err := rest.NewRouter(service)
	if err != nil {
		return nil, err
	}
	s := server{store}

	r.GET("/v1/campaigns", read, s.listCampaigns)
	r.POST("/v1/campaigns", ingest, s.createCampaign)
	r.GET("/v1/campaigns/:id", read, s.getCampaign)
	r.PATCH("/v1/campaigns/:id", ingest, s.updateCampaign)

	r.GET("/v1/leads", read, s.listLeads)
	r.POST("/v1/leads", ingest, s.createLead)
	r.POST("/v1/leads/batch", ingest, s.createLeads)
	r.GET("/v1/leads/:id", read, s.getLead)
	r.POST("/v1/leads/:id/status", ingest, s.setLeadStatus)

	return r, nil
}
