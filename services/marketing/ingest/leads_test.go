package ingest

import (
	"fmt"
	"testing"

	"github.com/datameesh/datameesh/services/internal/conformance"
)

// lead is the body of a lead of the campaign.
func lead(email string, campaign any) string {
	return fmt.Sprintf(`{"email":%q,"full_name":"Alice Johnson","source":"Website","campaign_id":%v,"score":40}`, email, campaign)
}

// newLead makes a campaign with one new lead and gives their paths.
func newLead(c caller) (campaignPath, leadPath string) {
	c.t.Helper()
	campaign := c.want(201, "POST", "/v1/campaigns", newsletter)
	taken := c.want(201, "POST", "/v1/leads", lead(" Alice@Example.com", campaign.Body["campaign_id"]))
	return campaign.Header.Get("Location"), taken.Header.Get("Location")
}

// pointers gives what an answer's problem points to.
func pointers(a conformance.Answer) (list []string) {
	errors, _ := a.Body["errors"].([]any)
	for _, e := range errors {
		list = append(list, e.(map[string]any)["pointer"].(string))
	}
	return list
}

func TestLeadIsTakenInAndRead(t *testing.T) {
	c := newCaller(t)
	_, path := newLead(c)
	read := c.want(200, "GET", path, "").Body
	if read["email"] != " Alice@Example.com" || read["campaign_name"] != "Newsletter" || read["status"] != "new" || read["score"] != 40.0 || read["converted_at"] != nil {
		t.Errorf("read %v", read)
	}
	c.want(201, "POST", "/v1/leads", lead("alice@example.com", read["campaign_id"])) // again: several leads of one person
}

func TestLeadFieldsAreChecked(t *testing.T) {
	c := newCaller(t)
	for field, value := range map[string]string{
		"email": `"no at"`, "full_name": `"a\u0000b"`, "source": `"website"`, "campaign_id": `0`, "score": `101`,
	} {
		body := map[string]string{"email": `"a@example.com"`, "full_name": `"A"`, "source": `"Website"`, "campaign_id": `1`, "score": `0`}
		body[field] = value
		text := fmt.Sprintf(`{"email":%s,"full_name":%s,"source":%s,"campaign_id":%s,"score":%s}`, body["email"], body["full_name"], body["source"], body["campaign_id"], body["score"])
		if got := pointers(c.want(422, "POST", "/v1/leads", text)); len(got) != 1 || got[0] != "/"+field {
			t.Errorf("%s: the problem points to %v", field, got)
		}
	}
	if got := pointers(c.want(422, "POST", "/v1/leads", lead("a@example.com", 99))); len(got) != 1 || got[0] != "/campaign_id" {
		t.Errorf("an unknown campaign: the problem points to %v", got)
	}
}

func TestNullIsNoValue(t *testing.T) {
	c := newCaller(t)
	_, path := newLead(c)
	for text, pointer := range map[string]string{
		`{"email":"a@example.com","full_name":"A","source":"Website","campaign_id":1,"score":null}`: "/score",
		`null`: "",
	} {
		if got := pointers(c.want(422, "POST", "/v1/leads", text)); len(got) != 1 || got[0] != pointer {
			t.Errorf("%s: the problem points to %v", text, got)
		}
	}
	a := c.want(422, "POST", "/v1/leads/batch", `{"leads":[`+lead("a@example.com", 1)+`,{"email":"b@example.com","full_name":"B","source":"Website","campaign_id":1,"score":null}]}`)
	if got := pointers(a); len(got) != 1 || got[0] != "/leads/1/score" {
		t.Errorf("a batch: the problem points to %v", got)
	}
	c.want(422, "POST", path+"/status", `{"status":null}`)
}

func TestLeadStatusChanges(t *testing.T) {
	c := newCaller(t)
	campaign := c.want(201, "POST", "/v1/campaigns", newsletter).Body["campaign_id"]
	// The steps that lead to each status, and what may come after it.
	steps := map[string][]string{
		"new": {}, "contacted": {"contacted"}, "qualified": {"contacted", "qualified"}, "converted": {"converted"}, "lost": {"lost"},
	}
	may := map[string]bool{
		"new new": true, "new contacted": true, "new qualified": true, "new converted": true, "new lost": true,
		"contacted contacted": true, "contacted qualified": true, "contacted converted": true, "contacted lost": true,
		"qualified qualified": true, "qualified converted": true, "qualified lost": true,
		"converted converted": true,
		"lost lost":           true, "lost contacted": true,
	}
	for from, path := range steps {
		for to := range steps {
			lead := c.want(201, "POST", "/v1/leads", lead("a@example.com", campaign)).Header.Get("Location")
			for _, step := range path {
				c.want(200, "POST", lead+"/status", fmt.Sprintf(`{"status":%q}`, step))
			}
			want := 409
			if may[from+" "+to] {
				want = 200
			}
			c.want(want, "POST", lead+"/status", fmt.Sprintf(`{"status":%q}`, to))
			after := c.want(200, "GET", lead, "").Body
			if (after["converted_at"] != nil) != (after["status"] == "converted") {
				t.Errorf("from %s to %s: %v", from, to, after)
			}
		}
	}
	c.want(422, "POST", "/v1/leads/1/status", `{"status":"paid"}`)
}

func TestConversionIsDatedOnce(t *testing.T) {
	c := newCaller(t)
	_, path := newLead(c)
	first := c.want(200, "POST", path+"/status", `{"status":"converted"}`).Body["converted_at"]
	again := c.want(200, "POST", path+"/status", `{"status":"converted"}`).Body["converted_at"]
	if first == nil || first != again {
		t.Errorf("converted at %v, then at %v", first, again)
	}
}

func TestLeadsAreFiltered(t *testing.T) {
	c := newCaller(t)
	_, path := newLead(c)
	c.want(200, "POST", path+"/status", `{"status":"contacted"}`)
	for query, want := range map[string]int{
		"":                                1,
		"?status=contacted":               1,
		"?status=new":                     0,
		"?campaign_id=1":                  1,
		"?campaign_id=2":                  0,
		"?source=Website":                 1,
		"?source=Event":                   0,
		"?email=aLICE@example.com":        1,
		"?email=bob@example.com":          0,
		"?created_from=2000-01-01":        1,
		"?created_to=2000-01-01":          0,
		"?status=contacted&source=Phone":  0,
		"?status=contacted&campaign_id=1": 1,
	} {
		if got := len(items(c.want(200, "GET", "/v1/leads"+query, ""))); got != want {
			t.Errorf("%q: %d leads, want %d", query, got, want)
		}
	}
	c.want(400, "GET", "/v1/leads?status=paid", "")
	c.want(400, "GET", "/v1/leads?campaign_id=x", "")
}

// A walk during inserts sees every lead that was there at its start, once.
func TestPagesDuringInserts(t *testing.T) {
	c := newCaller(t)
	campaign := c.want(201, "POST", "/v1/campaigns", newsletter).Body["campaign_id"]
	create := func() { c.want(201, "POST", "/v1/leads", lead("a@example.com", campaign)) }
	for range 25 {
		create()
	}
	seen := map[any]int{}
	path := "/v1/leads?limit=4"
	for page := 0; path != ""; page++ {
		if page > 100 {
			t.Fatal("the walk does not end")
		}
		a := c.want(200, "GET", path, "")
		for _, item := range items(a) {
			seen[item.(map[string]any)["lead_id"]]++
		}
		if page < 5 {
			create()
		}
		path = ""
		if cursor, ok := a.Body["next_cursor"].(string); ok {
			path = "/v1/leads?limit=4&cursor=" + cursor
			if link := a.Header.Get("Link"); link != fmt.Sprintf(`</v1/leads?cursor=%s&limit=4>; rel="next"`, cursor) {
				t.Errorf("Link %s", link)
			}
		}
	}
	if len(seen) != 30 {
		t.Errorf("saw %d leads, want the 25 of the start and the 5 inserted behind them", len(seen))
	}
	for id, times := range seen {
		if times != 1 {
			t.Errorf("lead %v was seen %d times", id, times)
		}
	}
	c.want(400, "GET", "/v1/campaigns?cursor="+c.want(200, "GET", "/v1/leads?limit=1", "").Body["next_cursor"].(string), "")
}
