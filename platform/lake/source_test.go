//go:build e2e

package lake

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/datameesh/datameesh/platform/state"
)

// addedFiles: Parquet files in the lake become a catalog and go again; Ctrl-C in
// between leaves all as it was. That of a database is tested in platform/e2e.
func (m *mesh) addedFiles(t *testing.T) {
	m.must(t, "create schema if not exists hive.sensors with (location = 's3://datalake/analytics/sensors')")
	m.must(t, "create table hive.sensors.weather with (format = 'PARQUET') as select order_id, status, total_amount from sales.public.orders")
	m.must(t, "create table hive.sensors.traffic with (format = 'PARQUET') as select lead_id, campaign_id from marketing.public.leads")
	const prefix = "s3://datalake/analytics/sensors/"
	catalogs := m.must(t, "show catalogs")

	cmd := exec.CommandContext(t.Context(), m.program, "source", "add", "sensors", "--s3", prefix)
	cmd.Env = append(os.Environ(), state.HomeVariable+"="+m.home)
	var said bytes.Buffer
	restarts := &watcher{&said, "Trino restarts", make(chan struct{})}
	cmd.Stderr = restarts
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-restarts.seen:
	case <-time.After(patience):
		t.Errorf("Trino does not restart")
	}
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Error(err)
	}
	err := cmd.Wait()
	if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != 130 || !strings.Contains(said.String(), "all is as it was") {
		t.Errorf("interrupted: %v\n%s", err, said.String())
	}
	m.want(t, "show catalogs", catalogs)
	if _, said := m.run(t, "source", "list"); !strings.Contains(said, "No source") {
		t.Errorf("after Ctrl-C: %s", said)
	}

	_, log := m.run(t, "source", "add", "sensors", "--s3", prefix, "--allow", "data_science")
	t.Log(log)
	m.want(t, "show tables from sensors.files", "traffic\nweather")
	m.want(t, "select count(*), sum(total_amount) = (select sum(total_amount) from sales.public.orders) from sensors.files.weather", "400,true")
	if got, err := m.askAs(t, "alex", "select count(*) from sensors.files.traffic"); err != nil || got != "250" {
		t.Errorf("alex reads %q: %v", got, err)
	}
	if _, err := m.askAs(t, "emma", "select count(*) from sensors.files.traffic"); err == nil || !strings.Contains(err.Error(), "Access Denied") {
		t.Errorf("emma reads it: %v", err)
	}
	if _, err := m.askAs(t, "alex", "delete from sensors.files.traffic"); err == nil {
		t.Error("alex writes it")
	}
	m.run(t, "source", "rm", "sensors")
	m.want(t, "show catalogs", catalogs)
	m.want(t, "select count(*) from hive.sensors.weather", "400") // the files stay
}

// A watcher keeps what is written and tells once that a text was in it.
type watcher struct {
	kept *bytes.Buffer
	text string
	seen chan struct{} // closed then
}

func (w *watcher) Write(p []byte) (int, error) {
	before := strings.Contains(w.kept.String(), w.text)
	n, err := w.kept.Write(p)
	if !before && strings.Contains(w.kept.String(), w.text) {
		close(w.seen)
	}
	return n, err
}
