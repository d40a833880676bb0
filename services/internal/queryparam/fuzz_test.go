package queryparam

import (
	"errors"
	"net/url"
	"slices"
	"testing"

	"github.com/datameesh/datameesh/services/internal/problem"
)

// Without an error every value is within its bounds; an error is a 400.
func FuzzReader(f *testing.F) {
	for _, query := range []string{"", "region=EMEA&id=7&from=2026-11-23&limit=5&cursor=bGlzdDo5", "id=0", "id=1&id=2", "limit=-1", "limit=NaN", "from=0000-01-01", "from=10000-01-01", "unknown=1", "region=%00", "cursor=%%%", "id=%EF%BC%91"} {
		f.Add(query)
	}
	f.Fuzz(func(t *testing.T, query string) {
		values, err := url.ParseQuery(query)
		if err != nil {
			return // net/http refuses it
		}
		r := Of(values)
		id, region, limit, after, from := r.ID("id"), r.OneOf("region", "AMER", "EMEA"), r.Limit(), r.After("list"), r.Time("from")
		err = r.Err()
		if err == nil {
			if id < 0 || limit < 1 || limit > MaxLimit || after < 0 || !slices.Contains([]string{"", "AMER", "EMEA"}, region) || !from.IsZero() && (from.Year() < 999 || from.Year() > 9999) {
				t.Errorf("%q gives id %d, region %q, limit %d, after %d, from %v", query, id, region, limit, after, from)
			}
			return
		}
		var p *problem.Problem
		if !errors.As(err, &p) || p.Status != 400 || len(p.Fields) == 0 {
			t.Errorf("%q: %v", query, err)
		}
	})
}
