package logging

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"go.opentelemetry.io/otel/propagation"

	"github.com/datameesh/datameesh/services/internal/requestid"
)

func TestStartLogsJSONWithTheServiceFromTheLevelUp(t *testing.T) {
	before := slog.Default()
	defer slog.SetDefault(before)
	var out bytes.Buffer
	Start(&out, "sales-api", slog.LevelInfo)
	slog.Debug("hidden")
	slog.Info("shown", "key", 1)
	var line map[string]any
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatalf("%q is not one JSON line: %v", out.String(), err)
	}
	if line["service"] != "sales-api" || line["msg"] != "shown" || line["key"] != 1.0 {
		t.Errorf("got %v", line)
	}
}

// A line that is written for a request can be found by what its caller knows.
func TestALineCarriesTheRequestAndItsTrace(t *testing.T) {
	before := slog.Default()
	defer slog.SetDefault(before)
	var out bytes.Buffer
	Start(&out, "sales-api", slog.LevelInfo)
	const trace = "4bf92f3577b34da6a3ce929d0e0e4736"
	request := httptest.NewRequest(http.MethodGet, "/", nil)
	request.Header.Set("X-Request-Id", "mine-1")
	request.Header.Set("Traceparent", "00-"+trace+"-00f067aa0ba902b7-01")
	requestid.Middleware(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		ctx := propagation.TraceContext{}.Extract(r.Context(), propagation.HeaderCarrier(r.Header))
		slog.With("key", 1).InfoContext(ctx, "shown")
	})).ServeHTTP(httptest.NewRecorder(), request)
	var line map[string]any
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatalf("%q is not one JSON line: %v", out.String(), err)
	}
	if line["request_id"] != "mine-1" || line["trace_id"] != trace || line["key"] != 1.0 {
		t.Errorf("got %v", line)
	}
}
