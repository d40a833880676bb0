package render

import (
	"fmt"
	"html"
	"io"
	"strconv"
	"strings"
)

// SVG writes the drawing for a page whose style sheet has Style: colours are classes,
// so that light and dark are the page's choice, and no attribute of style is needed.
// The id must be unique on the page.
func (d *Drawing) SVG(w io.Writer, id, class string) error {
	var b strings.Builder
	role := "img"
	for _, item := range d.Items {
		if item.Link != "" {
			role = "group" // what is in an image cannot be reached
		}
	}
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" class="%s" viewBox="0 0 %s %s" width="%s" height="%s" role="%s" aria-labelledby="%s-title">`,
		class, number(d.Width), number(d.Height), number(d.Width), number(d.Height), role, id)
	fmt.Fprintf(&b, `<title id="%s-title">%s</title>`, id, escape(strings.TrimSpace(d.Title+". "+d.Description)))
	d.items(&b)
	b.WriteString("</svg>")
	_, err := io.WriteString(w, b.String())
	return err
}

// SVGFile writes the drawing as a file of its own, with its colours in it.
func (d *Drawing) SVGFile(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %s %s" width="%s" height="%s" role="img"><title>%s</title><style>%s</style>`,
		number(d.Width), number(d.Height), number(d.Width), number(d.Height), escape(d.Title), Style())
	fmt.Fprintf(&b, `<rect class="f-paper" width="%s" height="%s"/>`, number(d.Width), number(d.Height))
	d.items(&b)
	b.WriteString("</svg>\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// Style is the style sheet of the drawings: light, or dark where the reader prefers it.
func Style() string {
	var b strings.Builder
	variables := func(t Theme) {
		for c := Paper; c < colours; c++ {
			fmt.Fprintf(&b, "--%s:%s;", c.Class(), t.Hex(c))
		}
	}
	b.WriteString(":root{color-scheme:light dark;")
	variables(Light)
	b.WriteString("}@media (prefers-color-scheme:dark){:root{")
	variables(Dark)
	b.WriteString("}}@media print{:root{color-scheme:light;")
	variables(Light)
	b.WriteString("}}\n")
	for c := Paper; c < colours; c++ {
		fmt.Fprintf(&b, ".f-%[1]s{fill:var(--%[1]s)}.l-%[1]s{stroke:var(--%[1]s);fill:none}.c-%[1]s{color:var(--%[1]s)}.b-%[1]s{background:var(--%[1]s)}\n", c.Class())
	}
	b.WriteString(`svg text{font-family:"Liberation Sans",Arial,Helvetica,sans-serif;white-space:pre}svg .bold{font-weight:700}svg .mid{text-anchor:middle}svg .end{text-anchor:end}svg .dash{stroke-dasharray:4 3}svg .bare{fill:transparent}` + "\n")
	return b.String()
}

func (d *Drawing) items(b *strings.Builder) {
	for _, item := range d.Items {
		if item.Link != "" {
			fmt.Fprintf(b, `<a href="%s">`, escape(item.Link))
		}
		if item.Text != "" {
			item.text(b)
		} else {
			item.shape(b)
		}
		if item.Link != "" {
			b.WriteString("</a>")
		}
	}
}

func (i Item) text(b *strings.Builder) {
	class := "f-" + i.Fill.Class()
	if i.Bold {
		class += " bold"
	}
	switch i.Anchor {
	case Middle:
		class += " mid"
	case End:
		class += " end"
	}
	fmt.Fprintf(b, `<text x="%s" y="%s" font-size="%s" class="%s">%s`, number(i.Points[0].X), number(i.Points[0].Y), number(i.Size), class, escape(i.Text))
	i.tip(b)
	b.WriteString("</text>")
}

func (i Item) tip(b *strings.Builder) {
	if i.Tip != "" {
		b.WriteString("<title>" + escape(i.Tip) + "</title>")
	}
}

func (i Item) shape(b *strings.Builder) {
	var path strings.Builder
	for n, p := range i.Points {
		verb := "L"
		if n == 0 {
			verb = "M"
		}
		path.WriteString(verb + number(p.X) + " " + number(p.Y))
	}
	if i.Closed {
		path.WriteString("Z")
	}
	write := func(class, more string) {
		fmt.Fprintf(b, `<path d="%s" class="%s"%s>`, path.String(), class, more)
		i.tip(b)
		b.WriteString("</path>")
	}
	switch {
	case i.Fill != None:
		more := ""
		if o := i.opacity(); o != 1 {
			more = ` fill-opacity="` + number(o) + `"`
		}
		write("f-"+i.Fill.Class(), more)
	case i.Stroke == None: // only takes the mouse
		write("bare", "")
	}
	if i.Stroke != None {
		class := "l-" + i.Stroke.Class()
		if i.Dash {
			class += " dash"
		}
		write(class, ` stroke-width="`+number(i.Width)+`"`)
	}
}

func number(x float64) string {
	text := strconv.FormatFloat(x, 'f', 2, 64)
	return strings.TrimSuffix(strings.TrimRight(text, "0"), ".")
}

func escape(text string) string { return html.EscapeString(text) }
