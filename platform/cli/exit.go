// Package cli is the command line of meesh.
package cli

import "fmt"

// Exit codes of every command.
const (
	exitDone        = 0
	exitFailed      = 1   // a check failed, or what was asked for could not be done
	exitUsage       = 2   // wrong usage
	exitUnreachable = 3   // something needed cannot be reached; mostly the mesh is not up
	exitInterrupted = 130 // Ctrl-C
)

// An exitError ends the program with a documented exit code. Any other error
// ends it with exitFailed, and an interrupted context with exitInterrupted.
type exitError struct {
	code int
	err  error // nil when a program that was run has said all there is to say
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("ended with exit code %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }
