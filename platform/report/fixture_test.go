package report

import (
	"hash/fnv"
	"math"
	"os"
	"testing"
	"time"

	"github.com/datameesh/datameesh/platform/panel"
	"github.com/datameesh/datameesh/platform/render"
)

const generated = "../../dashboards/json"

var made = time.Date(2026, 11, 28, 9, 30, 0, 0, time.UTC)

func load(t testing.TB) []render.Dashboard {
	t.Helper()
	list, err := render.Load(os.DirFS(generated))
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func dashboard(t testing.TB, uid string) render.Dashboard {
	t.Helper()
	for _, d := range load(t) {
		if d.UID == uid {
			return d
		}
	}
	t.Fatalf("no dashboard %s", uid)
	return render.Dashboard{}
}

// filled is a page whose panels hold made-up rows, the same every time, of the
// columns that the real ones have.
func filled(t testing.TB, d render.Dashboard) *Page {
	t.Helper()
	v, err := Request{}.parse(d, made)
	if err != nil {
		t.Fatal(err)
	}
	p := &Page{Dashboard: d, View: v, Made: made, Asked: Request{From: d.From, To: "now"},
		AsOf: []AsOf{{Source: "Marts", Text: "data up to 2026-11-27, computed 2026-11-28 04:10 UTC", Built: made}}}
	for _, variable := range d.Variables {
		p.Choices = append(p.Choices, Choice{Name: variable.Name, Label: d.Labels[variable.Name], All: []string{"AMER", "APAC", "EMEA"}})
	}
	for _, r := range d.Rows {
		row := PageRow{Title: r.Title}
		for _, one := range r.Panels {
			f := &Figure{Figure: &render.Figure{Panel: one, From: v.From, To: v.To}, Source: "Marts", SQL: one.Queries[0].SQL}
			f.Table = rows(one, v)
			row.Figures = append(row.Figures, f)
		}
		p.Rows = append(p.Rows, row)
	}
	return p
}

func rows(p render.Panel, v panel.View) panel.Table {
	sum := fnv.New32a()
	_, _ = sum.Write([]byte(p.Title))
	shape := float64(sum.Sum32()%100)/100 + 0.5
	money := p.Field("").Unit == "currencyUSD"
	size := 40.0
	switch {
	case money:
		size = 12345.67
	case p.Field("").Unit == "percentunit":
		size = 0.31
	}
	switch p.Type {
	case "stat":
		if _, has := map[string]bool{"Revenue, 7 days": true, "Revenue, 30 days": true, "Conversion rate": true}[p.Title]; has {
			return panel.Table{Columns: []string{"now", "change"}, Rows: [][]any{{math.Round(size*shape*100) / 100, shape - 1}}}
		}
		return panel.Table{Columns: []string{"now"}, Rows: [][]any{{math.Round(size*shape*100) / 100}}}
	case "timeseries":
		t := panel.Table{Columns: []string{"time", "metric", "revenue"}}
		step := max(v.To.Sub(v.From)/52, time.Minute)
		for at := v.From; at.Before(v.To); at = at.Add(step) {
			for i, name := range []string{"AMER", "APAC", "EMEA"} {
				x := float64(at.Sub(v.From)) / float64(v.To.Sub(v.From))
				t.Rows = append(t.Rows, []any{at, name, size * shape * (1.4 + math.Sin(x*9+float64(i))) * (1 + 0.3*float64(i))})
			}
		}
		return t
	case "barchart":
		t := panel.Table{Columns: []string{"channel", "attributed revenue", "spend"}}
		for i, name := range []string{"paid search", "e-mail", "social", "partners", "display"} {
			t.Rows = append(t.Rows, []any{name, size * shape * (5 - float64(i)*0.9), size * (4 - float64(i)*0.6)})
		}
		return t
	}
	t := panel.Table{Columns: []string{"campaign", "channel", "leads", "revenue", "roi"}}
	for i := range 24 {
		t.Rows = append(t.Rows, []any{"Spring campaign " + string(rune('A'+i)), "paid search", float64(40 + i*7), size * shape * float64(30-i), 1.2 - float64(i)*0.1})
	}
	return t
}
