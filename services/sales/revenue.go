package sales

import (
	"time"

	"github.com/datameesh/datameesh/services/internal/money"
)

// A Revenue is what one region sold on one day: the paid orders by the day
// (UTC) they were placed.
type Revenue struct {
	Day     string       `json:"day"` // YYYY-MM-DD
	Region  string       `json:"region"`
	Orders  int64        `json:"orders"`
	Revenue money.Amount `json:"revenue"`
}

// A RevenueFilter picks days From to To (excluded) and, unless empty, a region.
type RevenueFilter struct {
	From, To time.Time
	Region   string
}
