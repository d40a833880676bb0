// Package postgres keeps the sales domain in PostgreSQL.
package postgres

import (
	"context"

	"github.com/datameesh/datameesh/services/internal/database"
	"github.com/datameesh/datameesh/services/sales"
)

// A Store is a sales.Store in a database with the schema of migrations.
type Store struct {
	db        *database.DB
	customers reader[sales.Customer]
	orders    reader[sales.Order]
}

var _ sales.Store = (*Store)(nil)

// New makes a store on the database.
func New(db *database.DB) *Store {
	s := &Store{db: db}
	s.customers.read, s.orders.read = s.customersByID, s.ordersByID
	return s
}

// Ready says whether the database answers and holds the schema.
func (s *Store) Ready(ctx context.Context) error {
	_, err := s.db.Exec(ctx, `SELECT touched FROM mesh_meta`)
	return wrap(err, "ready")
}

// touch begins every statement that writes for a caller: the data is no longer
// as seeded. In the same statement it costs no second round trip.
const touch = `WITH touched AS (UPDATE mesh_meta SET touched = true WHERE NOT touched) `

// wrap adds context to errors and makes them the domain's.
var wrap = database.Errors{NotFound: sales.ErrNotFound, Unavailable: sales.ErrUnavailable}.Wrap
