// Package keyset makes the opaque cursors of keyset pages.
//
// A page continues after the last row seen instead of skipping a number of
// rows, so the last page costs as much as the first, and rows inserted during
// a walk never move old ones to another page (Markus Winand, "We need tool
// support for keyset pagination", use-the-index-luke.com/no-offset).
package keyset

import (
	"encoding/base64"
	"errors"
	"strconv"
	"strings"
)

// ErrCursor says that a cursor was not made by this service for this list.
var ErrCursor = errors.New("not a cursor of this list")

// Encode makes the cursor that continues list after the row with the id.
func Encode(list string, id int64) string {
	return base64.RawURLEncoding.EncodeToString([]byte(list + ":" + strconv.FormatInt(id, 10)))
}

// Decode gives the id after which the page starts; 0 for an empty cursor. A
// cursor of another list or a damaged one is ErrCursor.
func Decode(list, cursor string) (int64, error) {
	if cursor == "" {
		return 0, nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil {
		return 0, ErrCursor
	}
	digits, ok := strings.CutPrefix(string(raw), list+":")
	if !ok {
		return 0, ErrCursor
	}
	id, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || id < 0 {
		return 0, ErrCursor
	}
	return id, nil
}
