package database

import (
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
)

// figures of the pool, each a gauge or counter of Prometheus.
var figures = []struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	of   func(*pgxpool.Stat) float64
}{
	{describe("connections", "Open connections."), prometheus.GaugeValue, func(s *pgxpool.Stat) float64 { return float64(s.TotalConns()) }},
	{describe("connections_in_use", "Connections at work."), prometheus.GaugeValue, func(s *pgxpool.Stat) float64 { return float64(s.AcquiredConns()) }},
	{describe("connections_max", "Connections that the pool may open."), prometheus.GaugeValue, func(s *pgxpool.Stat) float64 { return float64(s.MaxConns()) }},
	{describe("acquires_total", "Times a connection was asked for."), prometheus.CounterValue, func(s *pgxpool.Stat) float64 { return float64(s.AcquireCount()) }},
	{describe("acquires_waited_total", "Times none was free."), prometheus.CounterValue, func(s *pgxpool.Stat) float64 { return float64(s.EmptyAcquireCount()) }},
	{describe("acquire_seconds_total", "Time spent waiting for connections."), prometheus.CounterValue, func(s *pgxpool.Stat) float64 { return s.AcquireDuration().Seconds() }},
}

func describe(name, help string) *prometheus.Desc {
	return prometheus.NewDesc("database_pool_"+name, help, nil, nil)
}

// Collector gives the figures of the pool to Prometheus.
func (db *DB) Collector() prometheus.Collector { return collector{db} }

type collector struct{ db *DB }

// Describe implements prometheus.Collector.
func (collector) Describe(to chan<- *prometheus.Desc) {
	for _, f := range figures {
		to <- f.desc
	}
}

// Collect implements prometheus.Collector.
func (c collector) Collect(to chan<- prometheus.Metric) {
	stat := c.db.Stat()
	for _, f := range figures {
		to <- prometheus.MustNewConstMetric(f.desc, f.kind, f.of(stat))
	}
}
