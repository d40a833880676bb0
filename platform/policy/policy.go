// Package policy says who may do what with the mesh's data: policy.yaml, and what Trino, PostgreSQL and the object store are told of it.
package policy

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/datameesh/datameesh/platform/topology"
)

//go:embed policy.yaml
var text []byte

// Placeholders of the file.
const (
	namePlaceholder   = "NAME"
	regionPlaceholder = "REGION"
	everything        = "*"
)

// A Policy is who may do what.
type Policy struct {
	// Personal are the columns of personal data: table, column, kind.
	Personal map[string]map[string]string `yaml:"personal"`
	// Regional are conditions on the rows that people of one region see, by table.
	Regional map[string]string                   `yaml:"regional"`
	Groups   map[string]Rights                   `yaml:"groups"`
	People   map[string]struct{ Clear []string } `yaml:"people"`
	Services map[string]Rights                   `yaml:"services"`
	Limits   Limits                              `yaml:"limits"`
}

// Rights of a group, or of a service user.
type Rights struct {
	Does string
	// Own and Read are tables: catalog.schema or catalog.schema.table.
	Own, Read []string
	Clear     []string // kinds of personal data seen as they are
	Regional  bool     // its people may be limited to a region
	Queries   []string // of others: view, kill
	Databases []string // PostgreSQL servers with a log-in of one's own
	Files     Files
}

// Files are what may be done with the object store; prefixes of the bucket of
// the lake end in a slash.
type Files struct {
	All         bool
	Write, Read []string
}

// Limits of queries.
type Limits struct {
	People               Share         `yaml:"people"` // of one person
	AllPeople            Share         `yaml:"all_people"`
	Engineers            Share         `yaml:"engineers"`
	Services             Share         `yaml:"services"`
	ExecutionTime        time.Duration `yaml:"execution_time"`
	TrustedExecutionTime time.Duration `yaml:"trusted_execution_time"` // of engineers and services
}

// A Share of Trino.
type Share struct {
	AtOnce  int    `yaml:"at_once"`
	Waiting int    `yaml:"waiting"`
	Memory  string `yaml:"memory"` // percent of the pool
}

// Groups with a meaning beyond their rights.
const (
	Engineers = "engineers"
	services  = "services"
	// programs matches the groups of the service users.
	programs = "services|services_ro"
)

// TheMesh is the policy of this program; it is not to be changed.
var TheMesh = sync.OnceValue(func() *Policy {
	p, err := Parse(text)
	if err != nil {
		panic(fmt.Sprintf("policy.yaml: %v", err)) // a test reads it
	}
	return p
})

// Parse reads a policy and refuses what it does not know.
func Parse(text []byte) (*Policy, error) {
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	var p Policy
	if err := d.Decode(&p); err != nil {
		return nil, err
	}
	if err := d.Decode(new(any)); !errors.Is(err, io.EOF) {
		return nil, errors.New("more than one document")
	}
	return &p, p.check()
}

var (
	tablePattern = regexp.MustCompile(`^(\*|[a-z][a-z0-9_]*\.(\*|[A-Za-z][A-Za-z0-9_]*)(\.[a-z][a-z0-9_]*)?)$`)
	tableName    = regexp.MustCompile(`^[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*$`)
)

// check finds typing errors, which would else take rights away, or give them, silently.
func (p *Policy) check() error {
	var wrong []error
	bad := func(format string, args ...any) { wrong = append(wrong, fmt.Errorf(format, args...)) }
	kinds := map[string]bool{}
	for table, columns := range p.Personal {
		if !tableName.MatchString(table) {
			bad("personal: %q is not catalog.schema.table", table)
		}
		for column, kind := range columns {
			if normalised[kind] == "" {
				bad("personal: column %s of %s: no kind %q; choose of %s", column, table, kind, strings.Join(slices.Sorted(maps.Keys(normalised)), ", "))
			}
			kinds[kind] = true
		}
	}
	for table, condition := range p.Regional {
		if !tableName.MatchString(table) || !strings.Contains(condition, regionPlaceholder) {
			bad("regional: %q: %q names no %s, or the table is not catalog.schema.table", table, condition, regionPlaceholder)
		}
	}
	for what, all := range map[string]map[string]Rights{"groups": p.Groups, "services": p.Services} {
		for name, r := range all {
			for _, t := range slices.Concat(r.Own, r.Read) {
				if !tablePattern.MatchString(t) {
					bad("%s: %s: %q is not catalog.schema, catalog.schema.table or *", what, name, t)
				}
			}
			for _, kind := range r.Clear {
				if !kinds[kind] {
					bad("%s: %s: no column is of kind %q", what, name, kind)
				}
			}
			for _, q := range r.Queries {
				if q != "view" && q != "kill" {
					bad("%s: %s: queries: %q is neither view nor kill", what, name, q)
				}
			}
			for _, s := range r.Databases {
				if _, ok := topology.ServerNamed(s); !ok {
					bad("%s: %s: no server is called %q", what, name, s)
				}
			}
			for _, f := range slices.Concat(r.Files.Write, r.Files.Read) {
				if !strings.HasSuffix(f, "/") {
					bad("%s: %s: files: %q does not end in a slash and would match names that begin alike", what, name, f)
				}
			}
		}
	}
	for name, person := range p.People {
		for _, kind := range person.Clear {
			if !kinds[kind] {
				bad("people: %s: no column is of kind %q", name, kind)
			}
		}
	}
	if l := p.Limits; l.ExecutionTime <= 0 || l.TrustedExecutionTime < l.ExecutionTime {
		bad("limits: execution_time %s, trusted_execution_time %s", l.ExecutionTime, l.TrustedExecutionTime)
	}
	for name, s := range map[string]Share{"people": p.Limits.People, "all_people": p.Limits.AllPeople, "engineers": p.Limits.Engineers, "services": p.Limits.Services} {
		if s.AtOnce < 1 || s.Waiting < 1 || !strings.HasSuffix(s.Memory, "%") {
			bad("limits: %s: at_once, waiting and memory (like 50%%) must be given", name)
		}
	}
	slices.SortFunc(wrong, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(wrong...)
}

// GroupNames are the groups that a person can be in, sorted.
func (p *Policy) GroupNames() []string { return slices.Sorted(maps.Keys(p.Groups)) }

// AnEngineer is the first of the people who is one; a mesh always has one.
func AnEngineer(people []topology.Person) (name string, err error) {
	for _, p := range people {
		if p.Group == Engineers {
			return p.Name, nil
		}
	}
	return "", errors.New("nobody is in the group " + Engineers)
}

// Does says in words what a person, or a service user, may do.
func (p *Policy) Does(who topology.Person) string {
	if group, ok := p.Groups[who.Group]; ok {
		return group.Does
	}
	return p.Services[who.Name].Does
}

// LogIns are those of the people who may log in to a PostgreSQL server.
func (p *Policy) LogIns(server string, people []topology.Person) []topology.Person {
	var all []topology.Person
	for _, person := range people {
		if slices.Contains(p.Groups[person.Group].Databases, server) {
			all = append(all, person)
		}
	}
	return all
}

// MaskedIn tells whether the database behind a Trino catalog has columns that
// are masked: Trino reads the key of the hashes there.
func (p *Policy) MaskedIn(catalog string) bool {
	return slices.Contains(p.maskedCatalogs(), catalog)
}

func (p *Policy) maskedCatalogs() []string {
	var all []string
	for table := range p.Personal {
		all = append(all, part(table, 0))
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// part is the nth part of catalog.schema.table; empty when there is none.
func part(table string, n int) string {
	parts := strings.Split(table, ".")
	if n >= len(parts) {
		return ""
	}
	return parts[n]
}

// FilesOf are the files of a person in the object store, with their own name in it.
func (p *Policy) FilesOf(person topology.Person) Files {
	f := p.Groups[person.Group].Files
	named := func(list []string) []string {
		var all []string
		for _, prefix := range list {
			all = append(all, strings.ReplaceAll(prefix, namePlaceholder, person.Name))
		}
		return all
	}
	return Files{f.All, named(f.Write), named(f.Read)}
}
