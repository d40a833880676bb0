//go:build e2e

package jupyterhub_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/datameesh/datameesh/platform/jupyterhub"
	"github.com/datameesh/datameesh/platform/meshrun"
	"github.com/datameesh/datameesh/platform/meshtest"
	"github.com/datameesh/datameesh/platform/state"
	"github.com/datameesh/datameesh/platform/topology"
)

// A suite is the mesh that all parts of TestHub use.
type suite struct {
	*meshtest.Mesh
	run  func(ctx context.Context, args ...string) (string, error) // meesh
	home state.Dir
	root bool
}

// TestHub uses one mesh: its own, or that in $MEESH_HOME.
func TestHub(t *testing.T) {
	s := start(t)
	for _, part := range []struct {
		name string
		test func(*testing.T)
	}{
		{"files of the hub are closed", s.files},
		{"passwords", s.passwords},
		{"the audit record", s.audited},
		{"people are kept apart", s.isolation},
		{"databases are reached as oneself", s.databases},
		{"tokens", s.tokens},
		{"notebooks", s.notebooks},
		{"the federated query is fast in a notebook", s.latency},
		{"memory of a server is limited", s.memory},
		{"status shows people's servers", s.status},
		{"JupyterLab in a browser", s.browser},
		{"tour", s.tour}, // before the kills: it measures, and a Trino that has just begun is slow
		{"the tour names what is broken", s.tourBroken},
		{"the hub is killed", s.hubKilled},
		{"the proxy is killed", s.proxyKilled},
		{"a kernel is killed", s.kernelKilled},
		{"a home is full", s.diskFull},
		{"an interrupted query ends", s.interrupted},
		{"Trino is killed", s.trinoKilled},
		{"who changes a password logs in anew", s.changed},
		{"who is removed is out", s.removed},
		{"wrong passwords are slowed down", s.throttled}, // mia cannot log in for a minute
		{"log-in by a provider", s.loginByProvider},
		{"what a person leaves running", s.detached}, // last: "down" is to end it
	} {
		t.Run(part.name, part.test)
	}
}

func start(t *testing.T) *suite {
	t.Helper()
	if os.Getenv(state.HomeVariable) == "" {
		m, err := meshrun.Up(t.Context(), "../../bin")
		if m == nil {
			t.Fatal(err)
		}
		first := 0 // of the people's user ids
		t.Cleanup(func() {
			if t.Failed() {
				for _, args := range [][]string{{"status", "--all"}, {"logs", "-n", "20", "jupyterhub"}} {
					out, err := m.Run(context.Background(), args...)
					t.Logf("meesh %v: %v\n%s", args, err, out)
				}
			}
			if err := m.Down(); err != nil {
				t.Error(err)
			}
			// The guard has removed it, and the people's servers with it.
			if left, err := jupyterhub.Servers(string(m.Home)); err != nil || len(left) > 0 {
				t.Errorf("after down there are notebook servers: %v %v", left, err)
			}
			if first == 0 {
				return
			}
			if left, err := jupyterhub.OfUsers(first, first+topology.PersonUIDs-1); err != nil || len(left) > 0 {
				t.Errorf("after down there are processes of people: %v %v", left, err)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Setenv(state.HomeVariable, string(m.Home))
		decided, err := state.Load(m.Home)
		if err != nil {
			t.Fatal(err)
		}
		if first = decided.FirstUID; (first != 0) != (os.Geteuid() == 0) {
			t.Errorf("the people's user ids begin at %d", first)
		}
		return &suite{meshtest.Running(t), m.Run, m.Home, os.Geteuid() == 0}
	}
	home, err := filepath.Abs(os.Getenv(state.HomeVariable))
	if err != nil {
		t.Fatal(err)
	}
	m, err := meshrun.Running("../../bin", state.Dir(home))
	if err != nil {
		t.Fatal(err)
	}
	return &suite{meshtest.Running(t), m.Run, state.Dir(home), os.Geteuid() == 0}
}

// meesh runs a command, which must succeed, and gives its data.
func (s *suite) meesh(t *testing.T, args ...string) string {
	t.Helper()
	out, err := s.run(t.Context(), args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (s *suite) url() string { return "http://127.0.0.1:" + strconv.Itoa(s.Port(topology.PortHub)) }

// login logs in as a person.
func (s *suite) login(t *testing.T, person string) *jupyterhub.Client {
	t.Helper()
	c, err := jupyterhub.Login(t.Context(), s.url(), person, s.Password(person))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// server logs in as a person, whose server runs then.
func (s *suite) server(t *testing.T, person string) *jupyterhub.Client {
	t.Helper()
	c := s.login(t, person)
	begin := time.Now()
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Logf("server of %s: ready after %.1f s", person, time.Since(begin).Seconds())
	return c
}

// kernel is one of a person's, in their home folder.
func (s *suite) kernel(t *testing.T, person string) *jupyterhub.Kernel {
	t.Helper()
	k, err := s.server(t, person).Kernel(t.Context(), "test.ipynb")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = k.Close(context.Background()) })
	return k
}

// says runs code and gives what it prints, without blanks around.
func says(t *testing.T, k *jupyterhub.Kernel, code string) string {
	t.Helper()
	outputs, err := k.Run(t.Context(), code)
	if err != nil {
		t.Fatalf("%v\n%s\n%s", err, code, jupyterhub.Plain(outputs))
	}
	return strings.TrimSpace(jupyterhub.Plain(outputs))
}

func until(t *testing.T, what string, try func() error) {
	t.Helper()
	meshtest.Until(t, 5*time.Minute, what, try) // Trino takes three on a machine that tests much else
}

// component is one line of "status".
type component struct {
	Name     string `json:"name"`
	State    string `json:"state"`
	Ready    bool   `json:"ready"`
	PID      int    `json:"pid"`
	RSSBytes int64  `json:"rssBytes"`
}

// ready waits until a component serves that is not the process but.
func (s *suite) ready(t *testing.T, name string, but int) component {
	t.Helper()
	var found component
	until(t, name+" is ready", func() error {
		c, err := s.find(t, name)
		if err != nil {
			return err
		}
		if !c.Ready || c.PID == but {
			return fmt.Errorf("%s is %s, process %d", name, c.State, c.PID)
		}
		found = c
		return nil
	})
	return found
}
