//go:build e2e

package e2e

import (
	"encoding/json"
	"os/exec"
	"strings"
	"testing"

	"github.com/datameesh/datameesh/platform/demo"
)

// verdicts are the lines of the table of checks that begin with a verdict.
func verdicts(stdout string) (ok, failed int) {
	for _, line := range strings.Split(stdout, "\n") {
		switch word, _, _ := strings.Cut(strings.TrimSpace(line), " "); word {
		case "ok":
			ok++
		case "FAILED":
			failed++
		}
	}
	return ok, failed
}

func (m *mesh) testDemo(t *testing.T) {
	r := m.run(t, 0, "demo", "--runs", "3")
	t.Logf("in %.1f s:\n%s", r.took.Seconds(), r.stdout)
	says(t, r.stdout, "Q1", "Q2", "Q3", "Q4", "850 rows", "Q3, 45 groups", "2.3 s")
	// Rows and sums of four queries by another path, those four and four counts as seeded.
	if ok, failed := verdicts(r.stdout); ok != 2*4+4+4 || failed != 0 {
		t.Errorf("%d checks are ok, %d failed", ok, failed)
	}
}

// A lead that no API wrote: the other path agrees, the golden figures do not.
func (m *mesh) testPlantedLead(t *testing.T) {
	conn, err := m.connect(t, "marketing-db", "marketing_data", "marketing_owner")
	if err != nil {
		t.Fatal(err)
	}
	email := m.ask(t, "SELECT min(email) FROM sales.public.customers")
	var lead int64
	if err := conn.QueryRow(m.ctx, `
		INSERT INTO leads (email, full_name, source, campaign_id, campaign_name, status, score, created_at)
		SELECT $1, 'planted by a test', source, campaign_id, campaign_name, 'new', score, created_at FROM leads LIMIT 1
		RETURNING lead_id`, email).Scan(&lead); err != nil {
		t.Fatal(err)
	}
	r := m.begin(t, "demo", "--runs", "1", "-o", "json").wait(t)
	if _, err := conn.Exec(m.ctx, `DELETE FROM leads WHERE lead_id = $1`, lead); err != nil {
		t.Fatal(err)
	}
	var report demo.Report
	if err := json.Unmarshal([]byte(r.stdout), &report); err != nil || r.code != 1 {
		t.Fatalf("not a report with exit code 1: %v: %s", err, r)
	}
	var failed []string
	for _, c := range report.Checks {
		if !c.OK {
			failed = append(failed, c.Query+", "+c.Check+": expected "+c.Expected+", found "+c.Found)
		}
	}
	all := strings.Join(failed, "\n")
	says(t, all, "leads, as seeded: expected 2500, found 2501", "Q1, as seeded: expected 850 rows, found 851 rows")
	if strings.Contains(all, "another path") {
		t.Errorf("the other path disagrees:\n%s", all)
	}
	if !report.AsSeed || report.Failed != len(failed) {
		t.Errorf("as seeded %t (%s), %d failed: %v", report.AsSeed, report.Why, report.Failed, failed)
	}
	// That all holds again without it, the next test finds.
}

// The tests with the build tag mesh plant what no user can: errors in the
// comparison itself, queries cancelled in each of their states.
func (m *mesh) testPackages(t *testing.T) {
	packages := []string{"demo", "query", "trino"}
	args := []string{"test", "-race", "-count=1", "-p", "1", "-v", "-tags", "mesh", "-run", "^TestMesh"}
	for _, p := range packages {
		args = append(args, "github.com/datameesh/datameesh/platform/"+p)
	}
	cmd := exec.CommandContext(m.ctx, "go", args...)
	cmd.Env = m.env()
	out, err := cmd.CombinedOutput()
	passed := strings.Count(string(out), "\n--- PASS: TestMesh")
	if err != nil || passed < 8 || strings.Contains(string(out), "no tests to run") {
		t.Errorf("%v, %d tests passed:\n%s", err, passed, out)
	}
	t.Logf("%d tests passed", passed)
}

func (m *mesh) testDemoAfterWrites(t *testing.T) {
	r := m.run(t, 0, "demo", "--runs", "1")
	says(t, r.stdout, "Not compared with the golden figures: sales has been written to through its API")
	if ok, failed := verdicts(r.stdout); ok != 2*4 || failed != 0 {
		t.Errorf("%d checks are ok, %d failed", ok, failed)
	}
}
