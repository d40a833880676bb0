package render

import (
	"math/rand/v2"
	"strings"
	"testing"
)

func TestMeasureIsThatOfTheFont(t *testing.T) {
	// Digits of Liberation Sans are 0.556 em wide, as those of Arial are.
	if got := Measure("0123456789", 100, false); got < 555 || got > 557 {
		t.Errorf("ten digits of 100 are %v wide", got)
	}
	if Measure("", 10, false) != 0 || Measure("€", 10, true) == 0 {
		t.Error("nothing has a width, or the euro has none")
	}
}

// Texts of any script have a width and outlines; those that run to the left or join
// are not set letter by letter.
func TestAnyText(t *testing.T) {
	for text, plain := range map[string]bool{
		"Größe – 12 €": true, "Żółć": true, "Ελλάδα": true, "Москва": true,
		"שלום": false, "مرحبا": false, "a שלום b": false, "😀": false, "▲ 4.2%": true,
	} {
		f := face(false)
		if got := f.plain(text); got != plain {
			t.Errorf("%q is plain: %t", text, got)
		}
		segments, width := f.outline(text, 20)
		if len(segments) == 0 || width < 5 {
			t.Errorf("%q: %d segments, %v wide", text, len(segments), width)
		}
		if plain {
			if got := Measure(text, 20, false); got-width > 1 || width-got > 1 {
				t.Errorf("%q is measured %v and set %v wide", text, got, width)
			}
		}
	}
	// Joined letters differ from single ones.
	f := face(false)
	_, joined := f.outline("مرحبا", 20)
	var single float64
	for _, letter := range "مرحبا" {
		_, width := f.outline(string(letter), 20)
		single += width
	}
	if joined >= single-1 {
		t.Errorf("the Arabic word is %v wide, its letters alone %v: they are not joined", joined, single)
	}
}

func TestTruncateAndWrap(t *testing.T) {
	long := strings.Repeat("a long name ", 50)
	if got := Truncate(long, 100, 11, false); Measure(got, 11, false) > 100 || !strings.HasSuffix(got, "…") {
		t.Errorf("%q is %v wide", got, Measure(got, 11, false))
	}
	if got := Truncate("short", 100, 11, false); got != "short" {
		t.Errorf("%q", got)
	}
	lines := Wrap(long+strings.Repeat("x", 300)+" end", 200, 11, false)
	for _, l := range lines {
		if Measure(l, 11, false) > 200 {
			t.Errorf("the line %q is %v wide", l, Measure(l, 11, false))
		}
	}
	if got := strings.Join(lines, ""); strings.ReplaceAll(got, " ", "") != strings.ReplaceAll(long+strings.Repeat("x", 300)+" end", " ", "") {
		t.Error("letters were lost")
	}
}

// Messages of programs have lines of any length; a text that is set has one.
func TestLinesOfMessages(t *testing.T) {
	words := strings.Fields(`Trino does not answer on 127.0.0.1:12808 (dial tcp: connection refused) Get "http://127.0.0.1/readyz": deadline exceeded`)
	random := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		var message strings.Builder
		for range random.IntN(60) {
			message.WriteString(words[random.IntN(len(words))])
			message.WriteString([]string{" ", "\n", ": ", "\r\n\t", "\u2028", "→"}[random.IntN(6)])
		}
		flat := strings.NewReplacer("\n", " ", "\r", " ", "\t", " ", "\u2028", " ").Replace(message.String())
		if got, want := Measure(message.String(), 11, false), Measure(flat, 11, false); got != want {
			t.Fatalf("%q is %v wide, and on one line %v", message.String(), got, want)
		}
		d := &Drawing{}
		if d.Write(0, 0, message.String(), 11, false, Ink, Start); d.Items[0].Text != flat {
			t.Fatalf("%q is written as %q", message.String(), d.Items[0].Text)
		}
	}
}
