// Package sales is the sales domain: customers, orders, the revenue they make.
package sales

import (
	"context"
	"errors"
	"strings"
	"unicode/utf8"
)

// Errors of the store, wrapped with context.
var (
	ErrNotFound    = errors.New("not found")
	ErrConflict    = errors.New("conflict")
	ErrUnavailable = errors.New("store unavailable")
)

// A Store keeps customers and orders.
type Store interface {
	CreateCustomer(context.Context, NewCustomer) (Customer, error) // ErrConflict: e-mail known
	Customer(ctx context.Context, id int64) (Customer, error)
	Customers(context.Context, CustomerFilter) ([]Customer, error)
	// UpdateCustomer lets change change the customer, which nobody else changes meanwhile.
	UpdateCustomer(ctx context.Context, id int64, change func(*Customer) error) (Customer, error)

	CreateOrder(context.Context, NewOrder) (Order, error) // ErrNotFound: customer unknown
	Order(ctx context.Context, id int64) (Order, error)
	Orders(context.Context, OrderFilter) ([]Order, error)
	// UpdateOrder lets change change the order, which nobody else changes meanwhile.
	UpdateOrder(ctx context.Context, id int64, change func(*Order) error) (Order, error)

	Revenue(context.Context, RevenueFilter) ([]Revenue, error)
	Ready(context.Context) error
}

// text says what is wrong with a text field; "" when nothing is.
func text(value string, maxRunes int) string {
	switch {
	case strings.TrimSpace(value) == "":
		return "must not be empty"
	case utf8.RuneCountInString(value) > maxRunes:
		return "is too long"
	case !utf8.ValidString(value) || strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return "holds control characters"
	}
	return ""
}
