// Package viewer serves the generated dashboards as pages that only read: to people of
// the mesh, by their roles, without scripts.
package viewer

import (
	"errors"
	"fmt"
	"os"

	"github.com/datameesh/datameesh/platform/audit"
	"github.com/datameesh/datameesh/platform/render"
	"github.com/datameesh/datameesh/platform/report"
	"github.com/datameesh/datameesh/platform/topology"
)

// A Config says what to serve, where and to whom.
type Config struct {
	Listen     string // host:port
	Dashboards []render.Dashboard
	Sources    []report.Source
	Lookup     func(string) string // of the variables of Sources
	// People is a file of name:bcrypt:group:does lines, read at each log-in and request.
	People string
	// Grafana is the address of a Grafana that runs beside; empty without one.
	Grafana string
	// SMTP is host:port of the mailbox, empty for none; State keeps what was mailed.
	SMTP, State string
	Weekly      []topology.WeeklyReport
	// Audit is told of log-ins; without URL nobody is.
	Audit audit.Client
}

// FromEnv reads the configuration from the environment: VIEWER_ADDR, VIEWER_DASHBOARDS
// (the folder that package dashboards writes), VIEWER_PEOPLE, VIEWER_STATE, and if
// there are any GRAFANA_URL, SMTP_ADDRESS, AUDIT_URL and AUDIT_TOKEN; and the addresses and passwords of the
// data sources by the names that Grafana takes.
func FromEnv(lookup func(string) string) (Config, error) {
	c := Config{
		Listen: lookup("VIEWER_ADDR"), People: lookup("VIEWER_PEOPLE"), State: lookup("VIEWER_STATE"),
		Grafana: lookup("GRAFANA_URL"), SMTP: lookup("SMTP_ADDRESS"), Lookup: lookup, Weekly: topology.WeeklyReports,
		Audit: audit.Client{URL: lookup(audit.URLVariable), Token: lookup(audit.TokenVariable)},
	}
	var missing []error
	for _, name := range []string{"VIEWER_ADDR", "VIEWER_DASHBOARDS", "VIEWER_PEOPLE", "VIEWER_STATE"} {
		if lookup(name) == "" {
			missing = append(missing, fmt.Errorf("%s is not set; see platform/viewer/config.go", name))
		}
	}
	if len(missing) > 0 {
		return c, errors.Join(missing...)
	}
	folder := os.DirFS(lookup("VIEWER_DASHBOARDS"))
	var err error
	if c.Dashboards, err = render.Load(folder); err != nil {
		return c, fmt.Errorf("VIEWER_DASHBOARDS: %w", err)
	}
	if c.Sources, err = report.LoadSources(folder); err != nil {
		return c, fmt.Errorf("VIEWER_DASHBOARDS: %w", err)
	}
	return c, nil
}
