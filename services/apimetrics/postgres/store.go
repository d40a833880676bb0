// Package postgres keeps the API metrics domain in PostgreSQL.
package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

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

// touch ends every transaction that writes for a caller: the data is no longer
// as seeded.
const touch = `UPDATE mesh_meta SET touched = true WHERE NOT touched`

// wrap adds context to err and turns what the database says into the domain's errors.
func wrap(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	err = database.Classify(err)
	context := fmt.Sprintf(format, args...)
	if errors.Is(err, database.ErrUnavailable) {
		return fmt.Errorf("%s: %w: %w", context, apimetrics.ErrUnavailable, err)
	}
	return fmt.Errorf("%s: %w", context, err)
}

// orNull gives nil for a zero value: a filter that filters nothing.
func orNull[T comparable](value T) *T {
	var zero T
	if value == zero {
		return nil
	}
	return &value
}

// timeOrNull is orNull for times, of which there is more than one zero.
func timeOrNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
