package cli

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/datameesh/datameesh/platform/report"
	"github.com/datameesh/datameesh/platform/secrets"
	"github.com/datameesh/datameesh/platform/topology"
)

// A report is for whom the umask says, as any file that one makes.
func TestReportFollowsTheUmask(t *testing.T) {
	for umask, want := range map[int]os.FileMode{0o022: 0o644, 0o027: 0o640, 0o077: 0o600} {
		out := filepath.Join(t.TempDir(), "report.csv")
		before := unix.Umask(umask)
		err := writeReport(newReportCommand(), &report.Page{}, "csv", "", out)
		unix.Umask(before)
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(out)
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("umask %o: %v %v, want %o", umask, info.Mode(), err, want)
		}
		if files, err := os.ReadDir(filepath.Dir(out)); err != nil || len(files) != 1 {
			t.Errorf("%v %v", files, err)
		}
	}
}

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
