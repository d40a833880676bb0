package keyset

import (
	"errors"
	"testing"
)

func TestDecodeUndoesEncode(t *testing.T) {
	for _, id := range []int64{1, 42, 1 << 62} {
		got, err := Decode("/v1/things", Encode("/v1/things", id))
		if err != nil || got != id {
			t.Errorf("got %d, %v, want %d", got, err, id)
		}
	}
	if got, err := Decode("/v1/things", ""); got != 0 || err != nil {
		t.Errorf("no cursor: got %d, %v", got, err)
	}
}

func TestDecodeRefusesForeignCursors(t *testing.T) {
	for _, cursor := range []string{Encode("/v1/others", 1), "1", "%%%", Encode("/v1/things", -1), "djE6"} {
		if _, err := Decode("/v1/things", cursor); !errors.Is(err, ErrCursor) {
			t.Errorf("%q: %v", cursor, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add("list", Encode("list", 7))
	f.Add("list", "bGlzdDo3")
	f.Fuzz(func(t *testing.T, list, cursor string) {
		if id, err := Decode(list, cursor); err == nil && id < 0 {
			t.Errorf("Decode(%q, %q) = %d", list, cursor, id)
		}
	})
}
