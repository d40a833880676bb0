package seed

import (
	"fmt"
	"math"
	"strings"

	"github.com/brianvoe/gofakeit/v6"

	"github.com/datameesh/datameesh/services/internal/population"
	"github.com/datameesh/datameesh/services/internal/rowrand"
	"github.com/datameesh/datameesh/services/marketing"
)

// Newcomer makes a lead of today for a campaign of the channel. It is customer n
// of the people, or a stranger when n is 0. Some people write their address
// in another spelling.
func Newcomer(people population.Population, n int64, channel string, random *rowrand.Stream) marketing.NewLead {
	lead := marketing.NewLead{
		Source: marketing.Sources[random.Weighted(sources(channel)...)],
		Score:  int(math.Round(min(100, max(0, meanScore[marketing.New]+14*random.Normal())))),
	}
	if n == 0 {
		faker := gofakeit.NewCustom(random)
		first, last := faker.FirstName(), faker.LastName()
		lead.FullName = first + " " + last
		lead.Email = fmt.Sprintf("%s.%s%d@%s.example", strings.ToLower(first), strings.ToLower(last), random.Below(1e6), []string{"mail", "office", "post"}[random.Below(3)])
		return lead
	}
	person := people.Person(n, gofakeit.NewCustom(people.Source(n)))
	lead.FullName, lead.Email = person.Name, person.Email
	if random.Float() < 0.08 {
		lead.Email = misspell(lead.Email, random)
	}
	return lead
}

// sources gives the weights of marketing.Sources for the leads of a channel.
func sources(channel string) []float64 {
	switch channel {
	case "Event":
		return atEvents
	case "Partner":
		return byPartner
	}
	return online
}
