// Package state is the folder in which one mesh keeps everything it must not lose.
package state

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// HomeVariable names the environment variable that, when set, says where the
// folder is.
const HomeVariable = "MEESH_HOME"

// RootParent holds the state folders of meshes started by root: the account
// that the servers run under must reach them, also when the clone lies in a
// folder that others cannot enter.
const RootParent = "/var/lib/datameesh"

// A Dir is the state folder of one mesh, an absolute path.
//
// The folder itself, Bin, Project, Dashboards and JupyterHub belong to who ran "meesh up"; the other folders
// belong to the account of the servers. So root never writes where the
// servers' account could have planted a link.
type Dir string

// Secrets holds passwords, API keys and the local CA.
func (d Dir) Secrets() string { return filepath.Join(string(d), "secrets") }

// Run holds locks, the control socket and the records of running processes.
func (d Dir) Run() string { return filepath.Join(string(d), "run") }

// Logs holds one log file per component.
func (d Dir) Logs() string { return filepath.Join(string(d), "logs") }

// Log is the log file of a component.
func (d Dir) Log(component string) string { return filepath.Join(d.Logs(), component+".log") }

// Bin holds the copies of our programs that run.
func (d Dir) Bin() string { return filepath.Join(string(d), "bin") }

// Data is the data folder of a component.
func (d Dir) Data(component string) string { return filepath.Join(string(d), "data", component) }

// TLS holds what the servers show to their clients.
func (d Dir) TLS() string { return filepath.Join(string(d), "tls") }

// Trino holds Trino's configuration and its working files.
func (d Dir) Trino() string { return filepath.Join(string(d), "trino") }

// Project is the dbt project that the servers' account runs; like Bin it belongs
// to who ran "meesh up".
func (d Dir) Project() string { return filepath.Join(string(d), "project") }

// DBT holds what dbt writes: results, logs, documents.
func (d Dir) DBT() string { return filepath.Join(string(d), "dbt") }

// Dashboards holds the generated dashboards and what provisions them; like Bin it
// belongs to who ran "meesh up".
func (d Dir) Dashboards() string { return filepath.Join(string(d), "dashboards") }

// JupyterHub holds the hub's configuration and the notebooks that everybody is
// shown; like Bin it belongs to who ran "meesh up".
func (d Dir) JupyterHub() string { return filepath.Join(string(d), "jupyterhub") }

// Homes holds the people's home folders. Others may pass it and not look into
// it: under root each person's server runs as a user of its own.
func (d Dir) Homes() string { return filepath.Join(string(d), "homes") }

// MeshFile is the file that Load reads.
func (d Dir) MeshFile() string { return filepath.Join(string(d), "mesh.json") }

// Exists tells whether a mesh was ever started here.
func (d Dir) Exists() bool {
	_, err := os.Stat(d.MeshFile())
	return err == nil
}

// ErrNoMesh tells that no mesh was ever started in a folder.
var ErrNoMesh = errors.New("no mesh has been started here; start one with: meesh up")

// A Mesh is what was decided when the mesh was started, and holds until it is
// removed or seeded anew.
type Mesh struct {
	PortOffset int    `json:"portOffset"`
	Profile    string `json:"profile"` // ProfileCore or ProfileFull
	AsOf       string `json:"asOf"`    // YYYY-MM-DD
	Scale      string `json:"scale"`   // "small", "demo", "load"
	Seed       int64  `json:"seed"`
	// ObjectStore is the kind of the object store, see objectstore.Kind; empty
	// while the mesh has none. What one kind wrote another cannot read.
	ObjectStore string `json:"objectStore,omitempty"`
	// TrinoWorkers is the number of Trino's nodes beside the coordinator.
	TrinoWorkers int `json:"trinoWorkers,omitempty"`
	// Refresh is how often the marts are built anew while the mesh runs, as
	// time.ParseDuration reads it; empty for never.
	Refresh string `json:"refresh,omitempty"`
	// Sources are Trino's catalogs beside the mesh's own, see "meesh source".
	Sources []Source `json:"sources,omitempty"`
	// FirstUID is the first of the user ids of the people, in a mesh of root's.
	FirstUID int   `json:"firstUid,omitempty"`
	Tools    Tools `json:"tools"`
}

// A Source is a catalog of Trino that somebody added: a PostgreSQL database, or
// a prefix of the lake's bucket.
type Source struct {
	Name     string          `json:"name"`
	Postgres *PostgresSource `json:"postgres,omitempty"`
	Prefix   string          `json:"prefix,omitempty"` // ends in a slash
	// Groups that read it, beside engineers.
	Groups []string `json:"groups,omitempty"`
}

// A PostgresSource is where a database is and who reads it. The password is a secret.
type PostgresSource struct {
	Address  string `json:"address"` // host:port
	Database string `json:"database"`
	User     string `json:"user"`
	SSLMode  string `json:"sslMode"` // disable, prefer or require
}

// Profiles say what a mesh consists of.
const (
	ProfileCore = "core" // services, databases, Trino on them
	ProfileFull = "full" // and the data lake
)

// Lake tells whether the mesh has a data lake.
func (m Mesh) Lake() bool { return m.Profile == ProfileFull }

// Tools says where the third-party programs lie; empty while not fetched.
type Tools struct {
	PostgreSQL string `json:"postgresql,omitempty"` // holds bin/postgres
	Java       string `json:"java,omitempty"`       // JAVA_HOME
	Trino      string `json:"trino,omitempty"`      // holds bin/launcher

	ObjectStore        string `json:"objectStore,omitempty"`        // holds bin/versitygw or bin/minio
	Metastore          string `json:"metastore,omitempty"`          // holds lib and scripts
	MetastoreLibraries string `json:"metastoreLibraries,omitempty"` // jars
	MetastoreJava      string `json:"metastoreJava,omitempty"`      // JAVA_HOME of the metastore

	DBT string `json:"dbt,omitempty"` // holds bin/dbt

	Hub      string `json:"hub,omitempty"`      // holds bin/jupyterhub
	HubProxy string `json:"hubProxy,omitempty"` // holds bin/configurable-http-proxy
	Notebook string `json:"notebook,omitempty"` // holds bin/python of the people's servers
	// HubSpawn is the program that starts people's servers as users of their own;
	// empty for a mesh that was not started by root.
	HubSpawn string `json:"hubSpawn,omitempty"`

	Mailbox string   `json:"mailbox,omitempty"` // holds bin/mailpit
	Grafana *Grafana `json:"grafana,omitempty"`
}

// Grafana is one that was found on this machine, or installed.
type Grafana struct {
	Home    string `json:"home"`    // holds public and conf
	Program string `json:"program"` // grafana, or grafana-server before 9.4
	Version string `json:"version"` // "12.4.11"
}

// Port is where this mesh has what the topology puts on port n.
func (m Mesh) Port(n int) int { return n + m.PortOffset }

// Load reads the decisions of the mesh in d; ErrNoMesh when there is none.
func Load(d Dir) (Mesh, error) {
	b, err := os.ReadFile(d.MeshFile())
	if errors.Is(err, fs.ErrNotExist) {
		return Mesh{}, fmt.Errorf("%s: %w", d, ErrNoMesh)
	}
	if err != nil {
		return Mesh{}, fmt.Errorf("load mesh: %w", err)
	}
	var m Mesh
	if err := json.Unmarshal(b, &m); err != nil {
		return Mesh{}, fmt.Errorf("load mesh: %s is damaged (%w); \"meesh down --volumes\" removes this mesh", d.MeshFile(), err)
	}
	return m, nil
}

// Save writes the decisions of the mesh in d; a reader sees the old or the new
// ones, never a part.
func Save(d Dir, m Mesh) error {
	b, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return fmt.Errorf("save mesh: %w", err)
	}
	// 0644: the servers' account reads it, and it holds no secret.
	if err := writeFile(d.MeshFile(), append(b, '\n'), 0o644); err != nil {
		return fmt.Errorf("save mesh: %w", err)
	}
	return nil
}

func writeFile(path string, content []byte, mode fs.FileMode) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = f.Close()
			_ = os.Remove(f.Name())
		}
	}()
	if _, err = f.Write(content); err != nil {
		return err
	}
	if err = f.Chmod(mode); err != nil {
		return err
	}
	if err = f.Sync(); err != nil {
		return err
	}
	if err = f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// Find says which folder is this mesh's; it need not exist yet. That is
// $MEESH_HOME, else .meesh beside the bin folder that holds the running
// program, wherever the caller stands. For root .meesh is a link into
// /var/lib/datameesh.
func Find() (Dir, error) {
	if home := os.Getenv(HomeVariable); home != "" {
		abs, err := filepath.Abs(home)
		if err != nil {
			return "", fmt.Errorf("find state folder: %w", err)
		}
		return Dir(abs), nil
	}
	exe, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("find state folder: %w", err)
	}
	return find(exe, os.Geteuid() == 0)
}

func find(exe string, root bool) (Dir, error) {
	exe, err := filepath.EvalSymlinks(exe)
	if err != nil {
		return "", fmt.Errorf("find state folder: %w", err)
	}
	bin := filepath.Dir(exe)
	if filepath.Base(bin) != "bin" {
		return "", fmt.Errorf("find state folder: %s does not lie in a folder named bin; say where the mesh is: %s=FOLDER", exe, HomeVariable)
	}
	clone := filepath.Dir(bin)
	local := Link(clone)
	info, err := os.Lstat(local)
	switch {
	case err == nil && info.IsDir():
		return Dir(local), nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("find state folder: %w", err)
	case root:
		// Derived from the path, not read from the link: a copied clone has
		// a copied link, and must not take the first clone's mesh.
		return Dir(rootFolder(clone)), nil
	case err == nil && info.Mode()&fs.ModeSymlink != 0:
		target, err := os.Readlink(local)
		if err != nil {
			return "", fmt.Errorf("find state folder: %w", err)
		}
		if !filepath.IsAbs(target) {
			target = filepath.Join(clone, target)
		}
		return Dir(target), nil
	default:
		return Dir(local), nil
	}
}

// Link is where people find the state folder of a clone: the folder itself, or
// for root the link to it.
func Link(clone string) string { return filepath.Join(clone, ".meesh") }

func rootFolder(clone string) string {
	sum := sha256.Sum256([]byte(clone))
	return filepath.Join(RootParent, filepath.Base(clone)+"-"+hex.EncodeToString(sum[:4]))
}
