package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/datameesh/datameesh/services/internal/database"
	"github.com/datameesh/datameesh/services/sales"
)

const customerColumns = `customer_id, customer_name, email, phone, region, segment, revenue, created_at, updated_at`

func scanCustomer(row pgx.CollectableRow) (c sales.Customer, err error) {
	err = row.Scan(&c.ID, &c.Name, &c.Email, &c.Phone, &c.Region, &c.Segment, &c.Revenue, &c.CreatedAt, &c.UpdatedAt)
	return c, err
}

// CreateCustomer registers a customer.
func (s *Store) CreateCustomer(ctx context.Context, n sales.NewCustomer) (c sales.Customer, err error) {
	err = s.write(ctx, func(tx pgx.Tx) (err error) {
		rows, _ := tx.Query(ctx, `
			INSERT INTO customers (customer_name, email, phone, region, segment)
			VALUES ($1, $2, $3, $4, $5)
			RETURNING `+customerColumns,
			n.Name, n.Email, n.Phone, n.Region, n.Segment)
		c, err = pgx.CollectExactlyOneRow(rows, scanCustomer)
		return err
	})
	return c, wrap(emailConflict(err), "create customer")
}

// Customer gives the customer with the id.
func (s *Store) Customer(ctx context.Context, id int64) (sales.Customer, error) {
	rows, _ := s.db.Query(ctx, `
		SELECT `+customerColumns+`
		  FROM customers
		 WHERE customer_id = $1`, id)
	c, err := pgx.CollectExactlyOneRow(rows, scanCustomer)
	return c, wrap(err, "customer %d", id)
}

// Customers gives the customers that the filter picks.
func (s *Store) Customers(ctx context.Context, f sales.CustomerFilter) ([]sales.Customer, error) {
	rows, _ := s.db.Query(ctx, `
		SELECT `+customerColumns+`
		  FROM customers
		 WHERE customer_id > $1
		   AND ($2::text IS NULL OR region = $2)
		   AND ($3::text IS NULL OR segment = $3)
		   AND ($4::text IS NULL OR lower(btrim(email)) = lower(btrim($4)))
		   AND ($5::timestamptz IS NULL OR created_at >= $5)
		   AND ($6::timestamptz IS NULL OR created_at < $6)
		 ORDER BY customer_id
		 LIMIT $7`,
		f.After, orNull(f.Region), orNull(f.Segment), orNull(f.Email), timeOrNull(f.CreatedFrom), timeOrNull(f.CreatedTo), f.Limit)
	list, err := pgx.CollectRows(rows, scanCustomer)
	return list, wrap(err, "list customers")
}

// UpdateCustomer changes the fields that change names.
func (s *Store) UpdateCustomer(ctx context.Context, id int64, change sales.CustomerChange) (c sales.Customer, err error) {
	err = s.write(ctx, func(tx pgx.Tx) (err error) {
		rows, _ := tx.Query(ctx, `
			UPDATE customers
			   SET customer_name = coalesce($2, customer_name),
			       email         = coalesce($3, email),
			       phone         = coalesce($4, phone),
			       region        = coalesce($5, region),
			       segment       = coalesce($6, segment),
			       updated_at    = now()
			 WHERE customer_id = $1
			RETURNING `+customerColumns,
			id, change.Name, change.Email, change.Phone, change.Region, change.Segment)
		c, err = pgx.CollectExactlyOneRow(rows, scanCustomer)
		return err
	})
	return c, wrap(emailConflict(err), "update customer %d", id)
}

func emailConflict(err error) error {
	if database.Constraint(err) == "customers_email_key" {
		return fmt.Errorf("%w: another customer has this e-mail address", sales.ErrConflict)
	}
	return err
}
