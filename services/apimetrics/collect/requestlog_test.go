package collect

import (
	"encoding/json"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/datameesh/datameesh/services/apimetrics"
	"github.com/datameesh/datameesh/services/internal/conformance"
	"github.com/datameesh/datameesh/services/internal/pgtest"
	"github.com/datameesh/datameesh/services/internal/requestlog"
)

// What the sending side of the APIs sends is stored unchanged.
func TestWhatRequestlogSendsIsStored(t *testing.T) {
	t.Parallel()
	routes := routesOn(t, pgtest.New(t, schema).URL("apimetrics_app"))
	handler := httptest.NewServer(routes.Handler())
	t.Cleanup(handler.Close)
	at := time.Now().UTC().Truncate(time.Microsecond)
	given := []requestlog.Entry{
		{ServedAt: at, Route: "/v1/orders/:id", Method: "GET", Status: 200, Duration: 1500, Bytes: 230, RequestID: "r1", KeyName: "sales-reader"},
		{ServedAt: at, Route: "/v1/<ü>", Method: "PATCH", Status: 599, Duration: 0, Bytes: 0},
		{ServedAt: at, Route: "", Method: "GET", Status: 404, Duration: 90, Bytes: 190, RequestID: "r3"},
		{ServedAt: at, Route: "/v1/orders", Method: "FOO", Status: 405, Duration: 80, Bytes: 200, RequestID: "r4"},
	}
	want := []apimetrics.Log{ // newest first
		{ID: 4, ServedAt: at, Service: "sales-api", Route: "/v1/orders", Method: "OTHER", Status: 405, Duration: 80, Bytes: 200, RequestID: "r4", KeyName: ""},
		{ID: 3, ServedAt: at, Service: "sales-api", Route: apimetrics.Unmatched, Method: "GET", Status: 404, Duration: 90, Bytes: 190, RequestID: "r3", KeyName: ""},
		{ID: 2, ServedAt: at, Service: "sales-api", Route: "/v1/<ü>", Method: "PATCH", Status: 599, Duration: 0, Bytes: 0, RequestID: "", KeyName: ""},
		{ID: 1, ServedAt: at, Service: "sales-api", Route: "/v1/orders/:id", Method: "GET", Status: 200, Duration: 1500, Bytes: 230, RequestID: "r1", KeyName: "sales-reader"},
	}
	log, err := requestlog.Start(requestlog.Config{Service: "sales-api", URL: handler.URL, Key: writer, SpillDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range given {
		log.Record(e)
	}
	log.Stop(t.Context())
	if got := log.Counts(); got != (requestlog.Counts{Served: 4, Stored: 4}) {
		t.Fatalf("%+v", got)
	}
	var got struct{ Items []apimetrics.Log }
	if err := json.Unmarshal(conformance.Serve(t, routes.Handler()).Send(reader, "GET", "/v1/logs", "").Text, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got.Items); diff != "" {
		t.Errorf("stored otherwise than sent (-want +got):\n%s", diff)
	}
}
