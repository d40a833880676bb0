// Package hive configures the Hive metastore and starts it on one address.
package hive

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
)

// The class is LocalMetastore.java compiled: the Java runtime that package
// fetch obtains has no compiler, and users need none. A test compiles the
// source again and compares; JDK 17 and 25 give the same bytes.
//
//go:generate go test -run TestClassIsItsSource -update
//go:embed conf java/LocalMetastore.class
var files embed.FS

// Warehouse is where the schemas of the metastore's own catalog, which Trino
// calls hive, lie unless they name another place.
const Warehouse = "s3://datalake/warehouse"

// LakeCatalog is a second catalog of the metastore, for Iceberg tables, so that
// hive.default.t and lake.default.t are two tables. LakeLocation is where its
// schemas lie.
const (
	LakeCatalog  = "lake"
	LakeLocation = "s3://datalake/lake"
)

// heap of the metastore. It holds one table's partitions at a time.
const heap = "-Xmx256m"

// A Config says what the metastore is made of and whom it talks to.
type Config struct {
	Home      string // tree of the metastore; see fetch.LakeTree
	Libraries string // tree of its further jars
	Java      string // JAVA_HOME of Java 17 or 21
	Dir       string // folder for its configuration, made when needed
	Address   string // host:port to listen on

	DatabaseAddress  string // host:port of PostgreSQL
	Database         string
	DatabaseUser     string
	DatabasePassword string

	S3Endpoint  string // URL
	S3Region    string
	S3AccessKey string
	S3SecretKey string
}

// A Command starts the metastore in the foreground. The environment holds
// passwords.
type Command struct {
	Path string
	Args []string
	Env  []string // complete: nothing of the caller's is needed
	Dir  string   // working folder
	// Version changes when the files that it reads at the start do.
	Version string
}

// opens are the internals of Java that Hadoop and DataNucleus reach into.
var opens = []string{
	"java.base/java.lang", "java.base/java.net", "java.base/java.util",
	"java.base/java.util.concurrent", "java.base/java.nio", "java.base/java.io",
}

// Command writes the configuration into c.Dir and says how to start the
// metastore. It listens on c.Address only: the stock program of 3.1.3 listens
// on every interface, and anybody who reaches it may do everything.
func (c Config) Command() (cmd Command, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("configure the Hive metastore: %w", err)
		}
	}()
	if c.Home == "" || c.Libraries == "" || c.Java == "" {
		return Command{}, errors.New("its program or its Java has not been fetched yet")
	}
	host, port, err := net.SplitHostPort(c.Address)
	if err != nil {
		return Command{}, err
	}
	version, err := writeFiles(c.Dir)
	if err != nil {
		return Command{}, err
	}
	conf := filepath.Join(c.Dir, "conf")
	args := []string{heap,
		// Small and idle most of the time; the parallel collectors keep threads and memory.
		"-XX:+UseSerialGC",
		"-XX:+ExitOnOutOfMemoryError",
		"-Dlog4j.configurationFile=" + filepath.Join(conf, "log4j2.properties"),
		"-Dlog4j2.formatMsgNoLookups=true",
	}
	for _, p := range opens {
		args = append(args, "--add-opens="+p+"=ALL-UNNAMED")
	}
	// The libraries come before the metastore's own older ones of the same kind.
	classes := filepath.Join(c.Dir, "java") + ":" + conf + ":" + filepath.Join(c.Libraries, "*") + ":" + filepath.Join(c.Home, "lib", "*")
	return Command{
		Path: filepath.Join(c.Java, "bin", "java"),
		Args: append(args, "-cp", classes, "LocalMetastore", host, port, LakeCatalog, LakeLocation),
		Env: []string{
			"PATH=/usr/bin:/bin",
			"HOME=" + c.Dir,
			"METASTORE_HOME=" + c.Home,
			"METASTORE_CONF_DIR=" + conf,
			"METASTORE_ADDRESS=" + c.Address,
			"METASTORE_DB_ADDRESS=" + c.DatabaseAddress,
			"METASTORE_DB_NAME=" + c.Database,
			"METASTORE_DB_USER=" + c.DatabaseUser,
			"METASTORE_DB_PASSWORD=" + c.DatabasePassword,
			"METASTORE_WAREHOUSE=" + Warehouse,
			"S3_ENDPOINT=" + c.S3Endpoint,
			"S3_REGION=" + c.S3Region,
			"S3_ACCESS_KEY=" + c.S3AccessKey,
			"S3_SECRET_KEY=" + c.S3SecretKey,
		},
		Dir:     c.Dir,
		Version: version,
	}, nil
}

// writeFiles makes dir hold the configuration. It returns a text that changes
// when the files do.
func writeFiles(dir string) (version string, err error) {
	hash := sha256.New()
	err = fs.WalkDir(files, ".", func(name string, e fs.DirEntry, err error) error {
		to := filepath.Join(dir, filepath.FromSlash(name))
		if err != nil || name == "." {
			return errors.Join(err, os.MkdirAll(dir, 0o700))
		}
		if e.IsDir() {
			return os.MkdirAll(to, 0o700)
		}
		content, err := fs.ReadFile(files, path.Clean(name))
		if err != nil {
			return err
		}
		fmt.Fprintf(hash, "%s %d\n%s", name, len(content), content)
		if old, err := os.ReadFile(to); err == nil && bytes.Equal(old, content) {
			return nil
		}
		return os.WriteFile(to, content, 0o600)
	})
	if err != nil {
		return "", err
	}
	return hex.EncodeToString(hash.Sum(nil)[:8]), nil
}
