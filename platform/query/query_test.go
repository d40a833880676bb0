package query

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// fakeTrino speaks as much of Trino's protocol as these tests need. The real
// one is asked in the tests of the whole mesh.
type fakeTrino struct {
	*httptest.Server
	// pages of the result, one per request; the last one ends it. A page may
	// block until the client goes away.
	pages []func(r *http.Request) string

	mu        sync.Mutex
	started   []string
	cancelled chan string
}

const (
	fakeID    = "20261123_000000_00001_abcde"
	column    = `"columns": [{"name": "n", "type": "bigint", "typeSignature": {"rawType": "bigint", "arguments": []}}]`
	running   = `"stats": {"state": "RUNNING", "totalSplits": 8, "completedSplits": 3, "processedRows": 7}`
	fakeError = `{"id": %q, "stats": {"state": "FAILED"}, "error": {"message": %q, "errorName": %q, "errorType": "USER_ERROR", "errorLocation": {"lineNumber": %d, "columnNumber": %d}}}`
)

func newFakeTrino(t *testing.T, pages ...func(r *http.Request) string) *fakeTrino {
	t.Helper()
	f := &fakeTrino{pages: pages, cancelled: make(chan string, 8)}
	f.Server = httptest.NewTLSServer(f)
	t.Cleanup(f.Close)
	return f
}

func (f *fakeTrino) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	user, password, _ := r.BasicAuth()
	if password == "the sixth" {
		http.Error(w, "Access Denied: Too many wrong passwords for mike. Try again in a minute.", http.StatusUnauthorized)
		return
	}
	if user != "mike" || password != "secret" {
		http.Error(w, "Access Denied: Invalid credentials", http.StatusUnauthorized)
		return
	}
	switch r.Method {
	case http.MethodPost:
		body, _ := io.ReadAll(r.Body)
		f.mu.Lock()
		f.started = append(f.started, string(body))
		f.mu.Unlock()
		fmt.Fprintf(w, `{"id": %q, "nextUri": "%s/page/0", %s}`, fakeID, f.URL, running)
	case http.MethodDelete:
		f.cancelled <- strings.TrimPrefix(r.URL.Path, "/v1/query/")
		w.WriteHeader(http.StatusNoContent)
	default:
		n, err := strconv.Atoi(strings.TrimPrefix(r.URL.Path, "/page/"))
		if err != nil {
			http.NotFound(w, r)
			return
		}
		fmt.Fprint(w, strings.ReplaceAll(f.pages[n](r), "NEXT", fmt.Sprintf("%s/page/%d", f.URL, n+1)))
	}
}

func page(content string) func(*http.Request) string {
	return func(*http.Request) string { return content }
}

func data(values string) string {
	return fmt.Sprintf(`{"id": %q, "nextUri": "NEXT", %s, "data": %s, %s}`, fakeID, column, values, running)
}

var last = page(fmt.Sprintf(`{"id": %q, %s, "stats": {"state": "FINISHED"}}`, fakeID, column))

func (f *fakeTrino) client(t *testing.T, password string) *Client {
	t.Helper()
	c, err := New(Config{
		Address:  strings.TrimPrefix(f.URL, "https://"),
		CA:       pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: f.Certificate().Raw}),
		User:     "mike",
		Password: password,
		Source:   "test",
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func csvTo(t *testing.T, w io.Writer) Writer {
	t.Helper()
	out, err := NewWriter("csv", w)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (f *fakeTrino) wantCancelled(t *testing.T) {
	t.Helper()
	select {
	case id := <-f.cancelled:
		if id != fakeID {
			t.Errorf("cancelled %s, want %s", id, fakeID)
		}
	case <-time.After(10 * time.Second):
		t.Error("the query was not cancelled on the server")
	}
}

func TestRun(t *testing.T) {
	f := newFakeTrino(t, page(data("[[1],[2]]")), page(data("[[null]]")), last)
	var b strings.Builder
	var states []string
	var mu sync.Mutex
	result, err := f.client(t, "secret").Run(context.Background(), "select n", csvTo(t, &b), func(p Progress) {
		mu.Lock()
		defer mu.Unlock()
		states = append(states, fmt.Sprintf("%s %d/%d", p.State, p.CompletedSplits, p.TotalSplits))
	})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := b.String(), "n\n1\n2\n\"\"\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if result.Rows != 3 || result.QueryID != fakeID || result.Elapsed <= 0 {
		t.Errorf("result %+v", result)
	}
	if f.started[0] != "select n" {
		t.Errorf("Trino got %q", f.started[0])
	}
	select {
	case <-f.cancelled:
		t.Error("a finished query was cancelled")
	default:
	}
}

// Whenever somebody presses Ctrl-C, the query ends on the server.
func TestInterrupt(t *testing.T) {
	t.Run("before the first page", func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		f := newFakeTrino(t, func(r *http.Request) string {
			cancel()
			<-r.Context().Done()
			return ""
		})
		if _, err := f.client(t, "secret").Run(ctx, "select n", csvTo(t, io.Discard), nil); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want context.Canceled", err)
		}
		f.wantCancelled(t)
	})
	t.Run("between rows", func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		f := newFakeTrino(t, page(data("[[1],[2]]")), func(r *http.Request) string {
			cancel()
			<-r.Context().Done()
			return ""
		})
		if _, err := f.client(t, "secret").Run(ctx, "select n", csvTo(t, io.Discard), nil); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want context.Canceled", err)
		}
		f.wantCancelled(t)
	})
}

func TestReaderGoesAway(t *testing.T) {
	page1 := page(data("[" + strings.Repeat("[1234567890],", 20_000) + "[1]]"))
	f := newFakeTrino(t, page1, page1, page1, last)
	if _, err := f.client(t, "secret").Run(context.Background(), "select n", csvTo(t, brokenPipe{}), nil); !errors.Is(err, errBroken) {
		t.Errorf("got %v, want the writer's error", err)
	}
	f.wantCancelled(t)
}

func TestError(t *testing.T) {
	f := newFakeTrino(t, page(fmt.Sprintf(fakeError, fakeID, "line 2:10: Column 'foo' cannot be resolved", "COLUMN_NOT_FOUND", 2, 10)))
	_, err := f.client(t, "secret").Run(context.Background(), "select\n\tbar, 'ñ', foo\nfrom t", csvTo(t, io.Discard), nil)
	var failed *Error
	if !errors.As(err, &failed) {
		t.Fatalf("got %v, want *Error", err)
	}
	if got, want := failed.Error(), "line 2, column 10: Column 'foo' cannot be resolved (COLUMN_NOT_FOUND)"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := failed.Excerpt(), "   2 | \tbar, 'ñ', foo\n     | \t        ^"; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestErrorWhileReading(t *testing.T) {
	f := newFakeTrino(t, page(data("[[1]]")), page(fmt.Sprintf(fakeError, fakeID, "Division by zero", "DIVISION_BY_ZERO", 0, 0)))
	result, err := f.client(t, "secret").Run(context.Background(), "select n", csvTo(t, io.Discard), nil)
	var failed *Error
	if !errors.As(err, &failed) || failed.Error() != "Division by zero (DIVISION_BY_ZERO)" || failed.Excerpt() != "" {
		t.Errorf("got %v, want division by zero without a place", err)
	}
	if result.Rows != 1 {
		t.Errorf("%d rows before the error, want 1", result.Rows)
	}
}

func TestExcerpt(t *testing.T) {
	for _, c := range []struct {
		sql          string
		line, column int
		want         string
	}{
		{"select x", 1, 8, "   1 | select x\n     |        ^"},
		{"select x", 1, 99, "   1 | select x\n     |         ^"},
		{"select x\r\nfrom", 1, 1, "   1 | select x\n     | ^"},
		{"select x", 2, 1, ""},
		{"select x", 0, 0, ""},
		{"a\n\nb", 2, 1, ""},
		{"select '\x1b[31m' x", 1, 1, "   1 | select '\\x1b[31m' x\n     | ^"},
	} {
		e := &Error{SQL: c.sql, Line: c.line, Column: c.column}
		if got := e.Excerpt(); got != c.want {
			t.Errorf("%q %d:%d: got\n%s\nwant\n%s", c.sql, c.line, c.column, got, c.want)
		}
	}
}

func TestWrongPassword(t *testing.T) {
	f := newFakeTrino(t)
	_, err := f.client(t, "wrong").Run(context.Background(), "select n", csvTo(t, io.Discard), nil)
	var login *LoginError
	if !errors.As(err, &login) || login.User != "mike" || login.Throttled || !strings.Contains(err.Error(), "refused the password of mike") {
		t.Errorf("got %v, want *LoginError of mike", err)
	}
	_, err = f.client(t, "the sixth").Run(context.Background(), "select n", csvTo(t, io.Discard), nil)
	if !errors.As(err, &login) || !login.Throttled || !strings.Contains(err.Error(), "try again in a minute") {
		t.Errorf("got %v, want that Trino waits", err)
	}
}

func TestNotListening(t *testing.T) {
	f := newFakeTrino(t)
	c := f.client(t, "secret")
	f.Close()
	_, err := c.Run(context.Background(), "select n", csvTo(t, io.Discard), nil)
	var unreachable *UnreachableError
	if !errors.As(err, &unreachable) || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("got %v, want *UnreachableError", err)
	}
}

func TestForeignCertificate(t *testing.T) {
	f := newFakeTrino(t)
	c := f.client(t, "secret")
	c.transport.TLSClientConfig.RootCAs = nil // the machine's own
	_, err := c.Run(context.Background(), "select n", csvTo(t, io.Discard), nil)
	var unreachable *UnreachableError
	if !errors.As(err, &unreachable) || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("got %v, want *UnreachableError about the certificate", err)
	}
}

func TestNewRefusesWhatIsNoCA(t *testing.T) {
	if _, err := New(Config{Address: "localhost:1", CA: []byte("x"), User: "mike"}); err == nil {
		t.Error("accepted")
	}
}

func TestTimeText(t *testing.T) {
	utc := time.Date(2026, 3, 1, 4, 5, 6, 120_000_000, time.UTC)
	plus := utc.In(time.FixedZone("", 2*3600))
	for _, c := range []struct {
		at   time.Time
		typ  string
		want string
	}{
		{utc, "date", "2026-03-01"},
		{utc, "timestamp(3)", "2026-03-01 04:05:06.120"},
		{utc, "timestamp(0)", "2026-03-01 04:05:06"},
		{utc, "timestamp(6) with time zone", "2026-03-01 04:05:06.120000 UTC"},
		{plus, "timestamp(3) with time zone", "2026-03-01 06:05:06.120 +02:00"},
		{utc, "time(2)", "04:05:06.12"},
		{plus, "time(0) with time zone", "06:05:06 +02:00"},
		{utc, "timestamp(12)", "2026-03-01 04:05:06.120000000"},
	} {
		if got := timeText(c.at, c.typ); got != c.want {
			t.Errorf("%s: got %s, want %s", c.typ, got, c.want)
		}
	}
}

func TestProgressText(t *testing.T) {
	got := progressText(Progress{State: "RUNNING", CompletedSplits: 3, TotalSplits: 8, ProcessedRows: 7}, 1500*time.Millisecond)
	if want := "RUNNING  1.5 s  3 of 8 splits (37%)  7 rows read"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := progressText(Progress{State: "QUEUED"}, 0), "QUEUED  0.0 s"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestProgressLineEnds(t *testing.T) {
	var b strings.Builder
	line := NewProgressLine(&b)
	line.Update(Progress{State: "RUNNING"})
	line.End()
	shown := b.String()
	line.Update(Progress{State: "FINISHED"})
	line.End()
	if b.String() != shown {
		t.Errorf("wrote %q after the end", strings.TrimPrefix(b.String(), shown))
	}
}
