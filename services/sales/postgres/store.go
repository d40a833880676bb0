// Package postgres keeps the sales domain in PostgreSQL.
package postgres

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

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

// wrap adds context to err and turns what the database says into the domain's errors.
func wrap(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	err = database.Classify(err)
	context := fmt.Sprintf(format, args...)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return fmt.Errorf("%s: %w", context, sales.ErrNotFound)
	case errors.Is(err, database.ErrUnavailable):
		return fmt.Errorf("%s: %w: %w", context, sales.ErrUnavailable, err)
	}
	return fmt.Errorf("%s: %w", context, err)
}

// conditions are what rows of a list must fulfil: only what the caller asks for
// stands in the statement, so that each statement has a plan of its own.
type conditions struct {
	sql  strings.Builder
	args []any
}

// and adds a condition, with "?" for the value.
func (c *conditions) and(condition string, value any) {
	c.args = append(c.args, value)
	c.sql.WriteString("\n   AND ")
	c.sql.WriteString(strings.Replace(condition, "?", "$"+strconv.Itoa(len(c.args)), 1))
}
