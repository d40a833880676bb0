package fetch

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Each jar of the committed list is named once and has a full checksum.
func TestLibraryList(t *testing.T) {
	seen := map[string]bool{}
	for _, l := range metastoreLibraries.set {
		if sum, err := hex.DecodeString(l.SHA256); err != nil || len(sum) != sha256.Size || l.Bytes < 1000 || seen[l.file()] {
			t.Errorf("bad line: %+v", l)
		}
		seen[l.file()] = true
	}
	if len(seen) != 26 {
		t.Errorf("%d jars, want 26", len(seen))
	}
}

// fakeSetMaven makes the jars that FAKE_JARS names, each holding its own name.
const fakeSetMaven = `#!/bin/sh
PATH=/usr/bin:/bin
for a; do case $a in -DoutputDirectory=*) out=${a#*=};; esac; done
cp pom.xml "$FAKE_DIR/pom.xml"
mkdir -p "$out"
for jar in $FAKE_JARS; do printf %s "$jar" >"$out/$jar"; done
`

func setOf(names ...string) Package {
	var list strings.Builder
	for _, name := range names {
		jar := name + "-1.jar"
		fmt.Fprintf(&list, "%x %d org.example:%s:1\n", sha256.Sum256([]byte(jar)), len(jar), name)
	}
	pkg := librarySet("thing", "1", list.String())
	return pkg
}

func TestLibrarySet(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "mvn"), []byte(fakeSetMaven), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir)
	t.Setenv("FAKE_DIR", dir)
	pkg := setOf("one", "two")

	t.Setenv("FAKE_JARS", "one-1.jar")
	cache := t.TempDir()
	_, err := newFetcher(cache, nil).ensure(t.Context(), pkg)
	if err == nil || !strings.Contains(err.Error(), "two-1.jar is not there") {
		t.Errorf("a jar that is missing: %v", err)
	}
	nothingHalf(t, cache)

	t.Setenv("FAKE_JARS", "one-1.jar two-1.jar other-3.jar")
	tree, err := newFetcher(cache, nil).ensure(t.Context(), pkg)
	if err != nil {
		t.Fatal(err)
	}
	got, err := filepath.Glob(filepath.Join(tree, "*.jar"))
	if err != nil || len(got) != 2 {
		t.Errorf("unpacked %v %v; want the listed jars alone", got, err)
	}
	pom, err := os.ReadFile(filepath.Join(dir, "pom.xml"))
	if err != nil || strings.Count(string(pom), "<exclusion><groupId>*</groupId>") != 2 {
		t.Errorf("mvn may decide what else to take: %s %v", pom, err)
	}

	bad := setOf("one", "two")
	bad.set[1].SHA256 = strings.Repeat("0", 64)
	cache = t.TempDir()
	_, err = newFetcher(cache, nil).ensure(t.Context(), bad)
	if err == nil || !strings.Contains(err.Error(), "two-1.jar is corrupted") {
		t.Errorf("a jar that differs: %v", err)
	}
	nothingHalf(t, cache)
}

// fakeGo downloads a module with the sum FAKE_SUM and builds a program of it.
const fakeGo = `#!/bin/sh
PATH=/usr/bin:/bin
echo "GOWORK=$GOWORK GOFLAGS=$GOFLAGS $*" >>"$FAKE_DIR/runs"
case $1 in
mod)
  case $FAKE_MODE in
  unknown) echo '{"Error": "example.org/thing@v1: no such host"}'; exit 1 ;;
  *) echo 'go: downloading example.org/thing v1' >&2; echo "{\"Dir\": \"$FAKE_DIR/module\", \"Sum\": \"$FAKE_SUM\"}" ;;
  esac ;;
build)
  case $FAKE_MODE in
  broken) echo 'go: downloading example.org/other v2' >&2; echo 'main.go:3: undefined: x' >&2; exit 1 ;;
  esac
  while [ "$1" != -o ]; do shift; done
  mkdir -p "$(dirname "$2")"; echo program >"$2" ;;
esac
`

func TestBuildByGo(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "go"), []byte(fakeGo), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("FAKE_DIR", dir)
	pkg := Package{Name: "thing", Version: "1", Client: "go", Coordinates: "example.org/thing@v1 ./cmd/thing", SHA256: "h1:right=", layout: 1, unpack: unpackProgram}

	for mode, c := range map[string]struct{ sum, path, want string }{
		"good":    {"h1:right=", dir, ""},
		"other":   {"h1:wrong=", dir, "expected h1:right=, found h1:wrong="},
		"unknown": {"", dir, "no such host"},
		"broken":  {"h1:right=", dir, "undefined: x"},
		"nogo":    {"", t.TempDir(), "not in PATH"},
	} {
		t.Run(mode, func(t *testing.T) {
			t.Setenv("PATH", c.path)
			t.Setenv("FAKE_MODE", mode)
			t.Setenv("FAKE_SUM", c.sum)
			if err := os.Remove(filepath.Join(dir, "runs")); err != nil && !errors.Is(err, os.ErrNotExist) {
				t.Fatal(err)
			}
			cache := t.TempDir()
			tree, err := newFetcher(cache, nil).ensure(t.Context(), pkg)
			runs, _ := os.ReadFile(filepath.Join(dir, "runs"))
			if built := strings.Contains(string(runs), " build "); built != (c.sum == "h1:right=") {
				t.Errorf("built: %v, although the module's sum is %q", built, c.sum)
			}
			if c.want != "" {
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("got %v, want %q", err, c.want)
				}
				nothingHalf(t, cache)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := mode755(t, filepath.Join(tree, "bin", "thing")); !got {
				t.Error("the program cannot be executed")
			}
			for line := range strings.Lines(string(runs)) {
				if !strings.HasPrefix(line, "GOWORK=off GOFLAGS=-mod=readonly ") {
					t.Errorf("go was run as %s", line)
				}
			}
		})
	}
}

// fakeNPM builds pages of what it installed.
const fakeNPM = `#!/bin/sh
PATH=/usr/bin:/bin
echo "$*" >>"$FAKE_DIR/npm-runs"
case $FAKE_MODE:$1 in
offline:ci) echo 'npm error network request failed'; exit 1 ;;
unbuilt:run) echo 'npm error no such entry'; exit 1 ;;
*:ci) mkdir node_modules; echo x >node_modules/x ;;
*:run) test -d node_modules && mkdir dist && echo page >dist/page ;;
esac
`

// A module whose pages are not part of it is built from a copy that has them.
func TestBuildByGoWithPages(t *testing.T) {
	dir := t.TempDir()
	for name, script := range map[string]string{"go": fakeGo, "npm": fakeNPM} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	module := filepath.Join(dir, "module")
	if err := os.MkdirAll(filepath.Join(module, "ui"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(module, "ui", "x"), []byte("x"), 0o444); err != nil {
		t.Fatal(err)
	}
	for _, closed := range []string{filepath.Join(module, "ui"), module} { // as Go keeps modules
		if err := os.Chmod(closed, 0o555); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.Chmod(closed, 0o755) })
	}
	t.Setenv("FAKE_DIR", dir)
	t.Setenv("FAKE_SUM", "h1:right=")
	pkg := Package{Name: "thing", Version: "1", Client: "go", Coordinates: "example.org/thing@v1 .", SHA256: "h1:right=", layout: 1,
		unpack: unpackProgram, prepare: buildPages, ldflags: "-s"}
	for mode, want := range map[string]string{
		"good": "", "offline": "network request failed", "unbuilt": "no such entry", "none": "npm, which builds its pages, is not in PATH",
	} {
		t.Run(mode, func(t *testing.T) {
			t.Setenv("PATH", dir)
			if mode == "none" {
				alone := t.TempDir()
				if err := os.Symlink(filepath.Join(dir, "go"), filepath.Join(alone, "go")); err != nil {
					t.Fatal(err)
				}
				t.Setenv("PATH", alone)
			}
			t.Setenv("FAKE_MODE", mode)
			cache := t.TempDir()
			_, err := newFetcher(cache, nil).ensure(t.Context(), pkg)
			if want != "" {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("got %v, want %q", err, want)
				}
				nothingHalf(t, cache)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			runs, err := os.ReadFile(filepath.Join(dir, "npm-runs"))
			if err != nil || !strings.Contains(string(runs), "--ignore-scripts") {
				t.Errorf("npm ran as %s %v", runs, err)
			}
			built, err := os.ReadFile(filepath.Join(dir, "runs"))
			if err != nil || !strings.Contains(string(built), "build -C "+cache) {
				t.Errorf("not built from a copy: %s %v", built, err)
			}
		})
	}
}

// What is built or set up beside the packages of registries is pinned too.
func TestMailboxIsPinned(t *testing.T) {
	if p := mailpit; !strings.Contains(p.Coordinates, "@v"+p.Version+" ") || !strings.HasPrefix(p.SHA256, "h1:") || !strings.HasSuffix(p.ldflags, "=v"+p.Version) {
		t.Errorf("%+v", p)
	}
	if got := MissingMailbox(t.TempDir()); len(got) != 1 {
		t.Errorf("an empty cache lacks %v", got)
	}
}

func mode755(t *testing.T, path string) bool {
	t.Helper()
	return mode(t, path) == 0o755
}

func TestMetastoreTree(t *testing.T) {
	var headers []tar.Header
	for _, name := range []string{
		"LICENSE", "bin/schematool", "lib/hive.jar", "lib/php/x.php", "lib/py/y.jar",
		"scripts/metastore/upgrade/postgres/hive-schema-3.1.0.postgres.sql", "scripts/metastore/upgrade/mysql/hive-schema-3.1.0.mysql.sql",
	} {
		headers = append(headers, tar.Header{Name: "apache-hive-metastore-3.1.3-bin/" + name, Typeflag: tar.TypeReg, Mode: 0o644})
	}
	content := tarGzOf(t, headers...)
	fakeTools(t, "good", content)
	tree, err := newFetcher(t.TempDir(), nil).ensure(t.Context(), packageOf("mvn", content, unpackMetastore))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	err = filepath.WalkDir(tree, func(path string, d os.DirEntry, err error) error {
		if rel, _ := filepath.Rel(tree, path); err == nil && !d.IsDir() && rel != manifestName {
			got = append(got, rel)
		}
		return err
	})
	want := []string{"LICENSE", "lib/hive.jar", "scripts/metastore/upgrade/postgres/hive-schema-3.1.0.postgres.sql"}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("unpacked %v %v, want %v", got, err, want)
	}
}

// What the store is changes which program is fetched, nothing else.
func TestLakePackages(t *testing.T) {
	for store, want := range map[Store]string{VersityGW: "versitygw 1.8.0", MinIO: "minio 20260212"} {
		var names []string
		for _, p := range LakePackages(store) {
			names = append(names, p.String())
		}
		if len(names) != 4 || names[3] != want {
			t.Errorf("%s: %v", store, names)
		}
	}
}
