package topology

// GroupReads are the folders of dashboards that a group of people sees in the built-in
// viewer and in reports; a group that is not here sees none. Links to others are left out.
var GroupReads = map[string][]string{
	"engineers":      {"sales", "marketing", "customer-journey", "api-metrics", "platform"},
	"data_science":   {"sales", "marketing", "customer-journey", "api-metrics"},
	"analysts":       {"sales", "marketing", "customer-journey", "api-metrics"},
	"executives":     {"sales", "marketing", "customer-journey"},
	"sales_team":     {"sales"},
	"marketing_team": {"marketing"},
}

// GroupSeesQueries is the group that sees the SQL behind a panel, and why one failed.
const GroupSeesQueries = "engineers"

// A WeeklyReport is mailed every Monday while the mesh runs.
type WeeklyReport struct {
	Dashboard string   // uid
	To        []string // people
}

// WeeklyReports are mailed at WeeklyHour, UTC.
var WeeklyReports = []WeeklyReport{
	{"executive-kpis", []string{"emma"}},
	{"sales-performance", []string{"sarah"}},
}

// WeeklyHour is the hour of Monday, UTC, at which they are made.
const WeeklyHour = 6
