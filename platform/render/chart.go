package render

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// Sizes of texts and distances, in pixels.
const (
	textSize  = 11.0
	lineSkip  = 15.0
	legendGap = 14.0
	swatch    = 9.0
)

// Chart draws the figure in a frame of that size: its kind's picture, without its
// title. A table is drawn as far as it fits.
func (f *Figure) Chart(width, height float64) *Drawing {
	d := &Drawing{Width: width, Height: height, Title: f.Title, Description: f.Description}
	if says := f.Says(); says != "" {
		colour := Muted
		if f.Problem != "" {
			colour = Red
		}
		lines := Wrap(says, width-40, textSize+1, false)
		y := height/2 - float64(len(lines)-1)*lineSkip/2
		for _, l := range lines {
			d.Write(width/2, y, l, textSize+1, false, colour, Middle)
			y += lineSkip
		}
		return d
	}
	switch f.Type {
	case "stat":
		f.drawStats(d)
	case "timeseries":
		f.drawSeries(d)
	case "barchart":
		f.drawBars(d)
	case "table":
		f.drawTable(d)
	}
	return d
}

// Titled draws the figure with its title above, as a picture that stands alone.
func (f *Figure) Titled(width, height float64) *Drawing {
	d := &Drawing{Width: width, Height: height, Title: f.Title, Description: f.Description}
	const margin, head = 16, 34
	d.Write(margin, 24, Truncate(f.Title, width-2*margin, 14, true), 14, true, Ink, Start)
	d.Place(margin, head, 1, f.Chart(width-2*margin, height-head-margin/2))
	return d
}

func (f *Figure) drawStats(d *Drawing) {
	stats := f.Stats()
	y := 8.0
	for i, s := range stats {
		if i == 0 {
			size := 28.0
			if wide := Measure(s.Text, size, true); wide > d.Width {
				size *= d.Width / wide
			}
			y += size * 0.8
			d.Write(0, y, s.Words(), size, true, s.Colour, Start)
			if meaning := s.Colour.Meaning(); meaning != "" {
				y += 18
				d.Rect(0, y-8, 8, 8, s.Colour)
				d.Write(13, y, meaning, textSize, false, s.Colour, Start)
			}
			continue
		}
		y += 20
		d.Write(0, y, s.Words(), textSize+2, true, s.Colour, Start)
		d.Write(Measure(s.Words(), textSize+2, true)+6, y, statLabel(s.Name), textSize, false, Muted, Start)
	}
}

// statLabel says what a further figure of a panel is.
func statLabel(name string) string {
	if name == changeColumn {
		return "vs. period before"
	}
	return name
}

// StatLabel is what stands beside a further figure of a panel of figures.
func (s Stat) StatLabel() string { return statLabel(s.Name) }

// ticks are round values that cover from low to high, about as many as wanted.
func ticks(low, high float64, wanted int) (list []float64, step float64) {
	if high <= low {
		high = low + 1
	}
	raw := (high - low) / float64(max(wanted, 1))
	power := math.Pow(10, math.Floor(math.Log10(raw)))
	step = 10 * power
	for _, nice := range []float64{1, 2, 2.5, 5} {
		if nice*power >= raw*0.999 {
			step = nice * power
			break
		}
	}
	return steps(low, high, step), step
}

func steps(low, high, step float64) []float64 {
	var list []float64
	for n := math.Floor(low/step + 1e-9); ; n++ {
		list = append(list, n*step)
		if n*step >= high-step*1e-9 {
			return list
		}
	}
}

// valueTicks are those of an axis with values of the unit: bytes in powers of two,
// times in seconds, minutes, hours; counts have no halves.
func (f Field) valueTicks(low, high float64, wanted int, whole bool) ([]float64, float64) {
	list, step := ticks(low, high, wanted)
	switch {
	case f.Unit == unitBytes:
		unit := 1.0
		for unit*1024 <= high {
			unit *= 1024
		}
		list, step = ticks(low/unit, high/unit, wanted)
		for i := range list {
			list[i] *= unit
		}
		step *= unit
	case f.Unit == unitSeconds && high >= 120:
		unit := 60.0
		if high >= 2*86_400 {
			unit = 86_400
		} else if high >= 7200 {
			unit = 3600
		}
		list, step = ticks(low/unit, high/unit, wanted)
		for i := range list {
			list[i] *= unit
		}
		step *= unit
	case whole && f.Unit == unitNumber && step < 1:
		list, step = steps(low, high, 1), 1
	}
	return list, step
}

// timeSteps are distances of ticks on an axis of time; longer ones are months.
var timeSteps = []time.Duration{
	time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 15 * time.Minute, 30 * time.Minute,
	time.Hour, 2 * time.Hour, 3 * time.Hour, 6 * time.Hour, 12 * time.Hour, 24 * time.Hour, 2 * 24 * time.Hour, 7 * 24 * time.Hour, 14 * 24 * time.Hour,
}

type timeTick struct {
	at   time.Time
	text string
}

// timeTicks are round moments of the range, in UTC, at most as many as wanted.
func timeTicks(from, to time.Time, wanted int) []timeTick {
	span := to.Sub(from)
	from, to = from.UTC(), to.UTC()
	var list []timeTick
	for _, step := range timeSteps {
		if span/step > time.Duration(wanted) {
			continue
		}
		// Weeks begin on Mondays: the year 1 began with one.
		for at := from.Truncate(step); !at.After(to); at = at.Add(step) {
			if at.Before(from) {
				continue
			}
			text := at.Format("15:04")
			if step >= 24*time.Hour || at.Equal(at.Truncate(24*time.Hour)) {
				text = at.Format("2 Jan")
			}
			list = append(list, timeTick{at, text})
		}
		return list
	}
	months := 1
	for _, months = range []int{1, 2, 3, 6, 12, 24, 60, 120, 600} {
		if span.Hours()/24/30.4/float64(months) <= float64(wanted)+0.5 {
			break
		}
	}
	at := time.Date(from.Year(), 1, 1, 0, 0, 0, 0, time.UTC)
	if months > 12 {
		at = time.Date(from.Year()/(months/12)*(months/12), 1, 1, 0, 0, 0, 0, time.UTC)
	}
	for ; !at.After(to); at = at.AddDate(0, months, 0) {
		if at.Before(from) {
			continue
		}
		text := at.Format("Jan")
		if at.Month() == time.January || len(list) == 0 || months >= 12 {
			text = at.Format("Jan 2006")
		}
		if months >= 12 {
			text = at.Format("2006")
		}
		list = append(list, timeTick{at, text})
	}
	return list
}

// legend draws the names below the picture and gives the height it takes.
func legend(d *Drawing, list []series, shape string) float64 {
	if len(list) == 0 || len(list) == 1 && list[0].name == "" {
		return 0
	}
	const most = 3 // lines
	// A browser without the font that is measured takes one as wide as DejaVu Sans.
	const anyFont = 1.15
	x, line := 0.0, 1
	type entry struct {
		x    float64
		line int
		text string
		of   series
	}
	var entries []entry
	for i, s := range list {
		text := Truncate(s.name, min(d.Width-swatch-5, 220), textSize, false)
		wide := swatch + 5 + anyFont*Measure(text, textSize, false)
		if x > 0 && x+wide > d.Width {
			x, line = 0, line+1
		}
		rest := fmt.Sprintf("and %d more", len(list)-i)
		if line == most && i < len(list)-1 && x+wide+legendGap+anyFont*Measure(rest, textSize, false) > d.Width || line > most {
			entries = append(entries, entry{x, min(line, most), rest, series{}})
			break
		}
		entries = append(entries, entry{x, line, text, s})
		x += wide + legendGap
	}
	lines := entries[len(entries)-1].line
	top := d.Height - float64(lines)*lineSkip
	for _, e := range entries {
		y := top + float64(e.line)*lineSkip - 4
		if e.of.colour == None {
			d.Write(e.x, y, e.text, textSize, false, Muted, Start)
			continue
		}
		if shape == "line" {
			d.add(Item{Points: []Point{{e.x, y - 3.5}, {e.x + swatch, y - 3.5}}, Stroke: e.of.colour, Width: 2.5, Dash: e.of.dashed})
		} else {
			d.Rect(e.x, y-swatch+1, swatch, swatch, e.of.colour)
		}
		text := d.Write(e.x+swatch+5, y, e.text, textSize, false, Ink, Start)
		if e.text != e.of.name {
			text.Tip = e.of.name
		}
	}
	return float64(lines)*lineSkip + 6
}

// A plot is the frame of a picture with axes.
type plot struct {
	left, top, width, height float64
	from, to                 time.Time
	low, high                float64
}

func (p plot) x(at time.Time) float64 {
	return p.left + p.width*float64(at.Sub(p.from))/float64(max(p.to.Sub(p.from), 1))
}

func (p plot) y(value float64) float64 {
	return p.top + p.height - p.height*(value-p.low)/(p.high-p.low)
}

func (f *Figure) drawSeries(d *Drawing) {
	list := f.seriesOf()
	shape := "line"
	if f.Bars {
		shape = "bar"
	}
	below := legend(d, list, shape)
	times, spacing := timesOf(list)
	layers := stackUp(list, f.Stacked)
	low, high := 0.0, 0.0 // the axis begins at zero unless values lie below
	whole := true
	for _, layer := range layers {
		for _, l := range layer {
			if !l.none {
				low, high = min(low, l.to), max(high, l.to)
				whole = whole && l.to == math.Trunc(l.to)
			}
		}
	}
	axisField := f.field
	p := plot{top: 8, height: d.Height - below - 8 - 18, from: f.From, to: f.To}
	values, step := axisField.valueTicks(low, high, max(2, int(p.height/42)), whole)
	p.low, p.high = values[0], values[len(values)-1]
	var widest float64
	for _, v := range values {
		widest = max(widest, Measure(axisField.Tick(v, step), textSize, false))
	}
	p.left = widest + 8
	p.width = d.Width - p.left - 6
	// The axis ends where the data does: a range that reaches far beyond it would leave a
	// corner of picture.
	if len(times) > 0 {
		p.from, p.to = trim(f.From, f.To, times[0], times[len(times)-1], spacing, f.Bars)
	}
	for _, v := range values {
		y := math.Round(p.y(v)) + 0.5
		colour := Line
		if v == 0 {
			colour = Muted
		}
		d.Rule(p.left, y, p.left+p.width, y, 1, colour)
		d.Write(p.left-8, y+4, axisField.Tick(v, step), textSize, false, Muted, End)
	}
	last := -math.MaxFloat64
	for _, t := range timeTicks(p.from, p.to, max(2, int(p.width/56))) {
		x, half := p.x(t.at), Measure(t.text, textSize, false)/2
		d.Rule(x, p.top+p.height, x, p.top+p.height+4, 1, Muted)
		if x-half < last+8 || x+half > d.Width+4 || x-half < p.left-10 {
			continue
		}
		d.Write(x, p.top+p.height+16, t.text, textSize, false, Muted, Middle)
		last = x + half
	}
	if f.Bars {
		f.barsOverTime(d, p, list, layers, spacing)
	} else {
		f.lines(d, p, list, layers)
	}
	f.tips(d, p, list, times)
}

// trim is the range that the data takes of the page's.
func trim(from, to, first, last time.Time, spacing time.Duration, bars bool) (time.Time, time.Time) {
	if bars { // a bar begins at its moment
		last = last.Add(spacing)
	}
	room := to.Sub(from)
	if gap := first.Sub(from); gap > room/12 {
		from = first
	}
	if gap := to.Sub(last); gap > room/12 {
		to = last
	}
	// A week or a month begins before the range of which it holds a part.
	if first.Before(from) {
		from = first
	}
	if last.After(to) {
		to = last
	}
	if !to.After(from) { // one moment alone
		return first.Add(-max(spacing, time.Minute)), last.Add(max(spacing, time.Minute))
	}
	return from, to
}

// timesOf are all moments, and the shortest distance between two.
func timesOf(list []series) (times []time.Time, spacing time.Duration) {
	seen := map[time.Time]bool{}
	for _, s := range list {
		for _, p := range s.points {
			if !seen[p.at] {
				seen[p.at] = true
				times = append(times, p.at)
			}
		}
	}
	slices.SortFunc(times, time.Time.Compare)
	for i := 1; i < len(times); i++ {
		if gap := times[i].Sub(times[i-1]); spacing == 0 || gap < spacing {
			spacing = gap
		}
	}
	if spacing == 0 {
		spacing = time.Minute
	}
	return times, spacing
}

// A layer of a point reaches from one value to another.
type layer struct {
	at       time.Time
	from, to float64
	none     bool
}

// stackUp puts each series on those before it, when they are stacked.
func stackUp(list []series, stacked bool) [][]layer {
	base := map[time.Time]float64{}
	layers := make([][]layer, len(list))
	for i, s := range list {
		for _, p := range s.points {
			l := layer{at: p.at, to: p.value, none: p.none}
			if stacked && !p.none {
				l.from = base[p.at]
				l.to = l.from + p.value
				base[p.at] = l.to
			}
			layers[i] = append(layers[i], l)
		}
	}
	return layers
}

func (f *Figure) lines(d *Drawing, p plot, list []series, layers [][]layer) {
	for i := range slices.Backward(list) { // the first series lies on top
		colour := list[i].colour
		var run []layer
		flush := func() {
			if len(run) == 0 {
				return
			}
			var top, area []Point
			for _, l := range run {
				top = append(top, Point{p.x(l.at), p.y(l.to)})
			}
			if len(run) == 1 { // one point alone would be no line
				x, y := top[0].X, top[0].Y
				d.add(Item{Points: circle(x, y, 2.5), Closed: true, Fill: colour})
				run = nil
				return
			}
			if f.Fill > 0 && colour != Muted && (len(list) <= 2 || f.Stacked) { // more of them would be mud
				area = append(area, top...)
				for _, l := range slices.Backward(run) {
					area = append(area, Point{p.x(l.at), p.y(l.from)})
				}
				opacity := f.Fill
				if f.Stacked {
					opacity = max(opacity, 0.25)
				}
				d.add(Item{Points: area, Closed: true, Fill: colour, Opacity: opacity})
			}
			d.add(Item{Points: top, Stroke: colour, Width: 1.75, Dash: list[i].dashed})
			run = nil
		}
		for _, l := range layers[i] {
			if l.none {
				flush()
				continue
			}
			run = append(run, l)
		}
		flush()
	}
}

func circle(x, y, r float64) []Point {
	const corners = 16
	points := make([]Point, corners)
	for i := range points {
		sin, cos := math.Sincos(2 * math.Pi * float64(i) / corners)
		points[i] = Point{x + r*cos, y + r*sin}
	}
	return points
}

func (f *Figure) barsOverTime(d *Drawing, p plot, list []series, layers [][]layer, spacing time.Duration) {
	slot := p.width * float64(spacing) / float64(max(p.to.Sub(p.from), 1))
	wide := max(slot*0.82, 0.8)
	each := wide
	if !f.Stacked {
		each = wide / float64(max(len(list), 1))
	}
	for i := range list {
		for _, l := range layers[i] {
			if l.none || l.from == l.to {
				continue
			}
			x := p.x(l.at) + (slot-wide)/2
			if !f.Stacked {
				x += each * float64(i)
			}
			top, bottom := p.y(max(l.from, l.to)), p.y(min(l.from, l.to))
			d.Rect(x, top, each, max(bottom-top, 0.5), list[i].colour)
		}
	}
}

// tips lays strips over the picture that say the values of their moment.
func (f *Figure) tips(d *Drawing, p plot, list []series, times []time.Time) {
	const most = 400 // moments that a mouse can tell apart
	if len(times) == 0 || len(times) > most {
		return
	}
	texts := map[time.Time]*strings.Builder{}
	for _, at := range times {
		texts[at] = &strings.Builder{}
		texts[at].WriteString(Moment(at))
	}
	for i, s := range list {
		if i == 12 {
			break
		}
		for _, one := range s.points {
			if !one.none {
				fmt.Fprintf(texts[one.at], "\n%s: %s", s.name, s.field.Format(one.value))
			}
		}
	}
	for i, at := range times {
		left, right := p.x(at), p.left+p.width
		if i+1 < len(times) {
			right = p.x(times[i+1])
		}
		if !f.Bars { // a line's moment is in the middle of its strip
			if i > 0 {
				left = (p.x(times[i-1]) + p.x(at)) / 2
			}
			if i+1 < len(times) {
				right = (p.x(at) + right) / 2
			}
		}
		if right > left {
			d.Rect(left, p.top, right-left, p.height, None).Tip = texts[at].String()
		}
	}
}

func (f *Figure) drawBars(d *Drawing) {
	var list []series
	for _, name := range f.Table.Columns[1:] {
		list = append(list, series{name: name, field: f.Field(name)})
	}
	paint(list)
	var below float64
	if len(list) > 1 {
		below = legend(d, list, "bar")
	}
	rows := f.Table.Rows
	room := d.Height - below - 4
	// As many bars as can be told apart; the rest is said.
	const least = 11.5
	if most := max(1, int(room/(least*float64(len(list))+5))); len(rows) > most {
		room -= lineSkip
		most = max(1, int(room/(least*float64(len(list))+5)))
		d.Write(0, d.Height-below-4, fmt.Sprintf("and %d more", len(rows)-most), textSize, false, Muted, Start)
		rows = rows[:most]
	}
	low, high := 0.0, 0.0
	var names, values float64
	for _, row := range rows {
		names = max(names, Measure(nameOf(row[0]), textSize, false))
		for i, s := range list {
			if v, ok := row[i+1].(float64); ok {
				low, high = min(low, v), max(high, v)
				values = max(values, Measure(s.field.Format(v), textSize, false))
			}
		}
	}
	names = min(names, d.Width*0.38)
	left, width := names+10, d.Width-names-10-values-8
	if width < 30 {
		width = 30
	}
	x := func(value float64) float64 { return left + width*(value-low)/max(high-low, 1e-12) }
	slot := min(room/float64(len(rows)), 22*float64(len(list))+18)
	thick := min((slot-5)/float64(len(list)), 20)
	y := 4.0
	for _, row := range rows {
		name := nameOf(row[0])
		link := ""
		if f.Link != nil && f.Drill != nil && f.Drill.From == f.Table.Columns[0] {
			link = f.Link(name)
		}
		middle := y + thick*float64(len(list))/2
		label := d.Write(left-8, middle+4, Truncate(name, names, textSize, false), textSize, false, Ink, End)
		if label.Text != name {
			label.Tip = name
		}
		label.Link = link
		for i, s := range list {
			v, ok := row[i+1].(float64)
			if !ok {
				continue
			}
			top := y + thick*float64(i)
			from, to := x(min(v, 0)), x(max(v, 0))
			bar := d.Rect(from, top+0.5, max(to-from, 0.8), thick-1, s.colour)
			bar.Tip = name + "\n" + s.name + ": " + s.field.Format(v)
			if link != "" {
				bar.Tip += "\n" + f.Drill.Title
			}
			size := min(textSize, thick+1)
			d.Write(to+5, top+thick/2+size*0.36, s.field.Format(v), size, false, Ink, Start)
		}
		y += slot
	}
	d.Rule(x(0), 2, x(0), y-2, 1, Muted)
}

func nameOf(value any) string {
	if text, ok := value.(string); ok {
		return text
	}
	return fmt.Sprint(value)
}

// drawTable draws what fits: a page has the table itself, and paper breaks it.
func (f *Figure) drawTable(d *Drawing) {
	g := f.Grid()
	const row = 20.0
	shown := min(len(g.Rows), max(1, int((d.Height-row-lineSkip)/row)))
	layout := g.Layout(d.Width, textSize, shown)
	layout.Head(d, 0, 0)
	for i, cells := range g.Rows[:shown] {
		layout.Row(d, 0, row*float64(i+1), cells)
	}
	if shown < len(g.Rows) {
		d.Write(0, row*float64(shown+1)+lineSkip, fmt.Sprintf("and %d more rows", len(g.Rows)-shown), textSize, false, Muted, Start)
	}
}

// A Layout is how wide the columns of a grid are.
type Layout struct {
	grid   Grid
	size   float64
	widths []float64
}

// RowHeight is that of a row of a table, in pixels, for texts of that size.
func RowHeight(size float64) float64 { return size + 9 }

// Layout fits the columns into the width, by what stands in the first rows. Numbers
// keep theirs; texts share what is left.
func (g Grid) Layout(width, size float64, rows int) Layout {
	const gap = 22
	l := Layout{grid: g, size: size}
	var numbers, texts float64
	for i, c := range g.Columns {
		wide := Measure(c.Name, size, true)
		for _, row := range g.Rows[:min(rows, len(g.Rows))] {
			wide = max(wide, Measure(row[i].Text, size, false))
		}
		wide += gap
		l.widths = append(l.widths, wide)
		if c.Numbers {
			numbers += wide
		} else {
			texts += wide
		}
	}
	left := width - numbers
	if texts > 0 && left < texts {
		// The narrow ones keep what they need, the wide ones share the rest.
		left = max(left, 40)
		var narrow float64
		wide := 0
		for i, c := range g.Columns {
			if !c.Numbers && l.widths[i] <= left/4 {
				narrow += l.widths[i]
			} else if !c.Numbers {
				wide++
			}
		}
		for i, c := range g.Columns {
			if !c.Numbers && l.widths[i] > left/4 {
				l.widths[i] = min(l.widths[i], max((left-narrow)/float64(wide), 40))
			}
		}
	}
	var all float64
	for _, w := range l.widths {
		all += w
	}
	if all > width { // too many columns of numbers: all shrink, and are cut
		for i := range l.widths {
			l.widths[i] *= width / all
		}
	} else if len(l.widths) > 0 { // what is over goes between the columns
		for i := range l.widths {
			l.widths[i] += (width - all) / float64(len(l.widths))
		}
	}
	return l
}

// Head draws the names of the columns.
func (l Layout) Head(d *Drawing, x, y float64) {
	end := x
	for i, c := range l.grid.Columns {
		l.cell(d, end, y, i, Cell{Text: c.Name, Colour: Muted}, true)
		end += l.widths[i]
	}
	d.Rule(x, y+l.size+8, end, y+l.size+8, 1, Muted)
}

// Row draws a row of cells.
func (l Layout) Row(d *Drawing, x, y float64, cells []Cell) {
	end := x
	for i, c := range cells {
		l.cell(d, end, y, i, c, false)
		end += l.widths[i]
	}
	d.Rule(x, y+l.size+8.5, end, y+l.size+8.5, 0.5, Line)
}

func (l Layout) cell(d *Drawing, x, y float64, column int, c Cell, head bool) {
	const pad = 14
	bold := head || c.Colour != Ink && c.Colour != Muted
	text := Truncate(c.Text, l.widths[column]-pad, l.size, bold)
	if l.grid.Columns[column].Numbers {
		inset := 2.0
		if column < len(l.widths)-1 { // a text may follow
			inset = 12
		}
		d.Write(x+l.widths[column]-inset, y+l.size+3, text, l.size, bold, c.Colour, End)
		return
	}
	d.Write(x+2, y+l.size+3, text, l.size, bold, c.Colour, Start)
}
