package local

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/datameesh/datameesh/platform/audit"
	"github.com/datameesh/datameesh/platform/secrets"
	"github.com/datameesh/datameesh/platform/state"
	"github.com/datameesh/datameesh/platform/supervise"
	"github.com/datameesh/datameesh/platform/topology"
)

const meshAudit = "mesh-audit"

// AuditDir is the folder of the audit record.
func AuditDir(d state.Dir) string { return d.Data(meshAudit) }

// AuditClient sends events to the audit record of the mesh.
func AuditClient(m state.Mesh, store *secrets.Store) (audit.Client, error) {
	token, err := store.AuditToken()
	return audit.Client{URL: "http://" + loopback(m.Port(topology.PortAuditSink)), Token: token}, err
}

// auditEnv tells a program where to send events; see audit.Client.
func (m *mesh) auditEnv() ([]string, error) {
	c, err := AuditClient(m.Mesh, m.store)
	return []string{audit.URLVariable + "=" + c.URL, audit.TokenVariable + "=" + c.Token}, err
}

// audit keeps the record of who did what. It waits for nobody: the record must
// not depend on what it tells of.
func (m *mesh) audit() (supervise.Spec, error) {
	s := m.spec(supervise.Server, meshAudit, m.program(meshAudit))
	address := loopback(m.Port(topology.PortAuditSink))
	s.URL = localhost(m.Port(topology.PortAuditSink))
	s.Ready = get(http.DefaultClient, "http://"+address+"/readyz")
	s.Alive = get(http.DefaultClient, "http://"+address+"/livez")

	config := audit.Config{Listen: address, Dir: AuditDir(m.dir), TrinoLog: m.dir.Log("trino")}
	for _, server := range topology.Servers {
		l := audit.ServerLog{Server: server.Name, File: m.dir.Log(server.Name)}
		for _, r := range server.Roles() {
			l.Roles = append(l.Roles, r.Name)
		}
		config.Logs = append(config.Logs, l)
	}
	for _, d := range Domains {
		if d.Logger != "" {
			continue
		}
		server, ok := topology.ServerNamed(d.Server)
		if !ok {
			return s, fmt.Errorf("no server %s in the topology", d.Server)
		}
		password, err := m.store.Role(server.Name, topology.RoleGrafana)
		if err != nil {
			return s, err
		}
		name := strings.ToUpper(d.Database) + "_PASSWORD"
		s.Env = append(s.Env, name+"="+password)
		config.RequestLogs = append(config.RequestLogs, audit.RequestLog{
			Database: d.Database, Address: loopback(m.Port(server.Port)), User: topology.RoleGrafana, PasswordEnv: name,
		})
	}
	if m.Tools.Grafana != nil {
		password, err := m.store.Role(platformDB, topology.RoleGrafanaOwner)
		if err != nil {
			return s, err
		}
		const name = "GRAFANA_PASSWORD"
		s.Env = append(s.Env, name+"="+password)
		config.Grafana = &audit.GrafanaDatabase{
			Database: topology.DatabaseGrafana, Address: loopback(m.Port(topology.PortPlatformDB)), User: topology.RoleGrafanaOwner, PasswordEnv: name,
		}
	}
	token, err := m.store.AuditToken()
	if err != nil {
		return s, err
	}
	key, err := m.store.AuditKey()
	if err != nil {
		return s, err
	}
	text, err := json.MarshalIndent(config, "", "  ")
	if err != nil {
		return s, err
	}
	file := filepath.Join(m.dir.Run(), meshAudit+".json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		return s, err
	}
	// The sum of the file stands in the environment, so that a change restarts it.
	s.Env = append(s.Env, audit.ConfigVariable+"="+file, fmt.Sprintf("AUDIT_CONFIGURATION=%x", sha256.Sum256(text)),
		audit.TokenVariable+"="+token, audit.KeyVariable+"="+key)
	return s, nil
}
