// Package ingest is the HTTP face of the marketing domain.
package ingest

import (
	_ "embed" // the description of the API
	"maps"
	"slices"

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

type server struct {
	store     marketing.Store
	importing chan struct{} // holds one value for each import that runs
}

// Routes gives the routes of the marketing ingest API on the store.
func Routes(store marketing.Store, service rest.Service) (*rest.Router, error) {
	service.OpenAPI = description
	service.Errors = rest.Errors{NotFound: marketing.ErrNotFound, Conflict: marketing.ErrConflict, Unavailable: marketing.ErrUnavailable}
	r, err := rest.NewRouter(service)
	if err != nil {
		return nil, err
	}
	s := server{store, make(chan struct{}, maxImports)}

	r.GET("/v1/campaigns", read, s.listCampaigns)
	r.POST("/v1/campaigns", ingest, s.createCampaign)
	r.GET("/v1/campaigns/:id", read, s.getCampaign)
	r.PATCH("/v1/campaigns/:id", ingest, s.updateCampaign)

	r.GET("/v1/leads", read, s.listLeads)
	r.POST("/v1/leads", ingest, s.createLead)
	r.POST("/v1/leads/batch", ingest, s.createLeads)
	r.GET("/v1/leads/:id", read, s.getLead)
	r.Do("/v1/leads/:id/status", ingest, s.setLeadStatus)

	r.Upload("/v1/leads/import", ingest, maxImport, slices.Sorted(maps.Keys(importFormats)), s.importLeads)
	r.GET("/v1/leads/imports/:id", read, s.getImport)
	r.GET("/v1/leads/dead-letters", read, s.listDeadLetters)
	r.GET("/v1/leads/dead-letters/:id", read, s.getDeadLetter)
	r.PATCH("/v1/leads/dead-letters/:id", ingest, s.correctDeadLetter)
	r.Do("/v1/leads/dead-letters/:id/drive", ingest, s.driveDeadLetter)
	r.Do("/v1/leads/dead-letters/:id/discard", ingest, s.discardDeadLetter)

	return r, nil
}
