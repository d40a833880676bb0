package local

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/datameesh/datameesh/platform/hive"
	"github.com/datameesh/datameesh/platform/objectstore"
	"github.com/datameesh/datameesh/platform/query"
	"github.com/datameesh/datameesh/platform/state"
	"github.com/datameesh/datameesh/platform/supervise"
	"github.com/datameesh/datameesh/platform/topology"
	"github.com/datameesh/datameesh/platform/trino"
)

// Components of the data lake.
const (
	objectStore      = "object-store"
	objectStoreSetup = "object-store-keys"
	metastore        = "hive-metastore"
	metastoreSchema  = "hive-metastore-schema"
	platformDB       = "platform-db"
)

// hiveOwner owns the metastore's database.
const (
	hiveDatabase = "hive_metastore"
	hiveOwner    = "hive_owner"
)

// ObjectStore is where the object store of the mesh is.
func ObjectStore(m state.Mesh, key func(access string) (string, error)) (objectstore.Endpoint, error) {
	secret, err := key(objectstore.Root)
	return objectstore.Endpoint{
		Kind:   objectstore.Kind(m.ObjectStore),
		S3:     loopback(m.Port(topology.PortObjectStore)),
		Admin:  loopback(m.Port(topology.PortObjectStoreAdmin)),
		Secret: secret,
	}, err
}

// lake lists the components of the data lake, in the order in which they are shown.
func (m *mesh) lake() ([]supervise.Spec, error) {
	var specs []supervise.Spec
	for _, part := range []func() (supervise.Spec, error){m.objectStore, m.objectStoreSetup, m.metastoreSchema, m.metastore} {
		s, err := part()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.Name, err)
		}
		s.Group = Lake
		specs = append(specs, s)
	}
	return specs, nil
}

func (m *mesh) objectStore() (supervise.Spec, error) {
	s := m.spec(supervise.Server, objectStore, "")
	page := localhost(m.Port(topology.PortObjectStoreConsole))
	s.URL = page
	if m.Tools.ObjectStore == "" {
		s.Hold = "download"
		return s, nil
	}
	endpoint, err := ObjectStore(m.Mesh, m.store.StoreKey)
	if err != nil {
		return s, err
	}
	command, err := objectstore.Server{
		Endpoint:    endpoint,
		Program:     m.Tools.ObjectStore,
		Data:        m.dir.Data(objectStore),
		Console:     loopback(m.Port(topology.PortObjectStoreConsole)),
		PageOrigin:  page,
		S3Origin:    localhost(m.Port(topology.PortObjectStore)),
		AdminOrigin: localhost(m.Port(topology.PortObjectStoreAdmin)),
	}.Command()
	s.Path, s.Args, s.Env, s.Dir = command.Path, command.Args, command.Env, command.Dir
	s.Ready = endpoint.Ready // it waits for nobody: one that does not answer is restarted
	return s, err
}

func localhost(port int) string { return "http://localhost:" + strconv.Itoa(port) }

func (m *mesh) objectStoreSetup() (supervise.Spec, error) {
	s := m.spec(supervise.Task, objectStoreSetup, m.program("meesh"), objectStoreSetup)
	s.DependsOn = []string{objectStore}
	people, err := m.store.Persons()
	if err != nil {
		return s, err
	}
	sum := sha256.New()
	for _, p := range people {
		key, err := m.store.StoreKey(p.Name)
		if err != nil {
			return s, err
		}
		fmt.Fprintf(sum, "%q %q %q\n", p.Name, p.Group, key)
	}
	// Read by nobody, but runs the task again when somebody changes.
	s.Env = append(s.Env, state.HomeVariable+"="+string(m.dir), "MEESH_PEOPLE="+hex.EncodeToString(sum.Sum(nil)))
	return s, nil
}

func (m *mesh) metastoreSchema() (supervise.Spec, error) {
	s := m.spec(supervise.Task, metastoreSchema, m.program("meesh"), metastoreSchema)
	server, ok := topology.ServerNamed(platformDB)
	if !ok {
		return s, fmt.Errorf("no server %s in the topology", platformDB)
	}
	s.DependsOn = []string{bootstrapTask(server)}
	s.Env = append(s.Env, state.HomeVariable+"="+string(m.dir))
	if m.Tools.Metastore == "" {
		s.Hold = "download"
	}
	return s, nil
}

func (m *mesh) metastore() (supervise.Spec, error) {
	s := m.spec(supervise.Server, metastore, "")
	address := loopback(m.Port(topology.PortHiveMetastore))
	s.URL = "thrift://localhost:" + strconv.Itoa(m.Port(topology.PortHiveMetastore))
	s.DependsOn = []string{platformDB, metastoreSchema, objectStoreSetup}
	if m.Tools.Metastore == "" {
		s.Hold = "download"
		return s, nil
	}
	password, err := m.store.Role(platformDB, hiveOwner)
	if err != nil {
		return s, err
	}
	const access = "hive"
	key, err := m.store.StoreKey(access)
	if err != nil {
		return s, err
	}
	command, err := hive.Config{
		Home: m.Tools.Metastore, Libraries: m.Tools.MetastoreLibraries, Java: m.Tools.MetastoreJava,
		Dir:             m.dir.Data(metastore),
		Address:         address,
		DatabaseAddress: loopback(m.Port(topology.PortPlatformDB)), Database: hiveDatabase,
		DatabaseUser: hiveOwner, DatabasePassword: password,
		S3Endpoint: "http://" + loopback(m.Port(topology.PortObjectStore)), S3Region: objectstore.Region,
		S3AccessKey: access, S3SecretKey: key,
	}.Command()
	s.Path, s.Args, s.Dir = command.Path, command.Args, command.Dir
	s.Env = append(command.Env, "METASTORE_CONFIGURATION="+command.Version)
	s.StartTimeout = 3 * time.Minute // a small machine starts other things meanwhile
	s.ProbeTimeout = 20 * time.Second
	s.Ready = func(ctx context.Context) error {
		_, err := hive.Databases(ctx, address)
		return err
	}
	s.Alive = func(ctx context.Context) error { return hive.Alive(ctx, address) }
	return s, err
}

// MetastoreDatabase is how the owner of the metastore's database connects to it.
func MetastoreDatabase(m state.Mesh) (dsn, server, role string) {
	return fmt.Sprintf("postgres://%s@%s/%s?sslmode=disable", hiveOwner, loopback(m.Port(topology.PortPlatformDB)), hiveDatabase), platformDB, hiveOwner
}

// worker is the nth of Trino's workers, from 1.
func (m *mesh) worker(n int) (supervise.Spec, error) {
	name := "trino-" + trino.WorkerID(n)
	s := m.spec(supervise.Server, name, "")
	s.Group = Trino
	s.DependsOn = []string{"trino"}
	s.URL = localhost(trino.WorkerPort(m.Mesh, n))
	if m.Tools.Trino == "" || m.Tools.Java == "" {
		s.Hold = "download"
		return s, nil
	}
	command, err := trino.LocalWorker(m.dir, m.Mesh, m.store, n)
	if err != nil {
		return s, err
	}
	secret, err := m.store.TrinoSharedSecret()
	if err != nil {
		return s, err
	}
	s.Path, s.Args, s.Dir, s.Env = command.Path, command.Args, command.Dir, command.Env
	s.Nice = politeness
	s.Env = append(s.Env, "TRINO_CONFIGURATION="+command.Version)
	s.StartTimeout = 5 * time.Minute
	s.ProbeTimeout = time.Minute
	var joined bool
	s.Prepare = func(ctx context.Context) error {
		joined = false
		return clearRemains(ctx, s.Dir, launcherPID)
	}
	s.Ready = func(ctx context.Context) error {
		if joined { // it joins again by itself when the coordinator was away
			_, err := read(ctx, http.DefaultClient, "http://"+loopback(trino.WorkerPort(m.Mesh, n))+"/v1/info")
			return err
		}
		if err := m.active(ctx, trino.WorkerID(n)); err != nil {
			return err
		}
		joined = true
		return nil
	}
	s.Drain = func(ctx context.Context) error {
		return trino.Leave(ctx, loopback(trino.WorkerPort(m.Mesh, n)), secret)
	}
	s.DrainGrace = 10 * time.Minute // as long as a query may take on it
	s.StopGrace = 30 * time.Second
	return s, nil
}

// active asks the coordinator whether it hands work to a node. A worker is
// listed some ten seconds after it has started.
func (m *mesh) active(ctx context.Context, node string) error {
	const user = "verify"
	ca, err := m.store.CA()
	if err != nil {
		return err
	}
	password, err := m.store.Person(user)
	if err != nil {
		return err
	}
	client, err := query.New(query.Config{
		Address: net.JoinHostPort("localhost", strconv.Itoa(m.Port(topology.PortTrino))),
		CA:      ca, User: user, Password: password, Source: "meesh supervise",
	})
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	rows, err := client.Query(ctx, "SELECT state FROM system.runtime.nodes WHERE node_id = '"+node+"'", nil)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	found := "not listed yet"
	for rows.Next(ctx) {
		found = fmt.Sprint(rows.Values()[0])
	}
	if err := rows.Err(); err != nil {
		return err
	}
	if found != "active" {
		return fmt.Errorf("the coordinator says of %s: %s", node, found)
	}
	return nil
}
