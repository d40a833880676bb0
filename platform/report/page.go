package report

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/datameesh/datameesh/platform/panel"
	"github.com/datameesh/datameesh/platform/render"
)

// A Request is what a page is asked with: the range of time as Grafana's addresses
// have it, and chosen values of variables.
type Request struct {
	From, To string
	Values   map[string][]string
}

// An InputError is a wrong request.
type InputError struct{ Err error }

func (e *InputError) Error() string { return e.Err.Error() }
func (e *InputError) Unwrap() error { return e.Err }

func wrong(format string, args ...any) error { return &InputError{fmt.Errorf(format, args...)} }

// Limits of what is asked for.
const (
	mostValues  = 500
	longest     = 1000 // letters of a value
	longestSpan = 50 * 366 * 24 * time.Hour
)

// parse checks the request and gives the view without the values that are not chosen.
func (r Request) parse(d render.Dashboard, now time.Time) (panel.View, error) {
	if r.From == "" {
		r.From = d.From
	}
	if r.To == "" {
		r.To = "now"
	}
	from, err := moment(r.From, now, false)
	if err != nil {
		return panel.View{}, wrong("from: %w", err)
	}
	to, err := moment(r.To, now, true)
	if err != nil {
		return panel.View{}, wrong("to: %w", err)
	}
	switch {
	case !to.After(from):
		return panel.View{}, wrong("the range of time ends at %s, before it begins at %s; swap from and to", stamp(to), stamp(from))
	case to.Sub(from) > longestSpan:
		return panel.View{}, wrong("the range of time from %s to %s is longer than 50 years; choose a shorter one", stamp(from), stamp(to))
	}
	v := panel.View{From: from, To: to, Interval: interval(to.Sub(from)), Values: map[string][]string{}}
	for name, values := range maps.All(r.Values) {
		if !slices.ContainsFunc(d.Variables, func(one panel.Variable) bool { return one.Name == name }) {
			continue // that of another page, which a link took along
		}
		if len(values) > mostValues {
			return v, wrong("variable %s: %d values; choose at most %d, or all of them", name, len(values), mostValues)
		}
		for _, value := range values {
			switch {
			case value == "$__all" || value == "All":
				values = nil
			case !utf8.ValidString(value) || strings.ContainsFunc(value, func(c rune) bool { return unicode.IsControl(c) }):
				return v, wrong("variable %s: a value holds control characters or is no UTF-8", name)
			case utf8.RuneCountInString(value) > longest:
				return v, wrong("variable %s: a value is longer than %d letters", name, longest)
			}
		}
		if len(values) > 0 {
			v.Values[name] = values
		}
	}
	return v, nil
}

// moment reads "now-90d", "2026-01-31", RFC 3339 or milliseconds since 1970. A day as
// the end of a range counts whole.
func moment(text string, now time.Time, end bool) (time.Time, error) {
	if strings.HasPrefix(text, "now") {
		return panel.ParseFrom(text, now)
	}
	if day, err := time.Parse(time.DateOnly, text); err == nil {
		if end {
			day = day.AddDate(0, 0, 1).Add(-time.Millisecond)
		}
		return day, inReach(day)
	}
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return at.UTC(), inReach(at)
	}
	if millis, err := strconv.ParseInt(text, 10, 64); err == nil && len(text) > 8 {
		at := time.UnixMilli(millis).UTC()
		return at, inReach(at)
	}
	return time.Time{}, fmt.Errorf("%q is no moment; write now-90d, 2026-01-31 or 2026-01-31T12:00:00Z", text)
}

// inReach refuses years that PostgreSQL or the axes do not know.
func inReach(t time.Time) error {
	if t.Year() < 1900 || t.Year() > 2200 {
		return fmt.Errorf("the year %d is not between 1900 and 2200", t.Year())
	}
	return nil
}

// interval of the points of a series: about as many as a picture shows, rounded as
// Grafana rounds.
func interval(span time.Duration) time.Duration {
	const points = 400
	for _, nice := range []time.Duration{
		time.Second, 5 * time.Second, 10 * time.Second, 30 * time.Second, time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 15 * time.Minute, 30 * time.Minute,
		time.Hour, 2 * time.Hour, 3 * time.Hour, 6 * time.Hour, 12 * time.Hour, 24 * time.Hour, 7 * 24 * time.Hour, 30 * 24 * time.Hour,
	} {
		if span/nice <= points {
			return nice
		}
	}
	return 365 * 24 * time.Hour
}

// A Page is a dashboard with what its queries gave.
type Page struct {
	render.Dashboard
	Asked   Request // as it was asked, with the range filled in
	View    panel.View
	Choices []Choice
	Rows    []PageRow
	AsOf    []AsOf
	Made    time.Time
}

// A PageRow is figures below one title.
type PageRow struct {
	Title   string
	Figures []*Figure
}

// A Figure is a panel of the page.
type Figure struct {
	*render.Figure
	SQL    string // as it was sent
	Source string // what people call the database
	Detail error  // why there is no table
}

// A Choice is a variable with its values, and those that are chosen; none when all are.
type Choice struct {
	Name, Label string
	All         []string
	Chosen      []string
	Problem     string
}

// Has says whether the value is chosen by itself.
func (c Choice) Has(value string) bool { return slices.Contains(c.Chosen, value) }

// Says is the choice in words.
func (c Choice) Says() string {
	switch {
	case len(c.Chosen) == 0:
		return "all"
	case len(c.Chosen) <= 3:
		return strings.Join(c.Chosen, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(c.Chosen[:2], ", "), len(c.Chosen)-2)
}

// atOnce is how many queries of a page run at a time.
const atOnce = 4

// Open runs the dashboard's queries at the moment now. What a database does not answer
// stands as a problem in its panels; only a wrong request is an error.
func (s *Set) Open(ctx context.Context, d render.Dashboard, r Request, now time.Time) (*Page, error) {
	return s.open(ctx, d, r, now, func(render.Panel) bool { return true })
}

// OpenPanel runs the query of one panel, nil when there is none of that id.
func (s *Set) OpenPanel(ctx context.Context, d render.Dashboard, id int, r Request, now time.Time) (*Page, *Figure, error) {
	p, err := s.open(ctx, d, r, now, func(p render.Panel) bool { return p.ID == id })
	if err != nil {
		return nil, nil, err
	}
	for _, row := range p.Rows {
		for _, f := range row.Figures {
			return p, f, nil
		}
	}
	return p, nil, nil
}

func (s *Set) open(ctx context.Context, d render.Dashboard, r Request, now time.Time, wanted func(render.Panel) bool) (*Page, error) {
	v, err := r.parse(d, now)
	if err != nil {
		return nil, err
	}
	if r.From == "" {
		r.From = d.From
	}
	if r.To == "" {
		r.To = "now"
	}
	p := &Page{Dashboard: d, Asked: r, Made: now}
	p.Asked.Values = maps.Clone(v.Values)
	p.Choices = s.choose(ctx, d, &v)
	p.View = v

	var queries []panel.Query
	var work sync.WaitGroup
	slots := make(chan struct{}, atOnce)
	for _, row := range d.Rows {
		made := PageRow{Title: row.Title}
		for _, one := range row.Panels {
			if !wanted(one) {
				continue
			}
			q := one.Queries[0] // render.Load wants exactly one
			queries = append(queries, q)
			f := &Figure{Figure: &render.Figure{Panel: one, From: v.From, To: v.To}, Source: s.Name(q.Source)}
			made.Figures = append(made.Figures, f)
			work.Go(func() {
				slots <- struct{}{}
				defer func() { <-slots }()
				s.fill(ctx, f, q, v)
			})
		}
		if len(made.Figures) > 0 {
			p.Rows = append(p.Rows, made)
		}
	}
	p.AsOf = s.asOf(ctx, queries, now)
	work.Wait()
	return p, ctx.Err()
}

// choose asks for the values of the variables, each seeing those before it, and puts
// all of them into the view where none is chosen.
func (s *Set) choose(ctx context.Context, d render.Dashboard, v *panel.View) []Choice {
	var list []Choice
	for _, variable := range d.Variables {
		c := Choice{Name: variable.Name, Label: d.Labels[variable.Name], Chosen: v.Values[variable.Name]}
		if c.Label == "" {
			c.Label = c.Name
		}
		seen := *v
		seen.Values = map[string][]string{}
		for _, before := range list {
			seen.Values[before.Name] = before.All
		}
		t, err := s.run(ctx, variable.Query, seen)
		if err != nil {
			c.Problem = s.problem(variable.Source, err)
		}
		for _, row := range t.Rows {
			if text, ok := row[0].(string); ok {
				c.All = append(c.All, text)
			}
		}
		if len(c.Chosen) == 0 {
			v.Values[c.Name] = c.All
		}
		list = append(list, c)
	}
	return list
}

func (s *Set) run(ctx context.Context, q panel.Query, v panel.View) (panel.Table, error) {
	ctx, cancel := context.WithTimeout(ctx, queryTime+connectTime)
	defer cancel()
	return s.Run(ctx, q, v)
}

// fill puts what the query gives into the figure.
func (s *Set) fill(ctx context.Context, f *Figure, q panel.Query, v panel.View) {
	defer func() { // one panel must not end the program
		if fault := recover(); fault != nil {
			f.Detail, f.Table = fmt.Errorf("%v", fault), panel.Table{}
			f.Problem = s.problem(q.Source, f.Detail)
		}
	}()
	var err error
	if f.SQL, err = v.Expand(q.SQL); err == nil {
		f.Table, err = s.run(ctx, q, v)
	}
	if err == nil && len(f.Table.Rows) > 0 {
		err = f.Draws(f.Table)
	}
	if err != nil {
		f.Detail, f.Problem = err, s.problem(q.Source, err)
		f.Table = panel.Table{}
	}
}

// problem says for people what is wrong, without addresses, SQL or names of tables.
func (s *Set) problem(source string, err error) string {
	var refused *pgconn.ConnectError
	var said *pgconn.PgError
	var network net.Error
	switch {
	case errors.As(err, &said) && said.Code == "57014", errors.Is(err, context.DeadlineExceeded):
		return s.Name(source) + " takes too long to answer. Choose a shorter range of time, or try again."
	case errors.As(err, &said) && strings.HasPrefix(said.Code, "42"):
		return "What this shows is not there yet. It comes with the next build of the marts."
	case errors.As(err, &refused), errors.As(err, &network), errors.As(err, &said) && (strings.HasPrefix(said.Code, "08") || strings.HasPrefix(said.Code, "57P0")),
		pgconn.SafeToRetry(err):
		return s.Name(source) + " cannot be reached. The rest of the page is not concerned."
	}
	return "This could not be read from " + s.Name(source) + ". An engineer sees why on this page."
}

// Reached says whether any panel has its data.
func (p *Page) Reached() bool {
	for _, row := range p.Rows {
		for _, f := range row.Figures {
			if f.Problem == "" {
				return true
			}
		}
	}
	return false
}

// Address of a dashboard with the range of time and the variables of this page that
// it has; set replaces the values of one.
func (p *Page) Address(to render.Dashboard, set string, value string) string {
	query := url.Values{}
	query.Set("from", p.Asked.From)
	query.Set("to", p.Asked.To)
	for _, variable := range to.Variables {
		if variable.Name == set {
			query.Set("var-"+set, value)
			continue
		}
		for _, chosen := range p.Asked.Values[variable.Name] {
			query.Add("var-"+variable.Name, chosen)
		}
	}
	return "/d/" + to.UID + "?" + query.Encode()
}

// RangeText is the range of time in words.
func (p *Page) RangeText() string {
	layout := "2 Jan 2006"
	if p.View.To.Sub(p.View.From) < 3*24*time.Hour {
		layout = "2 Jan 2006 15:04"
	}
	return p.View.From.UTC().Format(layout) + " – " + p.View.To.UTC().Format(layout) + " UTC"
}

// Filters are the choices that leave something out, in words.
func (p *Page) Filters() []string {
	var list []string
	for _, c := range p.Choices {
		if len(c.Chosen) > 0 {
			list = append(list, c.Label+": "+c.Says())
		}
	}
	return list
}
