package ingest

import (
	"strings"
	"sync"
	"testing"
)

func TestOfTwoChangesTheSecondMustReadAgain(t *testing.T) {
	c := newCaller(t)
	created := c.want(201, "POST", "/v1/campaigns", newsletter)
	path, tag := created.Header.Get("Location"), created.Header.Get("ETag")
	c.want(304, "GET", path, "", "If-None-Match", tag)
	c.want(428, "PATCH", path, `{"spend":1}`, "X-No", "If-Match")
	c.want(412, "PATCH", path, `{"spend":1}`, "If-Match", "W/"+tag)
	first := c.want(200, "PATCH", path, `{"spend":1}`, "If-Match", tag)
	c.want(412, "PATCH", path, `{"spend":2}`, "If-Match", tag)
	c.want(200, "PATCH", path, `{"spend":2}`, "If-Match", first.Header.Get("ETag"))
	if spend := c.want(200, "GET", path, "").Body["spend"]; spend != 2.0 {
		t.Errorf("spend %v", spend)
	}
}

// Of many identical requests at once one does the work; the others get its
// answer, or hear that it is still running and get it later.
func TestParallelDuplicatesHaveTheEffectOfOne(t *testing.T) {
	c := newCaller(t)
	campaign := c.want(201, "POST", "/v1/campaigns", newsletter).Body["campaign_id"]
	for _, same := range []struct {
		path, body string
		senders    int
	}{
		{"/v1/leads", lead("a@example.com", campaign), 1000},
		{"/v1/leads/batch", batch(lead("b@example.com", campaign), lead("b@example.com", campaign)), 40},
	} {
		path, body, answers := same.path, same.body, make([]string, same.senders)
		var senders sync.WaitGroup
		for i := range answers {
			senders.Go(func() {
				for {
					a := c.Send(writer, "POST", path, body, "Idempotency-Key", "same as "+path)
					if a.Status == 409 || a.Status == 503 { // still running, or a busy machine
						a.AwaitRetry(t)
						continue
					}
					answers[i] = string(a.Text)
					if a.Status != 201 {
						t.Errorf("%d %s", a.Status, a.Text)
					}
					return
				}
			})
		}
		senders.Wait()
		for _, a := range answers {
			if a != answers[0] {
				t.Fatalf("answers differ: %s and %s", answers[0], a)
			}
		}
	}
	if got := len(items(c.want(200, "GET", "/v1/leads", ""))); got != 3 {
		t.Errorf("%d leads, want the one and the two of the batch", got)
	}
}

func TestListsAreCSVOnRequest(t *testing.T) {
	c := newCaller(t)
	newLead(c)
	a := c.want(200, "GET", "/v1/leads", "", "Accept", "text/csv")
	lines := strings.Split(string(a.Text), "\r\n")
	if len(lines) != 3 || !strings.HasPrefix(lines[0], "lead_id,email,full_name,") || !strings.HasPrefix(lines[1], `1," Alice@Example.com",Alice Johnson,Website,1,Newsletter,new,40,`) || !strings.HasSuffix(lines[1], ",") {
		t.Errorf("got %q", lines)
	}
}
