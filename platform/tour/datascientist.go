package tour

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/datameesh/datameesh/platform/jupyterhub"
	"github.com/datameesh/datameesh/platform/objectstore"
	"github.com/datameesh/datameesh/platform/policy"
	"github.com/datameesh/datameesh/platform/topology"
)

// federatedSeconds is what the seed's document promises for a query that spans
// both domains, measured inside the notebook.
const federatedSeconds = 3.0

// tourNotebook is the notebook that the seed's document has alex make.
const tourNotebook = "customer_analysis.ipynb"

// DataScientist is alex's day: a notebook, a federated query, a dbt model, a plot,
// a file for the lake.
func DataScientist(m Mesh) Tour {
	d := &dataScientist{mesh: m}
	const hub, proxy, trino, store, metastore = "jupyterhub", "jupyterhub-proxy", "trino", "object-store", "hive-metastore"
	return Tour{
		Name: "data-scientist", Person: "alex",
		About: "a notebook, a query across domains, a dbt model, a plot, a file for the lake",
		Close: d.close,
		Steps: []Step{
			{"09:00", "Log in to JupyterHub", []string{hub, proxy}, d.login},
			{"09:05", "Create a new notebook: " + tourNotebook, []string{hub, proxy}, d.create},
			{"09:10", "Explore data with Trino", []string{trino, "sales-db", "marketing-db", metastore, hub, proxy}, d.explore},
			{"09:30", "Write a federated query", []string{trino, "sales-db", "marketing-db", hub, proxy}, d.federated},
			{"10:00", "Build a dbt model for reusability", []string{trino, metastore, store, "sales-db", "marketing-db", hub, proxy}, d.model},
			{"10:30", "Create visualizations", []string{trino, "platform-db", hub, proxy}, d.plot},
			{"11:00", "Upload results to the data lake", []string{store, metastore, trino, hub, proxy}, d.upload},
		},
	}
}

type dataScientist struct {
	mesh     Mesh
	hub      *jupyterhub.Client
	kernel   *jupyterhub.Kernel
	notebook jupyterhub.Notebook
}

const alex = "alex"

func (d *dataScientist) login(ctx context.Context) (string, error) {
	address := d.mesh.address(topology.PortHub)
	password, err := d.mesh.Secrets.Person(alex)
	if err != nil {
		return "", err
	}
	switch _, err := jupyterhub.Login(ctx, address, alex, password+"x"); {
	case err == nil:
		return "", &DifferenceError{"a wrong password", "accepted", "refused"}
	case !errors.Is(err, jupyterhub.ErrRefused):
		return "", err
	}
	if d.hub, err = jupyterhub.Login(ctx, address, alex, password); err != nil {
		return "", err
	}
	var who struct{ Name string }
	if err := d.hub.Call(ctx, "GET", "/hub/api/user", nil, &who); err != nil {
		return "", err
	}
	if err := same("who JupyterHub says it is", who.Name, alex); err != nil {
		return "", err
	}
	start := time.Now()
	if err := d.hub.Start(ctx); err != nil {
		return "", err
	}
	return fmt.Sprintf("alex's server ready in %.1f s; a wrong password is refused", time.Since(start).Seconds()), nil
}

func (d *dataScientist) create(ctx context.Context) (string, error) {
	d.notebook = jupyterhub.NewNotebook("import os\nprint(os.environ['TRINO_USER'])")
	if err := d.hub.Save(ctx, tourNotebook, d.notebook); err != nil {
		return "", err
	}
	back, err := d.hub.Notebook(ctx, tourNotebook)
	if err != nil {
		return "", err
	}
	if err := same("cells read back", len(back.Cells), 1); err != nil {
		return "", err
	}
	if d.kernel, err = d.hub.Kernel(ctx, tourNotebook); err != nil {
		return "", err
	}
	outputs, err := d.kernel.Run(ctx, string(back.Cells[0].Source))
	if err != nil {
		return "", err
	}
	return "a kernel runs in it", same("who the kernel is", strings.TrimSpace(jupyterhub.Plain(outputs)), alex)
}

// run adds a cell to the notebook, runs it, and reads the last line that it prints as JSON.
func (d *dataScientist) run(ctx context.Context, code string, result any) ([]jupyterhub.Output, error) {
	cell := jupyterhub.Cell{ID: fmt.Sprintf("cell-%d", len(d.notebook.Cells)+1), Type: "code", Source: jupyterhub.Text(code)}
	outputs, err := d.kernel.Run(ctx, code)
	cell.Outputs = outputs
	d.notebook.Cells = append(d.notebook.Cells, cell)
	if err != nil {
		said := strings.TrimSpace(jupyterhub.Plain(outputs))
		if lines := strings.Split(said, "\n"); said != "" {
			err = fmt.Errorf("%w; the end of what it said:\n%s", err, strings.Join(lines[max(0, len(lines)-8):], "\n"))
		}
		return outputs, err
	}
	if result == nil {
		return outputs, nil
	}
	lines := strings.Split(strings.TrimSpace(jupyterhub.Plain(outputs)), "\n")
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), result); err != nil {
		return outputs, fmt.Errorf("the cell printed %q: %w", lines[len(lines)-1], err)
	}
	return outputs, nil
}

func (d *dataScientist) explore(ctx context.Context) (string, error) {
	var found struct {
		Catalogs         []string
		Customers, Leads int64
		User             string
		Hive             []string
	}
	if _, err := d.run(ctx, `
import json, os
from trino.auth import JWTAuthentication
from trino.dbapi import connect

conn = connect(
    host=os.environ["TRINO_HOST"], port=int(os.environ["TRINO_PORT"]), http_scheme="https",
    auth=JWTAuthentication(os.environ["TRINO_TOKEN"]), verify=os.environ["TRINO_CA"],
)
cursor = conn.cursor()

def rows(sql):
    cursor.execute(sql)
    return cursor.fetchall()

print(json.dumps({
    "catalogs": [name for name, in rows("SHOW CATALOGS")],
    "customers": rows("SELECT count(*) FROM sales.public.customers")[0][0],
    "leads": rows("SELECT count(*) FROM marketing.public.leads")[0][0],
    "hive": [name for name, in rows("SHOW SCHEMAS FROM hive")],
    "user": rows("SELECT current_user")[0][0],
}))
`, &found); err != nil {
		return "", err
	}
	for _, catalog := range []string{"sales", "marketing", "hive", "lake"} {
		if !slices.Contains(found.Catalogs, catalog) {
			return "", &DifferenceError{"catalogs", fmt.Sprint(found.Catalogs), "among them " + catalog}
		}
	}
	if err := same("who Trino says it is", found.User, alex); err != nil {
		return "", err
	}
	for _, table := range []struct {
		what                        string
		server, database, sql, role string
		found                       int64
	}{
		{"customers", "sales-db", "sales_data", "SELECT count(*) FROM customers", topology.RoleTrino, found.Customers},
		{"leads", "marketing-db", "marketing_data", "SELECT count(*) FROM leads", topology.RoleTrino, found.Leads},
	} {
		direct, err := d.mesh.ask(ctx, table.server, table.database, table.role, table.sql)
		if err != nil {
			return "", err
		}
		if err := same(table.what+" in the notebook and in PostgreSQL", table.found, direct[0]); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("%d catalogs, %d customers, %d leads, as in PostgreSQL", len(found.Catalogs), found.Customers, found.Leads), nil
}

func (d *dataScientist) federated(ctx context.Context) (string, error) {
	var found struct {
		Rows    int64
		Revenue string
		Seconds float64
	}
	const code = `
import json, time
import pandas as pd

begin = time.perf_counter()
cursor.execute("""
SELECT s.customer_id, s.segment, s.revenue, m.campaign_name
FROM sales.public.customers s
JOIN marketing.public.leads m ON s.email = m.email
""")
joined = pd.DataFrame(cursor.fetchall(), columns=[c[0] for c in cursor.description])
seconds = time.perf_counter() - begin
print(json.dumps({"rows": len(joined), "revenue": str(joined.revenue.sum()), "seconds": seconds}))
`
	// What it is compared with is read before and after: the data may change.
	const oracle = `SELECT count(*)::text, coalesce(sum(c.revenue), 0)::text FROM sales.customers c JOIN marketing.leads l ON c.email = l.email`
	for range 3 {
		before, err := d.mesh.ask(ctx, "platform-db", topology.DatabaseVerify, topology.DatabaseVerify, oracle)
		if err != nil {
			return "", err
		}
		if _, err := d.run(ctx, code, &found); err != nil {
			return "", err
		}
		after, err := d.mesh.ask(ctx, "platform-db", topology.DatabaseVerify, topology.DatabaseVerify, oracle)
		if err != nil {
			return "", err
		}
		if !slices.Equal(before, after) {
			continue
		}
		if err := same("rows and revenue in the notebook and through postgres_fdw", []string{fmt.Sprint(found.Rows), found.Revenue}, after); err != nil {
			return "", err
		}
		if found.Seconds >= federatedSeconds {
			return "", &DifferenceError{"time of the query in the notebook", fmt.Sprintf("%.2f s", found.Seconds), fmt.Sprintf("less than %.0f s", federatedSeconds)}
		}
		return fmt.Sprintf("%d rows, revenue %s, in %.2f s; the same through postgres_fdw", found.Rows, found.Revenue, found.Seconds), nil
	}
	return "", errors.New("the data changed during each of 3 comparisons; stop what writes and try again")
}

func (d *dataScientist) model(ctx context.Context) (string, error) {
	var found struct {
		Rows    int64
		Revenue string
		Docs    bool
	}
	if _, err := d.run(ctx, `
import subprocess
project = os.path.expanduser("~/dbt_projects")
for command in ("run --select +mart_sales_daily", "test --select mart_sales_daily --indirect-selection cautious", "docs generate --select mart_sales_daily"):
    done = subprocess.run(["dbt", "--no-use-colors", *command.split()], cwd=project, capture_output=True, text=True)
    print(done.stdout[-3000:], done.stderr[-1000:])
    done.check_returncode()
cursor.execute(f"SELECT count(*), sum(revenue) FROM lake.dev_{os.environ['TRINO_USER']}.mart_sales_daily")
count, revenue = cursor.fetchone()
print(json.dumps({"rows": count, "revenue": str(revenue), "docs": os.path.exists(project + "/target/manifest.json")}))
`, &found); err != nil {
		return "", err
	}
	// Staging keeps the orders before as_of.
	direct, err := d.mesh.ask(ctx, "sales-db", "sales_data", topology.RoleTrino, `
SELECT sum(o.total_amount) FILTER (WHERE o.status = 'paid')::text
FROM orders o, mesh_meta m WHERE o.ordered_at < m.as_of::timestamp AT TIME ZONE 'UTC'`)
	if err != nil {
		return "", err
	}
	if err := same("revenue of alex's mart and of PostgreSQL", found.Revenue, direct[0]); err != nil {
		return "", err
	}
	return fmt.Sprintf("dbt run, test and docs; %d rows in lake.dev_alex, revenue %s as in PostgreSQL", found.Rows, found.Revenue), same("documents", found.Docs, true)
}

func (d *dataScientist) plot(ctx context.Context) (string, error) {
	var found struct{ Campaigns int64 }
	outputs, err := d.run(ctx, `
import matplotlib.pyplot as plt
import meesh
import seaborn as sns

roi = meesh.product("campaign_roi").sort_values("roi")
fig, ax = plt.subplots(figsize=(8, 3.6))
sns.barplot(data=roi, x="roi", y="campaign_name", hue="channel", ax=ax)
ax.set(title="Return on investment by campaign", xlabel="", ylabel="")
plt.show()
print(json.dumps({"campaigns": len(roi)}))
`, &found)
	if err != nil {
		return "", err
	}
	direct, err := d.mesh.ask(ctx, "marketing-db", "marketing_data", topology.RoleTrino, "SELECT count(*) FROM campaigns")
	if err != nil {
		return "", err
	}
	if err := same("campaigns in the plot and in PostgreSQL", found.Campaigns, direct[0]); err != nil {
		return "", err
	}
	for _, o := range outputs {
		text, ok := o.Data["image/png"].(string)
		if !ok {
			continue
		}
		size, err := drawn(text)
		return fmt.Sprintf("%d campaigns, a picture of %s", found.Campaigns, size), err
	}
	return "", &DifferenceError{"pictures in the notebook", "none", "one"}
}

// drawn looks whether a picture shows something, and tells its size.
func drawn(encoded string) (string, error) {
	raw, err := base64.StdEncoding.DecodeString(strings.ReplaceAll(encoded, "\n", ""))
	if err != nil {
		return "", fmt.Errorf("the picture: %w", err)
	}
	colours, err := jupyterhub.Colours(raw)
	if err != nil {
		return "", err
	}
	if colours < 5 {
		return "", &DifferenceError{"colours of the picture", fmt.Sprint(colours), "at least 5"}
	}
	return fmt.Sprintf("%d kB, %d colours", len(raw)/1000, colours), nil
}

func (d *dataScientist) upload(ctx context.Context) (string, error) {
	const key = "analytics/alex/tour/results.parquet"
	var found struct {
		Rows, Bytes int64
		Revenue     float64
		Summed      float64
	}
	if _, err := d.run(ctx, `
import boto3

results = joined.groupby(["segment", "campaign_name"], as_index=False).agg(leads=("customer_id", "size"), revenue=("revenue", lambda r: float(r.sum())))
results.to_parquet("results.parquet", index=False)
boto3.client("s3").upload_file("results.parquet", "datalake", "`+key+`")

cursor.execute("CREATE SCHEMA IF NOT EXISTS uploads.analytics WITH (location = 's3://datalake/analytics/tables')")
cursor.fetchall()
cursor.execute("DROP TABLE IF EXISTS uploads.analytics.alex_tour")
cursor.fetchall()
cursor.execute("""
CREATE TABLE uploads.analytics.alex_tour (segment varchar, campaign_name varchar, leads bigint, revenue double)
WITH (external_location = 's3://datalake/analytics/alex/tour/', format = 'PARQUET')
""")
cursor.fetchall()
cursor.execute("SELECT count(*), sum(revenue) FROM uploads.analytics.alex_tour")
count, revenue = cursor.fetchone()
print(json.dumps({"rows": count, "revenue": revenue, "summed": float(results.revenue.sum()), "bytes": os.path.getsize("results.parquet")}))
`, &found); err != nil {
		return "", err
	}
	// Read with another key than alex's, not through Trino.
	people, err := d.mesh.Secrets.Persons()
	if err != nil {
		return "", err
	}
	engineer, err := policy.AnEngineer(people)
	if err != nil {
		return "", err
	}
	secret, err := d.mesh.Secrets.StoreKey(engineer)
	if err != nil {
		return "", err
	}
	client, err := minio.New(strings.TrimPrefix(d.mesh.address(topology.PortObjectStore), "http://"), &minio.Options{
		Creds: credentials.NewStaticV4(engineer, secret, ""), Region: objectstore.Region, BucketLookup: minio.BucketLookupPath,
	})
	if err != nil {
		return "", err
	}
	object, err := client.GetObject(ctx, objectstore.Lake, key, minio.GetObjectOptions{})
	if err != nil {
		return "", err
	}
	defer func() { _ = object.Close() }()
	content, err := io.ReadAll(object)
	if err != nil {
		return "", fmt.Errorf("read %s as %s: %w", key, engineer, err)
	}
	if err := same("bytes of the file and of the object", len(content), found.Bytes); err != nil {
		return "", err
	}
	if !bytes.HasPrefix(content, []byte("PAR1")) || !bytes.HasSuffix(content, []byte("PAR1")) {
		return "", &DifferenceError{"the object", "something else", "a Parquet file"}
	}
	direct, err := d.mesh.ask(ctx, "platform-db", topology.DatabaseVerify, topology.DatabaseVerify,
		`SELECT count(*) FROM (SELECT 1 FROM sales.customers c JOIN marketing.leads l ON c.email = l.email GROUP BY c.segment, l.campaign_name) AS g`)
	if err != nil {
		return "", err
	}
	if err := same("rows of the table on the file and of PostgreSQL", found.Rows, direct[0]); err != nil {
		return "", err
	}
	if err := same("revenue in the file and through the table", fmt.Sprintf("%.2f", found.Revenue), fmt.Sprintf("%.2f", found.Summed)); err != nil {
		return "", err
	}
	return fmt.Sprintf("%d rows, %d bytes in s3://datalake/%s, read back through a table", found.Rows, found.Bytes, key), d.hub.Save(ctx, tourNotebook, d.notebook)
}

// close ends the kernel; the server stays, as it would for alex.
func (d *dataScientist) close(ctx context.Context) error {
	if d.kernel == nil {
		return nil
	}
	err := d.kernel.Close(ctx)
	if _, gone := errors.AsType[*jupyterhub.StatusError](err); gone {
		return nil // its server is away, and so is it
	}
	return err
}
