package database

import (
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Errors are a domain's own errors for what a database says.
type Errors struct {
	NotFound    error // no row; nil where no row is asked for by its id
	Unavailable error // see ErrUnavailable
}

// Wrap adds context to err and turns what the database says into the domain's errors.
func (e Errors) Wrap(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	err = Classify(err)
	context := fmt.Sprintf(format, args...)
	switch {
	case e.NotFound != nil && errors.Is(err, pgx.ErrNoRows):
		return fmt.Errorf("%s: %w", context, e.NotFound)
	case errors.Is(err, ErrUnavailable):
		return fmt.Errorf("%s: %w: %w", context, e.Unavailable, err)
	}
	return fmt.Errorf("%s: %w", context, err)
}
