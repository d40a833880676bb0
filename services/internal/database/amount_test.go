package database

import (
	"testing"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/datameesh/datameesh/services/internal/money"
)

// binaryOf gives what PostgreSQL sends for the numeric.
func binaryOf(t testing.TB, text string) []byte {
	var n pgtype.Numeric
	if err := n.Scan(text); err != nil {
		t.Fatal(err)
	}
	raw, err := pgtype.NewMap().Encode(pgtype.NumericOID, pgtype.BinaryFormatCode, n, nil)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestAmountReadsNumerics(t *testing.T) {
	for _, text := range []string{"0", "0.00", "0.01", "0.10", "0.99", "1", "1.05", "12.34", "-12.34", "-0.01", "9999.99", "10000", "10000.01", "123456789.10", "100000000", "999999999999.99", "-999999999999.99"} {
		want, err := money.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := amount(binaryOf(t, text)); err != nil || got != want {
			t.Errorf("%s: got %v, %v", text, got, err)
		}
	}
	for _, raw := range [][]byte{nil, {0, 1}, binaryOf(t, "0.005"), binaryOf(t, "NaN"), binaryOf(t, "100000000000000000000")} {
		if got, err := amount(raw); err == nil {
			t.Errorf("%x is read as %v", raw, got)
		}
	}
}

func FuzzAmount(f *testing.F) {
	for _, text := range []string{"0", "1.05", "-999999999999.99", "0.005"} {
		f.Add(binaryOf(f, text))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		a, err := amount(raw)
		if err != nil {
			return
		}
		var n pgtype.Numeric
		if err := pgtype.NewMap().Scan(pgtype.NumericOID, pgtype.BinaryFormatCode, raw, &n); err != nil {
			t.Fatalf("%x is read as %v, pgx says %v", raw, a, err)
		}
	})
}
