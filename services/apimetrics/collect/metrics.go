package collect

import (
	"time"

	"github.com/gin-gonic/gin"

	"github.com/datameesh/datameesh/services/apimetrics"
	"github.com/datameesh/datameesh/services/internal/problem"
	"github.com/datameesh/datameesh/services/internal/queryparam"
	"github.com/datameesh/datameesh/services/internal/rest"
)

// defaultWindow is the window when the caller names none: the time until now.
const defaultWindow = time.Hour

// maxWindow bounds what one answer has to add up, maxPoints how long it gets.
const (
	maxWindow = 31 * 24 * time.Hour
	maxPoints = 1500
)

// A window is an answer about the time From to To (excluded): whole minutes, or
// whole steps of a timeline, around what the caller asked for.
type window[T any] struct {
	From  time.Time `json:"from"`
	To    time.Time `json:"to"`
	Items []T       `json:"items"`
}

func (s server) metrics(c *gin.Context) error {
	query := rest.Query(c)
	filter, err := metricFilter(query, apimetrics.Minute)
	if err != nil {
		return err
	}
	totals, err := s.store.Totals(c.Request.Context(), filter)
	answer := window[apimetrics.Summary]{From: filter.From, To: filter.To, Items: []apimetrics.Summary{}}
	for _, t := range totals {
		answer.Items = append(answer.Items, t.Summary(filter.To.Sub(filter.From)))
	}
	return rest.OK(c, answer, err)
}

func (s server) timeline(c *gin.Context) error {
	query := rest.Query(c)
	step := apimetrics.Step(query.OneOf("step", apimetrics.StepNames...))
	if step == "" {
		step = apimetrics.Minute
	}
	filter, err := metricFilter(query, step)
	if err != nil {
		return err
	}
	if filter.To.Sub(filter.From)/step.Duration() > maxPoints {
		return problem.BadQuery(map[string]string{"step": "makes more than 1500 points; choose a longer step or a shorter window"})
	}
	totals, err := s.store.Timeline(c.Request.Context(), filter, step)
	answer := window[apimetrics.Point]{From: filter.From, To: filter.To, Items: []apimetrics.Point{}}
	for _, t := range totals {
		answer.Items = append(answer.Items, t.Point())
	}
	return rest.OK(c, answer, err)
}

// metricFilter reads the filter and widens its window to whole steps: metrics
// are kept by the minute.
func metricFilter(query *queryparam.Reader, step apimetrics.Step) (apimetrics.MetricFilter, error) {
	f := apimetrics.MetricFilter{
		Service: query.String("service"),
		Route:   query.String("route"),
		Method:  query.OneOf("method", apimetrics.Methods...),
		From:    query.Time("from"),
		To:      query.Time("to"),
	}
	if err := query.Err(); err != nil {
		return f, err
	}
	if f.To.IsZero() {
		f.To = time.Now().UTC()
		if !f.From.IsZero() {
			f.To = f.From.Add(defaultWindow)
		}
	}
	if f.From.IsZero() {
		f.From = f.To.Add(-defaultWindow)
	}
	switch asked := f.To.Sub(f.From); {
	case asked <= 0:
		return f, problem.BadQuery(map[string]string{"to": "must be later than from"})
	case asked > maxWindow:
		return f, problem.BadQuery(map[string]string{"from": "must lie at most 31 days before to"})
	}
	f.From = f.From.Truncate(step.Duration())
	if to := f.To.Truncate(step.Duration()); to.Before(f.To) {
		f.To = to.Add(step.Duration())
	}
	return f, nil
}
