package main

// A page is one dashboard: what it is, and its rows of panels.
type page struct {
	UID, Title string
	Folder     folder
	Product    string // data product that it shows; its tag
	About      string
	From       string // begins the range of time that it opens with
	Variables  []variable
	Links      []string // uids of the pages that it leads on to
	Rows       []row
}

// panels of all rows.
func (p page) panels() []panel {
	var all []panel
	for _, r := range p.Rows {
		all = append(all, r.Panels...)
	}
	return all
}

// A folder of dashboards in Grafana: one per domain, and the platform's.
type folder struct{ UID, Title string }

var (
	salesFolder      = folder{"sales", "Sales"}
	marketingFolder  = folder{"marketing", "Marketing"}
	journeyFolder    = folder{"customer-journey", "Customer Journey"}
	apimetricsFolder = folder{"api-metrics", "API Metrics"}
	platformFolder   = folder{"platform", "Platform"}
)

// A row is panels below one title.
type row struct {
	Title  string
	Panels []panel
}

// A panel is one picture of what one query gives.
type panel struct {
	Title, About string
	Kind         kind
	Unit         string // of the values, by Grafana's names
	Width        uint32 // of 24
	Height       uint32
	Source       source
	SQL          string
	Limits       []limit           // from these values on the colour is another
	Columns      []column          // of a table or stat that differ from Unit
	Drill        *drill            // what a click on a value opens
	Stacked      bool              // series add up
	Decimals     *float64          // nil: Grafana's choice
	Colours      map[string]string // of series by name, where the colour means something
}

// A kind is how a panel draws.
type kind string

const (
	figures    kind = "stat"       // every column of the one row
	timeSeries kind = "timeseries" // lines: column "time", and a series per number or per text
	timeBars   kind = "timebars"   // the same as bars
	bars       kind = "barchart"   // first column is the name, the others are numbers
	grid       kind = "table"
)

// A limit colours the values from From on.
type limit struct {
	From   float64
	Colour string
}

// A column says how the values of one column of a panel read.
type column struct {
	Name, Unit string
	Limits     []limit
	Hidden     bool
}

// A drill is the page that a click opens, with the range of time and the
// variables; one of them becomes the value that was clicked.
type drill struct {
	Page, Title    string
	Variable, From string // the variable takes the value of the column From
}

// A variable is a choice above the page: any of the values that a query gives.
type variable struct {
	Name, Label string
	Source      source
	SQL         string
}

// Colours that mean the same on every page.
const (
	good    = "green"
	fair    = "orange"
	bad     = "red"
	neutral = "blue"
)

func digits(n float64) *float64 { return &n }
