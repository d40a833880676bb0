package sales

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/datameesh/datameesh/services/internal/money"
)

// An OrderStatus is where an order is in its life.
type OrderStatus string

// The statuses of an order: pending, then paid or cancelled; a paid order may
// become refunded.
const (
	Pending   OrderStatus = "pending"
	Paid      OrderStatus = "paid"
	Cancelled OrderStatus = "cancelled"
	Refunded  OrderStatus = "refunded"
)

// OrderStatuses are all statuses, in the order of an order's life.
var OrderStatuses = []OrderStatus{Pending, Paid, Cancelled, Refunded}

// OrderStatusNames gives OrderStatuses as text.
func OrderStatusNames() []string {
	names := make([]string, len(OrderStatuses))
	for i, s := range OrderStatuses {
		names[i] = string(s)
	}
	return names
}

// MayBecome says whether an order may go from s to next. A status may always
// become itself: asking twice does no harm.
func (s OrderStatus) MayBecome(next OrderStatus) bool {
	return s == next || s == Pending && (next == Paid || next == Cancelled) || s == Paid && next == Refunded
}

// An Order is what a customer bought at once.
type Order struct {
	ID          int64        `json:"order_id"`
	CustomerID  int64        `json:"customer_id"`
	Status      OrderStatus  `json:"status"`
	TotalAmount money.Amount `json:"total_amount"`
	Currency    string       `json:"currency"`
	OrderedAt   time.Time    `json:"ordered_at"`
	UpdatedAt   time.Time    `json:"updated_at"`
}

// A NewOrder is an order to be placed; it starts as pending.
type NewOrder struct {
	CustomerID  int64        `json:"customer_id"`
	TotalAmount money.Amount `json:"total_amount"`
}

// Validate gives what is wrong, by JSON pointer; nothing when all is right.
func (o NewOrder) Validate() map[string]string {
	wrong := OrderChange{TotalAmount: &o.TotalAmount}.Validate()
	if o.CustomerID < 1 {
		wrong["/customer_id"] = "must be a positive whole number"
	}
	return wrong
}

// An OrderChange is new values for a pending order; nil leaves a field as it is.
type OrderChange struct {
	TotalAmount *money.Amount `json:"total_amount"`
}

// Validate gives what is wrong, by JSON pointer; nothing when all is right.
func (o OrderChange) Validate() map[string]string {
	wrong := map[string]string{}
	if o.TotalAmount != nil && *o.TotalAmount <= 0 {
		wrong["/total_amount"] = "must be more than 0"
	}
	return wrong
}

// Apply gives the order the new values; ErrConflict when it is no longer pending.
func (o OrderChange) Apply(to *Order) error {
	if to.Status != Pending {
		return fmt.Errorf("%w: order %d is %s; only a pending order can be changed", ErrConflict, to.ID, to.Status)
	}
	if o.TotalAmount != nil {
		to.TotalAmount = *o.TotalAmount
	}
	return nil
}

// A StatusChange asks for another status of an order.
type StatusChange struct {
	Status OrderStatus `json:"status"`
}

// Validate gives what is wrong, by JSON pointer; nothing when all is right.
func (c StatusChange) Validate() map[string]string {
	if slices.Contains(OrderStatuses, c.Status) {
		return nil
	}
	return map[string]string{"/status": "must be one of " + strings.Join(OrderStatusNames(), ", ")}
}

// Apply moves the order to the status; ErrConflict when it cannot go there.
func (c StatusChange) Apply(to *Order) error {
	if !to.Status.MayBecome(c.Status) {
		return fmt.Errorf("%w: order %d is %s and cannot become %s", ErrConflict, to.ID, to.Status, c.Status)
	}
	to.Status = c.Status
	return nil
}

// An OrderFilter picks orders; zero fields pick all. Orders come in the order
// of their ids, from the one after After, at most Limit.
type OrderFilter struct {
	CustomerID  int64
	Status      OrderStatus
	OrderedFrom time.Time
	OrderedTo   time.Time // excluded
	After       int64
	Limit       int
}
