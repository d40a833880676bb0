package render

import (
	"fmt"
	"image/color"
)

// A Colour is one of a few, by what it is for; a Theme says how it looks.
type Colour uint8

// Colours. Those of series are told apart by people who do not tell red from green.
const (
	None  Colour = iota
	Paper        // behind everything
	Ink          // text
	Muted        // text that matters less
	Line         // rules and grids
	Blue         // neutral
	Green        // in order
	Orange
	Red
	Series1
	Series2
	Series3
	Series4
	Series5
	Series6
	Series7
	Series8
	colours
)

const seriesColours = int(Series8-Series1) + 1

// classes are the names of the colours in style sheets.
var classes = [colours]string{"none", "paper", "ink", "muted", "line", "blue", "green", "orange", "red", "s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8"}

// Class is the name of the colour in style sheets: "blue".
func (c Colour) Class() string { return classes[c] }

// Meaning is what the colour of a threshold says, for those who do not see it; empty
// for a neutral one.
func (c Colour) Meaning() string {
	switch c {
	case Green:
		return "in order"
	case Orange:
		return "watch"
	case Red:
		return "act"
	}
	return ""
}

// colourNamed reads the colours that package dashboards uses, by Grafana's names.
func colourNamed(name string) (Colour, error) {
	switch name {
	case "blue":
		return Blue, nil
	case "green":
		return Green, nil
	case "orange":
		return Orange, nil
	case "red":
		return Red, nil
	case "text":
		return Muted, nil
	}
	return None, fmt.Errorf("the colour %q is not drawn", name)
}

// A Theme is how the colours look.
type Theme [colours]color.RGBA

func rgb(hex uint32) color.RGBA {
	return color.RGBA{R: uint8(hex >> 16), G: uint8(hex >> 8), B: uint8(hex), A: 255} //nolint:gosec // bytes of it
}

// Light is for paper and by day, Dark by night. Texts have a contrast of 4.5 to 1 on
// Paper, lines and areas of 3 to 1 (WCAG 2.2, 1.4.3 and 1.4.11); a test measures it.
var (
	Light = Theme{
		Paper: rgb(0xffffff), Ink: rgb(0x1b1f24), Muted: rgb(0x5a6572), Line: rgb(0xdde2e8),
		Blue: rgb(0x1f5fbf), Green: rgb(0x1a7f4b), Orange: rgb(0xa85400), Red: rgb(0xc0212f),
		Series1: rgb(0x1f5fbf), Series2: rgb(0xd57a1a), Series3: rgb(0x1b8a8f), Series4: rgb(0x8457b8),
		Series5: rgb(0xa68a1c), Series6: rgb(0xb5507e), Series7: rgb(0x66788a), Series8: rgb(0x5c8f2e),
	}
	Dark = Theme{
		Paper: rgb(0x15191f), Ink: rgb(0xe8ebef), Muted: rgb(0x9aa6b3), Line: rgb(0x303741),
		Blue: rgb(0x6ba4f5), Green: rgb(0x4fc088), Orange: rgb(0xf0a050), Red: rgb(0xff7b80),
		Series1: rgb(0x6ba4f5), Series2: rgb(0xe8963c), Series3: rgb(0x45b5b8), Series4: rgb(0xab86db),
		Series5: rgb(0xc7ac43), Series6: rgb(0xd97ba5), Series7: rgb(0x8fa0b1), Series8: rgb(0x86bb56),
	}
)

// Hex is the colour as style sheets write it.
func (t Theme) Hex(c Colour) string { return fmt.Sprintf("#%02x%02x%02x", t[c].R, t[c].G, t[c].B) }
