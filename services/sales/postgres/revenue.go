package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/datameesh/datameesh/services/internal/database"
	"github.com/datameesh/datameesh/services/sales"
)

// Revenue gives the paid orders by day (UTC) and region.
func (s *Store) Revenue(ctx context.Context, f sales.RevenueFilter) ([]sales.Revenue, error) {
	where := database.Where(f.From, f.To)
	where.And(`c.region = ?`, f.Region)
	rows, _ := s.db.Query(ctx, `
		SELECT to_char(o.ordered_at AT TIME ZONE 'UTC', 'YYYY-MM-DD') AS day,
		       c.region,
		       count(*)            AS orders,
		       sum(o.total_amount) AS revenue
		  FROM orders AS o
		  JOIN customers AS c USING (customer_id)
		 WHERE o.status = 'paid'
		   AND o.ordered_at >= $1
		   AND o.ordered_at < $2`+where.SQL()+`
		 GROUP BY 1, 2
		 ORDER BY 1, 2`, where.Args()...)
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (r sales.Revenue, err error) {
		err = row.Scan(&r.Day, &r.Region, &r.Orders, &r.Revenue)
		return r, err
	})
	return list, wrap(err, "revenue")
}
