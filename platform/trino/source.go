package trino

import (
	_ "embed" // for hiveCatalog
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/datameesh/datameesh/platform/objectstore"
	"github.com/datameesh/datameesh/platform/policy"
	"github.com/datameesh/datameesh/platform/state"
)

// CatalogNames are the catalogs that every mesh with a lake has.
func CatalogNames() ([]string, error) {
	found, err := fs.Glob(files, "etc/catalog/*.properties")
	if err != nil {
		return nil, err
	}
	var names []string
	for _, f := range found {
		names = append(names, strings.TrimSuffix(path.Base(f), ".properties"))
	}
	return names, nil
}

// sourceVariable names the environment variable with the password of a source.
func sourceVariable(name string) string { return "SOURCE_" + strings.ToUpper(name) + "_PASSWORD" }

// SourceFolder is where the tables of a source of files are described: below
// the bucket of the lake, so that every node reads it.
func SourceFolder(name string) string { return "meesh/sources/" + name + "/" }

// SourceSchema is the schema of the tables of a source of files.
const SourceSchema = "files"

// sourceCatalog is the catalog file of a source. It holds no password. What
// stands in it was checked by package source.
func sourceCatalog(s state.Source) string {
	if p := s.Postgres; p != nil {
		return fmt.Sprintf(`# Written by meesh source add.
connector.name=postgresql
connection-url=jdbc:postgresql://%s/%s?sslmode=%s
connection-user=%s
connection-password=${ENV:%s}
postgresql.array-mapping=AS_ARRAY
metadata.cache-ttl=1m
`, p.Address, p.Database, p.SSLMode, p.User, sourceVariable(s.Name))
	}
	return fmt.Sprintf(`# Written by meesh source add. The tables are described by files of their own,
# so that nothing of them is left in the lake's metastore.
connector.name=hive
hive.metastore=file
hive.metastore.catalog.dir=s3://%s/%s
hive.timestamp-precision=MICROSECONDS
hive.storage-format=PARQUET
%s`, objectstore.Lake, strings.TrimSuffix(SourceFolder(s.Name), "/"), storeSettings(hiveCatalog))
}

//go:embed etc/catalog/hive.properties
var hiveCatalog string

// storeSettings are the lines of a catalog file about the object store.
func storeSettings(catalog string) string {
	var lines strings.Builder
	for line := range strings.Lines(catalog) {
		if strings.HasPrefix(line, "fs.") || strings.HasPrefix(line, "s3.") {
			lines.WriteString(line)
		}
	}
	return lines.String()
}

// sourceRights are the rights on added sources: engineers own what there is, the
// groups of a source read it.
func sourceRights(sources []state.Source) []policy.Source {
	var all []policy.Source
	for _, s := range sources {
		all = append(all, policy.Source{Catalog: s.Name, Read: s.Groups})
	}
	return all
}
