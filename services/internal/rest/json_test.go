package rest

import (
	"bytes"
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/datameesh/datameesh/services/internal/money"
)

type kind string

type record struct {
	ID     int64        `json:"thing_id"`
	Name   string       `json:"name"`
	Kind   kind         `json:"kind"`
	Score  int          `json:"score"`
	Amount money.Amount `json:"amount"`
	At     time.Time    `json:"at"`
	Until  *time.Time   `json:"until"`
	Note   *string      `json:"note"`
	Good   bool         `json:"good"`
}

// odd is a resource that is left to json.Marshal.
type odd struct {
	List []int `json:"list,omitempty"`
}

// same fails unless appendJSON writes what json.Marshal writes.
func same(t *testing.T, value any) {
	t.Helper()
	want, wantErr := json.Marshal(value)
	got, err := appendJSON([]byte("before"), value)
	if (err != nil) != (wantErr != nil) {
		t.Fatalf("%+v: error %v, json.Marshal says %v", value, err, wantErr)
	}
	if err == nil && !bytes.Equal(got, append([]byte("before"), want...)) {
		t.Errorf("wrote %s, want %s", got, want)
	}
}

func TestJSONIsThatOfMarshal(t *testing.T) {
	same(t, odd{[]int{1}})
	same(t, list{Items: []odd{{}, {[]int{2}}}, NextCursor: "c"})
	same(t, list{Items: []record{}})
	same(t, map[string]int{"a": 1})
	note := `quoted "note"`
	at := time.Date(2026, 11, 23, 8, 30, 0, 123_000, time.UTC)
	elsewhere := at.In(time.FixedZone("east", 3600))
	things := []record{{}, {ID: -1, Name: "<Zoë & Jürgen>\u2028", Kind: "a", Score: 7, Amount: -12345, At: at, Until: &elsewhere, Note: &note, Good: true}}
	same(t, list{Items: things, NextCursor: "a-b"})
	same(t, things[1])
	for _, ns := range []int{0, 1, 10, 123_456_000, 999_999_999, 100_000_000} {
		same(t, record{At: time.Date(1, 1, 1, 0, 0, 0, ns, time.UTC)})
	}
	same(t, record{At: time.Date(-1, 1, 1, 0, 0, 0, 0, time.UTC)})
	same(t, record{At: time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC)})
	if writerOf(reflect.TypeFor[record]()) == nil || writerOf(reflect.TypeFor[odd]()) != nil {
		t.Error("the wrong types are left to json.Marshal")
	}
}

func FuzzJSON(f *testing.F) {
	f.Add(int64(1), "Alice", int64(1234), int64(1_700_000_000), int64(5))
	f.Add(int64(-1), "\x00\xff\"\\<>&\u2028é", int64(-1), int64(-1), int64(999_999_999))
	f.Fuzz(func(t *testing.T, id int64, name string, amount, seconds, nanoseconds int64) {
		at := time.Unix(seconds%253_402_300_800, nanoseconds).UTC()
		same(t, list{Items: []record{{ID: id, Name: name, Kind: kind(name), Amount: money.Amount(amount % int64(money.Max)), At: at, Until: &at, Note: &name}}, NextCursor: name})
	})
}
