package query

import (
	"context"
	"time"
)

// A Result says what came of a query.
type Result struct {
	QueryID string
	Rows    int64
	Elapsed time.Duration // from sending the statement to the last row
}

// Run runs a statement and writes its rows as they come. The result is valid
// with an error too: it says how far the query came.
func (c *Client) Run(ctx context.Context, statement string, out Writer, progress func(Progress)) (result Result, err error) {
	start := time.Now()
	// A writer that fails, because nobody reads any more, ends the query.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	rows, err := c.Query(ctx, statement, progress)
	if err != nil {
		return Result{Elapsed: time.Since(start)}, err
	}
	defer func() {
		if closeErr := rows.Close(); err == nil {
			err = closeErr
		}
		result.QueryID = rows.QueryID()
		result.Elapsed = time.Since(start)
	}()
	if err := out.Header(rows.Columns()); err != nil {
		return result, err
	}
	for rows.Next(ctx) {
		if err := out.Row(rows.Values()); err != nil {
			return result, err
		}
		result.Rows++
	}
	if err := rows.Err(); err != nil {
		return result, err
	}
	return result, out.Close()
}

// Null is how Texts writes NULL.
const Null = "NULL"

// Texts runs a statement and gives all values of its result as text. It is for
// small results; errors are those of Query.
func (c *Client) Texts(ctx context.Context, statement string) (all [][]string, err error) {
	rows, err := c.Query(ctx, statement, nil)
	if err != nil {
		return nil, err
	}
	defer func() {
		if closeErr := rows.Close(); err == nil {
			err = closeErr
		}
	}()
	for rows.Next(ctx) {
		row := make([]string, len(rows.Values()))
		for i, v := range rows.Values() {
			row[i] = Null
			if v != nil {
				row[i] = Text(v)
			}
		}
		all = append(all, row)
	}
	return all, rows.Err()
}
