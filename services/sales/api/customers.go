package api

import (
	"github.com/gin-gonic/gin"

	"github.com/datameesh/datameesh/services/internal/rest"
	"github.com/datameesh/datameesh/services/sales"
)

const customers = "/v1/customers"

func (s server) listCustomers(c *gin.Context) error {
	query := rest.Query(c)
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
	list, err := s.store.Customers(c.Request.Context(), filter)
	return rest.Page(c, customers, list, limit, func(x sales.Customer) int64 { return x.ID }, err)
}

func (s server) createCustomer(c *gin.Context) error {
	n, err := rest.Body[sales.NewCustomer](c)
	if err != nil {
		return err
	}
	customer, err := s.store.CreateCustomer(c.Request.Context(), n)
	return rest.Created(c, customers, customer.ID, customer, err)
}

func (s server) getCustomer(c *gin.Context) error {
	id, err := rest.ID(c)
	if err != nil {
		return err
	}
	customer, err := s.store.Customer(c.Request.Context(), id)
	return rest.OK(c, customer, err)
}

func (s server) updateCustomer(c *gin.Context) error {
	id, err := rest.ID(c)
	if err != nil {
		return err
	}
	change, err := rest.Body[sales.CustomerChange](c)
	if err != nil {
		return err
	}
	customer, err := s.store.UpdateCustomer(c.Request.Context(), id, func(customer *sales.Customer) error {
		if err := rest.IfMatch(c, *customer); err != nil {
			return err
		}
		change.Apply(customer)
		return nil
	})
	return rest.OK(c, customer, err)
}
