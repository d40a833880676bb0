package render

import (
	"fmt"
	"image/color"
	"math"
	"os"
	"strings"
	"testing"
	"testing/fstest"
)

const generated = "../../dashboards/json"

// Every generated panel is drawn: one with a type, unit, option or transformation that
// is not known fails here by its name.
func TestLoadKnowsAllThatIsGenerated(t *testing.T) {
	list, err := Load(os.DirFS(generated))
	if err != nil {
		t.Fatal(err)
	}
	var panels int
	for _, d := range list {
		if d.FolderTitle == "" || d.Description == "" || len(d.Rows) == 0 {
			t.Errorf("%s: folder %q, description %q, %d rows", d.UID, d.FolderTitle, d.Description, len(d.Rows))
		}
		if len(d.Panels()) != len(d.Dashboard.Panels) {
			t.Errorf("%s: %d of %d panels have a look", d.UID, len(d.Panels()), len(d.Dashboard.Panels))
		}
		panels += len(d.Panels())
	}
	if len(list) < 6 || panels < 50 {
		t.Errorf("%d dashboards with %d panels: something was not looked at", len(list), panels)
	}
}

// planted is the folder with one dashboard changed.
func planted(t *testing.T, name, old, changed string) error {
	t.Helper()
	folder := fstest.MapFS{}
	for _, file := range []string{"provisioning/dashboards/datameesh.yaml", name} {
		text, err := os.ReadFile(generated + "/" + file)
		if err != nil {
			t.Fatal(err)
		}
		if file == name {
			if !strings.Contains(string(text), old) {
				t.Fatalf("%s does not hold %s", name, old)
			}
			text = []byte(strings.Replace(string(text), old, changed, 1))
		}
		folder[file] = &fstest.MapFile{Data: text}
	}
	_, err := Load(folder)
	return err
}

// What is drawn is what the style of the pages knows.
func TestWidthsAreThoseOfTheStyle(t *testing.T) {
	style, err := os.ReadFile("../report/page.css")
	if err != nil {
		t.Fatal(err)
	}
	drawn := 0
	for w := 1; w <= 24; w++ {
		err := planted(t, "dashboards/platform/mesh-health.json", `"w": 6`, fmt.Sprintf(`"w": %d`, w)) // alone it also lacks what it leads to
		refused := strings.Contains(err.Error(), fmt.Sprintf("gridPos.w = %d", w))
		styled := strings.Contains(string(style), fmt.Sprintf(".w%d{grid-column:span %d}", w, w))
		if refused == styled {
			t.Errorf("width %d: in the style %t, loaded: %v", w, styled, err)
		}
		if styled {
			drawn++
		}
	}
	if drawn == 0 {
		t.Error("the style has no width")
	}
}

func TestLoadRefusesByName(t *testing.T) {
	const name = "dashboards/platform/mesh-health.json"
	for change, want := range map[[2]string]string{
		{`"type": "stat"`, `"type": "gauge"`}:                                          `panels of type "gauge" are not drawn`,
		{`"unit": "percentunit"`, `"unit": "celsius"`}:                                 `unit "celsius" is not drawn`,
		{`"graphMode": "none"`, `"graphMode": "area"`}:                                 "options.graphMode = area",
		{`"transparent": false`, `"transformations": [{"id": "merge"}]`}:               "transformations.id is not drawn",
		{`"w": 6`, `"w": 7`}:                                                           "gridPos.w = 7",
		{`"color": "green"`, `"color": "fuchsia"`}:                                     `colour "fuchsia" is not drawn`,
		{`"calcs": [`, `"calcs": ["max",`}:                                             "options.reduceOptions.calcs = max",
		{`"repeatDirection": "h"`, `"repeat": "server"`}:                               "repeat is not drawn",
		{`"fieldConfig": {`, `"fieldConfig": {"defaults2": {"mappings": [{"a": 1}]},`}: "fieldConfig.defaults2.mappings.a is not drawn",
	} {
		err := planted(t, name, change[0], change[1])
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "panel ") {
			t.Errorf("%s: %v, want a panel's name and %q", change[1], err, want)
		}
	}
}

func TestDrill(t *testing.T) {
	d, err := drill("Campaigns", "/d/marketing-roi?${__url_time_range}&var-channel=${__data.fields.channel}&${campaign:queryparam}")
	if err != nil || d.UID != "marketing-roi" || d.Variable != "channel" || d.From != "channel" || len(d.Keep) != 1 || d.Keep[0] != "campaign" {
		t.Errorf("%+v, %v", d, err)
	}
	for _, address := range []string{"https://elsewhere.example/", "/d/x", "/d/x?var-a=b", "/d/x?orgId=1"} {
		if _, err := drill("x", address); err == nil {
			t.Errorf("%s is taken", address)
		}
	}
}

// contrast of two colours, WCAG 2.2.
func contrast(a, b color.RGBA) float64 {
	light := func(c color.RGBA) float64 {
		part := func(v uint8) float64 {
			x := float64(v) / 255
			if x <= 0.04045 {
				return x / 12.92
			}
			return math.Pow((x+0.055)/1.055, 2.4)
		}
		return 0.2126*part(c.R) + 0.7152*part(c.G) + 0.0722*part(c.B)
	}
	x, y := light(a), light(b)
	return (max(x, y) + 0.05) / (min(x, y) + 0.05)
}

func TestContrast(t *testing.T) {
	for name, theme := range map[string]Theme{"light": Light, "dark": Dark} {
		for c := Ink; c < colours; c++ {
			least := 3.0
			switch c {
			case Ink, Muted, Blue, Green, Orange, Red: // of texts
				least = 4.5
			case Line: // only decorates
				continue
			}
			if got := contrast(theme[c], theme[Paper]); got < least {
				t.Errorf("%s %s on paper: %.2f, want %.1f", name, c.Class(), got, least)
			}
		}
	}
}
