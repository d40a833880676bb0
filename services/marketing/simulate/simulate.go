// Package simulate decides what leads do while marketing-simulate runs.
package simulate

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/datameesh/datameesh/services/internal/population"
	"github.com/datameesh/datameesh/services/internal/rowrand"
	"github.com/datameesh/datameesh/services/internal/simulation"
	"github.com/datameesh/datameesh/services/marketing"
	"github.com/datameesh/datameesh/services/marketing/seed"
)

// Script is what marketing-simulate sends: leads come in, are contacted, and
// convert or get lost.
var Script = simulation.Script{Program: "marketing-simulate", Start: start}

// known bounds how many open leads are remembered.
const known = 1000

// Some of the leads are people who register as customers in a simulation of
// sales that runs at the same rate with the same seed: newcomersPerLead leads
// for a new customer, as weights of both scripts say.
const (
	customerShare    = 0.34
	newcomersPerLead = 0.07 / 0.55
)

// A market is what the simulation knows of the API's data.
type market struct {
	api       *simulation.API
	people    population.Population
	campaigns []marketing.Campaign
	leads     int64 // that came in so far
	open      []marketing.Lead
}

type page[T any] struct {
	Items []T `json:"items"`
}

func start(ctx context.Context, api *simulation.API, of int64) (simulation.Step, error) {
	m := &market{api: api, people: population.Newcomers(of)}
	var campaigns page[marketing.Campaign]
	if err := api.Get(ctx, "/v1/campaigns?limit=1000", &campaigns); err != nil {
		return nil, err
	}
	today := time.Now().UTC().Format(time.DateOnly)
	for _, c := range campaigns.Items {
		if c.StartsOn <= today && (c.EndsOn == nil || *c.EndsOn >= today) {
			m.campaigns = append(m.campaigns, c)
		}
	}
	if len(m.campaigns) == 0 {
		return nil, errors.New("no campaign runs today, so no lead can come in; add one with POST /v1/campaigns, or seed the database")
	}
	for _, status := range []marketing.LeadStatus{marketing.New, marketing.Contacted, marketing.Qualified} {
		var leads page[marketing.Lead]
		if err := api.Get(ctx, fmt.Sprintf("/v1/leads?status=%s&limit=%d", status, known/3), &leads); err != nil {
			return nil, err
		}
		m.open = append(m.open, leads.Items...)
	}
	return m.step, nil
}

func (m *market) step(ctx context.Context, random *rowrand.Stream) error {
	if random.Float() < 0.55 || len(m.open) == 0 {
		return m.take(ctx, random)
	}
	return m.follow(ctx, random)
}

// take takes in a lead.
func (m *market) take(ctx context.Context, random *rowrand.Stream) error {
	m.leads++
	var customer int64
	if random.Float() < customerShare {
		customer = 1 + int64(float64(m.leads)*newcomersPerLead)
	}
	campaign := m.campaigns[random.Below(int64(len(m.campaigns)))]
	newcomer := seed.Newcomer(m.people, customer, campaign.Channel, random)
	newcomer.CampaignID = campaign.ID
	var lead marketing.Lead
	if err := m.api.Post(ctx, "leads", "/v1/leads", newcomer, &lead); err != nil {
		return err
	}
	m.remember(lead, random)
	return nil
}

// follow moves an open lead to its next status. Some 22 of 100 leads convert.
func (m *market) follow(ctx context.Context, random *rowrand.Stream) error {
	i := random.Below(int64(len(m.open)))
	lead := m.open[i]
	m.open[i] = m.open[len(m.open)-1]
	m.open = m.open[:len(m.open)-1]
	next := marketing.Lost
	switch {
	case lead.Status == marketing.New && random.Float() < 0.8:
		next = marketing.Contacted
	case lead.Status == marketing.Contacted && random.Float() < 0.5:
		next = marketing.Qualified
	case lead.Status == marketing.Qualified && random.Float() < 0.55:
		next = marketing.Converted
	}
	err := m.api.Post(ctx, "status changes", fmt.Sprintf("/v1/leads/%d/status", lead.ID), marketing.StatusChange{Status: next}, &lead)
	if errors.Is(err, simulation.ErrConflict) {
		return nil // somebody else was faster
	}
	if err == nil && (next == marketing.Contacted || next == marketing.Qualified) {
		m.remember(lead, random)
	}
	return err
}

// remember keeps an open lead, in the place of another when there are many.
func (m *market) remember(lead marketing.Lead, random *rowrand.Stream) {
	if len(m.open) < known {
		m.open = append(m.open, lead)
		return
	}
	m.open[random.Below(known)] = lead
}
