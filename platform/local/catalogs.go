package local

import (
	"slices"
	"strings"

	"github.com/datameesh/datameesh/platform/state"
	"github.com/datameesh/datameesh/platform/topology"
)

// Catalogs are those of Trino that cannot be read without the component, by
// name; none for a component that no catalog needs.
func Catalogs(component string) []string {
	switch component {
	case objectStore, metastore:
		return []string{"hive", "lake"}
	case platformDB:
		return []string{"hive", "lake", "sales_analytics"}
	}
	var catalogs []string
	server, ok := topology.ServerNamed(component)
	if !ok {
		return nil
	}
	for _, d := range server.Databases {
		if d.Catalog != "" {
			catalogs = append(catalogs, d.Catalog)
		}
	}
	return catalogs
}

// Addressed are the components whose address stands in the text, by name.
func Addressed(m state.Mesh, text string) []string {
	var found []string
	for port, component := range Ports(m) {
		at := loopback(port)
		_, after, ok := strings.Cut(text, at)
		if longer := after != "" && after[0] >= '0' && after[0] <= '9'; ok && !longer && !slices.Contains(found, component) {
			found = append(found, component)
		}
	}
	slices.Sort(found)
	return found
}
