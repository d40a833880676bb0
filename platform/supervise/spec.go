// Package supervise keeps a set of processes running in the order of their dependencies.
package supervise

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"
)

// A Kind says when a component has done its duty.
type Kind string

// Kinds of components.
const (
	Server Kind = "server" // runs for ever, restarted when it ends
	Task   Kind = "task"   // runs to success once
)

// A Check tells whether something works; it must obey the deadline of ctx.
type Check func(ctx context.Context) error

// A Spec says how one component is run.
type Spec struct {
	Name  string
	Kind  Kind
	Group string // reported in Status, means nothing here
	URL   string // where people reach the component; reported in Status

	Path string   // program, absolute
	Args []string // without the program's name
	Env  []string // whole environment, NAME=value
	Dir  string   // working directory
	Log  string   // file that stdout and stderr are appended to
	Nice int      // 0 to 19, as for nice(1): how far it gives way when processors are scarce

	// DependsOn names the components that must be ready, or done, before
	// this one starts. One that falters later does not stop this one.
	DependsOn []string
	// Files are read by the program when it starts. A change of their content
	// restarts it, as does a change of the program, Args or Env.
	Files []string
	// Hold, when not empty, keeps the component from starting; it names what
	// is missing.
	Hold string

	// Prepare runs before each start of the program; nil for nothing to do.
	Prepare Check
	// Ready tells whether a running server serves; nil means that it does.
	Ready Check
	// Alive tells whether a restart could help a server that is not Ready:
	// one that waits for its database is alive. Nil means the same as Ready.
	Alive Check

	StartTimeout time.Duration // until Ready; 0 means a minute
	ProbeTimeout time.Duration // of one call of Ready or Alive; 0 means the supervisor's
	// Drain asks a server that was ready to finish what it does and to end by itself,
	// when the others go on; nil for one that does so at StopSignal. It gets
	// that signal when Drain fails, or when it has not ended after DrainGrace.
	Drain      Check
	DrainGrace time.Duration
	StopSignal syscall.Signal // 0 means SIGTERM
	StopGrace  time.Duration  // from StopSignal to SIGKILL; 0 means 10 s
}

func (s Spec) startTimeout() time.Duration {
	if s.StartTimeout == 0 {
		return time.Minute
	}
	return s.StartTimeout
}

func (s Spec) stopSignal() syscall.Signal {
	if s.StopSignal == 0 {
		return syscall.SIGTERM
	}
	return s.StopSignal
}

func (s Spec) stopGrace() time.Duration {
	if s.StopGrace == 0 {
		return 10 * time.Second
	}
	return s.StopGrace
}

// hash changes exactly when a running process would have to be replaced to
// match the spec.
func (s Spec) hash() (string, error) {
	h := sha256.New()
	env := slices.Clone(s.Env)
	slices.Sort(env)
	if err := json.NewEncoder(h).Encode(struct {
		Kind           Kind
		Path, Dir, Log string
		Args, Env      []string
		Nice           int `json:",omitempty"`
	}{s.Kind, s.Path, s.Dir, s.Log, s.Args, env, s.Nice}); err != nil {
		return "", err
	}
	for _, name := range append([]string{s.Path}, s.Files...) {
		if err := hashFile(h, name); err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

func hashFile(h io.Writer, name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if info.IsDir() {
		return fmt.Errorf("%s is a folder; name its files", name)
	}
	fmt.Fprintf(h, "%s %d\n", name, info.Size())
	_, err = io.Copy(h, f)
	return err
}

// check refuses specs that cannot be run together.
func check(specs []Spec) error {
	byName := map[string]Spec{}
	for _, s := range specs {
		if s.Name == "" || strings.ContainsAny(s.Name, "/ \n") {
			return fmt.Errorf("component name %q: must be one word without slashes", s.Name)
		}
		if _, double := byName[s.Name]; double {
			return fmt.Errorf("component %s is there twice", s.Name)
		}
		if s.Kind != Server && s.Kind != Task {
			return fmt.Errorf("component %s: kind %q is neither server nor task", s.Name, s.Kind)
		}
		byName[s.Name] = s
	}
	const visiting, visited = 1, 2
	mark := map[string]int{}
	var visit func(name string, path []string) error
	visit = func(name string, path []string) error {
		path = append(path, name)
		switch mark[name] {
		case visited:
			return nil
		case visiting:
			return fmt.Errorf("components depend on each other in a circle: %s", strings.Join(path, " → "))
		}
		mark[name] = visiting
		for _, d := range byName[name].DependsOn {
			if _, ok := byName[d]; !ok {
				return fmt.Errorf("component %s depends on %s, which is not there", name, d)
			}
			if err := visit(d, path); err != nil {
				return err
			}
		}
		mark[name] = visited
		return nil
	}
	for _, s := range specs {
		if err := visit(s.Name, nil); err != nil {
			return err
		}
	}
	return nil
}
