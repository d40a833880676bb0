package report

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/datameesh/datameesh/platform/render"
)

// Measures of an A4 page, in pixels.
const (
	edge   = 60.0
	top    = 56.0
	bottom = render.A4Height - 64
	inner  = render.A4Width - 2*edge
	column = 24.0 // between two pictures
)

// mostPaperRows is where a table on paper ends: twenty pages, which nobody reads.
const mostPaperRows = 1000

// paper lays a report out.
type paper struct {
	page  *Page
	doc   *render.Document
	sheet *render.Drawing
	y     float64
}

// Document lays the page out on A4: the key numbers first, then the pictures and
// tables row by row, then the sources.
func (p *Page) Document() *render.Document {
	w := &paper{page: p, doc: &render.Document{Title: p.Title, Subject: p.Description, Made: p.Made}}
	w.turn()
	w.masthead()
	w.keyNumbers()
	for _, row := range p.Rows {
		w.row(row)
	}
	w.sources()
	w.feet()
	return w.doc
}

// PDF writes the report.
func (p *Page) PDF(w io.Writer) error { return p.Document().PDF(w) }

// mostPictured is how many pages a picture of the report holds.
const mostPictured = 6

// PNG writes the pages below each other, and says how many there are more than it
// shows.
func (p *Page) PNG(w io.Writer) (more int, err error) {
	doc := p.Document()
	shown := min(len(doc.Pages), mostPictured)
	all := &render.Drawing{Width: render.A4Width, Height: render.A4Height * float64(shown), Title: p.Title}
	for i, sheet := range doc.Pages[:shown] {
		all.Place(0, render.A4Height*float64(i), 1, sheet)
		if i > 0 {
			all.Rule(0, render.A4Height*float64(i), render.A4Width, render.A4Height*float64(i), 1, render.Line)
		}
	}
	return len(doc.Pages) - shown, all.PNG(w, render.Light, 1.5)
}

// turn begins a new page.
func (w *paper) turn() {
	w.sheet = &render.Drawing{Width: render.A4Width, Height: render.A4Height}
	w.doc.Pages = append(w.doc.Pages, w.sheet)
	w.y = top
}

// need turns the page unless so much of it is left.
func (w *paper) need(height float64) {
	if w.y+height > bottom {
		w.turn()
	}
}

func (w *paper) write(text string, size float64, bold bool, colour render.Colour, skip float64, width float64) {
	for _, line := range render.Wrap(text, width, size, bold) {
		w.need(skip)
		w.y += skip
		w.sheet.Write(edge, w.y, line, size, bold, colour, render.Start)
	}
}

func (w *paper) masthead() {
	p := w.page
	w.sheet.Write(edge, w.y, "DataMeesh", 11, true, render.Ink, render.Start)
	w.sheet.Write(edge+inner, w.y, p.FolderTitle, 11, false, render.Muted, render.End)
	w.y += 10
	w.sheet.Rule(edge, w.y, edge+inner, w.y, 1.5, render.Ink)
	w.y += 12
	w.write(p.Title, 27, true, render.Ink, 31, inner)
	w.y += 4
	w.write(p.Description, 11, false, render.Muted, 15.5, inner)
	w.y += 12
	facts := [][2]string{{"Range of time", p.RangeText()}}
	for _, f := range p.Filters() {
		label, value, _ := strings.Cut(f, ": ")
		facts = append(facts, [2]string{"Only " + label, value})
	}
	for _, a := range p.AsOf {
		facts = append(facts, [2]string{a.Source, a.Text})
	}
	facts = append(facts, [2]string{"Report made", stamp(p.Made)})
	const label = 110
	for _, f := range facts {
		w.sheet.Write(edge, w.y+13, render.Truncate(f[0], label-8, 10.5, false), 10.5, false, render.Muted, render.Start)
		for _, line := range render.Wrap(f[1], inner-label, 10.5, false) {
			w.y += 15
			w.sheet.Write(edge+label, w.y-2, line, 10.5, false, render.Ink, render.Start)
		}
	}
	w.y += 10
}

// keyNumbers are the panels of figures, beside each other.
func (w *paper) keyNumbers() {
	var figures []*Figure
	for _, row := range w.page.Rows {
		for _, f := range row.Figures {
			if f.Type == "stat" {
				figures = append(figures, f)
			}
		}
	}
	if len(figures) == 0 {
		return
	}
	across := 3
	if len(figures)%3 != 0 && len(figures)%4 == 0 {
		across = 4
	}
	wide := (inner - float64(across-1)*16) / float64(across)
	w.title("Key numbers", 92)
	var high float64
	for i, f := range figures {
		if i%across == 0 {
			high = 0
			w.need(92)
		}
		x, y := edge+float64(i%across)*(wide+16), w.y
		w.sheet.Rule(x, y+2, x+wide, y+2, 1, render.Line)
		w.sheet.Write(x, y+18, render.Truncate(f.Title, wide, 11, true), 11, true, render.Ink, render.Start)
		at := y + 18
		if says := f.Says(); says != "" {
			for n, line := range render.Wrap(says, wide, 9.5, false) {
				if n == 4 {
					break
				}
				at = y + 34 + 13*float64(n)
				w.sheet.Write(x, at, line, 9.5, false, render.Red, render.Start)
			}
		}
		if f.Says() == "" {
			for n, s := range f.Stats() {
				if n == 0 {
					size := 21.0
					if real := render.Measure(s.Words(), size, true); real > wide {
						size *= wide / real
					}
					at += 25
					w.sheet.Write(x, at, s.Words(), size, true, s.Colour, render.Start)
					if meaning := s.Colour.Meaning(); meaning != "" {
						at += 15
						w.sheet.Rect(x, at-7.5, 7.5, 7.5, s.Colour)
						w.sheet.Write(x+12, at, meaning, 9.5, false, s.Colour, render.Start)
					}
					continue
				}
				at += 15
				w.sheet.Write(x, at, s.Words(), 10.5, true, s.Colour, render.Start)
				w.sheet.Write(x+render.Measure(s.Words(), 10.5, true)+5, at, render.Truncate(s.StatLabel(), wide-render.Measure(s.Words(), 10.5, true)-5, 9.5, false), 9.5, false, render.Muted, render.Start)
			}
		}
		high = max(high, at-y+16)
		if i%across == across-1 || i == len(figures)-1 {
			w.y += high
		}
	}
	w.y += 2
}

// title begins a part that needs so much room below it.
func (w *paper) title(text string, below float64) {
	w.need(30 + below)
	w.y += 22
	w.doc.Outline = append(w.doc.Outline, render.Entry{Title: text, Page: len(w.doc.Pages) - 1, Y: w.y - 16})
	w.sheet.Write(edge, w.y, text, 14, true, render.Ink, render.Start)
	w.y += 8
}

const (
	aboutSize = 9.5
	aboutSkip = 13.0
)

// caption is the title and description above a picture, and how high they are.
func caption(d *render.Drawing, f *Figure, x, y, width float64) float64 {
	begin := y
	for _, line := range render.Wrap(f.Title, width, 11.5, true) {
		y += 15
		d.Write(x, y, line, 11.5, true, render.Ink, render.Start)
	}
	for _, line := range render.Wrap(onPaper(f.Description), width, aboutSize, false) {
		y += aboutSkip
		d.Write(x, y, line, aboutSize, false, render.Muted, render.Start)
	}
	return y - begin + 8
}

// onPaper leaves out what a description says about clicks.
func onPaper(description string) string {
	if before, _, found := strings.Cut(description, "A click on "); found {
		return strings.TrimSpace(before)
	}
	return description
}

func captionHeight(f *Figure, width float64) float64 {
	return caption(&render.Drawing{}, f, 0, 0, width)
}

func (w *paper) row(row PageRow) {
	var rest []*Figure
	for _, f := range row.Figures {
		if f.Type != "stat" { // those are key numbers
			rest = append(rest, f)
		}
	}
	const half = (inner - column) / 2
	height := func(f *Figure, width float64) float64 {
		if width == half {
			return captionHeight(f, width) + 196 // seven pairs of bars
		}
		return captionHeight(f, width) + 205
	}
	small := func(i int) bool { return i < len(rest) && rest[i].Type != "table" && rest[i].Width <= 12 }
	titled := row.Title == ""
	title := func(below float64) {
		if !titled {
			w.title(row.Title, below)
			titled = true
		}
	}
	for i := 0; i < len(rest); i++ {
		f := rest[i]
		switch {
		case f.Type == "table" && f.Says() == "":
			title(captionHeight(f, inner) + 5*render.RowHeight(tableSize))
			w.table(f)
		case small(i) && small(i+1):
			other := rest[i+1]
			high := max(height(f, half), height(other, half))
			title(high)
			w.need(high)
			// The pictures of a pair stand at one height, whatever their captions.
			at := max(captionHeight(f, half), captionHeight(other, half))
			w.picture(f, edge, half, at, high)
			w.picture(other, edge+half+column, half, at, high)
			w.y += high + 14
			i++
		default:
			high := height(f, inner)
			if f.Says() != "" {
				high = captionHeight(f, inner) + 60
			}
			title(high)
			w.need(high)
			w.picture(f, edge, inner, captionHeight(f, inner), high)
			w.y += high + 14
		}
	}
}

func (w *paper) picture(f *Figure, x, width, at, high float64) {
	caption(w.sheet, f, x, w.y, width)
	// Pictures are drawn as on a page and printed a little smaller.
	const scale = 0.86
	w.sheet.Place(x, w.y+at, scale, f.Chart(width/scale, (high-at)/scale))
}

const tableSize = 9.5

// table breaks between rows, and repeats its head.
func (w *paper) table(f *Figure) {
	grid := f.Grid()
	shown := min(len(grid.Rows), mostPaperRows)
	layout := grid.Layout(inner, tableSize, shown)
	row := render.RowHeight(tableSize)
	w.need(captionHeight(f, inner) + 4*row)
	w.y += caption(w.sheet, f, edge, w.y, inner)
	layout.Head(w.sheet, edge, w.y)
	w.y += row
	for i, cells := range grid.Rows[:shown] {
		// The last two rows stay together.
		keep := row
		if i == shown-2 {
			keep = 2 * row
		}
		if w.y+keep > bottom {
			w.turn()
			w.sheet.Write(edge, w.y, render.Truncate(f.Title+", continued", inner, 9.5, true), 9.5, true, render.Muted, render.Start)
			w.y += 8
			layout.Head(w.sheet, edge, w.y)
			w.y += row
		}
		layout.Row(w.sheet, edge, w.y, cells)
		w.y += row
	}
	if says := grid.Heading(shown); says != "" {
		w.write(says, 9.5, false, render.Muted, 16, inner)
	}
	w.y += 16
}

func (w *paper) sources() {
	w.title("Sources", 60)
	for _, a := range w.page.AsOf {
		w.write(a.Source+": "+a.Text+".", 9.5, false, render.Ink, 14, inner)
	}
	w.write("All figures come from the queries of the dashboard “"+w.page.Title+"”, run read-only when the report was made. The key figures are defined in docs/kpis.md.", 9.5, false, render.Muted, 14, inner)
}

func (w *paper) feet() {
	for i, sheet := range w.doc.Pages {
		y := render.A4Height - 36.0
		sheet.Rule(edge, y-14, edge+inner, y-14, 0.75, render.Line)
		page := fmt.Sprintf("Page %d of %d", i+1, len(w.doc.Pages))
		left := w.page.Title + " · " + stamp(w.page.Made)
		sheet.Write(edge, y, render.Truncate(left, inner-render.Measure(page, 9, false)-20, 9, false), 9, false, render.Muted, render.Start)
		sheet.Write(edge+inner, y, page, 9, false, render.Muted, render.End)
	}
}

// KeyNumbers are the figures of the page in words, a line each.
func (p *Page) KeyNumbers() []string {
	var list []string
	for _, row := range p.Rows {
		for _, f := range row.Figures {
			if f.Type != "stat" {
				continue
			}
			if says := f.Says(); says != "" {
				list = append(list, f.Title+": "+says)
				continue
			}
			text := f.Title + ": "
			for i, s := range f.Stats() {
				if i == 0 {
					text += s.Words()
					if meaning := s.Colour.Meaning(); meaning != "" {
						text += " (" + meaning + ")"
					}
					continue
				}
				text += ", " + s.Words() + " " + s.StatLabel()
			}
			list = append(list, text)
		}
	}
	return list
}

// FileName of the report in a format: "executive-kpis-2026-01-31.pdf".
func (p *Page) FileName(format string) string {
	return p.UID + "-" + p.Made.UTC().Format(time.DateOnly) + "." + format
}
