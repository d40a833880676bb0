package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/datameesh/datameesh/services/sales"
)

// addingLock keeps two batches apart, which could wait for each other's
// addresses in turn.
const addingLock = 0x637573746f6d6572 // "customer"

// AddCustomers registers the customers whose e-mail addresses are unknown and
// gives their number.
func (s *Store) AddCustomers(ctx context.Context, list []sales.NewCustomer) (added int64, err error) {
	if len(list) == 0 {
		return 0, nil
	}
	var columns [5][]string
	for _, c := range list {
		for i, value := range []string{c.Name, c.Email, c.Phone, c.Region, c.Segment} {
			columns[i] = append(columns[i], value)
		}
	}
	err = s.db.InTx(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, int64(addingLock)); err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, touch+`
			INSERT INTO customers (customer_name, email, phone, region, segment)
			SELECT n.customer_name, n.email, n.phone, n.region, n.segment
			  FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[])
			       WITH ORDINALITY AS n (customer_name, email, phone, region, segment, place)
			 ORDER BY n.place
			ON CONFLICT (lower(btrim(email))) DO NOTHING`,
			columns[0], columns[1], columns[2], columns[3], columns[4])
		added = tag.RowsAffected()
		return err
	})
	return added, wrap(err, "add %d customers", len(list))
}
