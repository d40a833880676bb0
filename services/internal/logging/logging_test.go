package logging

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"testing"
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
