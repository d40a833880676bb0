package panel

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

// A Database answers the queries of a data source: a pgx pool or connection.
type Database interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// Sources are the databases by uid of the data source.
type Sources map[string]Database

// A Table is what a query gives. Values are strings, float64, time.Time, bool
// or nil.
type Table struct {
	Columns []string
	Rows    [][]any
}

// Run runs the query with the view put in.
func (s Sources) Run(ctx context.Context, q Query, v View) (Table, error) {
	db, ok := s[q.Source]
	if !ok {
		return Table{}, fmt.Errorf("no data source %q", q.Source)
	}
	sql, err := v.Expand(q.SQL)
	if err != nil {
		return Table{}, err
	}
	// Grafana sends the text as it is; so does the simple protocol.
	rows, err := db.Query(ctx, sql, pgx.QueryExecModeSimpleProtocol)
	if err != nil {
		return Table{}, err
	}
	defer rows.Close()
	var t Table
	for _, f := range rows.FieldDescriptions() {
		t.Columns = append(t.Columns, f.Name)
	}
	for rows.Next() {
		values, err := rows.Values()
		if err != nil {
			return Table{}, err
		}
		for i := range values {
			if values[i], err = plain(values[i]); err != nil {
				return Table{}, fmt.Errorf("column %s: %w", t.Columns[i], err)
			}
		}
		t.Rows = append(t.Rows, values)
	}
	return t, rows.Err()
}

// plain makes what pgx gives one of the few kinds that panels know.
func plain(value any) (any, error) {
	switch x := value.(type) {
	case nil, string, float64, bool, time.Time:
		return x, nil
	case int16:
		return float64(x), nil
	case int32:
		return float64(x), nil
	case int64:
		return float64(x), nil
	case pgtype.Numeric:
		f, err := x.Float64Value()
		if !f.Valid {
			return nil, err
		}
		return f.Float64, err
	}
	return nil, fmt.Errorf("a value of type %T is nothing that a panel draws", value)
}

// Values gives the values of the variables when all are chosen, each variable
// seeing those before it.
func (s Sources) Values(ctx context.Context, d Dashboard, v View) (map[string][]string, error) {
	v.Values = map[string][]string{}
	for _, variable := range d.Variables {
		t, err := s.Run(ctx, variable.Query, v)
		if err != nil {
			return nil, fmt.Errorf("variable %s: %w", variable.Name, err)
		}
		var values []string
		for _, row := range t.Rows {
			text, ok := row[0].(string)
			if !ok {
				return nil, fmt.Errorf("variable %s: %v is no text", variable.Name, row[0])
			}
			values = append(values, text)
		}
		v.Values[variable.Name] = values
	}
	return v.Values, nil
}

// Open runs what the dashboard asks when somebody opens it at the moment now, with
// everything chosen, and says how many queries that were.
func (s Sources) Open(ctx context.Context, d Dashboard, now time.Time) (queries int, err error) {
	v := View{To: now}
	if v.From, err = ParseFrom(d.From, now); err != nil {
		return 0, err
	}
	// Grafana asks for about as many points as the panel has pixels.
	const points = 1000
	v.Interval = max(v.To.Sub(v.From)/points, time.Second)
	if v.Values, err = s.Values(ctx, d, v); err != nil {
		return 0, err
	}
	queries = len(d.Variables)
	for _, p := range d.Panels {
		for _, q := range p.Queries {
			if _, err := s.Run(ctx, q, v); err != nil {
				return queries, fmt.Errorf("panel %q: %w", p.Title, err)
			}
			queries++
		}
	}
	return queries, nil
}

// Draws says why the panel's type cannot draw the table; nil when it can.
func (p Panel) Draws(t Table) error {
	numbers := func(from int) error {
		for i, name := range t.Columns[from:] {
			for _, row := range t.Rows {
				if _, ok := row[from+i].(float64); !ok && row[from+i] != nil {
					return fmt.Errorf("column %s holds %v, which is no number", name, row[from+i])
				}
			}
		}
		return nil
	}
	if len(t.Columns) == 0 || len(t.Rows) == 0 {
		return errors.New("no rows")
	}
	switch p.Type {
	case "stat":
		if len(t.Rows) != 1 {
			return fmt.Errorf("%d rows for one figure", len(t.Rows))
		}
		return numbers(0)
	case "barchart":
		if len(t.Columns) < 2 {
			return errors.New("wants a name and numbers")
		}
		if _, ok := t.Rows[0][0].(string); !ok {
			return fmt.Errorf("column %s is no text", t.Columns[0])
		}
		return numbers(1)
	case "timeseries":
		return drawsSeries(t)
	case "table":
		return nil
	}
	return fmt.Errorf("panels of type %s are not known", p.Type)
}

// Check runs every query of the dashboard and says, by the panel's name, what
// fails or cannot be drawn.
func (s Sources) Check(ctx context.Context, d Dashboard, v View) []error {
	var problems []error
	for _, p := range d.Panels {
		if len(p.Queries) == 0 {
			problems = append(problems, fmt.Errorf("panel %q of %s has no query", p.Title, d.Title))
		}
		for _, q := range p.Queries {
			t, err := s.Run(ctx, q, v)
			if err == nil {
				err = p.Draws(t)
			}
			if err != nil {
				problems = append(problems, fmt.Errorf("panel %q of %s: %w", p.Title, d.Title, err))
			}
		}
	}
	return problems
}

// drawsSeries wants a column "time", in order, and numbers by at most one text
// column "metric".
func drawsSeries(t Table) error {
	at := slices.Index(t.Columns, "time")
	if at < 0 {
		return fmt.Errorf("no column time among %s", strings.Join(t.Columns, ", "))
	}
	var numbers int
	for i, name := range t.Columns {
		switch {
		case i == at || name == "metric":
		default:
			numbers++
			for _, row := range t.Rows {
				if _, ok := row[i].(float64); !ok && row[i] != nil {
					return fmt.Errorf("column %s holds %v, which is no number", name, row[i])
				}
			}
		}
	}
	if numbers == 0 {
		return errors.New("no numbers")
	}
	var last time.Time
	for _, row := range t.Rows {
		var moment time.Time
		switch x := row[at].(type) {
		case time.Time:
			moment = x
		case float64: // seconds since 1970
			moment = time.Unix(int64(x), 0)
		default:
			return fmt.Errorf("%v is no time", row[at])
		}
		if moment.Before(last) {
			return errors.New("the rows are not in the order of time")
		}
		last = moment
	}
	return nil
}

// Measure gives the number of the alert. Anything but one number fails, as it
// would in Grafana.
func (s Sources) Measure(ctx context.Context, a Alert, now time.Time) (float64, error) {
	t, err := s.Run(ctx, a.Query, View{From: now.Add(-a.Range), To: now, Interval: time.Minute})
	if err != nil {
		return 0, err
	}
	if len(t.Rows) != 1 || len(t.Columns) != 1 {
		return 0, fmt.Errorf("%d rows of %d columns instead of one number", len(t.Rows), len(t.Columns))
	}
	value, ok := t.Rows[0][0].(float64)
	if !ok {
		return 0, fmt.Errorf("%v is no number", t.Rows[0][0])
	}
	return value, nil
}
