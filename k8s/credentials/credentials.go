// Package credentials says which Secret of the cluster holds which password, key or certificate.
package credentials

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/datameesh/datameesh/platform/policy"
	"github.com/datameesh/datameesh/platform/secrets"
	"github.com/datameesh/datameesh/platform/setup"
	"github.com/datameesh/datameesh/platform/topology"
)

// Master is the Secret that holds all credentials of the mesh. No pod mounts
// it; the Secrets that pods mount are made from it, each with what its readers
// need and no more.
const (
	Master          = "credentials"
	MasterNamespace = topology.NamespacePlatform
)

// Previous ends the key of a password that a role had before; see "meesh k8s rotate".
const Previous = ".previous"

// A Secret of the cluster.
type Secret struct {
	Namespace string
	Name      string
	Data      map[string][]byte
}

// TrinoHosts are the names under which Trino is called inside a cluster.
var TrinoHosts = []string{
	"trino-coordinator",
	"trino-coordinator." + topology.NamespacePlatform,
	"trino-coordinator." + topology.NamespacePlatform + ".svc",
	"trino-coordinator." + topology.NamespacePlatform + ".svc.cluster.local",
}

// LoggerKey is the key, in the Secret of an API, that it sends its request log with.
const LoggerKey = "logger-key"

// Sends names the API key that an API sends its request log with; empty for none.
func Sends(service string) string { return loggers[service] }

// loggers says which API sends its request log with which key.
var loggers = map[string]string{"sales-api": "sales-api-logging", "marketing-ingest": "marketing-ingest-logging"}

// services of each namespace that accept API keys.
var services = map[string][]string{
	topology.NamespaceSales:     {"sales-api", "sales-api-logger"},
	topology.NamespaceMarketing: {"marketing-ingest", "marketing-api-logger"},
}

// Secrets are those that the pods of the mesh mount, made from a store. before
// is what a Secret holds now, if it is there: hashes and certificates that still
// fit stay as they are.
func Secrets(store *secrets.Store, before func(namespace, name string) map[string][]byte) ([]Secret, error) {
	var all []Secret
	var failed error
	add := func(namespace, name string) func(key string, value []byte, err error) {
		s := Secret{namespace, name, map[string][]byte{}}
		all = append(all, s)
		return func(key string, value []byte, err error) {
			if err != nil && failed == nil {
				failed = fmt.Errorf("secret %s/%s, key %s: %w", namespace, name, key, err)
			}
			s.Data[key] = value
		}
	}
	text := func(value string, err error) ([]byte, error) { return []byte(value), err }

	// A PostgreSQL server: all its roles, for the bootstrap; who connects picks one key.
	server := map[string]topology.KubernetesServer{}
	for _, s := range topology.KubernetesServers() {
		server[s.Name] = s
		set := add(s.Namespace, s.Name)
		for _, r := range s.Roles() {
			if r.Kind == topology.KindGroup { // nobody logs in as it, but its members
				for _, p := range policy.TheMesh().LogIns(s.Passwords, topology.People) {
					value, err := text(store.Role(s.Passwords, p.Name))
					set(p.Name, value, err)
				}
				continue
			}
			value, err := text(store.Role(s.Passwords, r.Name))
			set(r.Name, value, err)
			if value, found, err := store.PreviousRole(s.Passwords, r.Name); found || err != nil {
				set(r.Name+Previous, []byte(value), err)
			}
		}
		for _, d := range s.Databases {
			if policy.TheMesh().MaskedIn(d.Catalog) {
				value, err := text(store.MaskKey())
				set(setup.MaskKeyFile, value, err)
			}
		}
	}
	role := func(name, role string) ([]byte, error) { return text(store.Role(server[name].Passwords, role)) }

	for namespace, names := range services {
		for _, name := range names {
			set := add(namespace, name)
			keys, err := store.AcceptedKeys(name)
			set("api-keys.json", keys, err)
			if key := loggers[name]; key != "" {
				value, err := text(store.APIKey(key))
				set(LoggerKey, value, err)
			}
		}
	}

	set := add(topology.NamespacePlatform, "object-store")
	value, err := text(store.StoreKey(topology.StoreRoot))
	set(topology.StoreRoot, value, err)
	set = add(topology.NamespacePlatform, "object-store-keys")
	for _, p := range append(append([]topology.Person(nil), topology.People...), topology.StoreUsers...) {
		value, err := text(store.StoreKey(p.Name))
		set(p.Name, value, err)
	}

	// Environment of all nodes of Trino.
	set = add(topology.NamespacePlatform, "trino")
	for variable, name := range map[string]string{"SALES_DB_PASSWORD": "sales-db", "SALES_API_DB_PASSWORD": "sales-api-db", "MARKETING_DB_PASSWORD": "marketing-db"} {
		value, err := role(name, topology.RoleTrino)
		set(variable, value, err)
	}
	value, err = role("analytics-db", topology.RoleAnalytics)
	set("ANALYTICS_DB_PASSWORD", value, err)
	value, err = text(store.StoreKey("trino"))
	set("S3_SECRET_KEY", value, err)
	value, err = text(store.StoreKey(topology.StoreUploads))
	set("S3_UPLOADS_SECRET_KEY", value, err)
	value, err = text(store.TrinoSharedSecret())
	set("TRINO_SHARED_SECRET", value, err)

	// Files of the coordinator.
	const coordinator = "trino-coordinator"
	have := before(topology.NamespacePlatform, coordinator)
	set = add(topology.NamespacePlatform, coordinator)
	value, err = store.TrinoPasswords(have["password.db"])
	set("password.db", value, err)
	value, err = store.TrinoGroups()
	set("groups.txt", value, err)
	value, err = store.ServerCertificate(have["trino.pem"], TrinoHosts...)
	set("trino.pem", value, err)
	value, err = store.TokenPublicKey()
	set("token-key.pem", value, err)

	set = add(topology.NamespacePlatform, "ca")
	value, err = store.CA()
	set("ca.pem", value, err)

	set = add(topology.NamespacePlatform, "dbt")
	value, err = text(store.Person("dbt"))
	set("trino-password", value, err)

	// Environment of Grafana: its own, and the role that its data sources read as.
	set = add(topology.NamespacePlatform, "grafana")
	for variable, name := range map[string]string{
		"SALES_DB_PASSWORD": "sales-db", "SALES_API_DB_PASSWORD": "sales-api-db", "MARKETING_DB_PASSWORD": "marketing-db", "MARTS_PASSWORD": "analytics-db",
	} {
		value, err := role(name, topology.RoleGrafana)
		set(variable, value, err)
	}
	value, err = role("grafana-db", topology.RoleGrafanaOwner)
	set("GRAFANA_DB_PASSWORD", value, err)
	admin, key, err := store.Grafana()
	set("GRAFANA_ADMIN_PASSWORD", []byte(admin), err)
	set("GRAFANA_SECRET_KEY", []byte(key), err)
	set = add(topology.NamespacePlatform, "grafana-people")
	people, err := store.People()
	if err != nil {
		return nil, err
	}
	for _, p := range people {
		if slices.ContainsFunc(topology.ServiceUsers, func(s topology.Person) bool { return s.Name == p.Name }) {
			continue
		}
		value, err := text(store.Person(p.Name))
		set(p.Name, value, err)
	}

	// Environment and files of JupyterHub.
	cookies, proxy, err := store.Hub()
	set = add(topology.NamespacePlatform, "hub")
	set("JPY_COOKIE_SECRET", []byte(cookies), err)
	set("CONFIGPROXY_AUTH_TOKEN", []byte(proxy), err)
	const hubFiles = "hub-files"
	have = before(topology.NamespacePlatform, hubFiles)
	set = add(topology.NamespacePlatform, hubFiles)
	value, err = store.HubAccounts(have["accounts.json"], secrets.Notebooks{Databases: notebookDatabases()})
	set("accounts.json", value, err)
	value, err = store.TokenKey()
	set("token-key.pem", value, err)

	set = add(topology.NamespacePlatform, "mesh-collector")
	for variable, name := range map[string]string{
		"SALES_DB_PASSWORD": "sales-db", "SALES_API_DB_PASSWORD": "sales-api-db", "MARKETING_DB_PASSWORD": "marketing-db", "ANALYTICS_DB_PASSWORD": "analytics-db",
	} {
		value, err := role(name, topology.RoleGrafana)
		set(variable, value, err)
	}
	value, err = role("analytics-db", topology.RoleAnalytics)
	set("TARGET_PASSWORD", value, err)
	value, err = text(store.Person("collector"))
	set("TRINO_PASSWORD", value, err)
	return all, failed
}

// notebookDatabases are those that people's own log-ins open; platform/local has the like.
func notebookDatabases() []secrets.NotebookDatabase {
	var all []secrets.NotebookDatabase
	for _, server := range topology.KubernetesServers() {
		for _, d := range server.Databases {
			if slices.Contains(d.Readers(), topology.RoleNotebook) {
				all = append(all, secrets.NotebookDatabase{
					Name: cmp.Or(d.Catalog, d.Name), Server: server.Passwords, Host: server.Name + "." + server.Namespace, Port: 5432, Database: d.Name,
				})
			}
		}
	}
	return all
}
