// Package source checks data sources that people add to Trino beside the mesh's own.
package source

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/datameesh/datameesh/platform/state"
)

// An InvalidError tells what is wrong with what was asked for, before anything was tried.
type InvalidError struct{ Reason string }

func (e *InvalidError) Error() string { return e.Reason }

func invalid(format string, args ...any) error { return &InvalidError{fmt.Sprintf(format, args...)} }

// An UnreachableError tells that nothing answers where the source is said to be.
type UnreachableError struct {
	Where string
	Err   error
}

func (e *UnreachableError) Error() string {
	return fmt.Sprintf("%s does not answer: %v", e.Where, e.Err)
}
func (e *UnreachableError) Unwrap() error { return e.Err }

var name = regexp.MustCompile(`^[a-z][a-z0-9_]{0,30}$`)

// reserved are names that mean something in Trino.
var reserved = []string{"system", "information_schema", "jmx", "memory", "tpch", "tpcds"}

// CheckName says whether a catalog may be called so. taken are those that there are.
func CheckName(s string, taken []string) error {
	switch {
	case !name.MatchString(s):
		return invalid("%q cannot be the name of a source: use a small letter, then small letters, digits and _, at most 31 of them", s)
	case slices.Contains(reserved, s):
		return invalid("%q cannot be the name of a source: Trino has a catalog of that name itself", s)
	case slices.Contains(taken, s):
		return invalid("there is a catalog %q already", s)
	}
	return nil
}

var (
	databaseName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}$`)
	userName     = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.@-]{0,62}$`)
	hostName     = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.-]{0,252}[A-Za-z0-9])?$`)
	sslModes     = []string{"disable", "prefer", "require"}
)

// ParsePostgres reads postgres://USER@HOST[:PORT]/DATABASE[?sslmode=MODE]. It
// takes no password: an argument stands in the list of processes.
func ParsePostgres(s string) (p state.PostgresSource, err error) {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" || u.Opaque != "" {
		return p, invalid("not a URL like postgres://USER@HOST:5432/DATABASE") // the error repeats what may be a password
	}
	if _, has := u.User.Password(); has {
		return p, invalid("the URL holds a password, which others see in the list of processes and in the shell's history; leave it out: it is asked for, or read by --password-file")
	}
	p = state.PostgresSource{User: u.User.Username(), Database: strings.TrimPrefix(u.Path, "/"), SSLMode: "prefer"}
	host, port := u.Hostname(), u.Port()
	if port == "" {
		port = "5432"
	}
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
		return p, invalid("port %q is not between 1 and 65535", port)
	}
	if net.ParseIP(host) == nil && !hostName.MatchString(host) {
		return p, invalid("%q is no host; the URL is like postgres://USER@HOST:5432/DATABASE", host)
	}
	p.Address = net.JoinHostPort(host, port)
	if !userName.MatchString(p.User) {
		return p, invalid("user %q: name one in the URL, of letters, digits, _ . - and @", p.User)
	}
	if !databaseName.MatchString(p.Database) {
		return p, invalid("database %q: name one in the URL, of letters, digits, _ . and -", p.Database)
	}
	for key, values := range u.Query() {
		if key != "sslmode" || len(values) != 1 || !slices.Contains(sslModes, values[0]) {
			return p, invalid("%s=%s: the URL may have sslmode=%s, and nothing else", key, strings.Join(values, ","), strings.Join(sslModes, "|"))
		}
		p.SSLMode = values[0]
	}
	if u.Fragment != "" {
		return p, invalid("the URL ends in #%s", u.Fragment)
	}
	return p, nil
}

// CheckPassword refuses what an environment variable or a file cannot carry.
func CheckPassword(s string) error {
	switch {
	case s == "":
		return invalid("the password is empty")
	case len(s) > 1000:
		return invalid("the password is %d bytes long; at most 1000 are taken", len(s))
	case strings.ContainsAny(s, "\r\n\x00"):
		return invalid("the password contains a line break or a zero byte; use one line of text")
	case strings.Contains(s, "${"):
		return invalid("the password contains ${, which Trino's configuration takes for a variable; choose another password for this role")
	}
	return nil
}

// Found is what a check has seen of a source.
type Found struct {
	// Tables that can be read, schema.table, in order.
	Tables []string
	// Superuser tells that the role may do anything; one that only reads is better.
	Superuser bool
}

// CheckPostgres connects to the database and lists what can be read there: the
// error is *UnreachableError when nothing answers, else it says what the server
// refuses.
func CheckPostgres(ctx context.Context, p state.PostgresSource, password string) (f Found, err error) {
	u := url.URL{Scheme: "postgres", User: url.UserPassword(p.User, password), Host: p.Address, Path: "/" + p.Database}
	config, err := pgx.ParseConfig(u.String() + "?application_name=meesh-source&connect_timeout=10&sslmode=" + p.SSLMode)
	if err != nil {
		return f, invalid("the URL cannot be used: %s", strings.ReplaceAll(err.Error(), password, "…"))
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	if refused, ok := errors.AsType[*pgconn.PgError](err); ok {
		return f, fmt.Errorf("PostgreSQL at %s refuses %s: %s (%s)", p.Address, p.User, refused.Message, refused.Code)
	}
	if err != nil {
		// One line for each address of the host; they say the same.
		text, _, _ := strings.Cut(cause(err).Error(), "\n")
		return f, &UnreachableError{"PostgreSQL at " + p.Address, errors.New(text)}
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // only read
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if err := conn.QueryRow(ctx, `SELECT rolsuper FROM pg_roles WHERE rolname = current_user`).Scan(&f.Superuser); err != nil {
		return f, fmt.Errorf("ask PostgreSQL at %s: %w", p.Address, err)
	}
	rows, err := conn.Query(ctx, `
		SELECT n.nspname || '.' || c.relname
		  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		 WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
		   AND n.nspname <> 'information_schema'
		   AND n.nspname !~ '^pg_'
		   AND has_schema_privilege(n.oid, 'USAGE')
		   AND has_table_privilege(c.oid, 'SELECT')
		 ORDER BY 1`)
	if err != nil {
		return f, fmt.Errorf("ask PostgreSQL at %s: %w", p.Address, err)
	}
	if f.Tables, err = pgx.CollectRows(rows, pgx.RowTo[string]); err != nil {
		return f, fmt.Errorf("ask PostgreSQL at %s: %w", p.Address, err)
	}
	if len(f.Tables) == 0 {
		return f, fmt.Errorf("%s may read no table of %s; there: GRANT USAGE ON SCHEMA … TO %s; GRANT SELECT ON … TO %[1]s", p.User, p.Database, p.User)
	}
	return f, nil
}

// cause is the innermost error: the outer ones repeat the whole connection string.
func cause(err error) error {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err
		}
		err = inner
	}
}
