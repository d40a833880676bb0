package database

import (
	"encoding/binary"
	"errors"

	"github.com/datameesh/datameesh/services/internal/money"
)

var errNumeric = errors.New("not the binary form of a numeric with two digits after the point")

// amount reads the binary form of a numeric(p, 2). The sql.Scanner of an Amount gets
// it from pgx by way of a big.Int and a text, which takes as long as all other
// columns of a customer.
func amount(raw []byte) (money.Amount, error) {
	// numeric_send of PostgreSQL: number of digits, weight of the first, sign,
	// digits after the point, then the digits, to the base 10,000.
	const base, header, negative = 10_000, 8, 0x4000
	if len(raw) < header {
		return 0, errNumeric
	}
	digits, weight := int(binary.BigEndian.Uint16(raw)), int(int16(binary.BigEndian.Uint16(raw[2:])))
	sign, scale := binary.BigEndian.Uint16(raw[4:]), binary.BigEndian.Uint16(raw[6:])
	if len(raw) != header+2*digits || weight > 3 || weight < -1 && digits > 0 || sign != 0 && sign != negative || scale > 2 {
		return 0, errNumeric
	}
	digit := func(i int) int64 {
		if i < 0 || i >= digits { // zeros at either end are left out
			return 0
		}
		return int64(binary.BigEndian.Uint16(raw[header+2*i:]))
	}
	whole := int64(0)
	for i := 0; i <= weight; i++ {
		whole = whole*base + digit(i)
	}
	a := money.Amount(whole*100 + digit(weight+1)/100)
	if sign == negative {
		a = -a
	}
	return a, nil
}
