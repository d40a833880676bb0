//go:build crash

package crash

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// A proxy stands between a service and its database and does to the bytes of the
// database what its fault says.
type proxy struct {
	listener net.Listener
	target   string
	mu       sync.Mutex
	fault    func(from, to net.Conn) error // copies what the database says
	open     map[net.Conn]bool
}

func newProxy(t *testing.T, target string) *proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: listener, target: target, fault: faithful, open: map[net.Conn]bool{}}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go p.carry(conn)
		}
	}()
	t.Cleanup(func() { _ = listener.Close(); p.become(faithful) })
	return p
}

func faithful(from, to net.Conn) error { _, err := io.Copy(to, from); return err }

func (p *proxy) carry(client net.Conn) {
	server, err := net.Dial("tcp", p.target)
	if err != nil {
		_ = client.Close()
		return
	}
	p.mu.Lock()
	fault := p.fault
	p.open[client], p.open[server] = true, true
	p.mu.Unlock()
	end := func() {
		_, _ = client.Close(), server.Close()
		p.mu.Lock()
		delete(p.open, client)
		delete(p.open, server)
		p.mu.Unlock()
	}
	go func() { _, _ = io.Copy(server, client); end() }()
	_ = fault(server, client)
	end()
}

// become changes what is done to connections to come, and ends those there are.
func (p *proxy) become(fault func(from, to net.Conn) error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault = fault
	for conn := range p.open {
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // a reset, not a polite end
		}
		_ = conn.Close()
	}
}

// pieces copies in pieces of n bytes, each after the delay; 0 ends after limit bytes.
func pieces(n int, delay time.Duration, limit int) func(from, to net.Conn) error {
	return func(from, to net.Conn) error {
		piece := make([]byte, n)
		for sent := 0; limit == 0 || sent < limit; {
			got, err := from.Read(piece)
			if err != nil {
				return err
			}
			time.Sleep(delay) // the fault
			if _, err := to.Write(piece[:got]); err != nil {
				return err
			}
			sent += got
		}
		return nil
	}
}

// Between service and database the network is slow, resets connections, cuts
// bytes into pieces, ends in the middle of an answer or swallows everything. An
// answer is whole or a 503, comes in time, and afterwards all is well.
func TestBadNetwork(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	p := newProxy(t, fmt.Sprintf("127.0.0.1:%d", s.port))
	_, port, err := net.SplitHostPort(p.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	sales := s.service("sales-api", "sales-api", "sales_data", "sales_app",
		"DATABASE_URL="+strings.Replace(s.url("sales_app", "sales_data"), fmt.Sprintf(":%d/", s.port), ":"+port+"/", 1))
	for _, c := range []struct {
		name  string
		fault func(from, to net.Conn) error
		works bool // slow, but answers
	}{
		{"latency of 300 ms", pieces(64<<10, 300*time.Millisecond, 0), true},
		{"latency of 5 s", pieces(64<<10, 5*time.Second, 0), false},
		{"pieces of one byte", pieces(1, 0, 0), true},
		{"ends after 3,000 bytes", pieces(100, 0, 3_000), false},
		{"resets at once", func(from, to net.Conn) error { _ = to.(*net.TCPConn).SetLinger(0); return nil }, false},
		{"swallows everything", func(from, to net.Conn) error { _, err := io.Copy(io.Discard, from); return err }, false},
	} {
		p.become(c.fault)
		var mu sync.Mutex
		statuses := map[int]int{}
		var callers sync.WaitGroup
		for caller := range 12 {
			callers.Go(func() {
				path, body, method := "/v1/customers?limit=200", "", "GET"
				if caller%3 == 0 {
					path, body, method = "/v1/orders", `{"customer_id": 1, "total_amount": 1.00}`, "POST"
				}
				began := time.Now()
				status, text, err := sales.send(method, path, body, "")
				var whole map[string]any
				if err != nil || time.Since(began) > answered || json.Unmarshal(text, &whole) != nil || status >= 300 && status != http.StatusServiceUnavailable {
					t.Errorf("%s: %s answered %d after %v: %.200s %v", c.name, path, status, time.Since(began), text, err)
				}
				if items, _ := whole["items"].([]any); method == "GET" && status == http.StatusOK && len(items) != 200 {
					t.Errorf("%s: 200 with %d customers", c.name, len(items))
				}
				mu.Lock()
				statuses[status]++
				mu.Unlock()
				if c.works && status == http.StatusServiceUnavailable { // by a connection of before
					s.await(c.name, func() bool {
						status, _, err := sales.send(method, path, body, "")
						return err == nil && status < 300
					})
				}
			})
		}
		callers.Wait()
		t.Logf("%s: answers by status %v", c.name, statuses)
		if c.works && statuses[http.StatusOK] == 0 {
			t.Errorf("%s: answers by status %v", c.name, statuses)
		}
		if !c.works && statuses[http.StatusServiceUnavailable] == 0 {
			t.Errorf("%s: nobody noticed: %v", c.name, statuses)
		}
	}
	p.become(faithful)
	s.awaitReady(sales)
	for range 20 { // every connection of the pool works
		if status, text, err := sales.send("GET", "/v1/customers/1", "", ""); err != nil || status != http.StatusOK {
			t.Errorf("afterwards: %d %s %v", status, text, err)
		}
	}
	if n := s.count("postgres", `SELECT count(*) FROM pg_stat_activity WHERE application_name = 'sales-api' AND state <> 'idle'`); n != 0 {
		t.Errorf("%d sessions were left at work", n)
	}
}

// The database lives and refuses: it only reads, as after a failover, or it has
// no session left. Callers get 503 with what it cannot do, and nothing else.
func TestDatabaseRefuses(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	sales := s.service("sales-api", "sales-api", "sales_data", "sales_app")
	admin := s.connect("postgres", "postgres")
	again := `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'sales_app'`
	check := func(what string, read, write int) {
		t.Helper()
		s.exec(admin, again)
		for _, c := range []struct {
			method, path, body string
			want               int
		}{{"GET", "/v1/customers", "", read}, {"GET", "/v1/customers/1", "", read}, {"POST", "/v1/orders", `{"customer_id": 1, "total_amount": 1.00}`, write}} {
			s.await(what+" "+c.path, func() bool { // connections that were just ended answer 503 too
				status, text, err := sales.send(c.method, c.path, c.body, "")
				if err != nil || status != c.want && status != http.StatusServiceUnavailable {
					t.Fatalf("%s: %s %s: %d %s %v", what, c.method, c.path, status, text, err)
				}
				return status == c.want
			})
		}
	}
	check("at first", http.StatusOK, http.StatusCreated)
	s.exec(admin, `ALTER DATABASE sales_data SET default_transaction_read_only = on`)
	check("reads only", http.StatusOK, http.StatusServiceUnavailable)
	s.exec(admin, `ALTER DATABASE sales_data RESET default_transaction_read_only`)
	s.exec(admin, `ALTER ROLE sales_app CONNECTION LIMIT 0`)
	check("no session", http.StatusServiceUnavailable, http.StatusServiceUnavailable)
	s.exec(admin, `ALTER ROLE sales_app CONNECTION LIMIT -1`)
	check("at last", http.StatusOK, http.StatusCreated)
}

// A caller who goes away takes his statement with him.
func TestCallersGoAway(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	sales := s.service("sales-api", "sales-api", "sales_data", "sales_app")
	if status, _, err := sales.send("POST", "/v1/orders", `{"customer_id": 1, "total_amount": 1.00}`, ""); err != nil || status != http.StatusCreated {
		t.Fatalf("%d %v", status, err)
	}
	conn := s.connect("sales_owner", "sales_data")
	s.exec(conn, `BEGIN`)
	s.exec(conn, `SELECT FROM orders WHERE order_id = 1 FOR UPDATE`)
	waiting := func() int64 {
		return s.count("postgres", `SELECT count(*) FROM pg_stat_activity WHERE usename = 'sales_app' AND wait_event_type = 'Lock'`)
	}
	impatient := *sales.client
	impatient.Timeout = 2 * time.Second
	var callers sync.WaitGroup
	for range 5 {
		callers.Go(func() {
			if status, _, err := send(&impatient, sales.key, "POST", sales.base+"/v1/orders/1/status", `{"status": "paid"}`, ""); err == nil {
				t.Errorf("answered %d", status)
			}
		})
	}
	s.await("statements that wait", func() bool { return waiting() > 0 })
	callers.Wait()
	gone := time.Now()
	s.await("no statement waits", func() bool { return waiting() == 0 })
	if took := time.Since(gone); took > 4*time.Second { // less than a request has
		t.Errorf("statements of callers who had gone waited for %v", took)
	}
	s.exec(conn, `ROLLBACK`)
	if status, _, err := sales.send("POST", "/v1/orders/1/status", `{"status": "paid"}`, ""); err != nil || status != http.StatusOK {
		t.Errorf("afterwards: %d %v", status, err)
	}
}

// Odd ways to speak HTTP: an endless body, lengths that contradict each other,
// old versions and absolute URIs.
func TestOddHTTP(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	sales := s.service("sales-api", "sales-api", "sales_data", "sales_app")
	addr := strings.TrimPrefix(sales.base, "http://")
	auth := "Authorization: Bearer " + sales.key + "\r\nContent-Type: application/json\r\n"
	for _, c := range []struct{ name, request, want string }{
		{"HTTP/1.0", "GET /livez HTTP/1.0\r\n\r\n", "200"},
		{"an absolute URI", "GET http://elsewhere/v1/customers/1 HTTP/1.1\r\nHost: x\r\n" + auth + "Connection: close\r\n\r\n", "200"},
		{"two lengths", "POST /v1/orders HTTP/1.1\r\nHost: x\r\n" + auth + "Content-Length: 5\r\nContent-Length: 6\r\n\r\n{}    ", "400"},
		{"a length beside chunks", "POST /v1/orders HTTP/1.1\r\nHost: x\r\n" + auth + "Content-Length: 60\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n2\r\n{}\r\n0\r\n\r\n", "422"},
		{"an unknown encoding", "POST /v1/orders HTTP/1.1\r\nHost: x\r\n" + auth + "Transfer-Encoding: cow\r\n\r\n", "501"},
		{"no host", "GET /v1/customers/1 HTTP/1.1\r\n\r\n", "400"},
		{"a long header", "GET /livez HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 100<<10) + "\r\n\r\n", "431"},
		{"a line break in a header", "GET /v1/customers/1 HTTP/1.1\r\nHost: x\r\nX-Request-Id: a\r\n b\r\nConnection: close\r\n\r\n", "40"},
	} {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(answered))
		_, _ = io.WriteString(conn, c.request) // the answer tells
		answer := make([]byte, 100)
		n, err := io.ReadAtLeast(conn, answer, 12)
		if err != nil || !strings.HasPrefix(string(answer[9:n]), c.want) {
			t.Errorf("%s: %q %v, want %s", c.name, answer[:n], err, c.want)
		}
		_ = conn.Close()
	}
	// A body without end is refused once it is too large.
	endless, pipe := io.Pipe()
	go func() {
		for {
			if _, err := pipe.Write([]byte(strings.Repeat(" ", 32<<10))); err != nil {
				return
			}
		}
	}()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, sales.base+"/v1/orders", endless)
	if err != nil {
		t.Fatal(err)
	}
	request.Header = http.Header{"Authorization": {"Bearer " + sales.key}, "Content-Type": {"application/json"}}
	response, err := sales.client.Do(request)
	if err != nil {
		t.Fatalf("an endless body: %v", err)
	}
	if response.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("an endless body: %d", response.StatusCode)
	}
	_ = response.Body.Close()
	_ = pipe.CloseWithError(io.ErrClosedPipe)
	if status, _, err := sales.send("GET", "/v1/customers/1", "", ""); err != nil || status != http.StatusOK {
		t.Errorf("afterwards: %d %v", status, err)
	}
}
