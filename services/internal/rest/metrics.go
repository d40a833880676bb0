package rest

import (
	"strconv"
	"sync"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/datameesh/datameesh/services/internal/requestlog"
)

// durations by route template, method and class of status ("2xx"): callers
// cannot make new series, whatever they send.
var durations = promauto.NewHistogramVec(prometheus.HistogramOpts{
	Name:    "http_request_duration_seconds",
	Help:    "Time to answer a request, by route template.",
	Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10},
}, []string{"method", "route", "status"})

func observe(c *gin.Context, took time.Duration) {
	method, route := requestlog.Method(c.Request.Method), c.FullPath()
	if route == "" {
		route = requestlog.Unmatched
	}
	durationOf(series{method, route, c.Writer.Status() / 100}).Observe(took.Seconds())
	span := trace.SpanFromContext(c.Request.Context())
	if span.IsRecording() {
		span.SetName(method + " " + route)
		span.SetAttributes(attribute.String("http.route", route))
	}
}

// A series is one histogram of durations.
type series struct {
	method, route string
	class         int // of status, 2 for "2xx"
}

// histograms keeps each series at hand: finding one by its labels costs more
// than observing it.
var histograms sync.Map // of series to prometheus.Observer

func durationOf(s series) prometheus.Observer {
	if known, ok := histograms.Load(s); ok {
		return known.(prometheus.Observer)
	}
	histogram := durations.WithLabelValues(s.method, s.route, strconv.Itoa(s.class)+"xx")
	histograms.Store(s, histogram)
	return histogram
}
