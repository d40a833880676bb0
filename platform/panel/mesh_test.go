//go:build mesh

package panel

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/datameesh/datameesh/platform/meshtest"
)

// These tests need a mesh with marts in the folder $MEESH_HOME:
//
//	MEESH_HOME=… go test -tags mesh ./panel

const generated = "../../dashboards/json"

// connect opens every data source of the dashboards as they do.
func connect(t *testing.T) Sources {
	t.Helper()
	mesh := meshtest.Running(t)
	return Sources{
		"sales-db":     mesh.Connect("sales-db", "sales_data", "grafana_ro"),
		"marketing-db": mesh.Connect("marketing-db", "marketing_data", "grafana_ro"),
		"sales-api-db": mesh.Connect("sales-api-db", "sales_api", "grafana_ro"),
		"marts":        mesh.Connect("platform-db", "sales_analytics", "grafana_ro"),
	}
}

// look is the page as it opens: the last year, everything chosen. A page of an
// hour or a day may be empty on a mesh that nobody uses.
func look(t *testing.T, s Sources, d Dashboard) View {
	t.Helper()
	now := time.Now()
	v := View{From: now.AddDate(-1, 0, 0), To: now, Interval: time.Hour}
	values, err := s.Values(t.Context(), d, v)
	if err != nil {
		t.Fatalf("%s: %v", d.Title, err)
	}
	v.Values = values
	return v
}

// with is the view with one variable set to the values.
func (v View) with(name string, values ...string) View {
	changed := map[string][]string{}
	for n, all := range v.Values {
		changed[n] = all
	}
	changed[name] = values
	v.Values = changed
	return v
}

// Every panel draws with all values, with each single one somewhere, with
// several; a filter that leaves something out changes what is shown.
func TestMeshDrawsEveryPanel(t *testing.T) {
	dashboards, err := Load(os.DirFS(generated))
	if err != nil {
		t.Fatal(err)
	}
	sources := connect(t)
	var ran int
	for _, d := range dashboards {
		t.Run(d.UID, func(t *testing.T) {
			all := look(t, sources, d)
			for _, p := range d.Panels {
				if len(p.Queries) == 0 {
					t.Errorf("panel %q has no query", p.Title)
				}
				for _, q := range p.Queries {
					run := func(v View) Table {
						ran++
						begin := time.Now()
						table, err := sources.Run(t.Context(), q, v)
						if err != nil {
							t.Errorf("panel %q of %s: %v", p.Title, d.Title, err)
						}
						if took := time.Since(begin); took > 5*time.Second {
							t.Errorf("panel %q of %s takes %v", p.Title, d.Title, took)
						}
						return table
					}
					whole := run(all)
					if err := p.Draws(whole); err != nil {
						t.Errorf("panel %q of %s: %v", p.Title, d.Title, err)
					}
					t.Logf("%-45s %4d rows", p.Title, len(whole.Rows))
					for _, variable := range d.Variables {
						if !uses(q, variable.Name) {
							continue
						}
						values := all.Values[variable.Name]
						if len(values) < 2 {
							t.Fatalf("variable %s of %s has the values %v: nothing to choose", variable.Name, d.Title, values)
						}
						var differs int
						for _, value := range values {
							one := run(all.with(variable.Name, value))
							if fmt.Sprint(one) != fmt.Sprint(whole) {
								differs++
							}
						}
						if differs == 0 {
							t.Errorf("panel %q of %s shows the same whatever %s is", p.Title, d.Title, variable.Name)
						}
						run(all.with(variable.Name, values[:2]...))
						// What somebody writes into the address of the page stays a value.
						for _, hostile := range []string{"'; SELECT 1; --", `\' OR 1=1 --`, "${region:raw}", "$__timeFilter(x)"} {
							run(all.with(variable.Name, hostile))
						}
					}
				}
			}
		})
	}
	if ran == 0 {
		t.Error("no query was run")
	}
	t.Logf("%d queries", ran)
}

func uses(q Query, variable string) bool {
	return strings.Contains(q.SQL, "$"+variable) || strings.Contains(q.SQL, "${"+variable)
}

// Every alert gives one number, and is quiet on data that is in order.
func TestMeshKeepsEveryAlertQuiet(t *testing.T) {
	folder := os.DirFS(generated)
	alerts, err := LoadAlerts(folder)
	if err != nil {
		t.Fatal(err)
	}
	dashboards, err := Load(folder)
	if err != nil {
		t.Fatal(err)
	}
	panels := map[string]bool{}
	for _, d := range dashboards {
		for _, p := range d.Panels {
			panels[d.UID+" "+strconv.Itoa(p.ID)] = true
		}
	}
	sources := connect(t)
	for _, a := range alerts {
		if !panels[a.DashboardUID+" "+a.PanelID] {
			t.Errorf("alert %q opens panel %s of %s, which is not there", a.Title, a.PanelID, a.DashboardUID)
		}
		value, err := sources.Measure(t.Context(), a, time.Now())
		if err != nil {
			t.Errorf("alert %q: %v", a.Title, err)
		}
		t.Logf("%-25s %v", a.Title, value)
		if a.Fires(value) {
			t.Errorf("alert %q fires at %v on a mesh in order", a.Title, value)
		}
	}
}
