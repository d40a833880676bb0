package jupyterhub

import (
	"encoding/json"
	"fmt"
	"strings"
)

// A Notebook is a document of the format nbformat 4.
type Notebook struct {
	Cells    []Cell         `json:"cells"`
	Metadata map[string]any `json:"metadata"`
	Format   int            `json:"nbformat"`
	Minor    int            `json:"nbformat_minor"`
	Writable bool           `json:"-"` // whether its server would save it
}

// A Cell of a notebook.
type Cell struct {
	ID       string         `json:"id"`
	Type     string         `json:"cell_type"` // "code" or "markdown"
	Source   Text           `json:"source"`
	Metadata map[string]any `json:"metadata"`
	Outputs  []Output       `json:"outputs,omitempty"`
	Count    *int           `json:"execution_count,omitempty"`
}

// MarshalJSON writes the two fields that a code cell must have.
func (c Cell) MarshalJSON() ([]byte, error) {
	fields := map[string]any{"id": c.ID, "cell_type": c.Type, "source": c.Source, "metadata": c.Metadata}
	if c.Metadata == nil {
		fields["metadata"] = map[string]any{}
	}
	if c.Type == "code" {
		fields["execution_count"], fields["outputs"] = c.Count, c.Outputs
		if c.Outputs == nil {
			fields["outputs"] = []Output{}
		}
	}
	return json.Marshal(fields)
}

// Text is a string or a list of its lines, as nbformat has it.
type Text string

// UnmarshalJSON reads both.
func (t *Text) UnmarshalJSON(b []byte) error {
	var lines []string
	if err := json.Unmarshal(b, &lines); err == nil {
		*t = Text(strings.Join(lines, ""))
		return nil
	}
	var all string
	if err := json.Unmarshal(b, &all); err != nil {
		return err
	}
	*t = Text(all)
	return nil
}

// An Output of a cell.
type Output struct {
	Type      string         `json:"output_type"` // "stream", "display_data", "execute_result" or "error"
	Name      string         `json:"name,omitempty"`
	Text      Text           `json:"text,omitempty"`
	Data      map[string]any `json:"data,omitempty"` // by media type
	Metadata  map[string]any `json:"metadata,omitempty"`
	Count     *int           `json:"execution_count,omitempty"`
	ErrorName string         `json:"ename,omitempty"`
	Error     string         `json:"evalue,omitempty"`
	Traceback []string       `json:"traceback,omitempty"`
}

// A CellError is what a cell raised.
type CellError struct{ Name, Value string }

func (e *CellError) Error() string { return e.Name + ": " + e.Value }

// NewNotebook makes one of code cells.
func NewNotebook(code ...string) Notebook {
	n := Notebook{Format: 4, Minor: 5, Metadata: map[string]any{
		"kernelspec":    map[string]any{"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"},
		"language_info": map[string]any{"name": "python"},
	}}
	for i, source := range code {
		n.Cells = append(n.Cells, Cell{ID: fmt.Sprintf("cell-%d", i+1), Type: "code", Source: Text(source)})
	}
	return n
}

// Plain is what the outputs say as text: what was printed, and results without
// their pictures.
func Plain(outputs []Output) string {
	var b strings.Builder
	for _, o := range outputs {
		b.WriteString(string(o.Text))
		if text, ok := o.Data["text/plain"].(string); ok && o.Type == "execute_result" {
			b.WriteString(text + "\n")
		}
	}
	return b.String()
}
