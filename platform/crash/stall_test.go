//go:build crash

package crash

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// answered is the time after which a caller has an answer whatever the database
// does: the 8 s of a request (services/internal/rest) and what a busy machine adds.
const answered = 11 * time.Second

// signalAll sends the signal to the server and all its children, again and again
// until there are no others: the children are no process group.
func signalAll(t *testing.T, server *process, signal syscall.Signal) {
	t.Helper()
	pid := server.command.Process.Pid
	for known := map[int]bool{}; ; {
		news := 0
		stats, err := filepath.Glob("/proc/[0-9]*/stat")
		if err != nil || len(stats) == 0 {
			t.Fatalf("no processes in /proc: %v", err)
		}
		for _, stat := range stats {
			text, err := os.ReadFile(stat)
			if err != nil {
				continue // it ended
			}
			// "PID (NAME) STATE PPID …", proc(5)
			fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
			id, _ := strconv.Atoi(filepath.Base(filepath.Dir(stat)))
			if parent, _ := strconv.Atoi(fields[1]); (parent == pid || id == pid) && !known[id] {
				known[id], news = true, news+1
				_ = syscall.Kill(id, signal) // it may have ended
			}
		}
		if news == 0 {
			t.Logf("%v to %d processes", signal, len(known))
			return
		}
	}
}

// The database hangs: it neither answers nor refuses. Everybody gets 503 with
// Retry-After in time, the service lives and is not ready, and goes on when the
// database does.
func TestDatabaseHangs(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	sales := s.service("sales-api", "sales-api", "sales_data", "sales_app")
	send := func(method, path, body string) (status int, retryAfter string, took time.Duration) {
		request, err := http.NewRequestWithContext(t.Context(), method, sales.base+path, strings.NewReader(body))
		if err != nil {
			t.Error(err)
			return 0, "", 0
		}
		request.Header.Set("Authorization", "Bearer "+sales.key)
		request.Header.Set("Content-Type", "application/json")
		began := time.Now()
		response, err := sales.client.Do(request)
		if err != nil {
			t.Errorf("%s %s: %v", method, path, err)
			return 0, "", time.Since(began)
		}
		defer response.Body.Close()               //nolint:errcheck // read on the next line
		_, _ = io.Copy(io.Discard, response.Body) // the status tells
		return response.StatusCode, response.Header.Get("Retry-After"), time.Since(began)
	}
	kinds := [][3]string{{"GET", "/v1/customers/1", ""}, {"GET", "/v1/customers", ""}, {"POST", "/v1/orders", `{"customer_id": 1, "total_amount": 1.00}`}, {"GET", "/v1/revenue", ""}}
	for _, k := range kinds {
		if status, _, _ := send(k[0], k[1], k[2]); status != http.StatusOK && status != http.StatusCreated {
			t.Fatalf("%v: %d before the fault", k, status)
		}
	}
	signalAll(t, s.database, syscall.SIGSTOP)
	resume := sync.OnceFunc(func() { signalAll(t, s.database, syscall.SIGCONT) })
	defer resume()
	var callers sync.WaitGroup
	for range 10 { // more callers than the pool has connections
		for _, k := range kinds {
			callers.Go(func() {
				status, retryAfter, took := send(k[0], k[1], k[2])
				if status != http.StatusServiceUnavailable || retryAfter == "" || took > answered {
					t.Errorf("%s %s while the database hangs: %d, Retry-After %q, after %v", k[0], k[1], status, retryAfter, took)
				}
			})
		}
	}
	for path, want := range map[string]int{"/livez": http.StatusOK, "/readyz": http.StatusServiceUnavailable} {
		if status, _, took := send("GET", path, ""); status != want || took > answered {
			t.Errorf("%s while the database hangs: %d after %v", path, status, took)
		}
	}
	callers.Wait()
	resume()
	s.awaitReady(sales)
	for _, k := range kinds {
		s.await(k[1], func() bool {
			status, _, _ := send(k[0], k[1], k[2])
			return status == http.StatusOK || status == http.StatusCreated
		})
	}

	// One row is locked: who wants it is told so in time, the others notice nothing.
	conn := s.connect("sales_owner", "sales_data")
	s.exec(conn, `BEGIN`)
	s.exec(conn, `SELECT FROM orders WHERE order_id = 1 FOR UPDATE`)
	callers.Go(func() {
		status, retryAfter, took := send("POST", "/v1/orders/1/status", `{"status": "paid"}`)
		if status != http.StatusServiceUnavailable || retryAfter == "" || took > answered {
			t.Errorf("a locked row: %d, Retry-After %q, after %v", status, retryAfter, took)
		}
	})
	if status, _, _ := send("GET", "/v1/orders/1", ""); status != http.StatusOK {
		t.Errorf("reading a locked row: %d", status)
	}
	callers.Wait()
	s.exec(conn, `ROLLBACK`)
	if status, _, _ := send("POST", "/v1/orders/1/status", `{"status": "paid"}`); status != http.StatusOK {
		t.Errorf("the row that was locked: %d", status)
	}
}

// A service is ready only with the schema it was built for; /readyz?verbose names
// the command that mends it, and the command does.
func TestReadyWithItsSchemaOnly(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	for _, c := range []struct{ program, database, domain string }{
		{"sales-api", "sales_data", "sales"}, {"marketing-ingest", "marketing_data", "marketing"}, {"api-metrics-logger", "sales_api", "apimetrics"},
	} {
		v := s.service(c.program, c.program, c.database, c.domain+"_app")
		newest := s.count(c.database, `SELECT version FROM schema_migrations`)
		owner := s.connect(c.domain+"_owner", c.database)
		migrate := func(args ...string) {
			command := s.command(c.domain+"-migrate", c.database, c.domain+"_owner")
			command.Args = append(command.Args, args...)
			if out, err := command.CombinedOutput(); err != nil {
				t.Errorf("%s: %v: %s", command, err, out)
			}
		}
		notReady := func(says, command string) {
			t.Helper()
			status, text, err := v.send("GET", "/readyz?verbose", "", "")
			if err != nil || status != http.StatusServiceUnavailable || !strings.Contains(string(text), says) || !strings.Contains(string(text), command) {
				t.Errorf("%s: %d %s %v; want %q and %q", c.program, status, text, err, says, command)
			}
			if status, _, _ := v.send("GET", "/livez", "", ""); status != http.StatusOK {
				t.Errorf("%s: alive: %d", c.program, status)
			}
		}
		migrate("down")
		notReady("this program needs", "run: "+c.domain+"-migrate up")
		migrate("up")
		s.awaitReady(v)
		s.exec(owner, `UPDATE schema_migrations SET version = version + 1`)
		notReady("newer", c.domain+"-migrate down 1")
		migrate("force", strconv.FormatInt(newest, 10))
		s.awaitReady(v)
		s.exec(owner, `UPDATE schema_migrations SET dirty = true`)
		notReady("dirty", fmt.Sprintf("%s-migrate force %d && %s-migrate up", c.domain, newest-1, c.domain))
		// What the migration did is taken back before it leaves that mark.
		s.exec(owner, `UPDATE schema_migrations SET dirty = false`)
		migrate("down")
		s.exec(owner, fmt.Sprintf(`UPDATE schema_migrations SET version = %d, dirty = true`, newest))
		migrate("force", strconv.FormatInt(newest-1, 10))
		migrate("up")
		s.awaitReady(v)
	}
}

// A service that is told to end while a file is on its way says so in time; what
// was stored stays, and the same file sent again goes on from there.
func TestUploadsEndWithTheService(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	v := s.service("marketing-ingest", "marketing-ingest", "marketing_data", "marketing_app")
	const rows = 5000
	var file strings.Builder
	file.WriteString("email,full_name,source,campaign_id\n")
	for n := range rows {
		fmt.Fprintf(&file, "lead%d@example.com,Lead,Website,1\n", n)
	}
	upload := func(ctx context.Context, body io.Reader) (int, string, string) {
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, v.base+"/v1/leads/import", body)
		if err != nil {
			t.Fatal(err)
		}
		request.Header = http.Header{"Authorization": {"Bearer " + v.key}, "Content-Type": {"text/csv"}, "Idempotency-Key": {"upload"}}
		response, err := v.client.Do(request)
		if err != nil {
			t.Fatalf("no answer: %v", err)
		}
		defer response.Body.Close() //nolint:errcheck // read on the next line
		text, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return response.StatusCode, response.Header.Get("Retry-After"), string(text)
	}
	reader, pipe := io.Pipe()
	go func() { _, _ = io.WriteString(pipe, file.String()[:file.Len()*2/3]) }() // and no more: a caller that waits
	ended := make(chan time.Duration, 1)
	go func() {
		stored := func() int64 { return s.count("marketing_data", `SELECT count(*) FROM leads`) }
		s.await("the first rows", func() bool { return stored() >= 1000 })
		began := time.Now()
		v.end(syscall.SIGTERM)
		ended <- time.Since(began)
	}()
	status, retryAfter, text := upload(t.Context(), reader)
	if status != http.StatusServiceUnavailable || retryAfter == "" || !strings.Contains(text, "stopping") {
		t.Errorf("cut off: %d, Retry-After %q: %s", status, retryAfter, text)
	}
	if took := <-ended; took > 14*time.Second || v.command.ProcessState.ExitCode() != 0 {
		t.Errorf("the service ended after %v: %v", took, v.command.ProcessState)
	}
	_ = pipe.Close()
	before := s.count("marketing_data", `SELECT count(*) FROM leads`)
	s.restart(v)
	status, _, text = upload(t.Context(), strings.NewReader(file.String()))
	leads, emails := s.count("marketing_data", `SELECT count(*) FROM leads`), s.count("marketing_data", `SELECT count(DISTINCT email) FROM leads`)
	if status != http.StatusCreated || before == 0 || leads != rows || emails != rows {
		t.Errorf("sent again: %d %s; %d leads of %d addresses, %d of them before", status, text, leads, emails, before)
	}
}

// The database stalls while leads keep coming in at the same rate, whether or not
// earlier ones were answered: callers get 503, the memory of the service at most
// doubles, and what was acknowledged is there once.
func TestIngestIsBoundedWhileTheDatabaseStalls(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	stall := 12 * time.Second // longer than a request may take
	if long() {
		stall = time.Minute
	}
	v := s.service("marketing-ingest", "marketing-ingest", "marketing_data", "marketing_app")
	const batch = 50
	var mu sync.Mutex
	statuses := map[int]int{}
	var acked []int64 // batches
	stop := make(chan struct{})
	var callers sync.WaitGroup
	callers.Go(func() {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for n := int64(1); ; n++ {
			select {
			case <-stop:
				return
			case <-tick.C:
			}
			callers.Go(func() {
				var leads []string
				for i := range batch {
					leads = append(leads, fmt.Sprintf(`{"email": "lead%d.%d@example.com", "full_name": "Lead", "source": "Website", "campaign_id": 1}`, n, i))
				}
				status, _, err := v.send("POST", "/v1/leads/batch", `{"leads": [`+strings.Join(leads, ", ")+`]}`, "")
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					t.Errorf("batch %d: %v", n, err)
				}
				if statuses[status]++; status == http.StatusCreated {
					acked = append(acked, n)
				}
			})
		}
	})
	of := func(status int) int { mu.Lock(); defer mu.Unlock(); return statuses[status] }
	s.await("load", func() bool { return of(http.StatusCreated) >= 500 })
	before := peakMemory(t, v.process)
	signalAll(t, s.database, syscall.SIGSTOP)
	resume := sync.OnceFunc(func() { signalAll(t, s.database, syscall.SIGCONT) })
	defer resume()
	time.Sleep(stall) // the fault
	refused := of(http.StatusServiceUnavailable)
	resume()
	later := of(http.StatusCreated) + 100
	s.await("leads come in again", func() bool { return of(http.StatusCreated) >= later })
	close(stop)
	callers.Wait()
	after := peakMemory(t, v.process)
	t.Logf("answers by status %v, %d refused during the stall; memory at most %d MB before, %d MB after", statuses, refused, before>>20, after>>20)
	for status := range statuses {
		if status != http.StatusCreated && status != http.StatusServiceUnavailable {
			t.Errorf("%d answers %d", statuses[status], status)
		}
	}
	if refused == 0 || after > 2*before {
		t.Errorf("%d refused during the stall; memory grew from %d to %d bytes", refused, before, after)
	}
	lost := s.count("marketing_data", `SELECT count(*) FROM unnest($1::bigint[]) AS n, generate_series(0, $2) AS i
		WHERE NOT EXISTS (SELECT FROM leads WHERE email = 'lead' || n || '.' || i || '@example.com')`, acked, batch-1)
	twice := s.count("marketing_data", `SELECT count(*) FROM (SELECT FROM leads GROUP BY email HAVING count(*) > 1) AS twice`)
	if lost != 0 || twice != 0 {
		t.Errorf("of %d acknowledged batches %d leads are lost; %d leads are there twice", len(acked), lost, twice)
	}
}

// peakMemory is the most that was resident of a process at once, in bytes.
func peakMemory(t *testing.T, p *process) int64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.command.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(text), "VmHWM:") // proc(5)
	var kilobytes int64
	if _, err := fmt.Sscanf(after, "%d kB", &kilobytes); err != nil {
		t.Fatalf("peak memory of %s: %v", p.log, err)
	}
	return kilobytes << 10
}
