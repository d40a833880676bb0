package render

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/datameesh/datameesh/platform/panel"
)

// A Figure is a panel with what its query gave.
type Figure struct {
	Panel
	Table panel.Table
	From  time.Time // range of time of the page
	To    time.Time
	// Problem says for people why there is no table; empty when there is one.
	Problem string
	// Link gives the address of a click on the row with that value; nil for none.
	Link func(value string) string
}

// A Stat is one of the figures of a panel of figures.
type Stat struct {
	Name   string
	Value  float64
	Text   string
	Colour Colour
	None   bool // there is no value
}

// changeColumn is the column of a panel of figures that says how much the figure
// before it has changed; dashboards name it so.
const changeColumn = "change"

// Arrow shows the direction of a change, empty for other columns.
func (s Stat) Arrow() string {
	switch {
	case s.Name != changeColumn || s.None:
		return ""
	case s.Value > 0:
		return "▲ "
	case s.Value < 0:
		return "▼ "
	}
	return ""
}

// Words is the figure as it is read aloud and printed: "▲ 4.2%".
func (s Stat) Words() string {
	if s.Arrow() == "" {
		return s.Text
	}
	return s.Arrow() + strings.TrimPrefix(s.Text, minus)
}

// Stats are the figures of a panel of kind stat: the last value of each column that
// is not empty, as Grafana's lastNotNull.
func (f *Figure) Stats() []Stat {
	var list []Stat
	for i, name := range f.Table.Columns {
		s := Stat{Name: name, Text: f.NoValue, Colour: Muted, None: true}
		for _, row := range slices.Backward(f.Table.Rows) {
			if value, ok := row[i].(float64); ok {
				field := f.Field(name)
				s = Stat{Name: name, Value: value, Text: field.Format(value), Colour: Ink}
				if field.Mode == colourThresholds && len(field.Steps) > 1 {
					s.Colour = field.Colour(value)
				}
				break
			}
		}
		list = append(list, s)
	}
	return list
}

// A series is the points of one line, or of one set of bars.
type series struct {
	name   string
	field  Field
	colour Colour
	dashed bool // the colour is that of another line too, or of what was before
	points []point
}

type point struct {
	at    time.Time
	value float64
	none  bool
}

// seriesOf takes the table apart as Grafana does: a series per column of numbers,
// or per text in the column "metric".
func (f *Figure) seriesOf() []series {
	at, metric := slices.Index(f.Table.Columns, "time"), slices.Index(f.Table.Columns, "metric")
	if at < 0 {
		return nil
	}
	var list []series
	place := map[string]int{}
	var numbers int
	for i := range f.Table.Columns {
		if i != at && i != metric {
			numbers++
		}
	}
	for _, row := range f.Table.Rows {
		moment, ok := momentOf(row[at])
		if !ok {
			continue
		}
		for i, name := range f.Table.Columns {
			if i == at || i == metric {
				continue
			}
			if metric >= 0 {
				text, _ := row[metric].(string)
				if numbers > 1 {
					name = text + " " + name
				} else {
					name = text
				}
			}
			n, known := place[name]
			if !known {
				n = len(list)
				place[name] = n
				list = append(list, series{name: name, field: f.Field(name)})
			}
			value, has := row[i].(float64)
			list[n].points = append(list[n].points, point{moment, value, !has})
		}
	}
	paint(list)
	return list
}

// paint gives the series their colours: fixed ones, and the others in turn, without
// one that is taken.
func paint(list []series) {
	taken := map[Colour]bool{}
	for i := range list {
		if list[i].field.Mode == colourFixed {
			list[i].colour = list[i].field.Fixed
			list[i].dashed = list[i].colour == Muted // paper may have no colours
			taken[list[i].colour] = true
		}
	}
	if taken[Blue] {
		taken[Series1] = true
	}
	next := 0
	for i := range list {
		if list[i].field.Mode == colourFixed {
			continue
		}
		for n := 0; taken[Series1+Colour(next%seriesColours)] && n < seriesColours; n++ { //nolint:gosec // of eight
			next++
		}
		list[i].colour = Series1 + Colour(next%seriesColours) //nolint:gosec // of eight
		list[i].dashed = next >= seriesColours
		next++
	}
}

func momentOf(value any) (time.Time, bool) {
	switch x := value.(type) {
	case time.Time:
		return x.UTC(), true
	case float64: // seconds since 1970
		return time.Unix(int64(x), 0).UTC(), true
	}
	return time.Time{}, false
}

// A Grid is a table ready for print: texts with the look of each.
type Grid struct {
	Columns []GridColumn
	Rows    [][]Cell
}

// A GridColumn has a name, and its values stand to the right when they are numbers.
type GridColumn struct {
	Name    string
	Numbers bool
}

// A Cell of a grid.
type Cell struct {
	Text   string
	Colour Colour // Ink, or that of a threshold
	Link   string
}

// Grid is what the query gave, whatever the panel's kind, with one row per time for
// series.
func (f *Figure) Grid() Grid {
	if f.Type == "timeseries" {
		return f.seriesGrid()
	}
	var g Grid
	for i, name := range f.Table.Columns {
		numbers := len(f.Table.Rows) > 0
		for _, row := range f.Table.Rows {
			if _, ok := row[i].(float64); !ok && row[i] != nil {
				numbers = false
				break
			}
		}
		g.Columns = append(g.Columns, GridColumn{name, numbers})
	}
	from := -1
	if f.Drill != nil && f.Link != nil {
		from = slices.Index(f.Table.Columns, f.Drill.From)
	}
	for _, row := range f.Table.Rows {
		cells := make([]Cell, len(row))
		for i, value := range row {
			field := f.Field(f.Table.Columns[i])
			cells[i] = Cell{Text: field.Cell(value, f.empty()), Colour: Ink}
			if number, ok := value.(float64); ok && field.Coloured {
				cells[i].Colour = field.Colour(number)
			}
		}
		if from >= 0 {
			if text, ok := row[from].(string); ok {
				cells[from].Link = f.Link(text)
			}
		}
		g.Rows = append(g.Rows, cells)
	}
	return g
}

// empty stands in a cell without a value.
func (f *Figure) empty() string {
	if f.Type == "table" {
		return f.NoValue
	}
	return "–"
}

func (f *Figure) seriesGrid() Grid {
	list := f.seriesOf()
	g := Grid{Columns: []GridColumn{{Name: "time"}}}
	values := map[time.Time][]Cell{}
	var times []time.Time
	for n, s := range list {
		g.Columns = append(g.Columns, GridColumn{s.name, true})
		for _, p := range s.points {
			row, known := values[p.at]
			if !known {
				row = make([]Cell, len(list)+1)
				row[0] = Cell{Text: Moment(p.at), Colour: Ink}
				for i := range list {
					row[i+1] = Cell{Text: "–", Colour: Ink}
				}
				values[p.at] = row
				times = append(times, p.at)
			}
			if !p.none {
				row[n+1].Text = s.field.Format(p.value)
			}
		}
	}
	slices.SortFunc(times, time.Time.Compare)
	for _, at := range times {
		g.Rows = append(g.Rows, values[at])
	}
	return g
}

// Says is why the panel shows no picture: a problem, or that there is nothing. Empty
// when it shows one.
func (f *Figure) Says() string {
	switch {
	case f.Problem != "":
		return f.Problem
	case len(f.Table.Rows) == 0 && f.NoValue != "" && f.NoValue != "–":
		return f.NoValue
	case len(f.Table.Rows) == 0:
		return "nothing here"
	}
	return ""
}

// Heading is the title with what a list of rows is cut to.
func (g Grid) Heading(shown int) string {
	if shown >= len(g.Rows) {
		return ""
	}
	return fmt.Sprintf("The first %d of %d rows; the CSV has all.", shown, len(g.Rows))
}
