// Package export copies finished days of the domains' tables into the lake.
package export

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/datameesh/datameesh/platform/query"
)

// An Engine is Trino; query.Client is one.
type Engine interface {
	Texts(ctx context.Context, statement string) ([][]string, error)
}

// A State says what became of a partition.
type State string

// States of partitions.
const (
	Exported  State = "exported"  // written now, for the first time or again
	Unchanged State = "unchanged" // the lake had it already
	Kept      State = "kept"      // the domain has dropped it, the lake has not
	Differs   State = "differs"   // written, and still not what the source holds
)

// A Partition of a table in the lake, as far as its days are finished.
type Partition struct {
	Table string
	Name  string      // 2026-11, or 2026-11-22
	Rows  int64       // in the lake
	Sum   json.Number // of Table.Sum, in the lake; empty without rows
	State State
}

// Verified tells whether rows, sum and checksum of the lake are those of the
// source. Of a partition that the source has dropped nobody can tell any more.
func (p Partition) Verified() bool { return p.State == Exported || p.State == Unchanged }

// Options say what to export.
type Options struct {
	// Since is the first day and Until the last one; zero times mean all that
	// there is, and yesterday.
	Since, Until time.Time
	// PerCommit limits the partitions that one statement writes; each has a
	// file open meanwhile. 0 means 50.
	PerCommit int
}

// Bounds of one statement: Trino takes at most 100 partitions, and its memory
// is small.
const (
	defaultPerCommit = 50
	maxPerCommit     = 100
	rowsPerCommit    = 1_000_000
)

// attempts is how often a partition is written that still differs, because the
// source changed meanwhile or somebody else exported at the same time.
const attempts = 3

// ErrNotOver tells that a day is not finished.
var ErrNotOver = errors.New("is not over yet in UTC, by Trino's clock")

// Run exports a table and hands out its partitions in the order of time, as
// they are done, with the number of those to come. Partitions that are the same on both sides are left alone, so
// whoever was interrupted runs it again.
//
// Only finished days are exported: those before today in UTC by Trino's clock.
// The error is ErrNotOver for a later Until, one of package query, or that of done.
func Run(ctx context.Context, trino Engine, t Table, o Options, done func(p Partition, left int) error) error {
	days, err := finished(ctx, trino, o)
	if err != nil {
		return err
	}
	for _, statement := range []string{t.createSchema(), t.createTable(), t.createView()} {
		if _, err := trino.Texts(ctx, statement); err != nil {
			return fmt.Errorf("prepare %s: %w", t.Lake(), err)
		}
	}
	all, err := t.differences(ctx, trino, days)
	if err != nil {
		return err
	}
	for len(all) > 0 {
		n := batch(all, o.PerCommit)
		if all[0].state() == Differs {
			if err := t.write(ctx, trino, days, all[:n]); err != nil {
				return err
			}
		}
		for i, d := range all[:n] {
			if err := done(d.partition(t), len(all)-i-1); err != nil {
				return err
			}
		}
		all = all[n:]
	}
	return nil
}

// finished is the span of days that the options ask for.
func finished(ctx context.Context, trino Engine, o Options) (span, error) {
	var s span
	rows, err := trino.Texts(ctx, "SELECT CAST(current_timestamp AT TIME ZONE 'UTC' AS date)")
	if err != nil {
		return s, err
	}
	if len(rows) != 1 || len(rows[0]) != 1 {
		return s, fmt.Errorf("today is %v by Trino", rows)
	}
	s.to = rows[0][0]
	if !o.Since.IsZero() {
		s.from = o.Since.Format(time.DateOnly)
	}
	if s.from >= s.to {
		return s, fmt.Errorf("%s %w", s.from, ErrNotOver)
	}
	if !o.Until.IsZero() {
		next := o.Until.AddDate(0, 0, 1).Format(time.DateOnly)
		if next > s.to {
			return s, fmt.Errorf("%s %w", o.Until.Format(time.DateOnly), ErrNotOver)
		}
		s.to = next
	}
	return s, nil
}

// A difference is one partition on both sides.
type difference struct {
	first        string // day of the partition
	source, lake side
	written      bool
	forgets      bool
}

type side struct {
	rows        int64
	sum, digest string
}

func (d difference) state() State {
	switch {
	case d.source.rows == 0 && d.lake.rows > 0 && d.forgets:
		return Kept
	case d.source != d.lake:
		return Differs
	case d.written:
		return Exported
	}
	return Unchanged
}

func (d difference) partition(t Table) Partition {
	p := Partition{Table: t.String(), Name: d.first, Rows: d.lake.rows, State: d.state()}
	if t.Unit == Month {
		p.Name = d.first[:len("2006-01")]
	}
	if d.lake.sum != query.Null {
		p.Sum = json.Number(d.lake.sum)
	}
	return p
}

// differences compares both sides by partition.
func (t Table) differences(ctx context.Context, trino Engine, days span) ([]difference, error) {
	rows, err := trino.Texts(ctx, t.compare(days))
	if err != nil {
		return nil, fmt.Errorf("compare %s with %s: %w", t.Lake(), t.Source(), err)
	}
	var all []difference
	for _, r := range rows {
		d := difference{first: r[0], forgets: t.Forgets, source: side{sum: r[2], digest: r[3]}, lake: side{sum: r[5], digest: r[6]}}
		var sourceErr, lakeErr error
		d.source.rows, sourceErr = strconv.ParseInt(r[1], 10, 64)
		d.lake.rows, lakeErr = strconv.ParseInt(r[4], 10, 64)
		if err := errors.Join(sourceErr, lakeErr); err != nil {
			return nil, fmt.Errorf("compare %s with %s: %w", t.Lake(), t.Source(), err)
		}
		all = append(all, d)
	}
	return all, nil
}

// batch is how many of the first partitions are handled together: those that
// differ are written in one statement up to the limits.
func batch(all []difference, perCommit int) int {
	if perCommit == 0 {
		perCommit = defaultPerCommit
	}
	if all[0].state() != Differs {
		return 1
	}
	n, rows := 1, all[0].source.rows
	for n < len(all) && n < min(perCommit, maxPerCommit) && all[n].state() == Differs && rows+all[n].source.rows <= rowsPerCommit {
		rows += all[n].source.rows
		n++
	}
	return n
}

// write writes partitions that follow each other and looks at them again.
func (t Table) write(ctx context.Context, trino Engine, days span, all []difference) error {
	s := span{max(all[0].first, days.from), t.end(all[len(all)-1].first)}
	if days.to != "" {
		s.to = min(s.to, days.to)
	}
	for try := 1; ; try++ {
		_, err := trino.Texts(ctx, t.merge(s))
		failed, refused := errors.AsType[*query.Error](err)
		// Who loses to a commit of somebody else starts from their state.
		conflict := refused && failed.Name == "ICEBERG_COMMIT_ERROR" && try < attempts
		if err != nil && !conflict {
			return fmt.Errorf("write %s: %w", t.Lake(), err)
		}
		now, err := t.differences(ctx, trino, s)
		if err != nil {
			return err
		}
		differ := false
		for i := range all {
			at := slices.IndexFunc(now, func(d difference) bool { return d.first == all[i].first })
			if at < 0 { // gone on both sides
				all[i].source, all[i].lake = side{sum: query.Null, digest: query.Null}, side{sum: query.Null, digest: query.Null}
			} else {
				all[i] = now[at]
			}
			all[i].written = true
			differ = differ || all[i].state() == Differs
		}
		if !differ || try == attempts {
			return nil
		}
	}
}

// end is the first day after the partition that begins with a day.
func (t Table) end(first string) string {
	day, err := time.Parse(time.DateOnly, first)
	if err != nil {
		panic(err) // Trino's own text of a date
	}
	if t.Unit == Month {
		return day.AddDate(0, 1, 0).Format(time.DateOnly)
	}
	return day.AddDate(0, 0, 1).Format(time.DateOnly)
}
