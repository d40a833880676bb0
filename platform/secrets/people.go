package secrets

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"

	"github.com/datameesh/datameesh/platform/policy"
	"github.com/datameesh/datameesh/platform/topology"
)

// peopleName keeps how the people of a mesh differ from those of the topology.
const peopleName = "people.json"

type peopleChanges struct {
	Added []topology.Person `json:"added,omitempty"`
	// Removed are all who ever were removed and are not back: whatever knows
	// somebody by name is told that they have gone.
	Removed []string `json:"removed,omitempty"`
}

func (s *Store) peopleChanges() (c peopleChanges, err error) {
	text, err := s.kept.read(peopleName)
	if errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &c)
	}
	if err != nil {
		return c, fmt.Errorf("%s: %w", peopleName, err)
	}
	return c, nil
}

// Persons are the people of the mesh: no programs, and not the person admin.
func (s *Store) Persons() ([]topology.Person, error) {
	c, err := s.peopleChanges()
	if err != nil {
		return nil, err
	}
	var people []topology.Person
	for _, p := range topology.People {
		if !slices.Contains(c.Removed, p.Name) && !slices.ContainsFunc(c.Added, func(a topology.Person) bool { return a.Name == p.Name }) {
			people = append(people, p)
		}
	}
	return append(people, c.Added...), nil
}

// Gone are the names of people who were removed.
func (s *Store) Gone() ([]string, error) {
	c, err := s.peopleChanges()
	return c.Removed, err
}

// A PersonError tells why somebody cannot be added, changed or removed.
type PersonError struct{ Reason string }

func (e *PersonError) Error() string { return e.Reason }

func refuse(format string, args ...any) error { return &PersonError{fmt.Sprintf(format, args...)} }

var personName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,30}$`)

// checkPerson refuses what one of the tools could not take.
func checkPerson(p topology.Person) error {
	mesh := policy.TheMesh()
	group, known := mesh.Groups[p.Group]
	switch {
	case !personName.MatchString(p.Name):
		return refuse("the name %q: small letters, digits and _, a letter first, at most 31", p.Name)
	case reserved(p.Name):
		return refuse("the name %q belongs to a program, a database role or an account of the mesh; choose another", p.Name)
	case !known:
		return refuse("there is no group %q; choose of %s", p.Group, strings.Join(mesh.GroupNames(), ", "))
	case p.Region != "" && !slices.Contains(topology.Regions, p.Region):
		return refuse("there is no region %q; choose of %s", p.Region, strings.Join(topology.Regions, ", "))
	case p.Region != "" && !group.Regional:
		return refuse("group %s reads tables without regions: its people see all of them", p.Group)
	case strings.ContainsAny(p.Does, "\r\n") || len(p.Does) > 200:
		return refuse("what %s does: one line of at most 200 bytes", p.Name)
	}
	return nil
}

// reserved are names that mean something else somewhere.
func reserved(name string) bool {
	if strings.HasPrefix(name, "pg_") || strings.HasPrefix(name, "rows_") || strings.HasPrefix(name, "dev_") {
		return true
	}
	taken := []string{topology.Admin.Name, topology.StoreRoot, policy.Reader, "root", "public", "none", "anonymous", "current_user", "session_user", "user"}
	for _, p := range slices.Concat(topology.ServiceUsers, topology.StoreUsers) {
		taken = append(taken, p.Name)
	}
	for _, server := range topology.Servers {
		for _, r := range server.Roles() {
			taken = append(taken, r.Name)
		}
	}
	return slices.Contains(taken, name)
}

// Passwords of people have so many characters.
const (
	shortestPassword = 12
	longestPassword  = 72 // bytes that bcrypt takes
)

// CheckPersonPassword refuses a password that one of the tools could not take.
func CheckPersonPassword(name, password string) error {
	switch {
	case len(password) < shortestPassword:
		return refuse("the password has %d characters; use at least %d", len(password), shortestPassword)
	case len(password) > longestPassword:
		return refuse("the password has %d bytes; bcrypt, which Trino checks it with, takes at most %d", len(password), longestPassword)
	case strings.ContainsFunc(password, func(r rune) bool { return r < ' ' || r > '~' }):
		return refuse("the password has letters beyond ASCII, or control characters; Trino's log-in takes only letters, digits, blanks and signs of ASCII")
	case strings.TrimSpace(password) != password:
		return refuse("the password begins or ends with a blank, which some tools cut off")
	case strings.Contains(password, name):
		return refuse("the password contains the name")
	}
	return nil
}

// AddPerson makes somebody known who was not, or is back. An empty password
// gets them one that is made.
func (s *Store) AddPerson(p topology.Person, password string) error {
	if err := checkPerson(p); err != nil {
		return err
	}
	people, err := s.Persons()
	if err != nil {
		return err
	}
	if slices.ContainsFunc(people, func(other topology.Person) bool { return other.Name == p.Name }) {
		return refuse("there is a person %s already", p.Name)
	}
	if password != "" {
		if err := CheckPersonPassword(p.Name, password); err != nil {
			return err
		}
		if _, err := s.kept.replace(Secret{Kind: KindPerson, Name: p.Name}.file(), []byte(password)); err != nil {
			return err
		}
	}
	c, err := s.peopleChanges()
	if err != nil {
		return err
	}
	c.Removed = slices.DeleteFunc(c.Removed, func(name string) bool { return name == p.Name })
	c.Added = append(c.Added, p)
	return s.savePeople(c)
}

// RemovePerson makes somebody unknown, and removes what opened for them.
func (s *Store) RemovePerson(name string) error {
	people, err := s.Persons()
	if err != nil {
		return err
	}
	i := slices.IndexFunc(people, func(p topology.Person) bool { return p.Name == name })
	if i < 0 {
		return unknownPerson(name, people)
	}
	engineers := 0
	for _, p := range people {
		if p.Group == policy.Engineers {
			engineers++
		}
	}
	if people[i].Group == policy.Engineers && engineers == 1 {
		return refuse("%s is the last engineer, who owns the buckets of the object store; add another first", name)
	}
	c, err := s.peopleChanges()
	if err != nil {
		return err
	}
	c.Added = slices.DeleteFunc(c.Added, func(p topology.Person) bool { return p.Name == name })
	c.Removed = append(c.Removed, name)
	// The list first: a secret of nobody opens nothing.
	if err := s.savePeople(c); err != nil {
		return err
	}
	for _, secret := range personSecrets(people[i], everyServer()) {
		if err := s.kept.remove(secret.file()); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// SetPassword gives a person the password that they chose.
func (s *Store) SetPassword(name, password string) error {
	people, err := s.Persons()
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(people, func(p topology.Person) bool { return p.Name == name }) {
		return unknownPerson(name, people)
	}
	if err := CheckPersonPassword(name, password); err != nil {
		return err
	}
	_, err = s.kept.replace(Secret{Kind: KindPerson, Name: name}.file(), []byte(password))
	return err
}

// RotatePerson makes all that opens for a person anew: the password, the key
// of the object store and the log-ins to databases.
func (s *Store) RotatePerson(name string) error {
	people, err := s.Persons()
	if err != nil {
		return err
	}
	i := slices.IndexFunc(people, func(p topology.Person) bool { return p.Name == name })
	if i < 0 {
		return unknownPerson(name, people)
	}
	for _, secret := range personSecrets(people[i], serversOf(people[i])) {
		value, err := newSecret()
		if err != nil {
			return err
		}
		if _, err := s.kept.replace(secret.file(), value); err != nil {
			return err
		}
	}
	return nil
}

func unknownPerson(name string, people []topology.Person) error {
	var names []string
	for _, p := range people {
		names = append(names, p.Name)
	}
	if name == topology.Admin.Name {
		return refuse("the person admin comes and goes with %s at \"meesh up\"", AdminPasswordVariable)
	}
	return refuse("there is no person %q; choose of %s", name, strings.Join(names, ", "))
}

func (s *Store) savePeople(c peopleChanges) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetIndent("", "  ")
	if err := e.Encode(c); err != nil {
		return err
	}
	_, err := s.kept.replace(peopleName, b.Bytes())
	return err
}

// personSecrets are what opens for a person, on these database servers.
func personSecrets(p topology.Person, servers []string) []Secret {
	all := []Secret{
		{KindPerson, p.Name, p.Does},
		{KindStore, storeName(p.Name), "secret key of the access key " + p.Name + ", " + p.Does},
	}
	for _, server := range servers {
		all = append(all, Secret{KindDatabase, server + "/" + p.Name, "direct log-in of " + p.Name + ", read-only, no personal columns"})
	}
	return all
}

// serversOf are the database servers that a person may log in to.
func serversOf(p topology.Person) []string { return policy.TheMesh().Groups[p.Group].Databases }

func everyServer() []string {
	var names []string
	for _, server := range topology.Servers {
		names = append(names, server.Name)
	}
	return names
}
