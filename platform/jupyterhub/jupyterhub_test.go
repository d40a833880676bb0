package jupyterhub

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/datameesh/datameesh/platform/demo"
)

// clone is the folder of the domains.
const domains = "../../domains"

func committed(t *testing.T) map[string]Notebook {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(domains, "*", "notebooks", "*.ipynb"))
	if err != nil || len(paths) < 5 {
		t.Fatalf("%d notebooks: %v", len(paths), err)
	}
	all := map[string]Notebook{}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var n Notebook
		if err := json.Unmarshal(text, &n); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		all[filepath.Base(path)] = n
	}
	return all
}

// Results would hold data, and a password or an address what only one mesh has.
func TestNotebooksHoldNeitherResultsNorAddresses(t *testing.T) {
	forbidden := regexp.MustCompile(`(?i)localhost|127\.0\.0\.1|\b30\d{3}\b|password\s*=|secret|/var/|/home/|svc\.cluster`)
	for name, n := range committed(t) {
		ids := map[string]bool{}
		code := 0
		for _, c := range n.Cells {
			if len(c.Outputs) > 0 || c.Count != nil {
				t.Errorf("%s, cell %s has results: clear them before it is committed", name, c.ID)
			}
			if found := forbidden.FindString(string(c.Source)); found != "" {
				t.Errorf("%s, cell %s names %q", name, c.ID, found)
			}
			if c.ID == "" || ids[c.ID] {
				t.Errorf("%s: cell id %q is empty or there twice", name, c.ID)
			}
			ids[c.ID] = true
			if c.Type == "code" {
				code++
			}
		}
		if code == 0 || n.Format != 4 || n.Minor < 5 {
			t.Errorf("%s: %d code cells, format %d.%d", name, code, n.Format, n.Minor)
		}
	}
}

// Q1 to Q4 have one home: platform/demo.
func TestNotebookAsksTheQuestionsOfTheDemo(t *testing.T) {
	var all strings.Builder
	for _, c := range committed(t)["01-query-the-mesh.ipynb"].Cells {
		all.WriteString(string(c.Source) + "\n")
	}
	for _, q := range demo.Queries() {
		if !strings.Contains(all.String(), strings.TrimSpace(q.SQL)) {
			t.Errorf("%s is another statement than in platform/demo", q.Name)
		}
	}
}

func TestInstall(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "jupyterhub")
	for range 2 {
		if err := Install(dir, domains); err != nil {
			t.Fatal(err)
		}
	}
	for name, mode := range map[string]fs.FileMode{
		ConfigFile:                 0o644,
		"lab/overrides.json":       0o644,
		"python/meesh/__init__.py": 0o644,
		"notebooks/customer_journey/00-welcome.ipynb": 0o444,
		"notebooks": fs.ModeDir | 0o755,
	} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Mode() != mode {
			t.Errorf("%s: %v %v", name, info, err)
		}
	}
	// What changed is mended, what is no part of it goes.
	changed, stray := filepath.Join(dir, ConfigFile), filepath.Join(dir, "notebooks", "customer_journey", "old.ipynb")
	for _, path := range []string{changed, stray} {
		if err := os.WriteFile(path, []byte("x"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := Install(dir, domains); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(changed); err != nil || string(text) == "x" {
		t.Errorf("a changed file stays: %v", err)
	}
	if _, err := os.Stat(stray); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a stray notebook stays: %v", err)
	}
	if err := Install(dir, t.TempDir()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no notebooks: %v", err)
	}
}

// The locks hold hashes of everything and name no host.
func TestLocks(t *testing.T) {
	for name, lock := range map[string]string{"hub.lock": HubLock, "notebook.lock": NotebookLock} {
		pins := regexp.MustCompile(`(?m)^[a-z0-9_.-]+(\[[a-z,]+\])?==[^ ]+ \\$`).FindAllString(lock, -1)
		if len(pins) < 40 || strings.Contains(lock, "://") || strings.Count(lock, "--hash=sha256:") < len(pins) {
			t.Errorf("%s: %d packages", name, len(pins))
		}
		wanted, err := os.ReadFile(strings.TrimSuffix(name, ".lock") + ".in")
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(wanted)) {
			if pin := strings.TrimSpace(regexp.MustCompile(`\[.*\]`).ReplaceAllString(line, "")); pin != "" && !strings.HasPrefix(pin, "#") && !strings.Contains(lock, pin+" ") {
				t.Errorf("%s does not hold %s", name, pin)
			}
		}
	}
	var npm struct {
		Packages map[string]struct{ Resolved, Integrity string }
	}
	if err := json.Unmarshal([]byte(ProxyLock), &npm); err != nil || len(npm.Packages) < 20 {
		t.Fatalf("package-lock.json: %d packages, %v", len(npm.Packages), err)
	}
	for name, p := range npm.Packages {
		if name != "" && (p.Resolved != "" || !strings.HasPrefix(p.Integrity, "sha512-")) {
			t.Errorf("%s: %+v; npm's setting omit-lockfile-registry-resolved leaves hosts out", name, p)
		}
	}
	for name, version := range map[string]string{"JupyterHub": Version, "JupyterLab": LabVersion, "the proxy": ProxyVersion} {
		if !regexp.MustCompile(`^\d+\.\d+\.\d+$`).MatchString(version) {
			t.Errorf("version of %s: %q", name, version)
		}
	}
	if !strings.Contains(NotebookLock, "\njupyterhub=="+Version+" ") {
		t.Error("the hub and the people's servers have different versions")
	}
}

// Each file is at least Python.
func TestPythonCompiles(t *testing.T) {
	for _, name := range []string{ConfigFile, "python/meesh/__init__.py", "python/meesh/start.py", "python/meesh/server_config.py"} {
		out, err := exec.Command("python3", "-c", "import ast, sys; ast.parse(open(sys.argv[1]).read())", name).CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}

func TestNotebookFormat(t *testing.T) {
	made, err := json.Marshal(NewNotebook("x = 1", "y = 2"))
	if err != nil {
		t.Fatal(err)
	}
	var back Notebook
	if err := json.Unmarshal(made, &back); err != nil || len(back.Cells) != 2 || back.Cells[1].Source != "y = 2" {
		t.Errorf("%s %v", made, err)
	}
	for _, field := range []string{`"execution_count":null`, `"outputs":[]`, `"metadata":{}`, `"nbformat":4`} {
		if !strings.Contains(string(made), field) {
			t.Errorf("%s is not in %s", field, made)
		}
	}
	var text Text
	if err := json.Unmarshal([]byte(`["a\n","b"]`), &text); err != nil || text != "a\nb" {
		t.Errorf("lines: %q %v", text, err)
	}
	if got := Plain([]Output{{Type: "stream", Text: "a\n"}, {Type: "execute_result", Data: map[string]any{"text/plain": "42"}}, {Type: "display_data", Data: map[string]any{"text/plain": "<Figure>"}}}); got != "a\n42\n" {
		t.Errorf("plain text: %q", got)
	}
}
