package tour

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/datameesh/datameesh/platform/query"
	"github.com/datameesh/datameesh/platform/render"
	"github.com/datameesh/datameesh/platform/report"
	"github.com/datameesh/datameesh/platform/topology"
)

// Analyst is sarah's day: dashboards, filters, drill-downs, files for a meeting. What
// only a Grafana has is not shown without one.
func Analyst(m Mesh) Tour {
	a := &analyst{mesh: m}
	const viewer, marts, sales, marketing, grafana, mailbox = "mesh-viewer", "platform-db", "sales-db", "marketing-db", "grafana", "mailbox"
	return Tour{
		Name: "analyst", Person: "sarah",
		About: "dashboards, filters, drill-downs, a PDF for a meeting, numbers that agree everywhere",
		Steps: []Step{
			{"08:30", "Log in to the dashboards", []string{viewer}, a.login},
			{"08:32", "Log in to Grafana", []string{grafana}, a.grafana},
			{"08:35", "Open the three pre-built dashboards", []string{viewer, marts, marketing}, a.open},
			{"09:00", "Filter by date range, and compare with the domain", []string{viewer, marts, sales}, a.filter},
			{"09:10", "Drill down by channel and campaign", []string{viewer, marts, marketing}, a.drill},
			{"09:20", "Compare with the API, Trino and PostgreSQL", []string{viewer, marts, sales, "sales-api", "trino"}, a.compare},
			{"09:30", "Export to PDF for a meeting", []string{viewer, marts}, a.export},
			{"10:00", "Create a new visualization", []string{grafana, marts}, a.create},
			{"11:00", "Be told when conversion falls below 20 %", []string{grafana, mailbox, marts}, a.alert},
			{"11:10", "Have a report mailed", []string{viewer, marts, mailbox}, a.mail},
		},
	}
}

type analyst struct {
	mesh Mesh
	at   *guest
}

const sarah = "sarah"

func (a *analyst) login(ctx context.Context) (string, error) {
	at, list, err := a.mesh.login(ctx, sarah)
	if err != nil {
		return "", err
	}
	a.at = at
	return "a wrong password is refused; sarah sees " + plural(strings.Count(list, `<li><a href="/d/`), "dashboard"), nil
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return strconv.Itoa(n) + " " + what + "s"
}

// asGrafana is a request of sarah's to Grafana.
func (a *analyst) asGrafana(ctx context.Context, method, path, body string) (*http.Request, error) {
	password, err := a.mesh.Secrets.Person(sarah)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, method, a.mesh.address(topology.PortGrafana)+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(sarah+":"+password)))
	req.Header.Set("Content-Type", "application/json")
	return req, nil
}

func (a *analyst) grafana(ctx context.Context) (string, error) {
	if a.mesh.Tools.Grafana == nil {
		return noGrafana, nil
	}
	req, err := a.asGrafana(ctx, http.MethodGet, "/api/user", "")
	if err != nil {
		return "", err
	}
	var who struct{ Login string }
	if err := fetch(req, &who); err != nil {
		return "", err
	}
	return "Grafana knows sarah", same("who Grafana says it is", who.Login, sarah)
}

func (a *analyst) open(ctx context.Context) (string, error) {
	var panels int
	for _, uid := range []string{"sales-performance", "marketing-roi", "customer-journey"} {
		page, err := a.at.get(ctx, "/d/"+uid)
		if err != nil {
			return "", err
		}
		if err := healthy(page); err != nil {
			return "", fmt.Errorf("%s: %w", uid, err)
		}
		panels += strings.Count(page, `<article class="panel`)
	}
	if panels == 0 {
		return "", errors.New("the dashboards have no panels")
	}
	return plural(panels, "panel") + " without a problem", nil
}

// monthOf are the first day of a whole month before as_of, and its last.
const monthOf = `SELECT to_char(date_trunc('month', as_of) - interval '1 month', 'YYYY-MM-DD'), to_char(date_trunc('month', as_of) - interval '1 day', 'YYYY-MM-DD') FROM mesh_meta`

func (a *analyst) filter(ctx context.Context) (string, error) {
	month, err := a.mesh.ask(ctx, "sales-db", "sales_data", topology.RoleTrino, monthOf)
	if err != nil {
		return "", err
	}
	page, err := a.at.get(ctx, "/d/sales-performance?from="+month[0]+"&to="+month[1])
	if err != nil {
		return "", err
	}
	shown, err := a.mesh.ask(ctx, "sales-db", "sales_data", topology.RoleTrino, fmt.Sprintf(
		`SELECT `+dollars+`, coalesce(sum(total_amount), 0)::text FROM orders WHERE status = 'paid' AND ordered_at >= '%s' AND ordered_at < date '%s' + 1`, "coalesce(sum(total_amount), 0)", month[0], month[1]))
	if err != nil {
		return "", err
	}
	if !strings.Contains(page, ">"+shown[0]+"<") {
		return "", &DifferenceError{"revenue of " + month[0][:7], "another amount on the page", shown[0]}
	}
	rows, err := a.at.csv(ctx, page, "Revenue")
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s of %s, on the page and in the CSV as in sales-db", shown[0], month[0][:7]), same("revenue in the CSV", cents(rows[0][0]), cents(shown[1]))
}

// cents of a decimal, so that 12.5 is 12.50.
func cents(text string) string {
	whole, rest, _ := strings.Cut(text, ".")
	return whole + "." + (rest + "00")[:max(2, len(rest))]
}

// money writes a sum as the pages do; what is no number stays as it is.
func money(text string) string {
	sum, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return text
	}
	return render.Field{Unit: "currencyUSD"}.Format(sum)
}

var (
	channelLink  = regexp.MustCompile(`<a href="(/d/marketing-roi\?[^"]*var-channel=([^"&]+)[^"]*)"`)
	campaignLink = regexp.MustCompile(`<td[^>]*><a href="(/d/customer-journey\?[^"]*var-campaign=[^"]+)"[^>]*>([^<]+)</a>`)
)

func (a *analyst) drill(ctx context.Context) (string, error) {
	page, err := a.at.get(ctx, "/d/marketing-roi")
	if err != nil {
		return "", err
	}
	link := channelLink.FindStringSubmatch(page)
	if link == nil {
		return "", errors.New("no bar leads to a channel")
	}
	channel, err := url.QueryUnescape(html.UnescapeString(link[2]))
	if err != nil {
		return "", err
	}
	if page, err = a.at.get(ctx, html.UnescapeString(link[1])); err != nil {
		return "", err
	}
	rows, err := a.at.csv(ctx, page, "Spend")
	if err != nil {
		return "", err
	}
	spend, err := a.mesh.ask(ctx, "marketing-db", "marketing_data", topology.RoleTrino, `SELECT sum(spend)::text FROM campaigns WHERE channel = '`+strings.ReplaceAll(channel, "'", "''")+`'`)
	if err != nil {
		return "", err
	}
	if err := same("spend of "+channel, cents(rows[0][0]), cents(spend[0])); err != nil {
		return "", err
	}
	campaign := campaignLink.FindStringSubmatch(page)
	if campaign == nil {
		return "", errors.New("no row leads to a campaign")
	}
	address := html.UnescapeString(campaign[1])
	if !strings.Contains(address, "var-channel="+url.QueryEscape(channel)) || !strings.Contains(address, "from=now-90d") {
		return "", &DifferenceError{"the link to a campaign", address, "the channel and the range of time go along"}
	}
	if page, err = a.at.get(ctx, address); err != nil {
		return "", err
	}
	name := html.UnescapeString(campaign[2])
	if !strings.Contains(page, "Campaign: "+html.EscapeString(name)) {
		return "", &DifferenceError{"the page of the campaign", "no word of it", name}
	}
	return fmt.Sprintf("%s spent %s as in marketing-db; on to %s, with channel and range", channel, money(spend[0]), name), nil
}

// compare asks four ways for the revenue of the last seven days.
func (a *analyst) compare(ctx context.Context) (string, error) {
	span, err := a.mesh.ask(ctx, "sales-db", "sales_data", topology.RoleTrino, `SELECT (as_of - 7)::text, as_of::text FROM mesh_meta`)
	if err != nil {
		return "", err
	}
	direct, err := a.mesh.ask(ctx, "sales-db", "sales_data", topology.RoleTrino, fmt.Sprintf(`SELECT sum(total_amount)::text FROM orders WHERE status = 'paid' AND ordered_at >= '%s' AND ordered_at < '%s'`, span[0], span[1]))
	if err != nil {
		return "", err
	}
	page, err := a.at.get(ctx, "/d/executive-kpis")
	if err != nil {
		return "", err
	}
	rows, err := a.at.csv(ctx, page, "Revenue, 7 days")
	if err != nil {
		return "", err
	}
	if err := same("revenue on the dashboard", cents(rows[0][0]), cents(direct[0])); err != nil {
		return "", err
	}
	key, err := a.mesh.Secrets.APIKey("sales-reader")
	if err != nil {
		return "", err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, a.mesh.address(topology.PortSalesAPI)+"/v1/revenue?from="+span[0]+"&to="+span[1], nil)
	if err != nil {
		return "", err
	}
	req.Header.Set("Authorization", "Bearer "+key)
	var answer struct {
		Items []struct {
			Revenue json.Number `json:"revenue"`
		} `json:"items"`
	}
	if err := fetch(req, &answer); err != nil {
		return "", err
	}
	var sum int64
	for _, one := range answer.Items {
		n, err := strconv.ParseInt(strings.ReplaceAll(cents(one.Revenue.String()), ".", ""), 10, 64)
		if err != nil {
			return "", fmt.Errorf("revenue of the API: %w", err)
		}
		sum += n
	}
	if err := same("revenue of the Sales API", fmt.Sprintf("%d.%02d", sum/100, sum%100), cents(direct[0])); err != nil {
		return "", err
	}
	ca, err := a.mesh.Secrets.CA()
	if err != nil {
		return "", err
	}
	password, err := a.mesh.Secrets.Person(sarah)
	if err != nil {
		return "", err
	}
	client, err := query.New(query.Config{Address: fmt.Sprintf("localhost:%d", a.mesh.Port(topology.PortTrino)), CA: ca, User: sarah, Password: password, Source: "meesh tour"})
	if err != nil {
		return "", err
	}
	defer client.Close() //nolint:errcheck // only read
	// Analysts read marts only: the domain's own table would be refused.
	trino, err := client.Texts(ctx, fmt.Sprintf(`SELECT sum(revenue) FROM sales_analytics.marts.mart_sales_daily WHERE sold_on >= DATE '%s' AND sold_on < DATE '%s'`, span[0], span[1]))
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s in the last 7 days: dashboard, Sales API, Trino, PostgreSQL", money(direct[0])), same("revenue in Trino", cents(trino[0][0]), cents(direct[0]))
}

func (a *analyst) export(ctx context.Context) (string, error) {
	pdf, err := a.at.get(ctx, "/d/sales-performance/report.pdf?from=now-90d")
	if err != nil {
		return "", err
	}
	if !strings.HasPrefix(pdf, "%PDF-") {
		return "", &DifferenceError{"the report", pdf[:min(20, len(pdf))], "a PDF"}
	}
	return fmt.Sprintf("%s, %d KB", plural(sheets(pdf), "page"), len(pdf)>>10), nil
}

var sheet = regexp.MustCompile(`/Type\s*/Page\b[^s]`)

func sheets(pdf string) int { return len(sheet.FindAllString(pdf, -1)) }

func (a *analyst) create(ctx context.Context) (string, error) {
	if a.mesh.Tools.Grafana == nil {
		return noGrafana, nil
	}
	body := `{"from": "now-1y", "to": "now", "queries": [{"refId": "A", "datasource": {"uid": "marts"}, "format": "table", "rawSql": "SELECT count(*) AS journeys FROM marts.mart_customer_journey", "maxDataPoints": 100, "intervalMs": 1000}]}`
	req, err := a.asGrafana(ctx, http.MethodPost, "/api/ds/query", body)
	if err != nil {
		return "", err
	}
	var answer struct {
		Results map[string]struct {
			Frames []struct {
				Data struct{ Values [][]float64 }
			}
		}
	}
	if err := fetch(req, &answer); err != nil {
		return "", err
	}
	direct, err := a.mesh.ask(ctx, "platform-db", "sales_analytics", sarah, `SELECT count(*) FROM marts.mart_customer_journey`)
	if err != nil {
		return "", err
	}
	frames := answer.Results["A"].Frames
	if len(frames) == 0 || len(frames[0].Data.Values) == 0 || len(frames[0].Data.Values[0]) == 0 {
		return "", errors.New("the query of the new panel gives nothing")
	}
	return "a query of her own on mart_customer_journey", same("journeys", frames[0].Data.Values[0][0], direct[0])
}

// conversionAlert is the rule that tells her, and conversionFloor what it compares with.
const (
	conversionAlert = "Conversion below 20 %"
	conversionFloor = 0.20
	// alertTime is what Grafana takes at most from the first look at the data to a mail.
	alertTime = 4 * time.Minute
)

func (a *analyst) alert(ctx context.Context) (string, error) {
	if a.mesh.Tools.Grafana == nil {
		return noGrafana, nil
	}
	if a.mesh.Tools.Mailbox == "" {
		return noMailbox, nil
	}
	req, err := a.asGrafana(ctx, http.MethodGet, "/api/prometheus/grafana/api/v1/rules", "")
	if err != nil {
		return "", err
	}
	var rules struct {
		Data struct {
			Groups []struct{ Rules []struct{ Name string } }
		}
	}
	if err := fetch(req, &rules); err != nil {
		return "", err
	}
	there := false
	for _, g := range rules.Data.Groups {
		for _, r := range g.Rules {
			there = there || r.Name == conversionAlert
		}
	}
	if !there {
		return "", fmt.Errorf("grafana has no rule %q", conversionAlert)
	}
	row, err := a.mesh.ask(ctx, "platform-db", "sales_analytics", topology.RoleGrafana,
		`SELECT coalesce(max(value), 1)::float8::text FROM marts.mart_executive_kpis WHERE kpi = 'conversion_rate' AND window_days = 30`)
	if err != nil {
		return "", err
	}
	conversion, err := strconv.ParseFloat(row[0], 64)
	if err != nil {
		return "", fmt.Errorf("the conversion %q: %w", row[0], err)
	}
	return a.told(ctx, conversion)
}

// told waits for the mail of the alert, if the conversion is one that is told.
func (a *analyst) told(ctx context.Context, conversion float64) (string, error) {
	if conversion >= conversionFloor {
		return fmt.Sprintf("%sthe rule is there, and the conversion is %.1f %%, so nobody is told", NotShown, 100*conversion), nil
	}
	ctx, cancel := context.WithTimeout(ctx, alertTime)
	defer cancel()
	// One that came before will do: Grafana repeats it after hours only.
	if _, _, err := a.mesh.awaitMail(ctx, conversionAlert, sarah, func(subject string, _ time.Time) bool { return !strings.HasPrefix(subject, "[RESOLVED") }); err != nil {
		return "", err
	}
	return fmt.Sprintf("the conversion is %.1f %%, and the mailbox has the alert's mail to her", 100*conversion), nil
}

func (a *analyst) mail(ctx context.Context) (string, error) {
	if a.mesh.Tools.Mailbox == "" {
		return noMailbox, nil
	}
	since := time.Now().Add(-time.Second)
	page, err := a.mesh.report(ctx, "sales-performance")
	if err != nil {
		return "", err
	}
	if err := page.Mail(ctx, a.mesh.smtp(), report.Sender, []string{sarah + "@" + topology.MailDomain}); err != nil {
		return "", err
	}
	text, attached, err := a.mesh.mailed(ctx, page.Title, sarah, since)
	if err != nil {
		return "", err
	}
	if !strings.Contains(text, "Revenue: $") || !slices.Contains(attached, page.FileName("pdf")) {
		return "", &DifferenceError{"the mail", text, "key numbers, and a PDF beside them"}
	}
	return "the key numbers as text, " + attached[0] + " beside them", nil
}
