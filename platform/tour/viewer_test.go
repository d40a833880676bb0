package tour

import (
	"strings"
	"testing"
)

func TestCents(t *testing.T) {
	for text, want := range map[string]string{"12": "12.00", "12.5": "12.50", "12.34": "12.34", "12.345": "12.345", "0": "0.00"} {
		if got := cents(text); got != want {
			t.Errorf("%s is %s, want %s", text, got, want)
		}
	}
}

func TestSheets(t *testing.T) {
	if got := sheets("<</Type /Page\n/Parent 1 0 R <</Type /Pages <</Type/Page /Font"); got != 2 {
		t.Errorf("%d sheets", got)
	}
}

// Without a Grafana its steps are not shown; they neither hold nor fail.
func TestWithoutGrafana(t *testing.T) {
	var notShown int
	for _, s := range Analyst(Mesh{}).Steps {
		switch s.At {
		case "08:32", "10:00", "11:00":
			found, err := s.Run(t.Context())
			if err != nil || !strings.HasPrefix(found, NotShown) {
				t.Errorf("%s: %q, %v", s.Name, found, err)
			}
			notShown++
		}
	}
	if notShown != 3 {
		t.Errorf("%d steps need a Grafana", notShown)
	}
}
