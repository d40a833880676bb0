package render

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"sync"
	"unicode"

	"github.com/go-fonts/dejavu/dejavusans"
	"github.com/go-fonts/dejavu/dejavusansbold"
	"github.com/go-fonts/liberation/liberationsansbold"
	"github.com/go-fonts/liberation/liberationsansregular"
	"github.com/go-text/typesetting/di"
	"github.com/go-text/typesetting/font"
	"github.com/go-text/typesetting/font/opentype"
	"github.com/go-text/typesetting/language"
	"github.com/go-text/typesetting/shaping"
	"golang.org/x/image/math/fixed"
	"golang.org/x/text/unicode/bidi"
)

// Texts are set in Liberation Sans, which is as wide as Arial and Helvetica, so that
// what is measured here fits in any browser without a font being sent; what it lacks
// (Arabic, symbols, some emoji) comes from DejaVu Sans.

// A typeface is the two fonts of one weight.
type typeface struct {
	first, second *font.Font
	advances      map[rune]float64 // of first, in em
}

var typefaces = sync.OnceValue(func() [2]*typeface {
	load := func(first, second []byte) *typeface {
		a, err := font.ParseTTF(bytes.NewReader(first))
		if err != nil {
			panic(fmt.Sprintf("render: a font of the program is damaged: %v", err))
		}
		b, err := font.ParseTTF(bytes.NewReader(second))
		if err != nil {
			panic(fmt.Sprintf("render: a font of the program is damaged: %v", err))
		}
		t := &typeface{first: a.Font, second: b.Font, advances: map[rune]float64{}}
		for all := a.Cmap.Iter(); all.Next(); {
			r, glyph := all.Char()
			t.advances[r] = float64(a.HorizontalAdvance(glyph)) / float64(a.Upem())
		}
		return t
	}
	return [2]*typeface{
		load(liberationsansregular.TTF, dejavusans.TTF),
		load(liberationsansbold.TTF, dejavusansbold.TTF),
	}
})

func face(bold bool) *typeface {
	if bold {
		return typefaces()[1]
	}
	return typefaces()[0]
}

// plain says whether the text is set glyph by glyph from left to right in the first
// font.
func (t *typeface) plain(text string) bool {
	for _, r := range text {
		if _, has := t.advances[r]; !has || r > 0xffff {
			return false
		}
		if r < 0x0300 { // no Latin letter runs to the left or joins
			continue
		}
		properties, _ := bidi.LookupRune(r)
		switch properties.Class() {
		case bidi.R, bidi.AL, bidi.AN, bidi.NSM, bidi.BN:
			return false
		}
	}
	return true
}

// oneLine makes the characters that end a line or control a terminal blanks: a text is
// set on one line, and go-text 0.3 panics at some ends of lines.
func oneLine(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.In(r, unicode.Zl, unicode.Zp) {
			return ' '
		}
		return r
	}, text)
}

// Measure gives the width of a text of that size.
func Measure(text string, size float64, bold bool) float64 {
	t := face(bold)
	text = oneLine(text)
	if !t.plain(text) {
		_, width := t.outline(text, size)
		return width
	}
	var width float64
	for _, r := range text {
		width += t.advances[r]
	}
	return width * size
}

// Truncate shortens the text to the width, with an ellipsis.
func Truncate(text string, width, size float64, bold bool) string {
	if Measure(text, size, bold) <= width {
		return text
	}
	letters := []rune(text)
	// The longest beginning that fits, by halves: long texts are cut fast.
	fits, tooLong := 0, len(letters)
	for tooLong-fits > 1 {
		middle := (fits + tooLong) / 2
		if Measure(string(letters[:middle])+"…", size, bold) <= width {
			fits = middle
		} else {
			tooLong = middle
		}
	}
	return strings.TrimRight(string(letters[:fits]), " ") + "…"
}

// Wrap breaks the text into lines of at most the width, between words where it can.
func Wrap(text string, width, size float64, bold bool) []string {
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(text) {
		for {
			longer := word
			if line != "" {
				longer = line + " " + word
			}
			if Measure(longer, size, bold) <= width {
				line = longer
				break
			}
			if line != "" {
				lines, line = append(lines, line), ""
				continue
			}
			// A word longer than the line.
			letters := []rune(word)
			n := 1
			for n < len(letters) && Measure(string(letters[:n+1]), size, bold) <= width {
				n++
			}
			lines, word = append(lines, string(letters[:n])), string(letters[n:])
			if word == "" {
				break
			}
		}
	}
	if line != "" {
		lines = append(lines, line)
	}
	return lines
}

// A segment of an outline in pixels, y downwards.
type segment struct {
	op     opentype.SegmentOp
	points [3]Point
}

func (s segment) end() Point {
	if s.op == opentype.SegmentOpCubeTo {
		return s.points[2]
	}
	return s.points[0]
}

// cubic makes the same curve of a quadratic one, which PDF does not have.
func (s segment) cubic(from Point) segment {
	c, to := s.points[0], s.points[1]
	third := func(a, b Point) Point { return Point{a.X + 2*(b.X-a.X)/3, a.Y + 2*(b.Y-a.Y)/3} }
	return segment{opentype.SegmentOpCubeTo, [3]Point{third(from, c), third(to, c), to}}
}

// ResolveFace makes it a shaping.Fontmap.
func (f *faces) ResolveFace(r rune) *font.Face {
	if _, has := f.first.NominalGlyph(r); has {
		return f.first
	}
	return f.second
}

// faces are fonts in use by one goroutine.
type faces struct{ first, second *font.Face }

// outline sets any text: scripts that run to the left, letters that join, and what
// only the second font has. It gives the glyphs' outlines and the width.
func (t *typeface) outline(text string, size float64) ([]segment, float64) {
	letters := []rune(oneLine(text))
	if len(letters) == 0 {
		return nil, 0
	}
	use := &faces{font.NewFace(t.first), font.NewFace(t.second)}
	direction := di.DirectionLTR
	for _, r := range letters { // that of the first letter that has one (UAX 9, P2)
		properties, _ := bidi.LookupRune(r)
		if class := properties.Class(); class == bidi.R || class == bidi.AL {
			direction = di.DirectionRTL
			break
		} else if class == bidi.L {
			break
		}
	}
	var segmenter shaping.Segmenter
	var shaper shaping.HarfbuzzShaper
	const unit = 64
	var runs []shaping.Output
	for _, run := range segmenter.Split(shaping.Input{
		Text: letters, RunEnd: len(letters), Direction: direction, Size: fixed.Int26_6(size * unit * 16), Language: language.NewLanguage("en"),
	}, use) {
		runs = append(runs, shaper.Shape(run))
	}
	var wrapper shaping.LineWrapper
	lines, _ := wrapper.WrapParagraph(shaping.WrapConfig{Direction: direction, DisableTrailingWhitespaceTrim: true}, 1<<24, letters, shaping.NewSliceIterator(runs))
	var segments []segment
	var x float64
	for _, line := range lines {
		slices.SortStableFunc(line, func(a, b shaping.Output) int { return int(a.VisualIndex - b.VisualIndex) })
		for _, run := range line {
			scale := size / float64(run.Face.Upem())
			for _, g := range run.Glyphs {
				// Shaped at sixteen times the size: positions are whole 64ths of a pixel.
				var pen Point
				at := Point{x + float64(g.XOffset)/unit/16, -float64(g.YOffset) / unit / 16}
				if data, ok := run.Face.GlyphDataOutline(g.GlyphID); ok {
					for _, s := range data.Segments {
						one := segment{op: s.Op}
						for i, p := range s.ArgsSlice() {
							one.points[i] = Point{at.X + float64(p.X)*scale, at.Y - float64(p.Y)*scale}
						}
						if s.Op == opentype.SegmentOpQuadTo {
							one = one.cubic(pen)
						}
						pen = one.end()
						segments = append(segments, one)
					}
				}
				x += float64(g.Advance) / unit / 16
			}
		}
	}
	return segments, x
}
