package rest

import (
	"encoding/json"
	"fmt"

	"go.yaml.in/yaml/v3"
)

// openAPI turns the description of an API from the YAML that people write into
// the JSON that programs read.
func openAPI(text []byte) ([]byte, error) {
	var description map[string]any
	if err := yaml.Unmarshal(text, &description); err != nil {
		return nil, fmt.Errorf("openapi.yaml: %w", err)
	}
	return json.Marshal(description)
}
