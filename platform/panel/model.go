// Package panel runs the queries of the generated dashboards as Grafana would.
package panel

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"time"
)

// A Dashboard is what its file says about queries.
type Dashboard struct {
	UID, Title, Folder string
	From               string // where its range begins when it is opened: "now-90d"
	Variables          []Variable
	Panels             []Panel
}

// A Variable is a choice of values that a query gives.
type Variable struct {
	Name string
	Query
}

// A Panel is one picture.
type Panel struct {
	ID          int
	Title, Type string // Type by Grafana's names: stat, timeseries, barchart, table
	Queries     []Query
}

// An Alert is a rule on the one number of its query.
type Alert struct {
	UID, Title   string
	DashboardUID string
	PanelID      string
	Query        Query
	Range        time.Duration // that $__timeFilter covers
	Below, Above *float64      // fires beyond it; one of them is set
}

// Fires says whether the number is beyond the limit.
func (a Alert) Fires(value float64) bool {
	return a.Below != nil && value < *a.Below || a.Above != nil && value > *a.Above
}

// A Query is SQL for a data source.
type Query struct {
	Source string // uid of the data source
	Format string // "table" or "time_series"
	SQL    string
}

type file struct {
	UID   string `json:"uid"`
	Title string `json:"title"`
	Time  struct {
		From string `json:"from"`
	} `json:"time"`
	Templating struct {
		List []struct {
			Name       string    `json:"name"`
			Type       string    `json:"type"`
			Query      string    `json:"query"`
			Datasource sourceRef `json:"datasource"`
			Multi      bool      `json:"multi"`
			IncludeAll bool      `json:"includeAll"`
		} `json:"list"`
	} `json:"templating"`
	Panels []filePanel `json:"panels"`
}

type sourceRef struct {
	UID string `json:"uid"`
}

type filePanel struct {
	ID      int         `json:"id"`
	Title   string      `json:"title"`
	Type    string      `json:"type"`
	Panels  []filePanel `json:"panels"` // of a collapsed row
	Targets []struct {
		Datasource sourceRef `json:"datasource"`
		Format     string    `json:"format"`
		RawSQL     string    `json:"rawSql"`
	} `json:"targets"`
}

// Load reads the dashboards below "dashboards" of the folder that `go run
// ./dashboards -out` writes. No dashboard, or a variable of a kind that it
// cannot give values to, is an error.
func Load(folder fs.FS) ([]Dashboard, error) {
	names, err := fs.Glob(folder, "dashboards/*/*.json")
	if err != nil {
		return nil, err
	}
	var list []Dashboard
	for _, name := range names {
		text, err := fs.ReadFile(folder, name)
		if err != nil {
			return nil, err
		}
		d, err := parse(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		d.Folder = path.Base(path.Dir(name))
		list = append(list, d)
	}
	if len(list) == 0 {
		return nil, errors.New("no dashboards: write them with go run ./dashboards -out dashboards/json")
	}
	return list, nil
}

func parse(text []byte) (Dashboard, error) {
	var f file
	if err := json.Unmarshal(text, &f); err != nil {
		return Dashboard{}, err
	}
	d := Dashboard{UID: f.UID, Title: f.Title, From: f.Time.From}
	for _, v := range f.Templating.List {
		if v.Type != "query" || !v.Multi || !v.IncludeAll {
			return Dashboard{}, fmt.Errorf("variable %s is no query with several values and all of them", v.Name)
		}
		d.Variables = append(d.Variables, Variable{v.Name, Query{v.Datasource.UID, "table", v.Query}})
	}
	var add func(panels []filePanel)
	add = func(panels []filePanel) {
		for _, p := range panels {
			if p.Type == "row" {
				add(p.Panels)
				continue
			}
			one := Panel{ID: p.ID, Title: p.Title, Type: p.Type}
			for _, t := range p.Targets {
				one.Queries = append(one.Queries, Query{t.Datasource.UID, t.Format, t.RawSQL})
			}
			d.Panels = append(d.Panels, one)
		}
	}
	add(f.Panels)
	return d, nil
}

// LoadAlerts reads the rules of the same folder.
func LoadAlerts(folder fs.FS) ([]Alert, error) {
	text, err := fs.ReadFile(folder, "provisioning/alerting/rules.json")
	if err != nil {
		return nil, err
	}
	var f struct {
		Groups []struct {
			Rules []struct {
				UID         string            `json:"uid"`
				Title       string            `json:"title"`
				Annotations map[string]string `json:"annotations"`
				Data        []struct {
					DatasourceUID string `json:"datasourceUid"`
					Range         struct {
						From int `json:"from"`
					} `json:"relativeTimeRange"`
					Model struct {
						RawSQL     string `json:"rawSql"`
						Type       string `json:"type"`
						Conditions []struct {
							Evaluator struct {
								Type   string    `json:"type"`
								Params []float64 `json:"params"`
							} `json:"evaluator"`
						} `json:"conditions"`
					} `json:"model"`
				} `json:"data"`
			} `json:"rules"`
		} `json:"groups"`
	}
	if err := json.Unmarshal(text, &f); err != nil {
		return nil, err
	}
	var list []Alert
	for _, g := range f.Groups {
		for _, r := range g.Rules {
			a := Alert{UID: r.UID, Title: r.Title, DashboardUID: r.Annotations["__dashboardUid__"], PanelID: r.Annotations["__panelId__"]}
			for _, d := range r.Data {
				if d.Model.RawSQL != "" {
					a.Query = Query{d.DatasourceUID, "table", d.Model.RawSQL}
					a.Range = time.Duration(d.Range.From) * time.Second
				}
				for _, c := range d.Model.Conditions {
					switch c.Evaluator.Type {
					case "lt":
						a.Below = &c.Evaluator.Params[0]
					case "gt":
						a.Above = &c.Evaluator.Params[0]
					}
				}
			}
			if a.Query.SQL == "" || (a.Below == nil) == (a.Above == nil) {
				return nil, fmt.Errorf("alert %s: wants one query and one limit", r.Title)
			}
			list = append(list, a)
		}
	}
	if len(list) == 0 {
		return nil, errors.New("no alerts in provisioning/alerting/rules.json")
	}
	return list, nil
}
