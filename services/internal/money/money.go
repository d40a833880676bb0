// Package money holds exact amounts of US dollars.
package money

import (
	"bytes"
	"database/sql/driver"
	"fmt"
	"strconv"
	"strings"
)

// Max is the largest amount that numeric(14,2) can hold.
const Max Amount = 999_999_999_999_99

// An Amount is a sum of money in cents, so that sums are exact. In JSON and in
// the database it is a decimal number with two digits after the point.
type Amount int64

// errNoAmount does not repeat the text: it may be anything that a caller sent.
var errNoAmount = fmt.Errorf("not an amount: write a decimal number with at most two digits after the point, from -%v to %v", Max, Max)

// Parse reads a decimal number with at most two digits after the point, such
// as "1234.5".
func Parse(s string) (Amount, error) {
	digits, negative := strings.CutPrefix(s, "-")
	whole, fraction, hasPoint := strings.Cut(digits, ".")
	if whole == "" || hasPoint && fraction == "" || len(fraction) > 2 || strings.ContainsAny(digits, "+-eE_") {
		return 0, errNoAmount
	}
	cents, err := strconv.ParseInt(whole, 10, 64)
	for i := range 2 {
		digit := int64(0)
		if i < len(fraction) {
			if digit = int64(fraction[i]) - '0'; digit < 0 || digit > 9 {
				err = strconv.ErrSyntax
			}
		}
		cents = min(cents, int64(Max))*10 + digit
	}
	if err != nil || Amount(cents) > Max {
		return 0, errNoAmount
	}
	if negative {
		cents = -cents
	}
	return Amount(cents), nil
}

// String writes the amount with two digits after the point.
func (a Amount) String() string {
	return string(a.Append(nil))
}

// Append appends String to text.
func (a Amount) Append(text []byte) []byte {
	if a < 0 {
		text, a = append(text, '-'), -a
	}
	text = strconv.AppendInt(text, int64(a/100), 10)
	return append(text, '.', '0'+byte(a%100/10), '0'+byte(a%10))
}

// MarshalJSON writes the amount as a JSON number.
func (a Amount) MarshalJSON() ([]byte, error) { return a.Append(nil), nil }

// UnmarshalJSON reads a JSON number exactly, never through a float.
func (a *Amount) UnmarshalJSON(text []byte) (err error) {
	if bytes.Equal(text, []byte("null")) {
		return nil
	}
	*a, err = Parse(string(text))
	return err
}

// Scan reads a numeric of the database (sql.Scanner).
func (a *Amount) Scan(source any) (err error) {
	text, ok := source.(string)
	if !ok {
		return fmt.Errorf("money: cannot read a %T of the database as an amount", source)
	}
	*a, err = Parse(text)
	return err
}

// Value writes the amount as a numeric of the database (driver.Valuer).
func (a Amount) Value() (driver.Value, error) { return a.String(), nil }
