package grafana

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// install makes a folder like a Grafana, whose program says the text.
func install(t *testing.T, program, says string) string {
	t.Helper()
	home := t.TempDir()
	for _, dir := range []string{"bin", "conf"} {
		if err := os.Mkdir(filepath.Join(home, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	script := "#!/bin/sh\necho '" + says + "'\n"
	if err := errors.Join(
		os.WriteFile(filepath.Join(home, "conf", "defaults.ini"), nil, 0o644),
		os.WriteFile(filepath.Join(home, "bin", program), []byte(script), 0o755),
	); err != nil {
		t.Fatal(err)
	}
	return home
}

func TestFind(t *testing.T) {
	old := homes
	homes = nil // this machine's
	t.Cleanup(func() { homes = old })
	t.Setenv("PATH", t.TempDir())
	t.Setenv(HomeVariable, "")
	if _, err := Find(t.Context()); !errors.Is(err, ErrNone) {
		t.Errorf("nothing there: %v", err)
	}
	newer, older := install(t, "grafana", "grafana version 12.4.11"), install(t, "grafana-server", "Version 9.3.2 (commit: 21c1d14e91, branch: HEAD)")
	ancient, broken := install(t, "grafana-server", "Version 8.5.0 (commit: x)"), install(t, "grafana", "no version")
	for name, c := range map[string]struct {
		home, path string
		installed  []string
		want       Installation
		err        string
	}{
		"installed":               {installed: []string{broken, newer, older}, want: Installation{newer, newer + "/bin/grafana", "12.4.11"}},
		"in PATH":                 {path: older + "/bin", want: Installation{older, older + "/bin/grafana-server", "9.3.2"}},
		"named":                   {home: older, installed: []string{newer}, want: Installation{older, older + "/bin/grafana-server", "9.3.2"}},
		"named, but too old":      {home: ancient, installed: []string{newer}, err: "Grafana 8.5.0 is older than 9.3"},
		"named, but not there":    {home: "/nowhere", err: HomeVariable + "=/nowhere: it holds no Grafana"},
		"named, but does not run": {home: broken, err: `says "no version"`},
		"only what cannot run":    {installed: []string{ancient, broken}, err: ErrNone.Error()},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(HomeVariable, c.home)
			if c.path != "" {
				t.Setenv("PATH", c.path)
			}
			got, err := Find(t.Context(), c.installed...)
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Errorf("got %v, want %q", err, c.err)
				}
				return
			}
			if err != nil || got != c.want {
				t.Errorf("got %+v %v, want %+v", got, err, c.want)
			}
		})
	}
}

func TestSourceType(t *testing.T) {
	for version, want := range map[string]string{
		"9.3.2": "postgres", "10.2.2": "postgres", "10.2.3": "grafana-postgresql-datasource", "11.0.0": "grafana-postgresql-datasource", "12.4.11": "grafana-postgresql-datasource",
	} {
		if got := (Installation{Version: version}).SourceType(); got != want {
			t.Errorf("%s calls it %s, want %s", version, got, want)
		}
	}
}

func TestCopyDashboards(t *testing.T) {
	from, to := t.TempDir(), filepath.Join(t.TempDir(), "deep", "to")
	put := func(name, text string) {
		t.Helper()
		path := filepath.Join(from, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	if err := CopyDashboards(to, from, "postgres"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("nothing generated: %v", err)
	}
	put("provisioning/dashboards/x.yaml", `{}`)
	put("dashboards/sales/a.json", `{"type": "grafana-postgresql-datasource"}`)
	put("dashboards/gone/b.json", `{}`)
	if err := CopyDashboards(to, from, "postgres"); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(filepath.Join(to, "dashboards/sales/a.json")); err != nil || string(text) != `{"type": "postgres"}` {
		t.Errorf("%s %v", text, err)
	}
	before, err := os.Stat(filepath.Join(to, "dashboards/sales/a.json"))
	if err != nil || before.Mode().Perm() != 0o644 {
		t.Errorf("%v %v: others must read it", before.Mode(), err)
	}
	if err := os.RemoveAll(filepath.Join(from, "dashboards/gone")); err != nil {
		t.Fatal(err)
	}
	if err := CopyDashboards(to, from, "postgres"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(to, "dashboards/gone")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("what is not generated any more stays: %v", err)
	}
	after, err := os.Stat(filepath.Join(to, "dashboards/sales/a.json"))
	if err != nil || !after.ModTime().Equal(before.ModTime()) {
		t.Errorf("a file that was right was written again: %v", err)
	}
}

// refusing is a Grafana that answers every request but those that it is given
// answers for with 500.
func refusing(t *testing.T, answers map[string]string) (Client, *[]string) {
	t.Helper()
	var asked []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		request := r.Method + " " + r.URL.Path
		asked = append(asked, request)
		answer, ok := answers[request]
		if !ok {
			http.Error(w, `{"message":"planted"}`, http.StatusInternalServerError)
			return
		}
		if code, _, number := strings.Cut(answer, "!"); number {
			var status int
			if _, err := fmt.Sscan(code, &status); err != nil {
				t.Error(err)
			}
			w.WriteHeader(status)
			return
		}
		_, _ = w.Write([]byte(answer))
	}))
	t.Cleanup(server.Close)
	return Client{server.URL, Admin, "x"}, &asked
}

// Setting up stops at what is refused, says who and what, and never takes a
// refusal for "not there".
func TestSetUpNamesWhatFails(t *testing.T) {
	people := []Person{{Login: "sarah", Role: RoleEditor, Folder: "Sarah", Password: "p"}}
	for name, c := range map[string]struct {
		answers map[string]string
		want    string
	}{
		"nothing answers":     {nil, "set up sarah: Grafana answers 500 to GET /api/users/lookup"},
		"cannot be made":      {map[string]string{"GET /api/users/lookup": "404!"}, "500 to POST /api/admin/users"},
		"password is refused": {map[string]string{"GET /api/users/lookup": `{"id":7}`, "GET /api/user": "401!"}, "500 to PUT /api/admin/users/7/password"},
		"disabled":            {map[string]string{"GET /api/users/lookup": `{"id":7,"isDisabled":true}`}, "500 to POST /api/admin/users/7/enable"},
		"role is refused":     {map[string]string{"GET /api/users/lookup": `{"id":7}`, "GET /api/user": "{}"}, "500 to PATCH /api/org/users/7"},
		"folder is refused": {map[string]string{"GET /api/users/lookup": `{"id":7}`, "GET /api/user": "{}", "PATCH /api/org/users/7": "{}", "GET /api/folders/sarah": "404!"},
			"500 to POST /api/folders"},
		"no JSON": {map[string]string{"GET /api/users/lookup": "<html>"}, "GET /api/users/lookup"},
	} {
		t.Run(name, func(t *testing.T) {
			admin, asked := refusing(t, c.answers)
			if _, err := SetUp(t.Context(), admin, people, nil); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q; asked %v", err, c.want, *asked)
			}
		})
	}
	t.Run("gone", func(t *testing.T) {
		admin, _ := refusing(t, map[string]string{"GET /api/users/lookup": `{"id":9}`, "POST /api/admin/users/9/disable": "{}"})
		if changes, err := SetUp(t.Context(), admin, nil, []string{"admin"}); err != nil || len(changes) != 1 {
			t.Errorf("%v %v", changes, err)
		}
		admin, asked := refusing(t, map[string]string{"GET /api/users/lookup": "404!"})
		if changes, err := SetUp(t.Context(), admin, nil, []string{"admin"}); err != nil || len(changes) != 0 || len(*asked) != 1 {
			t.Errorf("nobody is gone: %v %v %v", changes, err, *asked)
		}
	})
}

func TestClientErrors(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	if err := (Client{URL: server.URL}).Do(t.Context(), http.MethodGet, "/", nil, nil); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("nobody listens: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := (Client{URL: server.URL}).Do(ctx, http.MethodGet, "/", nil, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if err := (Client{}).Do(t.Context(), http.MethodPost, "/", func() {}, nil); err == nil {
		t.Error("what is no JSON was sent")
	}
}
