// Package seed makes the fake campaigns and leads of the marketing domain.
package seed

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/brianvoe/gofakeit/v6"

	"github.com/datameesh/datameesh/services/internal/money"
	"github.com/datameesh/datameesh/services/internal/population"
	"github.com/datameesh/datameesh/services/internal/rowrand"
	"github.com/datameesh/datameesh/services/internal/seeding"
	"github.com/datameesh/datameesh/services/marketing"
)

// Domain is what marketing-seed seeds. The number of customers decides who of
// the leads is one; sales-seed must be given the same.
var Domain = seeding.Domain{
	Program: "marketing-seed",
	Tables: map[string]func(*population.Rows) *int64{
		"customers": func(r *population.Rows) *int64 { return &r.Customers },
		"leads":     func(r *population.Rows) *int64 { return &r.Leads },
	},
	Plan: plan,
	Load: load,
}

// leadsPerTransaction: enough for COPY to be fast and few enough to be repeated
// after an interruption.
const leadsPerTransaction = 10_000

func plan(p seeding.Params) seeding.Plan {
	m := maker{Params: p, people: p.Population()}
	return seeding.Plan{
		Tables:       []string{"campaigns", "leads"},
		Transactions: max(1, int((p.Rows.Leads+leadsPerTransaction-1)/leadsPerTransaction)),
		Transaction: func(i int) []seeding.Copy {
			from := int64(i) * leadsPerTransaction
			to := min(from+leadsPerTransaction, p.Rows.Leads)
			copies := []seeding.Copy{{Table: "leads", Columns: leadColumns, From: from + 1, To: to + 1, Row: m.leadRow}}
			if i == 0 {
				all := seeding.Copy{Table: "campaigns", Columns: campaignColumns, From: 1, To: int64(len(campaigns)) + 1, Row: m.campaignRow}
				copies = append([]seeding.Copy{all}, copies...)
			}
			return copies
		},
		Last: []string{
			`SELECT setval(pg_get_serial_sequence('campaigns', 'campaign_id'), max(campaign_id)) FROM campaigns`,
			`SELECT setval(pg_get_serial_sequence('leads', 'lead_id'), max(lead_id)) FROM leads`,
			`ANALYZE campaigns, leads`,
		},
	}
}

var (
	campaignColumns = []string{"campaign_id", "campaign_name", "channel", "budget", "spend", "starts_on", "ends_on"}
	leadColumns     = []string{"lead_id", "email", "full_name", "source", "campaign_id", "campaign_name", "status", "score", "created_at", "converted_at"}
)

// A campaign is what campaign n's row and leads are made from.
type campaign struct {
	name, channel string
	starts, ends  float64 // days before as_of; ends 0: no end is planned
	weight        float64 // how many leads it wins, beside the others that run
	budget, spend float64 // USD for each thousand leads of the seeding
	converts      float64 // how well its leads convert, beside the others'
	sources       []float64
}

// Where the leads of a campaign say so, in the order of marketing.Sources.
var (
	online    = []float64{0, 0.05, 0, 0.10, 0.85}
	atEvents  = []float64{0.75, 0.20, 0, 0, 0.05}
	byPartner = []float64{0, 0.10, 0.75, 0.05, 0.10}
)

// campaigns: three that always ran, three that came later, three with an end.
// The trade show is the flop: dear, few leads, and these hardly convert.
var campaigns = []campaign{
	{"Newsletter", "Email", 920, 0, 1.0, 12_000, 9_400, 1.0, online},
	{"Search Ads", "Search", 920, 0, 1.2, 90_000, 84_000, 1.1, online},
	{"Partner Referral", "Partner", 920, 0, 0.9, 40_000, 31_000, 1.4, byPartner},
	{"Customer Stories", "Content", 640, 0, 0.8, 25_000, 19_000, 1.0, online},
	{"Retargeting", "Display", 520, 0, 0.9, 48_000, 46_000, 0.9, online},
	{"Social Video", "Social", 420, 0, 1.0, 60_000, 52_000, 0.6, online},
	{"Product Launch", "Email", 330, 180, 3.6, 20_000, 16_000, 1.3, online},
	{"Early Access Webinar", "Event", 215, 70, 2.6, 30_000, 22_000, 1.2, atEvents},
	{"Trade Show Tour", "Event", 300, 120, 2.0, 150_000, 168_000, 0.3, atEvents},
}

func (m maker) campaignRow(n int64) []any {
	c := campaigns[n-1]
	usd := func(perThousand float64) money.Amount {
		return money.Amount(math.Round(perThousand*float64(m.Rows.Leads)/1000)) * 100
	}
	var ends any
	if c.ends > 0 {
		ends = m.AsOf.AddDate(0, 0, -int(c.ends))
	}
	return []any{n, c.name, c.channel, usd(c.budget), usd(c.spend), m.AsOf.AddDate(0, 0, -int(c.starts)), ends}
}

// running says whether the campaign runs age days before as_of.
func (c campaign) running(age float64) bool { return age <= c.starts && age >= c.ends }

// A maker makes rows; each is a pure function of the params and its number.
type maker struct {
	seeding.Params
	people population.Population
}

// A lead is what a lead's row is made from. Nothing in it depends on as_of:
// figures stay the same on every day the mesh is seeded.
type lead struct {
	customer  int64 // 0: no customer
	match     population.Match
	age       float64 // days before as_of
	oldest    float64 // the age it may not pass
	campaign  int     // index of campaigns
	status    marketing.LeadStatus
	converted float64 // days before as_of
	score     int
}

func (m maker) lead(k int64, random *rowrand.Stream) lead {
	x := lead{}
	x.customer, x.match = m.people.CustomerOfLead(k)
	x.age, x.oldest = m.age(k, x.customer, random)
	weights := make([]float64, len(campaigns))
	for i, c := range campaigns {
		if c.running(x.age) {
			weights[i] = c.weight
		}
	}
	x.campaign = random.Weighted(weights...)
	outcome := rowrand.Of(m.Seed, "outcome", k)
	x.status = status(x, outcome)
	if x.status == marketing.Converted {
		x.converted = m.convertedAge(x, outcome)
	}
	x.score = int(math.Round(min(100, max(0, meanScore[x.status]+14*outcome.Normal()))))
	return x
}

// age gives how many days before as_of lead k came, and the most that may
// become when the day is moved. Strangers come in the order of their numbers,
// more each year. Customers were leads at most 75 days before they joined,
// mostly shortly before; three in ten showed interest again while customers.
func (m maker) age(k, customer int64, random *rowrand.Stream) (age, oldest float64) {
	if customer == 0 {
		position := (float64(k) - 0.5) / float64(m.Rows.Leads)
		return population.OutsideYearEdge(population.History * (1 - math.Pow(position, 1/1.6))), population.History
	}
	joined := m.people.JoinedDaysAgo(customer)
	if random.Float() < 0.3 {
		return population.OutsideYearEdge(joined * random.Between(0.01, 1)), joined
	}
	before := min(75, population.History-joined) * math.Pow(random.Between(0.1, 1), 2)
	return population.OutsideYearEdge(joined + before), population.History
}

// status decides what became of a lead. Young leads are still on their way; of
// the older ones those of customers mostly converted.
func status(x lead, random *rowrand.Stream) marketing.LeadStatus {
	if x.age < 12 {
		return []marketing.LeadStatus{marketing.New, marketing.Contacted}[random.Weighted(0.7, 0.3)]
	}
	chance := 0.055 * campaigns[x.campaign].converts
	if x.customer > 0 {
		chance = 0.46 * campaigns[x.campaign].converts
	}
	if x.age < 30 {
		chance *= 0.4
	}
	if random.Float() < chance {
		return marketing.Converted
	}
	switch open := []marketing.LeadStatus{marketing.New, marketing.Contacted, marketing.Qualified, marketing.Lost}; {
	case x.age < 30:
		return open[random.Weighted(0.25, 0.45, 0.20, 0.10)]
	case x.age < 90:
		return open[random.Weighted(0, 0.35, 0.25, 0.40)]
	default:
		return open[random.Weighted(0, 0.10, 0.08, 0.82)]
	}
}

// meanScore of leads by what became of them.
var meanScore = map[marketing.LeadStatus]float64{
	marketing.New: 45, marketing.Contacted: 50, marketing.Qualified: 66, marketing.Converted: 78, marketing.Lost: 32,
}

// quarterHour in days: the least that lies between a lead and its conversion.
const quarterHour = 1.0 / 96

// convertedAge gives how many days before as_of the lead converted: a future
// customer on joining, others within six weeks.
func (m maker) convertedAge(x lead, random *rowrand.Stream) float64 {
	age := x.age - random.Between(1, min(42, x.age-1))
	if x.customer > 0 {
		if joined := m.people.JoinedDaysAgo(x.customer); joined <= x.age {
			age = joined
		}
	}
	return min(population.OutsideYearEdge(age), x.age-quarterHour)
}

// createdAt moves the time of a lead to a day on which leads come: fewer on
// weekends. It stays in what its age decided.
func (m maker) createdAt(x lead, random *rowrand.Stream) time.Time {
	at := population.DaysBefore(m.AsOf, x.age)
	day := at.Weekday()
	if day != time.Saturday && day != time.Sunday || random.Float() >= 0.6 {
		return at
	}
	moved := population.OutsideYearEdge(x.age + float64(2+random.Below(4)))
	if moved > x.oldest || !campaigns[x.campaign].running(moved) || period(moved) != period(x.age) {
		return at
	}
	return population.DaysBefore(m.AsOf, moved)
}

// period gives in which of the periods an age lies that figures are counted by:
// status and the conversion alert change at 12, 30, 60 and 90 days, staging ends
// at a year. Who lies in which must not depend on the weekday of as_of.
func period(age float64) int {
	period := 0
	for _, edge := range []float64{12, 30, 60, 90, 365} {
		if age >= edge {
			period++
		}
	}
	return period
}

func (m maker) leadRow(k int64) []any {
	random := rowrand.Of(m.Seed, "leads", k)
	x := m.lead(k, random)
	name, email := m.contact(k, x, random)
	c := campaigns[x.campaign]
	source := marketing.Sources[random.Weighted(c.sources...)]
	created := m.createdAt(x, random)
	var converted any
	if x.status == marketing.Converted {
		converted = population.DaysBefore(m.AsOf, x.converted)
	}
	return []any{k, email, name, source, int64(x.campaign) + 1, c.name, string(x.status), x.score, created, converted}
}

// contact gives who a lead is. Strangers write from other domains than customers.
func (m maker) contact(k int64, x lead, random *rowrand.Stream) (name, email string) {
	if x.match == population.Stranger {
		faker := gofakeit.NewCustom(rowrand.Of(m.Seed, "strangers", k))
		first, last := faker.FirstName(), faker.LastName()
		domain := []string{"mail", "office", "post"}[random.Below(3)]
		return first + " " + last, fmt.Sprintf("%s.lead%d@%s.example", strings.ToLower(first), k, domain)
	}
	person := m.people.Person(x.customer, gofakeit.NewCustom(m.people.Source(x.customer)))
	if x.match == population.Exact {
		return person.Name, person.Email
	}
	return person.Name, misspell(person.Email, random)
}

// misspell writes an address as people do who pay no heed: never as given, yet
// lower(trim()) makes them the same.
func misspell(email string, random *rowrand.Stream) string {
	switch random.Below(3) {
	case 0:
		return strings.ToUpper(email)
	case 1:
		return " " + email
	default:
		return email + "  "
	}
}
