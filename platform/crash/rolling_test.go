//go:build crash

package crash

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// A balancer sends requests to the services in turn that say they are ready, as
// a Kubernetes Service does. It repeats no request.
type balancer struct {
	services []*service
	proxies  []http.Handler
	ready    []atomic.Bool
	next     atomic.Int64
}

func (b *balancer) watch(stop <-chan struct{}) {
	for {
		for i, v := range b.services {
			status, _, err := v.send("GET", "/readyz", "", "")
			b.ready[i].Store(err == nil && status == http.StatusOK)
		}
		select {
		case <-stop:
			return
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (b *balancer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	first := int(b.next.Add(1))
	for k := range b.services {
		i := (first + k) % len(b.services)
		if b.ready[i].Load() {
			b.proxies[i].ServeHTTP(w, r)
			return
		}
	}
	http.Error(w, "no service is ready", http.StatusBadGateway)
}

// Two processes behind a load balancer are stopped by SIGTERM and started again
// in turn under load: no request fails, and each has its row in api_logs.
func TestRollingRestarts(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	least := int64(2_000)
	if long() {
		least = 10_000
	}
	logger := s.service("sales-api-logger", "api-metrics-logger", "sales_api", "apimetrics_app")
	b := &balancer{ready: make([]atomic.Bool, 2)}
	for i := range 2 {
		v := s.service(fmt.Sprintf("sales-api-%d", i), "sales-api", "sales_data", "sales_app", "DRAIN=1500ms",
			"LOGGER_URL="+logger.base, "LOGGER_KEY="+s.key, fmt.Sprintf("SPILL_DIR=%s/spill-%d", s.dir, i))
		target, err := url.Parse(v.base)
		if err != nil {
			t.Fatal(err)
		}
		b.services = append(b.services, v)
		b.proxies = append(b.proxies, httputil.NewSingleHostReverseProxy(target))
	}
	stop := make(chan struct{})
	var watching, loading sync.WaitGroup
	watching.Go(func() { b.watch(stop) })
	s.await("both ready", func() bool { return b.ready[0].Load() && b.ready[1].Load() })
	front := httptest.NewServer(b)
	defer front.Close()
	client := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 16}}
	var requests atomic.Int64
	var mu sync.Mutex
	failed := map[string]int{}
	end := make(chan struct{})
	for caller := range 8 {
		loading.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-end:
					return
				default:
				}
				method, path, body, want := "GET", fmt.Sprintf("/v1/customers/%d", i%1000+1), "", http.StatusOK
				if caller%4 == 0 {
					method, path, body, want = "POST", "/v1/orders", `{"customer_id": 1, "total_amount": 1.00}`, http.StatusCreated
				}
				status, answer, err := send(client, s.key, method, front.URL+path, body, "")
				requests.Add(1)
				if err != nil || status != want {
					mu.Lock()
					failed[fmt.Sprintf("%s %d %.100s %v", method, status, answer, err)]++
					mu.Unlock()
				}
			}
		})
	}
	restarts := 0
	for ; restarts < 4 || requests.Load() < least; restarts++ {
		v := b.services[restarts%2]
		before := requests.Load()
		v.end(syscall.SIGTERM)
		s.restart(v)
		s.await("ready behind the balancer", func() bool { return b.ready[restarts%2].Load() && requests.Load() > before+200 })
	}
	close(end)
	loading.Wait()
	t.Logf("%d requests in %d restarts, %d ways to fail", requests.Load(), restarts, len(failed))
	if len(failed) > 0 {
		t.Errorf("failed: %v", failed)
	}
	for _, v := range b.services {
		v.end(syscall.SIGTERM) // sends what is queued
	}
	close(stop)
	watching.Wait()
	if rows := s.count("sales_api", `SELECT count(*) FROM api_logs WHERE route IN ('/v1/customers/:id', '/v1/orders')`); rows != requests.Load() {
		t.Errorf("%d requests, %d rows in api_logs", requests.Load(), rows)
	}
}

// 500 clients that send their headers byte by byte leave the others' p99 at
// twice its value or less; the median of some rounds counts, since the machine
// has other work too.
func TestSlowClients(t *testing.T) {
	if !long() {
		t.Skip("a measurement, part of make test/long")
	}
	s := newStand(t)
	sales := s.service("sales-api", "sales-api", "sales_data", "sales_app")
	var ratios []float64
	for range 5 {
		alone := p99(t, sales)
		stop := slowClients(t, sales, 500)
		crowded := p99(t, sales)
		stop()
		ratios = append(ratios, crowded.Seconds()/alone.Seconds())
	}
	slices.Sort(ratios)
	t.Logf("p99 beside slow clients / alone: %.2f", ratios)
	if ratios[len(ratios)/2] > 2 {
		t.Errorf("500 slow clients make p99 %.2f times as long", ratios[len(ratios)/2])
	}
}

func p99(t *testing.T, v *service) time.Duration {
	t.Helper()
	const callers, each = 4, 1000
	var mu sync.Mutex
	var took []time.Duration
	var loading sync.WaitGroup
	for range callers {
		loading.Go(func() {
			for i := range each {
				began := time.Now()
				status, _, err := v.send("GET", fmt.Sprintf("/v1/customers/%d", i%1000+1), "", "")
				if err != nil || status != http.StatusOK {
					t.Errorf("%d %v", status, err)
					return
				}
				mu.Lock()
				took = append(took, time.Since(began))
				mu.Unlock()
			}
		})
	}
	loading.Wait()
	slices.Sort(took)
	return took[len(took)*99/100]
}
