package local

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/datameesh/datameesh/platform/collector"
	"github.com/datameesh/datameesh/platform/dbt"
	"github.com/datameesh/datameesh/platform/supervise"
	"github.com/datameesh/datameesh/platform/topology"
)

const meshCollector = "mesh-collector"

// collector writes figures of the platform. It starts beside Trino and waits
// for its own database only: that others are away is what it writes down.
func (m *mesh) collector() (supervise.Spec, error) {
	s := m.spec(supervise.Server, meshCollector, m.program(meshCollector))
	s.Group = Trino
	s.DependsOn = []string{bootstrapTask(topology.Server{Name: platformDB})}
	address := loopback(m.Port(topology.PortCollector))
	s.URL = localhost(m.Port(topology.PortCollector))
	s.Ready = get(http.DefaultClient, "http://"+address+"/readyz")
	s.Alive = get(http.DefaultClient, "http://"+address+"/livez")

	config := collector.Config{Listen: address, DBTResults: dbt.Results(m.dir.DBT())}
	secret := func(name, value string, err error) (string, error) {
		name = strings.ToUpper(strings.NewReplacer("-", "_").Replace(name)) + "_PASSWORD"
		s.Env = append(s.Env, name+"="+value)
		return name, err
	}
	for _, d := range Domains {
		config.Components = append(config.Components, collector.Component{Name: d.Service, URL: "http://" + loopback(m.Port(d.Port)) + "/readyz"})
	}
	for _, server := range topology.Servers {
		at := collector.Connection{Address: loopback(m.Port(server.Port)), User: topology.RoleGrafana}
		password, err := m.store.Role(server.Name, at.User)
		if at.PasswordEnv, err = secret(server.Name, password, err); err != nil {
			return s, err
		}
		for _, database := range server.Databases {
			if database.Private {
				continue
			}
			at.Database = database.Name
			config.Databases = append(config.Databases, collector.Database{Server: server.Name, Limit: server.Volume, Connection: at})
		}
	}
	config.Target = collector.Connection{Address: loopback(m.Port(topology.PortPlatformDB)), Database: "sales_analytics", User: topology.RoleAnalytics}
	password, err := m.store.Role(platformDB, topology.RoleAnalytics)
	if config.Target.PasswordEnv, err = secret("target", password, err); err != nil {
		return s, err
	}
	config.Trino = collector.Trino{Address: net.JoinHostPort("localhost", strconv.Itoa(m.Port(topology.PortTrino))), User: "collector", CAFile: m.store.CAFile()}
	if m.Lake() {
		config.Trino.Lake = "lake"
		config.Components = append(config.Components, collector.Component{Name: dbtDocs, URL: "http://" + DBTDocsAddress(m.Mesh) + "/livez"})
	}
	password, err = m.store.Person(config.Trino.User)
	if config.Trino.PasswordEnv, err = secret("trino", password, err); err != nil {
		return s, err
	}
	text, err := json.MarshalIndent(config, "", "  ")
	if err != nil {
		return s, err
	}
	file := filepath.Join(m.dir.Run(), meshCollector+".json")
	if err := os.WriteFile(file, text, 0o644); err != nil { // it holds no secret
		return s, err
	}
	// The sum of the file stands in the environment, so that a change restarts it.
	s.Env = append(s.Env, "COLLECTOR_CONFIG="+file, fmt.Sprintf("COLLECTOR_CONFIGURATION=%x", sha256.Sum256(text)))
	return s, nil
}
