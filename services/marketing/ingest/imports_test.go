package ingest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/datameesh/datameesh/services/internal/conformance"
)

const (
	csvHeader = "email,full_name,source,campaign_id,score,external_id\n"
	ndjson    = "application/x-ndjson"
)

// imported sends a file and wants it taken in with the counts.
func (c caller) imported(key, mediaType, body string, stored, duplicates, parked int) map[string]any {
	c.t.Helper()
	a := c.want(201, "POST", "/v1/leads/import", body, "Content-Type", mediaType, "Idempotency-Key", key)
	if a.Body["state"] != "complete" || a.Body["stored"] != float64(stored) || a.Body["duplicates"] != float64(duplicates) || a.Body["parked"] != float64(parked) {
		c.t.Errorf("%s: %s, want %d stored, %d duplicates, %d parked", key, a.Text, stored, duplicates, parked)
	}
	if read := c.want(200, "GET", a.Header.Get("Location"), ""); string(read.Text) != string(a.Text) {
		c.t.Errorf("%s was answered, then %s", a.Text, read.Text)
	}
	return a.Body
}

// count gives the number of leads in the database.
func (c caller) count() (leads int) {
	c.t.Helper()
	if err := c.db.Connect(c.t, "marketing_owner").QueryRow(context.Background(), `SELECT count(*) FROM leads`).Scan(&leads); err != nil {
		c.t.Fatal(err)
	}
	return leads
}

// rows makes n rows of leads of campaign 1, as NDJSON.
func rows(n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = lead(fmt.Sprintf("%d@example.com", i), 1)
	}
	return list
}

func TestFilesAreImported(t *testing.T) {
	c := newCaller(t)
	c.want(201, "POST", "/v1/campaigns", newsletter)
	c.imported("ndjson", ndjson, strings.Join(rows(3), "\n"), 3, 0, 0)
	c.imported("csv", "text/csv; charset=utf-8", csvHeader+"a@example.com,Alice,Website,1,40,\r\n\"b@example.com\",\"Bob \"\"B\"\" Jones, Jr\",Event,1,,x-1", 2, 0, 0)
	c.imported("columns", "text/csv", "campaign_id,source,full_name,email\n1,Event,Carol,c@example.com\n", 1, 0, 0)
	c.imported("empty", ndjson, "\n", 0, 0, 0)
	list := items(c.want(200, "GET", "/v1/leads?cursor="+c.want(200, "GET", "/v1/leads?limit=3", "").Body["next_cursor"].(string), ""))
	b := list[1].(map[string]any)
	if len(list) != 3 || b["email"] != "b@example.com" || b["full_name"] != `Bob "B" Jones, Jr` || b["score"] != 0.0 || b["external_id"] != "x-1" || b["campaign_name"] != "Newsletter" {
		t.Errorf("got %v", list)
	}
}

// One bad row of a thousand costs no other, wherever it stands.
func TestOneBadRowIsParked(t *testing.T) {
	c := newCaller(t)
	c.want(201, "POST", "/v1/campaigns", newsletter)
	for _, at := range []int{0, 500, 999} {
		for bad, reason := range map[string]string{
			`{"email":`:                  "The text ends in the middle of a JSON value.",
			lead("none", 1):              "email is not an e-mail address",
			lead("a@example.com", 99):    "campaign_id is not the id of a campaign",
			lead("a@example.com", `"1"`): "campaign_id must be a whole number, not a string",
			`[]`:                         "the row must be an object, not a list",
			`{"mail":"a@example.com"}`:   "mail is not a known field",
			strings.Repeat("x", 100_000): "the row is longer than 65536 bytes; only its beginning is kept",
			"{\"email\":\"\xff\"}":       "the row is not UTF-8 text",
			strings.Replace(lead("a", 1), "a\"", "a@b\\u0000\"", 1): "email holds control characters",
			lead(strings.Repeat("a", 320), 1):                       "email is too long",
			"{\"email\":\"\x00":                                     "The text is not JSON: invalid character '\\x00' in string (expecting non-control character) at byte 10.",
		} {
			list := rows(1000)
			list[at] = bad
			done := c.imported(fmt.Sprint(at, " ", reason), ndjson, strings.Join(list, "\n"), 999, 0, 1)
			problem := done["problems"].([]any)[0].(map[string]any)
			if problem["position"] != float64(at+1) || problem["reason"] != reason {
				t.Errorf("row %d, %.40q: %v, want %q", at, bad, problem, reason)
			}
		}
		list := make([]string, 1000)
		for i := range list {
			list[i] = fmt.Sprintf("%d@example.com,Alice,Website,1,40,\n", i)
		}
		list[at] = "\"a@example.com,Alice,Website,1,40,\n"
		done := c.imported(fmt.Sprint("csv ", at), "text/csv", csvHeader+strings.Join(list, ""), 999, 0, 1)
		if problem := done["problems"].([]any)[0].(map[string]any); problem["position"] != float64(at+2) {
			t.Errorf("CSV row %d: %v", at, problem)
		}
	}
}

// What people write is stored as it is; exports alone escape formulas.
func TestStrangeTextIsStoredVerbatim(t *testing.T) {
	c := newCaller(t)
	c.want(201, "POST", "/v1/campaigns", newsletter)
	for i, name := range []string{`=cmd()`, `+1`, "👩‍💻 Ünïcode", `"quoted", comma`, "\u202eabc"} {
		cell := `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
		c.imported(name, "text/csv", csvHeader+fmt.Sprintf("jörg@müllër%d.example,%s,Website,1,1,\n", i, cell), 1, 0, 0)
		read := c.want(200, "GET", fmt.Sprintf("/v1/leads/%d", i+1), "").Body
		if read["full_name"] != name || read["email"] != fmt.Sprintf("jörg@müllër%d.example", i) {
			t.Errorf("%q became %v", name, read)
		}
	}
	if text := string(c.want(200, "GET", "/v1/leads", "", "Accept", "text/csv").Text); !strings.Contains(text, ",'=cmd(),") || !strings.Contains(text, ",'+1,") {
		t.Errorf("formulas are not escaped: %s", text)
	}
	c.imported("control", "text/csv", csvHeader+"a@example.com,\"line\nend\",Website,1,1,\n\x1b@example.com,A,Website,1,1,\n", 0, 0, 2)
}

func TestImportsAreRefused(t *testing.T) {
	c := newCaller(t)
	send := func(status int, body string, headers ...string) string {
		t.Helper()
		detail, _ := c.want(status, "POST", "/v1/leads/import", body, headers...).Body["detail"].(string)
		return detail
	}
	if detail := send(400, "{}", "Content-Type", ndjson); !strings.Contains(detail, "goes on") {
		t.Errorf("without a key: %q does not say what for", detail)
	}
	send(400, "{}", "Content-Type", ndjson, "Idempotency-Key", strings.Repeat("x", 256))
	send(415, "{}", "Content-Type", "application/json", "Idempotency-Key", "a")
	send(415, "{}", "Content-Type", ndjson, "Content-Encoding", "gzip", "Idempotency-Key", "a")
	if detail := send(422, "email,name\n", "Content-Type", "text/csv", "Idempotency-Key", "a"); !strings.Contains(detail, `"name"`) || !strings.Contains(detail, "full_name") {
		t.Errorf("an unknown column: %q", detail)
	}
	if detail := send(422, "email,full_name\n", "Content-Type", "text/csv", "Idempotency-Key", "a"); !strings.Contains(detail, "source is missing") {
		t.Errorf("a missing column: %q", detail)
	}
	send(422, "", "Content-Type", "text/csv", "Idempotency-Key", "a")
	c.want(404, "GET", "/v1/leads/imports/1", "")
}

func TestAFileSentTwiceIsOneImport(t *testing.T) {
	c := newCaller(t)
	c.want(201, "POST", "/v1/campaigns", newsletter)
	list := append(rows(2500), "bad", lead("last@example.com", 1))
	text := strings.Join(list, "\n")
	first := c.imported("a", ndjson, text, 2501, 0, 1)
	if again := c.imported("a", ndjson, text, 2501, 0, 1); again["import_id"] != first["import_id"] {
		t.Errorf("import %v became import %v", first["import_id"], again["import_id"])
	}
	if got := c.count(); got != 2501 {
		t.Errorf("%d leads", got)
	}
	for name, other := range map[string]string{"longer": text + "\n{}", "shorter": strings.Join(list[:2000], "\n"), "another": strings.Replace(text, "17@", "18@", 1), "empty": ""} {
		if a := c.Send(writer, "POST", "/v1/leads/import", other, "Content-Type", ndjson, "Idempotency-Key", "a"); a.Status != 422 {
			t.Errorf("%s file with the same key: %d %s", name, a.Status, a.Text)
		}
	}
	if a := c.Send(writer, "POST", "/v1/leads/import", csvHeader, "Content-Type", "text/csv", "Idempotency-Key", "a"); a.Status != 422 {
		t.Errorf("another format with the same key: %d %s", a.Status, a.Text)
	}
}

// A feed that is sent again under another key, whole or in parts at once,
// changes nothing: its leads have external ids.
func TestKnownExternalIDsAreDuplicates(t *testing.T) {
	c := newCaller(t)
	c.want(201, "POST", "/v1/campaigns", newsletter)
	list := make([]string, 1500)
	for i := range list {
		list[i] = fmt.Sprintf("%d@example.com,Alice,Website,1,40,id-%d\n", i, i)
	}
	c.imported("first", "text/csv", csvHeader+strings.Join(list, "")+list[7]+strings.Replace(list[7], "Website", "Event", 1), 1501, 1, 0)
	c.imported("second", "text/csv", csvHeader+strings.Join(list, ""), 0, 1500, 0)
	var senders sync.WaitGroup
	slices.Reverse(list)
	for i := range maxImports {
		for j := range list {
			list[j] = strings.Replace(list[j], "id-", "more-", 1)
		}
		text := csvHeader + strings.Join(list, "")
		senders.Go(func() {
			if a := c.Send(writer, "POST", "/v1/leads/import", text, "Content-Type", "text/csv", "Idempotency-Key", fmt.Sprint("at once ", i)); a.Status != 201 {
				t.Errorf("%d %s", a.Status, a.Text)
			}
		})
		slices.Reverse(list)
	}
	senders.Wait()
	if got := c.count(); got != 3001 {
		t.Errorf("%d leads, want 3001", got)
	}
}

// upload sends what is written to the pipe and gives the status.
func (c caller) upload(ctx context.Context, key string, body io.Reader) (status int, err error) {
	return uploadTo(ctx, c.URL(""), key, body)
}

func uploadTo(ctx context.Context, url, key string, body io.Reader) (status int, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/v1/leads/import", body)
	if err != nil {
		return 0, err
	}
	request.Header.Set("Content-Type", ndjson)
	request.Header.Set("Idempotency-Key", key)
	request.Header.Set("Authorization", "Bearer "+writer)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	return response.StatusCode, response.Body.Close()
}

// until waits for what the database says of itself.
func (c caller) until(what string) {
	c.t.Helper()
	conn := c.db.Connect(c.t, "marketing_owner")
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		var yes bool
		if err := conn.QueryRow(context.Background(), `SELECT coalesce((SELECT `+what+`), false)`).Scan(&yes); err != nil {
			c.t.Fatal(err)
		}
		if yes {
			return
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("after 30 s it is not yet true that %s", what)
		}
	}
}

func TestACutOffImportGoesOn(t *testing.T) {
	c := newCaller(t)
	c.want(201, "POST", "/v1/campaigns", newsletter)
	list := append(rows(5500), "bad")
	ctx, cancel := context.WithCancel(t.Context())
	reader, pipe := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		_, err := c.upload(ctx, "a", reader)
		ended <- err
	}()
	if _, err := io.WriteString(pipe, strings.Join(list[:3300], "\n")); err != nil {
		t.Fatal(err)
	}
	c.until(`stored = 3000 FROM lead_imports`)
	text := strings.Join(list, "\n")
	if a := c.Send(writer, "POST", "/v1/leads/import", text, "Content-Type", ndjson, "Idempotency-Key", "a"); a.Status != 409 || a.Header.Get("Retry-After") == "" {
		t.Errorf("while the first is running: %d %s", a.Status, a.Text)
	}
	if read := c.want(200, "GET", "/v1/leads/imports/1", "").Body; read["state"] != "running" || read["position"] != 3000.0 {
		t.Errorf("meanwhile: %v", read)
	}
	cancel()
	pipe.CloseWithError(errors.New("cut off")) //nolint:errcheck // never fails
	if err := <-ended; err == nil {
		t.Fatal("the first was answered")
	}
	c.until(`count(*) = 0 FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`)
	if a := c.Send(writer, "POST", "/v1/leads/import", strings.Replace(text, "17@", "18@", 1), "Content-Type", ndjson, "Idempotency-Key", "a"); a.Status != 422 {
		t.Errorf("another file: %d %s", a.Status, a.Text)
	}
	c.imported("a", ndjson, text, 5500, 0, 1)
	c.until(`count(*) = 5500 AND count(DISTINCT email) = 5500 FROM leads`)
}

// TestServe is no test: it is the service that TestAKilledServiceStoresNoRowTwice kills.
func TestServe(t *testing.T) {
	url := os.Getenv("SERVE_DATABASE_URL")
	if url == "" {
		return // run by the test below only
	}
	server := conformance.Serve(t, routes(t, url).Handler())
	if err := os.WriteFile(os.Getenv("SERVE_FILE"), []byte(server.URL("")), 0o600); err != nil {
		t.Fatal(err)
	}
	<-t.Context().Done()
}

// A service is killed between storing rows and answering; another goes on.
func TestAKilledServiceStoresNoRowTwice(t *testing.T) {
	c := newCaller(t)
	c.want(201, "POST", "/v1/campaigns", newsletter)
	file := filepath.Join(t.TempDir(), "url")
	service := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestServe$") //nolint:gosec // this test program
	service.Env = append(os.Environ(), "SERVE_DATABASE_URL="+c.db.URL("marketing_app"), "SERVE_FILE="+file)
	if err := service.Start(); err != nil {
		t.Fatal(err)
	}
	var url []byte
	for deadline := time.Now().Add(30 * time.Second); len(url) == 0; time.Sleep(5 * time.Millisecond) {
		url, _ = os.ReadFile(file)
		if time.Now().After(deadline) {
			t.Fatal("the service does not start")
		}
	}
	list := rows(4000)
	reader, pipe := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		_, err := uploadTo(t.Context(), string(url), "a", reader)
		ended <- err
	}()
	if _, err := io.WriteString(pipe, strings.Join(list, "\n")+"\n"); err != nil {
		t.Fatal(err)
	}
	c.until(`stored = 4000 FROM lead_imports`) // all is stored, nothing is answered
	if err := service.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	pipe.CloseWithError(errors.New("cut off")) //nolint:errcheck // never fails
	if err := <-ended; err == nil {
		t.Fatal("the killed service answered")
	}
	service.Wait() //nolint:errcheck // it was killed
	c.until(`count(*) = 0 FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`)
	c.imported("a", ndjson, strings.Join(list, "\n")+"\n", 4000, 0, 0)
	c.until(`count(*) = 4000 AND count(DISTINCT email) = 4000 FROM leads`)
}

func TestMoreImportsThanFitAreSentAway(t *testing.T) {
	c := newCaller(t)
	c.want(201, "POST", "/v1/campaigns", newsletter)
	var senders sync.WaitGroup
	var pipes []*io.PipeWriter
	for i := range maxImports {
		reader, pipe := io.Pipe()
		pipes = append(pipes, pipe)
		senders.Go(func() {
			if status, err := c.upload(t.Context(), fmt.Sprint(i), reader); status != 201 || err != nil {
				t.Errorf("%d, %v", status, err)
			}
		})
	}
	for _, pipe := range pipes {
		if _, err := io.WriteString(pipe, "\n\n\n"); err != nil {
			t.Fatal(err)
		}
	}
	c.until(fmt.Sprintf(`count(*) = %d FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`, maxImports))
	a := c.want(429, "POST", "/v1/leads/import", "", "Content-Type", ndjson, "Idempotency-Key", "one more")
	if a.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	c.want(201, "POST", "/v1/leads", lead("a@example.com", 1)) // others are served
	for _, pipe := range pipes {
		if err := pipe.Close(); err != nil {
			t.Error(err)
		}
	}
	senders.Wait()
	c.imported("one more", ndjson, "", 0, 0, 0)
}

// manyRows is a file of n rows that is nowhere in memory.
type manyRows struct {
	n, made int
	rest    string
	peak    *atomic.Int64 // largest heap seen, in bytes
}

func (m *manyRows) Read(p []byte) (int, error) {
	if m.rest == "" {
		if m.made == m.n {
			return 0, io.EOF
		}
		m.rest = lead(fmt.Sprintf("%d@example.com", m.made), 1) + "\n"
		if m.made++; m.made%20_000 == 0 {
			var now runtime.MemStats
			runtime.ReadMemStats(&now)
			m.peak.Store(max(m.peak.Load(), int64(now.HeapInuse)))
		}
	}
	n := copy(p, m.rest)
	m.rest = m.rest[n:]
	return n, nil
}

// Not parallel to others: it measures the memory of the program.
func TestImportsHaveFlatMemory(t *testing.T) {
	c := newCallerAlone(t)
	c.want(201, "POST", "/v1/campaigns", newsletter)
	runtime.GC()
	var before runtime.MemStats
	runtime.ReadMemStats(&before)
	var peak atomic.Int64
	const n = 200_000 // 25 MB
	if status, err := c.upload(t.Context(), "a", &manyRows{n: n, peak: &peak}); status != 201 || err != nil {
		t.Fatalf("%d, %v", status, err)
	}
	if grown := peak.Load() - int64(before.HeapInuse); grown > 16<<20 {
		t.Errorf("the heap grew by %d bytes", grown)
	}
	if got := c.count(); got != n {
		t.Errorf("%d leads", got)
	}
}

func TestDeadLettersAreCorrectedDrivenAndDiscarded(t *testing.T) {
	c := newCaller(t)
	c.want(201, "POST", "/v1/campaigns", newsletter)
	c.imported("csv", "text/csv", csvHeader+"none,Alice,Website,1,40,x-1\nnone,Bob,Website,1,40,\n", 0, 0, 2)
	c.imported("ndjson", ndjson, "bad\n"+lead("a@example.com", 2), 0, 0, 2)
	const letters = "/v1/leads/dead-letters"
	for query, want := range map[string]int{"": 4, "?import_id=1": 2, "?import_id=2": 2, "?import_id=3": 0, "?status=parked": 4, "?status=driven": 0, "?limit=1": 1} {
		if got := len(items(c.want(200, "GET", letters+query, ""))); got != want {
			t.Errorf("%q: %d dead letters, want %d", query, got, want)
		}
	}
	c.want(400, "GET", letters+"?status=bad", "")

	// 1: corrected and driven
	if got := pointers(c.want(422, "POST", letters+"/1/drive", "")); !slices.Equal(got, []string{"/raw"}) {
		t.Errorf("driven while still bad: the problem points to %v", got)
	}
	c.want(428, "PATCH", letters+"/1", `{"raw":"x"}`, "X-No", "If-Match")
	c.want(412, "PATCH", letters+"/1", `{"raw":"x"}`, "If-Match", `"other"`)
	c.want(422, "PATCH", letters+"/1", `{"raw":"a\u0000"}`)
	c.want(422, "PATCH", letters+"/1", fmt.Sprintf(`{"raw":%q}`, strings.Repeat("x", 65537)))
	fixed := c.want(200, "PATCH", letters+"/1", `{"raw":"alice@example.com,\"Alice, A\",Website,1,40,x-1"}`).Body
	if fixed["status"] != "parked" || fixed["position"] != 2.0 || fixed["reason"] != "email is not an e-mail address" || len(fixed["columns"].([]any)) != 6 {
		t.Errorf("corrected: %v", fixed)
	}
	driven := c.want(200, "POST", letters+"/1/drive", "").Body
	lead1 := c.want(200, "GET", fmt.Sprintf("/v1/leads/%v", driven["lead_id"]), "").Body
	if driven["status"] != "driven" || lead1["email"] != "alice@example.com" || lead1["full_name"] != "Alice, A" || lead1["external_id"] != "x-1" {
		t.Errorf("driven: %v, lead %v", driven, lead1)
	}
	for _, again := range []string{"drive", "discard"} {
		c.want(409, "POST", letters+"/1/"+again, "")
	}
	c.want(409, "PATCH", letters+"/1", `{"raw":"x"}`)

	// 2: a duplicate, discarded
	c.want(200, "PATCH", letters+"/2", `{"raw":"b@example.com,Bob,Website,1,40,x-1"}`)
	c.want(409, "POST", letters+"/2/drive", "")
	c.want(200, "POST", letters+"/2/discard", "")
	c.want(200, "POST", letters+"/2/discard", "")
	c.want(409, "POST", letters+"/2/drive", "")

	// 4: its campaign comes later
	if got := pointers(c.want(422, "POST", letters+"/4/drive", "")); !slices.Equal(got, []string{"/raw"}) {
		t.Errorf("driven without its campaign: the problem points to %v", got)
	}
	c.want(201, "POST", "/v1/campaigns", strings.Replace(newsletter, "Newsletter", "Fair", 1))
	c.want(200, "POST", letters+"/4/drive", "")
	c.want(404, "POST", letters+"/9/drive", "")
	if got := c.count(); got != 2 {
		t.Errorf("%d leads", got)
	}
}

// Of many who drive one letter at once, one does.
func TestALetterIsDrivenOnce(t *testing.T) {
	c := newCaller(t)
	c.imported("a", ndjson, lead("a@example.com", 1), 0, 0, 1)
	c.want(201, "POST", "/v1/campaigns", newsletter)
	var drivers sync.WaitGroup
	var driven atomic.Int32
	for range 20 {
		drivers.Go(func() {
			switch a := c.Send(writer, "POST", "/v1/leads/dead-letters/1/drive", ""); a.Status {
			case 200:
				driven.Add(1)
			case 409:
			default:
				t.Errorf("%d %s", a.Status, a.Text)
			}
		})
	}
	drivers.Wait()
	if got := c.count(); driven.Load() != 1 || got != 1 {
		t.Errorf("driven %d times, %d leads", driven.Load(), got)
	}
}
