package audit

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

var testKey = []byte("only for this test")

func open(t *testing.T, dir string, limits Limits) *Record {
	t.Helper()
	r, err := Open(dir, testKey, limits)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

func event(who string, at time.Time) Event {
	return Event{At: at, Who: who, Tool: ToolHub, Action: "login", Outcome: OK}
}

func keep(t *testing.T, r *Record, events ...Event) {
	t.Helper()
	if err := r.Append(events...); err != nil {
		t.Fatal(err)
	}
}

func found(t *testing.T, dir string, f Filter) string {
	t.Helper()
	var got []string
	if _, err := Search(dir, f, func(e Entry) error {
		got = append(got, fmt.Sprintf("%d %s", e.Seq, e.Who))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return strings.Join(got, ", ")
}

func TestRecordKeepsAndFinds(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "audit")
	if s, err := Search(dir, Filter{}, nil); s != (Searched{}) || err != nil {
		t.Errorf("no record: %+v %v", s, err)
	}
	now := time.Now().Truncate(time.Millisecond)
	r := open(t, dir, DefaultLimits)
	if _, err := Open(dir, testKey, DefaultLimits); !errors.Is(err, ErrInUse) {
		t.Errorf("a second one: %v", err)
	}
	old := event("alex", now.Add(-2*time.Hour))
	if who := event(strings.Repeat("ä", 1000), now).clean().Who; len(who) > maxWho || !strings.HasPrefix(who, "ää") {
		t.Errorf("who takes %d bytes", len(who))
	}
	query := Event{At: now, Who: "alex", Tool: ToolTrino, Action: "query", Object: "sales.public.customers", Outcome: Refused, Detail: "a\nb\x1b[31m", ID: "q1"}
	keep(t, r, old, event("mike", now))
	keep(t, r, query, query)
	keep(t, r, query, event("emma", now))
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	r = open(t, dir, DefaultLimits) // what it knew, it knows again
	keep(t, r, query, event("sam", now))
	for _, c := range []struct {
		f    Filter
		want string
	}{
		{Filter{}, "1 alex, 2 mike, 3 alex, 4 emma, 5 sam"},
		{Filter{Who: "alex"}, "1 alex, 3 alex"},
		{Filter{Who: "ale"}, ""},
		{Filter{Who: "alex", Since: now.Add(-time.Hour)}, "3 alex"},
		{Filter{Until: now}, "1 alex"},
		{Filter{Tool: ToolTrino, Action: "query", Outcome: Refused, Object: "PUBLIC.cust"}, "3 alex"},
		{Filter{Outcome: Failed}, ""},
	} {
		if got := found(t, dir, c.f); got != c.want {
			t.Errorf("%+v: %s, want %s", c.f, got, c.want)
		}
	}
	if _, err := Search(dir, Filter{Tool: ToolTrino}, func(e Entry) error {
		if e.Detail != "a b [31m" {
			t.Errorf("detail %q could move a terminal's cursor", e.Detail)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if head, n, err := Verify(dir, testKey, Head{}); err != nil || n != 5 || head.Seq != 5 {
		t.Errorf("verify: %v %d %v", head, n, err)
	}
	info, err := os.Stat(recordPath(t, dir))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v %v", info.Mode(), err)
	}
}

func recordPath(t *testing.T, dir string) string {
	t.Helper()
	files, err := recordFiles(dir)
	if err != nil || len(files) == 0 {
		t.Fatalf("files %v %v", files, err)
	}
	return filepath.Join(dir, files[0].name)
}

// Whatever is done to the files without the key is found.
func TestVerifyFindsTampering(t *testing.T) {
	write := func(t *testing.T) (dir string, lines []string, head Head) {
		dir = t.TempDir()
		r := open(t, dir, DefaultLimits)
		for _, who := range []string{"alex", "mike", "emma", "sam"} {
			keep(t, r, event(who, time.Now()))
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		head, _, err := Verify(dir, testKey, Head{})
		if err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(recordPath(t, dir))
		if err != nil {
			t.Fatal(err)
		}
		return dir, strings.SplitAfter(strings.TrimSuffix(string(text), "\n")+"\n", "\n")[:4], head
	}
	for name, c := range map[string]struct {
		tamper func(lines []string) []string
		want   string
	}{
		"untouched":      {func(l []string) []string { return l }, ""},
		"a name changed": {func(l []string) []string { l[1] = strings.Replace(l[1], "mike", "anna", 1); return l }, "number 2"},
		"last changed":   {func(l []string) []string { l[3] = strings.Replace(l[3], "sam", "tom", 1); return l }, "number 4"},
		"first changed":  {func(l []string) []string { l[0] = strings.Replace(l[0], "alex", "tom", 1); return l }, "number 1"},
		"removed":        {func(l []string) []string { return append(l[:1:1], l[2:]...) }, "number 3 follows number 1"},
		"swapped":        {func(l []string) []string { return []string{l[0], l[2], l[1], l[3]} }, "number 3 follows number 1"},
		"doubled":        {func(l []string) []string { return append(l, l[3]) }, "number 4 follows number 4"},
		"cut off":        {func(l []string) []string { return l[:2] }, "number 4, which was noted"},
		"no event":       {func(l []string) []string { return append(l, "anything\n") }, "no event"},
		"emptied":        {func([]string) []string { return nil }, "number 4, which was noted"},
	} {
		t.Run(name, func(t *testing.T) {
			dir, lines, head := write(t)
			if err := os.WriteFile(recordPath(t, dir), []byte(strings.Join(c.tamper(lines), "")), 0o600); err != nil {
				t.Fatal(err)
			}
			_, _, err := Verify(dir, testKey, head)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
	dir, _, head := write(t)
	if _, _, err := Verify(dir, []byte("another key"), head); err == nil {
		t.Error("another key verifies it")
	}
	if again, err := ParseHead(head.String()); err != nil || again != head {
		t.Errorf("head %v %v", again, err)
	}
	for _, bad := range []string{"", "4", "x:y", "0:a", "4:"} {
		if _, err := ParseHead(bad); err == nil {
			t.Errorf("%q is taken for a head", bad)
		}
	}
}

// A process that dies while it writes leaves half a line, which nobody was told is kept.
func TestOpenDropsHalfALine(t *testing.T) {
	dir := t.TempDir()
	r := open(t, dir, DefaultLimits)
	keep(t, r, event("alex", time.Now()))
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(recordPath(t, dir), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(`{"seq":2,"who":"mi`); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	keep(t, open(t, dir, DefaultLimits), event("emma", time.Now()))
	if got := found(t, dir, Filter{}); got != "1 alex, 2 emma" {
		t.Error(got)
	}
	if _, _, err := Verify(dir, testKey, Head{}); err != nil {
		t.Error(err)
	}
}

func TestRecordGoesOnAfterADamagedLine(t *testing.T) {
	dir := t.TempDir()
	r := open(t, dir, DefaultLimits)
	keep(t, r, event("alex", time.Now()))
	path := recordPath(t, dir)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("damaged\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r = open(t, dir, DefaultLimits)
	keep(t, r, event("mike", time.Now()))
	text, err := os.ReadFile(path)
	if err != nil || !strings.Contains(string(text), "no event") || !strings.Contains(string(text), "mike") {
		t.Errorf("%s %v", text, err)
	}
	if _, _, err := Verify(dir, testKey, Head{}); err == nil {
		t.Error("the damage is not found")
	}
	// What stands around it is found, in that file and in later ones.
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, append(text, "damaged too\n"...), 0o600); err != nil {
		t.Fatal(err)
	}
	var who []string
	s, err := Search(dir, Filter{Tool: ToolHub}, func(e Entry) error {
		who = append(who, e.Who)
		return nil
	})
	if want := (Searched{Looked: 2, Files: 1, Damaged: 2, First: filepath.Base(path) + ", line 1: a line that is no event"}); err != nil || s != want || !slices.Equal(who, []string{"mike"}) {
		t.Errorf("%+v %v of %v, want %+v", s, err, who, want)
	}
}

func TestRecordRotates(t *testing.T) {
	dir := t.TempDir()
	r := open(t, dir, Limits{FileBytes: 2000, Bytes: 6000, Keep: 48 * time.Hour})
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	r.now = func() time.Time { return now }
	for n := range 5 {
		keep(t, r, event(fmt.Sprintf("day-%d", n), now))
		now = now.AddDate(0, 0, 1)
	}
	if got := found(t, dir, Filter{Tool: ToolHub}); got != "3 day-2, 5 day-3, 7 day-4" && !strings.HasSuffix(got, "day-4") {
		t.Error(got)
	}
	files, err := recordFiles(dir)
	if err != nil || len(files) != 3 || files[0].day != "2026-11-22" {
		t.Errorf("%v %v", files, err)
	}
	for n := range 100 {
		keep(t, r, event(fmt.Sprintf("many-%d", n), now))
	}
	files, err = recordFiles(dir)
	var bytes int64
	for _, f := range files {
		bytes += f.bytes
	}
	if err != nil || len(files) < 3 || bytes > 6000+2*2000 {
		t.Errorf("%d files of %d bytes, %v", len(files), bytes, err)
	}
	if got := found(t, dir, Filter{Action: "drop"}); got == "" {
		t.Error("that files were dropped is not said")
	}
	if _, _, err := Verify(dir, testKey, Head{}); err != nil {
		t.Errorf("after files were dropped: %v", err)
	}
}

// A file that cannot be ended well is said once, and the record goes on in the next.
func TestRecordRotatesAfterAFault(t *testing.T) {
	dir := t.TempDir()
	r := open(t, dir, DefaultLimits)
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	r.now = func() time.Time { return now }
	keep(t, r, event("alex", now))
	now = now.AddDate(0, 0, 1)
	if err := r.file.Close(); err != nil { // so it can neither be synced nor closed
		t.Fatal(err)
	}
	if err := r.Append(event("mike", now)); !errors.Is(err, os.ErrClosed) {
		t.Errorf("the fault is not said: %v", err)
	}
	keep(t, r, event("mike", now)) // who sends comes again
	if got := found(t, dir, Filter{}); got != "1 alex, 2 mike" {
		t.Error(got)
	}
	if files, err := recordFiles(dir); err != nil || len(files) != 2 {
		t.Errorf("%v %v", files, err)
	}
	if _, _, err := Verify(dir, testKey, Head{}); err != nil {
		t.Error(err)
	}
}

// A full disk: the sender is told, and the record stays whole.
func TestAppendToAFullDisk(t *testing.T) {
	dir := t.TempDir()
	r := open(t, dir, DefaultLimits)
	keep(t, r, event("alex", time.Now()))
	signal.Ignore(syscall.SIGXFSZ)
	defer signal.Reset(syscall.SIGXFSZ)
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	limit := before
	limit.Cur = uint64(r.size) + 40
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	err := r.Append(event("mike", time.Now()))
	if restoreErr := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &before); restoreErr != nil {
		t.Fatal(restoreErr)
	}
	if err == nil {
		t.Fatal("kept on a full disk")
	}
	keep(t, r, event("emma", time.Now()))
	if got := found(t, dir, Filter{}); got != "1 alex, 2 emma" {
		t.Error(got)
	}
	if _, _, err := Verify(dir, testKey, Head{}); err != nil {
		t.Error(err)
	}
}
