package query

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"strings"

	trinoclient "github.com/trinodb/trino-go-client/trino"
)

// An Error is Trino's refusal or failure of a query.
type Error struct {
	Message string
	Name    string // "COLUMN_NOT_FOUND"
	Line    int    // of the statement, from 1; 0 when the error has no place
	Column  int    // character of the line, from 1
	SQL     string // the statement
}

func (e *Error) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("%s (%s)", e.Message, e.Name)
	}
	return fmt.Sprintf("line %d, column %d: %s (%s)", e.Line, e.Column, e.Message, e.Name)
}

// Excerpt shows the offending line with a caret under the place; empty when
// the error has none.
func (e *Error) Excerpt() string {
	lines := strings.Split(e.SQL, "\n")
	if e.Line < 1 || e.Line > len(lines) {
		return ""
	}
	line := []rune(strings.TrimRight(lines[e.Line-1], "\r"))
	if len(line) == 0 {
		return ""
	}
	number := fmt.Sprintf("%4d | ", e.Line)
	before := line[:min(max(e.Column-1, 0), len(line))]
	var pad strings.Builder
	for _, r := range before {
		if r != '\t' {
			r = ' ' // a tab stays one: it is as wide as the one above
		}
		pad.WriteRune(r)
	}
	return number + printable(string(line), true) + "\n" + strings.Repeat(" ", len(number)-2) + "| " + pad.String() + "^"
}

// An UnreachableError tells that Trino does not answer.
type UnreachableError struct {
	Address string
	Reason  string
}

func (e *UnreachableError) Error() string {
	return fmt.Sprintf("Trino does not answer on %s (%s)", e.Address, e.Reason)
}

// A LoginError tells that Trino does not accept the person's password.
type LoginError struct {
	User string
	// Throttled tells that Trino did not look at the password: others were tried
	// for the name (platform/trino/java).
	Throttled bool
}

func (e *LoginError) Error() string {
	if e.Throttled {
		return fmt.Sprintf("too many wrong passwords were sent to Trino for %s; try again in a minute", e.User)
	}
	return fmt.Sprintf("Trino refused the password of %s: its password file and the mesh's secrets differ; \"meesh up\" writes it anew", e.User)
}

// classify turns an error of the driver into one of this package.
func (c *Client) classify(ctx context.Context, statement string, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var (
		unreachable *UnreachableError
		failed      *trinoclient.ErrQueryFailed
		trino       *trinoclient.ErrTrino
		unknownCA   x509.UnknownAuthorityError
		hostname    x509.HostnameError
		invalid     x509.CertificateInvalidError
		notTLS      tls.RecordHeaderError
	)
	switch {
	case errors.As(err, &unreachable):
		return &UnreachableError{c.cfg.Address, unreachable.Reason}
	case errors.As(err, &unknownCA), errors.As(err, &hostname), errors.As(err, &invalid), errors.As(err, &notTLS):
		return &UnreachableError{c.cfg.Address, "another program listens there, or its certificate is not of this mesh: " + rootCause(err).Error()}
	case errors.Is(err, trinoclient.ErrQueryCancelled):
		return &Error{Message: "the query was cancelled", Name: "USER_CANCELED", SQL: statement}
	case errors.As(err, &trino):
		// Right after the start the coordinator does not know yet that it is
		// a worker too.
		if trino.ErrorName == "SERVER_STARTING_UP" || trino.Message == "No nodes available" {
			return &UnreachableError{c.cfg.Address, "it is still starting"}
		}
		e := &Error{Message: trino.Message, Name: trino.ErrorName, SQL: statement,
			Line: trino.ErrorLocation.LineNumber, Column: trino.ErrorLocation.ColumnNumber}
		// Trino writes the place into the text as well.
		e.Message = strings.TrimPrefix(e.Message, fmt.Sprintf("line %d:%d: ", e.Line, e.Column))
		return e
	case errors.As(err, &failed):
		switch failed.StatusCode {
		case http.StatusUnauthorized:
			return &LoginError{c.cfg.User, strings.Contains(fmt.Sprint(failed.Reason), "Too many wrong passwords")}
		case 0, http.StatusServiceUnavailable, http.StatusBadGateway, http.StatusGatewayTimeout:
			return &UnreachableError{c.cfg.Address, rootCause(err).Error()}
		}
		reason, _, _ := strings.Cut(strings.TrimSpace(fmt.Sprint(failed.Reason)), "\n") // a trace may follow
		if strings.HasSuffix(reason, "authenticators were not loaded") {
			return &UnreachableError{c.cfg.Address, "it is still starting"}
		}
		return fmt.Errorf("query: Trino answered %d %s: %s", failed.StatusCode, http.StatusText(failed.StatusCode), reason)
	}
	return fmt.Errorf("query: %w", err)
}

// rootCause is the innermost error: the outer ones repeat the request's
// address, which here says nothing.
func rootCause(err error) error {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err
		}
		err = inner
	}
}
