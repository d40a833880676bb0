package api

import (
	"github.com/gin-gonic/gin"

	"github.com/datameesh/datameesh/services/internal/queryparam"
	"github.com/datameesh/datameesh/services/sales"
)

const customers = "/v1/customers"

func (s *Server) listCustomers(c *gin.Context) error {
	query := queryparam.Of(c.Request.URL.Query())
	limit := query.Limit()
	filter := sales.CustomerFilter{
		Region:      query.OneOf("region", sales.Regions...),
		Segment:     query.OneOf("segment", sales.Segments...),
		Email:       query.String("email"),
		CreatedFrom: query.Time("created_from"),
		CreatedTo:   query.Time("created_to"),
		After:       query.After(customers),
		Limit:       limit + 1,
	}
	if err := query.Err(); err != nil {
		return err
	}
	list, err := s.Store.Customers(c.Request.Context(), filter)
	if err != nil {
		return err
	}
	return onePage(c, customers, list, limit, func(x sales.Customer) int64 { return x.ID })
}

func (s *Server) createCustomer(c *gin.Context) error {
	n, err := body[sales.NewCustomer](c)
	if err != nil {
		return err
	}
	customer, err := s.Store.CreateCustomer(c.Request.Context(), n)
	if err != nil {
		return err
	}
	return created(c, customers, customer.ID, customer)
}

func (s *Server) getCustomer(c *gin.Context) error {
	id, err := pathID(c)
	if err != nil {
		return err
	}
	customer, err := s.Store.Customer(c.Request.Context(), id)
	return ok(c, customer, err)
}

func (s *Server) updateCustomer(c *gin.Context) error {
	id, err := pathID(c)
	if err != nil {
		return err
	}
	change, err := body[sales.CustomerChange](c)
	if err != nil {
		return err
	}
	customer, err := s.Store.UpdateCustomer(c.Request.Context(), id, change)
	return ok(c, customer, err)
}
