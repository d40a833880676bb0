package collect

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/datameesh/datameesh/services/apimetrics"
)

func TestInvalidBatchesStoreNothing(t *testing.T) {
	c := newCaller(t)
	now := time.Now().UTC()
	var thousandAndOne []apimetrics.Entry
	for range 1001 {
		thousandAndOne = append(thousandAndOne, entryAt(now))
	}
	old, odd := entryAt(now.AddDate(0, 0, -31)), entryAt(now)
	odd.Method = "FOO"
	good := entryAt(now)
	for name, x := range map[string]struct {
		body, pointer string
		status        int
	}{
		"no entries":    {`{}`, "/entries", 422},
		"empty list":    {`{"entries":[]}`, "/entries", 422},
		"too many":      {batch(t, thousandAndOne...), "/entries", 422},
		"too old":       {batch(t, good, good, good, old), "/entries/3/served_at", 422},
		"odd method":    {batch(t, good, odd), "/entries/1/method", 422},
		"empty entry":   {`{"entries":[{}]}`, "/entries/0/served_at", 422},
		"unknown field": {`{"entries":[{"path":"/v1/customers/alice"}]}`, "/entries/0/path", 422},
		"wrong type":    {`{"entries":[{"status":"200"}]}`, "/entries/0/status", 422},
		"malformed":     {`{"entries":[`, "", 400},
		"too large":     {`{"entries":[{"route":"` + strings.Repeat("x", 1<<20) + `"}]}`, "", 413},
	} {
		a := c.want(x.status, "POST", "/v1/logs", x.body)
		if x.pointer == "" {
			continue
		}
		var pointers []string
		for _, e := range a.Body["errors"].([]any) {
			pointers = append(pointers, e.(map[string]any)["pointer"].(string))
		}
		if !strings.Contains(" "+strings.Join(pointers, " ")+" ", " "+x.pointer+" ") {
			t.Errorf("%s: points at %v, want %s", name, pointers, x.pointer)
		}
	}
	if got := items(c.want(200, "GET", "/v1/logs", "")); len(got) != 0 {
		t.Errorf("stored %v", got)
	}
}

// A batch that gives way is stored, or refused, like any other.
func TestBatchesThatGiveWay(t *testing.T) {
	c := newCaller(t)
	c.want(202, "POST", "/v1/logs", batch(t, entryAt(time.Now().UTC())), "Priority", "u=7")
	c.want(422, "POST", "/v1/logs", `{"entries":[]}`, "Priority", "u=7")
	if got := len(items(c.want(200, "GET", "/v1/logs", ""))); got != 1 {
		t.Errorf("%d entries are stored, want 1", got)
	}
}

func TestLargestBatchFits(t *testing.T) {
	c := newCaller(t)
	e := entryAt(time.Now().UTC())
	e.Service, e.Route, e.RequestID, e.KeyName = strings.Repeat("s", 100), strings.Repeat("r", 200), strings.Repeat("i", 100), strings.Repeat("k", 100)
	entries := make([]apimetrics.Entry, 1000)
	for i := range entries {
		entries[i] = e
	}
	c.store(entries...)
}

func TestLogsAreFiltered(t *testing.T) {
	c := newCaller(t)
	now := time.Now().UTC().Truncate(time.Second)
	first, second := entryAt(now.Add(-2*time.Hour)), entryAt(now)
	second.Service, second.Route, second.Method, second.Status, second.RequestID = "other-api", apimetrics.Unmatched, "OTHER", 404, "r2"
	c.store(first, second)
	at := func(d time.Duration) string { return now.Add(d).Format(time.RFC3339) }
	for query, want := range map[string]int{
		"":                                  2,
		"?service=sales-api":                1,
		"?service=none":                     0,
		"?route=(unmatched)":                1,
		"?method=OTHER":                     1,
		"?method=GET&status=200":            1,
		"?status=500":                       0,
		"?request_id=r2":                    1,
		"?from=" + at(-time.Hour):           1,
		"?to=" + at(-time.Hour):             1,
		"?from=" + at(0) + "&to=" + at(1e9): 1,
		"?from=" + at(1e9):                  0,
	} {
		if got := len(items(c.want(200, "GET", "/v1/logs"+query, ""))); got != want {
			t.Errorf("%q: %d logs, want %d", query, got, want)
		}
	}
	c.want(400, "GET", "/v1/logs?method=FOO", "")
	for _, status := range []string{"-1", "99", "600", "1185637213331", "9223372036854775808", "200.0"} {
		c.want(400, "GET", "/v1/logs?status="+status, "")
	}
	c.want(400, "GET", "/v1/logs?from=yesterday", "")
}

// A walk over all pages meets each log once, newest first, although new ones
// come in during the walk.
func TestPagesOfLogs(t *testing.T) {
	c := newCaller(t)
	now := time.Now().UTC()
	for i := range 5 { // over several days, so over several partitions
		var entries []apimetrics.Entry
		for j := range 5 {
			e := entryAt(now.AddDate(0, 0, -i))
			e.RequestID = fmt.Sprint(5*i + j)
			entries = append(entries, e)
		}
		c.store(entries...)
	}
	var ids []string
	path := "/v1/logs?limit=4"
	for path != "" {
		a := c.want(200, "GET", path, "")
		for _, item := range items(a) {
			ids = append(ids, item.(map[string]any)["request_id"].(string))
		}
		path, _, _ = strings.Cut(strings.TrimPrefix(a.Header.Get("Link"), "<"), ">")
		late := entryAt(now)
		late.RequestID = "late"
		c.store(late)
	}
	if len(ids) != 25 {
		t.Fatalf("met %v", ids)
	}
	for i, id := range ids {
		if id != fmt.Sprint(24-i) {
			t.Fatalf("met %v", ids)
		}
	}
}

func TestLogsAsCSV(t *testing.T) {
	c := newCaller(t)
	at := time.Now().UTC().Truncate(24 * time.Hour)
	c.store(entryAt(at))
	a := c.want(200, "GET", "/v1/logs", "", "Accept", "text/csv")
	want := "log_id,served_at,service,route,method,status,duration_us,response_bytes,request_id,api_key\r\n" +
		"1," + at.Format(time.RFC3339) + ",sales-api,/v1/orders/:id,GET,200,1500,230,r,sales-reader\r\n"
	if string(a.Text) != want {
		t.Errorf("got %q, want %q", a.Text, want)
	}
}
