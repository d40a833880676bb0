// Package queryparam reads the query parameters of a request strictly.
package queryparam

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/datameesh/datameesh/services/internal/keyset"
	"github.com/datameesh/datameesh/services/internal/problem"
)

// Page size of a list when the caller names none, and at most.
const (
	DefaultLimit = 50
	MaxLimit     = 1000
)

// A Reader reads the parameters of one request and collects what is wrong with
// them, so that the caller hears of all mistakes at once. A parameter that
// nobody read is a mistake too.
type Reader struct {
	values url.Values
	read   map[string]bool
	wrong  map[string]string
}

// Of makes a reader of the values.
func Of(values url.Values) *Reader {
	return &Reader{values: values, read: map[string]bool{}, wrong: map[string]string{}}
}

// String gives the parameter, or "" when it is absent.
func (r *Reader) String(name string) string {
	r.read[name] = true
	given := r.values[name]
	if len(given) > 1 {
		r.wrong[name] = "is given more than once"
	}
	if len(given) == 0 {
		return ""
	}
	if given[0] == "" {
		r.wrong[name] = "is empty; leave it out instead"
	}
	if strings.ContainsRune(given[0], 0) {
		r.wrong[name] = "holds a zero byte"
	}
	return given[0]
}

// OneOf gives the parameter, which must be one of the allowed values or absent.
func (r *Reader) OneOf(name string, allowed ...string) string {
	value := r.String(name)
	if value != "" && !slices.Contains(allowed, value) {
		r.wrong[name] = "must be one of " + strings.Join(allowed, ", ")
	}
	return value
}

// ID gives the parameter as a positive whole number, or 0 when it is absent.
func (r *Reader) ID(name string) int64 {
	value := r.String(name)
	if value == "" {
		return 0
	}
	id, err := strconv.ParseInt(value, 10, 64)
	if err != nil || id < 1 {
		r.wrong[name] = "must be a positive whole number"
	}
	return id
}

// Number gives the parameter as a whole number from low to high, or 0 when it is
// absent.
func (r *Reader) Number(name string, low, high int64) int64 {
	value := r.String(name)
	if value == "" {
		return 0
	}
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil || n < low || n > high {
		r.wrong[name] = fmt.Sprintf("must be a whole number from %d to %d", low, high)
	}
	return n
}

// Time gives the parameter as an RFC 3339 time or a date (midnight UTC), in the
// years 1000 to 9999, or the zero time when it is absent.
func (r *Reader) Time(name string) time.Time {
	value := r.String(name)
	if value == "" {
		return time.Time{}
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		// The first of all years is the zero time, and the last that JSON can write
		// ends in UTC.
		if t, err := time.Parse(layout, value); err == nil && t.Year() >= 1000 && t.UTC().Year() <= 9999 {
			return t.UTC()
		}
	}
	r.wrong[name] = "must be a date (2026-11-23) or an RFC 3339 time (2026-11-23T08:30:00Z) of the years 1000 to 9999"
	return time.Time{}
}

// Limit gives the page size: DefaultLimit when absent, at most MaxLimit.
func (r *Reader) Limit() int {
	value := r.String("limit")
	if value == "" {
		return DefaultLimit
	}
	limit, err := strconv.Atoi(value)
	if err != nil || limit < 1 || limit > MaxLimit {
		r.wrong["limit"] = fmt.Sprintf("must be a whole number from 1 to %d", MaxLimit)
	}
	return limit
}

// After gives the id after which the page of the list starts; 0 for the first.
func (r *Reader) After(list string) int64 {
	id, err := keyset.Decode(list, r.String("cursor"))
	if err != nil {
		r.wrong["cursor"] = "is " + err.Error() + "; take it from next_cursor of the page before"
	}
	return id
}

// Err is nil, or the 400 that names every wrong parameter.
func (r *Reader) Err() error {
	for name := range r.values {
		if !r.read[name] {
			r.wrong[name] = "is not a parameter of this request"
		}
	}
	if len(r.wrong) == 0 {
		return nil
	}
	return problem.BadQuery(r.wrong)
}
