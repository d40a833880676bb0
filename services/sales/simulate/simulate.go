// Package simulate decides what customers do while sales-simulate runs.
package simulate

import (
	"context"
	"errors"
	"fmt"
	"net/url"

	"github.com/datameesh/datameesh/services/internal/population"
	"github.com/datameesh/datameesh/services/internal/rowrand"
	"github.com/datameesh/datameesh/services/internal/simulation"
	"github.com/datameesh/datameesh/services/sales"
	"github.com/datameesh/datameesh/services/sales/seed"
)

// Script is what sales-simulate sends: customers register, order, pay, cancel
// and are refunded.
var Script = simulation.Script{Program: "sales-simulate", Start: start}

// known bounds how many customers and open orders are remembered.
const known = 1000

// A shop is what the simulation knows of the API's data.
type shop struct {
	api       *simulation.API
	people    population.Population
	newcomers int64
	customers []sales.Customer
	pending   []sales.Order
	paid      []sales.Order
}

type page[T any] struct {
	Items []T `json:"items"`
}

func start(ctx context.Context, api *simulation.API, of int64) (simulation.Step, error) {
	s := &shop{api: api, people: population.Newcomers(of)}
	var customers page[sales.Customer]
	if err := api.Get(ctx, fmt.Sprintf("/v1/customers?limit=%d", known), &customers); err != nil {
		return nil, err
	}
	var pending page[sales.Order]
	if err := api.Get(ctx, fmt.Sprintf("/v1/orders?status=%s&limit=%d", sales.Pending, known), &pending); err != nil {
		return nil, err
	}
	s.customers, s.pending = customers.Items, pending.Items
	return s.step, nil
}

// step does one thing. In the long run there are seven orders to a new customer,
// and what is ordered is also paid for.
func (s *shop) step(ctx context.Context, random *rowrand.Stream) error {
	choice := random.Weighted(0.07, 0.49, 0.44)
	switch {
	case choice == 0 || len(s.customers) == 0:
		return s.register(ctx, random)
	case choice == 1 || len(s.pending) == 0:
		return s.order(ctx, random)
	case len(s.paid) > 0 && random.Float() < 0.06:
		return s.move(ctx, &s.paid, sales.Refunded, random)
	case random.Float() < 0.08:
		return s.move(ctx, &s.pending, sales.Cancelled, random)
	}
	return s.move(ctx, &s.pending, sales.Paid, random)
}

func (s *shop) register(ctx context.Context, random *rowrand.Stream) error {
	s.newcomers++
	newcomer := seed.Newcomer(s.people, s.newcomers)
	var customer sales.Customer
	err := s.api.Post(ctx, "customers", "/v1/customers", newcomer, &customer)
	if errors.Is(err, simulation.ErrConflict) {
		// An earlier run with this seed has registered the same person.
		var found page[sales.Customer]
		if err := s.api.Get(ctx, "/v1/customers?email="+url.QueryEscape(newcomer.Email), &found); err != nil || len(found.Items) == 0 {
			return err
		}
		customer, err = found.Items[0], nil
	}
	if err != nil {
		return err
	}
	s.customers = remember(s.customers, customer, random)
	return nil
}

func (s *shop) order(ctx context.Context, random *rowrand.Stream) error {
	customer := s.customers[random.Below(int64(len(s.customers)))]
	var order sales.Order
	err := s.api.Post(ctx, "orders", "/v1/orders", sales.NewOrder{
		CustomerID:  customer.ID,
		TotalAmount: seed.Amount(customer.Segment, customer.Region, random),
	}, &order)
	if err != nil {
		return err
	}
	s.pending = remember(s.pending, order, random)
	return nil
}

// move gives one of the orders, which then is no longer among them, a status.
func (s *shop) move(ctx context.Context, of *[]sales.Order, status sales.OrderStatus, random *rowrand.Stream) error {
	i := random.Below(int64(len(*of)))
	order := (*of)[i]
	(*of)[i] = (*of)[len(*of)-1]
	*of = (*of)[:len(*of)-1]
	err := s.api.Post(ctx, "status changes", fmt.Sprintf("/v1/orders/%d/status", order.ID), sales.StatusChange{Status: status}, &order)
	if errors.Is(err, simulation.ErrConflict) {
		return nil // somebody else was faster
	}
	if err == nil && status == sales.Paid {
		s.paid = remember(s.paid, order, random)
	}
	return err
}

// remember adds to the list, in the place of another when the list is full.
func remember[T any](list []T, value T, random *rowrand.Stream) []T {
	if len(list) < known {
		return append(list, value)
	}
	list[random.Below(known)] = value
	return list
}
