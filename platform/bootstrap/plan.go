// Package bootstrap makes the roles and databases of a PostgreSQL server before any migration runs.
package bootstrap

import (
	"slices"
	"strings"

	"github.com/datameesh/datameesh/platform/policy"
	"github.com/datameesh/datameesh/platform/topology"
)

// A Plan is what one PostgreSQL server shall hold.
type Plan struct {
	Roles     []Role
	Databases []Database
	// Closed are databases that every role could connect to by default and
	// that none but the superuser needs.
	Closed  []string
	Foreign []Foreign
	// People is the role that all people's roles are members of, empty on a
	// server without any. A member that is no role of the plan is dropped.
	People string
	// Masked are databases that hold the key of the hashes that Trino shows in
	// place of personal data.
	Masked []Masked
}

// Masked is a database that holds the key, and the role that alone reads it.
type Masked struct{ Database, Reader string }

// A Role is a role without any special right.
type Role struct {
	Name string
	// Group is a role that nobody logs in as, for others to be members of.
	Group bool
	// Member are the roles that it is a member of.
	Member []string
	// ConnectionLimit is how many connections the role may hold; -1 for any number.
	ConnectionLimit int
	// Settings hold for every session of the role unless it sets others.
	Settings map[string]string
}

// A Database belongs to one role and lets only the listed ones connect.
type Database struct {
	Name    string
	Owner   string
	Connect []string
	Schemas []Schema // beside public
}

// A Schema belongs to one role, whose new tables in it some others may read.
type Schema struct {
	Name         string
	Owner        string
	Readers      []string // may use the schema
	TableReaders []string // may read every table that the owner makes in it
}

// A Foreign is another server of the mesh that a role of this one reads
// through postgres_fdw.
type Foreign struct {
	Name       string // of the foreign server and of the schema for its tables: "sales"
	In         string // database that reads
	As         string // role that reads
	Server     string // component name of the server that is read
	Database   string // database that is read
	RemoteRole string // role to read as
}

// ForeignTables are the tables that the verify database reads, by schema.
var ForeignTables = map[string][]string{
	"sales":     {"customers", "orders", "mesh_meta"},
	"marketing": {"leads", "campaigns", "mesh_meta"},
}

// sessionLimits keep a role's sessions from harming the others of its server:
// connections (-1: any number), how long one statement may take, and how long a
// transaction may do nothing (empty: any time).
type sessionLimits struct {
	connections     int
	statement, idle string
}

var limitsOfRoles = map[string]sessionLimits{
	topology.RoleGrafana: {20, "30s", "5min"},
	// As long as Trino's longest query, platform/policy/policy.yaml.
	topology.RoleTrino:     {-1, "4h", ""},
	topology.RoleAnalytics: {-1, "4h", ""},
}

// limitsOfServices are a net below a service that forgot to ask for less itself.
var limitsOfServices = sessionLimits{-1, "30s", ""}

// Limits of a person's own sessions.
const (
	personConnections = 5
	personStatement   = "5min"
)

// Roles that say which rows a person sees, by name; the policies of the
// migrations look for them. Who is a member of none sees no row.
const (
	rowsOfAll    = "rows_all"
	rowsOfPrefix = "rows_" // and the region in small letters
)

// PlanFor derives the plan of a server from the topology. people are those who
// log in to it directly, each with a role in notebook_ro.
func PlanFor(server topology.Server, people []topology.Person) Plan {
	plan := Plan{Closed: []string{"postgres", "template1"}}
	for _, r := range server.Roles() {
		if r.Kind == topology.KindSuperuser {
			continue // made by initdb; the one that carries the plan out
		}
		role := Role{Name: r.Name, Group: r.Kind == topology.KindGroup, ConnectionLimit: -1, Settings: map[string]string{}}
		if r.Kind == topology.KindReader {
			role.Settings["default_transaction_read_only"] = "on"
		}
		limits, limited := limitsOfRoles[r.Name]
		if !limited && r.Kind == topology.KindApp {
			limits, limited = limitsOfServices, true
		}
		if limited {
			role.ConnectionLimit = limits.connections
			role.Settings["statement_timeout"] = limits.statement
			if limits.idle != "" {
				role.Settings["idle_in_transaction_session_timeout"] = limits.idle
			}
		}
		plan.Roles = append(plan.Roles, role)
	}
	if slices.ContainsFunc(plan.Roles, func(r Role) bool { return r.Name == topology.RoleNotebook }) {
		plan.People = topology.RoleNotebook
		plan.Roles = append(plan.Roles, personRoles(people)...)
	}
	for _, d := range server.Databases {
		database := Database{Name: d.Name, Owner: d.Owner}
		if d.App != "" {
			database.Connect = append(database.Connect, d.App)
		}
		database.Connect = append(database.Connect, d.Readers()...)
		for _, s := range d.Schemas {
			database.Schemas = append(database.Schemas, Schema{s.Name, d.App, s.Readers, s.TableReaders})
		}
		plan.Databases = append(plan.Databases, database)
		if policy.TheMesh().MaskedIn(d.Catalog) {
			plan.Masked = append(plan.Masked, Masked{d.Name, topology.RoleTrino})
		}
	}
	if slices.ContainsFunc(server.Databases, func(d topology.Database) bool { return d.Name == topology.DatabaseVerify }) {
		plan.Foreign = foreign()
	}
	return plan
}

// personRoles are the roles of people, after those that say which rows they see.
func personRoles(people []topology.Person) []Role {
	roles := []Role{{Name: rowsOfAll, Group: true, ConnectionLimit: -1}}
	for _, region := range topology.Regions {
		roles = append(roles, Role{Name: rowsOfPrefix + strings.ToLower(region), Group: true, ConnectionLimit: -1})
	}
	for _, p := range people {
		rows := rowsOfAll
		if p.Region != "" {
			rows = rowsOfPrefix + strings.ToLower(p.Region)
		}
		roles = append(roles, Role{
			Name: p.Name, Member: []string{topology.RoleNotebook, rows}, ConnectionLimit: personConnections,
			// Settings are not inherited.
			Settings: map[string]string{
				"default_transaction_read_only": "on", "statement_timeout": personStatement, "idle_in_transaction_session_timeout": "5min",
				// What people do is logged, each statement once; they cannot change
				// these two. Values that they bind are not.
				"log_min_duration_statement": "0", "log_parameter_max_length": "0",
			},
		})
	}
	return roles
}

// foreign finds the domain databases that have tables to verify.
func foreign() []Foreign {
	var all []Foreign
	for _, s := range topology.Servers {
		for _, d := range s.Databases {
			if _, ok := ForeignTables[d.Catalog]; ok {
				all = append(all, Foreign{
					Name: d.Catalog, In: topology.DatabaseVerify, As: topology.DatabaseVerify,
					Server: s.Name, Database: d.Name, RemoteRole: topology.RoleTrino,
				})
			}
		}
	}
	return all
}
