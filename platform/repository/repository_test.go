package repository

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// root is the root of the repository.
const root = "../.."

// tracked lists the files of the repository, those about to be committed included.
func tracked(t *testing.T) []string {
	t.Helper()
	out, err := exec.Command("git", "-C", root, "ls-files", "--cached", "--others", "--exclude-standard").Output()
	if err != nil {
		t.Fatalf("list the files of the repository (a clone with git is needed): %v", err)
	}
	files := strings.Fields(string(out))
	if len(files) < 50 {
		t.Fatalf("only %d files found", len(files))
	}
	return files
}

// One word names a domain everywhere. The exceptions stand here and nowhere else.
func TestDomainsHaveOneName(t *testing.T) {
	domains := []string{"sales", "marketing", "apimetrics"}
	want := map[string][]string{
		"services": append([]string{"internal"}, domains...),
		// apimetrics runs inside the namespaces of both others.
		"k8s/domains": {"marketing", "sales"},
	}
	for folder, names := range want {
		entries, err := os.ReadDir(filepath.Join(root, folder))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, e := range entries {
			if e.IsDir() {
				got = append(got, e.Name())
			}
		}
		slices.Sort(names)
		if !slices.Equal(got, names) {
			t.Errorf("%s/ holds %v, want %v", folder, got, names)
		}
	}
	// Every domain has the same parts.
	face := map[string]string{"sales": "api", "marketing": "ingest", "apimetrics": "collect"}
	for _, d := range domains {
		for _, part := range []string{face[d], "postgres", "migrations", "seed", "cmd"} {
			if _, err := os.Stat(filepath.Join(root, "services", d, part)); err != nil {
				t.Errorf("the domain %s lacks a part: %v", d, err)
			}
		}
	}
}

// leaks are what must stand in no file: secrets, and places that exist on one
// machine only.
var leaks = map[string]*regexp.Regexp{
	"private key":       regexp.MustCompile(`-----BEGIN [A-Z ]*PRIVATE KEY-----`),
	"password in a URL": regexp.MustCompile(`://[a-z_]+:[^@/%{$<\s]{6,}@`),
	"seed's password":   regexp.MustCompile(`datamesh` + `2024`),
	"home folder":       regexp.MustCompile(`/(root|work|home/[a-z]+)/`),
	"private address":   regexp.MustCompile(`\b(10\.\d+\.\d+\.\d+|192\.168\.\d+\.\d+):\d+`),
}

// excused says which file may hold which leak, and why.
var excused = map[string]string{
	// The departures from the seed name what was departed from.
	"docs/design.md": "seed's password",
	"README.md":      "seed's password",
}

func TestNothingSecretOrLocalIsCommitted(t *testing.T) {
	for _, file := range tracked(t) {
		text, err := os.ReadFile(filepath.Join(root, file))
		if err != nil {
			continue // deleted, not yet committed
		}
		for name, pattern := range leaks {
			if found := pattern.Find(text); found != nil && excused[file] != name {
				t.Errorf("%s holds a %s: %q", file, name, found)
			}
		}
	}
}

// The patterns find what they are for: a check that cannot fail proves nothing.
func TestLeaksAreFound(t *testing.T) {
	for name, text := range map[string]string{
		"private key":       "-----BEGIN EC " + "PRIVATE KEY-----",
		"password in a URL": "postgres://sales_app:" + "hunter22@localhost/x",
		"seed's password":   "admin / datamesh" + "2024",
		"home folder":       "/home/" + "alex/x",
		"private address":   "192.168." + "1.1:80",
	} {
		if !leaks[name].MatchString(text) {
			t.Errorf("%s is not found in %q", name, text)
		}
	}
}

// The walls of docs/design.md hold: a planted forbidden import makes the linter fail.
func TestPlantedForbiddenImportsAreRefused(t *testing.T) {
	linter := os.Getenv("GOLANGCI_LINT")
	if linter == "" {
		t.Fatal("GOLANGCI_LINT is not set: run `make test/unit`, which builds the linter, or name its program")
	}
	clone := t.TempDir()
	for _, file := range tracked(t) {
		if !strings.HasPrefix(file, "services/") && file != "go.work" && file != ".golangci.yaml" {
			continue
		}
		text, err := os.ReadFile(filepath.Join(root, file))
		if err != nil {
			continue
		}
		write(t, filepath.Join(clone, file), string(text))
	}
	planted := map[string]string{
		"services/sales/planted.go":               `"github.com/gin-gonic/gin"`,
		"services/sales/api/planted.go":           `"github.com/jackc/pgx/v5"`,
		"services/sales/postgres/planted.go":      `"github.com/gin-gonic/gin"`,
		"services/sales/migrations/planted.go":    `"github.com/brianvoe/gofakeit/v6"`,
		"services/sales/seed/planted.go":          `"github.com/datameesh/datameesh/services/marketing"`,
		"services/sales/cmd/sales-api/planted.go": `"github.com/golang-migrate/migrate/v4"`,
	}
	for file, path := range planted {
		text, err := os.ReadFile(filepath.Join(clone, filepath.Dir(file), firstGoFile(t, filepath.Join(clone, filepath.Dir(file)))))
		if err != nil {
			t.Fatal(err)
		}
		pkg := regexp.MustCompile(`(?m)^package \w+$`).Find(text)
		write(t, filepath.Join(clone, file), string(pkg)+"\n\nimport _ "+path+" // planted\n")
	}
	command := exec.CommandContext(context.Background(), linter, "run", "--enable-only=depguard", "--allow-parallel-runners", "--config", filepath.Join(clone, ".golangci.yaml"), "./...")
	command.Dir = filepath.Join(clone, "services/sales")
	command.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=mod")
	out, err := command.CombinedOutput()
	if err == nil {
		t.Errorf("the linter accepts every planted import:\n%s", out)
	}
	for file := range planted {
		if !regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(file) + `:\d+:\d+: .*\(depguard\)$`).Match(out) {
			t.Errorf("the import planted in %s is not refused:\n%s", file, out)
		}
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func firstGoFile(t *testing.T, folder string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no Go file in %s", folder)
	}
	return filepath.Base(files[0])
}
