package state

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// newClone makes a clone with a program in its bin folder.
func newClone(t *testing.T) (clone, exe string) {
	t.Helper()
	clone, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	exe = filepath.Join(clone, "bin", "meesh")
	if err := errors.Join(os.Mkdir(filepath.Dir(exe), 0o755), os.WriteFile(exe, nil, 0o755)); err != nil {
		t.Fatal(err)
	}
	return clone, exe
}

func TestFindStandsBesideTheProgram(t *testing.T) {
	clone, exe := newClone(t)
	t.Chdir(t.TempDir())
	if d, err := find(exe, false); err != nil || d != Dir(filepath.Join(clone, ".meesh")) {
		t.Errorf("a user's: %q %v", d, err)
	}
	link := filepath.Join(t.TempDir(), "meesh")
	if err := os.Symlink(exe, link); err != nil {
		t.Fatal(err)
	}
	if d, err := find(link, false); err != nil || d != Dir(filepath.Join(clone, ".meesh")) {
		t.Errorf("through a link to the program: %q %v", d, err)
	}
	root, err := find(exe, true)
	if err != nil || !strings.HasPrefix(string(root), "/var/lib/datameesh/"+filepath.Base(clone)+"-") {
		t.Errorf("root's: %q %v", root, err)
	}
	if err := os.Symlink(string(root), Link(clone)); err != nil {
		t.Fatal(err)
	}
	if d, err := find(exe, false); err != nil || d != root {
		t.Errorf("a user's look at root's: %q %v", d, err)
	}
}

func TestFindGivesACopiedCloneAMeshOfItsOwn(t *testing.T) {
	clone, exe := newClone(t)
	first, err := find(exe, true)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(string(first), Link(clone)); err != nil {
		t.Fatal(err)
	}
	copied, copiedExe := newClone(t)
	if err := os.Symlink(string(first), Link(copied)); err != nil {
		t.Fatal(err)
	}
	if d, err := find(copiedExe, true); err != nil || d == first {
		t.Errorf("the copy has the mesh of the first clone: %q %v", d, err)
	}
}

func TestFindKeepsAFolderThatIsThere(t *testing.T) {
	clone, exe := newClone(t)
	if err := os.Mkdir(Link(clone), 0o755); err != nil {
		t.Fatal(err)
	}
	if d, err := find(exe, true); err != nil || d != Dir(Link(clone)) {
		t.Errorf("root with a user's folder: %q %v", d, err)
	}
}

func TestFindAsksWhereElse(t *testing.T) {
	exe := filepath.Join(t.TempDir(), "meesh")
	if err := os.WriteFile(exe, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := find(exe, false); err == nil || !strings.Contains(err.Error(), HomeVariable) {
		t.Errorf("not in a folder bin: %v", err)
	}
	t.Chdir(t.TempDir())
	t.Setenv(HomeVariable, "here")
	wd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	if d, err := Find(); err != nil || d != Dir(filepath.Join(wd, "here")) {
		t.Errorf("%s: %q %v", HomeVariable, d, err)
	}
}

func TestSaveAndLoad(t *testing.T) {
	d := Dir(t.TempDir())
	if _, err := Load(d); !errors.Is(err, ErrNoMesh) || d.Exists() {
		t.Errorf("nothing there: %v", err)
	}
	want := Mesh{PortOffset: 7, Profile: "core", AsOf: "2026-01-31", Scale: "demo", Seed: 42, ObjectStore: "minio", TrinoWorkers: 2, Tools: Tools{PostgreSQL: "/p", Java: "/j", Trino: "/t", Metastore: "/m"}}
	for range 2 {
		if err := Save(d, want); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := Load(d); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v %v", got, err)
	}
	entries, err := os.ReadDir(string(d))
	if err != nil || len(entries) != 1 {
		t.Errorf("left in the folder: %v %v", entries, err)
	}
	if want.Port(30000) != 30007 {
		t.Errorf("port %d", want.Port(30000))
	}
	if err := os.WriteFile(d.MeshFile(), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(d); err == nil || errors.Is(err, ErrNoMesh) || !strings.Contains(err.Error(), "down --volumes") {
		t.Errorf("damaged: %v", err)
	}
}
