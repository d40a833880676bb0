package population

import (
	"strings"
	"testing"
	"time"
)

type names struct{}

func (names) FirstName() string { return "Zoë-Ann" }
func (names) LastName() string  { return "O'Hara" }

func all() []Population {
	var list []Population
	for _, rows := range Scales {
		list = append(list, Population{Seed: 42, Rows: rows}, Population{Seed: 7, Rows: rows})
	}
	return append(list, Population{Seed: 1, Rows: Rows{Customers: 1, Leads: 10}}, Population{Seed: 1, Rows: Rows{Leads: 10}})
}

func TestEverySeedingHasTheSameShareOfKnownLeads(t *testing.T) {
	for _, p := range all() {
		if p.Rows.Customers == 0 {
			continue
		}
		var count [3]int64
		for k := int64(1); k <= p.Rows.Leads; k++ {
			n, match := p.CustomerOfLead(k)
			count[match]++
			if (match == Stranger) != (n == 0) || n > p.Rows.Customers {
				t.Fatalf("lead %d is customer %d, match %d", k, n, match)
			}
		}
		if want := (p.Rows.Leads*34 + 50) / 100; count[Exact] != want {
			t.Errorf("%+v: %d exact matches, want %d", p, count[Exact], want)
		}
	}
}

func TestNoCustomersNoMatches(t *testing.T) {
	p := Population{Seed: 1, Rows: Rows{Leads: 5}}
	for k := int64(1); k <= 5; k++ {
		if n, match := p.CustomerOfLead(k); n != 0 || match != Stranger {
			t.Errorf("lead %d is customer %d", k, n)
		}
	}
}

func TestAddressesAreDistinctAndReserved(t *testing.T) {
	p := Population{Seed: 42, Rows: Scales["demo"]}
	seen := map[string]bool{}
	capitals := 0
	for n := int64(1); n <= p.Rows.Customers; n++ {
		email := p.Person(n, names{}).Email
		if lower := strings.ToLower(email); seen[lower] {
			t.Errorf("%s twice", email)
		} else {
			seen[lower] = true
			if lower != email {
				capitals++
			}
		}
		if _, domain, _ := strings.Cut(email, "@"); !strings.HasPrefix(domain, "example.") {
			t.Errorf("%s is not in a domain reserved for examples (RFC 2606)", email)
		}
	}
	if capitals == 0 {
		t.Error("nobody writes capitals")
	}
	if !seen["zoann.ohara1@example.org"] {
		t.Error("letters outside a to z were not left out")
	}
}

func TestCustomersComeInOrderAndNotAtTheEdgeOfTheYear(t *testing.T) {
	for _, p := range all() {
		before := float64(History) + 1
		for n := int64(1); n <= p.Rows.Customers; n++ {
			age := p.JoinedDaysAgo(n)
			if age > before || age <= 0 || age > 364 && age < 367 {
				t.Fatalf("%+v: customer %d came %v days ago, the one before %v", p, n, age, before)
			}
			before = age
		}
	}
}

func TestDaysBefore(t *testing.T) {
	asOf := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	if got := DaysBefore(asOf, 1.5); !got.Equal(time.Date(2026, 2, 27, 12, 0, 0, 0, time.UTC)) {
		t.Errorf("got %v", got)
	}
}
