package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	"github.com/grafana/grafana-foundation-sdk/go/cog/variants"
	"github.com/grafana/grafana-foundation-sdk/go/common"
)

// A query of Grafana's PostgreSQL data source, which the SDK does not have.
type query struct {
	RefID      string                `json:"refId"`
	Datasource *common.DataSourceRef `json:"datasource"`
	Format     string                `json:"format"` // "table" or "time_series"
	EditorMode string                `json:"editorMode"`
	RawQuery   bool                  `json:"rawQuery"`
	RawSQL     string                `json:"rawSql"`
}

func (query) ImplementsDataqueryVariant() {}

// DataqueryType is the id of the data source's plugin.
func (query) DataqueryType() string { return dataSourceType }

// Validate finds nothing: the SQL is executed by the tests.
func (query) Validate() error { return nil }

// Equals compares with another query.
func (q query) Equals(other variants.Dataquery) bool {
	o, ok := other.(query)
	return ok && reflect.DeepEqual(q, o)
}

// Build makes the query its own builder.
func (q query) Build() (variants.Dataquery, error) { return q, nil }

func newQuery(s source, format, sql string) query {
	ref := s.ref()
	return query{RefID: "A", Datasource: &ref, Format: format, EditorMode: "code", RawQuery: true, RawSQL: sql}
}

func (s source) ref() common.DataSourceRef {
	return common.DataSourceRef{Type: cog.ToPtr(dataSourceType), Uid: cog.ToPtr(s.UID)}
}

// register teaches the SDK to read the queries, for strict decoding.
func register() {
	plugins.RegisterDefaultPlugins()
	decode := func(raw []byte) (variants.Dataquery, error) {
		var q query
		decoder := json.NewDecoder(bytes.NewReader(raw))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&q); err != nil {
			return nil, fmt.Errorf("a query of %s: %w", dataSourceType, err)
		}
		return q, nil
	}
	cog.NewRuntime().RegisterDataqueryVariant(variants.DataqueryConfig{
		Identifier: dataSourceType, DataqueryUnmarshaler: decode, StrictDataqueryUnmarshaler: decode,
	})
}
