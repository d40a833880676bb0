package render

import (
	"image/color"
	"image/png"
	"io"

	"git.sr.ht/~sbinet/gg"
	"github.com/go-text/typesetting/font/opentype"
)

// PNG writes the drawing with scale dots to a pixel.
func (d *Drawing) PNG(w io.Writer, theme Theme, scale float64) error {
	dc := gg.NewContext(int(d.Width*scale+0.5), int(d.Height*scale+0.5))
	dc.SetColor(theme[Paper])
	dc.Clear()
	dc.Scale(scale, scale)
	for _, item := range d.Items {
		if item.Text != "" {
			segments, _ := face(item.Bold).outline(item.Text, item.Size)
			trace(dc, segments, item.start(), item.Points[0].Y)
			dc.SetColor(theme[item.Fill])
			dc.Fill()
			continue
		}
		path := func() {
			for i, p := range item.Points {
				if i == 0 {
					dc.MoveTo(p.X, p.Y)
				} else {
					dc.LineTo(p.X, p.Y)
				}
			}
			if item.Closed {
				dc.ClosePath()
			}
		}
		if item.Fill != None {
			path()
			c := theme[item.Fill]
			dc.SetColor(color.NRGBA{R: c.R, G: c.G, B: c.B, A: uint8(item.opacity()*255 + 0.5)})
			dc.Fill()
		}
		if item.Stroke != None {
			path()
			dc.SetColor(theme[item.Stroke])
			dc.SetLineWidth(item.Width * scale) // gg does not scale it
			dc.SetDash()
			if item.Dash {
				dc.SetDash(4*scale, 3*scale)
			}
			dc.SetLineCapButt()
			dc.SetLineJoinRound()
			dc.Stroke()
		}
	}
	return png.Encode(w, dc.Image())
}

func trace(dc *gg.Context, segments []segment, x, y float64) {
	open := false
	for _, s := range segments {
		p := s.points
		for i := range p {
			p[i].X += x
			p[i].Y += y
		}
		switch s.op {
		case opentype.SegmentOpMoveTo:
			if open {
				dc.ClosePath()
			}
			dc.MoveTo(p[0].X, p[0].Y)
			open = true
		case opentype.SegmentOpLineTo:
			dc.LineTo(p[0].X, p[0].Y)
		case opentype.SegmentOpCubeTo:
			dc.CubicTo(p[0].X, p[0].Y, p[1].X, p[1].Y, p[2].X, p[2].Y)
		}
	}
	if open {
		dc.ClosePath()
	}
}
