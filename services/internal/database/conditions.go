package database

import (
	"reflect"
	"strconv"
	"strings"
)

// Conditions are what rows of a list must fulfil: only what the caller asks for
// stands in the statement, so that each statement has a plan of its own.
type Conditions struct {
	sql  strings.Builder
	args []any
}

// Where begins with the values $1, $2 … that the statement has in any case.
func Where(args ...any) *Conditions { return &Conditions{args: args} }

// And adds a condition, with "?" for the value, unless the value is the zero of
// its type: a filter that filters nothing.
func (c *Conditions) And(condition string, value any) {
	if isZero(value) {
		return
	}
	c.args = append(c.args, value)
	c.sql.WriteString("\n   AND ")
	c.sql.WriteString(strings.Replace(condition, "?", "$"+strconv.Itoa(len(c.args)), 1))
}

// usual is how many rows most callers ask for: a page of queryparam.DefaultLimit
// and one more.
const usual = 51

// Limit ends the statement after n rows, behind the last condition. The usual
// number stands in the text: of a parameter PostgreSQL knows no value when it makes
// a plan to keep, expects a tenth of the table, and so plans the statement anew each
// time, which takes longer than to read the page. Other numbers are parameters, since
// every connection keeps each text.
func (c *Conditions) Limit(n int) string {
	if n == usual {
		return "\n LIMIT " + strconv.Itoa(n)
	}
	c.args = append(c.args, n)
	return "\n LIMIT $" + strconv.Itoa(len(c.args))
}

// SQL goes after the last condition of the statement's own.
func (c *Conditions) SQL() string { return c.sql.String() }

// Args are the values of the statement, when all of it is there.
func (c *Conditions) Args() []any { return c.args }

// isZero knows that there is more than one zero time.
func isZero(value any) bool {
	if z, ok := value.(interface{ IsZero() bool }); ok {
		return z.IsZero()
	}
	return reflect.ValueOf(value).IsZero()
}
