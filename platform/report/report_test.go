package report

import (
	"bytes"
	"encoding/csv"
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/datameesh/datameesh/platform/panel"
	"github.com/datameesh/datameesh/platform/render"
)

var update = flag.Bool("update", false, "write the golden pictures anew")

// The pictures of each kind are what they were; -update writes them anew, and their
// difference is to be looked at.
func TestGoldenPictures(t *testing.T) {
	for name, want := range map[string][2]string{
		"line.svg":    {"executive-kpis", "Revenue per week"},
		"stacked.svg": {"sales-performance", "Revenue per day by region"},
		"bars.svg":    {"executive-kpis", "Revenue and spend by channel"},
		"stat.svg":    {"executive-kpis", "Conversion rate"},
		"table.svg":   {"marketing-roi", "Campaigns"},
	} {
		f := find(t, filled(t, dashboard(t, want[0])), want[1])
		var b bytes.Buffer
		if err := f.Titled(560, 300).SVGFile(&b); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join("testdata", name)
		if *update {
			if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		golden, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(golden, b.Bytes()) {
			t.Errorf("%s differs; look at what go test ./report -run Golden -update writes", file)
		}
	}
}

func find(t *testing.T, p *Page, title string) *Figure {
	t.Helper()
	for _, row := range p.Rows {
		for _, f := range row.Figures {
			if f.Title == title {
				return f
			}
		}
	}
	t.Fatalf("no panel %q", title)
	return nil
}

// text of a PDF by poppler, with the words in the order of the page.
func text(t *testing.T, pdf []byte) string {
	t.Helper()
	program, err := exec.LookPath("pdftotext")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("pdftotext is not there; it is in the Debian package poppler-utils")
		}
		t.Skip("not run: needs pdftotext (poppler-utils)")
	}
	cmd := exec.CommandContext(t.Context(), program, "-layout", "-", "-")
	cmd.Stdin = bytes.NewReader(pdf)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// Every dashboard prints: its figures stand in the PDF and on the page as they stand in
// the CSV, and no table is broken apart.
func TestEveryDashboardPrints(t *testing.T) {
	for _, d := range load(t) {
		p := filled(t, d)
		var pdf, page, list bytes.Buffer
		if err := errors.Join(p.PDF(&pdf), p.HTML(&page, false), p.CSV(&list)); err != nil {
			t.Fatalf("%s: %v", d.UID, err)
		}
		printed := text(t, pdf.Bytes())
		if !strings.Contains(printed, d.Title) || !strings.Contains(printed, "Page 1 of ") || !strings.Contains(printed, "data up to 2026-11-27") {
			t.Errorf("%s lacks its title, its pages' numbers or how fresh it is:\n%s", d.UID, printed)
		}
		var figures int
		for _, row := range p.Rows {
			for _, f := range row.Figures {
				if f.Type == "timeseries" { // a picture
					continue
				}
				for _, cells := range f.Figure.Grid().Rows {
					for _, c := range cells {
						figures++
						c.Text = strings.TrimPrefix(c.Text, "−") // a change has an arrow
						if !strings.Contains(printed, c.Text) {
							t.Errorf("%s, %s: %q is not printed", d.UID, f.Title, c.Text)
						}
						if !strings.Contains(page.String(), strings.ReplaceAll(c.Text, "+", "&#43;")) {
							t.Errorf("%s, %s: %q is not on the page", d.UID, f.Title, c.Text)
						}
					}
				}
			}
		}
		if figures == 0 {
			t.Errorf("%s: nothing was compared", d.UID)
		}
		if _, err := csv.NewReader(&list).ReadAll(); err != nil {
			t.Errorf("%s: %v", d.UID, err)
		}
	}
}

func TestLongTablesBreakBetweenRows(t *testing.T) {
	p := filled(t, dashboard(t, "marketing-roi"))
	f := find(t, p, "Campaigns")
	f.Table.Rows = nil
	for i := range 10_000 {
		f.Table.Rows = append(f.Table.Rows, []any{strings.Repeat("a very long name ", 20), "channel", float64(i), 12.5, 0.1})
	}
	var pdf, page, list bytes.Buffer
	if err := errors.Join(p.PDF(&pdf), p.HTML(&page, false), f.CSV(&list)); err != nil {
		t.Fatal(err)
	}
	doc := p.Document()
	for i, sheet := range doc.Pages {
		for _, item := range sheet.Items {
			for _, point := range item.Points {
				if point.X < edge-12 || point.X > edge+inner+12 || point.Y < 20 || point.Y > render.A4Height-20 {
					t.Fatalf("page %d: %q lies at %v", i+1, item.Text, point)
				}
			}
			if item.Text != "" && item.Anchor == render.Start && item.Points[0].X+render.Measure(item.Text, item.Size, item.Bold) > edge+inner+4 {
				t.Fatalf("page %d: %q ends beyond the edge", i+1, item.Text)
			}
		}
	}
	printed := text(t, pdf.Bytes())
	if !strings.Contains(printed, "Campaigns, continued") || !strings.Contains(printed, "The first 1000 of 10000 rows; the CSV has all.") {
		t.Error("the printed table does not say that it goes on, or where it ends")
	}
	if !strings.Contains(page.String(), "The first 500 of 10000 rows; the CSV has all.") {
		t.Error("the page does not say where the table ends")
	}
	if n := strings.Count(list.String(), "\n"); n != 10_001 {
		t.Errorf("the CSV has %d lines", n)
	}
}

// Names of any script and length are drawn, printed and written.
func TestStrangeNames(t *testing.T) {
	names := []string{"שלום עולם", "مرحبا بالعالم", "😀 party 🎉", "=1+2", strings.Repeat("long ", 100), "<b>bold</b>", "a\nb", "𝒳"}
	p := filled(t, dashboard(t, "executive-kpis"))
	f := find(t, p, "Revenue and spend by channel")
	f.Table.Rows = nil
	for i, name := range names {
		f.Table.Rows = append(f.Table.Rows, []any{name, float64(i + 1), 2.0})
	}
	f.Title = "العنوان 😀"
	var pdf, png, page, list bytes.Buffer
	_, err := p.PNG(&png)
	if err := errors.Join(err, p.PDF(&pdf), p.HTML(&page, true), f.CSV(&list)); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(page.String(), "<b>bold") || !strings.Contains(page.String(), "&lt;b&gt;bold") {
		t.Error("a name is markup on the page")
	}
	text(t, pdf.Bytes()) // poppler reads it
	if !strings.Contains(list.String(), "'=1+2") {
		t.Error("a spreadsheet would compute a name")
	}
	records, err := csv.NewReader(&list).ReadAll()
	if err != nil || len(records) != len(names)+1 {
		t.Errorf("%d records, %v", len(records), err)
	}
}

func TestEmptyAndFailedPanels(t *testing.T) {
	for _, d := range load(t) {
		p := filled(t, d)
		for i, row := range p.Rows {
			for n, f := range row.Figures {
				f.Table = panel.Table{Columns: f.Table.Columns}
				if (i+n)%2 == 0 {
					f.Problem = "Marketing DB cannot be reached. The rest of the page is not concerned."
				}
			}
		}
		var pdf, png, page bytes.Buffer
		_, err := p.PNG(&png)
		if err := errors.Join(err, p.PDF(&pdf), p.HTML(&page, true)); err != nil {
			t.Fatal(err)
		}
		for name, got := range map[string]string{"page": page.String(), "PDF": strings.Join(strings.Fields(text(t, pdf.Bytes())), " ")} {
			if !strings.Contains(got, "cannot be reached") {
				t.Errorf("the %s of %s does not say what is wrong", name, d.UID)
			}
		}
	}
}

func TestRequest(t *testing.T) {
	d := dashboard(t, "sales-performance")
	v, err := Request{From: "2026-01-01", To: "2026-01-31", Values: map[string][]string{"region": {"EMEA"}, "segment": {"$__all"}, "other": {"x"}}}.parse(d, made)
	if err != nil {
		t.Fatal(err)
	}
	if got := v.From.Format(time.RFC3339Nano) + " " + v.To.Format(time.RFC3339Nano); got != "2026-01-01T00:00:00Z 2026-01-31T23:59:59.999Z" {
		t.Errorf("the last day does not count whole: %s", got)
	}
	if len(v.Values) != 1 || v.Values["region"][0] != "EMEA" {
		t.Errorf("values %v", v.Values)
	}
	for want, r := range map[string]Request{
		"no moment":         {From: "yesterday"},
		"before it begins":  {From: "2026-02-01", To: "2026-01-01"},
		"longer than 50":    {From: "1900-01-01", To: "2100-01-01"},
		"between 1900":      {From: "0800-01-01"},
		"control character": {Values: map[string][]string{"region": {"a\x00"}}},
		"longer than 1000":  {Values: map[string][]string{"region": {strings.Repeat("x", 1001)}}},
	} {
		_, err := r.parse(d, made)
		var input *InputError
		if !errors.As(err, &input) || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", r, err, want)
		}
	}
}

// A link keeps the range of time and the variables that the other dashboard has.
func TestAddress(t *testing.T) {
	p := filled(t, dashboard(t, "marketing-roi"))
	p.Asked.Values = map[string][]string{"channel": {"e-mail", "social & more"}, "campaign": {"A"}}
	got := p.Address(dashboard(t, "customer-journey"), "campaign", "B & C")
	if want := "/d/customer-journey?from=now-90d&to=now&var-campaign=B+%26+C&var-channel=e-mail&var-channel=social+%26+more"; got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	if got := p.Address(dashboard(t, "mesh-health"), "", ""); got != "/d/mesh-health?from=now-90d&to=now" {
		t.Error(got)
	}
}

func TestProblemsAreForPeople(t *testing.T) {
	s := &Set{names: map[string]string{"marts": "Marts"}}
	for want, err := range map[string]error{
		"takes too long":    &pgconn.PgError{Code: "57014", Message: "canceling statement due to statement timeout"},
		"is not there yet":  &pgconn.PgError{Code: "42P01", Message: `relation "marts.x" does not exist`},
		"cannot be reached": &pgconn.PgError{Code: "57P01", Message: "terminating connection"},
		"could not be read": errors.New("column x holds a thing"),
	} {
		got := s.problem("marts", err)
		if !strings.Contains(got, want) || strings.Contains(got, err.Error()) || strings.Contains(got, "_") {
			t.Errorf("%v: %q", err, got)
		}
	}
}

// A page for people holds no names of tables, addresses or SQL.
func TestPagesSpeakOfBusiness(t *testing.T) {
	snake := regexp.MustCompile(`>[^<]*[a-z]+_[a-z]+[^<]*<`)
	p := filled(t, dashboard(t, "executive-kpis"))
	body, err := p.Body(Look{})
	if err != nil {
		t.Fatal(err)
	}
	if found := snake.FindString(string(body)); found != "" || strings.Contains(string(body), "SELECT") {
		t.Errorf("the page says %q", found)
	}
}
