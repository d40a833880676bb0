package local

import (
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/datameesh/datameesh/platform/dbt"
	"github.com/datameesh/datameesh/platform/secrets"
	"github.com/datameesh/datameesh/platform/state"
	"github.com/datameesh/datameesh/platform/supervise"
	"github.com/datameesh/datameesh/platform/topology"
)

// Components around the dbt project.
const (
	dbtDocs    = "dbt-docs"
	dbtRefresh = "dbt-refresh"
)

// DBTDocsAddress is where the documents of the dbt project are served.
func DBTDocsAddress(m state.Mesh) string { return loopback(m.Port(topology.PortDBTDocs)) }

func (m *mesh) dbtDocs() supervise.Spec {
	s := m.spec(supervise.Server, dbtDocs, m.program("meesh"), dbtDocs)
	s.Group = Lake
	s.URL = localhost(m.Port(topology.PortDBTDocs))
	// The port is told to the process by mesh.json; here it restarts it.
	s.Env = append(s.Env, state.HomeVariable+"="+string(m.dir), fmt.Sprintf("MEESH_PORT_OFFSET=%d", m.PortOffset))
	s.Ready = get(http.DefaultClient, "http://"+DBTDocsAddress(m.Mesh)+"/livez")
	return s
}

// dbtRefresh builds the marts again and again. It waits for nobody that could
// be away for a while: a build that fails leaves the marts as they are.
func (m *mesh) dbtRefresh() supervise.Spec {
	s := m.spec(supervise.Server, dbtRefresh, m.program("meesh"), dbtRefresh, m.Refresh)
	s.Group = Trino
	s.DependsOn = []string{"trino", platformDB}
	s.Env = append(s.Env, state.HomeVariable+"="+string(m.dir), fmt.Sprintf("MEESH_PORT_OFFSET=%d", m.PortOffset), "DBT="+m.Tools.DBT)
	s.StopGrace = 30 * time.Second // dbt cancels its queries first
	if m.Tools.DBT == "" {
		s.Hold = "download"
	}
	return s
}

// DBTConnection is how a person, or a service user, reaches Trino from dbt.
func DBTConnection(m state.Mesh, store *secrets.Store, user string) (dbt.Connection, error) {
	password, err := store.Person(user)
	return dbt.Connection{
		Host: "localhost", Port: strconv.Itoa(m.Port(topology.PortTrino)),
		User: user, Password: password, CAFile: store.CAFile(),
	}, err
}
