// Package report makes pages and printed reports of the generated dashboards: it runs
// their queries as they stand and writes HTML, PDF, PNG and CSV, and mails them.
package report

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/datameesh/datameesh/platform/panel"
)

// A Source is a database that panels read, by the file that provisions Grafana.
type Source struct {
	UID, Name      string
	User, Database string
	// Variables that hold the address (host:port) and the password.
	Address, Password string
}

// LoadSources reads the data sources of the folder of generated files.
func LoadSources(folder fs.FS) ([]Source, error) {
	const name = "provisioning/datasources/datameesh.yaml" // JSON, see package dashboards
	text, err := fs.ReadFile(folder, name)
	if err != nil {
		return nil, err
	}
	var f struct {
		Datasources []struct {
			UID      string `json:"uid"`
			Name     string `json:"name"`
			URL      string `json:"url"`
			User     string `json:"user"`
			Database string `json:"database"`
			Secure   struct {
				Password string `json:"password"`
			} `json:"secureJsonData"`
		} `json:"datasources"`
	}
	if err := json.Unmarshal(text, &f); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	variable := func(text string) string { return strings.TrimSuffix(strings.TrimPrefix(text, "${"), "}") }
	var list []Source
	for _, d := range f.Datasources {
		list = append(list, Source{d.UID, d.Name, d.User, d.Database, variable(d.URL), variable(d.Secure.Password)})
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%s: no data sources", name)
	}
	return list, nil
}

// Limits of what one reader can ask of a database.
const (
	queryTime   = 15 * time.Second
	connectTime = 3 * time.Second
	connections = 4 // to a database; Grafana has five
)

// A Set is the open data sources.
type Set struct {
	panel.Sources
	names map[string]string // by uid
	pools []*pgxpool.Pool
}

// Connect makes a pool for each source, without connecting yet: a database that is
// away concerns the panels that read it alone. The lookup gives the value of a
// variable of a Source. Sessions can only read, whatever the role may.
func Connect(ctx context.Context, sources []Source, lookup func(string) string) (*Set, error) {
	s := &Set{Sources: panel.Sources{}, names: map[string]string{}}
	for _, one := range sources {
		address, password := lookup(one.Address), lookup(one.Password)
		if address == "" || password == "" {
			s.Close()
			return nil, fmt.Errorf("data source %s: %s or %s is empty", one.UID, one.Address, one.Password)
		}
		u := url.URL{Scheme: "postgres", User: url.UserPassword(one.User, password), Host: address, Path: "/" + one.Database,
			RawQuery: url.Values{
				"sslmode": {"disable"}, "application_name": {"mesh-viewer"}, "connect_timeout": {fmt.Sprint(int(connectTime.Seconds()))},
				"default_transaction_read_only": {"on"}, "statement_timeout": {fmt.Sprint(queryTime.Milliseconds())}, "timezone": {"UTC"},
			}.Encode()}
		config, err := pgxpool.ParseConfig(u.String())
		if err != nil {
			s.Close()
			return nil, fmt.Errorf("data source %s: its address or password cannot be used", one.UID) // the error would hold the password
		}
		config.MaxConns, config.MinConns = connections, 0
		config.MaxConnIdleTime = time.Minute
		pool, err := pgxpool.NewWithConfig(ctx, config)
		if err != nil {
			s.Close()
			return nil, fmt.Errorf("data source %s: %w", one.UID, err)
		}
		s.pools = append(s.pools, pool)
		s.Sources[one.UID], s.names[one.UID] = pool, one.Name
	}
	return s, nil
}

// Close closes all connections.
func (s *Set) Close() {
	for _, p := range s.pools {
		p.Close()
	}
}

// Name is what people call the source.
func (s *Set) Name(uid string) string {
	if name := s.names[uid]; name != "" {
		return name
	}
	return uid
}

// An AsOf says up to when the data of a source reaches.
type AsOf struct {
	Source string // what people call it
	Text   string // "data up to 2026-11-23, built 2026-11-23 04:10 UTC"
	// Built is when it was computed; zero for live data.
	Built time.Time
}

// freshness are the questions that tell how fresh the data behind a query is, by the
// schema that it names. A query that names none reads live rows.
var freshness = []struct {
	source, schema, name string
	sql                  string // one row: as of, computed at
}{
	{"marts", "marts.", "Marts", `
		SELECT max(k.window_ends_on)::timestamptz, (SELECT max(r.ended_at) FROM ops.dbt_results AS r WHERE r.invocation_id = max(k.build_id))
		  FROM marts.mart_executive_kpis AS k`},
	{"marts", "ops.", "Platform figures", `
		SELECT max(at), max(at)
		  FROM ops.components`},
}

// asOf asks for the freshness of what the queries read, each source once.
func (s *Set) asOf(ctx context.Context, queries []panel.Query, now time.Time) []AsOf {
	ctx, cancel := context.WithTimeout(ctx, queryTime)
	defer cancel()
	var list []AsOf
	seen := map[string]bool{}
	for _, q := range queries {
		one := AsOf{Source: s.Name(q.Source), Text: "live, read " + stamp(now)}
		sql := ""
		for _, f := range freshness {
			if f.source == q.Source && strings.Contains(q.SQL, f.schema) {
				one.Source, sql = f.name, f.sql
				break
			}
		}
		if seen[one.Source] {
			continue
		}
		seen[one.Source] = true
		if sql != "" {
			t, err := s.Run(ctx, panel.Query{Source: q.Source, Format: "table", SQL: sql}, panel.View{})
			switch {
			case err != nil:
				one.Text = "cannot be asked how old it is"
			case len(t.Rows) != 1 || len(t.Columns) != 2 || t.Rows[0][0] == nil:
				one.Text = "nothing was computed yet"
			default:
				day, _ := t.Rows[0][0].(time.Time)
				built, known := t.Rows[0][1].(time.Time)
				switch {
				case known && built.Equal(day):
					one.Text, one.Built = "taken "+stamp(built), built
				case known:
					one.Text, one.Built = "data up to "+day.UTC().Format(time.DateOnly)+", computed "+stamp(built), built
				default:
					one.Text = "data up to " + day.UTC().Format(time.DateOnly)
				}
			}
		}
		list = append(list, one)
	}
	return list
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }

// ErrUnreachable tells that no database of a report could be asked.
var ErrUnreachable = errors.New("no data source of the dashboard can be reached")
