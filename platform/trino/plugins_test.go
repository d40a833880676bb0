package trino

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/datameesh/datameesh/platform/fetch"
)

var update = flag.Bool("update", false, "write java/*.class anew")

// packageOfTrino is a folder like that of Trino's package, as far as it is looked at.
func packageOfTrino(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"postgresql/postgresql.jar", authenticators + "/password.jar", authenticators + "/guice.jar"} {
		file := filepath.Join(dir, "plugin", name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// tree lists the files below a folder, as they are read through links.
func tree(t *testing.T, dir string) (all []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if !info.IsDir() {
			all = append(all, e.Name())
			continue
		}
		for _, name := range tree(t, path) {
			all = append(all, filepath.Join(e.Name(), name))
		}
	}
	return all
}

func TestWritePlugins(t *testing.T) {
	from, dir := filepath.Join(packageOfTrino(t), "plugin"), filepath.Join(t.TempDir(), "plugin")
	before := tree(t, from)
	first, err := writePlugins(dir, from)
	if err != nil || len(first) != 16 {
		t.Fatalf("version %q, %v", first, err)
	}
	want := []string{
		"password-authenticators/guice.jar", "password-authenticators/password.jar",
		"password-authenticators/throttle/META-INF/services/io.trino.spi.Plugin",
		"password-authenticators/throttle/ThrottledFile.class", "password-authenticators/throttle/ThrottledPasswords.class", "password-authenticators/throttle/Tries.class",
		"postgresql/postgresql.jar",
	}
	if got := tree(t, dir); !slices.Equal(got, want) {
		t.Errorf("plugins: %q", got)
	}
	// Another release of Trino, something that is nobody's, and a link that would lead our classes into the package.
	other := filepath.Join(packageOfTrino(t), "plugin")
	if err := os.Rename(filepath.Join(other, "postgresql"), filepath.Join(other, "tpch")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "stray"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(dir, authenticators)); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(from, authenticators), filepath.Join(dir, authenticators)); err != nil {
		t.Fatal(err)
	}
	second, err := writePlugins(dir, other)
	if err != nil || second != first {
		t.Errorf("version %q, then %q, %v", first, second, err)
	}
	want[len(want)-1] = "tpch/postgresql.jar"
	if got := tree(t, dir); !slices.Equal(got, want) {
		t.Errorf("plugins of another release: %q", got)
	}
	if target, err := os.Readlink(filepath.Join(dir, authenticators, "guice.jar")); err != nil || !strings.HasPrefix(target, other) {
		t.Errorf("a jar of the former release: %s, %v", target, err)
	}
	if after := tree(t, from); !slices.Equal(after, before) {
		t.Errorf("the package was changed: %q", after)
	}
	if _, err := writePlugins(dir, filepath.Join(other, "tpch")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a package without the password file's plugin: %v", err)
	}
}

// newest is the newest javac of this machine that can read Trino's classes.
func newest(t *testing.T) string {
	t.Helper()
	const oldest, missing = 24, "needs a javac of Java 24 or later in PATH or /usr/lib/jvm"
	found, err := filepath.Glob("/usr/lib/jvm/*/bin/javac")
	if err != nil {
		t.Fatal(err)
	}
	if path, err := exec.LookPath("javac"); err == nil {
		found = append(found, path)
	}
	var best string
	version := oldest - 1
	for _, javac := range found {
		text, err := exec.CommandContext(t.Context(), javac, "-version").Output() // "javac 25.0.1"
		if err != nil {
			t.Fatalf("%s: %v", javac, err)
		}
		major, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(string(text)), "javac "), ".")
		if n, err := strconv.Atoi(major); err == nil && n > version {
			best, version = javac, n
		}
	}
	if best == "" && os.Getenv("CI") == "true" {
		t.Fatal(missing)
	}
	if best == "" {
		t.Skip("not run: " + missing)
	}
	return best
}

// classPath are the jars of Trino that the plugin is compiled with.
func classPath(t *testing.T) string {
	t.Helper()
	cache, err := fetch.CacheDir()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := fetch.Trino(t.Context(), cache, nil)
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "lib", "*") + ":" + filepath.Join(dir, "plugin", authenticators, "*")
}

func compile(t *testing.T, javac, out, jars string, pattern string) {
	t.Helper()
	sources, err := filepath.Glob(pattern)
	if err != nil || len(sources) == 0 {
		t.Fatalf("%s: no sources, %v", pattern, err)
	}
	// 24 is what Trino's own classes ask for.
	cmd := exec.CommandContext(t.Context(), javac, append([]string{"--release", "24", "-g:none", "-proc:none", "-Xlint:all", "-Werror", "-d", out, "-cp", jars}, sources...)...)
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
}

// The committed classes are the committed sources, compiled.
func TestClassesAreTheirSources(t *testing.T) {
	javac, out := newest(t), t.TempDir()
	compile(t, javac, out, classPath(t), "java/*.java")
	made, committed := tree(t, out), []string{}
	if *update {
		old, err := filepath.Glob("java/*.class")
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range old {
			if err := os.Remove(name); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, name := range made {
		want, err := os.ReadFile(filepath.Join(out, name))
		if err != nil {
			t.Fatal(err)
		}
		if *update {
			if err := os.WriteFile(filepath.Join("java", name), want, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := os.ReadFile(filepath.Join("java", name)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("java/%s is not its source compiled (%v); run: go generate ./trino", name, err)
		}
	}
	for _, name := range tree(t, "java") {
		if strings.HasSuffix(name, ".class") {
			committed = append(committed, name)
		}
	}
	if !slices.Equal(committed, made) {
		t.Errorf("the sources make %q, and %q are there; run: go generate ./trino", made, committed)
	}
}

// The committed classes, by a clock of the test.
func TestThrottle(t *testing.T) {
	const (
		wrong = "Access Denied: Invalid credentials"
		many  = "Access Denied: Too many wrong passwords for %s. Try again in a minute."
	)
	javac, out := newest(t), t.TempDir()
	jars := "java:" + classPath(t)
	compile(t, javac, out, jars, "testdata/Guess.java")
	names := filepath.Join(t.TempDir(), "password.db")
	if err := os.WriteFile(names, []byte("alex:hash\nmike:hash\nsam:hash\nold:hash\nmany:hash\nloud:hash\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	type step struct{ in, want string }
	steps := []step{
		{"0 mike right-mike", "in"},
		// Five, whatever time lies between them; the sixth waits until the first is a minute old, be it right or wrong.
		{"0 alex a", wrong}, {"10 alex b", wrong}, {"20 alex c", wrong}, {"30 alex d", wrong}, {"40 alex e", wrong},
		{"41 alex right-alex", fmt.Sprintf(many, "alex")},
		{"42 alex f", fmt.Sprintf(many, "alex")},
		// What was tried already tells nothing new, and is not counted.
		{"43 alex e", wrong},
		{"44 sam right-sam", "in"},
		{"59 alex right-alex", fmt.Sprintf(many, "alex")},
		{"60 alex right-alex", "in"},
		// From now on nobody can keep alex out.
		{"60 alex g", wrong}, {"60 alex h", fmt.Sprintf(many, "alex")}, {"61 alex right-alex", "in"},
		// A log-in takes no guess back.
		{"62 alex i", fmt.Sprintf(many, "alex")},
		// mike was in before.
		{"62 mike a", wrong}, {"62 mike b", wrong}, {"62 mike c", wrong}, {"62 mike d", wrong}, {"62 mike e", wrong},
		{"62 mike f", fmt.Sprintf(many, "mike")},
		{"62 mike right-mike", "in"},
		// A client that goes on with the password of before does not keep its person out.
		{"100 old right-old", "in"},
		{"passwd old new", ""},
		{"101 old right-old", wrong}, {"102 old right-old", wrong}, {"103 old right-old", wrong}, {"104 old right-old", wrong}, {"105 old right-old", wrong}, {"106 old right-old", wrong},
		{"107 old new", "in"}, {"108 old right-old", wrong}, {"109 old new", "in"},
		// A name that nobody has opens nothing, however often.
		{"110 geheim a", wrong}, {"110 geheim b", wrong}, {"110 geheim c", wrong}, {"110 geheim d", wrong}, {"110 geheim e", wrong}, {"110 geheim f", wrong},
		{"together many 40", "5"},
	}
	for n := range 30 {
		s := step{fmt.Sprintf("200 loud %d", n), fmt.Sprintf(many, "loud")}
		if n < 5 {
			s.want = wrong
		}
		steps = append(steps, s)
	}
	var in strings.Builder
	var want []string
	for _, s := range steps {
		in.WriteString(s.in + "\n")
		if s.want != "" {
			want = append(want, s.in+": "+s.want)
		}
	}
	cmd := exec.CommandContext(t.Context(), filepath.Join(filepath.Dir(javac), "java"), "-cp", out+":"+jars, "Guess", names)
	var stderr bytes.Buffer
	cmd.Stdin, cmd.Stderr = strings.NewReader(in.String()), &stderr
	said, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, &stderr)
	}
	got := strings.Split(strings.TrimSpace(string(said)), "\n")
	if len(got) != len(want) {
		t.Fatalf("%d answers, want %d:\n%s\n%s", len(got), len(want), said, &stderr)
	}
	for i := range want {
		if asked, _, _ := strings.Cut(want[i], ": "); asked+": "+got[i] != want[i] {
			t.Errorf("got %s, want %s", got[i], want[i])
		}
	}
	log := stderr.String()
	for _, line := range []string{
		"Refused log-in 1 of alex: wrong password\n",
		"Refused log-in 6 of alex: too many wrong passwords\n",
		" of (unknown): no such name\n",
		" of loud: too many wrong passwords; others of this minute are not listed\n",
	} {
		if !strings.Contains(log, line) {
			t.Errorf("%q is not in the log:\n%s", line, log)
		}
	}
	if n := strings.Count(log, " of loud: "); n != 20 {
		t.Errorf("%d lines of one name in a minute", n)
	}
	if n := strings.Count(log, " of old: "); n != 1 {
		t.Errorf("%d lines of a client that repeats itself:\n%s", n, log)
	}
	for _, secret := range []string{"geheim", "right-", "guess-"} {
		if strings.Contains(log, secret) {
			t.Errorf("%s is in the log, and may be a password:\n%s", secret, log)
		}
	}
}
