// Package collect is the HTTP face of the API metrics domain.
package collect

import (
	_ "embed" // the description of the API

	"github.com/datameesh/datameesh/services/apimetrics"
	"github.com/datameesh/datameesh/services/internal/rest"
)

//go:embed openapi.yaml
var description []byte

// Scopes of the API.
const (
	read  = "metrics:read"
	write = "logs:write"
)

type server struct{ store apimetrics.Store }

// Routes gives the routes of the API metrics logger on the store. It has no
// request log of its own: a logger that logs itself would never be idle.
func Routes(store apimetrics.Store, service rest.Service) (*rest.Router, error) {
	service.Log = nil
	service.OpenAPI = description
	service.Errors = rest.Errors{Unavailable: apimetrics.ErrUnavailable}
	r, err := rest.NewRouter(service)
	if err != nil {
		return nil, err
	}
	s := server{store}

	r.GET("/v1/logs", read, s.listLogs)
	r.POST("/v1/logs", write, s.storeLogs)

	r.GET("/v1/metrics", read, s.metrics)
	r.GET("/v1/metrics/timeline", read, s.timeline)

	return r, nil
}
