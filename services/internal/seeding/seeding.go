// Package seeding is the program that fills a domain's database.
//
// Data is copied in transactions of a few thousand rows. Each transaction also
// notes in mesh_meta how far the seeding is, so one that was cut off goes on
// where it stopped and ends with the same rows.
package seeding

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/datameesh/datameesh/services/internal/database"
	"github.com/datameesh/datameesh/services/internal/population"
)

// Params are what a seeding is a pure function of.
type Params struct {
	Scale string
	Seed  int64
	// AsOf is the day, midnight UTC, before which all data lies.
	AsOf time.Time
	Rows population.Rows
}

// Population gives the people of the seeding.
func (p Params) Population() population.Population {
	return population.Population{Seed: p.Seed, Rows: p.Rows}
}

// A Copy is a range of rows, From to To-1, of one table.
type Copy struct {
	Table    string
	Columns  []string
	From, To int64
	// Row gives the values of row n in the order of Columns.
	Row func(n int64) []any
}

// A Plan is all rows of one domain, cut into transactions.
type Plan struct {
	// Tables in the order in which foreign keys allow them to be filled.
	Tables []string
	// Transactions is the number of transactions, each of which leaves the
	// database true to its rules.
	Transactions int
	Transaction  func(i int) []Copy
	// Before and After are statements at the start and end of each transaction.
	Before, After []string
	// Last are statements at the end of the last transaction.
	Last []string
	// Others is a query for what another seeding left, in words, that the Params do
	// not tell from this one; no row when there is nothing. Empty: nothing to ask.
	Others string
}

// A Domain is what a seeder seeds.
type Domain struct {
	Program string // "sales-seed"
	// Tables whose row counts --rows may set, each with the count it sets.
	Tables map[string]func(*population.Rows) *int64
	Plan   func(Params) Plan
	// Load stores the rows of a file instead of fake ones, for --from. Sent again
	// the same file changes nothing.
	Load func(ctx context.Context, db *database.DB, path string) (Loaded, error)
}

// Loaded is what became of the rows of a file.
type Loaded struct {
	Stored, Known, Bad int64
	// BadAt says where the bad rows are.
	BadAt string
}

// errUsage marks wrong usage, exit code 2.
var errUsage = errors.New("wrong usage")

type options struct {
	Params
	force, ifEmpty bool
	from           string
}

// Main runs the seeder with args and gives its exit code.
func Main(ctx context.Context, domain Domain, args []string, stdout, stderr io.Writer) int {
	opts, err := parse(domain, args, stdout)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err == nil && opts.from != "" {
		err = load(ctx, domain, opts.from, stdout, stderr)
	} else if err == nil {
		err = run(ctx, domain, opts, stdout, stderr)
	}
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errUsage):
		fmt.Fprintf(stderr, "%s: %v; see %s --help\n", domain.Program, err, domain.Program)
		return 2
	case ctx.Err() != nil:
		fmt.Fprintf(stderr, "%s: interrupted; nothing is lost: the same command goes on where this one stopped\n", domain.Program)
		return 130
	case errors.Is(err, errUnreachable):
		fmt.Fprintf(stderr, "%s: %v\n", domain.Program, err)
		return 3
	default:
		fmt.Fprintf(stderr, "%s: %v\n", domain.Program, err)
		return 1
	}
}

func parse(domain Domain, args []string, help io.Writer) (options, error) {
	opts := options{}
	flags := flag.NewFlagSet(domain.Program, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	scale := flags.String("scale", "demo", "number of rows: small, demo or load")
	seed := flags.Int64("seed", 42, "the same seed gives the same rows")
	asOf := flags.String("as-of", time.Now().UTC().Format(time.DateOnly), "day, YYYY-MM-DD, before which all data lies")
	flags.BoolVar(&opts.force, "force", false, "replace what the database holds")
	flags.BoolVar(&opts.ifEmpty, "if-empty", false, "do nothing, successfully, when the database holds data")
	rows := map[string]int64{}
	tables := slices.Sorted(maps.Keys(domain.Tables))
	flags.Func("rows", "`table=n`: another number of rows for one table ("+strings.Join(tables, ", ")+"); may be repeated", func(value string) error {
		table, count, _ := strings.Cut(value, "=")
		n, err := strconv.ParseInt(count, 10, 64)
		if err != nil || n < 0 || n > 100_000_000 {
			return errors.New("must be table=n with n from 0 to 100000000")
		}
		if domain.Tables[table] == nil {
			return fmt.Errorf("unknown table %q; this seeder knows %s", table, strings.Join(tables, ", "))
		}
		rows[table] = n
		return nil
	})
	if domain.Load != nil {
		flags.StringVar(&opts.from, "from", "", "load the rows of `FILE` (.csv with a header row, or .ndjson) instead; rows that are known already are left out")
	}
	err := flags.Parse(args)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprintf(help, "%s fills the database with fake data, or with a file of yours.\n\nEnvironment: DATABASE_URL (postgres://OWNER@HOST:PORT/DATABASE), PGPASSWORD.\nExit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 database not reached, 130 interrupted.\n\n", domain.Program)
		flags.SetOutput(help)
		flags.PrintDefaults()
		return opts, err
	}
	if err != nil {
		return opts, fmt.Errorf("%w: %w", errUsage, err)
	}
	if flags.NArg() > 0 {
		return opts, fmt.Errorf("%w: unexpected argument %q", errUsage, flags.Arg(0))
	}
	if opts.from != "" && flags.NFlag() > 1 {
		return opts, fmt.Errorf("%w: --from goes with no other flag", errUsage)
	}
	counts, ok := population.Scales[*scale]
	if !ok {
		return opts, fmt.Errorf("%w: unknown scale %q; choose %s", errUsage, *scale, strings.Join(slices.Sorted(maps.Keys(population.Scales)), ", "))
	}
	day, err := time.Parse(time.DateOnly, *asOf)
	if err != nil {
		return opts, fmt.Errorf("%w: --as-of %q is not a day like 2026-11-23", errUsage, *asOf)
	}
	for table, n := range rows {
		*domain.Tables[table](&counts) = n
	}
	opts.Params = Params{Scale: *scale, Seed: *seed, AsOf: day, Rows: counts}
	if os.Getenv("DATABASE_URL") == "" {
		return opts, fmt.Errorf("%w: DATABASE_URL is not set; set it to postgres://OWNER@HOST:PORT/DATABASE", errUsage)
	}
	return opts, nil
}
