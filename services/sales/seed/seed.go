// Package seed makes the fake customers and orders of the sales domain.
package seed

import (
	"math"
	"sort"
	"time"

	"github.com/brianvoe/gofakeit/v6"

	"github.com/datameesh/datameesh/services/internal/money"
	"github.com/datameesh/datameesh/services/internal/population"
	"github.com/datameesh/datameesh/services/internal/rowrand"
	"github.com/datameesh/datameesh/services/internal/seeding"
	"github.com/datameesh/datameesh/services/sales"
)

// Domain is what sales-seed seeds.
var Domain = seeding.Domain{
	Program: "sales-seed",
	Tables: map[string]func(*population.Rows) *int64{
		"customers": func(r *population.Rows) *int64 { return &r.Customers },
		"orders":    func(r *population.Rows) *int64 { return &r.Orders },
	},
	Plan: plan,
	Load: load,
}

// customersPerTransaction: with their orders some ten thousand rows, enough for
// COPY to be fast and few enough to be repeated after an interruption.
const customersPerTransaction = 1000

func plan(p seeding.Params) seeding.Plan {
	m := maker{Params: p, people: p.Population()}
	if p.Rows.Customers == 0 {
		m.Rows.Orders = 0 // nobody could have ordered
	}
	return seeding.Plan{
		Tables:       []string{"customers", "orders"},
		Transactions: max(1, int((p.Rows.Customers+customersPerTransaction-1)/customersPerTransaction)),
		// A customer comes with all orders in one transaction, so revenue equals
		// the paid orders at every commit without the triggers' second write.
		Transaction: func(i int) []seeding.Copy {
			from := int64(i) * customersPerTransaction
			to := min(from+customersPerTransaction, p.Rows.Customers)
			return []seeding.Copy{
				{Table: "customers", Columns: customerColumns, From: from + 1, To: to + 1, Row: m.customerRow},
				{Table: "orders", Columns: orderColumns, From: m.firstOrder(from + 1), To: m.firstOrder(to + 1), Row: m.ordersInTurn()},
			}
		},
		Before: []string{`ALTER TABLE orders DISABLE TRIGGER USER`},
		After:  []string{`ALTER TABLE orders ENABLE TRIGGER USER`},
		Last: []string{
			`SELECT setval(pg_get_serial_sequence('customers', 'customer_id'), max(customer_id)) FROM customers`,
			`SELECT setval(pg_get_serial_sequence('orders', 'order_id'), max(order_id)) FROM orders`,
			`ANALYZE customers, orders`,
		},
	}
}

var (
	customerColumns = []string{"customer_id", "customer_name", "email", "phone", "region", "segment", "revenue", "created_at", "updated_at"}
	orderColumns    = []string{"order_id", "customer_id", "status", "total_amount", "currency", "ordered_at", "updated_at"}
)

// A maker makes rows; each is a pure function of the params and its number.
type maker struct {
	seeding.Params
	people population.Population
}

// A customer is what customer n's row and orders are made from.
type customer struct {
	joined  float64 // days before as_of
	region  string
	segment string
}

func (m maker) customer(n int64) customer {
	random := rowrand.Of(m.Seed, "customers", n)
	return customer{
		joined:  m.people.JoinedDaysAgo(n),
		region:  []string{"EMEA", "AMER", "APAC", "LATAM"}[random.Weighted(0.36, 0.34, 0.18, 0.12)],
		segment: []string{"Consumer", "Small Business", "Mid-Market", "Public Sector", "Enterprise"}[random.Weighted(0.36, 0.26, 0.18, 0.10, 0.10)],
	}
}

func (m maker) customerRow(n int64) []any {
	c := m.customer(n)
	faker := gofakeit.NewCustom(m.people.Source(n))
	person := m.people.Person(n, faker)
	phone := faker.Phone()

	created := population.DaysBefore(m.AsOf, c.joined)
	updated := created
	var revenue money.Amount
	for o := m.firstOrder(n); o < m.firstOrder(n+1); o++ {
		order := m.order(o, n, c)
		if order.status == sales.Paid {
			revenue += order.amount
		}
		if order.at.After(updated) {
			updated = order.at
		}
	}
	return []any{n, person.Name, person.Email, phone, c.region, c.segment, revenue, created, updated}
}

// firstOrder gives the number of customer n's first order; the orders up to
// customer n+1's first are n's. The bounds are moved at random by less than half
// a customer's share, so most have a few orders more or less than their like.
func (m maker) firstOrder(n int64) int64 {
	if n <= 1 {
		return 1
	}
	if n > m.Rows.Customers {
		return m.Rows.Orders + 1
	}
	place := (float64(n-1) + rowrand.Of(m.Seed, "first order", n).Between(-0.49, 0.49)) / float64(m.Rows.Customers)
	return 1 + int64(ordersUntil(place)*float64(m.Rows.Orders))
}

// ordersUntil gives the share of all orders that the first share x of all
// customers placed: who has been there longer has ordered more often. One half
// is spread evenly, the other by the time since joining (1 - x^(1/1.6), as in
// population.JoinedDaysAgo), integrated.
func ordersUntil(x float64) float64 {
	const k = 1 + 1/1.6
	return 0.5*x + 0.5*(x-math.Pow(x, k)/k)/(1-1/k)
}

// customerOf gives the customer who placed order o.
func (m maker) customerOf(o int64) int64 {
	return int64(sort.Search(int(m.Rows.Customers), func(i int) bool { return m.firstOrder(int64(i)+2) > o })) + 1
}

// medianAmount is the middle order of a segment, in USD.
var medianAmount = map[string]float64{
	"Consumer": 70, "Small Business": 240, "Mid-Market": 900, "Public Sector": 1500, "Enterprise": 3800,
}

type order struct {
	status sales.OrderStatus
	amount money.Amount
	at     time.Time
}

// order gives order o of customer n. Status and amount do not depend on as_of:
// figures of revenue stay the same on every day the mesh is seeded.
func (m maker) order(o, n int64, c customer) order {
	random := rowrand.Of(m.Seed, "orders", o)
	first := m.firstOrder(n)
	place := float64(o-first) + random.Float()
	age := c.joined * (1 - place/float64(m.firstOrder(n+1)-first)) // days before as_of

	amount := amount(c.segment, c.region, age, random)
	status := []sales.OrderStatus{sales.Paid, sales.Cancelled, sales.Refunded}[random.Weighted(0.86, 0.08, 0.06)]
	if age < 5 && random.Float() < 0.5 {
		status = sales.Pending
	}
	return order{status: status, amount: amount, at: m.orderedAt(age, c.joined, random)}
}

// amount draws the amount of an order placed age days before as_of.
func amount(segment, region string, age float64, random *rowrand.Stream) money.Amount {
	usd := medianAmount[segment] * math.Exp(0.55*random.Normal())
	if region == "LATAM" { // the region that lags, more so every month
		usd *= 0.55 + 0.35*age/population.History
	}
	return max(1, money.Amount(math.Round(usd*100)))
}

// orderedAt moves the time of an order to a day on which people order: fewer on
// weekends, more in the weeks before the turn of the year.
func (m maker) orderedAt(age, joined float64, random *rowrand.Stream) time.Time {
	best := age
	// The youngest orders stay young: some of them are still pending.
	if second := joined * random.Float(); age > 5 && random.Float() < 0.5*(season(m.AsOf, second)-season(m.AsOf, age)) {
		best = second
	}
	at := population.DaysBefore(m.AsOf, best)
	if day := at.Weekday(); (day == time.Saturday || day == time.Sunday) && random.Float() < 0.6 {
		best += float64(2 + random.Below(4))
	}
	return population.DaysBefore(m.AsOf, population.OutsideYearEdge(min(best, joined)))
}

// season gives how busy the time age days before as_of is, from -1 to 1; the
// top is on the first of December.
func season(asOf time.Time, age float64) float64 {
	day := population.DaysBefore(asOf, age).YearDay()
	return math.Cos(2 * math.Pi * float64(day-335) / 365.25)
}

// ordersInTurn gives what makes the row of an order, for a caller who takes one after
// the other: it remembers whose orders are at hand instead of looking for each one's
// customer.
func (m maker) ordersInTurn() func(o int64) []any {
	var n, next int64 // customer at hand, and the first order of the one behind
	var c customer
	return func(o int64) []any {
		if n == 0 || o < m.firstOrder(n) || o >= next {
			n = m.customerOf(o)
			c, next = m.customer(n), m.firstOrder(n+1)
		}
		x := m.order(o, n, c)
		return []any{o, n, string(x.status), x.amount, "USD", x.at, x.at}
	}
}
