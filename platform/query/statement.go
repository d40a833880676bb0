package query

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// ErrNoStatement tells that a text holds no SQL.
var ErrNoStatement = errors.New("there is no SQL statement")

// A SeveralError tells that a text holds more than one statement.
type SeveralError struct {
	Line int // where the second one begins
}

func (e *SeveralError) Error() string {
	return fmt.Sprintf("more than one SQL statement: a second one begins on line %d; run them one by one", e.Line)
}

// routine begins a statement whose body holds semicolons of its own.
var routine = regexp.MustCompile(`(?i)^(with|create(\s+or\s+replace)?)\s+function\b`)

// Statement returns the one SQL statement of a text, without the semicolon that
// may end it. Lines keep their numbers.
func Statement(input string) (string, error) {
	end := -1    // of the statement
	start := -1  // of its first word
	second := -1 // start of another statement
	for i := 0; i < len(input); {
		n := token(input[i:])
		t := input[i : i+n]
		switch {
		case strings.TrimSpace(t) == "", strings.HasPrefix(t, "--"), strings.HasPrefix(t, "/*"):
		case t == ";" && start >= 0 && end < 0 && !routine.MatchString(input[start:]):
			end = i
		case t == ";":
		case start < 0:
			start = i
		case end >= 0 && second < 0:
			second = i
		}
		i += n
	}
	if start < 0 {
		return "", ErrNoStatement
	}
	if second >= 0 {
		return "", &SeveralError{Line: 1 + strings.Count(input[:second], "\n")}
	}
	if end < 0 {
		end = len(input)
	}
	return strings.TrimRight(strings.TrimRight(input[:end], "; \t\r\n"), "; \t\r\n"), nil
}

// token is the length of the first token of s: a comment, a quoted text, a
// semicolon, a run of white space or any other character.
func token(s string) int {
	upTo := func(end string, from int) int {
		if i := strings.Index(s[from:], end); i >= 0 {
			return from + i + len(end)
		}
		return len(s) // Trino will say what is missing
	}
	switch {
	case strings.HasPrefix(s, "--"):
		return upTo("\n", 2)
	case strings.HasPrefix(s, "/*"):
		return upTo("*/", 2)
	case s[0] == '\'', s[0] == '"':
		// A doubled quote inside makes two quoted texts of one: same extent.
		return upTo(s[:1], 1)
	default:
		return 1
	}
}
