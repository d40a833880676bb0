package requestlog

import "github.com/prometheus/client_golang/prometheus"

// figures of the request log; those of one scrape are of one moment.
var figures = []struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	of   func(Counts) int64
}{
	{describe("served_total", "Requests served."), prometheus.CounterValue, func(c Counts) int64 { return c.Served }},
	{describe("stored_total", "Requests whose entry the logger confirmed."), prometheus.CounterValue, func(c Counts) int64 { return c.Stored }},
	{describe("dropped_total", "Requests whose entry is lost."), prometheus.CounterValue, func(c Counts) int64 { return c.Dropped }},
	{describe("spilled", "Entries on disk, on their way to the logger."), prometheus.GaugeValue, func(c Counts) int64 { return c.Spilled }},
	{describe("queued", "Entries in memory."), prometheus.GaugeValue, func(c Counts) int64 { return c.Queued }},
}

var spillBytes = describe("spill_bytes", "Size of the spill on disk.")

func describe(name, help string) *prometheus.Desc {
	return prometheus.NewDesc("request_log_"+name, help, nil, nil)
}

// Collector gives the counts to Prometheus: served_total is the sum of the
// other four. A nil Client has none.
func (c *Client) Collector() prometheus.Collector { return collector{c} }

type collector struct{ client *Client }

// Describe implements prometheus.Collector.
func (collector) Describe(to chan<- *prometheus.Desc) {
	for _, f := range figures {
		to <- f.desc
	}
	to <- spillBytes
}

// Collect implements prometheus.Collector.
func (c collector) Collect(to chan<- prometheus.Metric) {
	if c.client == nil {
		return
	}
	c.client.mu.Lock()
	counts, bytes := c.client.counts, int64(0)
	if c.client.spill != nil {
		bytes = c.client.spill.bytes
	}
	c.client.mu.Unlock()
	for _, f := range figures {
		to <- prometheus.MustNewConstMetric(f.desc, f.kind, float64(f.of(counts)))
	}
	to <- prometheus.MustNewConstMetric(spillBytes, prometheus.GaugeValue, float64(bytes))
}
