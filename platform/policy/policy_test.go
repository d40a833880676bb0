package policy

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/datameesh/datameesh/platform/topology"
)

// What a mesh's rules are made of names people, groups and services that exist.
func TestTheMesh(t *testing.T) {
	p := TheMesh()
	for _, person := range append(slices.Clone(topology.People), topology.Admin) {
		group, ok := p.Groups[person.Group]
		if !ok || group.Does == "" {
			t.Errorf("%s: no group %q, or it does not say what it does", person.Name, person.Group)
		}
		if person.Region != "" && !group.Regional {
			t.Errorf("%s is limited to %s, and group %s is not filtered", person.Name, person.Region, person.Group)
		}
	}
	for name := range p.People {
		if !slices.ContainsFunc(topology.People, func(person topology.Person) bool { return person.Name == name }) {
			t.Errorf("people: nobody is called %s", name)
		}
	}
	for _, s := range topology.ServiceUsers {
		if _, ok := p.Services[s.Name]; !ok || !slices.Contains(strings.Split(programs, "|"), s.Group) {
			t.Errorf("service %s (%s) has no rights", s.Name, s.Group)
		}
	}
	if len(p.Services) != len(topology.ServiceUsers) {
		t.Errorf("%d services of %d have rights", len(p.Services), len(topology.ServiceUsers))
	}
}

// Typing errors are found, not taken for fewer rights.
func TestParseRefuses(t *testing.T) {
	good := string(text)
	for _, c := range []struct{ old, new, want string }{
		{"email: email, phone: phone}", "email: email, phone: telephone}", `no kind "telephone"`},
		{"region = 'REGION'", "region = 'EMEA'", "names no REGION"},
		{"read: [sales_analytics.marts]", "read: [sales_analytics]", `"sales_analytics" is not`},
		{"queries: [view, kill]", "queries: [see]", `"see" is neither`},
		{"databases: [platform-db]", "databases: [platform]", `no server is called "platform"`},
		{"write: [NAME/, analytics/]", "write: [NAME, analytics/]", "does not end in a slash"},
		{"alex: {clear: [email]}", "alex: {clear: [mail]}", `no column is of kind "mail"`},
		{"execution_time: 10m", "execution_time: 10h", "limits: execution_time"},
		{"personal:", "persona:", "persona"},
	} {
		if !strings.Contains(good, c.old) {
			t.Fatalf("policy.yaml lacks %q", c.old)
		}
		if _, err := Parse([]byte(strings.Replace(good, c.old, c.new, 1))); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.new, err, c.want)
		}
	}
	if _, err := Parse([]byte(good + "---\na: 1\n")); err == nil {
		t.Error("a second document is ignored")
	}
}

type parsedRule struct {
	User, Group, Catalog, Schema, Table string
	Privileges                          []string
	Filter                              string
	Columns                             []struct{ Name, Mask string }
	Owner                               bool
}

func parsed(t *testing.T, people []topology.Person, sources []Source) map[string][]parsedRule {
	t.Helper()
	b, err := TheMesh().Rules(people, sources)
	if err != nil {
		t.Fatal(err)
	}
	var rules map[string][]parsedRule
	if err := json.Unmarshal(b, &rules); err != nil {
		t.Fatal(err)
	}
	return rules
}

// Somebody who is added has rights of their own where the policy says NAME, and
// nothing of another's; an exception for a person is for one of their group only.
func TestRulesFollowPeople(t *testing.T) {
	people := []topology.Person{
		{Name: "dana", Group: "data_science"}, {Name: "nora", Group: "marketing_team", Region: "APAC"}, {Name: "alex", Group: "analysts"},
	}
	rules := parsed(t, people, nil)
	var schemas, filters []string
	for _, r := range rules["schemas"] {
		if r.User == "dana" {
			schemas = append(schemas, r.Catalog+"."+r.Schema)
		}
	}
	if !slices.Equal(schemas, []string{"lake.dev_dana"}) {
		t.Errorf("dana owns %v", schemas)
	}
	for _, r := range rules["tables"] {
		if strings.Contains(r.Filter, "EMEA") || r.Filter != "" && (r.User != "nora" || r.Group != "marketing_team") {
			t.Errorf("filter %q for %s of %s", r.Filter, r.User, r.Group)
		}
		if r.Filter != "" {
			filters = append(filters, r.Table)
		}
		if r.User == "alex" && r.Catalog != "sales_analytics" && r.Group != "analysts" {
			t.Errorf("alex, now an analyst, keeps %+v", r)
		}
	}
	if want := []string{"leads", "customers", "orders", "mart_customer_journey", "mart_sales_daily"}; !slices.Equal(filters, want) {
		t.Errorf("nora is filtered on %v, want %v", filters, want)
	}
}

func TestAnEngineer(t *testing.T) {
	people := []topology.Person{{Name: "alex", Group: "data_science"}, {Name: "zoe", Group: "engineers"}, {Name: "tom", Group: "engineers"}}
	if name, err := AnEngineer(people); name != "zoe" || err != nil {
		t.Errorf("%q %v, want zoe", name, err)
	}
	if name, err := AnEngineer(people[:1]); err == nil {
		t.Errorf("%q is none", name)
	}
}

// A source of one mesh: engineers own it as everything, those named read it.
func TestRulesOfSources(t *testing.T) {
	for _, c := range []struct {
		source Source
		want   string
	}{{Source{"crm", []string{"analysts", "sales_team"}}, "analysts|sales_team"}, {Source{"crm", nil}, ""}} {
		readers := ""
		for _, r := range parsed(t, topology.People, []Source{c.source})["tables"] {
			if r.Catalog == "crm" {
				readers = r.Group
				if !slices.Equal(r.Privileges, []string{"SELECT"}) {
					t.Errorf("%+v", r)
				}
			}
		}
		if readers != c.want {
			t.Errorf("%v is read by %q, want %q", c.source, readers, c.want)
		}
	}
}

// No rule grants what nobody may: the key, and statements that go around the rules.
func TestNobodyReadsTheKey(t *testing.T) {
	rules := parsed(t, topology.People, nil)
	for i, r := range rules["tables"] {
		if r.Schema == KeySchema && len(r.Privileges) == 0 {
			for _, before := range rules["tables"][:i] {
				if before.User != Reader || before.Group != "" {
					t.Errorf("%+v comes before the rule that keeps the key", before)
				}
			}
			return
		}
	}
	t.Error("no rule keeps the key")
}

func TestCommittedFilesAreOfThePolicy(t *testing.T) {
	for name, make := range map[string]func() ([]byte, error){
		"rules.json": func() ([]byte, error) {
			return TheMesh().Rules(append(slices.Clone(topology.People), topology.Admin), nil)
		},
		"resource-groups.json":         TheMesh().ResourceGroups,
		"session-property-config.json": TheMesh().SessionProperties,
	} {
		want, err := make()
		if err != nil {
			t.Fatal(err)
		}
		have, err := os.ReadFile("../trino/etc/" + name)
		if err != nil || string(have) != string(want) {
			t.Errorf("%s is not what policy.yaml says; run: make policy (%v)", name, err)
		}
	}
}
