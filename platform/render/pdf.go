package render

import (
	"io"
	"time"

	"codeberg.org/go-pdf/fpdf"
	"github.com/go-fonts/liberation/liberationsansbold"
	"github.com/go-fonts/liberation/liberationsansregular"
	"github.com/go-text/typesetting/font/opentype"
)

// A4 upright, in pixels.
const (
	A4Width  = 210 / 25.4 * 96
	A4Height = 297 / 25.4 * 96
)

const points = 72.0 / 96 // of a pixel

// A Document is pages of one size.
type Document struct {
	Title, Subject string
	Made           time.Time
	Pages          []*Drawing
	Outline        []Entry
}

// An Entry of the outline that readers show beside the pages.
type Entry struct {
	Title string
	Page  int // from 0
	Y     float64
}

// PDF writes the document: vectors, and text that can be searched and copied in the
// embedded Liberation Sans. Texts that need more than that are drawn as outlines.
func (d *Document) PDF(w io.Writer) error {
	f := fpdf.NewCustom(&fpdf.InitType{OrientationStr: "P", UnitStr: "pt", Size: fpdf.SizeType{Wd: A4Width * points, Ht: A4Height * points}})
	f.SetCreationDate(d.Made)
	f.SetModificationDate(d.Made)
	f.SetCatalogSort(true)
	f.SetTitle(d.Title, true)
	f.SetSubject(d.Subject, true)
	f.SetCreator("DataMeesh", true)
	f.SetLang("en")
	f.SetAutoPageBreak(false, 0)
	f.SetMargins(0, 0, 0)
	f.AddUTF8FontFromBytes("sans", "", liberationsansregular.TTF)
	f.AddUTF8FontFromBytes("sans", "B", liberationsansbold.TTF)
	for i, page := range d.Pages {
		f.AddPageFormat("P", fpdf.SizeType{Wd: page.Width * points, Ht: page.Height * points})
		for _, e := range d.Outline {
			if e.Page == i {
				f.Bookmark(e.Title, 0, e.Y*points)
			}
		}
		for _, item := range page.Items {
			item.pdf(f)
		}
	}
	return f.Output(w)
}

func (i Item) pdf(f *fpdf.Fpdf) {
	if i.Text != "" {
		i.pdfText(f)
		return
	}
	path := func() {
		for n, p := range i.Points {
			if n == 0 {
				f.MoveTo(p.X*points, p.Y*points)
			} else {
				f.LineTo(p.X*points, p.Y*points)
			}
		}
		if i.Closed {
			f.ClosePath()
		}
	}
	if i.Fill != None {
		c := Light[i.Fill]
		f.SetFillColor(int(c.R), int(c.G), int(c.B))
		if o := i.opacity(); o != 1 {
			f.SetAlpha(o, "Normal")
		}
		path()
		f.DrawPath("F")
		if i.opacity() != 1 {
			f.SetAlpha(1, "Normal")
		}
	}
	if i.Stroke != None {
		c := Light[i.Stroke]
		f.SetDrawColor(int(c.R), int(c.G), int(c.B))
		f.SetLineWidth(i.Width * points)
		f.SetLineJoinStyle("round")
		if i.Dash {
			f.SetDashPattern([]float64{3, 2.25}, 0)
		}
		path()
		f.DrawPath("D")
		if i.Dash {
			f.SetDashPattern(nil, 0)
		}
	}
}

func (i Item) pdfText(f *fpdf.Fpdf) {
	c := Light[i.Fill]
	x, y := i.start(), i.Points[0].Y
	if !face(i.Bold).plain(i.Text) {
		f.SetFillColor(int(c.R), int(c.G), int(c.B))
		segments, _ := face(i.Bold).outline(i.Text, i.Size)
		pdfTrace(f, segments, x, y)
		return
	}
	style := ""
	if i.Bold {
		style = "B"
	}
	f.SetFont("sans", style, i.Size*points)
	f.SetTextColor(int(c.R), int(c.G), int(c.B))
	f.Text(x*points, y*points, i.Text)
}

func pdfTrace(f *fpdf.Fpdf, segments []segment, x, y float64) {
	if len(segments) == 0 {
		return
	}
	at := func(p Point) (float64, float64) { return (x + p.X) * points, (y + p.Y) * points }
	open := false
	for _, s := range segments {
		ax, ay := at(s.points[0])
		bx, by := at(s.points[1])
		switch s.op {
		case opentype.SegmentOpMoveTo:
			if open {
				f.ClosePath()
			}
			f.MoveTo(ax, ay)
			open = true
		case opentype.SegmentOpLineTo:
			f.LineTo(ax, ay)
		case opentype.SegmentOpCubeTo:
			cx, cy := at(s.points[2])
			f.CurveBezierCubicTo(ax, ay, bx, by, cx, cy)
		}
	}
	f.ClosePath()
	f.DrawPath("F")
}
