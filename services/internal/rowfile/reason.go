package rowfile

import (
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/datameesh/datameesh/services/internal/problem"
)

// maxReason bounds a reason, in bytes: unknown fields may have names of any length.
const maxReason = 500

// Reason says in one line what is wrong with a row of the value, or the error in
// its stead; "" when all is right. It names fields, never what stands in them.
func Reason(value interface{ Validate() map[string]string }, err error) string {
	text := explain(value, err)
	if len(text) > maxReason {
		text = strings.ToValidUTF8(text[:maxReason], "") + " …"
	}
	return text
}

func explain(value interface{ Validate() map[string]string }, err error) string {
	wrong := map[string]string{}
	var p *problem.Problem
	switch {
	case errors.As(err, &p) && len(p.Fields) == 0:
		return p.Detail
	case errors.As(err, &p):
		for _, field := range p.Fields {
			wrong[field.Pointer] = field.Detail
		}
	case err != nil:
		return "the row " + err.Error()
	default:
		wrong = value.Validate()
	}
	var parts []string
	for _, pointer := range slices.Sorted(maps.Keys(wrong)) {
		name := strings.TrimPrefix(pointer, "/")
		if name == "" {
			name = "the row"
		}
		parts = append(parts, name+" "+wrong[pointer])
	}
	return strings.Join(parts, "; ")
}
