package api

import (
	"fmt"
	"strings"
	"testing"
)

const alice = `{"customer_name":"Alice Johnson","email":" Alice@Example.com","phone":"1","region":"EMEA","segment":"Consumer"}`

func TestCustomerIsCreatedReadAndChanged(t *testing.T) {
	c := newCaller(t)
	created := c.want(201, "POST", "/v1/customers", alice)
	path := created.Header.Get("Location")
	if created.Body["revenue"] != 0.0 || created.Body["email"] != " Alice@Example.com" {
		t.Errorf("created %v", created.Body)
	}
	read := c.want(200, "GET", path, "")
	if read.Body["customer_name"] != "Alice Johnson" {
		t.Errorf("read %v", read.Body)
	}
	changed := c.want(200, "PATCH", path, `{"region":"APAC"}`)
	if changed.Body["region"] != "APAC" || changed.Body["customer_name"] != "Alice Johnson" {
		t.Errorf("changed %v", changed.Body)
	}
	c.want(404, "PATCH", "/v1/customers/77", `{"region":"APAC"}`)
}

func TestOneAddressIsOneCustomerInAnySpelling(t *testing.T) {
	c := newCaller(t)
	c.want(201, "POST", "/v1/customers", alice)
	c.want(409, "POST", "/v1/customers", `{"customer_name":"Other","email":"alice@example.COM ","region":"EMEA","segment":"Consumer"}`)
	other := c.want(201, "POST", "/v1/customers", `{"customer_name":"Other","email":"other@example.com","region":"EMEA","segment":"Consumer"}`)
	c.want(409, "PATCH", other.Header.Get("Location"), `{"email":"ALICE@example.com"}`)
	if got := len(items(c.want(200, "GET", "/v1/customers?email=aLICE@example.com", ""))); got != 1 {
		t.Errorf("found %d customers by the address", got)
	}
}

func TestCustomerFieldsAreChecked(t *testing.T) {
	c := newCaller(t)
	for field, value := range map[string]string{
		"customer_name": `null`, "email": `"no at"`, "phone": `"1\n2"`, "region": `"MOON"`, "segment": `"consumer"`,
	} {
		path := c.want(201, "POST", "/v1/customers", fmt.Sprintf(`{"customer_name":"A","email":"%s@example.com","region":"EMEA","segment":"Consumer"}`, field)).Header.Get("Location")
		a := c.want(422, "PATCH", path, fmt.Sprintf(`{%q:%s}`, field, value))
		if pointer := a.Body["errors"].([]any)[0].(map[string]any)["pointer"]; pointer != "/"+field {
			t.Errorf("%s: the problem points to %v", field, pointer)
		}
	}
}

// White space other than blanks is no part of an address, and around it neither.
func TestAddressesHoldNoWhiteSpace(t *testing.T) {
	c := newCaller(t)
	for _, email := range []string{`a\u0085b@example.com`, `a@example\u00a0.com`, `\u3000@example.com`, `a@\ufeff`, `a b@example.com`, ` @ `, `a@b@c`} {
		c.want(422, "POST", "/v1/customers", `{"customer_name":"A","email":"`+email+`","region":"EMEA","segment":"Consumer"}`)
	}
}

// What the service decides nobody else does.
func TestNobodySetsWhatIsNotTheirs(t *testing.T) {
	c := newCaller(t)
	path := c.want(201, "POST", "/v1/customers", alice).Header.Get("Location")
	for _, field := range []string{`"customer_id":7`, `"revenue":1`, `"created_at":"2020-01-01T00:00:00Z"`, `"updated_at":"2020-01-01T00:00:00Z"`, `"role":"admin"`} {
		c.want(422, "PATCH", path, `{"region":"APAC",`+field+`}`)
		c.want(422, "POST", "/v1/customers", strings.Replace(strings.Replace(alice, "Alice@", "b@", 1), "{", "{"+field+",", 1))
	}
	if got := c.want(200, "GET", path, "").Body; got["region"] != "EMEA" || got["revenue"] != 0.0 {
		t.Errorf("stored %v", got)
	}
}

// A search is for text, not for a pattern.
func TestSearchIsLiteral(t *testing.T) {
	c := newCaller(t)
	c.want(201, "POST", "/v1/customers", alice)
	for _, text := range []string{"%25", "_", "%5C", "%25example.com", "alice_example.com", strings.Repeat("%25a", 2500), "'%20OR%20true--"} {
		if got := len(items(c.want(200, "GET", "/v1/customers?email="+text, ""))); got != 0 {
			t.Errorf("%.20s: %d customers", text, got)
		}
	}
}

func TestCustomersAreFiltered(t *testing.T) {
	c := newCaller(t)
	for i, place := range [][2]string{{"EMEA", "Consumer"}, {"EMEA", "Enterprise"}, {"APAC", "Consumer"}} {
		c.want(201, "POST", "/v1/customers", fmt.Sprintf(`{"customer_name":"A","email":"%d@example.com","region":%q,"segment":%q}`, i, place[0], place[1]))
	}
	for query, want := range map[string]int{
		"":                                3,
		"?region=EMEA":                    2,
		"?segment=Consumer":               2,
		"?region=EMEA&segment=Enterprise": 1,
		"?region=LATAM":                   0,
		"?created_from=2000-01-01":        3,
		"?created_to=2000-01-01":          0,
	} {
		if got := len(items(c.want(200, "GET", "/v1/customers"+query, ""))); got != want {
			t.Errorf("%q: %d customers, want %d", query, got, want)
		}
	}
}

// A walk during inserts sees every customer that was there at its start, once.
func TestPagesDuringInserts(t *testing.T) {
	c := newCaller(t)
	create := func(name string, n int) {
		c.want(201, "POST", "/v1/customers", fmt.Sprintf(`{"customer_name":%q,"email":"%s%d@example.com","region":"EMEA","segment":"Consumer"}`, name, name, n))
	}
	for i := range 25 {
		create("old", i)
	}
	seen := map[any]int{}
	path := "/v1/customers?limit=4"
	for page := 0; path != ""; page++ {
		if page > 100 {
			t.Fatal("the walk does not end")
		}
		a := c.want(200, "GET", path, "")
		for _, item := range items(a) {
			customer := item.(map[string]any)
			seen[customer["customer_id"]]++
		}
		if page < 5 {
			create("new", page)
		}
		path = ""
		if cursor, ok := a.Body["next_cursor"].(string); ok {
			path = "/v1/customers?limit=4&cursor=" + cursor
			if link := a.Header.Get("Link"); link != fmt.Sprintf(`</v1/customers?cursor=%s&limit=4>; rel="next"`, cursor) {
				t.Errorf("Link %s", link)
			}
		}
	}
	if len(seen) != 30 {
		t.Errorf("saw %d customers, want the 25 of the start and the 5 inserted behind them", len(seen))
	}
	for id, times := range seen {
		if times != 1 {
			t.Errorf("customer %v was seen %d times", id, times)
		}
	}
	c.want(400, "GET", "/v1/orders?cursor="+c.want(200, "GET", "/v1/customers?limit=1", "").Body["next_cursor"].(string), "")
}
