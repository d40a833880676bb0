package tour

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/datameesh/datameesh/platform/dbt"
	"github.com/datameesh/datameesh/platform/objectstore"
	"github.com/datameesh/datameesh/platform/query"
	"github.com/datameesh/datameesh/platform/state"
	"github.com/datameesh/datameesh/platform/topology"
)

// Engineer is mike's day: is everything well, new models, a new source, the
// tests of the data, a query that could be faster. meesh runs this program's own
// commands, which are his tools on one machine.
func Engineer(m Mesh, meesh func(ctx context.Context, args ...string) (stdout string, err error)) Tour {
	e := &engineer{mesh: m, meesh: meesh}
	const trino, store, metastore, collector, platformDB = "trino", "object-store", "hive-metastore", "mesh-collector", "platform-db"
	return Tour{
		Name: "engineer", Person: mike,
		About:    "the mesh's health, new models, a new source, the tests of the data, a faster query",
		Close:    e.close,
		Restarts: newSource,
		Steps: []Step{
			{At: "08:00", Name: "Check system health: services", Needs: []string{"sales-api", "marketing-ingest", "sales-api-logger", "marketing-api-logger", "sales-db", "sales-api-db", "marketing-db", platformDB}, Run: e.services},
			{At: "08:05", Name: "Check system health: queries in Trino", Needs: []string{trino}, Run: e.queries},
			{At: "08:10", Name: "Check system health: storage", Needs: []string{store}, Run: e.storage},
			{At: "08:15", Name: "Check system health: figures of the platform", Needs: []string{collector, platformDB, trino}, Run: e.figures},
			{At: "09:00", Name: "Deploy new dbt models: dbt run --full-refresh", Needs: []string{trino, platformDB, "sales-db", "marketing-db", "sales-api-db"}, Run: e.models},
			{At: "10:00", Name: newSource, Needs: []string{trino, "marketing-db"}, Run: e.source},
			{At: "11:00", Name: "Monitor data quality: dbt build and its tests", Needs: []string{trino, platformDB, "sales-db", "marketing-db", "sales-api-db"}, Run: e.quality},
			{At: "14:00", Name: "Optimize queries: the slow ones", Needs: []string{trino, "sales-db", "marketing-db"}, Run: e.slow},
			{At: "14:10", Name: "Optimize queries: partitions in the lake", Needs: []string{metastore, store, trino, "sales-db", platformDB}, Run: e.partitions},
			{At: "14:20", Name: "Optimize queries: statistics of tables", Needs: []string{trino, metastore, store, "sales-db"}, Run: e.statistics},
		},
	}
}

const mike = "mike"

// newSource is the step that restarts Trino, which learns of catalogs at its start.
const newSource = "Add a new data source"

type engineer struct {
	mesh  Mesh
	meesh func(ctx context.Context, args ...string) (string, error)
	trino *query.Client
}

// ask asks Trino as mike for rows of text.
func (e *engineer) ask(ctx context.Context, statement string) ([][]string, error) {
	if e.trino == nil {
		password, err := e.mesh.Secrets.Person(mike)
		if err != nil {
			return nil, err
		}
		ca, err := e.mesh.Secrets.CA()
		if err != nil {
			return nil, err
		}
		if e.trino, err = query.New(query.Config{
			Address: net.JoinHostPort("localhost", strconv.Itoa(e.mesh.Port(topology.PortTrino))),
			CA:      ca, User: mike, Password: password, Source: "meesh tour",
		}); err != nil {
			return nil, err
		}
	}
	return e.trino.Texts(ctx, statement)
}

// one asks for one row of one value.
func (e *engineer) one(ctx context.Context, statement string) (string, error) {
	rows, err := e.ask(ctx, statement)
	if err != nil {
		return "", err
	}
	if len(rows) != 1 || len(rows[0]) != 1 {
		return "", fmt.Errorf("%s: %d rows, not one value", statement, len(rows))
	}
	return rows[0][0], nil
}

func (e *engineer) close(context.Context) error {
	if e.trino == nil {
		return nil
	}
	return e.trino.Close()
}

// services: what the supervisor says of each service is what the service says itself.
func (e *engineer) services(ctx context.Context) (string, error) {
	out, err := e.meesh(ctx, "status", "-o", "json")
	if err != nil {
		return "", err
	}
	var components []struct {
		Name  string `json:"name"`
		Ready bool   `json:"ready"`
	}
	if err := json.Unmarshal([]byte(out), &components); err != nil {
		return "", fmt.Errorf("meesh status: %w", err)
	}
	ready := map[string]bool{}
	for _, c := range components {
		ready[c.Name] = c.Ready
	}
	for service, port := range map[string]int{
		"sales-api": topology.PortSalesAPI, "marketing-ingest": topology.PortMarketingIngest,
		"sales-api-logger": topology.PortSalesAPILogger, "marketing-api-logger": topology.PortMarketingAPILogger,
	} {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, e.mesh.address(port)+"/readyz", nil)
		if err != nil {
			return "", err
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return "", err
		}
		_ = resp.Body.Close()
		if err := same(service+" is ready, by meesh status and by itself", ready[service], resp.StatusCode == http.StatusOK); err != nil {
			return "", err
		}
	}
	for _, s := range topology.Servers {
		if _, err := e.mesh.ask(ctx, s.Name, s.Databases[0].Name, s.Databases[0].Owner, "SELECT 1"); err != nil {
			return "", err
		}
		if err := same(s.Name+" is ready", ready[s.Name], true); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("%d components; 4 services and %d databases answer for themselves", len(components), len(topology.Servers)), nil
}

// queries: Trino's own list has the query that was just run, as mike's, and how long it took.
func (e *engineer) queries(ctx context.Context) (string, error) {
	marker := "tour " + strconv.Itoa(os.Getpid())
	if _, err := e.one(ctx, "SELECT '"+marker+"'"); err != nil {
		return "", err
	}
	rows, err := e.ask(ctx, `SELECT count(*), count(DISTINCT "user"), count_if(query = 'SELECT ''`+marker+`''' AND "user" = '`+mike+`' AND state = 'FINISHED') FROM system.runtime.queries`)
	if err != nil {
		return "", err
	}
	if err := same("his query in Trino's list", rows[0][2], 1); err != nil {
		return "", err
	}
	nodes, err := e.one(ctx, "SELECT count(*) FROM system.runtime.nodes WHERE state = 'active'")
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s nodes, %s queries of %s users in the list", nodes, rows[0][0], rows[0][1]), same("nodes of Trino", nodes, 1+e.mesh.TrinoWorkers)
}

func (e *engineer) store() (*minio.Client, error) {
	secret, err := e.mesh.Secrets.StoreKey(mike)
	if err != nil {
		return nil, err
	}
	return minio.New(strings.TrimPrefix(e.mesh.address(topology.PortObjectStore), "http://"), &minio.Options{
		Creds: credentials.NewStaticV4(mike, secret, ""), Region: objectstore.Region, BucketLookup: minio.BucketLookupPath,
	})
}

// storage: an object that is put is found in the listing, and its bytes in the sum.
func (e *engineer) storage(ctx context.Context) (string, error) {
	client, err := e.store()
	if err != nil {
		return "", err
	}
	const key, content = "mike/tour/usage", "storage usage"
	usage := func() (objects int, bytes int64, found bool, err error) {
		for o := range client.ListObjects(ctx, objectstore.Lake, minio.ListObjectsOptions{Prefix: "mike/", Recursive: true}) {
			if o.Err != nil {
				return 0, 0, false, o.Err
			}
			objects, bytes, found = objects+1, bytes+o.Size, found || o.Key == key
		}
		return objects, bytes, found, nil
	}
	if err := client.RemoveObject(ctx, objectstore.Lake, key, minio.RemoveObjectOptions{}); err != nil {
		return "", err
	}
	_, before, _, err := usage()
	if err != nil {
		return "", err
	}
	if _, err := client.PutObject(ctx, objectstore.Lake, key, strings.NewReader(content), int64(len(content)), minio.PutObjectOptions{}); err != nil {
		return "", err
	}
	_, after, found, err := usage()
	if err != nil {
		return "", err
	}
	if err := errors.Join(same("the new object in the listing", found, true), same("bytes more", after-before, len(content))); err != nil {
		return "", err
	}
	all, bytes := 0, int64(0)
	buckets, err := client.ListBuckets(ctx)
	if err != nil {
		return "", err
	}
	for _, b := range buckets {
		for o := range client.ListObjects(ctx, b.Name, minio.ListObjectsOptions{Recursive: true}) {
			if o.Err != nil {
				return "", o.Err
			}
			all, bytes = all+1, bytes+o.Size
		}
	}
	return fmt.Sprintf("%d buckets, %d objects, %.1f MB", len(buckets), all, float64(bytes)/1e6), same("buckets", len(buckets), 2)
}

// figures: what the collector has written of a database is what PostgreSQL says.
func (e *engineer) figures(ctx context.Context) (string, error) {
	through, err := e.ask(ctx, `SELECT count(*), count_if(up) FROM (
		SELECT component, max_by(up, at) AS up FROM sales_analytics.ops.components GROUP BY component)`)
	if err != nil {
		return "", err
	}
	direct, err := e.mesh.ask(ctx, "platform-db", "sales_analytics", topology.RoleAnalytics, `
		SELECT count(*)::text, count(*) FILTER (WHERE up)::text, coalesce(extract(epoch FROM now() - max(at))::int, -1)::text
		  FROM (SELECT DISTINCT ON (component) component, up, at FROM ops.components ORDER BY component, at DESC) AS latest`)
	if err != nil {
		return "", err
	}
	if err := same("components watched, through Trino and in PostgreSQL", through[0][0], direct[0]); err != nil {
		return "", err
	}
	age, err := strconv.Atoi(direct[2])
	if err != nil || age < 0 || age > 300 {
		return "", &DifferenceError{"age of the latest figure", direct[2] + " s", "at most 300 s"}
	}
	return fmt.Sprintf("%s components watched, %s well, %s s ago", direct[0], direct[1], direct[2]), nil
}

// revenue is that of paid orders before as_of, asked of the sales database.
func (e *engineer) revenue(ctx context.Context) (string, error) {
	direct, err := e.mesh.ask(ctx, "sales-db", "sales_data", topology.RoleTrino, `
		SELECT sum(o.total_amount) FILTER (WHERE o.status = 'paid')::text
		FROM orders o, mesh_meta m WHERE o.ordered_at < m.as_of::timestamp AT TIME ZONE 'UTC'`)
	if err != nil {
		return "", err
	}
	return direct[0], nil
}

func (e *engineer) models(ctx context.Context) (string, error) {
	if _, err := e.meesh(ctx, "dbt", "run", "--full-refresh"); err != nil {
		return "", err
	}
	built, err := e.one(ctx, "SELECT sum(revenue) FROM sales_analytics.marts_next.mart_sales_daily")
	if err != nil {
		return "", err
	}
	direct, err := e.revenue(ctx)
	if err != nil {
		return "", err
	}
	return "all models built anew; revenue " + built + " as in PostgreSQL", same("revenue of the new mart and of PostgreSQL", built, direct)
}

// source adds a database as a catalog, finds in it what the database says itself,
// and removes it again.
func (e *engineer) source(ctx context.Context) (found string, err error) {
	const name, server, database = "tour_source", "marketing-db", "marketing_data"
	password, err := e.mesh.Secrets.Role(server, topology.RoleGrafana)
	if err != nil {
		return "", err
	}
	file, err := os.CreateTemp("", "meesh-tour-") // mode 0600
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, os.Remove(file.Name())) }()
	_, err = file.WriteString(password)
	if err = errors.Join(err, file.Close()); err != nil {
		return "", err
	}
	s, _ := topology.ServerNamed(server)
	url := fmt.Sprintf("postgres://%s@127.0.0.1:%d/%s?sslmode=disable", topology.RoleGrafana, e.mesh.Port(s.Port), database)
	begin := time.Now()
	if _, err := e.meesh(ctx, "source", "add", name, "--postgres", url, "--password-file", file.Name()); err != nil {
		return "", err
	}
	took := time.Since(begin)
	defer func() {
		_, removeErr := e.meesh(context.WithoutCancel(ctx), "source", "rm", name)
		err = errors.Join(err, removeErr)
	}()
	through, err := e.ask(ctx, "SELECT count(*), sum(budget) FROM "+name+".public.campaigns")
	if err != nil {
		return "", err
	}
	direct, err := e.mesh.ask(ctx, server, database, topology.RoleTrino, "SELECT count(*)::text, sum(budget)::text FROM campaigns")
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s campaigns in the catalog %s, added in %.0f s", through[0][0], name, took.Seconds()),
		same("campaigns and budget through the new catalog and in PostgreSQL", through[0], direct)
}

func (e *engineer) quality(ctx context.Context) (string, error) {
	if _, err := e.meesh(ctx, "dbt", "build"); err != nil {
		return "", err
	}
	dir, err := state.Find()
	if err != nil {
		return "", err
	}
	text, err := os.ReadFile(dbt.Results(dir.DBT()))
	if err != nil {
		return "", err
	}
	var run struct {
		Results []struct {
			ID     string `json:"unique_id"`
			Status string `json:"status"`
		} `json:"results"`
	}
	if err := json.Unmarshal(text, &run); err != nil {
		return "", err
	}
	tests, failed := 0, []string{}
	for _, r := range run.Results {
		if strings.HasPrefix(r.ID, "test.") || strings.HasPrefix(r.ID, "unit_test.") {
			tests++
			if !slices.Contains([]string{"pass", "no-op"}, r.Status) {
				failed = append(failed, r.ID+" "+r.Status)
			}
		}
	}
	if tests == 0 || len(failed) > 0 {
		return "", &DifferenceError{"tests of dbt", fmt.Sprintf("%d, of which %v", tests, failed), "some, all passed"}
	}
	// The published marts, by PostgreSQL's own count.
	published, err := e.mesh.ask(ctx, "platform-db", "sales_analytics", mike, "SELECT sum(revenue)::text, count(DISTINCT build_id)::text FROM marts.mart_sales_daily")
	if err != nil {
		return "", err
	}
	direct, err := e.revenue(ctx)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%d tests passed; marts published, revenue %s", tests, published[0]),
		errors.Join(same("revenue of the published mart and of sales", published[0], direct), same("builds in the mart", published[1], 1))
}

func (e *engineer) slow(ctx context.Context) (string, error) {
	const sql = "SELECT s.segment, m.campaign_name, sum(s.revenue) FROM sales.public.customers s JOIN marketing.public.leads m ON s.email = m.email GROUP BY 1, 2"
	if _, err := e.ask(ctx, sql); err != nil {
		return "", err
	}
	rows, err := e.ask(ctx, `SELECT query_id, date_diff('millisecond', started, "end"), query FROM system.runtime.queries
		WHERE state = 'FINISHED' AND source <> 'meesh supervise' ORDER BY 2 DESC LIMIT 5`)
	if err != nil {
		return "", err
	}
	if len(rows) == 0 || len(rows[0]) < 2 {
		return "", &DifferenceError{"Trino's list of queries", "none that is finished", "the one that was just run"}
	}
	plan, err := e.ask(ctx, "EXPLAIN ANALYZE "+sql)
	if err != nil {
		return "", err
	}
	text := fmt.Sprint(plan)
	for _, table := range []string{"sales_data", "marketing_data"} {
		if !strings.Contains(text, table) {
			return "", &DifferenceError{"the plan of the federated query", "no scan of " + table, "a scan of both databases"}
		}
	}
	return fmt.Sprintf("slowest of the list: %s ms; the federated query scans both databases", rows[0][1]), nil
}

func (e *engineer) partitions(ctx context.Context) (string, error) {
	if _, err := e.meesh(ctx, "export", "--table", "sales.orders"); err != nil {
		return "", err
	}
	found, err := e.ask(ctx, `SELECT (SELECT count(*) FROM lake.sales."orders$partitions"), (SELECT count(*) FROM lake.sales.orders), (SELECT sum(total_amount) FROM lake.sales.orders)`)
	if err != nil {
		return "", err
	}
	direct, err := e.mesh.ask(ctx, "sales-db", "sales_data", topology.RoleTrino, `
		SELECT count(DISTINCT date_trunc('month', ordered_at AT TIME ZONE 'UTC'))::text, count(*)::text, sum(total_amount)::text
		  FROM orders WHERE ordered_at < date_trunc('day', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC'`)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s partitions, one a month, %s rows", found[0][0], found[0][1]),
		same("partitions, rows and sum in the lake and in PostgreSQL", found[0], direct)
}

func (e *engineer) statistics(ctx context.Context) (string, error) {
	out, err := e.meesh(ctx, "stats", "-o", "csv")
	if err != nil {
		return "", err
	}
	rows, err := csv.NewReader(strings.NewReader(out)).ReadAll()
	if err != nil {
		return "", fmt.Errorf("meesh stats: %w", err)
	}
	for _, table := range []struct{ name, catalog string }{{"lake:sales.orders", "lake.sales.orders"}, {"sales:sales_data.public.customers", "sales.public.customers"}} {
		count, err := e.one(ctx, "SELECT count(*) FROM "+table.catalog)
		if err != nil {
			return "", err
		}
		i := slices.IndexFunc(rows, func(r []string) bool { return strings.Contains(r[1], strings.Split(table.catalog, ".")[2]) })
		if i < 0 {
			return "", &DifferenceError{"tables of the plan", fmt.Sprint(rows), "among them " + table.catalog}
		}
		if err := same("rows that the planner expects of "+table.catalog+" after ANALYZE", rows[i][3], count); err != nil {
			return "", err
		}
	}
	return "the planner expects the rows that there are", nil
}
