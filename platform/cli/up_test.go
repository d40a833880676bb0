package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/datameesh/datameesh/platform/account"
	"github.com/datameesh/datameesh/platform/control"
	"github.com/datameesh/datameesh/platform/fetch"
	"github.com/datameesh/datameesh/platform/local"
	"github.com/datameesh/datameesh/platform/query"
	"github.com/datameesh/datameesh/platform/state"
	"github.com/datameesh/datameesh/platform/supervise"
)

// run runs a command line and returns its exit code and what it said.
func run(t *testing.T, arguments ...string) (code int, stderr string) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	before := os.Stderr
	os.Stderr = w
	defer func() { os.Stderr = before }()
	said := make(chan string)
	go func() {
		b, _ := io.ReadAll(r)
		said <- string(b)
	}()
	code = Main(t.Context(), arguments)
	_ = w.Close()
	return code, <-said
}

func TestExitCodes(t *testing.T) {
	t.Setenv(state.HomeVariable, filepath.Join(t.TempDir(), "none"))
	for _, c := range []struct {
		line string
		code int
		says string
	}{
		{"up --bogus", exitUsage, "unknown flag: --bogus; see: meesh up --help"},
		{"up extra", exitUsage, "unknown command"},
		{"bogus", exitUsage, "unknown command"},
		{"up --profile half", exitUsage, "choose core or full"},
		{"up --scale huge", exitUsage, "choose one of small, demo, load"},
		{"up --as-of yesterday", exitUsage, "not a day like 2026-01-31"},
		{"up --as-of 2026-02-30", exitUsage, "not a day"},
		{"up --seed x", exitUsage, "--seed"},
		{"up --port-offset 36000", exitUsage, "not between 1024 and 65535"},
		{"status", exitUnreachable, "the mesh is not running"},
		{"status -o xml", exitUsage, "unknown output format"},
		{"seed", exitUnreachable, "no mesh has been started here"},
		{"logs", exitUnreachable, "no mesh has been started here"},
		{"down", exitDone, "Nothing runs"},
		{"down --volumes", exitDone, "Nothing runs"},
	} {
		code, said := run(t, strings.Fields(c.line)...)
		if code != c.code || !strings.Contains(said, c.says) {
			t.Errorf("meesh %s: exit code %d, want %d; said %q, want %q", c.line, code, c.code, said, c.says)
		}
	}
}

func TestAnInterruptedCommandSaysSoByItsCode(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if code := codeOf(ctx, context.Canceled); code != exitInterrupted {
		t.Errorf("exit code %d", code)
	}
}

func decide(t *testing.T, d state.Dir, flags ...string) (state.Mesh, error) {
	t.Helper()
	c := &cobra.Command{Use: "up"}
	var o upOptions
	o.flags(c)
	if err := c.ParseFlags(flags); err != nil {
		t.Fatal(err)
	}
	return o.decide(c, d)
}

func TestUpKeepsWhatWasDecided(t *testing.T) {
	d := state.Dir(t.TempDir())
	first, err := decide(t, d)
	today := time.Now().UTC().Format(time.DateOnly)
	if err != nil || first.Scale != "demo" || first.Seed != 42 || first.AsOf != today || first.PortOffset != 0 {
		t.Fatalf("fresh: %+v %v", first, err)
	}
	first.AsOf, first.Scale = "2026-01-31", "small"
	if err := state.Save(d, first); err != nil {
		t.Fatal(err)
	}
	if m, err := decide(t, d); err != nil || !reflect.DeepEqual(m, first) {
		t.Errorf("again: %+v %v", m, err)
	}
	if m, err := decide(t, d, "--scale", "small", "--as-of", "2026-01-31", "--seed", "42"); err != nil || !reflect.DeepEqual(m, first) {
		t.Errorf("again with the same flags: %+v %v", m, err)
	}
	if m, err := decide(t, d, "--port-offset", "100"); err != nil || m.PortOffset != 100 {
		t.Errorf("other ports: %+v %v", m, err)
	}
	_, err = decide(t, d, "--scale", "demo")
	if codeOf(t.Context(), err) != exitUsage || !strings.Contains(err.Error(), "seed --force --scale demo --seed 42 --as-of 2026-01-31") {
		t.Errorf("other data: %v", err)
	}
}

func TestRemoveStateKeepsWhatIsNotOurs(t *testing.T) {
	home := t.TempDir()
	t.Setenv(state.HomeVariable, home)
	d := state.Dir(home)
	me := account.Account{UID: uint32(os.Geteuid()), GID: uint32(os.Getegid())}
	if err := layOut(d, me); err != nil {
		t.Fatal(err)
	}
	for _, f := range []string{d.MeshFile(), d.Log("x"), filepath.Join(d.Bin(), "meesh"), filepath.Join(home, "letter.txt")} {
		if err := os.WriteFile(f, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := removeState(t.Context(), d, t.Output()); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(home)
	if err != nil || len(entries) != 1 || entries[0].Name() != "letter.txt" {
		t.Errorf("left: %v %v", entries, err)
	}
	if err := os.Remove(filepath.Join(home, "letter.txt")); err != nil {
		t.Fatal(err)
	}
	if err := layOut(d, me); err != nil {
		t.Fatal(err)
	}
	if err := removeState(t.Context(), d, t.Output()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(home); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder that was only ours is left: %v", err)
	}
}

func TestLayOutClosesTheServersFolders(t *testing.T) {
	d := state.Dir(t.TempDir())
	if err := layOut(d, account.Account{UID: uint32(os.Geteuid())}); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{d.Secrets(), d.Run(), d.Logs(), d.TLS(), d.Trino(), filepath.Dir(d.Data("x"))} {
		info, err := os.Stat(dir)
		if err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%s: %v %v", dir, info, err)
		}
	}
}

func TestStatusIsTheDocumentedList(t *testing.T) {
	var b bytes.Buffer
	w, err := query.NewWriter("json", &b)
	if err != nil {
		t.Fatal(err)
	}
	since := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	if err := writeStatus(w, []supervise.Status{
		{Name: "trino", State: supervise.Waiting, WaitingFor: []string{"download"}, URL: "https://localhost:30808", Since: since},
		{Name: "sales-db", State: supervise.Ready, Ready: true, PID: 7, RSSBytes: 12, Since: since},
	}); err != nil {
		t.Fatal(err)
	}
	type component struct {
		Name, State string
		Ready       bool
		WaitingFor  []string
		URL         string
		PID         int
		RSSBytes    int64
		Since       time.Time
		Error       string
	}
	var got []component
	d := json.NewDecoder(&b)
	d.DisallowUnknownFields()
	if err := d.Decode(&got); err != nil {
		t.Fatal(err)
	}
	want := []component{
		{"trino", "waiting", false, []string{"download"}, "https://localhost:30808", 0, 0, since, ""},
		{"sales-db", "ready", true, []string{}, "", 7, 12, since, ""},
	}
	for i := range want {
		if got[i].Name != want[i].Name || got[i].State != want[i].State || got[i].Ready != want[i].Ready ||
			!slices.Equal(got[i].WaitingFor, want[i].WaitingFor) || got[i].PID != want[i].PID ||
			got[i].RSSBytes != want[i].RSSBytes || !got[i].Since.Equal(want[i].Since) {
			t.Errorf("got %+v, want %+v", got[i], want[i])
		}
	}
}

func TestDoctorTellsWhatIsWrongWithTheMesh(t *testing.T) {
	for _, c := range []struct {
		components []supervise.Status
		err        error
		ok         bool
		found      string
	}{
		{nil, control.ErrNotRunning, true, "not running"},
		{[]supervise.Status{{Name: "sales-db"}}, errOrphaned, false, "1 components run without a supervisor"},
		{[]supervise.Status{{Name: "sales-db", Ready: true}}, nil, true, "all 1 components ready"},
		{[]supervise.Status{{Name: "trino", State: supervise.Backoff, Error: "signal: killed"}}, nil, false, "backoff, signal: killed"},
	} {
		checks := checkMesh(c.components, c.err)
		if len(checks) != 1 || checks[0].OK != c.ok || !strings.Contains(checks[0].Found, c.found) || checks[0].OK != (checks[0].Fix == "") {
			t.Errorf("%v, %v: %+v", c.components, c.err, checks)
		}
	}
}

func TestLogsShowTheEndAndFollow(t *testing.T) {
	d := state.Dir(t.TempDir())
	if err := os.Mkdir(d.Logs(), 0o700); err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("0123456789", 20_000) // longer than one block
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(d.Log("db"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("one\n" + long + "\nthree\n")
	var b bytes.Buffer
	if err := showLogs(t.Context(), &b, d, []string{"db"}, 2, false); err != nil || b.String() != long+"\nthree\n" {
		t.Errorf("last 2: %d bytes %v", b.Len(), err)
	}
	b.Reset()
	follow := &tail{path: d.Log("db"), prefix: "db | "}
	if err := follow.last(&b, 0); err != nil || b.Len() != 0 {
		t.Errorf("last 0: %q %v", b.String(), err)
	}
	write("one\n" + long + "\nthree\nfour\nfi")
	if err := follow.more(&b); err != nil || b.String() != "db | four\n" {
		t.Errorf("more: %q %v", b.String(), err)
	}
	write("one\n" + long + "\nthree\nfour\nfive\n")
	if err := follow.more(&b); err != nil || b.String() != "db | four\ndb | five\n" {
		t.Errorf("more: %q %v", b.String(), err)
	}
	b.Reset()
	write("rotated\n")
	if err := follow.more(&b); err != nil || b.String() != "db | rotated\n" {
		t.Errorf("after rotation: %q %v", b.String(), err)
	}
}

func TestDisplayWritesPlainLinesWhereNothingCanChange(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	v := newDisplay(f)
	db := supervise.Status{Name: "sales-db", Kind: supervise.Server, Group: local.Core, State: supervise.Starting, URL: "postgres://127.0.0.1:1"}
	v.Mesh([]supervise.Status{db})
	v.Fetch(fetch.Event{Package: "trino 476", Step: fetch.Downloading, Bytes: 10e6, Total: 100e6})
	v.Fetch(fetch.Event{Package: "trino 476", Step: fetch.Downloading, Bytes: 20e6, Total: 100e6})
	db.State, db.Failures, db.Error = supervise.Backoff, 1, "exit status 1"
	v.Mesh([]supervise.Status{db})
	db.Failures = 2
	v.Mesh([]supervise.Status{db})
	db.State, db.Ready = supervise.Ready, true
	v.Mesh([]supervise.Status{db})
	v.Line("Core ready.")
	v.Close()
	b, err := os.ReadFile(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	want := `  trino 476: downloading 10 MB of 100 MB (10 %)
  sales-db               exit status 1; tries again
  sales-db               ready  postgres://127.0.0.1:1
Core ready.
`
	if string(b) != want {
		t.Errorf("got:\n%s\nwant:\n%s", b, want)
	}
}
