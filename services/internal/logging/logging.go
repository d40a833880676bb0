// Package logging sets up the structured log of a program.
package logging

import (
	"io"
	"log/slog"
)

// Start makes JSON lines on w, each with the service's name, the default log of
// the program. level is debug, info, warn or error.
func Start(w io.Writer, service string, level slog.Level) {
	handler := slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level})
	slog.SetDefault(slog.New(handler).With("service", service))
}
