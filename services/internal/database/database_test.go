package database

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

func TestClassify(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		away bool
	}{
		"nothing":             {nil, false},
		"no rows":             {pgx.ErrNoRows, false},
		"unique violation":    {&pgconn.PgError{Code: "23505"}, false},
		"statement timeout":   {&pgconn.PgError{Code: "57014"}, true},
		"read only":           {&pgconn.PgError{Code: "25006"}, true},
		"disk full":           {&pgconn.PgError{Code: "53100"}, true},
		"deadlock":            {&pgconn.PgError{Code: "40P01"}, true},
		"not serializable":    {&pgconn.PgError{Code: "40001"}, true},
		"check violation":     {&pgconn.PgError{Code: "23514"}, false},
		"server stops":        {&pgconn.PgError{Code: "57P01"}, true},
		"server starts":       {&pgconn.PgError{Code: "57P03"}, true},
		"too many sessions":   {&pgconn.PgError{Code: "53300"}, true},
		"connection failure":  {&pgconn.PgError{Code: "08006"}, true},
		"cut off":             {fmt.Errorf("read: %w", io.ErrUnexpectedEOF), true},
		"refused":             {&net.OpError{Op: "dial", Err: errors.New("refused")}, true},
		"waited for too long": {context.DeadlineExceeded, true},
		"caller went away":    {context.Canceled, false},
	} {
		if got := errors.Is(Classify(c.err), ErrUnavailable); got != c.away {
			t.Errorf("%s: away %v, want %v", name, got, c.away)
		}
	}
}

func TestConstraint(t *testing.T) {
	if got := Constraint(fmt.Errorf("insert: %w", &pgconn.PgError{ConstraintName: "things_key"})); got != "things_key" {
		t.Errorf("got %q", got)
	}
	if got := Constraint(pgx.ErrNoRows); got != "" {
		t.Errorf("got %q", got)
	}
}

func TestOpenRefusesWhatIsNoURL(t *testing.T) {
	if _, err := Open(t.Context(), "postgres://host:port:extra/", "test"); err == nil {
		t.Error("no error")
	}
}
