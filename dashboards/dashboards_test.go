package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

func TestMain(m *testing.M) {
	register()
	os.Exit(m.Run())
}

func TestFilesAreTheCodes(t *testing.T) {
	var out bytes.Buffer
	if code, err := run([]string{"-verify", "json"}, &out); code != 0 || err != nil {
		t.Errorf("exit code %d, %v\n%s", code, err, out.String())
	}
}

func TestGeneratingTwiceGivesTheSameBytes(t *testing.T) {
	one, err := generate()
	if err != nil {
		t.Fatal(err)
	}
	other, err := generate()
	if err != nil {
		t.Fatal(err)
	}
	if len(one) != len(dashboards)+5 {
		t.Errorf("%d files for %d dashboards", len(one), len(dashboards))
	}
	for path := range one {
		if !bytes.Equal(one[path], other[path]) {
			t.Errorf("%s differs", path)
		}
	}
}

// Every required field is there, and nothing that the SDK does not know.
func TestModelsDecodeStrictly(t *testing.T) {
	for _, p := range dashboards {
		model, err := p.build()
		if err != nil {
			t.Fatal(err)
		}
		text := encode(t, model)
		var back, strict dashboard.Dashboard //nolint:staticcheck // see build
		if err := json.Unmarshal(text, &back); err != nil {
			t.Errorf("%s: %v", p.Title, err)
		}
		if differs, err := difference(text, encode(t, back)); err != nil || differs[0] != "only the layout of the text differs" {
			t.Errorf("%s changes when it is read: %v, %v", p.Title, differs, err)
		}
		for what, err := range map[string]error{"strict decoder": strict.UnmarshalJSONStrict(text), "validator": model.Validate()} {
			// SDK v0.0.18 gives a list of errors also when it is empty.
			var list cog.BuildErrors
			if err != nil && (!errors.As(err, &list) || len(list) > 0) {
				t.Errorf("%s: %s: %v", p.Title, what, err)
			}
		}
	}
	var strict dashboard.Dashboard //nolint:staticcheck // see build
	var list cog.BuildErrors
	if err := strict.UnmarshalJSONStrict([]byte(`{"panels": [{"type": "stat", "title": "t", "nonsense": 1}]}`)); !errors.As(err, &list) || len(list) == 0 {
		t.Error("the strict decoder takes nonsense")
	}
}

func encode(t *testing.T, model any) []byte {
	t.Helper()
	text, err := json.Marshal(model)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestPages(t *testing.T) {
	uids, titles := map[string]bool{}, map[string]bool{}
	for _, p := range dashboards {
		if uids[p.UID] || titles[p.Title] {
			t.Errorf("uid %s or title %q is there twice", p.UID, p.Title)
		}
		uids[p.UID], titles[p.Title] = true, true
		if len(p.UID) > 40 || !regexp.MustCompile(`^[a-z0-9-]+$`).MatchString(p.UID) {
			t.Errorf("uid %q", p.UID)
		}
		if len(p.Rows) == 0 || p.About == "" || p.Product == "" {
			t.Errorf("%s has no rows, description or product", p.Title)
		}
	}
	// "At most seven" is what an executive takes in.
	var tiles int
	for _, one := range executiveKPIs.Rows[0].Panels {
		if one.Kind != figures {
			t.Errorf("%s is no figure", one.Title)
		}
		tiles++
	}
	if tiles == 0 || tiles > 7 {
		t.Errorf("%d tiles on the executive page", tiles)
	}
}

// Only the database role stands between a viewer and the data: none of the
// queries needs more than it has, and no personal column is named.
func TestNoPersonalColumns(t *testing.T) {
	files, err := generate()
	if err != nil {
		t.Fatal(err)
	}
	for path, text := range files {
		if !strings.HasPrefix(path, "dashboards/") {
			continue
		}
		if found := regexp.MustCompile(`(?i)email|e_mail|phone|full_name|customer_name|staging\.`).Find(text); found != nil {
			t.Errorf("%s names %s", path, found)
		}
	}
}

func TestCheckFindsWhatIsMissing(t *testing.T) {
	whole := func() page {
		return page{UID: "x", Title: "X", Rows: []row{{"R", []panel{{Title: "P", About: "a", Unit: "short", Width: 24, Kind: figures}}}}}
	}
	for want, spoil := range map[string]func(*page){
		"no title":               func(p *page) { p.Rows[0].Panels[0].Title = "" },
		"no description":         func(p *page) { p.Rows[0].Panels[0].About = "" },
		"no unit":                func(p *page) { p.Rows[0].Panels[0].Unit = "" },
		"not a multiple of 24":   func(p *page) { p.Rows[0].Panels[0].Width = 7 },
		"the same id":            func(p *page) { p.Rows[0].Panels = append(p.Rows[0].Panels, p.Rows[0].Panels[0]) },
		"which it does not have": func(p *page) { p.Rows[0].Panels[0].Drill = &drill{Page: "sales-api", Variable: "region"} },
	} {
		p := whole()
		if err := p.check(); err != nil {
			t.Fatal(err)
		}
		spoil(&p)
		if err := p.check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}

// A difference is said by the names that people see on the page.
func TestDifferencesAreSaidInWords(t *testing.T) {
	folder := t.TempDir()
	made, err := generate()
	if err != nil {
		t.Fatal(err)
	}
	if err := made.write(folder); err != nil {
		t.Fatal(err)
	}
	path := folder + "/dashboards/sales/sales-performance.json"
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	changed := bytes.Replace(text, []byte(`"value": 0.25`), []byte(`"value": 0.3`), 1)
	if bytes.Equal(text, changed) {
		t.Fatal("no threshold of 0.25 to change")
	}
	if err := os.WriteFile(path, changed, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(folder+"/dashboards/sales/old.json", []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(folder + "/provisioning/alerting/rules.json"); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	code, err := run([]string{"-verify", folder}, &out)
	want := `dashboards/sales/old.json is not of the code's making
dashboards/sales/sales-performance.json: panels "Cancelled or refunded" fieldConfig defaults thresholds steps 3 value: 0.3 → 0.25
provisioning/alerting/rules.json is missing
`
	if code != 1 || err == nil || !strings.Contains(err.Error(), "3 differences") || out.String() != want {
		t.Errorf("exit code %d, %v\n%s\nwant\n%s", code, err, out.String(), want)
	}
	// Writing removes what is no longer made.
	if code, err := run([]string{"-out", folder, "-verify", folder}, &out); code != 0 || err != nil {
		t.Errorf("after writing: exit code %d, %v", code, err)
	}
}

func TestWrongUsage(t *testing.T) {
	for _, args := range [][]string{{}, {"-nonsense"}, {"-list", "more"}} {
		if code, _ := run(args, &bytes.Buffer{}); code != 2 {
			t.Errorf("%v: exit code %d", args, code)
		}
	}
}
