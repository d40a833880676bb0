package local

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/datameesh/datameesh/platform/jupyterhub"
	"github.com/datameesh/datameesh/platform/objectstore"
	"github.com/datameesh/datameesh/platform/secrets"
	"github.com/datameesh/datameesh/platform/state"
	"github.com/datameesh/datameesh/platform/supervise"
	"github.com/datameesh/datameesh/platform/topology"
)

// Components of the notebooks.
const (
	hub      = "jupyterhub"
	hubProxy = "jupyterhub-proxy"
)

// Limits of a person's notebook server.
const (
	notebookIdle    = time.Hour      // without use, it is stopped
	notebookLongest = 12 * time.Hour // so long it may run, and its token for Trino is good
	notebookMemory  = 2 << 30        // bytes that one process of it may take
)

// NotebookMark is what all processes of people's servers carry in the variable
// jupyterhub.ServerVariable, behind the person's name.
func NotebookMark(d state.Dir) string { return string(d) }

// notebooks lists the components of JupyterHub, if its programs are there.
func (m *mesh) notebooks() ([]supervise.Spec, error) {
	if m.Tools.Hub == "" {
		return nil, nil
	}
	var specs []supervise.Spec
	for _, part := range []func() (supervise.Spec, error){m.hubProxy, m.hub} {
		s, err := part()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.Name, err)
		}
		s.Group = Notebooks
		specs = append(specs, s)
	}
	return specs, nil
}

// hubProxy is where people come in. It knows by the hub who has a server, and
// leads people on while the hub is away.
func (m *mesh) hubProxy() (supervise.Spec, error) {
	page, api := m.Port(topology.PortHub), m.Port(topology.PortHubProxyAPI)
	s := m.spec(supervise.Server, hubProxy, filepath.Join(m.Tools.HubProxy, "bin", "configurable-http-proxy"),
		"--ip", "127.0.0.1", "--port", strconv.Itoa(page),
		"--api-ip", "127.0.0.1", "--api-port", strconv.Itoa(api),
		"--error-target", "http://"+loopback(m.Port(topology.PortHubAPI))+"/hub/error",
		"--log-level", "warn")
	_, token, err := m.store.Hub()
	s.Env = append(s.Env, "CONFIGPROXY_AUTH_TOKEN="+token)
	s.Ready = func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+loopback(api)+"/api/routes", nil)
		if err != nil {
			return err
		}
		req.Header.Set("Authorization", "token "+token)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		defer func() { _ = resp.Body.Close() }()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("%s answers %s", req.URL, resp.Status)
		}
		return nil
	}
	return s, err
}

func (m *mesh) hub() (supervise.Spec, error) {
	files := m.dir.JupyterHub()
	config := filepath.Join(files, jupyterhub.ConfigFile)
	s := m.spec(supervise.Server, hub, filepath.Join(m.Tools.Hub, "bin", "jupyterhub"), "--config", config)
	s.DependsOn = []string{hubProxy}
	s.URL = localhost(m.Port(topology.PortHub))
	s.Files = []string{config}
	s.StartTimeout = 3 * time.Minute // a small machine starts other things meanwhile
	s.StopGrace = 30 * time.Second
	// Through the proxy, as people come.
	s.Ready = get(http.DefaultClient, "http://"+loopback(m.Port(topology.PortHub))+"/hub/health")
	s.Alive = get(http.DefaultClient, "http://"+loopback(m.Port(topology.PortHubAPI))+"/hub/health")

	data := m.dir.Data(hub)
	if err := os.MkdirAll(data, 0o700); err != nil {
		return s, err
	}
	s.Dir = data
	accounts, key := filepath.Join(data, "accounts.json"), filepath.Join(data, "token-key.pem")
	notebooks := secrets.Notebooks{Databases: m.notebookDatabases()}
	if m.FirstUID != 0 {
		notebooks.FirstUID, notebooks.LastUID = m.FirstUID, m.FirstUID+topology.PersonUIDs-1
	}
	if _, err := m.store.WriteHubAccounts(accounts, notebooks); err != nil {
		return s, err
	}
	if err := m.store.WriteTokenKeys(key, ""); err != nil {
		return s, err
	}
	s.Files = append(s.Files, key)
	login := filepath.Join(data, "login.json")
	byOthers, err := m.store.WriteHubLogin(login)
	if err != nil {
		return s, err
	}
	if byOthers {
		s.Files = append(s.Files, login)
		s.Env = append(s.Env, "MESH_HUB_LOGIN="+login)
	}
	authority, err := m.publicAuthority()
	if err != nil {
		return s, err
	}
	cookies, proxy, err := m.store.Hub()
	if err != nil {
		return s, err
	}
	audit, err := m.auditEnv()
	if err != nil {
		return s, err
	}
	s.Env = append(append(s.Env, audit...),
		"LANG=C.UTF-8",
		"JPY_COOKIE_SECRET="+cookies,
		"CONFIGPROXY_AUTH_TOKEN="+proxy,
		"MESH_HUB_SPAWNER=process",
		"MESH_HUB_STATE="+data,
		"MESH_HUB_ACCOUNTS="+accounts,
		"MESH_HUB_TOKEN_KEY="+key,
		"MESH_HUB_URL=http://"+loopback(m.Port(topology.PortHub))+"/",
		"MESH_HUB_API_URL=http://"+loopback(m.Port(topology.PortHubAPI)),
		"MESH_HUB_PROXY_URL=http://"+loopback(m.Port(topology.PortHubProxyAPI)),
		fmt.Sprintf("MESH_HUB_IDLE=%d", int(notebookIdle.Seconds())),
		fmt.Sprintf("MESH_HUB_LONGEST=%d", int(notebookLongest.Seconds())),
		"MESH_HUB_FILES="+files,
		"MESH_HUB_HOMES="+m.dir.Homes(),
		"MESH_HUB_SPAWN="+m.Tools.HubSpawn,
		"MESH_HUB_MARK="+NotebookMark(m.dir),
		"MESH_NOTEBOOK_ENVIRONMENT="+m.Tools.Notebook,
		"MESH_DBT_ENVIRONMENT="+m.Tools.DBT,
		fmt.Sprintf("MESH_NOTEBOOK_MEMORY=%d", notebookMemory),
		// What people's servers get to know:
		"MESH_SERVER_TRINO_HOST=localhost",
		fmt.Sprintf("MESH_SERVER_TRINO_PORT=%d", m.Port(topology.PortTrino)),
		"MESH_SERVER_TRINO_CA="+authority,
		"MESH_SERVER_AWS_ENDPOINT_URL_S3=http://"+loopback(m.Port(topology.PortObjectStore)),
		"MESH_SERVER_AWS_DEFAULT_REGION="+objectstore.Region,
		"MESH_SERVER_MESH_NOTEBOOKS="+jupyterhub.Notebooks(files),
		"MESH_SERVER_MESH_DBT_PROJECT="+m.dir.Project())
	return s, nil
}

// publicAuthority is the certificate that Trino's is signed by, where people's
// servers can read it: the secrets are closed to them.
func (m *mesh) publicAuthority() (string, error) {
	ca, err := m.store.CA()
	if err != nil {
		return "", err
	}
	path := filepath.Join(m.dir.Homes(), "ca.pem") // no person can be called so
	if have, err := os.ReadFile(path); err == nil && string(have) == string(ca) {
		return path, nil
	}
	if err := os.WriteFile(path, ca, 0o644); err != nil {
		return "", err
	}
	return path, os.Chmod(path, 0o644) // whatever the umask
}

// notebookDatabases are those that people's own log-ins open.
func (m *mesh) notebookDatabases() []secrets.NotebookDatabase {
	var all []secrets.NotebookDatabase
	for _, server := range topology.Servers {
		for _, d := range server.Databases {
			if slices.Contains(d.Readers(), topology.RoleNotebook) {
				all = append(all, secrets.NotebookDatabase{
					Name: cmp.Or(d.Catalog, d.Name), Server: server.Name, Host: "127.0.0.1", Port: m.Port(server.Port), Database: d.Name,
				})
			}
		}
	}
	return all
}
