// Package render draws what the panels of the generated dashboards show: as SVG for
// pages, as PNG, and as vectors into PDF, all from one display list.
package render

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/datameesh/datameesh/platform/panel"
)

// A Dashboard is what its file says about its look; its queries are those of the
// embedded one.
type Dashboard struct {
	panel.Dashboard
	FolderTitle string
	Description string
	Labels      map[string]string // of the variables, by name
	Links       []Link            // to dashboards that this one leads on to
	Rows        []Row
}

// A Link to another dashboard of the same folder of files.
type Link struct {
	UID, Title, About string
}

// A Row is panels below one title.
type Row struct {
	Title  string
	Panels []Panel
}

// A Panel is one picture with its look. Width is in columns of 24, Height in rows
// of Grafana's grid.
type Panel struct {
	panel.Panel
	Description   string
	Width, Height int
	NoValue       string // what stands where there is nothing
	Bars, Stacked bool   // of a time series
	Fill          float64
	Drill         *Drill

	field     Field
	overrides map[string]Field
}

// A Drill is what a click on a value opens: a dashboard with the range of time and
// the variables, of which Variable becomes the value of the column From.
type Drill struct {
	UID, Title     string
	Variable, From string
	Keep           []string // variables that go along
}

// A Field says how the values of a column read.
type Field struct {
	Unit     string
	Decimals *int
	Steps    []Step // colours by value; the first begins at minus infinity
	Mode     string // what the colour comes from: colourThresholds, colourPalette, colourFixed
	Fixed    Colour
	Coloured bool // the text of a table's cell has the colour
}

// Modes of a field's colour, by Grafana's names.
const (
	colourThresholds = "thresholds"
	colourPalette    = "palette-classic"
	colourFixed      = "fixed"
)

// A Step colours the values from From on.
type Step struct {
	From   float64
	Colour Colour
}

// Field is the look of the column of that name.
func (p Panel) Field(name string) Field {
	if f, ok := p.overrides[name]; ok {
		return f
	}
	return p.field
}

// drawn are the keys that a panel may have and the values that are drawn; "*" is
// any. Whatever is not here is refused by name, so that no page silently shows
// something else than Grafana would.
var drawn = map[string]map[string]string{
	"*": {
		"id": "*", "type": "*", "title": "*", "description": "*", "transparent": "false", "repeatDirection": "h",
		"gridPos.h": "*", "gridPos.w": "4 6 8 12 16 24", "gridPos.x": "*", "gridPos.y": "*",
		"datasource.type": "*", "datasource.uid": "*",
		"targets.datasource.type": "*", "targets.datasource.uid": "*", "targets.editorMode": "code", "targets.format": "table time_series",
		"targets.rawQuery": "true", "targets.rawSql": "*", "targets.refId": "A",
		"fieldConfig.defaults.unit": "*", "fieldConfig.defaults.decimals": "*", "fieldConfig.defaults.noValue": "*", "fieldConfig.defaults.color.mode": "thresholds palette-classic",
		"fieldConfig.defaults.thresholds.mode": "absolute", "fieldConfig.defaults.thresholds.steps.color": "*", "fieldConfig.defaults.thresholds.steps.value": "*",
		"fieldConfig.overrides.matcher.id": "byName", "fieldConfig.overrides.matcher.options": "*",
		"fieldConfig.overrides.properties.id":    "unit color thresholds decimals custom.cellOptions custom.displayMode",
		"fieldConfig.overrides.properties.value": "*", "fieldConfig.overrides.properties.value.mode": "absolute thresholds fixed", "fieldConfig.overrides.properties.value.type": "color-text",
		"fieldConfig.overrides.properties.value.fixedColor": "*", "fieldConfig.overrides.properties.value.steps.color": "*", "fieldConfig.overrides.properties.value.steps.value": "*",
		"fieldConfig.defaults.links.title": "*", "fieldConfig.defaults.links.url": "*", "fieldConfig.defaults.links.type": "link",
		// What links have and drill-downs have no use for.
		"fieldConfig.defaults.links.asDropdown": "false", "fieldConfig.defaults.links.icon": "", "fieldConfig.defaults.links.includeVars": "false", "fieldConfig.defaults.links.keepTime": "false",
		"fieldConfig.defaults.links.placement": "*", "fieldConfig.defaults.links.targetBlank": "false", "fieldConfig.defaults.links.tooltip": "*",
	},
	"stat": {
		"options.colorMode": "value", "options.graphMode": "none", "options.justifyMode": "auto", "options.orientation": "horizontal", "options.percentChangeColorMode": "*",
		"options.reduceOptions.calcs": "lastNotNull", "options.reduceOptions.fields": "", "options.reduceOptions.values": "false", "options.showPercentChange": "false", "options.textMode": "auto", "options.wideLayout": "*",
	},
	"timeseries": {
		"options.legend.displayMode": "list", "options.legend.placement": "bottom", "options.legend.showLegend": "true", "options.tooltip.mode": "*", "options.tooltip.sort": "*",
		"fieldConfig.defaults.custom.axisSoftMin": "0", "fieldConfig.defaults.custom.drawStyle": "line bars", "fieldConfig.defaults.custom.fillOpacity": "*", "fieldConfig.defaults.custom.lineWidth": "*",
		"fieldConfig.defaults.custom.showPoints": "never", "fieldConfig.defaults.custom.stacking.group": "A", "fieldConfig.defaults.custom.stacking.mode": "normal",
	},
	"barchart": {
		"options.legend.displayMode": "list", "options.legend.placement": "bottom", "options.legend.showLegend": "true", "options.tooltip.mode": "*", "options.tooltip.sort": "*",
		"options.barRadius": "*", "options.barWidth": "*", "options.fullHighlight": "*", "options.groupWidth": "*", "options.orientation": "horizontal", "options.showValue": "auto", "options.stacking": "none",
		"options.xTickLabelMaxLength": "0", "options.xTickLabelRotation": "0", "options.xTickLabelSpacing": "0",
		"fieldConfig.defaults.custom.axisSoftMin": "0", "fieldConfig.defaults.custom.fillOpacity": "*", "fieldConfig.defaults.custom.gradientMode": "none", "fieldConfig.defaults.custom.lineWidth": "*",
	},
	"table": {
		"options.cellHeight": "*", "options.footer.countRows": "false", "options.footer.reducer": "*", "options.footer.show": "false", "options.frameIndex": "0", "options.showHeader": "true", "options.showTypeIcons": "false",
		"fieldConfig.defaults.custom.align": "auto", "fieldConfig.defaults.custom.inspect": "false",
	},
}

type filePanel struct {
	ID          int    `json:"id"`
	Type        string `json:"type"`
	Title       string `json:"title"`
	Description string `json:"description"`
	GridPos     struct {
		W int `json:"w"`
		H int `json:"h"`
	} `json:"gridPos"`
	FieldConfig struct {
		Defaults struct {
			fileField
			NoValue string `json:"noValue"`
			Custom  struct {
				DrawStyle   string  `json:"drawStyle"`
				FillOpacity float64 `json:"fillOpacity"`
				Stacking    struct {
					Mode string `json:"mode"`
				} `json:"stacking"`
			} `json:"custom"`
			Links []struct {
				Title string `json:"title"`
				URL   string `json:"url"`
			} `json:"links"`
		} `json:"defaults"`
		Overrides []struct {
			Matcher struct {
				Options string `json:"options"`
			} `json:"matcher"`
			Properties []struct {
				ID    string          `json:"id"`
				Value json.RawMessage `json:"value"`
			} `json:"properties"`
		} `json:"overrides"`
	} `json:"fieldConfig"`
	Panels []json.RawMessage `json:"panels"` // of a collapsed row
}

type fileField struct {
	Unit       string         `json:"unit"`
	Decimals   *int           `json:"decimals"`
	Color      fileColor      `json:"color"`
	Thresholds fileThresholds `json:"thresholds"`
}

type fileColor struct {
	Mode       string `json:"mode"`
	FixedColor string `json:"fixedColor"`
}

type fileThresholds struct {
	Steps []struct {
		Color string   `json:"color"`
		Value *float64 `json:"value"`
	} `json:"steps"`
}

// Load reads the dashboards of the folder that `go run ./dashboards -out` writes, as
// panel.Load does, with their look. What it cannot draw is an error that names the
// panel and the key.
func Load(folder fs.FS) ([]Dashboard, error) {
	queries, err := panel.Load(folder)
	if err != nil {
		return nil, err
	}
	names, err := fs.Glob(folder, "dashboards/*/*.json")
	if err != nil {
		return nil, err
	}
	titles, err := folderTitles(folder)
	if err != nil {
		return nil, err
	}
	var list []Dashboard
	for i, name := range names { // in the order of panel.Load
		text, err := fs.ReadFile(folder, name)
		if err != nil {
			return nil, err
		}
		d := Dashboard{Dashboard: queries[i], FolderTitle: titles[queries[i].Folder]}
		if d.FolderTitle == "" {
			d.FolderTitle = d.Folder
		}
		if err := d.parse(text); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		list = append(list, d)
	}
	// A link to a page that is not there would be a dead end on paper and screen.
	known := func(uid string) bool {
		return slices.ContainsFunc(list, func(d Dashboard) bool { return d.UID == uid })
	}
	for _, d := range list {
		for _, l := range d.Links {
			if !known(l.UID) {
				return nil, fmt.Errorf("dashboard %q leads on to %s, which is not there", d.Title, l.UID)
			}
		}
		for _, p := range d.Panels() {
			if p.Drill != nil && !known(p.Drill.UID) {
				return nil, fmt.Errorf("panel %q of %q drills down to %s, which is not there", p.Title, d.Title, p.Drill.UID)
			}
		}
	}
	return list, nil
}

// Panels of all rows.
func (d Dashboard) Panels() []Panel {
	var all []Panel
	for _, r := range d.Rows {
		all = append(all, r.Panels...)
	}
	return all
}

func folderTitles(folder fs.FS) (map[string]string, error) {
	text, err := fs.ReadFile(folder, "provisioning/dashboards/datameesh.yaml") // JSON, see package dashboards
	if err != nil {
		return nil, err
	}
	var f struct {
		Providers []struct {
			Folder    string `json:"folder"`
			FolderUID string `json:"folderUid"`
		} `json:"providers"`
	}
	if err := json.Unmarshal(text, &f); err != nil {
		return nil, fmt.Errorf("provisioning/dashboards/datameesh.yaml: %w", err)
	}
	titles := map[string]string{}
	for _, p := range f.Providers {
		titles[p.FolderUID] = p.Folder
	}
	return titles, nil
}

func (d *Dashboard) parse(text []byte) error {
	var f struct {
		Description string `json:"description"`
		Links       []struct {
			Title   string `json:"title"`
			Tooltip string `json:"tooltip"`
			URL     string `json:"url"`
		} `json:"links"`
		Templating struct {
			List []struct {
				Name  string `json:"name"`
				Label string `json:"label"`
			} `json:"list"`
		} `json:"templating"`
		Panels []json.RawMessage `json:"panels"`
	}
	if err := json.Unmarshal(text, &f); err != nil {
		return err
	}
	d.Description, d.Labels = f.Description, map[string]string{}
	for _, v := range f.Templating.List {
		d.Labels[v.Name] = v.Label
	}
	for _, l := range f.Links {
		d.Links = append(d.Links, Link{UID: path.Base(l.URL), Title: l.Title, About: l.Tooltip})
	}
	return d.addPanels(f.Panels)
}

func (d *Dashboard) addPanels(panels []json.RawMessage) error {
	for _, raw := range panels {
		var f filePanel
		if err := json.Unmarshal(raw, &f); err != nil {
			return err
		}
		if f.Type == "row" {
			d.Rows = append(d.Rows, Row{Title: f.Title})
			if err := d.addPanels(f.Panels); err != nil {
				return err
			}
			continue
		}
		at := slices.IndexFunc(d.Dashboard.Panels, func(p panel.Panel) bool { return p.ID == f.ID })
		if at < 0 {
			return fmt.Errorf("panel %q: no queries under its id %d", f.Title, f.ID)
		}
		if len(d.Rows) == 0 {
			d.Rows = append(d.Rows, Row{})
		}
		p, err := f.panel(raw, d.Dashboard.Panels[at])
		if err != nil {
			return fmt.Errorf("panel %q: %w", f.Title, err)
		}
		row := &d.Rows[len(d.Rows)-1]
		row.Panels = append(row.Panels, p)
	}
	return nil
}

func (f filePanel) panel(raw json.RawMessage, queries panel.Panel) (Panel, error) {
	if err := check(raw, f.Type); err != nil {
		return Panel{}, err
	}
	if len(queries.Queries) != 1 {
		return Panel{}, fmt.Errorf("%d queries; one is drawn", len(queries.Queries))
	}
	defaults := f.FieldConfig.Defaults
	p := Panel{
		Panel: queries, Description: f.Description, Width: f.GridPos.W, Height: f.GridPos.H, NoValue: defaults.NoValue,
		Bars: defaults.Custom.DrawStyle == "bars", Stacked: defaults.Custom.Stacking.Mode == "normal", Fill: defaults.Custom.FillOpacity / 100,
		overrides: map[string]Field{},
	}
	var err error
	if p.field, err = defaults.field(); err != nil {
		return p, err
	}
	for _, o := range f.FieldConfig.Overrides {
		field := p.field
		for _, property := range o.Properties {
			if err := field.set(property.ID, property.Value); err != nil {
				return p, fmt.Errorf("override of %s, %s: %w", o.Matcher.Options, property.ID, err)
			}
		}
		p.overrides[o.Matcher.Options] = field
	}
	if len(defaults.Links) > 1 {
		return p, fmt.Errorf("%d links; one is drawn", len(defaults.Links))
	}
	for _, l := range defaults.Links {
		if p.Drill, err = drill(l.Title, l.URL); err != nil {
			return p, err
		}
	}
	for name, field := range maps.All(p.overrides) {
		if !knownUnit(field.Unit) {
			return p, fmt.Errorf("column %s: the unit %q is not drawn", name, field.Unit)
		}
	}
	if !knownUnit(p.field.Unit) {
		return p, fmt.Errorf("the unit %q is not drawn", p.field.Unit)
	}
	return p, nil
}

func (f fileField) field() (Field, error) {
	field := Field{Unit: f.Unit, Decimals: f.Decimals, Mode: f.Color.Mode}
	err := field.steps(f.Thresholds)
	return field, err
}

func (f *Field) steps(t fileThresholds) error {
	f.Steps = nil
	for i, s := range t.Steps {
		c, err := colourNamed(s.Color)
		if err != nil {
			return err
		}
		step := Step{Colour: c}
		if s.Value != nil {
			step.From = *s.Value
		} else if i > 0 {
			return errors.New("a threshold after the first has no value")
		}
		f.Steps = append(f.Steps, step)
	}
	return nil
}

// set is a property of an override.
func (f *Field) set(id string, value json.RawMessage) error {
	switch id {
	case "unit":
		return json.Unmarshal(value, &f.Unit)
	case "decimals":
		return json.Unmarshal(value, &f.Decimals)
	case "thresholds":
		var t fileThresholds
		if err := json.Unmarshal(value, &t); err != nil {
			return err
		}
		return f.steps(t)
	case "color":
		var c fileColor
		if err := json.Unmarshal(value, &c); err != nil {
			return err
		}
		f.Mode = c.Mode
		if c.Mode != colourFixed {
			return nil
		}
		var err error
		f.Fixed, err = colourNamed(c.FixedColor)
		return err
	case "custom.cellOptions", "custom.displayMode":
		f.Coloured = true // check lets color-text alone pass
		return nil
	}
	return errors.New("is not drawn")
}

// Colour of a value by the thresholds.
func (f Field) Colour(value float64) Colour {
	var c Colour
	for i, s := range f.Steps {
		if i == 0 || value >= s.From {
			c = s.Colour
		}
	}
	return c
}

// drill reads the address that package dashboards writes for a click.
func drill(title, address string) (*Drill, error) {
	target, query, ok := strings.Cut(address, "?")
	uid, isPage := strings.CutPrefix(target, "/d/")
	if !ok || !isPage {
		return nil, fmt.Errorf("link %q leads to %s, which is no dashboard", title, address)
	}
	d := &Drill{UID: uid, Title: title}
	for part := range strings.SplitSeq(query, "&") {
		name, isVariable := strings.CutPrefix(part, "var-")
		if isVariable {
			name, value, _ := strings.Cut(name, "=")
			from, ok := strings.CutPrefix(value, "${__data.fields.")
			if !ok || d.Variable != "" {
				return nil, fmt.Errorf("link %q: %s is no value of one column", title, part)
			}
			d.Variable, d.From = name, strings.TrimSuffix(from, "}")
			continue
		}
		switch keep, isKept := strings.CutSuffix(part, ":queryparam}"); {
		case part == "${__url_time_range}":
		case isKept && strings.HasPrefix(keep, "${"):
			d.Keep = append(d.Keep, keep[2:])
		default:
			return nil, fmt.Errorf("link %q: %s is not understood", title, part)
		}
	}
	return d, nil
}

// check finds the first key or value of the panel that is not drawn.
func check(raw json.RawMessage, kind string) error {
	own, known := drawn[kind]
	if !known || kind == "*" {
		return fmt.Errorf("panels of type %q are not drawn", kind)
	}
	var whole any
	if err := json.Unmarshal(raw, &whole); err != nil {
		return err
	}
	var walk func(place string, value any) error
	walk = func(place string, value any) error {
		switch x := value.(type) {
		case map[string]any:
			for _, key := range slices.Sorted(maps.Keys(x)) {
				if err := walk(strings.TrimPrefix(place+"."+key, "."), x[key]); err != nil {
					return err
				}
			}
			return nil
		case []any:
			for _, one := range x {
				if err := walk(place, one); err != nil {
					return err
				}
			}
			return nil
		}
		values, ok := own[place]
		if !ok {
			values, ok = drawn["*"][place]
		}
		text := fmt.Sprint(value)
		switch {
		case !ok:
			return fmt.Errorf("%s is not drawn", place)
		case values != "*" && values != text && !slices.Contains(strings.Fields(values), text):
			return fmt.Errorf("%s = %s is not drawn, only %s", place, text, values)
		}
		return nil
	}
	return walk("", whole)
}
