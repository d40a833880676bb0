// Package postgres keeps the API metrics domain in PostgreSQL.
package postgres

import (
	"context"

	"github.com/datameesh/datameesh/services/apimetrics"
	"github.com/datameesh/datameesh/services/internal/database"
)

// A Store is an apimetrics.Store in a database with the schema of migrations.
type Store struct{ db *database.DB }

var _ apimetrics.Store = (*Store)(nil)

// New makes a store on the database.
func New(db *database.DB) *Store { return &Store{db} }

// Ready says whether the database answers and holds the schema.
func (s *Store) Ready(ctx context.Context) error {
	_, err := s.db.Exec(ctx, `SELECT touched FROM mesh_meta`)
	return wrap(err, "ready")
}

// wrap adds context to errors and makes them the domain's.
var wrap = database.Errors{Unavailable: apimetrics.ErrUnavailable}.Wrap
