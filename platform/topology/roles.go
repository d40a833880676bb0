package topology

import "slices"

// A RoleKind says what a database role may do.
type RoleKind string

// Kinds of database roles.
const (
	KindSuperuser RoleKind = "superuser" // the bootstrap
	KindOwner     RoleKind = "owner"     // migrations and seeding
	KindApp       RoleKind = "app"       // what a service needs, by GRANT
	KindReader    RoleKind = "reader"    // SELECT, by GRANT
	KindGroup     RoleKind = "group"     // what its members, people's own roles, may read, by GRANT; nobody logs in as it
)

// A Role is one role on one PostgreSQL server.
type Role struct {
	Name string
	Kind RoleKind
	Does string
}

// DatabaseVerify is the database of the path that checks Trino's answers.
const DatabaseVerify = "verify"

// Readers are the read-only roles that may connect to the database.
func (d Database) Readers() []string {
	if d.Private {
		return nil
	}
	readers := []string{RoleGrafana, RoleNotebook}
	if d.Catalog != "" {
		readers = append([]string{RoleTrino}, readers...)
	}
	return readers
}

// Roles are the roles of the server, each once: the superuser, then owners,
// apps, readers and the group of people's roles.
func (s Server) Roles() []Role {
	roles := []Role{{Superuser, KindSuperuser, "bootstrap only"}}
	add := func(name string, kind RoleKind, does string) {
		if name != "" && !slices.ContainsFunc(roles, func(r Role) bool { return r.Name == name }) {
			roles = append(roles, Role{name, kind, does})
		}
	}
	for _, d := range s.Databases {
		does := "owns " + d.Name + ", runs its migrations"
		if d.Name == DatabaseVerify {
			does = "checks Trino's answers by another path"
		}
		add(d.Owner, KindOwner, does)
	}
	for _, d := range s.Databases {
		does := "the service on " + d.Name
		if d.App == RoleAnalytics {
			does = "Trino's catalog " + d.Name
		}
		add(d.App, KindApp, does)
	}
	for _, d := range s.Databases {
		for _, r := range d.Readers() {
			kind := KindReader
			if r == RoleNotebook {
				kind = KindGroup
			}
			add(r, kind, readerDoes[r])
		}
	}
	return roles
}

var readerDoes = map[string]string{
	RoleTrino:    "Trino's catalogs, read-only",
	RoleGrafana:  "Grafana, read-only, no personal columns",
	RoleNotebook: "people's own roles, read-only, no personal columns",
}

// ServerNamed finds a PostgreSQL server by its component name.
func ServerNamed(name string) (Server, bool) {
	for _, s := range Servers {
		if s.Name == name {
			return s, true
		}
	}
	return Server{}, false
}

// Admin is the person whom the seed's document knows as admin. They exist only
// in a mesh started with MEESH_ADMIN_PASSWORD, so they are not among People.
var Admin = Person{Name: "admin", Group: "engineers", Does: "administrator of the seed's document"}

// Behind finds the database that a Trino catalog reads, and the role that owns
// its tables; false for a catalog that reads no database.
func Behind(catalog string) (s Server, d Database, owner string, found bool) {
	for _, s := range Servers {
		for _, d := range s.Databases {
			switch {
			case catalog == "":
			case d.Catalog == catalog:
				return s, d, d.Owner, true
			case d.Name == catalog && d.App == RoleAnalytics: // Trino writes it
				return s, d, d.App, true
			}
		}
	}
	return Server{}, Database{}, "", false
}
