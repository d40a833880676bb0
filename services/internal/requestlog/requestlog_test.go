package requestlog

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	slog.SetDefault(slog.New(slog.DiscardHandler)) // the tests drop entries by the thousand
	os.Exit(m.Run())
}

const never = time.Hour // a pause that no test sees the end of

// logger is a server that accepts batches and hands them to the test.
func logger(t *testing.T) (url string, batches <-chan Batch) {
	t.Helper()
	received := make(chan Batch, 100)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var b Batch
		if err := json.NewDecoder(r.Body).Decode(&b); err != nil {
			t.Error(err)
		}
		if r.URL.Path != "/v1/logs" || r.Header.Get("Authorization") != "Bearer secret" || r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("got %s with %v", r.URL, r.Header)
		}
		received <- b
		w.WriteHeader(http.StatusAccepted)
	}))
	t.Cleanup(server.Close)
	return server.URL, received
}

// hanging is a logger that accepts requests, tells of the first and never answers.
func hanging(t testing.TB) (url string, arrived <-chan struct{}) {
	t.Helper()
	first, released := make(chan struct{}), make(chan struct{})
	var once sync.Once
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		once.Do(func() { close(first) })
		<-released
	}))
	t.Cleanup(func() { close(released); server.Close() })
	return server.URL, first
}

// stopped is a context that has ended already.
func stopped() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// begin starts a client without a spill.
func begin(t testing.TB, url string, pause time.Duration) *Client {
	t.Helper()
	return beginWith(t, Config{URL: url}, pause)
}

func beginWith(t testing.TB, config Config, pause time.Duration) *Client {
	t.Helper()
	config.Service, config.Key = "api", "secret"
	c, err := start(config, pause)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func want(t *testing.T, c *Client, counts Counts) {
	t.Helper()
	if got := c.Counts(); got != counts {
		t.Errorf("got %+v, want %+v", got, counts)
	}
}

// balanced says whether every request is in one place.
func (c Counts) balanced() bool {
	return c.Served == c.Stored+c.Spilled+c.Queued+c.Dropped && c.Stored >= 0 && c.Spilled >= 0 && c.Queued >= 0 && c.Dropped >= 0
}

func TestNilClientIsInert(t *testing.T) {
	c, err := Start(Config{Service: "api"})
	if err != nil {
		t.Fatal(err)
	}
	c.Record(Entry{})
	want(t, c, Counts{})
	c.Stop(context.Background())
}

func TestBatchesBySize(t *testing.T) {
	t.Parallel()
	url, batches := logger(t)
	c := begin(t, url, never)
	for i := range 2*batchSize + 500 {
		c.Record(Entry{Status: i})
	}
	c.Stop(context.Background())
	next := 0
	for _, size := range []int{batchSize, batchSize, 500} {
		b := <-batches
		if len(b.Entries) != size {
			t.Errorf("a batch of %d, want %d", len(b.Entries), size)
		}
		for _, e := range b.Entries {
			if e.Status != next || e.Service != "api" {
				t.Fatalf("entry %d of service %q, want %d of api", e.Status, e.Service, next)
			}
			next++
		}
	}
	want(t, c, Counts{Served: 2500, Stored: 2500})
}

func TestBatchesByTime(t *testing.T) {
	t.Parallel()
	url, batches := logger(t)
	c := begin(t, url, time.Millisecond)
	for range 3 { // each comes without another entry or Stop to push it
		c.Record(Entry{})
		if b := <-batches; len(b.Entries) != 1 {
			t.Errorf("a batch of %d", len(b.Entries))
		}
	}
	c.Stop(context.Background())
	want(t, c, Counts{Served: 3, Stored: 3})
}

// What callers invent is not kept: neither the path that no route matches nor
// the method that HTTP does not know.
func TestOddRequests(t *testing.T) {
	t.Parallel()
	url, batches := logger(t)
	c := begin(t, url, never)
	for _, given := range []Entry{
		{Method: "GET", Route: "/v1/orders/:id"},
		{Method: "GET"},
		{Method: "FOO", Route: "/v1/orders"},
		{Method: "get", Route: "/v1/orders"},
		{Method: "", Route: "/v1/orders"},
	} {
		c.Record(given)
	}
	c.Stop(context.Background())
	var got []string
	for _, e := range (<-batches).Entries {
		got = append(got, e.Method+" "+e.Route)
	}
	if g, w := strings.Join(got, ", "), "GET /v1/orders/:id, GET (unmatched), OTHER /v1/orders, OTHER /v1/orders, OTHER /v1/orders"; g != w {
		t.Errorf("sent %s, want %s", g, w)
	}
}

// A logger that is away or says no costs the entries, never a request.
func TestLoggersThatFail(t *testing.T) {
	t.Parallel()
	answering := func(status int) func(testing.TB) string {
		return func(t testing.TB) string {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
			t.Cleanup(server.Close)
			return server.URL
		}
	}
	for name, logger := range map[string]func(testing.TB) string{
		"away":  func(testing.TB) string { return "http://127.0.0.1:1" },
		"hangs": func(t testing.TB) string { url, _ := hanging(t); return url },
		"401":   answering(401),
		"422":   answering(422),
		"500":   answering(500),
		"200":   answering(200), // no logger at all
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := begin(t, logger(t), time.Millisecond)
			const entries = 20_000 // more than the queue holds
			for range entries {
				c.Record(Entry{})
			}
			c.Stop(stopped())
			want(t, c, Counts{Served: entries, Dropped: entries})
		})
	}
}

// The queue is full and stays so: the logger hangs. Ten thousand requests at
// once all go on, and at every moment each is stored, queued or dropped.
func TestFullQueue(t *testing.T) {
	t.Parallel()
	url, arrived := hanging(t)
	c := begin(t, url, never)
	for range batchSize {
		c.Record(Entry{})
	}
	<-arrived // the batch is on its way and will not come back
	for range 2 * queueSize {
		c.Record(Entry{})
	}
	const requests = 10_000
	stop := watch(t, c)
	var requestsDone sync.WaitGroup
	for range requests {
		requestsDone.Go(func() { c.Record(Entry{}) })
	}
	requestsDone.Wait()
	stop()
	const served = batchSize + 2*queueSize + requests
	want(t, c, Counts{Served: served, Queued: queueSize, Dropped: served - queueSize})
	c.Stop(stopped())
	want(t, c, Counts{Served: served, Dropped: served})
}

// watch looks at the counts very often until stop is called.
func watch(t *testing.T, c *Client) (stop func()) {
	watching, watched := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(watched)
		for {
			if counts := c.Counts(); !counts.balanced() {
				t.Errorf("%+v do not add up", counts)
			}
			select {
			case <-watching:
				return
			case <-time.After(100 * time.Microsecond):
			}
		}
	}()
	return func() { close(watching); <-watched }
}

// A request's method is a piece of its first line. Were it kept, a full queue
// would keep the first lines of its requests in memory.
func TestQueuedEntriesKeepNoRequestInMemory(t *testing.T) {
	c := begin(t, "http://127.0.0.1:1", never)
	before := heap()
	const requests, line = 1000, 100_000
	for range requests {
		first := strings.Clone("GET /v1/orders/" + strings.Repeat("x", line))
		c.Record(Entry{Method: first[:3], Route: "/v1/orders/:id"})
	}
	if grown := heap() - before; grown > requests*line/10 {
		t.Errorf("%d queued entries hold %d bytes", requests, grown)
	}
	c.Stop(stopped())
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func TestStop(t *testing.T) {
	t.Parallel()
	url, batches := logger(t)
	c := begin(t, url, never)
	c.Record(Entry{RequestID: "last"})
	c.Stop(context.Background())
	if b := <-batches; len(b.Entries) != 1 || b.Entries[0].RequestID != "last" {
		t.Errorf("flushed %v", b)
	}
	c.Record(Entry{}) // of a request that outlived the server's patience
	c.Stop(context.Background())
	want(t, c, Counts{Served: 2, Stored: 1, Dropped: 1})
}

// Stop returns when its context ends although the logger hangs.
func TestStopEndsWithItsContext(t *testing.T) {
	t.Parallel()
	url, arrived := hanging(t)
	c := begin(t, url, never)
	c.Record(Entry{})
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		<-arrived // Stop is flushing
		cancel()
	}()
	c.Stop(ctx)
	want(t, c, Counts{Served: 1, Dropped: 1})
}

func BenchmarkRecord(b *testing.B) {
	url, _ := hanging(b)
	for name, config := range map[string]Config{
		"away":    {URL: "http://127.0.0.1:1"},
		"hangs":   {URL: url},
		"spilled": {URL: url, SpillDir: b.TempDir(), SpillBytes: 16 << 20},
	} {
		b.Run(name, func(b *testing.B) {
			c := beginWith(b, config, batchPause)
			e := Entry{ServedAt: time.Now(), Route: "/v1/orders/:id", Method: "GET", Status: 200, Duration: 1500, RequestID: "0123456789"}
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					c.Record(e)
				}
			})
			c.Stop(stopped())
		})
	}
}
