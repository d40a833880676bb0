package viewer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"golang.org/x/crypto/bcrypt"

	"github.com/datameesh/datameesh/platform/audit"
	"github.com/datameesh/datameesh/platform/panel"
	"github.com/datameesh/datameesh/platform/render"
	"github.com/datameesh/datameesh/platform/report"
	"github.com/datameesh/datameesh/platform/secrets"
	"github.com/datameesh/datameesh/platform/topology"
)

const generated = "../../dashboards/json"

// A database answers every query with the same rows, and notes what it was asked.
type database struct {
	mu      sync.Mutex
	asked   []string
	columns []string
	rows    [][]any
	err     error
}

func (d *database) Query(_ context.Context, sql string, _ ...any) (pgx.Rows, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked = append(d.asked, sql)
	if d.err != nil {
		return nil, d.err
	}
	return &rows{columns: d.columns, rows: d.rows, at: -1}, nil
}

type rows struct {
	pgx.Rows
	columns []string
	rows    [][]any
	at      int
}

func (r *rows) FieldDescriptions() []pgconn.FieldDescription {
	var list []pgconn.FieldDescription
	for _, c := range r.columns {
		list = append(list, pgconn.FieldDescription{Name: c})
	}
	return list
}
func (r *rows) Next() bool             { r.at++; return r.at < len(r.rows) }
func (r *rows) Values() ([]any, error) { return slices.Clone(r.rows[r.at]), nil }
func (r *rows) Close()                 {}
func (r *rows) Err() error             { return nil }

// serve starts a viewer on the generated dashboards. Everybody's password is "pass " and
// their name.
func serve(t *testing.T, db panel.Database) (*httptest.Server, *server) {
	t.Helper()
	dashboards, err := render.Load(os.DirFS(generated))
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "people")
	var lines strings.Builder
	for _, p := range topology.People {
		hash, err := bcrypt.GenerateFromPassword([]byte("pass "+p.Name), bcrypt.MinCost)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&lines, "%s:%s:%s:%s\n", p.Name, hash, p.Group, p.Does)
	}
	if err := os.WriteFile(file, []byte(lines.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	sources := panel.Sources{}
	for _, name := range []string{"sales-db", "marketing-db", "sales-api-db", "marts"} {
		sources[name] = db
	}
	s := newServer(Config{Dashboards: dashboards, People: file, State: t.TempDir()},
		&report.Set{Sources: sources}, slog.New(slog.NewTextHandler(t.Output(), nil)))
	web := httptest.NewServer(s.handler())
	t.Cleanup(web.Close)
	return web, s
}

// A reader is a browser.
type reader struct {
	t *testing.T
	*http.Client
	base string
}

func newReader(t *testing.T, web *httptest.Server) *reader {
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &reader{t, &http.Client{Jar: jar, Timeout: time.Minute}, web.URL}
}

func (r *reader) do(req *http.Request) (int, string, http.Header) {
	r.t.Helper()
	resp, err := r.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return resp.StatusCode, string(body), resp.Header
}

func (r *reader) get(path string) (int, string, http.Header) {
	r.t.Helper()
	req, err := http.NewRequest(http.MethodGet, r.base+path, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	return r.do(req)
}

func (r *reader) post(path string, form url.Values, origin string) (int, string, http.Header) {
	r.t.Helper()
	req, err := http.NewRequest(http.MethodPost, r.base+path, strings.NewReader(form.Encode()))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if origin != "" {
		req.Header.Set("Origin", origin)
	}
	return r.do(req)
}

func (r *reader) login(name string) {
	r.t.Helper()
	if status, body, _ := r.post("/login", url.Values{"name": {name}, "password": {"pass " + name}}, r.base); status != http.StatusOK || !strings.Contains(body, "Log out") {
		r.t.Fatalf("%s cannot log in: %d", name, status)
	}
}

func figures() *database { return &database{columns: []string{"now"}, rows: [][]any{{1234.5}}} }

// Who may see which dashboard, written by hand.
var cells = map[string]string{
	//        sales-performance marketing-roi customer-journey executive-kpis sales-api mesh-health
	"alex":  "yes yes yes yes yes no",
	"sarah": "yes yes yes yes yes no",
	"mike":  "yes yes yes yes yes yes",
	"emma":  "yes yes yes yes no no",
	"sam":   "yes no no no no no",
	"mia":   "no yes no no no no",
}

func TestWhoReadsWhat(t *testing.T) {
	web, _ := serve(t, figures())
	if len(cells) != len(topology.People) {
		t.Errorf("%d people in the table, %d in the topology", len(cells), len(topology.People))
	}
	for name, row := range cells {
		r := newReader(t, web)
		r.login(name)
		_, list, _ := r.get("/")
		for i, uid := range []string{"sales-performance", "marketing-roi", "customer-journey", "executive-kpis", "sales-api", "mesh-health"} {
			may := strings.Fields(row)[i] == "yes"
			want := http.StatusForbidden
			if may {
				want = http.StatusOK
			}
			status, body, _ := r.get("/d/" + uid)
			if status != want {
				t.Errorf("%s gets %d for %s, want %d", name, status, uid, want)
			}
			if strings.Contains(list, `href="/d/`+uid+`"`) != may {
				t.Errorf("the list of %s holds %s: %t", name, uid, !may)
			}
			if may && strings.Contains(body, "<summary>Query") != (name == "mike") {
				t.Errorf("%s sees queries on %s: %t", name, uid, name != "mike")
			}
			for _, file := range []string{"/report.pdf", "/panel/34938.csv"} {
				if status, _, _ := r.get("/d/" + uid + file); (status == http.StatusForbidden) == may {
					t.Errorf("%s gets %d for %s%s", name, status, uid, file)
				}
			}
			// No link leads to what is forbidden.
			for n, other := range []string{"sales-performance", "marketing-roi", "customer-journey", "executive-kpis", "sales-api", "mesh-health"} {
				if may && strings.Fields(row)[n] == "no" && strings.Contains(body, `href="/d/`+other) {
					t.Errorf("%s is led from %s to %s", name, uid, other)
				}
			}
		}
	}
}

func TestNobodyReadsWithoutLogin(t *testing.T) {
	web, _ := serve(t, figures())
	for _, path := range []string{"/", "/d/executive-kpis", "/d/executive-kpis/report.pdf", "/d/executive-kpis/panel/34938.csv", "/nothing"} {
		_, body, _ := newReader(t, web).get(path)
		if !strings.Contains(body, "<h1>Log in</h1>") || strings.Contains(body, "1,234") {
			t.Errorf("%s is shown to anybody", path)
		}
	}
	for _, path := range []string{"/livez", "/readyz"} {
		if status, _, _ := newReader(t, web).get(path); status != http.StatusOK {
			t.Errorf("%s: %d", path, status)
		}
	}
}

func TestLogin(t *testing.T) {
	web, s := serve(t, figures())
	r := newReader(t, web)
	wrong := url.Values{"name": {"sarah"}, "password": {"pass mike"}, "to": {"/d/executive-kpis"}}
	if status, body, _ := r.post("/login", wrong, web.URL); status != http.StatusUnauthorized || !strings.Contains(body, "name or the password is wrong") {
		t.Errorf("a wrong password: %d", status)
	}
	if status, body, _ := r.post("/login", url.Values{"name": {"nobody"}, "password": {"x"}}, web.URL); status != http.StatusUnauthorized || !strings.Contains(body, "name or the password is wrong") {
		t.Errorf("an unknown name: %d", status)
	}
	// admin exists only where a password was set.
	if status, _, _ := r.post("/login", url.Values{"name": {"admin"}, "password": {""}}, web.URL); status != http.StatusUnauthorized {
		t.Errorf("admin without a password: %d", status)
	}
	// The log-in leads to where one wanted to go, on this site.
	for to, want := range map[string]string{"/d/executive-kpis?from=now-30d": "/d/executive-kpis?from=now-30d", "//elsewhere.example/": "/", "https://elsewhere.example/": "/", `/\elsewhere.example`: "/"} {
		client := newReader(t, web)
		client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		status, _, header := client.post("/login", url.Values{"name": {"sarah"}, "password": {"pass sarah"}, "to": {to}}, web.URL)
		if status != http.StatusSeeOther || header.Get("Location") != want {
			t.Errorf("to %s: %d, %s", to, status, header.Get("Location"))
		}
		c := header.Get("Set-Cookie")
		for _, part := range []string{"HttpOnly", "SameSite=Lax", "Path=/"} {
			if !strings.Contains(c, part) {
				t.Errorf("the cookie lacks %s: %s", part, c)
			}
		}
	}
	// A log-out ends the session on the server.
	r.login("sarah")
	u, _ := url.Parse(web.URL)
	before := r.Jar.Cookies(u)
	r.post("/logout", nil, web.URL)
	other := newReader(t, web)
	other.Jar.SetCookies(u, before)
	if _, body, _ := other.get("/"); !strings.Contains(body, "<h1>Log in</h1>") {
		t.Error("the cookie of a session that was left still opens")
	}
	// Sessions end by themselves.
	r.login("sarah")
	now := time.Now()
	s.door.now = func() time.Time { return now.Add(sessionIdle + time.Minute) }
	if _, body, _ := r.get("/"); !strings.Contains(body, "<h1>Log in</h1>") {
		t.Error("an idle session still opens")
	}
}

func TestGuessingIsSlow(t *testing.T) {
	web, s := serve(t, figures())
	r := newReader(t, web)
	form := url.Values{"name": {"sarah"}, "password": {"guess"}}
	for i := range freeTries {
		if status, _, _ := r.post("/login", form, web.URL); status != http.StatusUnauthorized {
			t.Fatalf("try %d: %d", i+1, status)
		}
	}
	status, _, header := r.post("/login", url.Values{"name": {"sarah"}, "password": {"pass sarah"}}, web.URL)
	if status != http.StatusTooManyRequests || header.Get("Retry-After") == "" {
		t.Errorf("after %d wrong passwords: %d", freeTries, status)
	}
	newReader(t, web).login("emma") // others are not concerned
	now := time.Now()
	s.door.now = func() time.Time { return now.Add(firstPause + time.Second) }
	newReader(t, web).login("sarah")
}

// Of tries that come at once no more are compared than of tries one after the other: the
// right password among the late ones does not open.
func TestGuessingAtOnceIsSlow(t *testing.T) {
	_, s := serve(t, figures())
	now := time.Now()
	s.door.now = func() time.Time { return now } // no pause ends meanwhile
	// All are past the first look at the pause before one is compared.
	for range hashing {
		s.door.slots <- struct{}{}
	}
	const many = mostWaiting
	answers := make(chan error, many)
	for range many {
		go func() {
			_, err := s.door.enter(t.Context(), "sarah", "guess")
			answers <- err
		}()
	}
	waitFor(t, "all wait", func() bool { return len(s.door.queue) == many })
	// The queue is full: others are sent away at once.
	if _, err := s.door.enter(t.Context(), "emma", "pass emma"); !errors.Is(err, errBusy) {
		t.Errorf("one too many: %v", err)
	}
	for range hashing {
		<-s.door.slots
	}
	wrong := 0
	for range many {
		var pause *PauseError
		switch err := <-answers; {
		case errors.Is(err, errWrong):
			wrong++
		case !errors.As(err, &pause):
			t.Errorf("a guess: %v", err)
		}
	}
	if wrong != freeTries {
		t.Errorf("%d of %d guesses were compared, want %d", wrong, many, freeTries)
	}
	if _, err := s.door.enter(t.Context(), "emma", "pass emma"); err != nil {
		t.Errorf("emma, when nobody waits: %v", err)
	}
	if len(s.door.queue) != 0 || len(s.door.slots) != 0 {
		t.Errorf("%d still wait, %d are compared", len(s.door.queue), len(s.door.slots))
	}
	// What was counted for a right password is taken back.
	for range 2 * freeTries {
		if _, err := s.door.enter(t.Context(), "emma", "pass emma"); err != nil {
			t.Fatalf("a right password: %v", err)
		}
	}
}

// Who is sent away is told when to come again, and who goes away keeps no place.
func TestLoginQueue(t *testing.T) {
	web, s := serve(t, figures())
	for range hashing {
		s.door.slots <- struct{}{}
	}
	ctx, leave := context.WithCancel(t.Context())
	left := make(chan error)
	go func() {
		_, err := s.door.enter(ctx, "sarah", "pass sarah")
		left <- err
	}()
	waitFor(t, "sarah waits", func() bool { return len(s.door.queue) == 1 })
	leave()
	if err := <-left; !errors.Is(err, context.Canceled) || len(s.door.queue) != 0 {
		t.Errorf("%v, %d wait", err, len(s.door.queue))
	}
	for range mostWaiting {
		s.door.queue <- struct{}{}
	}
	status, body, header := newReader(t, web).post("/login", url.Values{"name": {"sarah"}, "password": {"pass sarah"}}, web.URL)
	if status != http.StatusServiceUnavailable || header.Get("Retry-After") == "" || !strings.Contains(body, "Too many people log in") {
		t.Errorf("with a full queue: %d, %v", status, header)
	}
}

// bcrypt looks at 72 bytes: a password of that length opens alone, nothing that begins with it.
func TestLongPasswords(t *testing.T) {
	web, s := serve(t, figures())
	long := strings.Repeat("p", longestPassword)
	hash, err := bcrypt.GenerateFromPassword([]byte(long), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.People, fmt.Appendf(nil, "sarah:%s:analysts:\n", hash), 0o600); err != nil {
		t.Fatal(err)
	}
	for password, want := range map[string]int{long: http.StatusOK, long + "x": http.StatusUnauthorized} {
		status, body, _ := newReader(t, web).post("/login", url.Values{"name": {"sarah"}, "password": {password}}, web.URL)
		if status != want || strings.Contains(body, "at most 72 bytes") != (want != http.StatusOK) {
			t.Errorf("%d bytes: %d, want %d", len(password), status, want)
		}
	}
}

// waitFor waits until it is so.
func waitFor(t *testing.T, what string, so func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !so(); runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("not so within a minute: %s", what)
		}
	}
}

func TestFormsOfOtherSitesAreRefused(t *testing.T) {
	web, _ := serve(t, figures())
	r := newReader(t, web)
	if status, _, _ := r.post("/login", url.Values{"name": {"sarah"}, "password": {"pass sarah"}}, "https://elsewhere.example"); status != http.StatusForbidden {
		t.Errorf("a log-in from another site: %d", status)
	}
	r.login("sarah")
	if status, _, _ := r.post("/logout", nil, "https://elsewhere.example"); status != http.StatusForbidden {
		t.Errorf("a log-out from another site: %d", status)
	}
	if _, body, _ := r.get("/"); !strings.Contains(body, "Log out") {
		t.Error("another site ended the session")
	}
	// Nothing else takes a form: nobody changes anything here.
	for _, path := range []string{"/", "/d/executive-kpis", "/d/executive-kpis/panel/34938.csv"} {
		for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodPatch} {
			req, _ := http.NewRequest(method, web.URL+path, nil)
			req.Header.Set("Origin", web.URL)
			if status, _, _ := r.do(req); status != http.StatusMethodNotAllowed && status != http.StatusNotFound {
				t.Errorf("%s %s: %d", method, path, status)
			}
		}
	}
}

func TestHeaders(t *testing.T) {
	web, s := serve(t, figures())
	r := newReader(t, web)
	r.login("mike")
	for _, path := range []string{"/", "/d/executive-kpis", "/d/executive-kpis/report.pdf", "/login", "/nothing"} {
		_, body, header := r.get(path)
		for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store"} {
			if header.Get(name) != want {
				t.Errorf("%s: %s is %q", path, name, header.Get(name))
			}
		}
		policy := header.Get("Content-Security-Policy")
		if !strings.Contains(policy, "default-src 'none'") || !strings.Contains(policy, "frame-ancestors 'none'") || strings.Contains(policy, "unsafe") {
			t.Errorf("%s: policy %q", path, policy)
		}
		for _, forbidden := range []string{"<script", " style=", "javascript:", "http://fonts", "@import", " onclick"} {
			if strings.HasPrefix(header.Get("Content-Type"), "text/html") && strings.Contains(body, forbidden) {
				t.Errorf("%s holds %s", path, forbidden)
			}
		}
	}
	if _, _, header := r.get(s.sheet); header.Get("Content-Type") != "text/css; charset=utf-8" || !strings.Contains(header.Get("Cache-Control"), "immutable") {
		t.Errorf("style sheet: %v", header)
	}
}

func TestHostileInput(t *testing.T) {
	db := figures()
	web, _ := serve(t, db)
	r := newReader(t, web)
	r.login("sarah")
	for path, want := range map[string]int{
		"/d/nothing":                                                   http.StatusNotFound,
		"/d/..%2f..%2fetc%2fpasswd":                                    http.StatusNotFound,
		"/d/sales-performance?from=tomorrow":                           http.StatusBadRequest,
		"/d/sales-performance?from=now&to=now-1d":                      http.StatusBadRequest,
		"/d/sales-performance?from=0001-01-01":                         http.StatusBadRequest,
		"/d/sales-performance?from=1900-01-01&to=2200-01-01":           http.StatusBadRequest,
		"/d/sales-performance?from=now-9999999999d":                    http.StatusBadRequest,
		"/d/sales-performance?var-region=a%00b":                        http.StatusBadRequest,
		"/d/sales-performance?var-region=%ff":                          http.StatusBadRequest,
		"/d/sales-performance?var-region=" + strings.Repeat("a", 2000): http.StatusBadRequest,
		"/d/sales-performance?var-unknown=x":                           http.StatusOK,
		"/d/sales-performance/panel/1.csv":                             http.StatusNotFound,
		"/d/sales-performance/panel/x.csv":                             http.StatusNotFound,
		"/d/sales-performance/panel/290739.exe":                        http.StatusNotFound,
		"/d/sales-performance/a/b/c":                                   http.StatusNotFound,
		"/d/sales-performance/sales-performance":                       http.StatusOK, // Grafana's addresses end with the title
		"/d/sales-performance?from=1764288000000&to=1764374400000":     http.StatusOK,
		"/nothing": http.StatusNotFound,
	} {
		status, body, _ := r.get(path)
		if status != want {
			t.Errorf("%.80s: %d, want %d", path, status, want)
		}
		for _, inner := range []string{"pgx", "goroutine", "127.0.0.1", "SELECT"} {
			if strings.Contains(body, inner) {
				t.Errorf("%.80s shows %s", path, inner)
			}
		}
	}
	// Values stay literals in SQL, and text on the page.
	for _, value := range []string{`'; DROP TABLE customers; --`, `<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `${region:raw}`, `$__timeFilter(x)`, `العربية`, `😀`} {
		db.mu.Lock()
		db.asked = nil
		db.mu.Unlock()
		status, body, _ := r.get("/d/sales-performance?var-region=" + url.QueryEscape(value))
		if status != http.StatusOK {
			t.Errorf("%q: %d", value, status)
		}
		if strings.Contains(body, "<script>") || strings.Contains(body, "<img") {
			t.Errorf("%q is markup on the page", value)
		}
		literal := "'" + strings.ReplaceAll(value, "'", "''") + "'"
		if !slices.ContainsFunc(db.asked, func(sql string) bool { return strings.Contains(sql, "ARRAY["+literal+"]") }) {
			t.Errorf("%q is no literal in any query", value)
		}
	}
	// Large heads and bodies are refused.
	if status, _, _ := r.post("/login", url.Values{"name": {strings.Repeat("x", largestForm)}}, web.URL); status != http.StatusBadRequest {
		t.Errorf("a large form: %d", status)
	}
}

// What a database does not answer stands in its panels, in words for people.
func TestDatabaseDown(t *testing.T) {
	db := &database{err: &refused{}}
	web, _ := serve(t, db)
	for name, sees := range map[string]bool{"emma": false, "mike": true} {
		r := newReader(t, web)
		r.login(name)
		status, body, _ := r.get("/d/executive-kpis")
		if status != http.StatusOK || !strings.Contains(body, "cannot be reached") {
			t.Errorf("%s: %d", name, status)
		}
		if strings.Contains(body, "dial tcp 127.0.0.1:5432") != sees {
			t.Errorf("%s sees the address: %t", name, !sees)
		}
		if status, _, _ := r.get("/d/executive-kpis/panel/34938.csv"); status != http.StatusServiceUnavailable {
			t.Errorf("an empty CSV would look like no data: %d", status)
		}
		if status, body, _ := r.get("/d/executive-kpis/report.pdf"); status != http.StatusOK || !strings.HasPrefix(body, "%PDF") {
			t.Errorf("the report: %d", status)
		}
	}
}

type refused struct{}

func (*refused) Error() string   { return "dial tcp 127.0.0.1:5432: connect: connection refused" }
func (*refused) Timeout() bool   { return false }
func (*refused) Temporary() bool { return false }

// Without the file of people, or with one that is not understood, nobody comes in, and who
// is inside reads nothing.
func TestDamagedPeople(t *testing.T) {
	web, s := serve(t, figures())
	r := newReader(t, web)
	r.login("sarah")
	for name, damage := range map[string]func() error{
		"no group": func() error { return os.WriteFile(s.People, []byte("sarah:hash\n"), 0o600) },
		"no file":  func() error { return os.Remove(s.People) },
	} {
		if err := damage(); err != nil {
			t.Fatal(err)
		}
		if status, _, _ := newReader(t, web).post("/login", url.Values{"name": {"sarah"}, "password": {"pass sarah"}}, web.URL); status != http.StatusServiceUnavailable {
			t.Errorf("%s: a log-in gets %d", name, status)
		}
		if status, body, _ := r.get("/d/executive-kpis"); status != http.StatusServiceUnavailable || strings.Contains(body, "1,234") {
			t.Errorf("%s: who is inside gets %d", name, status)
		}
	}
}

// The viewer's people are those of the mesh, at each log-in and each request.
func TestPeopleComeAndGo(t *testing.T) {
	web, s := serve(t, figures())
	store, _, err := secrets.Ensure(filepath.Join(t.TempDir(), "secrets"), "")
	if err != nil {
		t.Fatal(err)
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	write := func() {
		t.Helper()
		_, err := store.WriteViewerPeople(s.People)
		must(err)
	}
	enter := func(name, password string) *reader {
		t.Helper()
		r := newReader(t, web)
		if status, _, _ := r.post("/login", url.Values{"name": {name}, "password": {password}}, web.URL); status != http.StatusOK {
			t.Fatalf("%s cannot log in: %d", name, status)
		}
		return r
	}
	sees := func(r *reader, path, part string) bool {
		t.Helper()
		_, body, _ := r.get(path)
		return strings.Contains(body, part)
	}
	const out = "<h1>Log in</h1>"
	var cheap strings.Builder // hashes that fit stay; those of the real cost take long under the race detector
	for _, p := range topology.People {
		password, err := store.Person(p.Name)
		must(err)
		hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
		must(err)
		fmt.Fprintf(&cheap, "%s:%s\n", p.Name, hash)
	}
	must(os.WriteFile(s.People, []byte(cheap.String()), 0o600))
	write()
	sarahs, err := store.Person("sarah")
	must(err)
	sarah := enter("sarah", sarahs)

	must(store.AddPerson(topology.Person{Name: "dana", Group: "executives", Does: "board: member"}, "a-password-of-d"))
	write()
	dana := enter("dana", "a-password-of-d")
	if !sees(dana, "/d/executive-kpis", "board: member") || !sees(dana, "/d/mesh-health", "Not for dana") {
		t.Error("dana does not read what executives read")
	}
	// Another password ends what the old one opened.
	must(store.SetPassword("dana", "another-password-of-d"))
	write()
	if !sees(dana, "/", out) {
		t.Error("a session outlives its password")
	}
	// Another person of the same name is who they are now.
	dana = enter("dana", "another-password-of-d")
	must(store.RemovePerson("dana"))
	write()
	if !sees(dana, "/d/executive-kpis", out) {
		t.Error("a session outlives its person")
	}
	must(store.AddPerson(topology.Person{Name: "dana", Group: "sales_team", Does: "sales"}, "another-password-of-d"))
	write()
	if !sees(dana, "/d/executive-kpis", out) {
		t.Error("a session is of somebody else now")
	}
	dana = enter("dana", "another-password-of-d")
	if !sees(dana, "/d/executive-kpis", "Not for dana") {
		t.Error("dana of the sales team reads what executives read")
	}
	// The group alone: the hash of the password is the same.
	text, err := os.ReadFile(s.People)
	must(err)
	must(os.WriteFile(s.People, []byte(strings.Replace(string(text), ":sales_team:sales\n", ":executives:sales\n", 1)), 0o600))
	if !sees(dana, "/", out) {
		t.Error("a session outlives its group")
	}
	if !sees(enter("dana", "another-password-of-d"), "/d/executive-kpis", "1,234") {
		t.Error("the group of before is still in force")
	}
	if !sees(sarah, "/", "Log out") {
		t.Error("sarah was logged out, of whom nothing changed")
	}
}

func TestTwentyAtOnce(t *testing.T) {
	web, _ := serve(t, figures())
	var work sync.WaitGroup
	for i := range 20 {
		r := newReader(t, web)
		r.login(topology.People[i%4].Name)
		work.Go(func() {
			for _, path := range []string{"/", "/d/sales-performance", "/d/sales-performance/report.pdf", "/d/customer-journey"} {
				if status, _, _ := r.get(path); status != http.StatusOK {
					t.Errorf("%s: %d", path, status)
				}
			}
		})
	}
	work.Wait()
}

func TestDue(t *testing.T) {
	for now, want := range map[string]string{
		"2026-11-23T05:59:00Z": "2026-11-16T06:00:00Z", // a Monday before the hour
		"2026-11-23T06:00:00Z": "2026-11-23T06:00:00Z",
		"2026-11-29T23:59:00Z": "2026-11-23T06:00:00Z", // Sunday
		"2027-01-01T00:00:00Z": "2026-12-28T06:00:00Z",
	} {
		at, err := time.Parse(time.RFC3339, now)
		if err != nil {
			t.Fatal(err)
		}
		if got := due(at).Format(time.RFC3339); got != want {
			t.Errorf("%s: %s, want %s", now, got, want)
		}
	}
}

func TestFromEnvSaysWhatIsMissing(t *testing.T) {
	_, err := FromEnv(func(string) string { return "" })
	for _, name := range []string{"VIEWER_ADDR", "VIEWER_DASHBOARDS", "VIEWER_PEOPLE", "VIEWER_STATE"} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%v does not name %s", err, name)
		}
	}
	env := map[string]string{"VIEWER_ADDR": "127.0.0.1:0", "VIEWER_DASHBOARDS": t.TempDir(), "VIEWER_PEOPLE": "x", "VIEWER_STATE": "x"}
	if _, err := FromEnv(func(name string) string { return env[name] }); err == nil || !strings.Contains(err.Error(), "no dashboards") {
		t.Errorf("an empty folder: %v", err)
	}
	if _, err := report.Connect(t.Context(), []report.Source{{UID: "marts", Address: "MARTS_ADDRESS", Password: "MARTS_PASSWORD"}}, func(string) string { return "" }); err == nil || errors.Is(err, context.Canceled) {
		t.Errorf("a source without an address: %v", err)
	}
}

// Who comes in, and who does not, is told to the audit record and the log: names that
// nobody has are not, and what is refused without a comparison once a minute.
func TestLoginIsAudited(t *testing.T) {
	told := make(chan string, 10)
	sink := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var events []audit.Event
		if err := json.NewDecoder(r.Body).Decode(&events); err != nil || r.Header.Get("Authorization") != "Bearer token" {
			t.Errorf("%v %v", r.Header, err)
		}
		for _, e := range events {
			told <- strings.Join([]string{e.Who, e.Tool, e.Action, e.Outcome, e.From}, " ")
		}
		w.WriteHeader(http.StatusNoContent)
	}))
	defer sink.Close()
	web, s := serve(t, figures())
	s.Audit = audit.Client{URL: sink.URL, Token: "token"}
	var log bytes.Buffer
	s.log = slog.New(slog.NewTextHandler(&log, nil)) // written to by requests, one after the other
	now := time.Now()
	s.door.now = func() time.Time { return now }
	try := func(name, password string, want int, told1 string) {
		t.Helper()
		if status, _, _ := newReader(t, web).post("/login", url.Values{"name": {name}, "password": {password}}, web.URL); status != want {
			t.Errorf("%s: status %d, want %d", name, status, want)
		}
		if told1 == "" {
			return // what is told next would be this
		}
		select {
		case got := <-told:
			if got != told1 {
				t.Errorf("told %q, want %q", got, told1)
			}
		case <-time.After(time.Minute):
			t.Fatal("nothing was told")
		}
	}
	const (
		refused, ok = "sarah viewer login refused 127.0.0.1", "sarah viewer login ok 127.0.0.1"
		nobodys     = "(unknown) viewer login refused 127.0.0.1"
		typed       = "my-secret-password"
	)
	try("sarah", "wrong", http.StatusUnauthorized, refused)
	try("sarah", "pass sarah", http.StatusOK, ok)
	try(typed, "sarah", http.StatusUnauthorized, nobodys)
	try(typed+"2", "sarah", http.StatusUnauthorized, "")
	try("", "sarah", http.StatusUnauthorized, "")
	// Each wrong password is recorded, and the pause after them once a minute.
	for range freeTries {
		try("sarah", "wrong", http.StatusUnauthorized, refused)
	}
	try("sarah", "pass sarah", http.StatusTooManyRequests, refused)
	for range 20 {
		try("sarah", "wrong", http.StatusTooManyRequests, "")
	}
	try("emma", strings.Repeat("p", longestPassword+1), http.StatusUnauthorized, "emma viewer login refused 127.0.0.1")
	now = now.Add(recordEvery)
	try("sarah", "pass sarah", http.StatusOK, ok)
	try(typed, "sarah", http.StatusUnauthorized, nobodys)
	if text := log.String(); strings.Contains(text, typed) || strings.Count(text, "name=(unknown)") != 2 || strings.Count(text, `msg="log-in refused" name=sarah`) != 1+freeTries+1 {
		t.Errorf("the log:\n%s", text)
	}
}
