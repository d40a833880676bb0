package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/datameesh/datameesh/services/internal/database"
	"github.com/datameesh/datameesh/services/sales"
)

const orderColumns = `order_id, customer_id, status, total_amount, currency, ordered_at, updated_at`

func scanOrder(row pgx.CollectableRow) (o sales.Order, err error) {
	err = row.Scan(&o.ID, &o.CustomerID, &o.Status, &o.TotalAmount, &o.Currency, &o.OrderedAt, &o.UpdatedAt)
	return o, err
}

// CreateOrder places a pending order.
func (s *Store) CreateOrder(ctx context.Context, n sales.NewOrder) (o sales.Order, err error) {
	err = s.write(ctx, func(tx pgx.Tx) (err error) {
		rows, _ := tx.Query(ctx, `
			INSERT INTO orders (customer_id, total_amount)
			VALUES ($1, $2)
			RETURNING `+orderColumns,
			n.CustomerID, n.TotalAmount)
		o, err = pgx.CollectExactlyOneRow(rows, scanOrder)
		return err
	})
	if database.Constraint(err) == "orders_customer_id_fkey" {
		err = fmt.Errorf("%w: customer %d", sales.ErrNotFound, n.CustomerID)
	}
	return o, wrap(err, "create order")
}

// Order gives the order with the id.
func (s *Store) Order(ctx context.Context, id int64) (sales.Order, error) {
	rows, _ := s.db.Query(ctx, `
		SELECT `+orderColumns+`
		  FROM orders
		 WHERE order_id = $1`, id)
	o, err := pgx.CollectExactlyOneRow(rows, scanOrder)
	return o, wrap(err, "order %d", id)
}

// Orders gives the orders that the filter picks.
func (s *Store) Orders(ctx context.Context, f sales.OrderFilter) ([]sales.Order, error) {
	rows, _ := s.db.Query(ctx, `
		SELECT `+orderColumns+`
		  FROM orders
		 WHERE order_id > $1
		   AND ($2::bigint IS NULL OR customer_id = $2)
		   AND ($3::text IS NULL OR status = $3)
		   AND ($4::timestamptz IS NULL OR ordered_at >= $4)
		   AND ($5::timestamptz IS NULL OR ordered_at < $5)
		 ORDER BY order_id
		 LIMIT $6`,
		f.After, orNull(f.CustomerID), orNull(string(f.Status)), timeOrNull(f.OrderedFrom), timeOrNull(f.OrderedTo), f.Limit)
	list, err := pgx.CollectRows(rows, scanOrder)
	return list, wrap(err, "list orders")
}

// UpdateOrder changes an order that is still pending.
func (s *Store) UpdateOrder(ctx context.Context, id int64, change sales.OrderChange) (sales.Order, error) {
	return s.changeOrder(ctx, id, func(o *sales.Order) error {
		if o.Status != sales.Pending {
			return fmt.Errorf("%w: order %d is %s; only a pending order can be changed", sales.ErrConflict, id, o.Status)
		}
		if change.TotalAmount != nil {
			o.TotalAmount = *change.TotalAmount
		}
		return nil
	})
}

// SetOrderStatus moves an order to another status.
func (s *Store) SetOrderStatus(ctx context.Context, id int64, status sales.OrderStatus) (sales.Order, error) {
	return s.changeOrder(ctx, id, func(o *sales.Order) error {
		if !o.Status.MayBecome(status) {
			return fmt.Errorf("%w: order %d is %s and cannot become %s", sales.ErrConflict, id, o.Status, status)
		}
		o.Status = status
		return nil
	})
}

// changeOrder locks the order, so that of two changes at once the second sees
// what the first did, applies change and stores the result.
func (s *Store) changeOrder(ctx context.Context, id int64, change func(*sales.Order) error) (o sales.Order, err error) {
	err = s.write(ctx, func(tx pgx.Tx) error {
		rows, _ := tx.Query(ctx, `
			SELECT `+orderColumns+`
			  FROM orders
			 WHERE order_id = $1
			   FOR UPDATE`, id)
		before, err := pgx.CollectExactlyOneRow(rows, scanOrder)
		if err != nil {
			return err
		}
		o = before
		if err := change(&o); err != nil {
			return err
		}
		if o == before {
			return nil
		}
		rows, _ = tx.Query(ctx, `
			UPDATE orders
			   SET status = $2, total_amount = $3, updated_at = now()
			 WHERE order_id = $1
			RETURNING `+orderColumns,
			id, o.Status, o.TotalAmount)
		o, err = pgx.CollectExactlyOneRow(rows, scanOrder)
		return err
	})
	return o, wrap(err, "change order %d", id)
}
