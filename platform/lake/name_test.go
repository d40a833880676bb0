package lake

import "testing"

func TestNames(t *testing.T) {
	for table, ok := range map[string]bool{
		"lake.sales.orders": true, "lake.default.a b": true,
		"": false, "orders": false, "sales.orders": false, "sales.public.orders": false, "lake.sales.": false, "lake..orders": false, "lake.a.b.c": false,
	} {
		if err := CheckName(table); (err == nil) != ok {
			t.Errorf("%q: %v", table, err)
		}
	}
	if got := quoted(`lake.de"fault.t`, "$files"); got != `"lake"."de""fault"."t$files"` {
		t.Error(got)
	}
}
