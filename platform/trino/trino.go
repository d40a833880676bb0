// Package trino holds the configuration of the query engine and starts from it on one machine.
package trino

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/datameesh/datameesh/platform/objectstore"
	"github.com/datameesh/datameesh/platform/policy"
	"github.com/datameesh/datameesh/platform/secrets"
	"github.com/datameesh/datameesh/platform/state"
	"github.com/datameesh/datameesh/platform/topology"
)

// The classes are java/*.java compiled, for the Java runtime that package fetch
// obtains has no compiler, and users need none. A test compiles the sources
// again and compares.
//
//go:generate go test -run TestClassesAreTheirSources -update
//go:embed etc worker java/*.class java/META-INF
var files embed.FS

const loopback = "127.0.0.1"

var errNotFetched = errors.New("its server or its Java has not been fetched yet")

// A Command starts a node of Trino in the foreground; the process it starts
// becomes the server. The environment holds passwords.
type Command struct {
	Path string
	Args []string
	Env  []string // complete: nothing of the caller's is needed
	Dir  string   // working folder
	// Version changes when the files that are read only at the start do.
	Version string
}

// Local writes what a coordinator on this machine reads into the state folder
// (configuration, passwords, groups, certificate) and says how to start it.
// Files that are right already stay untouched.
func Local(d state.Dir, m state.Mesh, s *secrets.Store) (cmd Command, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("configure Trino: %w", err)
		}
	}()
	if m.Tools.Trino == "" || m.Tools.Java == "" {
		return Command{}, errNotFetched
	}
	var (
		etc       = filepath.Join(d.Trino(), "etc")
		data      = filepath.Join(d.Trino(), "data")
		plugins   = filepath.Join(d.Trino(), "plugin")
		passwords = filepath.Join(d.Trino(), "password.db")
		groups    = filepath.Join(d.Trino(), "groups.txt")
		tokens    = TokenKeyFile(d)
		keystore  = KeystoreFile(d)
	)
	people, err := s.People()
	if err != nil {
		return Command{}, err
	}
	rules, err := policy.TheMesh().Rules(people, sourceRights(m.Sources))
	if err != nil {
		return Command{}, err
	}
	version, err := WriteFiles(etc, m.Lake(), rules, m.Sources)
	if err != nil {
		return Command{}, err
	}
	classes, err := writePlugins(plugins, filepath.Join(m.Tools.Trino, "plugin"))
	if err != nil {
		return Command{}, err
	}
	if _, err := s.WriteTrinoPasswords(passwords); err != nil {
		return Command{}, err
	}
	if _, err := s.WriteTrinoGroups(groups); err != nil {
		return Command{}, err
	}
	if err := s.WriteTokenKeys("", tokens); err != nil {
		return Command{}, err
	}
	if _, err := s.WriteServerCertificate(keystore); err != nil {
		return Command{}, err
	}
	cmd, err = node(m, s, etc, data, "coordinator", m.Port(topology.PortTrinoInternal))
	if err != nil {
		return Command{}, err
	}
	token, err := s.AuditToken()
	if err != nil {
		return Command{}, err
	}
	cmd.Version = version + classes
	cmd.Env = append(cmd.Env,
		"TRINO_PLUGIN_DIR="+plugins,
		"TRINO_HTTPS_PORT="+strconv.Itoa(m.Port(topology.PortTrino)),
		"TRINO_KEYSTORE="+keystore,
		"TRINO_PASSWORDS_FILE="+passwords,
		"TRINO_GROUPS_FILE="+groups,
		"AUDIT_URL=http://"+address(m, topology.PortAuditSink),
		"AUDIT_TOKEN="+token,
		"TRINO_TOKEN_KEY="+tokens)
	return cmd, nil
}

// node is what the commands of all nodes have in common.
func node(m state.Mesh, s *secrets.Store, etc, data, id string, port int) (Command, error) {
	if err := os.MkdirAll(data, 0o700); err != nil {
		return Command{}, err
	}
	shared, err := s.TrinoSharedSecret()
	if err != nil {
		return Command{}, err
	}
	env := []string{
		"PATH=/usr/bin:/bin",
		"HOME=" + data,
		"TRINO_BIND_ADDRESS=" + loopback,
		"TRINO_NODE_ADDRESS=" + loopback,
		"TRINO_NODE_ID=" + id,
		"TRINO_DATA_DIR=" + data,
		"TRINO_HTTP_PORT=" + strconv.Itoa(port),
		"TRINO_DISCOVERY_URI=http://" + address(m, topology.PortTrinoInternal),
		"TRINO_SHARED_SECRET=" + shared,
	}
	for _, server := range topology.Servers {
		if !hasCatalog(server) {
			continue
		}
		password, err := s.Role(server.Name, topology.RoleTrino)
		if err != nil {
			return Command{}, err
		}
		name := strings.ToUpper(strings.ReplaceAll(server.Name, "-", "_"))
		env = append(env, name+"_ADDRESS="+address(m, server.Port), name+"_PASSWORD="+password)
	}
	if m.Lake() {
		const server = "platform-db"
		password, err := s.Role(server, topology.RoleAnalytics)
		if err != nil {
			return Command{}, err
		}
		key, err := s.StoreKey(storeUser)
		if err != nil {
			return Command{}, err
		}
		uploads, err := s.StoreKey(topology.StoreUploads)
		if err != nil {
			return Command{}, err
		}
		env = append(env,
			"PLATFORM_DB_ADDRESS="+address(m, topology.PortPlatformDB),
			"ANALYTICS_DB_PASSWORD="+password,
			"METASTORE_ADDRESS="+address(m, topology.PortHiveMetastore),
			"S3_ENDPOINT=http://"+address(m, topology.PortObjectStore),
			"S3_REGION="+objectstore.Region,
			"S3_ACCESS_KEY="+storeUser,
			"S3_SECRET_KEY="+key,
			"S3_UPLOADS_ACCESS_KEY="+topology.StoreUploads,
			"S3_UPLOADS_SECRET_KEY="+uploads)
	}
	for _, source := range m.Sources {
		if source.Postgres == nil {
			continue
		}
		password, err := s.Source(source.Name)
		if err != nil {
			return Command{}, err
		}
		env = append(env, sourceVariable(source.Name)+"="+password)
	}
	return Command{
		Path: filepath.Join(m.Tools.Trino, "bin", "launcher"),
		Args: []string{"run", "--etc-dir=" + etc, "--data-dir=" + data, "--jvm-dir=" + m.Tools.Java},
		Env:  env,
		Dir:  data,
	}, nil
}

// storeUser is Trino's access key of the object store.
const storeUser = "trino"

func address(m state.Mesh, port int) string {
	return net.JoinHostPort(loopback, strconv.Itoa(m.Port(port)))
}

// KeystoreFile is Trino's private key and certificate, PEM.
func KeystoreFile(d state.Dir) string { return filepath.Join(d.TLS(), "trino.pem") }

// TokenKeyFile is the public key that tokens are checked with, PEM; Trino reads
// it at its start only.
func TokenKeyFile(d state.Dir) string { return filepath.Join(d.Trino(), "token-key.pem") }

func hasCatalog(s topology.Server) bool {
	for _, d := range s.Databases {
		if d.Catalog != "" {
			return true
		}
	}
	return false
}

// rulesFile is committed for the people that every mesh begins with; a mesh has
// its own.
const rulesFile = "rules.json"

// reread are the files that a running Trino follows by itself.
var reread = map[string]bool{rulesFile: true}

// lakeCatalogs need the data lake, or the database that dbt fills from it.
var lakeCatalogs = map[string]bool{"hive.properties": true, "lake.properties": true, "sales_analytics.properties": true, "uploads.properties": true}

// WriteFiles makes dir hold the coordinator's configuration and nothing else of
// it: a catalog that is gone here disappears there. lake adds the catalogs of
// the data lake; rules are those of the mesh's people, sources are catalogs
// that they added. It returns a text that changes when a file that needs a
// restart does.
func WriteFiles(dir string, lake bool, rules []byte, sources []state.Source) (version string, err error) {
	return writeFiles(dir, rules, sources, func(name string) string {
		if lakeCatalogs[path.Base(name)] && !lake {
			return ""
		}
		return "etc/" + name
	})
}

// WriteWorkerFiles is WriteFiles for a worker, which has the coordinator's
// catalogs and a config.properties of its own.
func WriteWorkerFiles(dir string, lake bool, sources []state.Source) (version string, err error) {
	return writeFiles(dir, nil, sources, func(name string) string {
		switch {
		case name == "config.properties":
			return "worker/" + name
		case lakeCatalogs[path.Base(name)] && !lake:
			return ""
		case path.Dir(name) == "catalog", name == "jvm.config", name == "node.properties", name == "log.properties":
			return "etc/" + name
		}
		return "" // who may log in and do what is the coordinator's matter
	})
}

// writeFiles writes each file of etc from where source says, if anywhere, and the
// catalogs of added sources.
func writeFiles(dir string, rules []byte, sources []state.Source, source func(name string) string) (version string, err error) {
	hash := sha256.New()
	catalogs := map[string]bool{}
	err = fs.WalkDir(files, "etc", func(p string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := strings.TrimPrefix(strings.TrimPrefix(p, "etc"), "/")
		to := filepath.Join(dir, filepath.FromSlash(name))
		if e.IsDir() {
			return os.MkdirAll(to, 0o700)
		}
		from := source(name)
		if from == "" {
			return nil
		}
		content, err := fs.ReadFile(files, from)
		if err != nil {
			return err
		}
		if name == rulesFile {
			content = rules
		}
		if !reread[name] {
			fmt.Fprintf(hash, "%s %d\n%s", name, len(content), content)
		}
		if catalog, ok := strings.CutPrefix(name, "catalog/"); ok {
			catalogs[catalog] = true
		}
		return writeFile(to, content)
	})
	if err != nil {
		return "", err
	}
	for _, s := range sources {
		name, content := s.Name+".properties", sourceCatalog(s)
		fmt.Fprintf(hash, "%s %d\n%s", name, len(content), content)
		catalogs[name] = true
		if err := writeFile(filepath.Join(dir, "catalog", name), []byte(content)); err != nil {
			return "", err
		}
	}
	present, err := os.ReadDir(filepath.Join(dir, "catalog"))
	if err != nil {
		return "", err
	}
	for _, e := range present {
		if !catalogs[e.Name()] {
			if err := os.Remove(filepath.Join(dir, "catalog", e.Name())); err != nil {
				return "", err
			}
		}
	}
	return hex.EncodeToString(hash.Sum(nil)[:8]), nil
}

// writeFile leaves a file that is right alone: Trino looks at times.
func writeFile(path string, content []byte) error {
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, content) {
		return nil
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	// Trino reads rules.json while it runs: never half a file.
	temp := path + ".new"
	if err := os.WriteFile(temp, content, 0o600); err != nil {
		return err
	}
	return os.Rename(temp, path)
}
