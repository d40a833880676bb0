package api

import (
	"errors"

	"github.com/gin-gonic/gin"

	"github.com/datameesh/datameesh/services/internal/problem"
	"github.com/datameesh/datameesh/services/internal/queryparam"
	"github.com/datameesh/datameesh/services/sales"
)

const orders = "/v1/orders"

func (s *Server) listOrders(c *gin.Context) error {
	query := queryparam.Of(c.Request.URL.Query())
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
	list, err := s.Store.Orders(c.Request.Context(), filter)
	if err != nil {
		return err
	}
	return onePage(c, orders, list, limit, func(x sales.Order) int64 { return x.ID })
}

func (s *Server) createOrder(c *gin.Context) error {
	n, err := body[sales.NewOrder](c)
	if err != nil {
		return err
	}
	order, err := s.Store.CreateOrder(c.Request.Context(), n)
	if errors.Is(err, sales.ErrNotFound) {
		return problem.Invalid(map[string]string{"/customer_id": "is not the id of a customer"})
	}
	if err != nil {
		return err
	}
	return created(c, orders, order.ID, order)
}

func (s *Server) getOrder(c *gin.Context) error {
	id, err := pathID(c)
	if err != nil {
		return err
	}
	order, err := s.Store.Order(c.Request.Context(), id)
	return ok(c, order, err)
}

func (s *Server) updateOrder(c *gin.Context) error {
	id, err := pathID(c)
	if err != nil {
		return err
	}
	change, err := body[sales.OrderChange](c)
	if err != nil {
		return err
	}
	order, err := s.Store.UpdateOrder(c.Request.Context(), id, change)
	return ok(c, order, err)
}

func (s *Server) setOrderStatus(c *gin.Context) error {
	id, err := pathID(c)
	if err != nil {
		return err
	}
	change, err := body[sales.StatusChange](c)
	if err != nil {
		return err
	}
	order, err := s.Store.SetOrderStatus(c.Request.Context(), id, change.Status)
	return ok(c, order, err)
}
