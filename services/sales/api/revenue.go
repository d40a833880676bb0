package api

import (
	"time"

	"github.com/gin-gonic/gin"

	"github.com/datameesh/datameesh/services/internal/problem"
	"github.com/datameesh/datameesh/services/internal/rest"
	"github.com/datameesh/datameesh/services/sales"
)

// maxRevenueDays bounds one answer: some four years of days for each region.
const maxRevenueDays = 1500

// revenueDays is the window when the caller names none.
const revenueDays = 30

func (s server) revenue(c *gin.Context) error {
	query := rest.Query(c)
	filter := sales.RevenueFilter{
		From:   query.Time("from"),
		To:     query.Time("to"),
		Region: query.OneOf("region", sales.Regions...),
	}
	if err := query.Err(); err != nil {
		return err
	}
	if filter.To.IsZero() {
		filter.To = time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, 1)
		if !filter.From.IsZero() {
			filter.To = filter.From.AddDate(0, 0, revenueDays)
		}
	}
	if filter.From.IsZero() {
		filter.From = filter.To.AddDate(0, 0, -revenueDays)
	}
	switch days := filter.To.Sub(filter.From).Hours() / 24; {
	case days <= 0:
		return problem.BadQuery(map[string]string{"to": "must be later than from"})
	case days > maxRevenueDays:
		return problem.BadQuery(map[string]string{"from": "must lie at most 1500 days before to"})
	}
	list, err := s.store.Revenue(c.Request.Context(), filter)
	return rest.All(c, list, err)
}
