package audit

import (
	"context"
	"embed"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

//go:embed testdata
var testdata embed.FS

func serve(t *testing.T) (dir string, s *httptest.Server) {
	t.Helper()
	dir = t.TempDir()
	h := &handler{record: open(t, dir, DefaultLimits), token: "sink-token", log: slog.New(slog.NewTextHandler(t.Output(), nil))}
	s = httptest.NewServer(h.routes())
	t.Cleanup(s.Close)
	return dir, s
}

func post(t *testing.T, url, token, body string) (status int, text string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, strings.TrimSpace(string(b))
}

func TestEvents(t *testing.T) {
	dir, s := serve(t)
	const good = `{"at": "2026-11-20T10:00:00Z", "who": "alex", "tool": "hub", "action": "login", "outcome": "ok"}`
	future := time.Now().Add(time.Hour).Format(time.RFC3339)
	for _, c := range []struct {
		token, body string
		status      int
		want        string
	}{
		{"", good, 401, "token"},
		{"Bearer wrong", good, 401, "token"},
		{"sink-token", good, 401, "token"},
		{"Bearer sink-token", good, 204, ""},
		{"Bearer sink-token", "[" + good + "," + good + "]", 204, ""},
		{"Bearer sink-token", `[]`, 204, ""},
		{"Bearer sink-token", ``, 400, "not an event"},
		{"Bearer sink-token", `{"who": "alex"}`, 400, "tool is missing"},
		{"Bearer sink-token", strings.Replace(good, "hub", "hubb", 1), 400, `tool "hubb"`},
		{"Bearer sink-token", strings.Replace(good, `"ok"`, `"fine"`, 1), 400, `outcome "fine"`},
		{"Bearer sink-token", strings.Replace(good, `"who"`, `"user"`, 1), 400, "user"},
		{"Bearer sink-token", strings.Replace(good, "2026-11-20T10:00:00Z", future, 1), 400, "future"},
		{"Bearer sink-token", good + good, 400, "not an event"},
		{"Bearer sink-token", good + "]", 400, "more after it"},
		{"Bearer sink-token", `{"who": "` + strings.Repeat("x", maxEvents) + `"}`, 413, "too large"},
	} {
		if status, text := post(t, s.URL+"/v1/events", c.token, c.body); status != c.status || !strings.Contains(text, c.want) {
			t.Errorf("%.80q with %q: %d %s, want %d %s", c.body, c.token, status, text, c.status, c.want)
		}
	}
	if got := found(t, dir, Filter{Tool: ToolHub}); got != "1 alex, 2 alex, 3 alex" {
		t.Error(got)
	}
	if got := found(t, dir, Filter{Tool: ToolAudit, Outcome: Failed}); strings.Count(got, "mesh-audit") != 9 {
		t.Errorf("what was lost is said: %s", got)
	}
}

// What Trino 476 has posted, without plans: emma joined, and made a table; alex misspelt a
// column, and asked as admin.
func TestTrinoEvents(t *testing.T) {
	dir, s := serve(t)
	files, err := fs.Glob(testdata, "testdata/trino-*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no events: %v", err)
	}
	// Written by hand from what was asked.
	want := map[string]string{
		"trino-join.json":    "emma query ok sales.public.customers, marketing.public.leads",
		"trino-denied.json":  "emma query refused ", // refused before it is known what it would have been
		"trino-failed.json":  "alex query failed ",
		"trino-refused.json": "alex query refused ",
	}
	for _, file := range files {
		text, err := testdata.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // sent again, kept once
			if status, body := post(t, s.URL+"/v1/trino", "Bearer sink-token", string(text)); status != 204 {
				t.Fatalf("%s: %d %s", file, status, body)
			}
		}
		var got []string
		if _, err := Search(dir, Filter{Tool: ToolTrino}, func(e Entry) error {
			got = append(got, fmt.Sprintf("%s %s %s %s", e.Who, e.Action, e.Outcome, e.Object))
			if strings.Contains(e.Detail, "canary") {
				t.Errorf("%s: a literal is kept: %s", file, e.Detail)
			}
			if e.At.IsZero() || e.From == "" && e.Outcome != Refused {
				t.Errorf("%s: no time or address: %+v", file, e)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if last := got[len(got)-1]; last != want[path.Base(file)] {
			t.Errorf("%s: %s, want %s", file, last, want[path.Base(file)])
		}
	}
	if len(files) != len(want) {
		t.Errorf("%d files, %d expected", len(files), len(want))
	}
	for _, bad := range []string{"", "{}", `{"context": {}}`, "[1]"} {
		if status, _ := post(t, s.URL+"/v1/trino", "Bearer sink-token", bad); status != 400 {
			t.Errorf("%q: %d", bad, status)
		}
	}
	if status, _ := post(t, s.URL+"/v1/trino", "", "{}"); status != 401 {
		t.Errorf("without a token: %d", status)
	}
}

func TestSendTriesAgain(t *testing.T) {
	var calls atomic.Int32
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		switch calls.Add(1) {
		case 1:
			w.WriteHeader(http.StatusServiceUnavailable)
		default:
			w.WriteHeader(http.StatusNoContent)
		}
	}))
	defer s.Close()
	if err := (Client{URL: s.URL}).Send(t.Context(), event("alex", time.Now())); err != nil || calls.Load() != 2 {
		t.Errorf("%d calls, %v", calls.Load(), err)
	}
	wrong := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no such tool", http.StatusBadRequest) }))
	defer wrong.Close()
	if err := (Client{URL: wrong.URL}).Send(t.Context(), event("alex", time.Now())); err == nil || !strings.Contains(err.Error(), "no such tool") {
		t.Errorf("refused: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := (Client{URL: "http://127.0.0.1:1"}).Send(ctx, event("alex", time.Now())); err == nil {
		t.Error("sent to nobody")
	}
}

func TestUnsentEvents(t *testing.T) {
	const at = "2026-11-28T16:01:58.870Z"
	log := at + "\tWARN\tdispatcher-query-8\tio.trino.eventlistener.EventListenerManager\tFailed to publish QueryCompletedEvent for query 20261128_160105_00002_93ucm\n" +
		"java.lang.IllegalArgumentException: anything\n\tat io.airlift\n" +
		at + "\tWARN\thttp-client\tio.trino.plugin.httpquery.HttpEventListener\tQueryId = \"q1\", attempt = 3/9, URL = http://x | will retry\n" +
		at + "\tERROR\thttp-client\tio.trino.plugin.httpquery.HttpEventListener\tQueryId = \"q2\", attempt = 9/9, URL = http://x | gave up\n" +
		at + "\tINFO\tmain\tio.trino.server.Server\t======== SERVER STARTED ========\n"
	events := unsentEvents([]byte(log))
	if len(events) != 2 || events[0].Object != "trino query 20261128_160105_00002_93ucm" || events[1].Object != "trino query q2" || events[0].At.Format(time.RFC3339) != "2026-11-28T16:01:58Z" {
		t.Errorf("%+v", events)
	}
}

// Lines of Trino 476, and one that somebody else's logger wrote.
const refusedLines = "2026-11-28T19:39:34.216Z\tWARN\thttp-worker-129\tThrottledPasswords\tRefused log-in 10 of mike: wrong password\n" +
	"2026-11-28T19:39:34.239Z\tWARN\thttp-worker-135\tThrottledPasswords\tRefused log-in 11 of emma: too many wrong passwords\n" +
	"2026-11-28T19:39:34.239Z\tWARN\thttp-worker-135\tThrottledPasswords\tRefused log-in 12 of emma: too many wrong passwords; others of this minute are not listed\n" +
	"2026-11-28T19:39:34.468Z\tWARN\thttp-worker-133\tThrottledPasswords\tRefused log-in 14 of (unknown): no such name\n" +
	"2026-11-28T19:39:34.468Z\tWARN\thttp-worker-133\tio.trino.Any\tRefused log-in 15 of sam: wrong password\n" +
	"2026-11-28T19:39:35.003Z\tINFO\tdispatcher-query-1\tio.trino.event.QueryMonitor\tTIMELINE: Query q1 :: FINISHED\n"

// What Trino refused is told once, however often its log is read.
func TestRefusedLogIns(t *testing.T) {
	c := Config{Dir: t.TempDir(), TrinoLog: path.Join(t.TempDir(), "trino.log")}
	if err := os.WriteFile(c.TrinoLog, []byte(refusedLines), 0o600); err != nil {
		t.Fatal(err)
	}
	record := open(t, c.Dir, DefaultLimits)
	for range 2 { // the second knows nothing of the first
		f, err := newFollower(c, record, slog.New(slog.NewTextHandler(t.Output(), nil)))
		if err != nil {
			t.Fatal(err)
		}
		if err := f.trinoLog(); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	if _, err := Search(c.Dir, Filter{}, func(e Entry) error {
		got = append(got, fmt.Sprintf("%s %s %s %s %s %s", e.At.Format(time.RFC3339Nano), e.Who, e.Tool, e.Action, e.Outcome, e.Detail))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"2026-11-28T19:39:34.216Z mike trino login refused wrong password",
		"2026-11-28T19:39:34.239Z emma trino login refused too many wrong passwords",
		"2026-11-28T19:39:34.239Z emma trino login refused too many wrong passwords; others of this minute are not listed",
		"2026-11-28T19:39:34.468Z (unknown) trino login refused no such name",
	}
	if !slices.Equal(got, want) {
		t.Errorf("events:\n%s", strings.Join(got, "\n"))
	}
}
