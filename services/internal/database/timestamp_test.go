package database

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgtype"
)

// timestamp reads what pgx reads, but for infinity.
func FuzzTimestamp(f *testing.F) {
	for _, micros := range []int64{0, 1, -1, 999_999, -1_000_001, 848_000_000_123_456, -946_684_800_000_001, 1<<63 - 1, -1 << 63} {
		f.Add(binary.BigEndian.AppendUint64(nil, uint64(micros)))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		got, ok := timestamp(raw)
		var want pgtype.Timestamptz
		err := pgtype.NewMap().Scan(pgtype.TimestamptzOID, pgtype.BinaryFormatCode, raw, &want)
		if finite := err == nil && want.Valid && want.InfinityModifier == pgtype.Finite; ok != finite {
			t.Fatalf("%x is read: %v, by pgx: %+v, %v", raw, ok, want, err)
		}
		if ok && (!got.Equal(want.Time) || got.Location() != time.UTC) {
			t.Fatalf("%x is read as %v, by pgx as %v", raw, got, want.Time)
		}
	})
}
