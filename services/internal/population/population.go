// Package population computes the people whom more than one domain knows.
//
// Sales knows them as customers, marketing as leads. The domains share no code
// and no database, so both compute the same people from the same seed: a person
// is a pure function of (seed, row counts, number).
package population

import (
	"fmt"
	"math"
	"math/rand"
	"strings"
	"time"

	"github.com/datameesh/datameesh/services/internal/rowrand"
)

// History is how many days before as_of the first customer came.
const History = 900

// Shares of the leads that are customers: under exactly the customer's e-mail
// address, or under another spelling of it that lower(trim(email)) mends.
const (
	exactShare = 0.34
	messyShare = 0.03
	// distinctShare: five such leads stand for four customers; some people show
	// interest twice.
	distinctShare = 0.8
)

// Rows is the number of rows of each table.
type Rows struct {
	Customers, Orders, Leads, APILogs int64
}

// Scales are the row counts of --scale.
var Scales = map[string]Rows{
	"small": {Customers: 100, Orders: 400, Leads: 250, APILogs: 2_000},
	"demo":  {Customers: 1_000, Orders: 8_000, Leads: 2_500, APILogs: 20_000},
	"load":  {Customers: 100_000, Orders: 1_000_000, Leads: 250_000, APILogs: 500_000},
}

// A Population is all people of one seeding.
type Population struct {
	Seed int64
	Rows Rows
}

// Names makes names of people; gofakeit's Faker does.
type Names interface {
	FirstName() string
	LastName() string
}

// A Person is a customer, whether or not marketing knows them too.
type Person struct {
	Name  string
	Email string // as given: a few write capitals
}

// Source gives the random numbers from which names of customer n (from 1) are drawn.
func (p Population) Source(n int64) rand.Source64 { return rowrand.Of(p.Seed, "person", n) }

// Person gives customer n. names must draw from Source(n).
func (p Population) Person(n int64, names Names) Person {
	first, last := names.FirstName(), names.LastName()
	email := fmt.Sprintf("%s.%s%d@%s", letters(first), letters(last), n, []string{"example.com", "example.org", "example.net"}[n%3])
	if rowrand.Of(p.Seed, "person spelling", n).Float() < 0.02 {
		email = strings.ToUpper(email[:1]) + email[1:]
	}
	return Person{Name: first + " " + last, Email: email}
}

func letters(name string) string {
	return strings.Map(func(r rune) rune {
		if r < 'a' || r > 'z' {
			return -1
		}
		return r
	}, strings.ToLower(name))
}

// JoinedDaysAgo gives how many days before as_of customer n came. Customers are
// numbered in the order they came, and each year brings more than the one before.
func (p Population) JoinedDaysAgo(n int64) float64 {
	const growth = 1.6 // customers until day t grow as t^1.6
	position := (float64(n) - 0.5) / float64(max(p.Rows.Customers, 1))
	return OutsideYearEdge(History * (1 - math.Pow(position, 1/growth)))
}

// OutsideYearEdge moves an age in days out of the days 364 to 367 before as_of:
// a row there would be inside or outside "the last year" by the hour of the day
// or by a leap day, and the golden figures would not be fixed.
func OutsideYearEdge(age float64) float64 {
	switch {
	case age > 363.9 && age <= 365.5:
		return 363.9
	case age > 365.5 && age < 367.1:
		return 367.1
	}
	return age
}

// DaysBefore gives the time that lies age days before as_of (midnight UTC of a day).
func DaysBefore(asOf time.Time, age float64) time.Time {
	return asOf.Add(-time.Duration(age * 24 * float64(time.Hour))).Truncate(time.Millisecond)
}

// A Match says how a lead is related to a customer.
type Match int

// The three relations of a lead to a customer.
const (
	Stranger Match = iota // no customer
	Exact                 // exactly the customer's e-mail address
	Messy                 // another spelling of it
)

// CustomerOfLead gives the customer whom lead k (from 1) is, if any.
func (p Population) CustomerOfLead(k int64) (customer int64, match Match) {
	exact := int64(exactShare*float64(p.Rows.Leads) + 0.5)
	messy := int64(messyShare*float64(p.Rows.Leads) + 0.5)
	rank := shuffle(p.Seed, "lead rank", p.Rows.Leads, k-1)
	switch {
	case p.Rows.Customers == 0 || rank >= exact+messy:
		return 0, Stranger
	case rank < exact:
		match = Exact
	default:
		match = Messy
	}
	place := int64(float64(rank)*distinctShare) % p.Rows.Customers
	return 1 + shuffle(p.Seed, "lead customer", p.Rows.Customers, place), match
}

// shuffle gives the place of i (0 to n-1) in a fixed order of 0 to n-1: i·a+b
// modulo n is a permutation whenever a and n have no common divisor.
func shuffle(seed int64, name string, n, i int64) int64 {
	random := rowrand.Of(seed, name, n)
	a := 1 + random.Below(n)
	for gcd(a, n) != 1 {
		a = 1 + a%n
	}
	return (i*a + random.Below(n)) % n
}

func gcd(a, b int64) int64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// Newcomers gives people who come after a seeding, while a simulation with the
// seed runs: none of those that a seeding with the same seed makes.
func Newcomers(seed int64) Population {
	return Population{Seed: int64(rowrand.Of(seed, "newcomers", 0).Uint64() >> 1), Rows: Rows{Customers: 1}}
}
