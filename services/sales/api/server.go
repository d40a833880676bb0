// Package api is the HTTP face of the sales domain.
package api

import (
	_ "embed" // the description of the API

	"github.com/datameesh/datameesh/services/internal/rest"
	"github.com/datameesh/datameesh/services/sales"
)

//go:embed openapi.yaml
var description []byte

// Scopes of the API.
const (
	read  = "sales:read"
	write = "sales:write"
)

type server struct{ store sales.Store }

// Routes gives the routes of the Sales API on the store.
func Routes(store sales.Store, service rest.Service) (*rest.Router, error) {
	service.OpenAPI = description
	service.Errors = rest.Errors{NotFound: sales.ErrNotFound, Conflict: sales.ErrConflict, Unavailable: sales.ErrUnavailable}
	r, err := rest.NewRouter(service)
	if err != nil {
		return nil, err
	}
	s := server{store}

	r.GET("/v1/customers", read, s.listCustomers)
	r.POST("/v1/customers", write, s.createCustomer)
	r.GET("/v1/customers/:id", read, s.getCustomer)
	r.PATCH("/v1/customers/:id", write, s.updateCustomer)

	r.GET("/v1/orders", read, s.listOrders)
	r.POST("/v1/orders", write, s.createOrder)
	r.GET("/v1/orders/:id", read, s.getOrder)
	r.PATCH("/v1/orders/:id", write, s.updateOrder)
	r.Do("/v1/orders/:id/status", write, s.setOrderStatus)

	r.GET("/v1/revenue", read, s.revenue)

	return r, nil
}
