package seed

import "github.com/datameesh/datameesh/services/apimetrics"

// An api is what the requests of an API look like.
type api struct {
	peak    int     // hour of the day, UTC, with the most requests
	weekend float64 // requests on a day of the weekend, as a share of another day's
	routes  []route
}

// A route is what the requests of a route and method look like. Durations are
// log-normal, as those of real APIs nearly are.
type route struct {
	method, route string
	weight        float64 // requests, relative to other routes
	status        int     // when all goes well
	median        float64 // duration in milliseconds
	spread        float64 // standard deviation of the duration's logarithm
	bytes         int     // of a usual answer
	refusal       int     // the status of what the route refuses
	refused       float64 // share that it refuses
	keys          []string
	keyWeights    []float64
}

var (
	salesKeys     = []string{"sales-reader", "sales-admin"}
	marketingKeys = []string{"marketing-reader", "marketing-admin"}
	reading       = []float64{0.8, 0.2} // most who read may do no more
	writing       = []float64{0, 1}
)

// apis are the APIs by name, with those routes of their descriptions that most
// requests go to.
var apis = map[string]api{
	"sales-api": {peak: 14, weekend: 0.35, routes: []route{
		{"GET", "/v1/customers", 20, 200, 6, 0.5, 11_000, 400, 0.010, salesKeys, reading},
		{"POST", "/v1/customers", 4, 201, 5, 0.4, 330, 422, 0.050, salesKeys, writing},
		{"GET", "/v1/customers/:id", 24, 200, 1.6, 0.4, 320, 404, 0.030, salesKeys, reading},
		{"PATCH", "/v1/customers/:id", 3, 200, 4, 0.4, 330, 422, 0.040, salesKeys, writing},
		{"GET", "/v1/orders", 16, 200, 7, 0.5, 9_500, 400, 0.010, salesKeys, reading},
		{"POST", "/v1/orders", 10, 201, 6, 0.4, 240, 422, 0.030, salesKeys, writing},
		{"GET", "/v1/orders/:id", 10, 200, 1.5, 0.4, 230, 404, 0.020, salesKeys, reading},
		{"PATCH", "/v1/orders/:id", 2, 200, 5, 0.4, 240, 409, 0.060, salesKeys, writing},
		{"POST", "/v1/orders/:id/status", 8, 200, 6, 0.4, 240, 409, 0.045, salesKeys, writing},
		{"GET", "/v1/revenue", 2.5, 200, 95, 0.7, 14_000, 400, 0.020, salesKeys, reading}, // adds all orders up: the slow one
		{"GET", apimetrics.Unmatched, 0.5, 404, 0.2, 0.4, 190, 404, 0, []string{""}, []float64{1}},
	}},
	"marketing-ingest": {peak: 10, weekend: 0.6, routes: []route{
		{"GET", "/v1/campaigns", 10, 200, 2.5, 0.4, 2_400, 400, 0.010, marketingKeys, reading},
		{"POST", "/v1/campaigns", 0.5, 201, 5, 0.4, 280, 422, 0.080, marketingKeys, writing},
		{"GET", "/v1/campaigns/:id", 8, 200, 1.5, 0.4, 270, 404, 0.020, marketingKeys, reading},
		{"PATCH", "/v1/campaigns/:id", 1, 200, 5, 0.4, 280, 422, 0.050, marketingKeys, writing},
		{"GET", "/v1/leads", 18, 200, 7, 0.5, 12_000, 400, 0.010, marketingKeys, reading},
		{"POST", "/v1/leads", 34, 201, 5, 0.4, 300, 422, 0.045, marketingKeys, writing},
		{"POST", "/v1/leads/batch", 6, 201, 140, 0.8, 6_500, 422, 0.070, marketingKeys, writing}, // hundreds of leads at once: the slow one
		{"GET", "/v1/leads/:id", 12, 200, 1.6, 0.4, 300, 404, 0.025, marketingKeys, reading},
		{"POST", "/v1/leads/:id/status", 11, 200, 6, 0.4, 310, 409, 0.050, marketingKeys, writing},
		{"GET", apimetrics.Unmatched, 0.5, 404, 0.2, 0.4, 190, 404, 0, []string{""}, []float64{1}},
	}},
}
