//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/datameesh/datameesh/platform/topology"
)

// A problem is how the services tell errors.
type problem struct {
	Code   string `json:"code"`
	Errors []struct {
		Pointer string `json:"pointer"`
	} `json:"errors"`
}

// refused calls a service, which must refuse with the given status and say so
// as a problem.
func (m *mesh) refused(t *testing.T, code int, method string, port int, path, key, body string) problem {
	t.Helper()
	a := m.expect(t, code, method, port, path, key, body)
	var p problem
	a.into(t, &p)
	if kind := a.header.Get("Content-Type"); !strings.HasPrefix(kind, "application/problem+json") || p.Code == "" {
		t.Errorf("%s %s: %s %s", method, path, kind, a.body)
	}
	return p
}

func (m *mesh) testKeys(t *testing.T) {
	const port = topology.PortSalesAPI
	m.refused(t, http.StatusUnauthorized, http.MethodGet, port, "/v1/customers", "", "")
	m.refused(t, http.StatusUnauthorized, http.MethodGet, port, "/v1/customers", "wrong", "")
	// The key of another domain is no key here.
	m.refused(t, http.StatusUnauthorized, http.MethodGet, port, "/v1/customers", m.credential(t, "marketing-admin"), "")
	reader := m.credential(t, "sales-reader")
	var page struct {
		Items []json.RawMessage `json:"items"`
	}
	m.expect(t, http.StatusOK, http.MethodGet, port, "/v1/customers?limit=2", reader, "").into(t, &page)
	if len(page.Items) != 2 {
		t.Errorf("%d customers, want 2", len(page.Items))
	}
	m.refused(t, http.StatusForbidden, http.MethodPost, port, "/v1/orders", reader, `{"customer_id":1,"total_amount":1}`)
	m.refused(t, http.StatusNotFound, http.MethodGet, port, "/v1/customers/999999999", reader, "")
}

// requests is how many requests to a route the logger of sales knows of.
func (m *mesh) requests(t *testing.T, key, method, route string, from, to time.Time) int64 {
	t.Helper()
	q := url.Values{"service": {"sales-api"}, "route": {route}, "method": {method},
		"from": {from.Format(time.RFC3339)}, "to": {to.Format(time.RFC3339)}}
	var answer struct {
		Items []struct {
			Requests int64 `json:"requests"`
		} `json:"items"`
	}
	m.expect(t, http.StatusOK, http.MethodGet, topology.PortSalesAPILogger, "/v1/metrics?"+q.Encode(), key, "").into(t, &answer)
	if len(answer.Items) == 0 {
		return 0
	}
	return answer.Items[0].Requests
}

func (m *mesh) testRevenue(t *testing.T) {
	const port = topology.PortSalesAPI
	admin, metrics := m.credential(t, "sales-admin"), m.credential(t, "apimetrics-reader")
	customer := m.ask(t, "SELECT min(customer_id) FROM sales.public.customers")
	revenue := func() *big.Rat {
		var c struct {
			Revenue json.Number `json:"revenue"`
		}
		m.expect(t, http.StatusOK, http.MethodGet, port, "/v1/customers/"+customer, admin, "").into(t, &c)
		r, ok := new(big.Rat).SetString(c.Revenue.String())
		if !ok {
			t.Fatalf("revenue %q", c.Revenue)
		}
		return r
	}
	from, to := time.Now().UTC().Add(-time.Hour).Truncate(time.Minute), time.Now().UTC().Add(time.Hour).Truncate(time.Minute)
	const route = "/v1/orders/:id/status"
	requests := m.requests(t, metrics, http.MethodPost, route, from, to)

	before := revenue()
	m.refused(t, http.StatusBadRequest, http.MethodPost, port, "/v1/orders", admin, `{"customer_id":`)
	m.refused(t, http.StatusUnprocessableEntity, http.MethodPost, port, "/v1/orders", admin, `{"customer_id":`+customer+`,"total_amount":-1}`)
	var order struct {
		ID     int64  `json:"order_id"`
		Status string `json:"status"`
	}
	m.expect(t, http.StatusCreated, http.MethodPost, port, "/v1/orders", admin,
		`{"customer_id":`+customer+`,"total_amount":12.34}`).into(t, &order)
	if order.Status != "pending" || revenue().Cmp(before) != 0 {
		t.Errorf("a %s order made the revenue %s, it was %s", order.Status, revenue().FloatString(2), before.FloatString(2))
	}
	path := fmt.Sprintf("/v1/orders/%d/status", order.ID)
	paid := m.expect(t, http.StatusOK, http.MethodPost, port, path, admin, `{"status":"paid"}`)
	want := new(big.Rat).Add(before, big.NewRat(1234, 100))
	if got := revenue(); got.Cmp(want) != 0 {
		t.Errorf("revenue %s, want %s", got.FloatString(2), want.FloatString(2))
	}
	if got := m.ask(t, "SELECT revenue FROM sales.public.customers WHERE customer_id = "+customer); got != want.FloatString(2) {
		t.Errorf("Trino sees the revenue %s, want %s", got, want.FloatString(2))
	}

	// The requests just made, and no others, have arrived at the logger.
	id := paid.header.Get("X-Request-Id")
	until(t, "the request is in the log", func() error {
		var logs struct {
			Items []struct {
				Method, Route, APIKey string
				Status                int
			} `json:"items"`
		}
		m.expect(t, http.StatusOK, http.MethodGet, topology.PortSalesAPILogger, "/v1/logs?request_id="+url.QueryEscape(id), metrics, "").into(t, &logs)
		if id == "" || len(logs.Items) != 1 || logs.Items[0].Route != route || logs.Items[0].Status != http.StatusOK {
			return fmt.Errorf("request %q: %+v", id, logs.Items)
		}
		return nil
	})
	if got := m.requests(t, metrics, http.MethodPost, route, from, to); got != requests+1 {
		t.Errorf("%d requests to %s became %d, want one more", requests, route, got)
	}
	m.refused(t, http.StatusUnauthorized, http.MethodGet, topology.PortSalesAPILogger, "/v1/metrics", admin, "")
}

// lead is one lead of a batch as JSON.
func lead(email, campaign string) string {
	return fmt.Sprintf(`{"email":%q,"full_name":"Robin Test","source":"Website","campaign_id":%s}`, email, campaign)
}

func (m *mesh) testBatch(t *testing.T) {
	const (
		port  = topology.PortMarketingIngest
		count = "SELECT count(*) FROM marketing.public.leads"
	)
	reader, admin := m.credential(t, "marketing-reader"), m.credential(t, "marketing-admin")
	campaign := m.ask(t, "SELECT min(campaign_id) FROM marketing.public.campaigns")
	before, err := strconv.Atoi(m.ask(t, count))
	if err != nil {
		t.Fatal(err)
	}
	batch := `{"leads":[` + lead("one@example.com", campaign) + "," + lead("two@example.com", campaign) + "," + lead("three@example.com", campaign) + `]}`
	m.refused(t, http.StatusUnauthorized, http.MethodPost, port, "/v1/leads/batch", "", batch)
	m.refused(t, http.StatusForbidden, http.MethodPost, port, "/v1/leads/batch", reader, batch)
	p := m.refused(t, http.StatusUnprocessableEntity, http.MethodPost, port, "/v1/leads/batch", admin,
		`{"leads":[`+lead("one@example.com", campaign)+","+lead("no address", campaign)+`]}`)
	if len(p.Errors) != 1 || p.Errors[0].Pointer != "/leads/1/email" {
		t.Errorf("a wrong address: %+v", p)
	}
	var done struct {
		Count int     `json:"count"`
		IDs   []int64 `json:"lead_ids"`
	}
	m.expect(t, http.StatusCreated, http.MethodPost, port, "/v1/leads/batch", admin, batch).into(t, &done)
	if done.Count != 3 || len(done.IDs) != 3 {
		t.Fatalf("taken in: %+v", done)
	}
	if got := m.ask(t, count); got != strconv.Itoa(before+3) {
		t.Errorf("%d leads became %s, want %d", before, got, before+3)
	}
	var one struct {
		Email  string `json:"email"`
		Status string `json:"status"`
	}
	m.expect(t, http.StatusOK, http.MethodGet, port, fmt.Sprintf("/v1/leads/%d", done.IDs[2]), reader, "").into(t, &one)
	if one.Email != "three@example.com" || one.Status != "new" {
		t.Errorf("the third lead: %+v", one)
	}
}
