package collector

import (
	"context"
	_ "embed" // the schema
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/datameesh/datameesh/platform/query"
)

//go:embed schema.sql
var schema string

// lock keeps two collectors from making the tables at once.
const lock = 0x6f7073

// patience is how long one part may take, so that one that hangs does not keep
// the others from being written.
const patience = 20 * time.Second

// Run takes the figures every Every until the context ends. A part that cannot
// be asked is left out and logged; only a wrong configuration ends it.
func Run(ctx context.Context, c Config, log *slog.Logger) error {
	health := &health{}
	server := &http.Server{Addr: c.Listen, Handler: health, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute}
	failed := make(chan error, 1)
	go func() { failed <- server.ListenAndServe() }()
	defer server.Close() //nolint:errcheck // answers health checks only
	tick := time.NewTicker(Every)
	defer tick.Stop()
	since := time.Now().Add(-Every)
	for {
		at := time.Now().UTC().Truncate(time.Millisecond)
		err := Collect(ctx, c, since, at, log)
		health.took(at, err)
		if err != nil {
			log.Error("figures are not written", "error", err)
		} else {
			since = at
		}
		select {
		case <-ctx.Done():
			return nil
		case err := <-failed:
			return fmt.Errorf("listen on %s: %w", c.Listen, err)
		case <-tick.C:
		}
	}
}

// health answers /livez, and /readyz while the figures are not older than three rounds.
type health struct {
	mu   sync.Mutex
	last time.Time
	err  error
}

func (h *health) took(at time.Time, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.err = err; err == nil {
		h.last = at
	}
}

func (h *health) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case r.URL.Path == "/livez":
	case r.URL.Path != "/readyz":
		http.NotFound(w, r)
	case time.Since(h.last) > 3*Every:
		http.Error(w, fmt.Sprintf("last figures at %v, then: %v", h.last, h.err), http.StatusServiceUnavailable)
	}
}

// Collect takes all figures once and writes them as of at, in one transaction;
// those of Trino's queries are of the queries that ended after since.
func Collect(ctx context.Context, c Config, since, at time.Time, log *slog.Logger) error {
	target, err := dial(ctx, c.Target)
	if err != nil {
		return err
	}
	defer target.Close(context.WithoutCancel(ctx)) //nolint:errcheck // all is written
	if err := prepare(ctx, target); err != nil {
		return fmt.Errorf("make the tables: %w", err)
	}
	var batch pgx.Batch
	part := func(name string, take func(context.Context) error) {
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		if err := take(ctx); err != nil {
			log.Warn("figures are missing", "of", name, "error", err)
		}
	}
	for _, one := range c.Components {
		part(one.Name, func(ctx context.Context) error { queueComponent(ctx, &batch, at, one); return nil })
	}
	for _, d := range c.Databases {
		part(d.Server+" "+d.Database, func(ctx context.Context) error { return queueDatabase(ctx, &batch, at, d) })
	}
	if c.Trino.Address != "" {
		part("trino", func(ctx context.Context) error { return queueTrino(ctx, &batch, since, at, c.Trino) })
	}
	if c.DBTResults != "" {
		part("dbt", func(context.Context) error { return queueDBT(&batch, c.DBTResults) })
	}
	for _, table := range []string{"components", "databases", "trino", "lake"} {
		batch.Queue(`DELETE FROM ops.`+table+` WHERE at < $1`, at.Add(-Keep))
	}
	batch.Queue(`DELETE FROM ops.dbt_results WHERE ended_at < $1`, at.Add(-Keep))
	return pgx.BeginFunc(ctx, target, func(tx pgx.Tx) error { return tx.SendBatch(ctx, &batch).Close() })
}

// prepare makes what is missing. It runs every time: the database may have been
// made anew meanwhile.
func prepare(ctx context.Context, target *pgx.Conn) error {
	return pgx.BeginFunc(ctx, target, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, int64(lock)); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, schema)
		return err
	})
}

func dial(ctx context.Context, c Connection) (*pgx.Conn, error) {
	u := url.URL{Scheme: "postgres", User: url.UserPassword(c.User, os.Getenv(c.PasswordEnv)), Host: c.Address, Path: "/" + c.Database}
	config, err := pgx.ParseConfig(u.String() + "?application_name=mesh-collector&connect_timeout=5")
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.Database, err)
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", c.Database, err)
	}
	return conn, nil
}

// queueUp queues whether a component answered, since begin. Of several databases
// of one server the first says it.
func queueUp(batch *pgx.Batch, at time.Time, component string, begin time.Time, err error) {
	message := ""
	if err != nil {
		message = err.Error()
	}
	batch.Queue(`INSERT INTO ops.components (at, component, up, seconds, message) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING`,
		at, component, err == nil, time.Since(begin).Seconds(), message)
}

// queueComponent always has a row: that a component does not answer is its figure.
func queueComponent(ctx context.Context, batch *pgx.Batch, at time.Time, c Component) {
	begin := time.Now()
	queueUp(batch, at, c.Name, begin, answers(ctx, c.URL))
}

// answers says why the URL is not answered with 200; nil when it is.
func answers(ctx context.Context, address string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return errors.New(response.Status)
	}
	return nil
}

func queueDatabase(ctx context.Context, batch *pgx.Batch, at time.Time, d Database) error {
	begin := time.Now()
	bytes, err := size(ctx, d.Connection)
	queueUp(batch, at, d.Server, begin, err)
	if err != nil {
		return err
	}
	batch.Queue(`INSERT INTO ops.databases (at, server, database, bytes, limit_bytes) VALUES ($1, $2, $3, $4, $5)`,
		at, d.Server, d.Database, bytes, d.Limit)
	return nil
}

// size is that of the database, in bytes.
func size(ctx context.Context, c Connection) (bytes int64, err error) {
	conn, err := dial(ctx, c)
	if err != nil {
		return 0, err
	}
	defer conn.Close(ctx) //nolint:errcheck // only read
	err = conn.QueryRow(ctx, `SELECT pg_database_size(current_database())`).Scan(&bytes)
	return bytes, err
}

func queueTrino(ctx context.Context, batch *pgx.Batch, since, at time.Time, t Trino) error {
	ca, err := os.ReadFile(t.CAFile)
	if err != nil {
		return err
	}
	begin := time.Now()
	err = askTrino(ctx, batch, since, at, t, ca)
	queueUp(batch, at, "trino", begin, err)
	return err
}

// askTrino queues nothing unless all is known.
func askTrino(ctx context.Context, batch *pgx.Batch, since, at time.Time, t Trino, ca []byte) error {
	client, err := query.New(query.Config{Address: t.Address, CA: ca, User: t.User, Password: os.Getenv(t.PasswordEnv), Source: "mesh-collector"})
	if err != nil {
		return err
	}
	defer client.Close() //nolint:errcheck // only read
	const stamp = "2006-01-02 15:04:05.000 UTC"
	figures, err := client.Texts(ctx, fmt.Sprintf(`
		SELECT count_if(state IN ('RUNNING', 'STARTING', 'PLANNING', 'FINISHING')),
		       count_if(state IN ('QUEUED', 'WAITING_FOR_RESOURCES', 'DISPATCHING')),
		       count_if(state = 'FINISHED' AND "end" > timestamp '%[1]s' AND "end" <= timestamp '%[2]s'),
		       count_if(state = 'FAILED' AND "end" > timestamp '%[1]s' AND "end" <= timestamp '%[2]s'),
		       approx_percentile(date_diff('millisecond', created, "end"), 0.5) FILTER (WHERE "end" > timestamp '%[1]s' AND "end" <= timestamp '%[2]s') / 1e3,
		       max(date_diff('millisecond', created, "end")) FILTER (WHERE "end" > timestamp '%[1]s' AND "end" <= timestamp '%[2]s') / 1e3
		  FROM system.runtime.queries
		 WHERE source IS NULL OR source <> 'mesh-collector'`, since.UTC().Format(stamp), at.UTC().Format(stamp)))
	if err != nil {
		return err
	}
	var lake [][]string
	if t.Lake != "" {
		if lake, err = lakeTables(ctx, client, t.Lake); err != nil {
			return fmt.Errorf("the lake: %w", err)
		}
	}
	f := figures[0] // an aggregate has one row
	batch.Queue(`
		INSERT INTO ops.trino (at, running, queued, finished, failed, median_seconds, slowest_seconds)
		VALUES ($1, $2::text::bigint, $3::text::bigint, $4::text::bigint, $5::text::bigint, nullif($6::text, '`+query.Null+`')::float8, nullif($7::text, '`+query.Null+`')::float8)`,
		at, f[0], f[1], f[2], f[3], f[4], f[5])
	for _, t := range lake {
		batch.Queue(`
			INSERT INTO ops.lake (at, table_name, files, bytes, rows)
			VALUES ($1, $2, $3::text::bigint, $4::text::bigint, $5::text::bigint)`, at, t[0], t[1], t[2], t[3])
	}
	return nil
}

// noFigures are Trino's errors for a table that was dropped since, and for one
// that is not Iceberg's.
var noFigures = []string{"TABLE_NOT_FOUND", "SCHEMA_NOT_FOUND", "UNSUPPORTED_TABLE_TYPE"}

// lakeTables gives name, files, bytes and rows of each Iceberg table.
func lakeTables(ctx context.Context, client *query.Client, catalog string) ([][]string, error) {
	names, err := client.Texts(ctx, fmt.Sprintf(`
		SELECT table_schema, table_name
		  FROM %s.information_schema.tables
		 WHERE table_type = 'BASE TABLE'
		   AND table_schema <> 'information_schema'`, quoted(catalog)))
	if err != nil {
		return nil, err
	}
	var list [][]string
	for _, n := range names {
		figures, err := client.Texts(ctx, fmt.Sprintf(`
			SELECT count(*), coalesce(sum(file_size_in_bytes), 0), coalesce(sum(record_count), 0)
			  FROM %s.%s.%s`, quoted(catalog), quoted(n[0]), quoted(n[1]+"$files")))
		var failed *query.Error
		switch {
		case errors.As(err, &failed) && slices.Contains(noFigures, failed.Name):
			continue
		case err != nil:
			return nil, err
		}
		list = append(list, append([]string{n[0] + "." + n[1]}, figures[0]...))
	}
	return list, nil
}

func quoted(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// queueDBT queues the results of the last build; a build that is known already
// changes nothing.
func queueDBT(batch *pgx.Batch, path string) error {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // nothing was built yet
	}
	if err != nil {
		return err
	}
	// docs.getdbt.com, "Run results JSON file".
	var results struct {
		Metadata struct {
			GeneratedAt  time.Time `json:"generated_at"`
			InvocationID string    `json:"invocation_id"`
		} `json:"metadata"`
		Results []struct {
			UniqueID string  `json:"unique_id"`
			Status   string  `json:"status"`
			Seconds  float64 `json:"execution_time"`
			Failures *int64  `json:"failures"`
		} `json:"results"`
	}
	if err := json.Unmarshal(text, &results); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if results.Metadata.InvocationID == "" {
		return fmt.Errorf("%s has no invocation_id: is it dbt's run_results.json?", path)
	}
	for _, r := range results.Results {
		kind, _, _ := strings.Cut(r.UniqueID, ".")
		var failures int64
		if r.Failures != nil {
			failures = *r.Failures
		}
		batch.Queue(`
			INSERT INTO ops.dbt_results (ended_at, invocation_id, node, kind, status, seconds, failures)
			VALUES ($1, $2, $3, $4, $5, $6, $7)
			ON CONFLICT DO NOTHING`,
			results.Metadata.GeneratedAt, results.Metadata.InvocationID, r.UniqueID, kind, r.Status, r.Seconds, failures)
	}
	return nil
}
