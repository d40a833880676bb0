package local

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/datameesh/datameesh/platform/secrets"
	"github.com/datameesh/datameesh/platform/state"
	"github.com/datameesh/datameesh/platform/supervise"
	"github.com/datameesh/datameesh/platform/topology"
)

const meshViewer = "mesh-viewer"

// ViewerPort is where the built-in viewer listens: in Grafana's place when there is
// none, else beside it.
func ViewerPort(m state.Mesh) int {
	if m.Tools.Grafana == nil {
		return m.Port(topology.PortGrafana)
	}
	return m.Port(topology.PortViewer)
}

// viewer waits for nobody: a database that is away shows in the panels that read it.
func (m *mesh) viewer() (supervise.Spec, error) {
	s := m.spec(supervise.Server, meshViewer, m.program(meshViewer))
	address := loopback(ViewerPort(m.Mesh))
	s.URL = localhost(ViewerPort(m.Mesh))
	s.Ready = get(http.DefaultClient, "http://"+address+"/readyz")
	s.Alive = get(http.DefaultClient, "http://"+address+"/livez")
	s.StopGrace = 15 * time.Second
	data := m.dir.Data(meshViewer)
	people := filepath.Join(m.dir.Secrets(), "password-hashes", meshViewer)
	if _, err := m.store.WriteViewerPeople(people); err != nil {
		return s, err
	}
	s.Env = append(s.Env, "VIEWER_ADDR="+address, "VIEWER_DASHBOARDS="+m.dir.Dashboards(), "VIEWER_PEOPLE="+people, "VIEWER_STATE="+data)
	if m.Tools.Grafana != nil {
		s.Env = append(s.Env, "GRAFANA_URL="+localhost(m.Port(topology.PortGrafana)))
	}
	if m.Tools.Mailbox != "" {
		s.Env = append(s.Env, "SMTP_ADDRESS="+SMTPAddress(m.Mesh))
	}
	lookup, err := DashboardSources(m.Mesh, m.store)
	if err != nil {
		return s, err
	}
	for _, source := range grafanaSources {
		for _, name := range []string{source.name + "_ADDRESS", source.name + "_PASSWORD"} {
			s.Env = append(s.Env, name+"="+lookup(name))
		}
	}
	tells, err := m.auditEnv()
	if err != nil {
		return s, err
	}
	s.Env = append(s.Env, tells...)
	// Read by nobody, but a change of a dashboard restarts it.
	sum, err := sumOf(m.dir.Dashboards())
	if err != nil {
		return s, err
	}
	s.Env = append(s.Env, "VIEWER_CONFIGURATION="+sum)
	return s, os.MkdirAll(data, 0o700)
}

// SMTPAddress is where the mesh takes mail.
func SMTPAddress(m state.Mesh) string { return loopback(m.Port(topology.PortMailboxSMTP)) }

// DashboardSources gives the values of the variables that the dashboards' data sources
// read: where their databases are, and the password of the role that reads them.
func DashboardSources(m state.Mesh, store *secrets.Store) (lookup func(name string) string, err error) {
	values := map[string]string{}
	for _, source := range grafanaSources {
		server, ok := topology.ServerNamed(source.server)
		if !ok {
			return nil, fmt.Errorf("no server %s in the topology", source.server)
		}
		values[source.name+"_ADDRESS"] = loopback(m.Port(server.Port))
		if values[source.name+"_PASSWORD"], err = store.Role(server.Name, topology.RoleGrafana); err != nil {
			return nil, err
		}
	}
	return func(name string) string { return values[name] }, nil
}

// sumOf is a checksum of the folder's files, names and contents.
func sumOf(folder string) (string, error) {
	sum := sha256.New()
	root := os.DirFS(folder)
	err := walkFiles(root, func(name string, content []byte) {
		fmt.Fprintf(sum, "%s %d\n", name, len(content))
		sum.Write(content)
	})
	return fmt.Sprintf("%x", sum.Sum(nil)), err
}

// walkFiles gives all files of the folder in the order of their names; none when the
// folder is not there.
func walkFiles(root fs.FS, each func(name string, content []byte)) error {
	err := fs.WalkDir(root, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := fs.ReadFile(root, name)
		each(name, content)
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
