//go:build crash

package crash

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// A writer sends numbered writes and remembers which were acknowledged. One
// that is not acknowledged is sent again, under the same key, until it is.
type writer struct {
	service  *service
	path     string
	body     func(n int64) string // holds n, so that each write is found in the database
	created  int                  // status of an acknowledgement
	next     atomic.Int64
	answered atomic.Int64 // requests that got an answer
	mu       sync.Mutex
	acked    []int64
	strange  map[int]int
}

func (w *writer) run(stop <-chan struct{}) {
	for {
		n := w.next.Add(1)
		for {
			status, _, err := w.service.send("POST", w.path, w.body(n), fmt.Sprintf("%s-%d", w.path, n))
			if err == nil {
				w.answered.Add(1)
			}
			if err == nil && status == w.created {
				w.mu.Lock()
				w.acked = append(w.acked, n)
				w.mu.Unlock()
				break
			}
			// 409: the first attempt, whose caller is gone, is still running.
			if err == nil && status != http.StatusServiceUnavailable && status != http.StatusConflict {
				w.mu.Lock()
				w.strange[status]++
				w.mu.Unlock()
			}
			select {
			case <-stop:
				return
			case <-time.After(2 * time.Millisecond):
			}
		}
		select {
		case <-stop:
			return
		default:
		}
	}
}

func (w *writer) acknowledged() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.acked)
}

func orders(v *service) *writer {
	return &writer{service: v, path: "/v1/orders", created: http.StatusCreated, strange: map[int]int{},
		body: func(n int64) string {
			return fmt.Sprintf(`{"customer_id": %d, "total_amount": %d.%02d}`, n%1000+1, n/100, n%100)
		}}
}

func leads(v *service) *writer {
	return &writer{service: v, path: "/v1/leads", created: http.StatusCreated, strange: map[int]int{},
		body: func(n int64) string {
			return fmt.Sprintf(`{"email": "lead%d@example.com", "full_name": "Lead", "source": "Website", "campaign_id": 1}`, n)
		}}
}

// Services and database are killed again and again while orders and leads are
// written. No acknowledged one is lost, none is there twice, and the request log
// accounts for every request.
func TestAcknowledgedWritesSurviveCrashes(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	crashes := 5
	if long() {
		crashes = 20
	}
	logger := s.service("sales-api-logger", "api-metrics-logger", "sales_api", "apimetrics_app")
	sales := s.service("sales-api", "sales-api", "sales_data", "sales_app",
		"LOGGER_URL="+logger.base, "LOGGER_KEY="+s.key, "SPILL_DIR="+s.dir+"/spill")
	marketing := s.service("marketing-ingest", "marketing-ingest", "marketing_data", "marketing_app")
	writers := []*writer{orders(sales), leads(marketing)}
	stop := make(chan struct{})
	var writing sync.WaitGroup
	for _, w := range writers {
		for range 8 {
			writing.Go(func() { w.run(stop) })
		}
	}
	progress := func(what string) {
		for _, w := range writers {
			more := w.acknowledged() + 50
			s.await(what, func() bool { return w.acknowledged() >= more })
		}
	}
	random := rand.New(rand.NewPCG(1, 1))
	for crash := range 2 * crashes {
		progress(fmt.Sprintf("writes after %d crashes", crash))
		time.Sleep(time.Duration(random.IntN(100)) * time.Millisecond) // a crash at no particular moment
		switch crash % 4 {
		case 0, 2:
			for _, v := range []*service{sales, marketing, logger} {
				v.end(syscall.SIGKILL)
			}
			for _, v := range []*service{logger, marketing, sales} {
				s.restart(v)
			}
		case 1:
			s.database.end(syscall.SIGQUIT) // "immediate"
			s.awaitDatabase()
		case 3:
			s.database.end(syscall.SIGKILL)
			s.awaitDatabase()
		}
		s.requestLog(sales)
	}
	progress("writes after the last crash")
	close(stop)
	writing.Wait()

	for _, c := range []struct {
		w                     *writer
		database, there, many string
	}{
		{writers[0], "sales_data", `SELECT count(*) FROM unnest($1::bigint[]) AS n WHERE NOT EXISTS (SELECT FROM orders WHERE total_amount = n / 100.0)`,
			`SELECT count(*) FROM (SELECT FROM orders GROUP BY total_amount HAVING count(*) > 1) AS twice`},
		{writers[1], "marketing_data", `SELECT count(*) FROM unnest($1::bigint[]) AS n WHERE NOT EXISTS (SELECT FROM leads WHERE email = 'lead' || n || '@example.com')`,
			`SELECT count(*) FROM (SELECT FROM leads GROUP BY email HAVING count(*) > 1) AS twice`},
	} {
		lost, twice := s.count(c.database, c.there, c.w.acked), s.count(c.database, c.many)
		t.Logf("%s: %d acknowledged in %d crashes, %d lost, %d twice", c.w.path, len(c.w.acked), 2*crashes, lost, twice)
		if lost != 0 || twice != 0 || len(c.w.strange) != 0 {
			t.Errorf("%s: %d lost, %d twice, answered %v beside 201, 409 and 503", c.w.path, lost, twice, c.w.strange)
		}
	}
	s.await("the spill is drained", func() bool {
		n := s.requestLog(sales)
		return n.spilled+n.queued == 0
	})
	n := s.requestLog(sales)
	if rows := s.count("sales_api", `SELECT count(*) FROM api_logs WHERE service = 'sales-api'`); rows != n.stored {
		t.Errorf("api_logs has %d rows, the API counts %d stored", rows, n.stored)
	}
	if n.served < writers[0].answered.Load() {
		t.Errorf("the request log counts %d requests, %d were answered", n.served, writers[0].answered.Load())
	}
	t.Logf("request log: %+v", n)
}

// The database stops for a while under load: callers get 503 and nothing else,
// and a second after it accepts again, at most, an answer.
func TestDatabaseStops(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	pause := 3 * time.Second
	if long() {
		pause = 10 * time.Second
	}
	sales := s.service("sales-api", "sales-api", "sales_data", "sales_app")
	type answer struct {
		at     time.Time
		status int
		err    error
		took   time.Duration
	}
	var mu sync.Mutex
	var answers []answer
	stop := make(chan struct{})
	var loading sync.WaitGroup
	for caller := range 16 {
		loading.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				began := time.Now()
				method, path, body := "GET", fmt.Sprintf("/v1/customers/%d", i%1000+1), ""
				if caller%4 == 0 {
					method, path, body = "POST", "/v1/orders", `{"customer_id": 1, "total_amount": 1.00}`
				}
				status, _, err := sales.send(method, path, body, "")
				mu.Lock()
				answers = append(answers, answer{time.Now(), status, err, time.Since(began)})
				mu.Unlock()
				if status == http.StatusServiceUnavailable {
					time.Sleep(5 * time.Millisecond) // a caller that is told to wait waits
				}
			}
		})
	}
	s.await("load", func() bool { mu.Lock(); defer mu.Unlock(); return len(answers) > 500 })
	s.database.end(syscall.SIGINT) // "fast"
	stopped := time.Now()
	time.Sleep(pause) // the fault: the time that the database is away
	s.awaitDatabase()
	accepts := time.Now()
	s.await("success", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return answers[len(answers)-1].status < 300 && answers[len(answers)-1].at.After(accepts)
	})
	time.Sleep(time.Second) // what comes after the first success counts too
	close(stop)
	loading.Wait()

	statuses, during, slowest := map[int]int{}, 0, time.Duration(0)
	var first time.Time
	for _, a := range answers {
		statuses[a.status]++
		slowest = max(slowest, a.took)
		if a.err != nil {
			t.Errorf("no answer: %v", a.err)
		}
		if a.at.After(stopped) && a.at.Before(accepts) {
			during++
		}
		if a.at.After(stopped) && a.status < 300 && (first.IsZero() || a.at.Before(first)) {
			first = a.at
		}
	}
	t.Logf("answers by status %v, %d of them while the database was away, the slowest after %v; first success %v after it accepted", statuses, during, slowest, first.Sub(accepts))
	for status := range statuses {
		if status != 200 && status != 201 && status != 503 {
			t.Errorf("%d answers %d", statuses[status], status)
		}
	}
	if during == 0 || statuses[503] == 0 || slowest > 10*time.Second {
		t.Errorf("%d answers while the database was away, %d of them 503, the slowest after %v", during, statuses[503], slowest)
	}
	if first.Sub(accepts) > time.Second {
		t.Errorf("the first success came %v after the database accepted", first.Sub(accepts))
	}
}
