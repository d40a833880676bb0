package audit

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
)

// A Config says where events come from. It holds no secret.
type Config struct {
	Listen string `json:"listen"` // host:port
	Dir    string `json:"dir"`    // of the record
	// Logs of PostgreSQL servers, and databases with the request logs of services.
	Logs        []ServerLog  `json:"logs"`
	RequestLogs []RequestLog `json:"request_logs"`
	// TrinoLog says which events Trino could not send, and which log-ins it
	// refused; empty for none.
	TrinoLog string `json:"trino_log,omitempty"`
	// Grafana's database; nil where none runs.
	Grafana *GrafanaDatabase `json:"grafana,omitempty"`
}

// A RequestLog is a database with the table api_logs.
type RequestLog struct {
	Database    string `json:"database"`
	Address     string `json:"address"` // host:port
	User        string `json:"user"`
	PasswordEnv string `json:"password_env"` // environment variable that holds the password
}

// Names of further environment variables of mesh-audit.
const (
	ConfigVariable = "AUDIT_CONFIG"
	KeyVariable    = "AUDIT_KEY" // of the codes in the record
)

// Load reads the file that AUDIT_CONFIG names, and the secrets.
func Load() (c Config, token, key string, err error) {
	path := os.Getenv(ConfigVariable)
	if path == "" {
		return c, "", "", errors.New("AUDIT_CONFIG is not set: name a file of JSON, see platform/audit/config.go")
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return c, "", "", fmt.Errorf("AUDIT_CONFIG: %w", err)
	}
	if err := json.Unmarshal(text, &c); err != nil {
		return c, "", "", fmt.Errorf("AUDIT_CONFIG %s: %w", path, err)
	}
	var missing []error
	need := func(ok bool, format string, args ...any) {
		if !ok {
			missing = append(missing, fmt.Errorf(format, args...))
		}
	}
	token, key = os.Getenv(TokenVariable), os.Getenv(KeyVariable)
	need(token != "", "%s is not set: what senders of events show", TokenVariable)
	need(key != "", "%s is not set: what the codes in the record are made with", KeyVariable)
	need(c.Listen != "", "AUDIT_CONFIG %s: listen is missing", path)
	need(c.Dir != "", "AUDIT_CONFIG %s: dir is missing", path)
	for _, l := range c.Logs {
		need(l.Server != "" && l.File != "", "AUDIT_CONFIG %s: a log lacks server or file", path)
	}
	databases := c.RequestLogs
	if c.Grafana != nil {
		databases = append(databases[:len(databases):len(databases)], RequestLog(*c.Grafana))
	}
	for _, l := range databases {
		need(l.Database != "" && l.Address != "" && l.User != "", "AUDIT_CONFIG %s: a database lacks its name, address or user", path)
		need(os.Getenv(l.PasswordEnv) != "", "%s: the environment variable %q, which holds its password, is empty", l.Database, l.PasswordEnv)
	}
	return c, token, key, errors.Join(missing...)
}
