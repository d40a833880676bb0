package api

import (
	"fmt"
	"testing"
)

// newOrder makes a customer with one pending order of 99.90 and gives their paths.
func newOrder(c caller) (customer, order string) {
	c.t.Helper()
	created := c.want(201, "POST", "/v1/customers", alice)
	placed := c.want(201, "POST", "/v1/orders", fmt.Sprintf(`{"customer_id":%v,"total_amount":99.90}`, created.Body["customer_id"]))
	if placed.Body["status"] != "pending" || placed.Body["total_amount"] != 99.9 || placed.Body["currency"] != "USD" {
		c.t.Errorf("placed %v", placed.Body)
	}
	return created.Header.Get("Location"), placed.Header.Get("Location")
}

func TestRevenueFollowsTheStatusOfOrders(t *testing.T) {
	c := newCaller(t)
	customer, order := newOrder(c)
	revenue := func(want float64) {
		t.Helper()
		if got := c.want(200, "GET", customer, "").Body["revenue"]; got != want {
			t.Errorf("revenue %v, want %v", got, want)
		}
	}
	revenue(0)
	c.want(200, "PATCH", order, `{"total_amount":100.10}`)
	revenue(0)
	c.want(200, "POST", order+"/status", `{"status":"paid"}`)
	revenue(100.1)
	c.want(200, "POST", order+"/status", `{"status":"paid"}`) // again: no change
	revenue(100.1)
	c.want(409, "PATCH", order, `{"total_amount":1}`)
	c.want(200, "POST", order+"/status", `{"status":"refunded"}`)
	revenue(0)
}

func TestOrderStatusChanges(t *testing.T) {
	c := newCaller(t)
	customer := c.want(201, "POST", "/v1/customers", alice).Body["customer_id"]
	// The steps that lead to each status, and what may come after it.
	steps := map[string][]string{"pending": {}, "paid": {"paid"}, "cancelled": {"cancelled"}, "refunded": {"paid", "refunded"}}
	may := map[string]string{
		"pending pending": "yes", "pending paid": "yes", "pending cancelled": "yes",
		"paid paid": "yes", "paid refunded": "yes", "cancelled cancelled": "yes", "refunded refunded": "yes",
	}
	for from, path := range steps {
		for to := range steps {
			order := c.want(201, "POST", "/v1/orders", fmt.Sprintf(`{"customer_id":%v,"total_amount":5}`, customer)).Header.Get("Location")
			for _, step := range path {
				c.want(200, "POST", order+"/status", fmt.Sprintf(`{"status":%q}`, step))
			}
			want := 409
			if may[from+" "+to] == "yes" {
				want = 200
			}
			c.want(want, "POST", order+"/status", fmt.Sprintf(`{"status":%q}`, to))
		}
	}
	c.want(422, "POST", "/v1/orders/1/status", `{"status":"lost"}`)
}

func TestOrdersAreFiltered(t *testing.T) {
	c := newCaller(t)
	customer, order := newOrder(c)
	id := customer[len("/v1/customers/"):]
	c.want(200, "POST", order+"/status", `{"status":"paid"}`)
	for query, want := range map[string]int{
		"":                                   1,
		"?customer_id=" + id:                 1,
		"?customer_id=999":                   0,
		"?status=paid":                       1,
		"?status=pending":                    0,
		"?ordered_from=2000-01-01":           1,
		"?ordered_to=2000-01-01":             0,
		"?status=paid&customer_id=" + id:     1,
		"?status=refunded&customer_id=" + id: 0,
	} {
		if got := len(items(c.want(200, "GET", "/v1/orders"+query, ""))); got != want {
			t.Errorf("%q: %d orders, want %d", query, got, want)
		}
	}
}

func TestRevenueByDayAndRegion(t *testing.T) {
	c := newCaller(t)
	if got := len(items(c.want(200, "GET", "/v1/revenue", ""))); got != 0 {
		t.Errorf("an empty database sold on %d days", got)
	}
	_, order := newOrder(c)
	c.want(200, "POST", order+"/status", `{"status":"paid"}`)
	list := items(c.want(200, "GET", "/v1/revenue?region=EMEA", ""))
	if len(list) != 1 {
		t.Fatalf("got %v", list)
	}
	if day := list[0].(map[string]any); day["revenue"] != 99.9 || day["orders"] != 1.0 || day["region"] != "EMEA" {
		t.Errorf("got %v", day)
	}
	if got := len(items(c.want(200, "GET", "/v1/revenue?region=APAC", ""))); got != 0 {
		t.Errorf("another region sold on %d days", got)
	}
}
