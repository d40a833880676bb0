package secrets

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/datameesh/datameesh/platform/topology"
)

func names(t *testing.T, s *Store) []string {
	t.Helper()
	people, err := s.Persons()
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, p := range people {
		all = append(all, p.Name)
	}
	return all
}

// Somebody comes, has what opens, and goes with all of it.
func TestPeopleComeAndGo(t *testing.T) {
	dir := t.TempDir()
	s, _ := ensure(t, dir, "")
	dana := topology.Person{Name: "dana", Group: "data_science", Does: "second data scientist"}
	const password = "correct horse battery"
	if err := s.AddPerson(dana, password); err != nil {
		t.Fatal(err)
	}
	ensure(t, dir, "")
	if got := names(t, s); !slices.Equal(got, []string{"alex", "sarah", "mike", "emma", "sam", "mia", "dana"}) {
		t.Errorf("people %v", got)
	}
	if got, err := s.Person("dana"); err != nil || got != password {
		t.Errorf("password %q %v", got, err)
	}
	files := []string{"people/dana", "s3/dana", "databases/sales-db/dana", "databases/sales-api-db/dana", "databases/marketing-db/dana", "databases/platform-db/dana"}
	for _, f := range files {
		if _, err := os.Stat(filepath.Join(dir, f)); err != nil {
			t.Error(err)
		}
	}
	before, err := s.StoreKey("dana")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.RotatePerson("dana"); err != nil {
		t.Fatal(err)
	}
	if key, err := s.StoreKey("dana"); err != nil || key == before {
		t.Errorf("the key is not new (%v)", err)
	}
	if now, err := s.Person("dana"); err != nil || now == password {
		t.Errorf("the password is not new (%v)", err)
	}
	groups, err := s.TrinoGroups()
	if err != nil || !strings.Contains(string(groups), "data_science:alex,dana\n") {
		t.Errorf("groups %s %v", groups, err)
	}
	if err := s.RemovePerson("dana"); err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if _, err := os.Stat(filepath.Join(dir, f)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is kept (%v)", f, err)
		}
	}
	if gone, err := s.Gone(); err != nil || !slices.Equal(gone, []string{"dana"}) {
		t.Errorf("gone %v %v", gone, err)
	}
	// One of the topology's, and back.
	if err := s.RemovePerson("sam"); err != nil {
		t.Fatal(err)
	}
	if _, changed := ensure(t, dir, ""); len(changed) > 0 || slices.Contains(names(t, s), "sam") {
		t.Errorf("sam is back: %v", changed)
	}
	if err := s.AddPerson(topology.Person{Name: "sam", Group: "analysts"}, ""); err != nil {
		t.Fatal(err)
	}
	ensure(t, dir, "")
	if gone, err := s.Gone(); err != nil || slices.Contains(gone, "sam") || !slices.Contains(names(t, s), "sam") {
		t.Errorf("sam is not back: gone %v %v", gone, err)
	}
	if _, err := s.Role("sales-db", "sam"); err == nil {
		t.Error("sam, now an analyst, logs in to sales-db")
	}
}

func TestPeopleAreRefused(t *testing.T) {
	s, _ := ensure(t, t.TempDir(), "")
	add := func(p topology.Person, password string) func() error {
		return func() error { return s.AddPerson(p, password) }
	}
	for what, c := range map[string]struct {
		do   func() error
		want string
	}{
		"known":              {add(topology.Person{Name: "alex", Group: "analysts"}, ""), "already"},
		"a capital":          {add(topology.Person{Name: "Max", Group: "analysts"}, ""), "small letters"},
		"a path":             {add(topology.Person{Name: "../max", Group: "analysts"}, ""), "small letters"},
		"a program":          {add(topology.Person{Name: "dbt", Group: "analysts"}, ""), "choose another"},
		"a role":             {add(topology.Person{Name: "grafana_ro", Group: "analysts"}, ""), "choose another"},
		"the reader":         {add(topology.Person{Name: "policy", Group: "analysts"}, ""), "choose another"},
		"PostgreSQL's":       {add(topology.Person{Name: "pg_monitor", Group: "analysts"}, ""), "choose another"},
		"no group":           {add(topology.Person{Name: "max", Group: "admins"}, ""), "choose of analysts"},
		"no region":          {add(topology.Person{Name: "max", Group: "marketing_team", Region: "EU"}, ""), "choose of AMER"},
		"not by region":      {add(topology.Person{Name: "max", Group: "analysts", Region: "EMEA"}, ""), "without regions"},
		"long":               {add(topology.Person{Name: "max", Group: "analysts"}, strings.Repeat("x", 200)), "at most 72"},
		"short":              {func() error { return s.SetPassword("alex", "elevenchars") }, "at least 12"},
		"Unicode":            {func() error { return s.SetPassword("alex", "пароль-пароль") }, "ASCII"},
		"a blank at the end": {func() error { return s.SetPassword("alex", "correct horse ") }, "blank"},
		"the name":           {func() error { return s.SetPassword("alex", "alexander the great") }, "the name"},
		"of nobody":          {func() error { return s.SetPassword("max", "correct horse") }, "no person"},
		"of a program":       {func() error { return s.SetPassword("dbt", "correct horse") }, "no person"},
		"rotate nobody":      {func() error { return s.RotatePerson("max") }, "no person"},
		"remove nobody":      {func() error { return s.RemovePerson("max") }, "no person"},
		"remove admin":       {func() error { return s.RemovePerson("admin") }, AdminPasswordVariable},
		"remove the owner":   {func() error { return s.RemovePerson("mike") }, "last engineer"},
	} {
		err := c.do()
		if _, refused := errors.AsType[*PersonError](err); !refused || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", what, err, c.want)
		}
	}
	if got := names(t, s); len(got) != len(topology.People) {
		t.Errorf("people %v", got)
	}
}
