package ingest

import (
	"fmt"
	"testing"
)

const newsletter = `{"campaign_name":"Newsletter","channel":"Email","budget":1000,"spend":250.50,"starts_on":"2026-01-01","ends_on":"2026-12-31"}`

func TestCampaignIsCreatedReadAndChanged(t *testing.T) {
	c := newCaller(t)
	created := c.want(201, "POST", "/v1/campaigns", newsletter)
	path := created.Header.Get("Location")
	if created.Body["spend"] != 250.5 || created.Body["starts_on"] != "2026-01-01" || created.Body["ends_on"] != "2026-12-31" {
		t.Errorf("created %v", created.Body)
	}
	read := c.want(200, "GET", path, "")
	if read.Body["campaign_name"] != "Newsletter" || read.Body["channel"] != "Email" {
		t.Errorf("read %v", read.Body)
	}
	changed := c.want(200, "PATCH", path, `{"spend":300,"ends_on":""}`)
	if changed.Body["spend"] != 300.0 || changed.Body["ends_on"] != nil || changed.Body["budget"] != 1000.0 {
		t.Errorf("changed %v", changed.Body)
	}
	c.want(404, "PATCH", "/v1/campaigns/77", `{"spend":1}`)
	open := c.want(201, "POST", "/v1/campaigns", `{"campaign_name":"Open","channel":"Search","starts_on":"2026-01-01"}`)
	if open.Body["ends_on"] != nil || open.Body["budget"] != 0.0 {
		t.Errorf("without an end: %v", open.Body)
	}
}

func TestANewNameReachesTheLeads(t *testing.T) {
	c := newCaller(t)
	campaign, lead := newLead(c)
	c.want(200, "PATCH", campaign, `{"campaign_name":"Letter of News"}`)
	if name := c.want(200, "GET", lead, "").Body["campaign_name"]; name != "Letter of News" {
		t.Errorf("the lead's campaign is called %v", name)
	}
}

func TestOneNameIsOneCampaign(t *testing.T) {
	c := newCaller(t)
	c.want(201, "POST", "/v1/campaigns", newsletter)
	c.want(409, "POST", "/v1/campaigns", `{"campaign_name":"newsletter ","channel":"Email","starts_on":"2026-01-01"}`)
	other := c.want(201, "POST", "/v1/campaigns", `{"campaign_name":"Other","channel":"Email","starts_on":"2026-01-01"}`)
	c.want(409, "PATCH", other.Header.Get("Location"), `{"campaign_name":"NEWSLETTER"}`)
}

func TestACampaignEndsAfterItStarts(t *testing.T) {
	c := newCaller(t)
	path := c.want(201, "POST", "/v1/campaigns", newsletter).Header.Get("Location")
	c.want(409, "PATCH", path, `{"ends_on":"2025-12-31"}`)
	c.want(409, "PATCH", path, `{"starts_on":"2027-01-01"}`)
	c.want(422, "PATCH", path, `{"starts_on":"2027-01-02","ends_on":"2027-01-01"}`)
	c.want(200, "PATCH", path, `{"starts_on":"2027-01-01","ends_on":"2027-01-01"}`)
}

func TestCampaignFieldsAreChecked(t *testing.T) {
	c := newCaller(t)
	for field, value := range map[string]string{
		"campaign_name": `" "`, "channel": `"email"`, "budget": `-1`, "spend": `-0.01`, "starts_on": `"2026-02-30"`, "ends_on": `"0000-01-01"`,
	} {
		path := c.want(201, "POST", "/v1/campaigns", fmt.Sprintf(`{"campaign_name":%q,"channel":"Email","starts_on":"2026-01-01"}`, field)).Header.Get("Location")
		a := c.want(422, "PATCH", path, fmt.Sprintf(`{%q:%s}`, field, value))
		if got := pointers(a); len(got) != 1 || got[0] != "/"+field {
			t.Errorf("%s: the problem points to %v", field, got)
		}
	}
	if got := pointers(c.want(422, "POST", "/v1/campaigns", `{}`)); fmt.Sprint(got) != "[/campaign_name /channel /starts_on]" {
		t.Errorf("an empty campaign: the problem points to %v", got)
	}
}

func TestCampaignsAreFiltered(t *testing.T) {
	c := newCaller(t)
	for i, channel := range []string{"Email", "Email", "Social"} {
		c.want(201, "POST", "/v1/campaigns", fmt.Sprintf(`{"campaign_name":"%d","channel":%q,"starts_on":"2026-01-01"}`, i, channel))
	}
	for query, want := range map[string]int{"": 3, "?channel=Email": 2, "?channel=Event": 0, "?limit=1": 1} {
		if got := len(items(c.want(200, "GET", "/v1/campaigns"+query, ""))); got != want {
			t.Errorf("%q: %d campaigns, want %d", query, got, want)
		}
	}
	c.want(400, "GET", "/v1/campaigns?channel=email", "")
}
