package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// connections of both sides wherever they are compared.
const connections = 16

// warmUp is a round that does not count.
const warmUp = 1

// A side is one of two that do the same work: it works for the time and gives
// its rate, or another figure.
type side func(ctx context.Context, length time.Duration) (float64, error)

// compare lets both sides take turns and gives the ratio of each round.
func (r *rig) compare(ctx context.Context, id, unit string, rounds int, length time.Duration, ours, theirs side) (s samples, err error) {
	defer func() { err = errors.Join(err, r.stopAll()) }()
	rounds, length = r.rounds(rounds, length)
	s = samples{values: map[string][]float64{}, unit: unit}
	for n := -warmUp; n < rounds; n++ {
		var a, b float64
		err := inTurn(n,
			func() (err error) { a, err = ours(ctx, length); return err },
			func() (err error) { b, err = theirs(ctx, length); return err })
		if err != nil {
			return s, err
		}
		if n < 0 {
			continue
		}
		s.values[id] = append(s.values[id], a/b)
		s.ours, s.theirs = append(s.ours, a), append(s.theirs, b)
	}
	return s, nil
}

// inTurn runs the sides of round n; who was second is first the next time. What
// a side leaves behind for the one after it, a rested or a busy machine, does not
// always meet the same.
func inTurn(n int, one, other func() error) error {
	if n%2 != 0 {
		one, other = other, one
	}
	if err := one(); err != nil {
		return err
	}
	return other()
}

// rate is a side that sends requests.
func (l load) rate(ctx context.Context, length time.Duration) (float64, error) {
	o, err := l.closed(ctx, length)
	return o.rate(), err
}

// byID requests random customers.
func (r *rig) byID(addr string, connections int) load {
	l := load{addr: addr, connections: connections, status: "200"}
	for range 20_000 {
		l.requests = append(l.requests, request("GET", fmt.Sprintf("/v1/customers/%d", 1+rand.IntN(r.customers())), r.key, nil))
	}
	return l
}

const customerColumns = `customer_id, customer_name, email, phone, region, segment, revenue, created_at, updated_at`

func getByID(ctx context.Context, r *rig) (samples, error) {
	api, err := r.salesAPI(ctx)
	if err != nil {
		return samples{}, errors.Join(err, r.stopAll())
	}
	script := fmt.Sprintf("\\set id random(1, %d)\nSELECT %s FROM customers WHERE customer_id = :id;\n", r.customers(), customerColumns)
	return r.compare(ctx, "get-by-id", "requests/s", 15, 2*time.Second,
		r.byID(api.addr, connections).rate,
		func(ctx context.Context, length time.Duration) (float64, error) {
			return r.pgbench(ctx, salesDatabase, "sales_app", script, connections, length)
		})
}

// pages walks through the list of customers and notes cursors of pages all
// over it; the last one leads to the last full page of 50.
func (r *rig) pages(ctx context.Context, addr string) error {
	if r.cursors != nil {
		return nil
	}
	after, limit, seen := "", 1000, 0
	for seen < r.customers()-50 {
		if r.customers()-seen <= 1000 {
			limit = 50
		}
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://%s/v1/customers?limit=%d%s", addr, limit, after), nil)
		if err != nil {
			return err
		}
		request.Header.Set("Authorization", "Bearer "+r.key)
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return err
		}
		var page struct {
			Items  []json.RawMessage `json:"items"`
			Cursor string            `json:"next_cursor"`
		}
		body, err := io.ReadAll(response.Body)
		if err = errors.Join(err, response.Body.Close()); err != nil {
			return err
		}
		if err := json.Unmarshal(body, &page); err != nil || page.Cursor == "" {
			return fmt.Errorf("the page after %d customers leads to no next one: %s %.300s", seen, response.Status, body)
		}
		seen += len(page.Items)
		after = "&cursor=" + page.Cursor
		r.cursors = append(r.cursors, page.Cursor)
	}
	return nil
}

// listOf requests the pages of 50 after the cursors; the first page is after none.
func (r *rig) listOf(addr string, connections int, cursors []string) load {
	l := load{addr: addr, connections: connections, status: "200"}
	for _, cursor := range cursors {
		page := "/v1/customers?limit=50"
		if cursor != "" {
			page += "&cursor=" + cursor
		}
		l.requests = append(l.requests, request("GET", page, r.key, nil))
	}
	return l
}

func list50(ctx context.Context, r *rig) (samples, error) {
	api, err := r.salesAPI(ctx)
	if err == nil {
		err = r.pages(ctx, api.addr)
	}
	if err != nil {
		return samples{}, errors.Join(err, r.stopAll())
	}
	peer, err := r.peer(ctx)
	if err != nil {
		return samples{}, errors.Join(err, r.stopAll())
	}
	theirs := load{addr: peer.addr, connections: connections, status: "200"}
	for after := 0; after+1000 < r.customers(); after += 1000 {
		theirs.requests = append(theirs.requests, request("GET", fmt.Sprintf("/customers?after=%d", after), "", nil))
	}
	return r.compare(ctx, "list-50", "requests/s", 15, 2*time.Second,
		r.listOf(api.addr, connections, r.cursors).rate, theirs.rate)
}

func lastPage(ctx context.Context, r *rig) (samples, error) {
	api, err := r.salesAPI(ctx)
	if err == nil {
		err = r.pages(ctx, api.addr)
	}
	if err != nil {
		return samples{}, errors.Join(err, r.stopAll())
	}
	p95 := func(cursor string) side {
		l := r.listOf(api.addr, 2, []string{cursor})
		return func(ctx context.Context, length time.Duration) (float64, error) {
			o, err := l.closed(ctx, length)
			return o.quantile(0.95).Seconds() * 1000, err
		}
	}
	return r.compare(ctx, "last-page", "ms", 15, time.Second, p95(r.cursors[len(r.cursors)-1]), p95(""))
}

func seeding(ctx context.Context, r *rig) (samples, error) {
	customers, orders := 20_000, 200_000
	if r.short {
		customers, orders = 1_000, 10_000
	}
	seed := func(ctx context.Context) error {
		return r.runProgram(ctx, seedDatabase, "sales_owner", "sales-seed", "--force", "--scale", "load", "--as-of", "2026-11-23",
			"--rows", fmt.Sprintf("customers=%d", customers), "--rows", fmt.Sprintf("orders=%d", orders))
	}
	psql := func(ctx context.Context, commands ...string) error {
		args := []string{"-X", "-q", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", fmt.Sprint(r.server.port), "-U", "sales_owner", "-d", seedDatabase}
		for _, c := range commands {
			args = append(args, "-c", c)
		}
		_, err := r.run(ctx, r.tools.env("PGPASSWORD="+r.password), r.tools.psql, args...)
		return err
	}
	// The same rows, as psql writes them.
	if err := seed(ctx); err != nil {
		return samples{}, err
	}
	files := map[string]string{"customers": filepath.Join(r.folder, "customers.copy"), "orders": filepath.Join(r.folder, "orders.copy")}
	for table, file := range files {
		if err := psql(ctx, fmt.Sprintf(`\copy %s TO '%s'`, table, file)); err != nil {
			return samples{}, err
		}
	}
	rows := float64(customers + orders)
	return r.compare(ctx, "seeding", "rows/s", 8, 0,
		func(ctx context.Context, _ time.Duration) (float64, error) {
			begin := time.Now()
			err := seed(ctx)
			return rows / time.Since(begin).Seconds(), err
		},
		func(ctx context.Context, _ time.Duration) (float64, error) {
			// Like the seeder: without the triggers that keep customers.revenue.
			if err := psql(ctx, `TRUNCATE customers, orders`, `ALTER TABLE orders DISABLE TRIGGER USER`); err != nil {
				return 0, err
			}
			begin := time.Now()
			err := psql(ctx, fmt.Sprintf(`\copy customers FROM '%s'`, files["customers"]), fmt.Sprintf(`\copy orders FROM '%s'`, files["orders"]))
			took := time.Since(begin)
			return rows / took.Seconds(), errors.Join(err, psql(ctx, `ALTER TABLE orders ENABLE TRIGGER USER`))
		})
}

// newLead is a lead of campaign 1.
func newLead() map[string]any {
	n := rand.Int64()
	return map[string]any{"email": fmt.Sprintf("lead%d@post.example", n), "full_name": fmt.Sprintf("Lead %d", n), "source": "Website", "campaign_id": 1, "score": 50}
}

func postLead(ctx context.Context, r *rig) (samples, error) {
	api, err := r.api(ctx, "marketing-ingest", marketingDatabase, "marketing_app")
	if err != nil {
		return samples{}, errors.Join(err, r.stopAll())
	}
	l := load{addr: api.addr, connections: connections, status: "201"}
	for range 5_000 {
		body, err := json.Marshal(newLead())
		if err != nil {
			return samples{}, err
		}
		l.requests = append(l.requests, request("POST", "/v1/leads", r.key, body))
	}
	script := `\set n random(1, 1000000000)
INSERT INTO leads (email, full_name, source, campaign_id, campaign_name, score)
VALUES ('lead' || :n || '@post.example', 'Lead ' || :n, 'Website', 1, 'Newsletter', 50) ON CONFLICT DO NOTHING;
`
	return r.compare(ctx, "post-lead", "leads/s", 15, 2*time.Second, l.rate,
		func(ctx context.Context, length time.Duration) (float64, error) {
			return r.pgbench(ctx, marketingDatabase, "marketing_owner", script, connections, length)
		})
}

func batchLeads(ctx context.Context, r *rig) (samples, error) {
	const size, clients = 1000, 2
	api, err := r.api(ctx, "marketing-ingest", marketingDatabase, "marketing_app")
	if err != nil {
		return samples{}, errors.Join(err, r.stopAll())
	}
	l := load{addr: api.addr, connections: clients, status: "201"}
	for range 20 {
		var batch []any
		for range size {
			batch = append(batch, newLead())
		}
		body, err := json.Marshal(map[string]any{"leads": batch})
		if err != nil {
			return samples{}, err
		}
		l.requests = append(l.requests, request("POST", "/v1/leads/batch", r.key, body))
	}
	// The rows travel as parameters, as the service's do.
	var emails, names []string
	for range size {
		lead := newLead()
		emails, names = append(emails, lead["email"].(string)), append(names, `"`+lead["full_name"].(string)+`"`)
	}
	script := `INSERT INTO leads (email, full_name, source, campaign_id, campaign_name, score)
SELECT email, full_name, 'Website', 1, 'Newsletter', 50 FROM unnest(:emails::text[], :names::text[]) AS n (email, full_name) ON CONFLICT DO NOTHING;
`
	return r.compare(ctx, "batch-leads", "batches/s", 15, 2*time.Second, l.rate,
		func(ctx context.Context, length time.Duration) (float64, error) {
			return r.pgbench(ctx, marketingDatabase, "marketing_owner", script, clients, length,
				"emails={"+strings.Join(emails, ",")+"}", "names={"+strings.Join(names, ",")+"}")
		})
}

// logging starts both services anew for each round: what a process happens to get at
// its start, such as where its memory lies, makes it faster or slower for its whole
// life, by as much as the claim is about.
func logging(ctx context.Context, r *rig) (samples, error) {
	rounds, length := r.rounds(24, 2*time.Second)
	s := samples{values: map[string][]float64{}, unit: "requests/s"}
	for n := -warmUp; n < rounds; n++ {
		with, without, err := r.loggingRound(ctx, n, length)
		if err != nil {
			return s, err
		}
		if n < 0 {
			continue
		}
		s.values["logging-cpu"] = append(s.values["logging-cpu"], with.cpu/without.cpu)
		s.values["logging-throughput"] = append(s.values["logging-throughput"], with.rate/without.rate)
		s.ours, s.theirs = append(s.ours, with.rate), append(s.theirs, without.rate)
	}
	return s, nil
}

// A cost is what requests took: how many came through in a second, and the
// processor time of one in µs.
type cost struct{ rate, cpu float64 }

func (r *rig) loggingRound(ctx context.Context, n int, length time.Duration) (with, without cost, err error) {
	defer func() { err = errors.Join(err, r.stopAll()) }()
	logging, err := r.salesAPI(ctx)
	if err != nil {
		return with, without, err
	}
	silent, err := r.serviceOf(ctx, "sales-api", salesDatabase, "sales_app")
	if err != nil {
		return with, without, err
	}
	err = inTurn(n,
		func() (err error) {
			if with, err = r.cost(ctx, logging, length); err != nil {
				return err
			}
			return logging.logged(ctx) // what is left over must not slow the other side
		},
		func() (err error) { without, err = r.cost(ctx, silent, length); return err })
	return with, without, err
}

// cost is that of customers by id, when the service has its connections and statements.
func (r *rig) cost(ctx context.Context, api service, length time.Duration) (cost, error) {
	l := r.byID(api.addr, connections)
	if _, err := l.closed(ctx, length/4); err != nil {
		return cost{}, err
	}
	before, err := api.cpu()
	if err != nil {
		return cost{}, err
	}
	o, err := l.closed(ctx, length)
	if err != nil {
		return cost{}, err
	}
	after, err := api.cpu()
	return cost{o.rate(), float64((after - before).Microseconds()) / float64(o.requests)}, err
}

func flaskByID(ctx context.Context, r *rig) (samples, error) {
	gunicorn, err := r.flask(ctx)
	if err != nil {
		return samples{}, err
	}
	program := filepath.Join(r.folder, "service.py")
	if err := os.WriteFile(program, flaskService, 0o600); err != nil {
		return samples{}, err
	}
	addr, err := freeAddr()
	if err != nil {
		return samples{}, err
	}
	// Workers with threads keep the connections of clients; the plain ones, which
	// are the default, would close them after each answer.
	peer, err := r.start(ctx, append(r.databaseEnv(salesDatabase, "sales_app"), "PYTHONDONTWRITEBYTECODE=1"), gunicorn,
		"-w", "2", "-k", "gthread", "--threads", fmt.Sprint(connections/2), "--keep-alive", "75", "-b", addr, "--pythonpath", r.folder, "service:app")
	if err == nil {
		err = peer.ready(ctx, "http://"+addr+"/v1/customers/1")
	}
	if err != nil {
		return samples{}, errors.Join(err, r.stopAll())
	}
	api, err := r.salesAPI(ctx)
	if err != nil {
		return samples{}, errors.Join(err, r.stopAll())
	}
	return r.compare(ctx, "get-by-id-flask", "requests/s", 10, 2*time.Second,
		r.byID(api.addr, connections).rate, r.byID(addr, connections).rate)
}

// tail starts the service anew for each round, as logging does.
func tail(ctx context.Context, r *rig) (samples, error) {
	s := samples{values: map[string][]float64{}, unit: "ms"}
	rounds, length := r.rounds(12, 2*time.Second)
	for n := -warmUp; n < rounds; n++ {
		p99, p50, err := r.tailRound(ctx, length)
		if err != nil {
			return s, err
		}
		if n < 0 {
			continue
		}
		s.values["p99-half-load"] = append(s.values["p99-half-load"], p99/p50)
		s.ours, s.theirs = append(s.ours, p99), append(s.theirs, p50)
	}
	return s, nil
}

// tailRound gives quantiles of the latency at half the maximum rate, in ms.
func (r *rig) tailRound(ctx context.Context, length time.Duration) (p99, p50 float64, err error) {
	defer func() { err = errors.Join(err, r.stopAll()) }()
	api, err := r.salesAPI(ctx)
	if err != nil {
		return 0, 0, err
	}
	most, err := r.byID(api.addr, connections).closed(ctx, length)
	if err != nil {
		return 0, 0, err
	}
	// Many connections: an arrival never waits for one.
	o, err := r.byID(api.addr, 8*connections).open(ctx, most.rate()/2, 2*length)
	return o.quantile(0.99).Seconds() * 1000, o.quantile(0.5).Seconds() * 1000, err
}

func memory(ctx context.Context, r *rig) (s samples, err error) {
	defer func() { err = errors.Join(err, r.stopAll()) }()
	s = samples{values: map[string][]float64{}}
	rounds, length := r.rounds(3, 5*time.Second)
	for range rounds {
		api, err := r.salesAPI(ctx)
		if err == nil {
			err = r.pages(ctx, api.addr)
		}
		if err != nil {
			return s, err
		}
		for _, l := range []load{r.byID(api.addr, 4*connections), r.listOf(api.addr, 4*connections, r.cursors)} {
			if _, err := l.closed(ctx, length); err != nil {
				return s, err
			}
		}
		bytes, err := api.peakMemory()
		if err != nil {
			return s, err
		}
		s.values["memory"] = append(s.values["memory"], float64(bytes)/1e6)
		if err := r.stopAll(); err != nil {
			return s, err
		}
	}
	return s, nil
}
