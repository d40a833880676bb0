//go:build crash

package crash

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/datameesh/datameesh/platform/postgrestest"
)

// longVariable makes the tests do what the issue asks for in full; without
// it they do a small part of it in a minute.
const longVariable = "CRASH_TEST_LONG"

func long() bool { return os.Getenv(longVariable) != "" }

func TestMain(m *testing.M) {
	var programs []string
	for _, name := range []string{"sales-api", "sales-migrate", "sales-seed", "marketing-ingest", "marketing-migrate", "api-metrics-logger", "apimetrics-migrate"} {
		programs = append(programs, filepath.Join("../../bin", name))
	}
	os.Exit(postgrestest.Main(m, programs...))
}
