package main

import (
	"fmt"
	"hash/fnv"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/grafana/grafana-foundation-sdk/go/barchart"
	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/cog/variants"
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/stat"
	"github.com/grafana/grafana-foundation-sdk/go/table"
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"
)

// build makes Grafana's model of the page: the classic one, which every server
// reads from files. The newer one, dashboardv2, is for the HTTP interface of
// Grafana 12 and later.
func (p page) build() (dashboard.Dashboard, error) { //nolint:staticcheck // see above
	if err := p.check(); err != nil {
		return dashboard.Dashboard{}, err //nolint:staticcheck // see above
	}
	b := dashboard.NewDashboardBuilder(p.Title).Uid(p.UID).Description(p.About). //nolint:staticcheck // see above
											Tags([]string{"datameesh", p.Product}).
											Timezone("utc").Time(p.From, "now").Refresh("5m").Readonly().
											Tooltip(dashboard.DashboardCursorSyncCrosshair)
	for _, v := range p.Variables {
		b.WithVariable(v.build())
	}
	for _, uid := range p.Links {
		to := pageOf(uid)
		b.Link(dashboard.NewDashboardLinkBuilder(to.Title).Type(dashboard.DashboardLinkTypeLink).
			Url("/d/" + to.UID).Tooltip(to.About).KeepTime(true).IncludeVars(true))
	}
	for _, r := range p.Rows {
		b.WithRow(dashboard.NewRowBuilder(r.Title).Id(id(p.UID, r.Title, "row")))
		for _, one := range r.Panels {
			b.WithPanel(one.build(p.UID))
		}
	}
	return b.Build()
}

// check finds what a page must not lack.
func (p page) check() error {
	missing := func(what, of string) error {
		return fmt.Errorf("dashboard %q: %s has no %s", p.Title, of, what)
	}
	seen := map[uint32]string{}
	for _, r := range p.Rows {
		var width uint32
		for _, one := range r.Panels {
			switch {
			case one.Title == "":
				return missing("title", "a panel of row "+r.Title)
			case one.About == "":
				return missing("description", "panel "+one.Title)
			case one.Unit == "":
				return missing("unit", "panel "+one.Title)
			case one.Drill != nil && one.Drill.Variable != "" && !pageOf(one.Drill.Page).has(one.Drill.Variable):
				return fmt.Errorf("dashboard %q: panel %s drills down to %s by the variable %s, which it does not have", p.Title, one.Title, one.Drill.Page, one.Drill.Variable)
			}
			if other, taken := seen[id(p.UID, one.Title, "panel")]; taken {
				return fmt.Errorf("dashboard %q: the panels %q and %q have the same id; change a title", p.Title, one.Title, other)
			}
			seen[id(p.UID, one.Title, "panel")] = one.Title
			width += one.Width
		}
		if width%24 != 0 {
			return fmt.Errorf("dashboard %q: the panels of row %s are %d wide, not a multiple of 24", p.Title, r.Title, width)
		}
	}
	return nil
}

func (p page) has(name string) bool {
	return slices.ContainsFunc(p.Variables, func(v variable) bool { return v.Name == name })
}

// id gives the panel an id that stays when others come, go or move: alerts and
// links name it.
func id(page, title, what string) uint32 {
	sum := fnv.New32a()
	fmt.Fprintf(sum, "%s\n%s\n%s", page, title, what)
	return sum.Sum32()%1_000_000 + 1
}

func (v variable) build() *dashboard.QueryVariableBuilder {
	return dashboard.NewQueryVariableBuilder(v.Name).Label(v.Label).Datasource(v.Source.ref()).
		Query(dashboard.StringOrMap{String: cog.ToPtr(text(v.SQL))}).
		Refresh(dashboard.VariableRefreshOnTimeRangeChanged).
		Multi(true).IncludeAll(true).
		Current(dashboard.VariableOption{
			Selected: cog.ToPtr(true),
			Text:     dashboard.StringOrArrayOfString{ArrayOfString: []string{"All"}},
			Value:    dashboard.StringOrArrayOfString{ArrayOfString: []string{"$__all"}},
		})
}

// A builder of the SDK: those of all kinds of panels have these methods, but no
// type in common.
type builder[B any] interface {
	cog.Builder[dashboard.Panel]
	Id(uint32) B
	Title(string) B
	Description(string) B
	Span(uint32) B
	Height(uint32) B
	Datasource(common.DataSourceRef) B
	WithTarget(cog.Builder[variants.Dataquery]) B
	Unit(string) B
	NoValue(string) B
	Thresholds(cog.Builder[dashboard.ThresholdsConfig]) B
	OverrideByName(string, []dashboard.DynamicConfigValue) B
	DataLinks([]cog.Builder[dashboard.DashboardLink]) B
}

// fill sets what a panel has of whatever kind it is.
func fill[B builder[B]](b B, p panel, page, format, empty string) B {
	b.Id(id(page, p.Title, "panel")).Title(p.Title).Description(p.About).Span(p.Width).Height(p.Height).
		Datasource(p.Source.ref()).WithTarget(newQuery(p.Source, format, text(p.SQL))).
		Unit(p.Unit).NoValue(empty).Thresholds(thresholds(p.Limits))
	for _, c := range p.Columns {
		b.OverrideByName(c.Name, c.properties())
	}
	for _, name := range slices.Sorted(maps.Keys(p.Colours)) {
		b.OverrideByName(name, fixedColour(p.Colours[name]))
	}
	if p.Drill != nil {
		b.DataLinks([]cog.Builder[dashboard.DashboardLink]{p.Drill.link()})
	}
	return b
}

func (p panel) build(page string) cog.Builder[dashboard.Panel] {
	const noFigure, noPicture = "–", "nothing in this range of time"
	legend := common.NewVizLegendOptionsBuilder().ShowLegend(true).DisplayMode(common.LegendDisplayModeList).Placement(common.LegendPlacementBottom)
	tooltip := common.NewVizTooltipOptionsBuilder().Mode(common.TooltipDisplayModeMulti).Sort(common.SortOrderDescending)
	palette := dashboard.NewFieldColorBuilder().Mode(dashboard.FieldColorModeIdPaletteClassic)
	switch p.Kind {
	case figures:
		return fill(stat.NewPanelBuilder(), p, page, "table", noFigure).
			ColorScheme(dashboard.NewFieldColorBuilder().Mode(dashboard.FieldColorModeIdThresholds)).
			GraphMode(common.BigValueGraphModeNone).ColorMode(common.BigValueColorModeValue).
			TextMode(common.BigValueTextModeAuto).Orientation(common.VizOrientationHorizontal).
			ReduceOptions(common.NewReduceDataOptionsBuilder().Calcs([]string{"lastNotNull"}).Fields("").Values(false))
	case timeSeries, timeBars:
		b := fill(timeseries.NewPanelBuilder(), p, page, "time_series", noPicture).
			ColorScheme(palette).Legend(legend).Tooltip(tooltip).
			AxisSoftMin(0).LineWidth(2).ShowPoints(common.VisibilityModeNever).FillOpacity(8)
		if p.Kind == timeBars {
			b.DrawStyle(common.GraphDrawStyleBars).LineWidth(0).FillOpacity(80)
		}
		if p.Stacked {
			b.Stacking(common.NewStackingConfigBuilder().Mode(common.StackingModeNormal).Group("A"))
		}
		return b
	case bars:
		return fill(barchart.NewPanelBuilder(), p, page, "table", noPicture).
			ColorScheme(palette).Legend(legend).Tooltip(tooltip).
			Orientation(common.VizOrientationHorizontal).
			ShowValue(common.VisibilityModeAuto).Stacking(common.StackingModeNone).FillOpacity(80).LineWidth(0).AxisSoftMin(0)
	case grid:
		return fill(table.NewPanelBuilder(), p, page, "table", noFigure).
			ShowHeader(true).CellHeight(common.TableCellHeightSm).
			Footer(common.NewTableFooterOptionsBuilder().Show(false).Reducer([]string{"sum"}).CountRows(false))
	}
	panic("dashboards: no panel draws as " + string(p.Kind))
}

func (d drill) link() *dashboard.DashboardLinkBuilder {
	to := pageOf(d.Page)
	address := "/d/" + to.UID + "?${__url_time_range}"
	for _, v := range to.Variables {
		if v.Name == d.Variable {
			address += "&var-" + v.Name + "=${__data.fields." + url.PathEscape(d.From) + "}"
		} else {
			address += "&${" + v.Name + ":queryparam}"
		}
	}
	return dashboard.NewDashboardLinkBuilder(d.Title).Type(dashboard.DashboardLinkTypeLink).Url(address)
}

func (c column) properties() []dashboard.DynamicConfigValue {
	var list []dashboard.DynamicConfigValue
	if c.Unit != "" {
		list = append(list, dashboard.DynamicConfigValue{Id: "unit", Value: c.Unit})
	}
	if len(c.Limits) > 0 {
		built, err := thresholds(c.Limits).Build()
		if err != nil {
			panic(err) // thresholds are made of constants
		}
		list = append(list,
			dashboard.DynamicConfigValue{Id: "thresholds", Value: built},
			dashboard.DynamicConfigValue{Id: "color", Value: map[string]string{"mode": "thresholds"}},
			// Cells of a table take the colour; old servers know displayMode only.
			dashboard.DynamicConfigValue{Id: "custom.cellOptions", Value: map[string]string{"type": "color-text"}},
			dashboard.DynamicConfigValue{Id: "custom.displayMode", Value: "color-text"})
	}
	return list
}

func fixedColour(name string) []dashboard.DynamicConfigValue {
	return []dashboard.DynamicConfigValue{{Id: "color", Value: map[string]string{"mode": "fixed", "fixedColor": name}}}
}

// thresholds are one neutral colour without limits.
func thresholds(limits []limit) *dashboard.ThresholdsConfigBuilder {
	steps := []dashboard.Threshold{{Color: neutral}}
	for i, l := range limits {
		step := dashboard.Threshold{Value: cog.ToPtr(l.From), Color: l.Colour}
		if i == 0 {
			step.Value = nil // the first begins at minus infinity
			steps = steps[:0]
		}
		steps = append(steps, step)
	}
	return dashboard.NewThresholdsConfigBuilder().Mode(dashboard.ThresholdsModeAbsolute).Steps(steps)
}

// text takes the indentation of the Go file off the SQL.
func text(sql string) string {
	lines := strings.Split(strings.Trim(sql, "\n"), "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " \t")
	}
	indent := len(lines[0]) - len(strings.TrimLeft(lines[0], "\t"))
	for i, l := range lines {
		lines[i] = strings.TrimPrefix(l, strings.Repeat("\t", indent))
	}
	return strings.Join(lines, "\n")
}
