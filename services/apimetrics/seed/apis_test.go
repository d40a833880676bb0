package seed

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/datameesh/datameesh/services/apimetrics"
)

// The routes that requests are made up for are those that the APIs describe,
// with a status that they answer.
func TestRoutesAreThoseOfTheAPIs(t *testing.T) {
	descriptions := map[string]string{"sales-api": "sales/api", "marketing-ingest": "marketing/ingest"}
	for name, api := range apis {
		text, err := os.ReadFile(filepath.Join("..", "..", descriptions[name], "openapi.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		var description struct {
			Paths map[string]map[string]yaml.Node // also "parameters", a list
		}
		if err := yaml.Unmarshal(text, &description); err != nil {
			t.Fatal(err)
		}
		described := 0
		for _, r := range api.routes {
			if r.route == apimetrics.Unmatched {
				continue
			}
			path := strings.ReplaceAll(r.route, ":id", "{id}")
			var operation struct{ Responses map[string]any }
			if node, ok := description.Paths[path][strings.ToLower(r.method)]; ok {
				if err := node.Decode(&operation); err != nil {
					t.Fatal(err)
				}
			}
			if operation.Responses[strconv.Itoa(r.status)] == nil {
				t.Errorf("%s does not describe %s %s with the status %d", name, r.method, path, r.status)
			}
			described++
		}
		if described == 0 {
			t.Errorf("%s has no routes", name)
		}
	}
}
