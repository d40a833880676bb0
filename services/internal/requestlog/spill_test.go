package requestlog

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/datameesh/datameesh/services/internal/background"
)

// A ledger is a logger that stores each batch once, by its id, as the real one
// does. What it answers, and whether it stores before it answers, is up to answer.
type ledger struct {
	mu     sync.Mutex
	ids    map[string]bool
	stored []int // the statuses of the entries, by which tests number them
	answer func() (store bool, status int)
}

func newLedger(t *testing.T, answer func() (bool, int)) (l *ledger, url string) {
	t.Helper()
	l = &ledger{ids: map[string]bool{}, answer: answer}
	server := httptest.NewServer(l)
	t.Cleanup(server.Close)
	return l, server.URL
}

func (l *ledger) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var b Batch
	if err := json.NewDecoder(r.Body).Decode(&b); err != nil {
		panic(err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	store, status := l.answer()
	if id := r.Header.Get("Idempotency-Key"); store && !l.ids[id] {
		l.ids[id] = true
		for _, e := range b.Entries {
			l.stored = append(l.stored, e.Status)
		}
	}
	if status == 0 {
		panic(http.ErrAbortHandler) // the connection breaks
	}
	w.WriteHeader(status)
}

// becomes makes the logger answer in another way.
func (l *ledger) becomes(answer func() (bool, int)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.answer = answer
}

// wantInOrder fails unless exactly the entries from..to-1 are stored, in order.
func (l *ledger) wantInOrder(t *testing.T, from, to int) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.stored) != to-from {
		t.Fatalf("%d entries are stored, want %d", len(l.stored), to-from)
	}
	for i, n := range l.stored {
		if n != from+i {
			t.Fatalf("entry %d stands where %d should", n, from+i)
		}
	}
}

func well() (bool, int)  { return true, 202 }
func badly() (bool, int) { return false, 503 }

// until waits for the counts to become what they shall be.
func until(t *testing.T, c *Client, what string, reached func(Counts) bool) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !reached(c.Counts()) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: still %+v", what, c.Counts())
		}
		time.Sleep(time.Millisecond)
	}
}

func record(c *Client, from, to int) {
	for i := from; i < to; i++ {
		c.Record(Entry{Status: i})
	}
}

// The logger is away for a while, then back: what was served meanwhile comes in
// order and once.
func TestSpillIsDrainedInOrder(t *testing.T) {
	t.Parallel()
	l, url := newLedger(t, badly)
	c := beginWith(t, Config{URL: url, SpillDir: t.TempDir()}, time.Millisecond)
	stop := watch(t, c)
	record(c, 0, 12_345)
	until(t, c, "away", func(n Counts) bool { return n.Spilled == 12_345 })
	l.becomes(well)
	record(c, 12_345, 15_000)
	until(t, c, "back", func(n Counts) bool { return n.Stored == 15_000 })
	stop()
	c.Stop(t.Context())
	want(t, c, Counts{Served: 15_000, Stored: 15_000})
	l.wantInOrder(t, 0, 15_000)
}

// A batch whose answer was lost is sent again under its id.
func TestLostAnswersStoreOnce(t *testing.T) {
	t.Parallel()
	n := 0
	l, url := newLedger(t, func() (bool, int) {
		n++
		return true, []int{0, 500, 202}[n%3] // each batch is stored at the first attempt
	})
	c := beginWith(t, Config{URL: url, SpillDir: t.TempDir()}, time.Millisecond)
	record(c, 0, 5000)
	until(t, c, "sent", func(n Counts) bool { return n.Stored == 5000 })
	c.Stop(t.Context())
	l.wantInOrder(t, 0, 5000)
}

// What the logger does not take until Stop ends is taken by the next process.
func TestStopSpillsAndStartResumes(t *testing.T) {
	t.Parallel()
	for name, url := range map[string]string{"away": "http://127.0.0.1:1", "hangs": func() string { url, _ := hanging(t); return url }()} {
		dir := t.TempDir()
		c := beginWith(t, Config{URL: url, SpillDir: dir}, never)
		record(c, 0, 2500)
		c.Stop(stopped())
		if got, want := c.Counts(), (Counts{Served: 2500, Spilled: 2500}); got != want {
			t.Errorf("%s: %+v", name, got)
		}
		c.Record(Entry{}) // after the end
		l, url := newLedger(t, well)
		c = beginWith(t, Config{URL: url, SpillDir: dir}, never)
		record(c, 2500, 2600)
		c.Stop(t.Context())
		want(t, c, Counts{Served: 2600, Stored: 2600})
		l.wantInOrder(t, 0, 2600)
	}
}

// killedVariable names the spill of a process that victim starts.
const killedVariable = "REQUESTLOG_TEST_KILLED"

// victim starts a test as a process of its own, with a spill in a folder of its
// own, and gives that, what the process says, and what kills it.
func victim(t *testing.T, test string) (dir string, says io.Reader, kill func()) {
	t.Helper()
	dir = t.TempDir()
	child := exec.Command(os.Args[0], "-test.run=^"+test+"$")
	child.Env = append(os.Environ(), killedVariable+"="+dir)
	says, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	return dir, says, func() {
		t.Helper()
		if err := child.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = child.Wait() // killed
	}
}

// TestKilled is the victim of TestKill: it spills two batches, keeps 300 entries
// in its queue and waits.
func TestKilled(t *testing.T) {
	dir := os.Getenv(killedVariable)
	if dir == "" {
		return // not that process: nothing to do
	}
	c := beginWith(t, Config{URL: "http://127.0.0.1:1", SpillDir: dir}, never)
	record(c, 0, 2300)
	until(t, c, "spilled", func(n Counts) bool { return n.Spilled == 2000 })
	fmt.Println("spilled")
	select {}
}

// kill -9 costs what was in the queue, and the next process says how much.
func TestKill(t *testing.T) {
	t.Parallel()
	dir, out, kill := victim(t, "TestKilled")
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "spilled\n" {
		t.Errorf("the process says %q, %v", line, err)
	}
	kill()
	l, url := newLedger(t, badly)
	c := beginWith(t, Config{URL: url, SpillDir: dir}, never)
	want(t, c, Counts{Served: 2300, Spilled: 2000, Dropped: 300})
	l.becomes(well)
	record(c, 2000, 2100)
	c.Stop(t.Context())
	want(t, c, Counts{Served: 2400, Stored: 2100, Dropped: 300})
	l.wantInOrder(t, 0, 2100)
}

// TestServing is the victim of TestKillCostsASecond: it serves all the time, and
// says how much.
func TestServing(t *testing.T) {
	dir := os.Getenv(killedVariable)
	if dir == "" {
		return // not that process: nothing to do
	}
	c := beginWith(t, Config{URL: "http://127.0.0.1:1", SpillDir: dir}, batchPause)
	for i := 0; ; i++ {
		c.Record(Entry{Status: i})
		fmt.Println(i + 1)
		time.Sleep(2 * time.Millisecond) // far from a whole batch in a second
	}
}

// What was served more than a second before kill -9 is kept; two here, on a machine that is busy.
func TestKillCostsASecond(t *testing.T) {
	t.Parallel()
	dir, out, kill := victim(t, "TestServing")
	const run, margin = 4 * time.Second, 2 * time.Second
	begin, before, last := time.Now(), 0, 0
	for lines := bufio.NewScanner(out); time.Since(begin) < run && lines.Scan(); {
		var err error
		if last, err = strconv.Atoi(lines.Text()); err != nil {
			t.Fatal(err)
		}
		if time.Since(begin) < run-margin {
			before = last
		}
	}
	kill()
	_, url := newLedger(t, badly)
	got := beginWith(t, Config{URL: url, SpillDir: dir}, never).Counts()
	if before == 0 || got.Spilled < int64(before) || got.Served < int64(last) || got.Dropped != got.Served-got.Spilled {
		t.Errorf("served %d until %s before the end, %d in all; kept %+v", before, margin, last, got)
	}
}

// A spill that ends in the middle of a batch, or has a damaged one, costs that
// batch alone and never the next.
func TestDamagedSpill(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		damage       func(t *testing.T, segments []string)
		held, stored int64
	}{
		"torn end":       {func(t *testing.T, s []string) { truncate(t, s[len(s)-1], -10) }, 7000, 7000},
		"header only":    {func(t *testing.T, s []string) { truncate(t, s[len(s)-1], 20) }, 7000, 7000},
		"empty":          {func(t *testing.T, s []string) { truncate(t, s[len(s)-1], 0) }, 7000, 7000},
		"flipped bit":    {func(t *testing.T, s []string) { flip(t, s[2]) }, 8000, 7000}, // found when it should be read
		"middle missing": {func(t *testing.T, s []string) { remove(t, s[3]) }, 8000, 7000},
		"first missing":  {func(t *testing.T, s []string) { remove(t, s[0]) }, 8000, 7000},
		"all missing":    {func(t *testing.T, s []string) { remove(t, s...) }, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			const limit = 16 << 20
			old := beginWith(t, Config{URL: "http://127.0.0.1:1", SpillDir: dir, SpillBytes: limit}, never)
			old.spill.segment = 1 // each holds one batch
			record(old, 0, 8000)
			old.Stop(stopped())
			segments, err := filepath.Glob(filepath.Join(dir, "*"+segmentSuffix))
			if err != nil || len(segments) != 8 {
				t.Fatalf("segments %v, %v", segments, err)
			}
			c.damage(t, segments)
			_, url := newLedger(t, well)
			next := beginWith(t, Config{URL: url, SpillDir: dir, SpillBytes: limit}, never)
			if got := next.Counts(); !got.balanced() || got.Served != 8000 {
				t.Errorf("resumed with %+v", got)
			}
			record(next, 8000, 8001)
			next.Stop(t.Context())
			want(t, next, Counts{Served: 8001, Stored: c.stored + 1, Dropped: 8000 - c.stored})
			_, url = newLedger(t, well)
			last := beginWith(t, Config{URL: url, SpillDir: dir}, never)
			want(t, last, Counts{Served: 8001, Stored: c.stored + 1, Dropped: 8000 - c.stored})
			last.Stop(t.Context())
		})
	}
}

func truncate(t *testing.T, path string, to int64) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if to < 0 {
		to += info.Size()
	}
	if err := os.Truncate(path, to); err != nil {
		t.Fatal(err)
	}
}

func flip(t *testing.T, path string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text[len(text)/2] ^= 1
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, paths ...string) {
	t.Helper()
	for _, path := range paths {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

// The spill has a limit. What does not fit waits in the queue, and what does
// not fit there is counted; when the logger is back the rest comes in order.
func TestSpillHasALimit(t *testing.T) {
	t.Parallel()
	const limit = 1 << 20
	dir := t.TempDir()
	l, url := newLedger(t, badly)
	c := beginWith(t, Config{URL: url, SpillDir: dir, SpillBytes: limit}, time.Millisecond)
	stop := watch(t, c)
	next := 0
	until(t, c, "full", func(n Counts) bool {
		record(c, next, next+500)
		next += 500
		return n.Dropped > 20_000
	})
	n := c.Counts()
	if n.Queued != queueSize || n.Spilled == 0 {
		t.Errorf("%+v: the queue is not full", n)
	}
	if size := diskUse(t, dir); size > limit+stateSize {
		t.Errorf("the spill takes %d bytes, its limit is %d", size, limit)
	}
	l.becomes(well)
	until(t, c, "back", func(n Counts) bool { return n.Spilled+n.Queued == 0 })
	stop()
	c.Stop(t.Context())
	n = c.Counts()
	if !n.balanced() || n.Served != int64(next) || len(l.stored) != int(n.Stored) {
		t.Errorf("%+v, of which %d are stored", n, len(l.stored))
	}
	for i := range len(l.stored) - 1 {
		if l.stored[i+1] <= l.stored[i] {
			t.Fatalf("entry %d comes after %d", l.stored[i+1], l.stored[i])
		}
	}
	if size := diskUse(t, dir); size > limit/2 {
		t.Errorf("the drained spill takes %d bytes", size)
	}
}

func diskUse(t *testing.T, dir string) (size int64) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		size += info.Size()
	}
	return size
}

// With the disk full (ENOSPC, from /dev/full) entries go to the logger without
// the spill; without a logger either they are dropped, and counted.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l, url := newLedger(t, well)
	c := beginWith(t, Config{URL: url, SpillDir: dir}, time.Millisecond)
	if err := os.Symlink("/dev/full", c.spill.path(c.spill.end.segment)); err != nil {
		t.Fatal(err)
	}
	record(c, 0, 2500)
	until(t, c, "sent", func(n Counts) bool { return n.Stored == 2500 })
	l.wantInOrder(t, 0, 2500)
	l.becomes(badly)
	record(c, 2500, 3000)
	until(t, c, "dropped", func(n Counts) bool { return n.Dropped == 500 })
	c.Stop(t.Context())
	want(t, c, Counts{Served: 3000, Stored: 2500, Dropped: 500})
	if err := os.Remove(c.spill.path(c.spill.end.segment)); err != nil {
		t.Fatal(err)
	}
	c = beginWith(t, Config{URL: url, SpillDir: dir}, never)
	want(t, c, Counts{Served: 3000, Stored: 2500, Dropped: 500})
	c.Stop(t.Context())
}

// A batch that the logger will never take does not hold up the next.
func TestRefusedBatchesAreDropped(t *testing.T) {
	t.Parallel()
	for _, status := range []int{400, 413, 422} {
		n, dir := 0, t.TempDir()
		_, url := newLedger(t, func() (bool, int) {
			if n++; n == 2 {
				return false, status
			}
			return true, 202
		})
		c := beginWith(t, Config{URL: url, SpillDir: dir}, never)
		record(c, 0, 2500)
		c.Stop(t.Context())
		want(t, c, Counts{Served: 2500, Stored: 1500, Dropped: 1000})
		c = beginWith(t, Config{URL: url, SpillDir: dir}, never)
		want(t, c, Counts{Served: 2500, Stored: 1500, Dropped: 1000})
		c.Stop(t.Context())
	}
}

func TestSpillBelongsToOneProcess(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := beginWith(t, Config{URL: "http://127.0.0.1:1", SpillDir: dir}, never)
	if _, err := Start(Config{URL: "http://127.0.0.1:1", SpillDir: dir}); err == nil || !strings.Contains(err.Error(), "SPILL_DIR") {
		t.Errorf("a second process gets %v", err)
	}
	c.Stop(stopped())
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Start(Config{URL: "http://127.0.0.1:1", SpillDir: file}); err == nil {
		t.Error("a file is taken for a folder")
	}
}

// A logger of moods, many requests at once and several restarts: at every moment
// the counts add up, and at the end each entry is stored once.
func TestNothingIsLost(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	l, url := newLedger(t, func() (bool, int) {
		return random.IntN(2) == 0, []int{0, 202, 202, 202, 500, 409}[random.IntN(6)]
	})
	// It never says 202 without having stored.
	moods := l.answer
	l.becomes(func() (bool, int) {
		store, status := moods()
		return store || status == 202, status
	})
	dir := t.TempDir()
	const processes, requests, each = 3, 8, 1000
	for p := range processes {
		c := beginWith(t, Config{URL: url, SpillDir: dir}, time.Millisecond)
		stop := watch(t, c)
		var all sync.WaitGroup
		for r := range requests {
			all.Go(func() { record(c, (p*requests+r)*each, (p*requests+r+1)*each) })
		}
		all.Wait()
		if p == processes-1 {
			l.becomes(well)
			until(t, c, "stored", func(n Counts) bool { return n.Spilled+n.Queued == 0 })
		}
		stop()
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		c.Stop(ctx)
		cancel()
		if got := c.Counts(); got.Served != int64((p+1)*requests*each) || got.Queued+got.Dropped != 0 || !got.balanced() {
			t.Fatalf("process %d ends with %+v", p, got)
		}
	}
	const total = processes * requests * each
	seen := map[int]int{}
	for _, n := range l.stored {
		seen[n]++
	}
	if len(l.stored) != total || len(seen) != total {
		t.Errorf("%d entries are stored, %d different, want %d", len(l.stored), len(seen), total)
	}
}

// One scrape shows one moment.
func TestFiguresAddUp(t *testing.T) {
	t.Parallel()
	c := beginWith(t, Config{URL: "http://127.0.0.1:1", SpillDir: t.TempDir()}, never)
	registry := prometheus.NewPedanticRegistry()
	if err := registry.Register(c.Collector()); err != nil {
		t.Fatal(err)
	}
	record(c, 0, 1500)
	until(t, c, "spilled", func(n Counts) bool { return n.Spilled == 1000 })
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		m := f.GetMetric()[0]
		got[f.GetName()] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
	}
	if got["request_log_served_total"] != 1500 || got["request_log_spilled"] != 1000 || got["request_log_queued"] != 500 ||
		got["request_log_stored_total"] != 0 || got["request_log_dropped_total"] != 0 || got["request_log_spill_bytes"] < 1000 {
		t.Errorf("got %v", got)
	}
	c.Stop(stopped())
}

// A pause between batches is for busy machines: it must hold up neither the end of
// the program nor a spill that fills.
func TestPausesEndWhenMuchWaitsAndWithTheProgram(t *testing.T) {
	c := &Client{spill: &spill{limit: 100, bytes: 26}, stop: make(chan struct{})}
	c.giveWay(time.Hour)
	c.spill.bytes = 25
	begin := time.Now()
	c.giveWay(10 * time.Millisecond)
	if took := time.Since(begin); took < 10*time.Millisecond {
		t.Errorf("the pause took %v, want at least 10ms", took)
	}
	close(c.stop)
	c.giveWay(time.Hour)
}

// What can wait in the spill gives way at the logger; a spill that fills does not, nor
// what cannot be kept, nor what a program that ends has left.
func TestBatchesGiveWayWhileTheyCanWait(t *testing.T) {
	for name, x := range map[string]struct {
		config Config
		pause  time.Duration
		want   bool
	}{
		"spilled":                 {Config{SpillDir: t.TempDir()}, time.Millisecond, true},
		"a quarter of it is full": {Config{SpillDir: t.TempDir(), SpillBytes: 600}, time.Millisecond, false},
		"without a spill":         {Config{}, time.Millisecond, false},
		"at the end":              {Config{SpillDir: t.TempDir()}, never, false},
	} {
		asked := make(chan bool, 1)
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked <- background.Asked(r.Header)
			w.WriteHeader(http.StatusAccepted)
		}))
		x.config.URL = server.URL
		c := beginWith(t, x.config, x.pause)
		record(c, 0, 1)
		if x.pause != never {
			until(t, c, "stored", func(now Counts) bool { return now.Stored == 1 })
		}
		c.Stop(t.Context())
		server.Close()
		want(t, c, Counts{Served: 1, Stored: 1})
		if got := <-asked; got != x.want {
			t.Errorf("%s: asked to give way: %v", name, got)
		}
	}
}
