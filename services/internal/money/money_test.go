package money

import (
	"encoding/json"
	"testing"
)

func TestParseIsExact(t *testing.T) {
	for text, want := range map[string]Amount{
		"0": 0, "1": 100, "1.5": 150, "1.05": 105, "-0.01": -1, "0.29": 29, "999999999999.99": Max,
	} {
		if got, err := Parse(text); err != nil || got != want {
			t.Errorf("Parse(%q) = %d, %v, want %d", text, got, err, want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, text := range []string{"", ".", "1.", ".5", "1.005", "1e3", "0x10", "1_000", "+1", "--1", "1000000000000", "NaN", "12a", "99999999999999999999"} {
		if got, err := Parse(text); err == nil {
			t.Errorf("Parse(%q) = %v", text, got)
		}
	}
}

func TestStringAndJSONUndoParse(t *testing.T) {
	for _, a := range []Amount{0, 1, -1, 99, 100, -12345, Max} {
		if got, err := Parse(a.String()); err != nil || got != a {
			t.Errorf("%v became %v, %v", a, got, err)
		}
		text, err := json.Marshal(a)
		if err != nil {
			t.Fatal(err)
		}
		var got Amount
		if err := json.Unmarshal(text, &got); err != nil || got != a {
			t.Errorf("%s became %v, %v", text, got, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("1234.50")
	f.Add("-0.01")
	f.Fuzz(func(t *testing.T, text string) {
		a, err := Parse(text)
		if err != nil {
			return
		}
		if again, err := Parse(a.String()); err != nil || again != a {
			t.Errorf("Parse(%q) = %v, which reads as %v, %v", text, a, again, err)
		}
	})
}
