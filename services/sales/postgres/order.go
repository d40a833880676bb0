package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/datameesh/datameesh/services/internal/database"
	"github.com/datameesh/datameesh/services/internal/idempotency"
	"github.com/datameesh/datameesh/services/sales"
)

const orderColumns = `order_id, customer_id, status, total_amount, currency, ordered_at, updated_at`

func scanOrder() pgx.RowToFunc[sales.Order] {
	var o sales.Order
	return database.Scanner(&o, &o.ID, &o.CustomerID, (*string)(&o.Status), &o.TotalAmount, &o.Currency, &o.OrderedAt, &o.UpdatedAt)
}

// CreateOrder places a pending order.
func (s *Store) CreateOrder(ctx context.Context, n sales.NewOrder) (sales.Order, error) {
	o, err := idempotency.Do(ctx, s.db, func(q idempotency.Querier) (sales.Order, error) {
		rows, _ := q.Query(ctx, touch+`
			INSERT INTO orders (customer_id, total_amount)
			VALUES ($1, $2)
			RETURNING `+orderColumns,
			n.CustomerID, n.TotalAmount)
		return pgx.CollectExactlyOneRow(rows, scanOrder())
	})
	if database.Constraint(err) == "orders_customer_id_fkey" {
		err = fmt.Errorf("%w: customer %d", sales.ErrNotFound, n.CustomerID)
	}
	return o, wrap(err, "create order")
}

// Order gives the order with the id.
func (s *Store) Order(ctx context.Context, id int64) (sales.Order, error) {
	o, err := s.orders.get(ctx, id)
	return o, wrap(err, "order %d", id)
}

func (s *Store) ordersByID(ctx context.Context, ids []int64) (map[int64]sales.Order, error) {
	in, args := among(ids)
	rows, _ := s.db.Query(ctx, `
		SELECT `+orderColumns+`
		  FROM orders
		 WHERE order_id `+in, args...)
	return byID(rows, scanOrder(), func(o sales.Order) int64 { return o.ID })
}

// Orders gives the orders that the filter picks.
func (s *Store) Orders(ctx context.Context, f sales.OrderFilter) ([]sales.Order, error) {
	where := database.Where(f.After)
	where.And(`customer_id = ?`, f.CustomerID)
	where.And(`status = ?`, f.Status)
	where.And(`ordered_at >= ?`, f.OrderedFrom)
	where.And(`ordered_at < ?`, f.OrderedTo)
	rows, _ := s.db.Query(ctx, `
		SELECT `+orderColumns+`
		  FROM orders
		 WHERE order_id > $1`+where.SQL()+`
		 ORDER BY order_id`+where.Limit(f.Limit), where.Args()...)
	list, err := pgx.AppendRows(make([]sales.Order, 0, f.Limit), rows, scanOrder())
	return list, wrap(err, "list orders")
}

// UpdateOrder changes an order.
func (s *Store) UpdateOrder(ctx context.Context, id int64, change func(*sales.Order) error) (sales.Order, error) {
	o, err := database.Change(ctx, s.db, change,
		func(tx pgx.Tx) (sales.Order, error) {
			rows, _ := tx.Query(ctx, `
				SELECT `+orderColumns+`
				  FROM orders
				 WHERE order_id = $1
				   FOR NO KEY UPDATE`, id)
			return pgx.CollectExactlyOneRow(rows, scanOrder())
		},
		func(tx pgx.Tx, o sales.Order) (sales.Order, error) {
			rows, _ := tx.Query(ctx, touch+`
				UPDATE orders
				   SET status = $2, total_amount = $3, updated_at = now()
				 WHERE order_id = $1
				RETURNING `+orderColumns,
				id, o.Status, o.TotalAmount)
			return pgx.CollectExactlyOneRow(rows, scanOrder())
		})
	return o, wrap(err, "update order %d", id)
}
