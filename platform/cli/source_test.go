package cli

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/datameesh/datameesh/platform/control"
	"github.com/datameesh/datameesh/platform/secrets"
	"github.com/datameesh/datameesh/platform/source"
	"github.com/datameesh/datameesh/platform/state"
	"github.com/datameesh/datameesh/platform/supervise"
	"github.com/datameesh/datameesh/platform/topology"
)

// supervised answers the commands of a mesh without components: reconcile is called in
// place of a restart of Trino.
func supervised(t *testing.T, d state.Dir, store *secrets.Store, reconcile func() error) {
	t.Helper()
	if err := os.MkdirAll(d.Run(), 0o700); err != nil {
		t.Fatal(err)
	}
	listener, err := control.Listen(d)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: (&control.Server{
		Supervisor: supervise.New(d.Run(), supervise.DefaultTiming, nil),
		Reconcile:  func(control.Order) (supervise.Changes, error) { return supervise.Changes{}, reconcile() },
		Source:     func(p control.SourcePassword) error { return store.SetSource(p.Name, p.Password) },
	}).Handler()}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() {
		_ = server.Close()
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
}

func changing(t *testing.T, d state.Dir, store *secrets.Store) (*sourceChange, *bytes.Buffer) {
	t.Helper()
	m, err := state.Load(d)
	if err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	return &sourceChange{&startedMesh{d, m, store}, &said, control.NewClient(d)}, &said
}

// A removal that is cut off while Trino restarts leaves neither the source nor its password.
func TestRemovalThatIsCutOff(t *testing.T) {
	crm := state.Source{Name: "crm", Postgres: &state.PostgresSource{Address: "crm.example:5432", Database: "crm", User: "reader"}}
	for name, cut := range map[string]func(stop context.CancelFunc) error{
		"Ctrl-C":                 func(stop context.CancelFunc) error { stop(); return nil },
		"Trino does not restart": func(context.CancelFunc) error { return errors.New("no room") },
	} {
		t.Run(name, func(t *testing.T) {
			d, store := stopped(t)
			before := state.Mesh{PortOffset: 20_000, Sources: []state.Source{crm, {Name: "weather", Prefix: "analytics/weather/"}}}
			if err := errors.Join(state.Save(d, before), store.SetSource("crm", "a password")); err != nil {
				t.Fatal(err)
			}
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			supervised(t, d, store, func() error { return cut(stop) })
			s, _ := changing(t, d, store)
			after := before
			after.Sources = before.Sources[1:]
			if err := s.take(ctx, crm, after, supervise.Status{}); err == nil || !strings.Contains(err.Error(), "crm was removed, and Trino may not have restarted yet") {
				t.Errorf("it is not said: %v", err)
			}
			m, err := state.Load(d)
			if err != nil || len(m.Sources) != 1 || m.Sources[0].Name != "weather" {
				t.Errorf("the mesh has %+v, %v", m.Sources, err)
			}
			if has, err := store.HasSource("crm"); has || err != nil {
				t.Errorf("its password is left: %v", err)
			}
		})
	}
}

// What a removal has left is found by its name and goes; other names are refused as before.
func TestRemovalOfWhatIsLeft(t *testing.T) {
	d, store := stopped(t)
	supervised(t, d, store, func() error { return errors.New("nothing restarts") })
	if err := store.SetSource("crm", "a password"); err != nil {
		t.Fatal(err)
	}
	s, said := changing(t, d, store)
	for _, name := range []string{"weather", "../people", "system", ""} {
		if err := s.removeLeft(t.Context(), name); err == nil || !strings.Contains(err.Error(), "none was added") || codeOf(t.Context(), err) != exitUsage {
			t.Errorf("%q: %v", name, err)
		}
	}
	if err := s.removeLeft(t.Context(), "crm"); err != nil || !strings.Contains(said.String(), "crm was removed before") {
		t.Errorf("%v, said %q", err, said)
	}
	if has, err := store.HasSource("crm"); has || err != nil {
		t.Errorf("the password is still there: %v", err)
	}
	if err := s.removeLeft(t.Context(), "crm"); codeOf(t.Context(), err) != exitUsage {
		t.Errorf("a second time: %v", err)
	}
}

// Who checks a source is an engineer of this mesh, whoever that is.
func TestEngineerOfTheMesh(t *testing.T) {
	d, store := stopped(t)
	if err := store.AddPerson(topology.Person{Name: "zoe", Group: "engineers"}, ""); err != nil {
		t.Fatal(err)
	}
	s, _ := changing(t, d, store)
	if name, err := s.engineer(); name != "mike" || err != nil {
		t.Errorf("%q %v, want mike", name, err)
	}
	if err := store.RemovePerson("mike"); err != nil {
		t.Fatal(err)
	}
	if name, err := s.engineer(); name != "zoe" || err != nil {
		t.Errorf("%q %v, want zoe", name, err)
	}
}

// A source may be for any group of people, also one that nobody is in; not for programs.
func TestGroupsOfASource(t *testing.T) {
	d, store := stopped(t)
	if err := store.RemovePerson("emma"); err != nil {
		t.Fatal(err)
	}
	s, _ := changing(t, d, store)
	for group, ok := range map[string]bool{"executives": true, "analysts": true, "services": false, "services_ro": false, "nobody": false} {
		err := s.checkNew(state.Source{Name: "crm", Groups: []string{group}})
		_, invalid := errors.AsType[*source.InvalidError](err)
		if invalid == ok {
			t.Errorf("--allow %s: %v", group, err)
		}
		if invalid && !strings.Contains(err.Error(), "analysts, data_science, engineers, executives, marketing_team, sales_team") {
			t.Errorf("--allow %s does not say what there is: %v", group, err)
		}
	}
}
