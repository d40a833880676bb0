package api

import (
	"fmt"
	"strings"
	"sync"
	"testing"
)

func TestETagSparesWhatTheCallerHas(t *testing.T) {
	c := newCaller(t)
	created := c.want(201, "POST", "/v1/customers", alice)
	path, tag := created.Header.Get("Location"), created.Header.Get("ETag")
	for _, header := range []string{tag, "W/" + tag, `"other", ` + tag, "*"} {
		if a := c.want(304, "GET", path, "", "If-None-Match", header); len(a.Text) > 0 {
			t.Errorf("304 with a body: %s", a.Text)
		}
	}
	c.want(200, "GET", path, "", "If-None-Match", `"other"`)
	c.want(200, "PATCH", path, `{"region":"APAC"}`)
	c.want(200, "GET", path, "", "If-None-Match", tag)
}

func TestOfTwoChangesTheSecondMustReadAgain(t *testing.T) {
	c := newCaller(t)
	created := c.want(201, "POST", "/v1/customers", alice)
	path, tag := created.Header.Get("Location"), created.Header.Get("ETag")
	c.want(428, "PATCH", path, `{"region":"APAC"}`, "X-No", "If-Match")
	c.want(412, "PATCH", path, `{"region":"APAC"}`, "If-Match", "W/"+tag)
	first := c.want(200, "PATCH", path, `{"region":"APAC"}`, "If-Match", tag)
	c.want(412, "PATCH", path, `{"region":"AMER"}`, "If-Match", tag)
	c.want(200, "PATCH", path, `{"region":"AMER"}`, "If-Match", first.Header.Get("ETag"))
	if region := c.want(200, "GET", path, "").Body["region"]; region != "AMER" {
		t.Errorf("region %v", region)
	}
}

func TestIdempotencyKey(t *testing.T) {
	c := newCaller(t)
	first := c.want(201, "POST", "/v1/customers", alice, "Idempotency-Key", "k1")
	again := c.want(201, "POST", "/v1/customers", alice, "Idempotency-Key", "k1")
	if string(first.Text) != string(again.Text) || first.Header.Get("Location") != again.Header.Get("Location") || first.Header.Get("ETag") != again.Header.Get("ETag") {
		t.Errorf("first %s, again %s", first.Text, again.Text)
	}
	c.want(422, "POST", "/v1/customers", `{"customer_name":"B","email":"b@example.com","region":"EMEA","segment":"Consumer"}`, "Idempotency-Key", "k1")
	c.want(409, "POST", "/v1/customers", alice, "Idempotency-Key", "k2") // another request with a known e-mail
	c.want(422, "POST", "/v1/customers", `{}`, "Idempotency-Key", "k3")
	c.want(201, "POST", "/v1/customers", `{"customer_name":"B","email":"b@example.com","region":"EMEA","segment":"Consumer"}`, "Idempotency-Key", "k3") // a refused request is not remembered
}

// Of many identical requests at once one does the work; the others get its
// answer, or hear that it is still running and get it later.
func TestParallelDuplicatesHaveTheEffectOfOne(t *testing.T) {
	c := newCaller(t)
	customer := c.want(201, "POST", "/v1/customers", alice).Body["customer_id"]
	order := fmt.Sprintf(`{"customer_id":%v,"total_amount":5}`, customer)
	answers := make([]string, 100)
	var senders sync.WaitGroup
	for i := range answers {
		senders.Go(func() {
			for {
				a := c.Send(writer, "POST", "/v1/orders", order, "Idempotency-Key", "same")
				if a.Status == 409 || a.Status == 503 { // still running, or a busy machine
					a.AwaitRetry(t)
					continue
				}
				answers[i] = fmt.Sprint(a.Status, string(a.Text))
				return
			}
		})
	}
	senders.Wait()
	for _, a := range answers {
		if a != answers[0] || a[:3] != "201" {
			t.Fatalf("answers differ: %s and %s", answers[0], a)
		}
	}
	if got := len(items(c.want(200, "GET", "/v1/orders", ""))); got != 1 {
		t.Errorf("%d orders", got)
	}
}

func TestListsAreCSVOnRequest(t *testing.T) {
	c := newCaller(t)
	c.want(201, "POST", "/v1/customers", `{"customer_name":"=Alice","email":"a@example.com","region":"EMEA","segment":"Consumer"}`)
	a := c.want(200, "GET", "/v1/customers", "", "Accept", "text/csv")
	lines := strings.Split(string(a.Text), "\r\n")
	if len(lines) != 3 || !strings.HasPrefix(lines[0], "customer_id,customer_name,email,") || !strings.HasPrefix(lines[1], "1,'=Alice,a@example.com,,EMEA,Consumer,0.00,") {
		t.Errorf("got %q", lines)
	}
}
