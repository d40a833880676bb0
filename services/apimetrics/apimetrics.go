// Package apimetrics is the API metrics domain: what the APIs served, how often, how fast and how well.
package apimetrics

import (
	"context"
	"errors"
	"strings"
	"unicode/utf8"
)

// Errors of the store, wrapped with context.
var (
	ErrUnavailable = errors.New("store unavailable")
)

// A Store keeps request logs and the metrics rolled up from them.
type Store interface {
	StoreLogs(context.Context, []Entry) error
	Logs(context.Context, LogFilter) ([]Log, error)

	Totals(context.Context, MetricFilter) ([]RouteTotal, error)
	Timeline(context.Context, MetricFilter, Step) ([]StepTotal, error)
	Ready(context.Context) error
}

// text says what is wrong with a text field; "" when nothing is.
func text(value string, maxRunes int) string {
	if strings.TrimSpace(value) == "" {
		return "must not be empty"
	}
	return optionalText(value, maxRunes)
}

// optionalText is text for a field that may be empty.
func optionalText(value string, maxRunes int) string {
	switch {
	case utf8.RuneCountInString(value) > maxRunes:
		return "is too long"
	case !utf8.ValidString(value) || strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return "holds control characters"
	}
	return ""
}
