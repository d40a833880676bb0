package seed

import (
	"github.com/brianvoe/gofakeit/v6"

	"github.com/datameesh/datameesh/services/internal/money"
	"github.com/datameesh/datameesh/services/internal/population"
	"github.com/datameesh/datameesh/services/internal/rowrand"
	"github.com/datameesh/datameesh/services/internal/seeding"
	"github.com/datameesh/datameesh/services/sales"
)

// Newcomer makes customer n (from 1) of the people, as the seeder would.
func Newcomer(people population.Population, n int64) sales.NewCustomer {
	c := maker{seeding.Params{Seed: people.Seed}, people}.customer(n)
	faker := gofakeit.NewCustom(people.Source(n))
	person := people.Person(n, faker)
	return sales.NewCustomer{Name: person.Name, Email: person.Email, Phone: faker.Phone(), Region: c.region, Segment: c.segment}
}

// Amount draws the amount of an order of today.
func Amount(segment, region string, random *rowrand.Stream) money.Amount {
	return amount(segment, region, 0, random)
}
