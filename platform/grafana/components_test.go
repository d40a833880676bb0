package grafana_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/datameesh/datameesh/platform/grafana"
	"github.com/datameesh/datameesh/platform/local"
	"github.com/datameesh/datameesh/platform/secrets"
	"github.com/datameesh/datameesh/platform/state"
	"github.com/datameesh/datameesh/platform/supervise"
	"github.com/datameesh/datameesh/platform/topology"
)

// fullMesh has a mailbox and a Grafana.
func fullMesh(t *testing.T, version string) (state.Dir, state.Mesh, *secrets.Store, map[string]supervise.Spec) {
	t.Helper()
	d := state.Dir(t.TempDir())
	for _, dir := range []string{d.Run(), d.TLS(), d.Trino(), filepath.Dir(d.Data("x"))} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	m := state.Mesh{PortOffset: -7000, Profile: state.ProfileFull, ObjectStore: "versitygw", Tools: state.Tools{Mailbox: "/cache/mailpit-1"}}
	program := "/opt/grafana/bin/grafana"
	if strings.HasPrefix(version, "9.3") {
		program += "-server"
	}
	m.Tools.Grafana = &state.Grafana{Home: "/opt/grafana", Program: program, Version: version}
	if err := grafana.CopyDashboards(d.Dashboards(), "../../dashboards/json", grafana.Installation{Version: version}.SourceType()); err != nil {
		t.Fatal(err)
	}
	store, _, err := secrets.Ensure(d.Secrets(), "")
	if err != nil {
		t.Fatal(err)
	}
	specs, err := local.Components(d, m, store, func(context.Context) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	byName := map[string]supervise.Spec{}
	for _, s := range specs {
		byName[s.Name] = s
	}
	return d, m, store, byName
}

var placeholder = regexp.MustCompile(`\$\{(\w+)\}`)

// Whatever the generated files and grafana.ini read from the environment is there.
func TestGrafanaGetsEveryVariable(t *testing.T) {
	_, _, _, byName := fullMesh(t, "12.4.11")
	spec := byName["grafana"]
	env := map[string]string{}
	for _, v := range spec.Env {
		name, value, _ := strings.Cut(v, "=")
		env[name] = value
	}
	used := map[string]bool{}
	for _, file := range spec.Files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		pattern := placeholder
		if filepath.Base(file) == "grafana.ini" {
			pattern = regexp.MustCompile(`\$__env\{(\w+)\}`)
		}
		for _, found := range pattern.FindAllStringSubmatch(string(text), -1) {
			used[found[1]] = true
			if env[found[1]] == "" {
				t.Errorf("%s reads %s, which is not set", filepath.Base(file), found[1])
			}
		}
		for name, value := range env {
			if strings.HasSuffix(name, "PASSWORD") && strings.Contains(string(text), value) {
				t.Errorf("%s holds the value of %s", file, name)
			}
		}
	}
	if len(used) < 20 || len(spec.Files) != 5 {
		t.Errorf("%d variables are read by %d files: something was not looked at", len(used), len(spec.Files))
	}
	for _, unused := range []string{"PATH", "HOME", "TZ"} { // the process's own
		delete(env, unused)
	}
	for name := range env {
		if !used[name] {
			t.Errorf("%s is set, but nothing reads it", name)
		}
	}
	for _, argument := range spec.Args {
		if strings.Contains(argument, env["GRAFANA_ADMIN_PASSWORD"]) {
			t.Errorf("a password for everybody to see: %s", argument)
		}
	}
}

func TestGrafanaAndMailboxAreComponents(t *testing.T) {
	d, m, _, byName := fullMesh(t, "12.4.11")
	for name, needs := range map[string][]string{"mailbox": nil, "grafana": {"platform-db", "platform-db-roles"}, "grafana-people": {"grafana"}} {
		s, ok := byName[name]
		if !ok || s.Group != local.Pages || !slices.Equal(s.DependsOn, needs) {
			t.Errorf("%s: there %t, group %s, depends on %v, want %v", name, ok, s.Group, s.DependsOn, needs)
		}
	}
	if s := byName["grafana"]; s.Path != "/opt/grafana/bin/grafana" || s.Args[0] != "server" || s.URL != fmt.Sprintf("http://localhost:%d", m.Port(topology.PortGrafana)) {
		t.Errorf("grafana is run as %s %v on %s", s.Path, s.Args, s.URL)
	}
	for _, argument := range []string{fmt.Sprintf("127.0.0.1:%d", m.Port(topology.PortMailbox)), fmt.Sprintf("127.0.0.1:%d", m.Port(topology.PortMailboxSMTP)), filepath.Join(d.Data("mailbox"), "mail.db")} {
		if !slices.Contains(byName["mailbox"].Args, argument) {
			t.Errorf("the mailbox lacks %s: %v", argument, byName["mailbox"].Args)
		}
	}
	for name, port := range map[string]int{"mailbox": topology.PortMailboxSMTP, "grafana": topology.PortGrafana} {
		if got := local.Ports(m)[m.Port(port)]; got != name {
			t.Errorf("port %d is of %q, want %s", port, got, name)
		}
	}
	if n := len(local.Ports(m)); n != 15+5+4+3+1 {
		t.Errorf("%d ports; the topology has 15 of the core, 5 of the lake, 4 of the pages, 3 of JupyterHub, 1 of the audit record", n)
	}
	// The built-in viewer stands beside a Grafana, and in its place without one.
	if s := byName["mesh-viewer"]; s.URL != fmt.Sprintf("http://localhost:%d", m.Port(topology.PortViewer)) || !slices.Contains(s.Env, fmt.Sprintf("GRAFANA_URL=http://localhost:%d", m.Port(topology.PortGrafana))) {
		t.Errorf("the viewer is on %s", s.URL)
	}
	m.Tools.Grafana, m.Tools.Mailbox = nil, ""
	store, err := secrets.Open(d.Secrets())
	if err != nil {
		t.Fatal(err)
	}
	specs, err := local.Components(d, m, store, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range specs {
		if s.Group == local.Pages && s.Name != "mesh-viewer" {
			t.Errorf("%s without its program", s.Name)
		}
		if s.Name == "mesh-viewer" && s.URL != fmt.Sprintf("http://localhost:%d", m.Port(topology.PortGrafana)) {
			t.Errorf("without a Grafana the viewer is on %s", s.URL)
		}
	}
	if got := local.Ports(m)[m.Port(topology.PortGrafana)]; got != "mesh-viewer" {
		t.Errorf("without a Grafana its port is of %q", got)
	}
}

// Servers before 10.2.3 know the PostgreSQL plugin by another id, and those before 9.4
// are another program.
func TestOldGrafanaGetsItsOwnIds(t *testing.T) {
	d, _, _, byName := fullMesh(t, "9.3.2")
	if s := byName["grafana"]; s.Args[0] != "--homepath" {
		t.Errorf("grafana-server is run with %v", s.Args)
	}
	text, err := os.ReadFile(filepath.Join(d.Dashboards(), "provisioning", "datasources", "datameesh.yaml"))
	if err != nil || strings.Contains(string(text), "grafana-postgresql-datasource") || strings.Count(string(text), `"type": "postgres"`) != 4 {
		t.Errorf("%v\n%s", err, text)
	}
}

func TestPeopleOfGrafana(t *testing.T) {
	dir := t.TempDir()
	store, _, err := secrets.Ensure(filepath.Join(dir, "secrets"), "")
	if err != nil {
		t.Fatal(err)
	}
	people, gone, err := local.GrafanaPeople(store)
	if err != nil || !slices.Equal(gone, []string{"admin"}) {
		t.Errorf("gone %v %v", gone, err)
	}
	// Written by hand.
	want := map[string]string{"alex": "Viewer", "sarah": "Editor", "mike": "Admin", "emma": "Viewer", "sam": "Viewer", "mia": "Viewer"}
	for _, p := range people {
		if p.Role != want[p.Login] || p.Mail != p.Login+"@datameesh.example" || p.Password == "" || (p.Folder != "") != (p.Login == "sarah") {
			t.Errorf("%s: role %s, mail %s, folder %q", p.Login, p.Role, p.Mail, p.Folder)
		}
	}
	if len(people) != len(want) {
		t.Errorf("%d people, want %d", len(people), len(want))
	}
	if store, _, err = secrets.Ensure(filepath.Join(dir, "secrets"), "chosen by somebody"); err != nil {
		t.Fatal(err)
	}
	people, gone, err = local.GrafanaPeople(store)
	if err != nil || len(gone) > 0 || len(people) != len(want)+1 || people[len(people)-1].Role != "Admin" {
		t.Errorf("with the person admin: %d people, gone %v, %v", len(people), gone, err)
	}
}
