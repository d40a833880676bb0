// Package topology is the one list of what the mesh consists of.
//
// Every port, database, role, person and API key stands here once; the local
// runner, the commands and the tests derive theirs from it. The numbers are
// those of section 3 of docs/design.md.
package topology

// Ports of the local mesh, all on loopback. --port-offset moves all of them by
// the same number.
const (
	PortSalesAPI           = 30081
	PortMarketingIngest    = 30083
	PortSalesAPILogger     = 30084
	PortMarketingAPILogger = 30085

	PortSalesDB     = 30432
	PortSalesAPIDB  = 30433
	PortMarketingDB = 30434
	PortPlatformDB  = 30435

	PortDBTDocs = 30082

	PortMailbox     = 30025 // page
	PortMailboxSMTP = 30026
	PortGrafana     = 30030
	PortViewer      = 30031 // beside a Grafana; in its place without one

	PortHub         = 30080 // JupyterHub's page and the people's servers, by its proxy
	PortHubAPI      = 30181 // the hub itself
	PortHubProxyAPI = 30182 // how the hub tells the proxy where a server is

	PortCollector = 30886 // health of mesh-collector
	PortAuditSink = 30887 // takes events

	PortTrino         = 30808 // https, for people and programs
	PortTrinoInternal = 30880 // http, between Trino's own nodes
	PortTrinoWorker   = 30881 // of the first worker; each has the next

	PortObjectStore        = 30900 // S3
	PortObjectStoreConsole = 30901
	PortHiveMetastore      = 30983

	// Admin ports serve /metrics and nothing else; they are not for people.
	PortSalesAPIAdmin           = 30681
	PortMarketingIngestAdmin    = 30683
	PortSalesAPILoggerAdmin     = 30684
	PortMarketingAPILoggerAdmin = 30685
	PortObjectStoreAdmin        = 30690 // makes keys; only versitygw has it apart
)

// A Database is one logical database on one of the mesh's PostgreSQL servers.
type Database struct {
	Name  string // as PostgreSQL knows it: "sales_data"
	Owner string // role that owns the schema and runs the migrations
	App   string // role of the service; empty where no service writes
	// Catalog is the Trino catalog that reads the database; empty for none.
	Catalog string
	// Private keeps the readers out; only its owner may connect.
	Private bool
	// Schemas beside public, owned by App.
	Schemas []Schema
}

// A Schema of a database, which its owner fills.
type Schema struct {
	Name string
	// Readers may use the schema.
	Readers []string
	// TableReaders may read every table made in the schema, also after it was
	// moved to another one: rights travel with a table.
	TableReaders []string
}

// MaxTrinoWorkers limits the workers on one machine: the ports after theirs
// belong to others.
const MaxTrinoWorkers = 4

// A Server is one PostgreSQL server with its databases.
type Server struct {
	Name      string // component name: "sales-db"
	Port      int
	Volume    int64 // bytes that its data may grow to: its claim on Kubernetes
	Databases []Database
}

// Servers are the PostgreSQL servers of the mesh. A domain's server is never
// shared with another domain, so that stopping one is a drill anyone can run.
var Servers = []Server{
	{Name: "sales-db", Volume: 5 << 30, Port: PortSalesDB, Databases: []Database{
		{Name: "sales_data", Owner: "sales_owner", App: "sales_app", Catalog: "sales"},
	}},
	{Name: "sales-api-db", Volume: 2 << 30, Port: PortSalesAPIDB, Databases: []Database{
		{Name: "sales_api", Owner: "apimetrics_owner", App: "apimetrics_app", Catalog: "sales_api"},
	}},
	{Name: "marketing-db", Volume: 5 << 30, Port: PortMarketingDB, Databases: []Database{
		{Name: "marketing_data", Owner: "marketing_owner", App: "marketing_app", Catalog: "marketing"},
		{Name: "marketing_api", Owner: "apimetrics_owner", App: "apimetrics_app", Catalog: "marketing_api"},
	}},
	{Name: "platform-db", Volume: 8 << 30, Port: PortPlatformDB, Databases: []Database{
		// What dbt makes of the domains' data. Trino writes it as App.
		{Name: "sales_analytics", Owner: "analytics_owner", App: RoleAnalytics, Schemas: []Schema{
			{Name: "staging"}, // holds personal columns: nobody reads it
			{Name: "marts", Readers: []string{RoleGrafana, RoleNotebook}, TableReaders: []string{RoleGrafana, RoleNotebook}},
			// Marts are built and tested here, then moved to marts, and what was
			// there to marts_old.
			{Name: "marts_next", TableReaders: []string{RoleGrafana, RoleNotebook}},
			{Name: "marts_old"},
			{Name: "ops", Readers: []string{RoleGrafana}, TableReaders: []string{RoleGrafana}},
		}},
		{Name: "hive_metastore", Owner: "hive_owner", Private: true},
		{Name: DatabaseGrafana, Owner: RoleGrafanaOwner, Private: true}, // people, folders, what is saved in Grafana
		// verify reads the domains through postgres_fdw: the path that checks
		// Trino's answers without using Trino.
		{Name: "verify", Owner: "verify", Private: true},
	}},
}

// Read-only roles of every domain database: Trino, Grafana and notebooks each
// have one, so that each can be limited and revoked alone.
const (
	RoleTrino    = "trino_ro"
	RoleGrafana  = "grafana_ro"
	RoleNotebook = "notebook_ro"
)

// Grafana keeps its own state in a database of its own.
const (
	DatabaseGrafana  = "grafana"
	RoleGrafanaOwner = "grafana_owner"
)

// MailDomain is the domain of the people's mail addresses; nothing leaves the machine.
const MailDomain = "datameesh.example"

// RoleAnalytics is the role that Trino's catalog sales_analytics works as; it
// owns the schemas there.
const RoleAnalytics = "trino_analytics"

// Superuser is the role that only the bootstrap uses.
const Superuser = "postgres"

// A Person is somebody, or some program, that logs in to Trino.
type Person struct {
	Name  string
	Group string // what they may do stands with it in platform/policy/policy.yaml
	Does  string
	// Region limits the rows that they see to one region, AMER, APAC, EMEA or
	// LATAM; empty for all.
	Region string
}

// Regions of customers.
var Regions = []string{"AMER", "APAC", "EMEA", "LATAM"}

// People of the mesh, then its service users.
var People = []Person{
	{Name: "alex", Group: "data_science", Does: "data scientist"},
	{Name: "sarah", Group: "analysts", Does: "business analyst"},
	{Name: "mike", Group: "engineers", Does: "data engineer, admin"},
	{Name: "emma", Group: "executives", Does: "executive, read-only"},
	{Name: "sam", Group: "sales_team", Does: "sales team"},
	{Name: "mia", Group: "marketing_team", Does: "marketing analyst of one region", Region: "EMEA"},
}

// ServiceUsers log in to Trino like people do.
var ServiceUsers = []Person{
	{Name: "dbt", Group: "services", Does: "transformation"},
	{Name: "collector", Group: "services_ro", Does: "platform figures"},
	{Name: "verify", Group: "services_ro", Does: "readiness and demo checks"},
	{Name: "lake", Group: "services", Does: "export to the lake and its upkeep"},
}

// People's notebook servers run under user ids of their own when root starts
// the mesh: none of them is an account of the machine's. Each mesh of the machine
// has PersonUIDs of them, and gives each to one person once.
const (
	FirstPersonUID = 61001
	LastPersonUID  = 61999
	PersonUIDs     = 111
)

// StoreUsers have a key of the object store beside the people: programs that
// keep tables in it.
var StoreUsers = []Person{
	{Name: "trino", Does: "tables of the catalogs hive and lake"},
	{Name: "hive", Does: "folders of those tables"},
	{Name: StoreUploads, Does: "tables of the catalog uploads"},
}

// StoreUploads is the key of what people share as files.
const StoreUploads = "uploads"

// StoreRoot is the key that makes buckets and keys of the object store.
const StoreRoot = "meesh"

// An APIKey is a named bearer key of the HTTP services.
type APIKey struct {
	Name   string
	Scopes []string
	// Services that accept the key, by component name.
	Services []string
}

// APIKeys of the mesh. The two logger keys are what the shared middleware of
// an API sends to the logger beside it; people have no use for them.
var APIKeys = []APIKey{
	{"sales-reader", []string{"sales:read"}, []string{"sales-api"}},
	{"sales-admin", []string{"sales:read", "sales:write"}, []string{"sales-api"}},
	{"marketing-reader", []string{"leads:read"}, []string{"marketing-ingest"}},
	{"marketing-admin", []string{"leads:read", "leads:ingest"}, []string{"marketing-ingest"}},
	{"apimetrics-reader", []string{"metrics:read"}, []string{"sales-api-logger", "marketing-api-logger"}},
	{"apimetrics-admin", []string{"metrics:read", "logs:write"}, []string{"sales-api-logger", "marketing-api-logger"}},
	{"sales-api-logging", []string{"logs:write"}, []string{"sales-api-logger"}},
	{"marketing-ingest-logging", []string{"logs:write"}, []string{"marketing-api-logger"}},
}
