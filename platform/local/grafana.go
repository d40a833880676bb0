package local

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/datameesh/datameesh/platform/grafana"
	"github.com/datameesh/datameesh/platform/secrets"
	"github.com/datameesh/datameesh/platform/state"
	"github.com/datameesh/datameesh/platform/supervise"
	"github.com/datameesh/datameesh/platform/topology"
)

// Components of the dashboards.
const (
	mailbox       = "mailbox"
	grafanaServer = "grafana"
	grafanaPeople = "grafana-people"
)

// grafanaSources are the servers behind the data sources of the dashboards, by
// the prefix of the variables that these read.
var grafanaSources = []struct{ name, server string }{
	{"SALES_DB", "sales-db"}, {"MARKETING_DB", "marketing-db"}, {"SALES_API_DB", "sales-api-db"}, {"MARTS", platformDB},
}

// pages lists the components of the dashboards that there are programs for.
func (m *mesh) pages() ([]supervise.Spec, error) {
	var specs []supervise.Spec
	if m.Tools.Mailbox != "" {
		s, err := m.mailbox()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.Name, err)
		}
		specs = append(specs, s)
	}
	if m.Tools.Grafana != nil {
		for _, part := range []func() (supervise.Spec, error){m.grafana, m.grafanaPeople} {
			s, err := part()
			if err != nil {
				return nil, fmt.Errorf("%s: %w", s.Name, err)
			}
			specs = append(specs, s)
		}
	}
	s, err := m.viewer()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.Name, err)
	}
	specs = append(specs, s)
	for i := range specs {
		specs[i].Group = Pages
	}
	return specs, nil
}

// MailboxSwitches limit what the mailbox keeps, and what it asks for outside:
// nothing that a mail brings along, nor who sends, nor updates.
var MailboxSwitches = []string{"--max=1000", "--disable-version-check", "--block-remote-css-and-fonts", "--smtp-disable-rdns"}

// mailbox keeps whatever is mailed inside the mesh; it sends nothing on.
func (m *mesh) mailbox() (supervise.Spec, error) {
	data := m.dir.Data(mailbox)
	page := loopback(m.Port(topology.PortMailbox))
	s := m.spec(supervise.Server, mailbox, filepath.Join(m.Tools.Mailbox, "bin", "mailpit"),
		append([]string{"--listen", page, "--smtp", loopback(m.Port(topology.PortMailboxSMTP)), "--database", filepath.Join(data, "mail.db")}, MailboxSwitches...)...)
	s.URL = localhost(m.Port(topology.PortMailbox))
	s.Ready = get(http.DefaultClient, "http://"+page+"/readyz")
	s.Alive = get(http.DefaultClient, "http://"+page+"/livez")
	return s, os.MkdirAll(data, 0o700)
}

// grafana waits for its own database only: a data source that is away shows in
// the panels that read it.
func (m *mesh) grafana() (supervise.Spec, error) {
	s := m.spec(supervise.Server, grafanaServer, "")
	s.DependsOn = []string{platformDB, bootstrapTask(topology.Server{Name: platformDB})}
	s.URL = localhost(m.Port(topology.PortGrafana))
	found := m.Tools.Grafana
	config := grafana.Config{
		Installation: grafana.Installation{Home: found.Home, Program: found.Program, Version: found.Version},
		Dir:          m.dir.Data(grafanaServer), Dashboards: m.dir.Dashboards(),
		Address: "127.0.0.1", Port: m.Port(topology.PortGrafana), URL: s.URL,
		DatabaseAddress: loopback(m.Port(topology.PortPlatformDB)),
		SMTPAddress:     loopback(m.Port(topology.PortMailboxSMTP)),
		AlertMail:       grafana.AlertMail,
	}
	var err error
	if config.DatabasePassword, err = m.store.Role(platformDB, topology.RoleGrafanaOwner); err != nil {
		return s, err
	}
	if config.AdminPassword, config.SecretKey, err = m.store.Grafana(); err != nil {
		return s, err
	}
	for _, source := range grafanaSources {
		server, ok := topology.ServerNamed(source.server)
		if !ok {
			return s, fmt.Errorf("no server %s in the topology", source.server)
		}
		password, err := m.store.Role(server.Name, topology.RoleGrafana)
		if err != nil {
			return s, err
		}
		config.Sources = append(config.Sources, grafana.Source{Name: source.name, Address: loopback(m.Port(server.Port)), Password: password})
	}
	command, err := config.Command()
	s.Path, s.Args, s.Files = command.Path, command.Args, command.Files
	s.Env = append(s.Env, command.Env...)
	s.Ready = get(http.DefaultClient, "http://"+loopback(m.Port(topology.PortGrafana))+"/api/health")
	s.Alive = get(http.DefaultClient, "http://"+loopback(m.Port(topology.PortGrafana))+"/healthz")
	s.StartTimeout = 5 * time.Minute // the first time it makes its tables
	s.StopGrace = 30 * time.Second
	return s, err
}

// grafanaPeople makes the people known to Grafana.
func (m *mesh) grafanaPeople() (supervise.Spec, error) {
	s := m.spec(supervise.Task, grafanaPeople, m.program("meesh"), grafanaPeople)
	s.DependsOn = []string{grafanaServer}
	people, _, err := GrafanaPeople(m.store)
	sum := sha256.New()
	for _, p := range people {
		fmt.Fprintf(sum, "%q %q %q %q\n", p.Login, p.Mail, p.Password, p.Role)
	}
	// Read by nobody, but runs the task again when somebody changes.
	s.Env = append(s.Env, state.HomeVariable+"="+string(m.dir), "GRAFANA_PEOPLE="+hex.EncodeToString(sum.Sum(nil)))
	return s, err
}

// GrafanaAdmin asks Grafana as the account that makes the others.
func GrafanaAdmin(m state.Mesh, store *secrets.Store) (grafana.Client, error) {
	password, _, err := store.Grafana()
	return grafana.Client{URL: "http://" + loopback(m.Port(topology.PortGrafana)), Login: grafana.Admin, Password: password}, err
}

// GrafanaPeople are those who can log in to Grafana, with the passwords that
// they have everywhere, and those who cannot any more.
func GrafanaPeople(store *secrets.Store) (people []grafana.Person, gone []string, err error) {
	all, err := store.People()
	if err != nil {
		return nil, nil, err
	}
	left, err := store.Gone()
	if err != nil {
		return nil, nil, err
	}
	people, gone, err = grafana.People(all, store.Person)
	return people, append(left, gone...), err
}
