// Package statistics tells the planner about tables and shows what it makes of it.
package statistics

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// An Engine is Trino; query.Client is one.
type Engine interface {
	Texts(ctx context.Context, statement string) ([][]string, error)
}

// A Table as Trino names it.
type Table struct{ Catalog, Schema, Name string }

func (t Table) String() string { return t.Catalog + "." + t.Schema + "." + t.Name }

// SQL is the name inside a statement.
func (t Table) SQL() string {
	quote := func(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }
	return quote(t.Catalog) + "." + quote(t.Schema) + "." + quote(t.Name)
}

// Read lists the tables that a query reads, also through views, each once.
func Read(ctx context.Context, trino Engine, query string) ([]Table, error) {
	text, err := explain(ctx, trino, "TYPE IO, FORMAT JSON", query)
	if err != nil {
		return nil, err
	}
	var plan struct {
		Inputs []struct {
			Table struct {
				Catalog     string `json:"catalog"`
				SchemaTable struct {
					Schema string `json:"schema"`
					Table  string `json:"table"`
				} `json:"schemaTable"`
			} `json:"table"`
		} `json:"inputTableColumnInfos"`
	}
	if err := json.Unmarshal([]byte(text), &plan); err != nil {
		return nil, fmt.Errorf("read the tables of the query: %w", err)
	}
	var tables []Table
	for _, in := range plan.Inputs {
		t := Table{in.Table.Catalog, in.Table.SchemaTable.Schema, in.Table.SchemaTable.Table}
		if !slices.Contains(tables, t) {
			tables = append(tables, t)
		}
	}
	return tables, nil
}

// A Step of a plan, with what the planner expects of it.
type Step struct {
	Depth    int // below the result, from 0
	Operator string
	Table    string  // that it reads, if any
	Rows     float64 // NaN when the planner cannot tell
	Bytes    float64 // NaN likewise
}

// Plan is what Trino would do for a query, the result first, without the
// exchanges between its threads and nodes.
func Plan(ctx context.Context, trino Engine, query string) ([]Step, error) {
	text, err := explain(ctx, trino, "TYPE LOGICAL, FORMAT JSON", query)
	if err != nil {
		return nil, err
	}
	var root node
	if err := json.Unmarshal([]byte(text), &root); err != nil {
		return nil, fmt.Errorf("read the plan of the query: %w", err)
	}
	steps := root.steps(0)
	if len(steps) == 0 {
		return nil, errors.New("the plan is empty")
	}
	return steps, nil
}

// SameShape tells whether two plans have the same steps, whatever is expected of them.
func SameShape(a, b []Step) bool {
	return slices.EqualFunc(a, b, func(x, y Step) bool {
		return x.Depth == y.Depth && x.Operator == y.Operator && x.Table == y.Table
	})
}

type node struct {
	Name       string            `json:"name"`
	Descriptor map[string]string `json:"descriptor"`
	Estimates  []struct {
		Rows  number `json:"outputRowCount"`
		Bytes number `json:"outputSizeInBytes"`
	} `json:"estimates"`
	Children []node `json:"children"`
}

func (n node) steps(depth int) (steps []Step) {
	if !strings.HasSuffix(n.Name, "Exchange") {
		s := Step{Depth: depth, Operator: n.Name, Table: tableOf(n.Descriptor["table"]), Rows: math.NaN(), Bytes: math.NaN()}
		// A node that was made of several has an estimate for each, the last one for its result.
		if len(n.Estimates) > 0 {
			last := n.Estimates[len(n.Estimates)-1]
			s.Rows, s.Bytes = float64(last.Rows), float64(last.Bytes)
		}
		steps = append(steps, s)
		depth++
	}
	for _, c := range n.Children {
		steps = append(steps, c.steps(depth)...)
	}
	return steps
}

// tableOf is the name within what a plan writes about a table.
func tableOf(descriptor string) string {
	catalog, rest, ok := strings.Cut(descriptor, ":")
	if !ok {
		return ""
	}
	name, _, _ := strings.Cut(rest, " ")
	name, _, _ = strings.Cut(name, "$") // lake:sales.orders$data@1234
	return catalog + "." + name
}

// A number that Trino writes as text when it is NaN or infinite.
type number float64

func (n *number) UnmarshalJSON(b []byte) error {
	f, err := strconv.ParseFloat(strings.Trim(string(b), `"`), 64)
	*n = number(f)
	return err
}

func explain(ctx context.Context, trino Engine, options, query string) (string, error) {
	rows, err := trino.Texts(ctx, "EXPLAIN ("+options+") "+query)
	if err != nil {
		return "", err
	}
	if len(rows) != 1 || len(rows[0]) != 1 {
		return "", fmt.Errorf("a plan of %d rows, want 1", len(rows))
	}
	return rows[0][0], nil
}
