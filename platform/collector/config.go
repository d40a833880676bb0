// Package collector writes figures of the platform into the schema ops, which dashboards read.
package collector

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"
)

// Every is how often the figures are taken, Keep how long they stay.
const (
	Every = time.Minute
	Keep  = 30 * 24 * time.Hour
)

// A Config says what to look at. It holds no password: each is named by the
// environment variable that holds it.
type Config struct {
	Listen     string      `json:"listen"` // host:port of /livez and /readyz
	Target     Connection  `json:"target"` // where the figures go
	Components []Component `json:"components"`
	Databases  []Database  `json:"databases"`
	Trino      Trino       `json:"trino"`
	// DBTResults is the run_results.json of the last build; empty for none.
	DBTResults string `json:"dbt_results"`
}

// A Component is up when its URL answers with 200.
type Component struct {
	Name string `json:"name"`
	URL  string `json:"url"`
}

// A Connection to PostgreSQL.
type Connection struct {
	Address     string `json:"address"` // host:port
	Database    string `json:"database"`
	User        string `json:"user"`
	PasswordEnv string `json:"password_env"`
}

// A Database whose size is watched.
type Database struct {
	Server string `json:"server"` // component name
	Limit  int64  `json:"limit"`  // bytes of its volume
	Connection
}

// Trino is asked for its queries and the tables of the lake.
type Trino struct {
	Address     string `json:"address"` // host:port, https
	User        string `json:"user"`
	PasswordEnv string `json:"password_env"`
	CAFile      string `json:"ca_file"`
	Lake        string `json:"lake"` // Iceberg catalog; empty for none
}

// Load reads the file that COLLECTOR_CONFIG names.
func Load(path string) (Config, error) {
	if path == "" {
		return Config{}, errors.New("COLLECTOR_CONFIG is not set: name a file of JSON, see platform/collector/config.go")
	}
	var c Config
	text, err := os.ReadFile(path)
	if err != nil {
		return c, fmt.Errorf("COLLECTOR_CONFIG: %w", err)
	}
	if err := json.Unmarshal(text, &c); err != nil {
		return c, fmt.Errorf("COLLECTOR_CONFIG %s: %w", path, err)
	}
	var missing []error
	need := func(ok bool, format string, args ...any) {
		if !ok {
			missing = append(missing, fmt.Errorf("COLLECTOR_CONFIG %s: "+format, append([]any{path}, args...)...))
		}
	}
	need(c.Listen != "", "listen is missing")
	need(len(c.Components)+len(c.Databases) > 0, "nothing to look at: components and databases are empty")
	for _, d := range append([]Database{{Server: "target", Limit: 1, Connection: c.Target}}, c.Databases...) {
		need(d.Address != "" && d.Database != "" && d.User != "", "%s lacks address, database or user", d.Server)
		need(os.Getenv(d.PasswordEnv) != "", "%s: the environment variable %q, which holds its password, is empty", d.Server, d.PasswordEnv)
		need(d.Limit > 0, "%s has no limit", d.Server)
	}
	if c.Trino.Address != "" {
		need(os.Getenv(c.Trino.PasswordEnv) != "", "trino: the environment variable %q, which holds its password, is empty", c.Trino.PasswordEnv)
	}
	return c, errors.Join(missing...)
}
