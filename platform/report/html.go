package report

import (
	"bytes"
	"crypto/sha256"
	_ "embed" // templates and style sheet
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"strings"

	"github.com/datameesh/datameesh/platform/render"
)

//go:embed page.css
var pageStyle string

//go:embed page.html
var pageTemplate string

// Style is the style sheet of all pages.
func Style() string { return render.Style() + pageStyle }

// A Frame is what all pages have around their body.
type Frame struct {
	Title  string
	Person string // who is logged in; empty for nobody, and in files
	Does   string // what they are
	Body   template.HTML
	// Sheet is the address of Style; empty puts it into the page.
	Sheet  string
	Notice template.HTML
}

// A Look says for whom a page is.
type Look struct {
	// Queries shows SQL and what went wrong in detail.
	Queries bool
	// Dashboard finds a dashboard that links may lead to; nil when none may.
	Dashboard func(uid string) *render.Dashboard
	// File is a page that stands alone: no forms, no links to a server.
	File bool
}

const (
	// Rows of a table that a page shows; the CSV has all.
	mostRows = 500
	// Heights of a row of Grafana's grid, and widths of a page, in pixels.
	gridRow    = 26
	pageWidth  = 1216
	gridGap    = 16
	panelPad   = 34
	phoneWidth = 324
)

var templates = template.Must(template.New("page").Funcs(template.FuncMap{
	"class":   render.Colour.Class,
	"meaning": render.Colour.Meaning,
}).Parse(pageTemplate))

// WriteFrame writes a whole page.
func WriteFrame(w io.Writer, f Frame) error {
	sum := sha256.Sum256([]byte(Style()))
	return templates.ExecuteTemplate(w, "frame", struct {
		Frame
		Style  template.CSS
		Policy string
	}{f, template.CSS(Style()), "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"}) //nolint:gosec // ours
}

// HTML writes the page as a file of its own: without scripts, and with nothing that
// is loaded from elsewhere.
func (p *Page) HTML(w io.Writer, queries bool) error {
	body, err := p.Body(Look{File: true, Queries: queries})
	if err != nil {
		return err
	}
	return WriteFrame(w, Frame{Title: p.Title, Body: body})
}

// A pagePanel is a figure as the template writes it.
type pagePanel struct {
	*Figure
	Width         int
	Wide, Narrow  template.HTML // pictures; Narrow for phones, empty when Wide fits
	Says          string
	Figures       []pageStat
	Grid          *render.Grid
	More          string
	File, Queries bool
	CSVAt, PNGAt  string
	Drills        string // what a click on a value does
}

type pageStat struct {
	render.Stat
	Size string // class of the text by its length
}

// Body writes what is particular to the dashboard.
func (p *Page) Body(look Look) (template.HTML, error) {
	type row struct {
		Title  string
		Panels []pagePanel
	}
	data := struct {
		*Page
		Look
		Range   string
		Rows    []row
		Links   []pageLink
		Ranges  []pageLink
		Report  string
		Filters string
	}{Page: p, Look: look, Range: p.RangeText(), Ranges: p.ranges(), Filters: strings.Join(p.Filters(), " · ")}
	query := strings.TrimPrefix(p.Address(p.Dashboard, "", ""), "/d/"+p.UID)
	data.Report = "/d/" + p.UID + "/report.pdf" + query
	if look.Dashboard != nil {
		for _, l := range p.Links {
			if to := look.Dashboard(l.UID); to != nil {
				data.Links = append(data.Links, pageLink{Title: l.Title, About: l.About, URL: p.Address(*to, "", "")})
			}
		}
	}
	for _, r := range p.Rows {
		made := row{Title: r.Title}
		for _, f := range r.Figures {
			one, err := p.panel(f, look)
			if err != nil {
				return "", fmt.Errorf("panel %q: %w", f.Title, err)
			}
			one.CSVAt = fmt.Sprintf("/d/%s/panel/%d.csv%s", p.UID, f.ID, query)
			one.PNGAt = fmt.Sprintf("/d/%s/panel/%d.png%s", p.UID, f.ID, query)
			made.Panels = append(made.Panels, one)
		}
		data.Rows = append(data.Rows, made)
	}
	var b bytes.Buffer
	if err := templates.ExecuteTemplate(&b, "dashboard", data); err != nil {
		return "", err
	}
	return template.HTML(b.String()), nil //nolint:gosec // written by a template
}

type pageLink struct {
	Title, About, URL string
	Here              bool
}

// ranges are links to the usual ranges of time.
func (p *Page) ranges() []pageLink {
	usual := []struct{ from, title string }{{"now-6h", "6 hours"}, {"now-24h", "24 hours"}, {"now-7d", "7 days"}, {"now-30d", "30 days"}, {"now-90d", "90 days"}, {"now-1y", "1 year"}}
	var list []pageLink
	for _, u := range usual {
		other := *p
		other.Asked.From, other.Asked.To = u.from, "now"
		list = append(list, pageLink{Title: u.title, URL: other.Address(p.Dashboard, "", ""), Here: p.Asked.From == u.from && p.Asked.To == "now"})
	}
	return list
}

func (p *Page) panel(f *Figure, look Look) (pagePanel, error) {
	one := pagePanel{Figure: f, Width: f.Width, File: look.File, Queries: look.Queries}
	if f.Drill != nil && look.Dashboard != nil {
		if to := look.Dashboard(f.Drill.UID); to != nil {
			f.Link = func(value string) string { return p.Address(*to, f.Drill.Variable, value) }
			one.Drills = f.Drill.Title
		}
	}
	one.Says = f.Says()
	if f.Problem == "" && len(f.Table.Rows) > 0 {
		grid := f.Grid()
		if len(grid.Rows) > mostRows {
			one.More = grid.Heading(mostRows)
			grid.Rows = grid.Rows[:mostRows]
		}
		one.Grid = &grid
	}
	switch {
	case one.Says != "":
	case f.Type == "stat":
		one.Grid = nil
		for _, s := range f.Stats() {
			size := "short"
			if n := len(s.Text); n > 16 {
				size = "longest"
			} else if n > 11 {
				size = "long"
			}
			one.Figures = append(one.Figures, pageStat{s, size})
		}
	case f.Type != "table":
		width := float64(f.Width)*(pageWidth+gridGap)/24 - gridGap - panelPad
		height := float64(f.Height * gridRow)
		draw := func(width float64, class string) (template.HTML, error) {
			var b bytes.Buffer
			err := f.Chart(width, height).SVG(&b, fmt.Sprintf("p%d-%s", f.ID, class), class)
			return template.HTML(b.String()), err //nolint:gosec // written by render, which escapes
		}
		var err error
		if f.Width <= 10 {
			one.Wide, err = draw(width, "any")
			return one, err
		}
		if one.Wide, err = draw(width, "wide"); err != nil {
			return one, err
		}
		one.Narrow, err = draw(phoneWidth, "narrow")
		return one, err
	}
	return one, nil
}
