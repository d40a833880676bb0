package api

import (
	"errors"

	"github.com/gin-gonic/gin"

	"github.com/datameesh/datameesh/services/internal/problem"
	"github.com/datameesh/datameesh/services/internal/rest"
	"github.com/datameesh/datameesh/services/sales"
)

const orders = "/v1/orders"

func (s server) listOrders(c *gin.Context) error {
	query := rest.Query(c)
	limit := query.Limit()
	filter := sales.OrderFilter{
		CustomerID:  query.ID("customer_id"),
		Status:      sales.OrderStatus(query.OneOf("status", sales.OrderStatusNames()...)),
		OrderedFrom: query.Time("ordered_from"),
		OrderedTo:   query.Time("ordered_to"),
		After:       query.After(orders),
		Limit:       limit + 1,
	}
	if err := query.Err(); err != nil {
		return err
	}
	list, err := s.store.Orders(c.Request.Context(), filter)
	return rest.Page(c, orders, list, limit, func(x sales.Order) int64 { return x.ID }, err)
}

func (s server) createOrder(c *gin.Context) error {
	n, err := rest.Body[sales.NewOrder](c)
	if err != nil {
		return err
	}
	order, err := s.store.CreateOrder(c.Request.Context(), n)
	if errors.Is(err, sales.ErrNotFound) {
		return problem.Invalid(map[string]string{"/customer_id": "is not the id of a customer"})
	}
	return rest.Created(c, orders, order.ID, order, err)
}

func (s server) getOrder(c *gin.Context) error {
	id, err := rest.ID(c)
	if err != nil {
		return err
	}
	order, err := s.store.Order(c.Request.Context(), id)
	return rest.OK(c, order, err)
}

func (s server) updateOrder(c *gin.Context) error {
	id, err := rest.ID(c)
	if err != nil {
		return err
	}
	change, err := rest.Body[sales.OrderChange](c)
	if err != nil {
		return err
	}
	order, err := s.store.UpdateOrder(c.Request.Context(), id, func(order *sales.Order) error {
		if err := rest.IfMatch(c, *order); err != nil {
			return err
		}
		return change.Apply(order)
	})
	return rest.OK(c, order, err)
}

// setOrderStatus needs no If-Match: the status itself says which changes fit.
func (s server) setOrderStatus(c *gin.Context) error {
	id, err := rest.ID(c)
	if err != nil {
		return err
	}
	change, err := rest.Body[sales.StatusChange](c)
	if err != nil {
		return err
	}
	order, err := s.store.UpdateOrder(c.Request.Context(), id, change.Apply)
	return rest.OK(c, order, err)
}
