package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/datameesh/datameesh/services/sales"
)

// Revenue gives the paid orders by day (UTC) and region.
func (s *Store) Revenue(ctx context.Context, f sales.RevenueFilter) ([]sales.Revenue, error) {
	rows, _ := s.db.Query(ctx, `
		SELECT to_char(o.ordered_at AT TIME ZONE 'UTC', 'YYYY-MM-DD') AS day,
		       c.region,
		       count(*)            AS orders,
		       sum(o.total_amount) AS revenue
		  FROM orders AS o
		  JOIN customers AS c USING (customer_id)
		 WHERE o.status = 'paid'
		   AND o.ordered_at >= $1
		   AND o.ordered_at < $2
		   AND ($3::text IS NULL OR c.region = $3)
		 GROUP BY 1, 2
		 ORDER BY 1, 2`,
		f.From, f.To, orNull(f.Region))
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (r sales.Revenue, err error) {
		err = row.Scan(&r.Day, &r.Region, &r.Orders, &r.Revenue)
		return r, err
	})
	return list, wrap(err, "revenue")
}
