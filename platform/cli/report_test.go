package cli

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/datameesh/datameesh/platform/secrets"
	"github.com/datameesh/datameesh/platform/topology"
)

// Reports are mailed to the people whom the mesh has now.
func TestAddresses(t *testing.T) {
	store, _, err := secrets.Ensure(filepath.Join(t.TempDir(), "secrets"), "")
	if err != nil {
		t.Fatal(err)
	}
	if err := store.AddPerson(topology.Person{Name: "dana", Group: "analysts"}, ""); err != nil {
		t.Fatal(err)
	}
	if err := store.RemovePerson("sarah"); err != nil {
		t.Fatal(err)
	}
	people, err := store.Persons()
	if err != nil {
		t.Fatal(err)
	}
	got, err := addresses([]string{"dana", "board@elsewhere.example", "emma"}, people)
	if want := []string{"dana@datameesh.example", "board@elsewhere.example", "emma@datameesh.example"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%v %v, want %v", got, err, want)
	}
	if _, err := addresses([]string{"sarah"}, people); err == nil || !strings.Contains(err.Error(), "alex, mike, emma, sam, mia, dana") {
		t.Errorf("who has left: %v", err)
	}
}
