package marketing

import (
	"fmt"
	"slices"
	"strings"

	"github.com/datameesh/datameesh/services/internal/money"
)

// Channels are the values a campaign's channel may have.
var Channels = []string{"Content", "Display", "Email", "Event", "Partner", "Search", "Social"}

// A Campaign is an effort to win leads.
type Campaign struct {
	ID      int64  `json:"campaign_id"`
	Name    string `json:"campaign_name"`
	Channel string `json:"channel"`
	// Budget and Spend are what the campaign may cost and has cost, in USD.
	Budget   money.Amount `json:"budget"`
	Spend    money.Amount `json:"spend"`
	StartsOn string       `json:"starts_on"` // YYYY-MM-DD
	EndsOn   *string      `json:"ends_on"`   // the last day, YYYY-MM-DD; null: no end is planned
}

// A NewCampaign is what somebody says of a campaign to be registered.
type NewCampaign struct {
	Name     string       `json:"campaign_name"`
	Channel  string       `json:"channel"`
	Budget   money.Amount `json:"budget"`
	Spend    money.Amount `json:"spend"`
	StartsOn string       `json:"starts_on"`
	EndsOn   string       `json:"ends_on"` // may be empty: no end is planned
}

// Validate gives what is wrong, by JSON pointer; nothing when all is right.
func (c NewCampaign) Validate() map[string]string {
	return CampaignChange{Name: &c.Name, Channel: &c.Channel, Budget: &c.Budget, Spend: &c.Spend, StartsOn: &c.StartsOn, EndsOn: &c.EndsOn}.Validate()
}

// A CampaignChange is new values for some fields; nil leaves a field as it is.
type CampaignChange struct {
	Name     *string       `json:"campaign_name"`
	Channel  *string       `json:"channel"`
	Budget   *money.Amount `json:"budget"`
	Spend    *money.Amount `json:"spend"`
	StartsOn *string       `json:"starts_on"`
	EndsOn   *string       `json:"ends_on"` // empty takes the end away
}

// Validate gives what is wrong, by JSON pointer; nothing when all is right.
func (c CampaignChange) Validate() map[string]string {
	wrong := map[string]string{}
	check := func(pointer string, value *string, problem func(string) string) {
		if value == nil {
			return
		}
		if detail := problem(*value); detail != "" {
			wrong[pointer] = detail
		}
	}
	check("/campaign_name", c.Name, func(s string) string { return text(s, 200) })
	check("/channel", c.Channel, oneOf(Channels))
	check("/starts_on", c.StartsOn, date)
	check("/ends_on", c.EndsOn, func(s string) string {
		if s == "" {
			return ""
		}
		return date(s)
	})
	if c.Budget != nil && *c.Budget < 0 {
		wrong["/budget"] = "must be at least 0"
	}
	if c.Spend != nil && *c.Spend < 0 {
		wrong["/spend"] = "must be at least 0"
	}
	// Days written YYYY-MM-DD are in the order of their text.
	if len(wrong) == 0 && c.StartsOn != nil && c.EndsOn != nil && *c.EndsOn != "" && *c.EndsOn < *c.StartsOn {
		wrong["/ends_on"] = "must not be earlier than starts_on"
	}
	return wrong
}

// Apply gives the campaign the new values; ErrConflict when it would end before
// it starts.
func (c CampaignChange) Apply(to *Campaign) error {
	if c.Name != nil {
		to.Name = *c.Name
	}
	if c.Channel != nil {
		to.Channel = *c.Channel
	}
	if c.Budget != nil {
		to.Budget = *c.Budget
	}
	if c.Spend != nil {
		to.Spend = *c.Spend
	}
	if c.StartsOn != nil {
		to.StartsOn = *c.StartsOn
	}
	if c.EndsOn != nil {
		to.EndsOn = c.EndsOn
		if *c.EndsOn == "" {
			to.EndsOn = nil
		}
	}
	if to.EndsOn != nil && *to.EndsOn < to.StartsOn {
		return fmt.Errorf("%w: campaign %d would end before it starts", ErrConflict, to.ID)
	}
	return nil
}

func oneOf(allowed []string) func(string) string {
	return func(s string) string {
		if slices.Contains(allowed, s) {
			return ""
		}
		return "must be one of " + strings.Join(allowed, ", ")
	}
}

// A CampaignFilter picks campaigns; zero fields pick all. Campaigns come in the
// order of their ids, from the one after After, at most Limit.
type CampaignFilter struct {
	Channel string
	After   int64
	Limit   int
}
