package supervise

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

var helper string // the program that stands for all components

func TestMain(m *testing.M) { os.Exit(runTests(m)) }

func runTests(m *testing.M) int {
	dir, err := os.MkdirTemp("", "supervise")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	helper = filepath.Join(dir, "helper")
	if out, err := exec.Command("go", "build", "-o", helper, "./testdata/helper").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build helper: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

var quick = Timing{
	FirstProbe:    5 * time.Millisecond,
	ProbeEvery:    20 * time.Millisecond,
	ProbeTimeout:  200 * time.Millisecond,
	ProbeFailures: 3,
	MinPause:      10 * time.Millisecond,
	MaxPause:      100 * time.Millisecond,
	HealthyAfter:  time.Hour,
	TaskAttempts:  3,
	RotateEvery:   5 * time.Millisecond,
	RotateAt:      1 << 20,
}

// A stage is a folder in which helpers run.
type stage struct {
	t   *testing.T
	dir string
}

func newStage(t *testing.T) stage {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "run"), 0o700); err != nil {
		t.Fatal(err)
	}
	return stage{t, dir}
}

func (st stage) supervisor(timing Timing) *Supervisor {
	s := New(filepath.Join(st.dir, "run"), timing, slog.New(slog.NewTextHandler(st.t.Output(), nil)))
	st.t.Cleanup(s.Stop)
	return s
}

func (st stage) spec(kind Kind, name string, dependsOn ...string) Spec {
	mode := map[Kind]string{Server: "serve", Task: "task"}[kind]
	return Spec{
		Name: name, Kind: kind, DependsOn: dependsOn,
		Path: helper, Args: []string{mode, "-dir", st.dir, "-name", name},
		Dir: st.dir, Log: filepath.Join(st.dir, name+".log"),
	}
}

func (st stage) server(name string, dependsOn ...string) Spec {
	s := st.spec(Server, name, dependsOn...)
	s.Ready, s.Alive = st.get(name, "/readyz"), st.get(name, "/livez")
	return s
}

func (st stage) get(name, path string) Check {
	return func(ctx context.Context) error {
		addr, err := os.ReadFile(filepath.Join(st.dir, name+".addr"))
		if err != nil {
			return err
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+string(addr)+path, nil)
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		defer func() { _ = resp.Body.Close() }()
		if resp.StatusCode != http.StatusOK {
			return errors.New(resp.Status)
		}
		return nil
	}
}

func (st stage) touch(name string) {
	st.t.Helper()
	if err := os.WriteFile(filepath.Join(st.dir, name), nil, 0o600); err != nil {
		st.t.Fatal(err)
	}
}

func (st stage) remove(name string) {
	st.t.Helper()
	if err := os.Remove(filepath.Join(st.dir, name)); err != nil {
		st.t.Fatal(err)
	}
}

// diary is what the helpers did, in order.
func (st stage) diary() []string {
	b, err := os.ReadFile(filepath.Join(st.dir, "diary"))
	if err != nil && !os.IsNotExist(err) {
		st.t.Fatal(err)
	}
	return strings.Fields(strings.ReplaceAll(string(b), " ", "·"))
}

func reconcile(t *testing.T, s *Supervisor, specs ...Spec) Changes {
	t.Helper()
	c, err := s.Reconcile(specs)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// await waits until the component satisfies the condition.
func await(t *testing.T, s *Supervisor, name, what string, ok func(Status) bool) Status {
	t.Helper()
	deadline := time.After(30 * time.Second)
	for {
		all, changed := s.Status()
		i := slices.IndexFunc(all, func(st Status) bool { return st.Name == name })
		if i >= 0 && ok(all[i]) {
			return all[i]
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("%s is not %s: %+v", name, what, all)
		}
	}
}

func awaitState(t *testing.T, s *Supervisor, name string, state State) Status {
	t.Helper()
	return await(t, s, name, string(state), func(st Status) bool { return st.State == state })
}

func alive(pid int) bool {
	s, err := readStat(pid)
	return err == nil && s.running()
}

// awaitGone waits for the end of a process that is not ours to wait for.
func awaitGone(t *testing.T, pid int) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(30 * time.Second)
	for alive(pid) {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("process %d still runs", pid)
		}
	}
}

func before(t *testing.T, diary []string, first, second string) {
	t.Helper()
	i, j := slices.Index(diary, first), slices.Index(diary, second)
	if i < 0 || j < 0 || i > j {
		t.Errorf("%s does not come before %s in %v", first, second, diary)
	}
}

func TestStartsAndStopsInOrderOfDependencies(t *testing.T) {
	st := newStage(t)
	s := st.supervisor(quick)
	reconcile(t, s, st.server("api", "seed"), st.spec(Task, "seed", "migrate"), st.spec(Task, "migrate", "db"), st.server("db"), st.server("other"))
	awaitState(t, s, "api", Ready)
	awaitState(t, s, "other", Ready)
	s.Stop()
	d := st.diary()
	for _, pair := range [][2]string{
		{"start·db", "start·migrate"}, {"done·migrate", "start·seed"}, {"done·seed", "start·api"}, {"stop·api", "stop·db"},
	} {
		before(t, d, pair[0], pair[1])
	}
	all, _ := s.Status()
	for _, c := range all {
		if c.State != Stopped || c.PID != 0 {
			t.Errorf("after Stop: %+v", c)
		}
	}
	if left, err := readRecords(s.dir); err != nil || len(left) > 0 {
		t.Errorf("records left after Stop: %v %v", left, err)
	}
	if _, err := s.Reconcile(nil); !errors.Is(err, ErrEnded) {
		t.Errorf("Reconcile after Stop: %v", err)
	}
}

func TestSaysWhatItWaitsFor(t *testing.T) {
	st := newStage(t)
	s := st.supervisor(quick)
	st.touch("db.unready")
	held := st.server("trino")
	held.Hold, held.Path = "download", "/not/there/yet"
	reconcile(t, s, st.server("db"), st.server("api", "db"), held)
	awaitState(t, s, "db", Starting)
	got := await(t, s, "api", "waiting for db", func(c Status) bool { return slices.Equal(c.WaitingFor, []string{"db"}) })
	if got.State != Waiting || got.Ready {
		t.Errorf("api: %+v", got)
	}
	await(t, s, "trino", "waiting for download", func(c Status) bool { return slices.Equal(c.WaitingFor, []string{"download"}) })
	st.remove("db.unready")
	awaitState(t, s, "api", Ready)
	changes := reconcile(t, s, st.server("db"), st.server("api", "db"), st.server("trino"))
	if changes.String() != "started trino" {
		t.Errorf("changes: %s", changes)
	}
	awaitState(t, s, "trino", Ready)
}

func TestRestartsWhatCrashed(t *testing.T) {
	st := newStage(t)
	s := st.supervisor(quick)
	reconcile(t, s, st.server("db"), st.server("api", "db"))
	api := awaitState(t, s, "api", Ready)
	for range 3 {
		pid := awaitState(t, s, "db", Ready).PID
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		await(t, s, "db", "ready again", func(c Status) bool { return c.Ready && c.PID != pid })
	}
	if now := awaitState(t, s, "api", Ready); now.PID != api.PID {
		t.Errorf("api was restarted with its database: %+v", now)
	}
	if c := awaitState(t, s, "db", Ready); c.Failures != 3 {
		t.Errorf("db failed 3 times, status says %d", c.Failures)
	}
}

func TestPausesGrowAndEnd(t *testing.T) {
	p := quick.pause()
	var got []time.Duration
	for range 6 {
		got = append(got, p.next()/time.Millisecond)
	}
	if want := []time.Duration{10, 20, 40, 80, 100, 100}; !slices.Equal(got, want) {
		t.Errorf("pauses %v, want %v", got, want)
	}
}

func TestForgetsFailuresOfTheHealthy(t *testing.T) {
	st := newStage(t)
	timing := quick
	timing.HealthyAfter = 50 * time.Millisecond
	s := st.supervisor(timing)
	reconcile(t, s, st.server("db"))
	pid := awaitState(t, s, "db", Ready).PID
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	await(t, s, "db", "failed", func(c Status) bool { return c.Failures == 1 && c.Error == "signal: killed" })
	await(t, s, "db", "forgiven", func(c Status) bool { return c.Ready && c.Failures == 0 && c.Error == "" })
}

func TestRestartsWhatDoesNotAnswer(t *testing.T) {
	st := newStage(t)
	s := st.supervisor(quick)
	reconcile(t, s, st.server("api"))
	pid := awaitState(t, s, "api", Ready).PID
	st.touch("api.mute")
	c := awaitState(t, s, "api", Unhealthy)
	if c.Ready || c.PID != pid {
		t.Errorf("unhealthy: %+v", c)
	}
	await(t, s, "api", "ended", func(c Status) bool { return c.PID != pid && strings.Contains(c.Error, "did not answer") })
	st.remove("api.mute")
	awaitState(t, s, "api", Ready)
}

func TestKillsWhatDoesNotStop(t *testing.T) {
	st := newStage(t)
	s := st.supervisor(quick)
	spec := st.server("api")
	spec.StopGrace = 20 * time.Millisecond
	reconcile(t, s, spec)
	pid := awaitState(t, s, "api", Ready).PID
	// A process that is stopped obeys SIGKILL only.
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	await(t, s, "api", "replaced", func(c Status) bool { return c.Ready && c.PID != pid })
	if alive(pid) {
		t.Error("the process that did not answer still runs")
	}
}

func TestDoesNotRestartWhatOnlyWaitsForAnother(t *testing.T) {
	st := newStage(t)
	s := st.supervisor(quick)
	reconcile(t, s, st.server("db"), st.server("api", "db"))
	api := awaitState(t, s, "api", Ready)
	st.touch("db.unready")
	st.touch("api.unready")
	awaitState(t, s, "db", Unhealthy)
	await(t, s, "api", "waiting for db", func(c Status) bool {
		return c.State == Unhealthy && slices.Equal(c.WaitingFor, []string{"db"})
	})
	// Many more probes than would be allowed to something dead.
	probes := 0
	spec := st.server("witness")
	ready := spec.Ready
	enough := make(chan struct{})
	spec.Ready = func(ctx context.Context) error {
		if probes++; probes == 4*quick.ProbeFailures {
			close(enough)
		}
		return ready(ctx)
	}
	reconcile(t, s, st.server("db"), st.server("api", "db"), spec)
	<-enough
	st.remove("db.unready")
	st.remove("api.unready")
	if c := awaitState(t, s, "api", Ready); c.PID != api.PID {
		t.Errorf("restarted: %+v", c)
	}
}

func TestGivesUpOnAServerThatNeverGetsReady(t *testing.T) {
	st := newStage(t)
	s := st.supervisor(quick)
	st.touch("api.unready")
	spec := st.server("api")
	spec.StartTimeout = 50 * time.Millisecond
	reconcile(t, s, spec)
	await(t, s, "api", "timed out", func(c Status) bool {
		return c.Failures >= 2 && strings.Contains(c.Error, "not ready after 50ms") && strings.Contains(c.Error, "503")
	})
	st.remove("api.unready")
	awaitState(t, s, "api", Ready)
}

func TestReportsATaskThatFails(t *testing.T) {
	st := newStage(t)
	s := st.supervisor(quick)
	st.touch("migrate.fail")
	specs := []Spec{st.server("db"), st.spec(Task, "migrate", "db"), st.server("api", "migrate")}
	reconcile(t, s, specs...)
	c := awaitState(t, s, "migrate", Failed)
	if c.Failures != quick.TaskAttempts || c.Error != "exit status 1" ||
		!slices.Equal(c.LogTail, []string{"migrate: the file that makes me fail exists"}) {
		t.Errorf("migrate: %+v", c)
	}
	await(t, s, "api", "blocked", func(c Status) bool { return c.State == Waiting && slices.Equal(c.WaitingFor, []string{"migrate"}) })
	st.remove("migrate.fail")
	if changes := reconcile(t, s, specs...); changes.String() != "nothing changed" {
		t.Errorf("changes: %s", changes)
	}
	if c := awaitState(t, s, "migrate", Done); c.Failures != 0 || c.Error != "" || !c.Ready {
		t.Errorf("migrate: %+v", c)
	}
	awaitState(t, s, "api", Ready)
}

func TestPrepareRunsBeforeEachStart(t *testing.T) {
	st := newStage(t)
	s := st.supervisor(quick)
	spec := st.server("db")
	prepared := 0
	spec.Prepare = func(context.Context) error {
		if prepared++; prepared == 1 {
			return errors.New("remains of the last run")
		}
		return nil
	}
	reconcile(t, s, spec)
	if c := awaitState(t, s, "db", Ready); c.Failures != 1 || prepared != 2 {
		t.Errorf("prepared %d times: %+v", prepared, c)
	}
}

func TestReconcileTouchesOnlyWhatChanged(t *testing.T) {
	st := newStage(t)
	s := st.supervisor(quick)
	program := filepath.Join(st.dir, "program")
	copyFile(t, helper, program, "")
	config := filepath.Join(st.dir, "config")
	if err := os.WriteFile(config, []byte("a=1"), 0o600); err != nil {
		t.Fatal(err)
	}
	specs := func() []Spec {
		byProgram, byConfig, byArgs := st.server("program", "db"), st.server("config", "db"), st.server("args", "db")
		byProgram.Path = program
		byConfig.Files = []string{config}
		return []Spec{st.server("db"), byProgram, byConfig, byArgs, st.server("same", "args")}
	}
	reconcile(t, s, specs()...)
	names := []string{"db", "program", "config", "args", "same"}
	pids := func() map[string]int {
		m := map[string]int{}
		for _, n := range names {
			m[n] = awaitState(t, s, n, Ready).PID
		}
		return m
	}
	first := pids()
	if c := reconcile(t, s, specs()...); c.String() != "nothing changed" || len(c.Unchanged) != 5 {
		t.Errorf("first: %+v", c)
	}

	copyFile(t, helper, program, "one byte more")
	if err := os.WriteFile(config, []byte("a=2"), 0o600); err != nil {
		t.Fatal(err)
	}
	changed := specs()
	changed[3].Env = []string{"A=1"}
	if c := reconcile(t, s, changed...); c.String() != "restarted program, config, args" {
		t.Errorf("second: %s", c)
	}
	second := pids()
	for _, n := range names {
		restarted := n != "db" && n != "same"
		if (first[n] != second[n]) != restarted {
			t.Errorf("%s: process %d, then %d", n, first[n], second[n])
		}
	}

	if c := reconcile(t, s, changed[:4]...); c.String() != "stopped same" {
		t.Errorf("third: %s", c)
	}
	if alive(second["same"]) {
		t.Error("the component that is not wanted any more still runs")
	}
}

// copyFile replaces to by a copy of from with something added, as an upgrade
// does: the running program keeps its file.
func copyFile(t *testing.T, from, to, add string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to+".new", append(b, add...), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(to+".new", to); err != nil {
		t.Fatal(err)
	}
}

func TestRefusesSpecsThatCannotWork(t *testing.T) {
	st := newStage(t)
	s := st.supervisor(quick)
	for want, specs := range map[string][]Spec{
		"depends on b, which is not there":                       {st.server("a", "b")},
		"components depend on each other in a circle: a → b → a": {st.server("a", "b"), st.server("b", "a")},
		"component a is there twice":                             {st.server("a"), st.server("a")},
		"must be one word":                                       {st.server("a b")},
		"no such file":                                           {{Name: "a", Kind: Server, Path: "/nowhere"}},
	} {
		if _, err := s.Reconcile(specs); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

// killedSupervisor runs a supervisor of the specs as a process of its own,
// waits until ready says so and kills it.
func (st stage) killedSupervisor(specs []Spec, ready func() bool) {
	st.t.Helper()
	plain := slices.Clone(specs)
	for i := range plain {
		plain[i].Ready, plain[i].Alive = nil, nil // functions cannot be passed on
	}
	b, err := json.Marshal(plainSpecs(plain))
	if err != nil {
		st.t.Fatal(err)
	}
	file := filepath.Join(st.dir, "specs.json")
	if err := os.WriteFile(file, b, 0o600); err != nil {
		st.t.Fatal(err)
	}
	cmd := exec.Command(helper, "supervise", "-dir", st.dir, "-specs", file)
	cmd.Stderr = st.t.Output()
	if err := cmd.Start(); err != nil {
		st.t.Fatal(err)
	}
	defer func() { _ = cmd.Wait() }()
	defer func() { _ = cmd.Process.Kill() }()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(30 * time.Second)
	for !ready() {
		select {
		case <-tick.C:
		case <-deadline:
			st.t.Errorf("the supervisor started nothing: %v", st.diary())
			return
		}
	}
}

// plainSpecs drops the fields that JSON cannot carry.
func plainSpecs(specs []Spec) []map[string]any {
	var all []map[string]any
	for _, s := range specs {
		all = append(all, map[string]any{
			"Name": s.Name, "Kind": s.Kind, "Path": s.Path, "Args": s.Args, "Dir": s.Dir, "Log": s.Log, "DependsOn": s.DependsOn,
		})
	}
	return all
}

func TestTakesOverWhatAKilledSupervisorLeft(t *testing.T) {
	st := newStage(t)
	same, changed, gone := st.server("same"), st.server("changed", "same"), st.server("gone", "same")
	st.killedSupervisor([]Spec{same, changed, gone}, func() bool {
		pids, err := Recorded(filepath.Join(st.dir, "run"))
		return err == nil && len(pids) == 3 && exists(st, "same.addr") && exists(st, "changed.addr") && exists(st, "gone.addr")
	})
	left, err := Recorded(filepath.Join(st.dir, "run"))
	if err != nil || len(left) != 3 {
		t.Fatalf("left: %v %v", left, err)
	}
	// A process that merely has the number of one of ours must stay untouched.
	stranger := exec.Command(helper, "serve", "-dir", st.dir, "-name", "stranger")
	if err := stranger.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stranger.Wait() }()
	defer func() { _ = stranger.Process.Kill() }()
	boot, err := bootID()
	if err != nil {
		t.Fatal(err)
	}
	if err := writeRecord(filepath.Join(st.dir, "run"), record{Component: "fourth", PID: stranger.Process.Pid, Start: 1, Boot: boot, Signal: syscall.SIGKILL}); err != nil {
		t.Fatal(err)
	}

	s := st.supervisor(quick)
	changed.Env = []string{"A=1"}
	reconcile(t, s, same, changed)
	if c := awaitState(t, s, "same", Ready); c.PID != left["same"] {
		t.Errorf("same was process %d, is %d", left["same"], c.PID)
	}
	if c := awaitState(t, s, "changed", Ready); c.PID == left["changed"] {
		t.Error("changed still runs with its old environment")
	}
	for _, n := range []string{"changed", "gone"} {
		if alive(left[n]) {
			t.Errorf("%s: the old process still runs", n)
		}
		if !slices.Contains(st.diary(), "stop·"+n) {
			t.Errorf("%s was not ended gracefully: %v", n, st.diary())
		}
	}
	if !alive(stranger.Process.Pid) {
		t.Error("a process of somebody else was ended")
	}

	// What was taken over is watched like what was started.
	if err := syscall.Kill(left["same"], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	c := await(t, s, "same", "ready again", func(c Status) bool { return c.Ready && c.PID != left["same"] })
	s.Stop()
	awaitGone(t, c.PID)
}

func exists(st stage, name string) bool {
	_, err := os.Stat(filepath.Join(st.dir, name))
	return err == nil
}

func TestFindsWhatWasNotRecorded(t *testing.T) {
	st := newStage(t)
	db := st.server("db")
	st.killedSupervisor([]Spec{db}, func() bool {
		pids, err := Recorded(filepath.Join(st.dir, "run"))
		return err == nil && len(pids) == 1 && exists(st, "db.addr")
	})
	left, err := Recorded(filepath.Join(st.dir, "run"))
	if err != nil {
		t.Fatal(err)
	}
	// As if the supervisor had been killed before it could write.
	st.remove("run/db" + recordSuffix)
	s := st.supervisor(quick)
	reconcile(t, s, db)
	if c := awaitState(t, s, "db", Ready); c.PID == left["db"] || alive(left["db"]) {
		t.Errorf("process %d of the killed supervisor still runs; status %+v", left["db"], c)
	}
}

func TestLetsATaskOfAKilledSupervisorFinish(t *testing.T) {
	st := newStage(t)
	st.touch("seed.hang")
	seed := st.spec(Task, "seed")
	st.killedSupervisor([]Spec{seed}, func() bool { return slices.Contains(st.diary(), "start·seed") })
	s := st.supervisor(quick)
	reconcile(t, s, seed)
	first := awaitState(t, s, "seed", Running).PID
	st.remove("seed.hang")
	awaitState(t, s, "seed", Done)
	if alive(first) {
		t.Error("two runs at once")
	}
	if d := st.diary(); slices.Contains(d, "stop·seed") || len(d) != 5 { // the supervisor's own start too
		t.Errorf("diary: %v", d)
	}
}

func TestDetachHandsOver(t *testing.T) {
	st := newStage(t)
	first := st.supervisor(quick)
	specs := []Spec{st.server("db"), st.server("api", "db")}
	reconcile(t, first, specs...)
	db, api := awaitState(t, first, "db", Ready), awaitState(t, first, "api", Ready)
	first.Detach()
	second := st.supervisor(quick)
	reconcile(t, second, specs...)
	if c := awaitState(t, second, "db", Ready); c.PID != db.PID {
		t.Errorf("db: %+v", c)
	}
	if c := awaitState(t, second, "api", Ready); c.PID != api.PID {
		t.Errorf("api: %+v", c)
	}
	if d := st.diary(); len(d) != 2 {
		t.Errorf("diary: %v", d)
	}
}

func TestMeasuresMemory(t *testing.T) {
	st := newStage(t)
	s := st.supervisor(quick)
	reconcile(t, s, st.server("db"), st.spec(Task, "migrate"))
	awaitState(t, s, "db", Ready)
	awaitState(t, s, "migrate", Done)
	all := s.Measure()
	if all[0].RSSBytes < 100<<10 || all[0].RSSBytes > 1<<30 || all[1].RSSBytes != 0 {
		t.Errorf("memory: %+v", all)
	}
}

// A component that is nice gives way to the threads of other sessions too.
func TestGivesWay(t *testing.T) {
	st := newStage(t)
	s := st.supervisor(quick)
	nice := st.server("trino")
	nice.Nice = 10
	reconcile(t, s, nice, st.server("db"))
	pid, other := awaitState(t, s, "trino", Ready).PID, awaitState(t, s, "db", Ready).PID
	ours, err := unix.Getpriority(unix.PRIO_PROCESS, other) // 20 less what nice(1) says
	if err != nil {
		t.Fatal(err)
	}
	if its, err := unix.Getpriority(unix.PRIO_PROCESS, pid); err != nil || its != max(ours-10, 1) {
		t.Errorf("priority of the nice one: %d, %v; of another: %d", its, err, ours)
	}
	if session, err := unix.Getsid(pid); err != nil || session != pid {
		t.Errorf("process %d is of session %d, %v", pid, session, err)
	}
	group, err := os.ReadFile(fmt.Sprintf("/proc/%d/autogroup", pid))
	if errors.Is(err, fs.ErrNotExist) {
		t.Skip("this kernel does not share processors between sessions")
	}
	if err != nil || !strings.HasSuffix(strings.TrimSpace(string(group)), "nice 10") {
		t.Errorf("the session's share: %q, %v", group, err)
	}
}

func TestKeepsLogsSmall(t *testing.T) {
	st := newStage(t)
	timing := quick
	timing.RotateAt = 1000
	s := st.supervisor(timing)
	reconcile(t, s, st.server("db"))
	awaitState(t, s, "db", Ready)
	name := filepath.Join(st.dir, "db.log")
	line := strings.Repeat("x", 2000)
	if err := os.WriteFile(name, []byte(line), 0o600); err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(30 * time.Second)
	for logSize(name) != 0 || logSize(name+".1") != 2000 {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("log holds %d bytes, its predecessor %d", logSize(name), logSize(name+".1"))
		}
	}
}

// What is taken away while others go on may finish its work first.
func TestDrainsWhatIsTakenAway(t *testing.T) {
	st := newStage(t)
	s := st.supervisor(quick)
	var pid int
	drained := map[string]int{}
	spec := func(name string, drain Check) Spec {
		spec := st.server(name)
		spec.DrainGrace = 100 * time.Millisecond
		spec.Drain = func(ctx context.Context) error {
			drained[name]++
			return drain(ctx)
		}
		return spec
	}
	leaves := spec("leaves", func(context.Context) error { return syscall.Kill(pid, syscall.SIGKILL) })
	leaves.DrainGrace = time.Minute
	stays := spec("stays", func(context.Context) error { return nil })
	refuses := spec("refuses", func(context.Context) error { return errors.New("not now") })
	last := spec("last", func(context.Context) error { return nil })
	reconcile(t, s, leaves, stays, refuses, last)
	pid = awaitState(t, s, "leaves", Ready).PID
	for _, name := range []string{"stays", "refuses", "last"} {
		awaitState(t, s, name, Ready)
	}
	for _, rest := range [][]Spec{{stays, refuses, last}, {refuses, last}, {last}} {
		reconcile(t, s, rest...)
	}
	d := st.diary()
	if slices.Contains(d, "stop·leaves") {
		t.Errorf("one that ended by itself got a signal: %v", d)
	}
	if !slices.Contains(d, "stop·stays") || !slices.Contains(d, "stop·refuses") {
		t.Errorf("one that did not end got no signal: %v", d)
	}
	s.Stop()
	if want := map[string]int{"leaves": 1, "stays": 1, "refuses": 1}; !maps.Equal(drained, want) {
		t.Errorf("drained %v, want %v; when all ends nobody waits", drained, want)
	}
}
