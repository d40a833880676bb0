package ingest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// batch is the body of a batch.
func batch(leads ...string) string { return `{"leads":[` + strings.Join(leads, ",") + `]}` }

func TestBatchIsTakenInInOrder(t *testing.T) {
	c := newCaller(t)
	campaign := c.want(201, "POST", "/v1/campaigns", newsletter).Body["campaign_id"]
	leads := make([]string, 1000)
	for i := range leads {
		leads[i] = lead(fmt.Sprintf("%d@example.com", i), campaign)
	}
	a := c.want(201, "POST", "/v1/leads/batch", batch(leads...))
	ids := a.Body["lead_ids"].([]any)
	if a.Body["count"] != 1000.0 || len(ids) != 1000 {
		t.Fatalf("count %v, %d ids", a.Body["count"], len(ids))
	}
	for _, i := range []int{0, 17, 999} {
		read := c.want(200, "GET", fmt.Sprintf("/v1/leads/%v", ids[i]), "").Body
		if read["email"] != fmt.Sprintf("%d@example.com", i) || read["campaign_name"] != "Newsletter" {
			t.Errorf("lead %d of the batch is %v", i, read)
		}
	}
	if got := pointers(c.want(422, "POST", "/v1/leads/batch", batch(append(leads, leads[0])...))); !slices.Equal(got, []string{"/leads"}) {
		t.Errorf("1001 leads: the problem points to %v", got)
	}
}

func TestABatchWithAMistakeStoresNothing(t *testing.T) {
	c := newCaller(t)
	campaign := c.want(201, "POST", "/v1/campaigns", newsletter).Body["campaign_id"]
	good := lead("a@example.com", campaign)
	for body, want := range map[string][]string{
		`{}`:                                {"/leads"},
		batch():                             {"/leads"},
		`{"leads":null}`:                    {"/leads"},
		`{"leads":5}`:                       {"/leads"},
		batch(good, lead("none", campaign)): {"/leads/1/email"},
		batch(lead("a@b", 98), good, lead("a@b", 99)):                          {"/leads/0/campaign_id", "/leads/2/campaign_id"},
		batch(good, `{"email":5}`):                                             {"/leads/1/email"},
		batch(good, `7`, `[]`):                                                 {"/leads/1", "/leads/2"},
		batch(good, `null`):                                                    {"/leads/1"},
		batch(good, strings.Replace(good, `"score"`, `"points"`, 1)):           {"/leads/1/points"},
		batch(good, strings.Replace(good, `40`, `40.5`, 1)):                    {"/leads/1/score"},
		batch(good, strings.Replace(good, `"Alice Johnson"`, `"a\u0000b"`, 1)): {"/leads/1/full_name"},
		strings.Replace(batch(good), `{"leads"`, `{"dry_run":true,"leads"`, 1): {"/dry_run"},
	} {
		if got := pointers(c.want(422, "POST", "/v1/leads/batch", body)); !slices.Equal(got, want) {
			t.Errorf("%s: the problem points to %v, want %v", body, got, want)
		}
	}
	c.want(400, "POST", "/v1/leads/batch", batch(good)[:40])
	c.want(413, "POST", "/v1/leads/batch", batch(lead(strings.Repeat("a", 2<<20), campaign)))
	if got := len(items(c.want(200, "GET", "/v1/leads", ""))); got != 0 {
		t.Errorf("%d leads were stored", got)
	}
}
