package render

// A Point in pixels from the upper left corner.
type Point struct{ X, Y float64 }

// A Drawing is a list of items, the first behind the others. A pixel is that of CSS,
// 1/96 inch.
type Drawing struct {
	Width, Height      float64
	Title, Description string // what a screen reader says
	Items              []Item
}

// An Item is a shape, or a text when Text is set.
type Item struct {
	Points  []Point
	Closed  bool
	Fill    Colour
	Opacity float64 // of Fill; 0 is as 1
	Stroke  Colour
	Width   float64
	Dash    bool

	Text   string // its baseline begins at Points[0], or is placed there by Anchor
	Size   float64
	Bold   bool
	Anchor Anchor

	Tip  string // shown where a mouse rests
	Link string // followed by a click
}

// An Anchor is the part of a text that stands at its point.
type Anchor uint8

// Anchors.
const (
	Start Anchor = iota
	Middle
	End
)

func (d *Drawing) add(items ...Item) { d.Items = append(d.Items, items...) }

// Rect adds a rectangle filled with a colour.
func (d *Drawing) Rect(x, y, w, h float64, fill Colour) *Item {
	d.add(Item{Points: []Point{{x, y}, {x + w, y}, {x + w, y + h}, {x, y + h}}, Closed: true, Fill: fill})
	return &d.Items[len(d.Items)-1]
}

// Rule adds a straight line.
func (d *Drawing) Rule(x1, y1, x2, y2, width float64, stroke Colour) {
	d.add(Item{Points: []Point{{x1, y1}, {x2, y2}}, Stroke: stroke, Width: width})
}

// Write adds a text on one line.
func (d *Drawing) Write(x, y float64, text string, size float64, bold bool, fill Colour, anchor Anchor) *Item {
	d.add(Item{Points: []Point{{x, y}}, Text: oneLine(text), Size: size, Bold: bold, Fill: fill, Anchor: anchor})
	return &d.Items[len(d.Items)-1]
}

// Place adds another drawing with its corner at x, y, scaled.
func (d *Drawing) Place(x, y, scale float64, other *Drawing) {
	for _, item := range other.Items {
		points := make([]Point, len(item.Points))
		for i, p := range item.Points {
			points[i] = Point{x + p.X*scale, y + p.Y*scale}
		}
		item.Points, item.Size, item.Width = points, item.Size*scale, item.Width*scale
		d.add(item)
	}
}

// start is the x at which the text begins.
func (i Item) start() float64 {
	switch i.Anchor {
	case Middle:
		return i.Points[0].X - Measure(i.Text, i.Size, i.Bold)/2
	case End:
		return i.Points[0].X - Measure(i.Text, i.Size, i.Bold)
	}
	return i.Points[0].X
}

func (i Item) opacity() float64 {
	if i.Opacity == 0 {
		return 1
	}
	return i.Opacity
}
