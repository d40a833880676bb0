package policy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/datameesh/datameesh/platform/topology"
)

// Reader is the user as whom Trino evaluates masks and filters. Nobody can log
// in as it, and nobody else reads the key.
const Reader = "policy"

// The key of the hashes lies beside the columns, in a table of its own, so that
// neither a file nor a plan shows it: a constant in a mask would be printed by EXPLAIN.
const (
	KeySchema = "masking"
	KeyTable  = "key"
	KeyColumn = "key"
)

// normalised is a value of a kind without what people write differently.
var normalised = map[string]string{
	"email": `lower(trim(%s))`,
	"phone": `regexp_replace(%s, '[^0-9]', '')`,
}

// mask is a column's expression for who may not see it.
func mask(catalog, column, kind string) string {
	value := fmt.Sprintf(normalised[kind], column)
	return fmt.Sprintf(`if(trim(%s) = '', '', lower(to_hex(hmac_sha256(to_utf8('%s:' || %s), (SELECT %s FROM %s.%s.%s)))))`,
		column, kind, value, KeyColumn, catalog, KeySchema, KeyTable)
}

// A Source is a catalog that a mesh has beside its own, added by "meesh source add".
type Source struct {
	Catalog string
	Read    []string // groups that read all of it; engineers own it
}

// A who is whom a rule is for; user and group must both fit.
type who struct {
	User  string `json:"user,omitempty"`
	Group string `json:"group,omitempty"`
}

type environment struct {
	User string `json:"user"`
}

type catalogRule struct {
	who
	Catalog string `json:"catalog"`
	Allow   string `json:"allow"`
}

type schemaRule struct {
	who
	Catalog string `json:"catalog,omitempty"`
	Schema  string `json:"schema,omitempty"`
	Owner   bool   `json:"owner"`
}

type tableRule struct {
	who
	Catalog           string       `json:"catalog,omitempty"`
	Schema            string       `json:"schema,omitempty"`
	Table             string       `json:"table,omitempty"`
	Privileges        []string     `json:"privileges"`
	Columns           []columnRule `json:"columns,omitempty"`
	Filter            string       `json:"filter,omitempty"`
	FilterEnvironment *environment `json:"filter_environment,omitempty"`
}

type columnRule struct {
	Name            string       `json:"name"`
	Mask            string       `json:"mask"`
	MaskEnvironment *environment `json:"mask_environment"`
}

type functionRule struct {
	who
	Function   string   `json:"function,omitempty"`
	Privileges []string `json:"privileges"`
}

type procedureRule struct {
	who
	Catalog    string   `json:"catalog,omitempty"`
	Schema     string   `json:"schema,omitempty"`
	Procedure  string   `json:"procedure,omitempty"`
	Privileges []string `json:"privileges"`
}

type queryRule struct {
	who
	Allow []string `json:"allow"`
}

type informationRule struct {
	who
	Allow []string `json:"allow"`
}

type impersonationRule struct {
	OriginalUser string `json:"original_user"`
	NewUser      string `json:"new_user"`
	Allow        bool   `json:"allow"`
}

type propertyRule struct {
	who
	Property string `json:"property"`
	Allow    bool   `json:"allow"`
}

// Privileges on tables.
var (
	toOwn  = []string{"SELECT", "INSERT", "UPDATE", "DELETE", "OWNERSHIP"}
	toGive = append(slices.Clone(toOwn), "GRANT_SELECT") // in views of one's own, which others then read
	toRead = []string{"SELECT"}
	toNone = []string{}
)

// A subject is somebody with rights of their own.
type subject struct {
	who
	name   string // of the person; empty for a group
	region string
	rights Rights
	give   bool // what they read they may publish in views
}

// Rules is Trino's rules.json for these people. Of rules of a kind Trino takes
// the first that fits.
func (p *Policy) Rules(people []topology.Person, sources []Source) ([]byte, error) {
	subjects := p.subjects(people)
	var (
		catalogs []any
		schemas  []any
		tables   []any
	)
	reader := who{User: Reader}
	read := p.readerSchemas()
	catalogs = append(catalogs, catalogRule{reader, strings.Join(slices.Sorted(maps.Keys(read)), "|"), "read-only"})
	for _, catalog := range slices.Sorted(maps.Keys(read)) {
		tables = append(tables, tableRule{who: reader, Catalog: catalog, Schema: strings.Join(read[catalog], "|"), Privileges: toRead})
	}
	tables = append(tables, tableRule{Catalog: strings.Join(p.maskedCatalogs(), "|"), Schema: KeySchema, Privileges: toNone})
	for _, s := range subjects {
		c, err := s.catalogs()
		if err != nil {
			return nil, err
		}
		catalogs = append(catalogs, c...)
		schemas = append(schemas, s.schemas()...)
		t, err := p.tables(s)
		if err != nil {
			return nil, err
		}
		tables = append(tables, t...)
	}
	for _, s := range sources {
		if len(s.Read) == 0 {
			continue
		}
		group := who{Group: strings.Join(s.Read, "|")}
		catalogs = append(catalogs, catalogRule{group, s.Catalog, "read-only"})
		tables = append(tables, tableRule{who: group, Catalog: s.Catalog, Privileges: toRead})
	}
	// What everybody sees of the server: names, their own queries, nodes.
	catalogs = append(catalogs, catalogRule{who{}, "system", "read-only"}, catalogRule{who{}, ".*", "none"})
	schemas = append(schemas, schemaRule{Owner: false})
	tables = append(tables,
		tableRule{Catalog: "system", Schema: "jdbc|metadata", Privileges: toRead},
		tableRule{Catalog: "system", Schema: "runtime", Table: "queries|nodes", Privileges: toRead},
		tableRule{Privileges: toNone})

	trusted := who{Group: Engineers + "|" + programs}
	engineers := who{Group: Engineers}
	sections := []section{
		{"catalogs", catalogs},
		{"schemas", schemas},
		{"tables", tables},
		{"functions", []any{
			functionRule{who{}, "query|raw_query", toNone}, // pass-through: no rule would hold
			functionRule{engineers, "", []string{"EXECUTE", "GRANT_EXECUTE", "OWNERSHIP"}},
			functionRule{who{}, "", toNone},
		}},
		{"procedures", []any{
			procedureRule{who: trusted, Procedure: "flush_metadata_cache", Privileges: []string{"EXECUTE"}},
			procedureRule{who: engineers, Catalog: "system", Schema: "runtime", Procedure: "kill_query", Privileges: []string{"EXECUTE"}},
			procedureRule{who: engineers, Catalog: "hive|uploads", Procedure: "sync_partition_metadata", Privileges: []string{"EXECUTE"}},
			procedureRule{Privileges: toNone},
		}},
		{"queries", p.queries()},
		{"impersonation", []any{impersonationRule{".*", ".*", false}}},
		{"system_information", information(people)},
		{"system_session_properties", []any{
			propertyRule{trusted, ".*", true},
			// What could lift a limit, or make one query count for more.
			propertyRule{who{}, "query_max_.*|query_priority|resource_overcommit|spill.*|.*max_memory.*", false},
			propertyRule{who{}, ".*", true},
		}},
	}
	return render(sections)
}

// readerSchemas are the schemas, by catalog, that masks and filters are
// evaluated in: those of the tables that have some, and those of the key.
func (p *Policy) readerSchemas() map[string][]string {
	read := map[string][]string{}
	for _, table := range slices.Concat(slices.Collect(maps.Keys(p.Personal)), slices.Collect(maps.Keys(p.Regional))) {
		read[part(table, 0)] = append(read[part(table, 0)], part(table, 1))
	}
	for _, catalog := range p.maskedCatalogs() {
		read[catalog] = append(read[catalog], KeySchema)
	}
	for catalog, schemas := range read {
		slices.Sort(schemas)
		read[catalog] = slices.Compact(schemas)
	}
	return read
}

// subjects lists engineers, services, people whose rights differ from their
// group's, then the groups.
func (p *Policy) subjects(people []topology.Person) []subject {
	all := []subject{{who: who{Group: Engineers}, rights: p.Groups[Engineers], give: true}}
	for _, name := range slices.Sorted(maps.Keys(p.Services)) {
		rights := p.Services[name]
		all = append(all, subject{who: who{User: name, Group: programs}, rights: rights, give: len(rights.Own) > 0})
	}
	for _, person := range people {
		group, ok := p.Groups[person.Group]
		if !ok || person.Group == Engineers {
			continue
		}
		rights := group
		rights.Clear = slices.Concat(group.Clear, p.People[person.Name].Clear)
		all = append(all, subject{who{person.Name, person.Group}, person.Name, person.Region, rights, false})
	}
	for _, name := range p.GroupNames() {
		if name != Engineers {
			all = append(all, subject{who: who{Group: name}, rights: p.Groups[name]})
		}
	}
	return all
}

// takes tells whether a pattern is for this subject: those with a person's name
// are the person's, all others the group's.
func (s subject) takes(pattern string) (string, bool) {
	if s.name != "" {
		return strings.ReplaceAll(pattern, namePlaceholder, s.name), strings.Contains(pattern, namePlaceholder)
	}
	return pattern, !strings.Contains(pattern, namePlaceholder)
}

// catalogs lets in; a person's are those of the group.
func (s subject) catalogs() ([]any, error) {
	if s.name != "" {
		return nil, nil
	}
	var own, read []string
	for _, t := range s.rights.Own {
		if t == everything {
			return []any{catalogRule{s.who, ".*", "all"}}, nil
		}
		own = append(own, part(t, 0))
	}
	for _, t := range s.rights.Read {
		if t == everything {
			return nil, fmt.Errorf("group %s reads everything: name the catalogs", s.Group)
		}
		if c := part(t, 0); !slices.Contains(own, c) {
			read = append(read, c)
		}
	}
	var rules []any
	for _, r := range []struct {
		catalogs []string
		allow    string
	}{{own, "all"}, {read, "read-only"}} {
		if len(r.catalogs) > 0 {
			slices.Sort(r.catalogs)
			rules = append(rules, catalogRule{s.who, strings.Join(slices.Compact(r.catalogs), "|"), r.allow})
		}
	}
	return rules, nil
}

func (s subject) schemas() []any {
	var rules []any
	for _, pattern := range s.rights.Own {
		pattern, mine := s.takes(pattern)
		switch {
		case !mine:
		case pattern == everything:
			rules = append(rules, schemaRule{who: s.who, Owner: true})
		case part(pattern, 2) != "": // a table of its own, not its schema
		default:
			rules = append(rules, schemaRule{s.who, part(pattern, 0), schemaOf(pattern), true})
		}
	}
	return rules
}

// schemaOf is the schema of a pattern, empty for any.
func schemaOf(pattern string) string {
	if schema := part(pattern, 1); schema != everything {
		return schema
	}
	return ""
}

// tables are the rules for the subject: those tables first of which not
// everything is seen.
func (p *Policy) tables(s subject) ([]any, error) {
	own, read := toOwn, toRead
	if s.give {
		own, read = toGive, append(slices.Clone(toRead), "GRANT_SELECT")
	}
	var rules []any
	if slices.Contains(s.rights.Own, everything) {
		return []any{tableRule{who: s.who, Privileges: own}}, nil
	}
	differs := s.name != "" && (s.region != "" || len(p.People[s.name].Clear) > 0)
	for _, r := range []struct {
		patterns, privileges []string
	}{{s.rights.Own, own}, {s.rights.Read, read}} {
		for _, pattern := range r.patterns {
			if s.name == "" || differs {
				narrowed, err := p.narrowed(s, pattern, r.privileges)
				if err != nil {
					return nil, err
				}
				rules = append(rules, narrowed...)
			}
			if pattern, mine := s.takes(pattern); mine {
				rules = append(rules, tableRule{who: s.who, Catalog: part(pattern, 0), Schema: schemaOf(pattern), Table: part(pattern, 2), Privileges: r.privileges})
			}
		}
	}
	return rules, nil
}

// narrowed are the rules for the tables of a pattern with masks or a filter. A
// person whose rights differ from the group's gets a rule for each of them.
func (p *Policy) narrowed(s subject, pattern string, privileges []string) ([]any, error) {
	names := slices.Sorted(maps.Keys(p.Personal))
	for table := range p.Regional {
		if !slices.Contains(names, table) {
			names = append(names, table)
		}
	}
	slices.Sort(names)
	var rules []any
	for _, table := range names {
		if !matches(pattern, table) {
			continue
		}
		rule := tableRule{who: s.who, Catalog: part(table, 0), Schema: part(table, 1), Table: part(table, 2), Privileges: privileges}
		for _, column := range slices.Sorted(maps.Keys(p.Personal[table])) {
			kind := p.Personal[table][column]
			if !slices.Contains(s.rights.Clear, kind) {
				rule.Columns = append(rule.Columns, columnRule{column, mask(rule.Catalog, column, kind), &environment{Reader}})
			}
		}
		if condition := p.Regional[table]; condition != "" && s.region != "" {
			if strings.ContainsAny(s.region, `'\`) {
				return nil, fmt.Errorf("region %q of %s", s.region, s.name)
			}
			rule.Filter = strings.ReplaceAll(condition, regionPlaceholder, s.region)
			rule.FilterEnvironment = &environment{Reader}
		}
		if rule.Columns != nil || rule.Filter != "" || s.name != "" {
			rules = append(rules, rule)
		}
	}
	return rules, nil
}

func matches(pattern, table string) bool {
	for n := range 3 {
		if want := part(pattern, n); want != everything && want != "" && want != part(table, n) {
			return false
		}
	}
	return true
}

func (p *Policy) queries() []any {
	var rules []any
	add := func(w who, r Rights) {
		if len(r.Queries) > 0 {
			rules = append(rules, queryRule{w, append([]string{"execute"}, r.Queries...)})
		}
	}
	for _, name := range p.GroupNames() {
		add(who{Group: name}, p.Groups[name])
	}
	for _, name := range slices.Sorted(maps.Keys(p.Services)) {
		add(who{User: name, Group: programs}, p.Services[name])
	}
	// Their own anybody sees and kills.
	return append(rules, queryRule{who{}, []string{"execute"}})
}

// information: this section knows no groups.
func information(people []topology.Person) []any {
	var names []string
	for _, p := range people {
		if p.Group == Engineers {
			names = append(names, p.Name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	return []any{informationRule{who{User: strings.Join(names, "|")}, []string{"read", "write"}}}
}

type section struct {
	name  string
	rules []any
}

// render writes a rule a line.
func render(sections []section) ([]byte, error) {
	var b bytes.Buffer
	b.WriteString("{\n")
	for i, s := range sections {
		fmt.Fprintf(&b, "  %q: [", s.name)
		for j, rule := range s.rules {
			if j > 0 {
				b.WriteString(",")
			}
			b.WriteString("\n    ")
			line, err := compact(rule)
			if err != nil {
				return nil, err
			}
			b.Write(line)
		}
		b.WriteString("\n  ]")
		if i < len(sections)-1 {
			b.WriteString(",")
		}
		b.WriteString("\n")
	}
	b.WriteString("}\n")
	return b.Bytes(), nil
}

// compact is JSON that people can read: <, > and & as they are.
func compact(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimRight(b.Bytes(), "\n"), nil
}

// ResourceGroups is Trino's resource-groups.json.
func (p *Policy) ResourceGroups() ([]byte, error) {
	type group struct {
		Name                 string  `json:"name"`
		SoftMemoryLimit      string  `json:"softMemoryLimit"`
		HardConcurrencyLimit int     `json:"hardConcurrencyLimit"`
		MaxQueued            int     `json:"maxQueued"`
		SubGroups            []group `json:"subGroups,omitempty"`
	}
	type selector struct {
		UserGroup string `json:"userGroup,omitempty"`
		Group     string `json:"group"`
	}
	of := func(name string, s Share, below ...group) group {
		return group{name, s.Memory, s.AtOnce, s.Waiting, below}
	}
	l := p.Limits
	all := Share{l.AllPeople.AtOnce + l.Engineers.AtOnce + l.Services.AtOnce, l.AllPeople.Waiting + l.Engineers.Waiting + l.Services.Waiting, "100%"}
	return indented(struct {
		RootGroups []group    `json:"rootGroups"`
		Selectors  []selector `json:"selectors"`
	}{
		[]group{of("global", all,
			of(services, l.Services), of(Engineers, l.Engineers),
			of("people", l.AllPeople, of("${USER}", l.People)))},
		[]selector{
			{programs, "global." + services},
			{Engineers, "global." + Engineers},
			{"", "global.people.${USER}"},
		},
	})
}

// SessionProperties is Trino's session-property-config.json. What it sets are
// defaults only: the limit of people stands in config.properties, as anybody
// could raise one that is set here.
func (p *Policy) SessionProperties() ([]byte, error) {
	type match struct {
		Group      string            `json:"group"`
		Properties map[string]string `json:"sessionProperties"`
	}
	return indented([]match{{"global\\.(" + services + "|" + Engineers + ")", map[string]string{"query_max_execution_time": trinoDuration(p.Limits.TrustedExecutionTime)}}})
}

// ExecutionTime is the limit of people's queries as config.properties has it.
func (p *Policy) ExecutionTime() string { return trinoDuration(p.Limits.ExecutionTime) }

func trinoDuration(d time.Duration) string { return fmt.Sprintf("%dm", int(d.Minutes())) }

func indented(v any) ([]byte, error) {
	b, err := json.MarshalIndent(v, "", "  ")
	return append(b, '\n'), err
}
