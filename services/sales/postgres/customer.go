package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/datameesh/datameesh/services/internal/database"
	"github.com/datameesh/datameesh/services/internal/idempotency"
	"github.com/datameesh/datameesh/services/sales"
)

const customerColumns = `customer_id, customer_name, email, phone, region, segment, revenue, created_at, updated_at`

func scanCustomer() pgx.RowToFunc[sales.Customer] {
	var c sales.Customer
	return database.Scanner(&c, &c.ID, &c.Name, &c.Email, &c.Phone, &c.Region, &c.Segment, &c.Revenue, &c.CreatedAt, &c.UpdatedAt)
}

// CreateCustomer registers a customer.
func (s *Store) CreateCustomer(ctx context.Context, n sales.NewCustomer) (sales.Customer, error) {
	c, err := idempotency.Do(ctx, s.db, func(q idempotency.Querier) (sales.Customer, error) {
		rows, _ := q.Query(ctx, touch+`
			INSERT INTO customers (customer_name, email, phone, region, segment)
			VALUES ($1, $2, $3, $4, $5)
			RETURNING `+customerColumns,
			n.Name, n.Email, n.Phone, n.Region, n.Segment)
		return pgx.CollectExactlyOneRow(rows, scanCustomer())
	})
	return c, wrap(emailConflict(err), "create customer")
}

// Customer gives the customer with the id.
func (s *Store) Customer(ctx context.Context, id int64) (sales.Customer, error) {
	c, err := s.customers.get(ctx, id)
	return c, wrap(err, "customer %d", id)
}

func (s *Store) customersByID(ctx context.Context, ids []int64) (map[int64]sales.Customer, error) {
	in, args := among(ids)
	rows, _ := s.db.Query(ctx, `
		SELECT `+customerColumns+`
		  FROM customers
		 WHERE customer_id `+in, args...)
	return byID(rows, scanCustomer(), func(c sales.Customer) int64 { return c.ID })
}

// Customers gives the customers that the filter picks.
func (s *Store) Customers(ctx context.Context, f sales.CustomerFilter) ([]sales.Customer, error) {
	where := database.Where(f.After)
	where.And(`region = ?`, f.Region)
	where.And(`segment = ?`, f.Segment)
	where.And(`lower(btrim(email)) = lower(btrim(?))`, f.Email)
	where.And(`created_at >= ?`, f.CreatedFrom)
	where.And(`created_at < ?`, f.CreatedTo)
	rows, _ := s.db.Query(ctx, `
		SELECT `+customerColumns+`
		  FROM customers
		 WHERE customer_id > $1`+where.SQL()+`
		 ORDER BY customer_id`+where.Limit(f.Limit), where.Args()...)
	list, err := pgx.AppendRows(make([]sales.Customer, 0, f.Limit), rows, scanCustomer())
	return list, wrap(err, "list customers")
}

// UpdateCustomer changes a customer.
func (s *Store) UpdateCustomer(ctx context.Context, id int64, change func(*sales.Customer) error) (sales.Customer, error) {
	c, err := database.Change(ctx, s.db, change,
		func(tx pgx.Tx) (sales.Customer, error) {
			rows, _ := tx.Query(ctx, `
				SELECT `+customerColumns+`
				  FROM customers
				 WHERE customer_id = $1
				   FOR NO KEY UPDATE`, id)
			return pgx.CollectExactlyOneRow(rows, scanCustomer())
		},
		func(tx pgx.Tx, c sales.Customer) (sales.Customer, error) {
			rows, _ := tx.Query(ctx, touch+`
				UPDATE customers
				   SET customer_name = $2, email = $3, phone = $4, region = $5, segment = $6, updated_at = now()
				 WHERE customer_id = $1
				RETURNING `+customerColumns,
				id, c.Name, c.Email, c.Phone, c.Region, c.Segment)
			return pgx.CollectExactlyOneRow(rows, scanCustomer())
		})
	return c, wrap(emailConflict(err), "update customer %d", id)
}

func emailConflict(err error) error {
	if database.Constraint(err) == "customers_email_key" {
		return fmt.Errorf("%w: another customer has this e-mail address", sales.ErrConflict)
	}
	return err
}
