package topology

import "slices"

// Namespaces of the mesh on Kubernetes: one for each domain, one for what they share.
const (
	NamespaceSales     = "sales-domain"
	NamespaceMarketing = "marketing-domain"
	NamespacePlatform  = "data-platform"
)

// Namespaces lists them in the order in which they are made.
var Namespaces = []string{NamespaceSales, NamespaceMarketing, NamespacePlatform}

// A Service is an address inside a cluster, and outside where a port of it is a NodePort.
type Service struct {
	Name      string
	Namespace string
	Ports     []ServicePort
}

// A ServicePort of a Service.
type ServicePort struct {
	Port     int // of the service
	Target   int // of the pods behind it
	NodePort int // 0: reachable inside the cluster only
}

// Services of the mesh on Kubernetes. A NodePort is the port that the same
// part has on one machine.
var Services = []Service{
	{"sales-db", NamespaceSales, []ServicePort{{5432, 5432, 0}}},
	{"sales-api-db", NamespaceSales, []ServicePort{{5432, 5432, 0}}},
	{"sales-api", NamespaceSales, []ServicePort{{5000, 5000, PortSalesAPI}}},
	{"sales-api-logger", NamespaceSales, []ServicePort{{5000, 5000, 0}}},
	{"marketing-db", NamespaceMarketing, []ServicePort{{5432, 5432, 0}}},
	{"marketing-ingest", NamespaceMarketing, []ServicePort{{5000, 5000, PortMarketingIngest}}},
	{"marketing-api-logger", NamespaceMarketing, []ServicePort{{5000, 5000, 0}}},
	{"analytics-db", NamespacePlatform, []ServicePort{{5432, 5432, 0}}},
	{"hive-metastore-db", NamespacePlatform, []ServicePort{{5432, 5432, 0}}},
	{"hive-metastore", NamespacePlatform, []ServicePort{{9083, 9083, 0}}},
	{"trino-coordinator", NamespacePlatform, []ServicePort{{8080, 8080, 0}, {8443, 8443, 0}}},
	// A Service of its own: every port of a NodePort Service is one.
	{"trino-ui", NamespacePlatform, []ServicePort{{8443, 8443, PortTrino}}},
	{"trino-worker", NamespacePlatform, []ServicePort{{8080, 8080, 0}}},
	{"minio", NamespacePlatform, []ServicePort{{9000, 9000, PortObjectStore}, {9001, 9001, PortObjectStoreConsole}}},
	{"minio-admin", NamespacePlatform, []ServicePort{{9002, 9002, 0}}}, // makes keys; for the Job that does only
	{"nginx-dbt-docs", NamespacePlatform, []ServicePort{{80, 8080, PortDBTDocs}}},
	{"grafana-db", NamespacePlatform, []ServicePort{{5432, 5432, 0}}},
	{"grafana", NamespacePlatform, []ServicePort{{3000, 3000, PortGrafana}}},
	{"mailbox", NamespacePlatform, []ServicePort{{8025, 8025, 0}, {1025, 1025, 0}}},
	{"proxy-public", NamespacePlatform, []ServicePort{{80, 8000, PortHub}}},
	{"hub", NamespacePlatform, []ServicePort{{8081, 8081, 0}}}, // for the notebook servers
}

// PortNotebook is where a notebook server listens: the hub makes its pod, and no
// Service leads there.
const PortNotebook = 8888

// Notebook is the workload that the hub makes a pod of for each person.
const Notebook = "notebook"

// A Claim is a volume of the mesh on Kubernetes.
type Claim struct {
	Name      string
	Namespace string
	Bytes     int64
}

// Claims of the mesh on Kubernetes.
var Claims = []Claim{
	{"sales-db-pvc", NamespaceSales, 5 << 30},
	{"sales-api-db-pvc", NamespaceSales, 2 << 30},
	{"marketing-db-pvc", NamespaceMarketing, 5 << 30},
	{"analytics-db-pvc", NamespacePlatform, 5 << 30},
	{"hive-metastore-pvc", NamespacePlatform, 2 << 30},
	{"minio-pvc", NamespacePlatform, 20 << 30},
	{"dbt-pvc", NamespacePlatform, 1 << 30}, // documents and results of the last build
	{"grafana-pvc", NamespacePlatform, 1 << 30},
	{"jupyterhub-pvc", NamespacePlatform, 10 << 30}, // a folder for each person, and one of the hub's own
}

// A KubernetesServer is a PostgreSQL server on Kubernetes. What one machine has
// on the server platform-db is on a server each there.
type KubernetesServer struct {
	Server
	Namespace string
	// Passwords names the server whose roles' passwords it shares.
	Passwords string
}

// KubernetesServers are the PostgreSQL servers of the mesh on Kubernetes. There
// is no database verify: who checks Trino there does not cross namespaces.
func KubernetesServers() []KubernetesServer {
	const platformDB = "platform-db"
	own := func(name, namespace string) KubernetesServer {
		s, _ := ServerNamed(name)
		return KubernetesServer{s, namespace, name}
	}
	of := func(name, claim, database string) KubernetesServer {
		s, _ := ServerNamed(platformDB)
		i := slices.IndexFunc(s.Databases, func(d Database) bool { return d.Name == database })
		c := slices.IndexFunc(Claims, func(c Claim) bool { return c.Name == claim })
		return KubernetesServer{Server{Name: name, Volume: Claims[c].Bytes, Databases: s.Databases[i : i+1]}, NamespacePlatform, platformDB}
	}
	return []KubernetesServer{
		own("sales-db", NamespaceSales),
		own("sales-api-db", NamespaceSales),
		own("marketing-db", NamespaceMarketing),
		of("analytics-db", "analytics-db-pvc", "sales_analytics"),
		of("hive-metastore-db", "hive-metastore-pvc", "hive_metastore"),
		of("grafana-db", "grafana-pvc", DatabaseGrafana),
	}
}
