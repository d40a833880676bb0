package tour

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/datameesh/datameesh/platform/local"
	"github.com/datameesh/datameesh/platform/render"
	"github.com/datameesh/datameesh/platform/report"
	"github.com/datameesh/datameesh/platform/state"
	"github.com/datameesh/datameesh/platform/topology"
)

// Executive is emma's morning: one page, on a screen, on paper and by mail.
func Executive(m Mesh) Tour {
	e := &executive{mesh: m}
	const viewer, marts, sales = "mesh-viewer", "platform-db", "sales-db"
	return Tour{
		Name: "executive", Person: "emma",
		About: "one page with at most seven numbers, on paper and by mail, and nothing that could be changed",
		Steps: []Step{
			{"09:00", "Log in, to read only", []string{viewer}, e.login},
			{"09:05", "See at most seven key figures, and how fresh they are", []string{viewer, marts}, e.figures},
			{"09:07", "Find the figures of the domain", []string{viewer, marts, sales}, e.agree},
			{"09:09", "See trends and departments", []string{viewer, marts}, e.trends},
			{"09:12", "Try to change something", []string{viewer, marts}, e.change},
			{"09:15", "Export one sheet for the board", []string{viewer, marts}, e.print},
			{"09:17", "Share it by mail", []string{viewer, marts, "mailbox"}, e.mail},
		},
	}
}

type executive struct {
	mesh Mesh
	at   *guest
	page string
	took time.Duration
}

const emma = "emma"

func (e *executive) login(ctx context.Context) (string, error) {
	at, list, err := e.mesh.login(ctx, emma)
	if err != nil {
		return "", err
	}
	e.at = at
	return "emma sees " + plural(strings.Count(list, `<li><a href="/d/`), "dashboard"), nil
}

// jargon is what a page for her does not say: names with underscores, SQL, addresses.
var jargon = regexp.MustCompile(`>[^<]*(?:[a-z]+_[a-z]+|SELECT |localhost|127\.0\.0\.1)[^<]*<`)

func (e *executive) figures(ctx context.Context) (string, error) {
	begin := time.Now()
	var err error
	if e.page, err = e.at.get(ctx, "/d/executive-kpis"); err != nil {
		return "", err
	}
	e.took = time.Since(begin)
	if err := healthy(e.page); err != nil {
		return "", err
	}
	tiles := strings.Count(e.page, `<p class="figure `)
	if tiles == 0 || tiles > 7 {
		return "", &DifferenceError{"key figures", fmt.Sprint(tiles), "one to seven"}
	}
	if err := same("figures beside the period before", strings.Count(e.page, "vs. period before"), tiles); err != nil {
		return "", err
	}
	fresh := regexp.MustCompile(`data up to (\d{4}-\d{2}-\d{2})`).FindStringSubmatch(e.page)
	if fresh == nil {
		return "", errors.New("the page does not say how fresh its data is")
	}
	asOf, err := e.mesh.ask(ctx, "sales-db", "sales_data", topology.RoleTrino, `SELECT as_of::text FROM mesh_meta`)
	if err != nil {
		return "", err
	}
	if err := same("how fresh the page says it is", fresh[1], asOf[0]); err != nil {
		return "", err
	}
	if found := jargon.FindString(e.page); found != "" {
		return "", &DifferenceError{"the words of the page", found, "words of business"}
	}
	return fmt.Sprintf("%d figures, each beside the period before, as of %s, in %.2f s", tiles, fresh[1], e.took.Seconds()), nil
}

func (e *executive) agree(ctx context.Context) (string, error) {
	var found []string
	for title, days := range map[string]int{"Revenue, 7 days": 7, "Revenue, 30 days": 30} {
		direct, err := e.mesh.ask(ctx, "sales-db", "sales_data", topology.RoleTrino, fmt.Sprintf(
			`SELECT `+dollars+` FROM orders, mesh_meta WHERE status = 'paid' AND ordered_at >= (as_of - %d)::timestamptz AND ordered_at < as_of::timestamptz`, "sum(total_amount)", days))
		if err != nil {
			return "", err
		}
		if !strings.Contains(e.page, ">"+direct[0]+"<") {
			return "", &DifferenceError{title, "another amount on the page", direct[0]}
		}
		found = append(found, title+" "+direct[0])
	}
	slices.Sort(found)
	return strings.Join(found, "; "), nil
}

func (e *executive) trends(context.Context) (string, error) {
	for _, title := range []string{"Revenue per week", "Revenue per month", "Revenue and spend by channel", "Revenue by region"} {
		if !strings.Contains(e.page, `aria-labelledby`) || !strings.Contains(e.page, ">"+title+"</h3>") {
			return "", fmt.Errorf("the page has no picture %q", title)
		}
	}
	return plural(strings.Count(e.page, `class="wide"`), "picture") + ", each with its numbers as a table", nil
}

func (e *executive) change(ctx context.Context) (string, error) {
	for _, try := range []struct {
		method, path string
		status       []int
	}{
		{http.MethodPost, "/d/executive-kpis", []int{http.StatusMethodNotAllowed, http.StatusNotFound}},
		{http.MethodPut, "/d/executive-kpis", []int{http.StatusMethodNotAllowed, http.StatusNotFound}},
		{http.MethodDelete, "/d/executive-kpis", []int{http.StatusMethodNotAllowed, http.StatusNotFound}},
		{http.MethodGet, "/d/mesh-health", []int{http.StatusForbidden}},
		{http.MethodGet, "/d/sales-api/report.pdf", []int{http.StatusForbidden}},
	} {
		status, _, err := e.at.send(ctx, try.method, try.path, url.Values{})
		if err != nil {
			return "", err
		}
		if !slices.Contains(try.status, status) {
			return "", &DifferenceError{try.method + " " + try.path, fmt.Sprint(status), fmt.Sprint(try.status)}
		}
	}
	if strings.Contains(e.page, "<summary>Query") || strings.Count(e.page, `method="post"`) != 1 {
		return "", &DifferenceError{"forms and queries on the page", "more", "the log-out alone"}
	}
	return "every change is refused, and so are pages of engineers", nil
}

func (e *executive) print(ctx context.Context) (string, error) {
	pdf, err := e.at.get(ctx, "/d/executive-kpis/report.pdf")
	if err != nil {
		return "", err
	}
	if !strings.HasPrefix(pdf, "%PDF-") || !strings.Contains(pdf, "/MediaBox [0 0 595.28 841.89]") {
		return "", &DifferenceError{"the report", "something else", "a PDF on A4"}
	}
	return fmt.Sprintf("one sheet of A4, %d KB", len(pdf)>>10), same("sheets", sheets(pdf), 1)
}

func (e *executive) mail(ctx context.Context) (string, error) {
	if e.mesh.Tools.Mailbox == "" {
		return noMailbox, nil
	}
	since := time.Now().Add(-time.Second)
	page, err := e.mesh.report(ctx, "executive-kpis")
	if err != nil {
		return "", err
	}
	if err := page.Mail(ctx, e.mesh.smtp(), report.Sender, []string{emma + "@" + topology.MailDomain}); err != nil {
		return "", err
	}
	text, attached, err := e.mesh.mailed(ctx, page.Title, emma, since)
	if err != nil {
		return "", err
	}
	if !strings.Contains(text, "Revenue, 30 days: $") || !slices.Contains(attached, page.FileName("pdf")) {
		return "", &DifferenceError{"the mail", text, "key numbers, and a PDF beside them"}
	}
	return attached[0] + " for " + emma, nil
}

func (m Mesh) smtp() string { return local.SMTPAddress(m.Mesh) }

// report runs the queries of a dashboard, as meesh report does.
func (m Mesh) report(ctx context.Context, uid string) (*report.Page, error) {
	dir, err := state.Find()
	if err != nil {
		return nil, err
	}
	folder := os.DirFS(dir.Dashboards())
	dashboards, err := render.Load(folder)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(dashboards, func(d render.Dashboard) bool { return d.UID == uid })
	if i < 0 {
		return nil, fmt.Errorf("no dashboard %s", uid)
	}
	sources, err := report.LoadSources(folder)
	if err != nil {
		return nil, err
	}
	lookup, err := local.DashboardSources(m.Mesh, m.Secrets)
	if err != nil {
		return nil, err
	}
	set, err := report.Connect(ctx, sources, lookup)
	if err != nil {
		return nil, err
	}
	defer set.Close()
	page, err := set.Open(ctx, dashboards[i], report.Request{}, time.Now())
	if err == nil && !page.Reached() {
		err = report.ErrUnreachable
	}
	return page, err
}
