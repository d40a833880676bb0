package tour

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/datameesh/datameesh/platform/local"
	"github.com/datameesh/datameesh/platform/topology"
)

// largestPage is how much of an answer a tour reads.
const largestPage = 32 << 20

// A guest is somebody in the built-in viewer, as a browser without scripts is.
type guest struct {
	base   string
	client *http.Client
}

func (m Mesh) guest() (*guest, error) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, err
	}
	return &guest{m.address(local.ViewerPort(m.Mesh) - m.PortOffset), &http.Client{Jar: jar, Timeout: time.Minute}}, nil
}

// send gives the status and text of the answer.
func (g *guest) send(ctx context.Context, method, path string, form url.Values) (int, string, error) {
	req, err := http.NewRequestWithContext(ctx, method, g.base+path, strings.NewReader(form.Encode()))
	if err != nil {
		return 0, "", err
	}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Origin", g.base)
	}
	resp, err := g.client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, largestPage))
	return resp.StatusCode, string(text), err
}

// get wants the page to be there.
func (g *guest) get(ctx context.Context, path string) (string, error) {
	status, text, err := g.send(ctx, http.MethodGet, path, nil)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("%s answers %d %s", path, status, http.StatusText(status))
	}
	return text, err
}

// login is refused with a wrong password, and then let in.
func (m Mesh) login(ctx context.Context, name string) (*guest, string, error) {
	g, err := m.guest()
	if err != nil {
		return nil, "", err
	}
	password, err := m.Secrets.Person(name)
	if err != nil {
		return nil, "", err
	}
	for _, try := range []struct {
		password string
		status   int
	}{{password + "x", http.StatusUnauthorized}, {password, http.StatusOK}} {
		status, text, err := g.send(ctx, http.MethodPost, "/login", url.Values{"name": {name}, "password": {try.password}})
		if err != nil {
			return nil, "", err
		}
		if err := same("the status of the log-in", status, try.status); err != nil {
			return nil, "", err
		}
		if status == http.StatusOK {
			return g, text, same("the page says who is logged in", strings.Contains(text, "Log out"), true)
		}
	}
	return g, "", nil
}

// csv gives the rows of a panel's file without its header. The panel is found on the
// page, by its title.
func (g *guest) csv(ctx context.Context, page, title string) ([][]string, error) {
	link := regexp.MustCompile(`<a href="([^"]+\.csv[^"]*)" aria-label="` + regexp.QuoteMeta(html.EscapeString(title)) + ` as CSV"`).FindStringSubmatch(page)
	if link == nil {
		return nil, fmt.Errorf("the page has no panel %q with a CSV", title)
	}
	text, err := g.get(ctx, html.UnescapeString(link[1]))
	if err != nil {
		return nil, err
	}
	rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil || len(rows) < 2 {
		return nil, fmt.Errorf("the CSV of %q has %d lines: %w", title, len(rows), errors.Join(err, errors.New("no rows")))
	}
	return rows[1:], nil
}

// healthy says whether all panels of a page show something.
func healthy(page string) error {
	if problem := regexp.MustCompile(`(?s)<p class="problem"[^>]*>(.*?)</p>`).FindStringSubmatch(page); problem != nil {
		return errors.New(html.UnescapeString(problem[1]))
	}
	return nil
}

// dollars is an exact amount of PostgreSQL as the viewer writes it.
const dollars = `to_char(%s, 'FM$999,999,999,990.00')`

// NotShown begins what a step found that cannot be shown here, and goes on with why:
// the step neither holds nor fails.
const NotShown = "not shown: "

const (
	noGrafana = NotShown + "no Grafana runs here; meesh grafana install, then meesh up"
	noMailbox = NotShown + "no mailbox runs here, which takes mail; it comes with npm, see meesh doctor"
)

// mailed waits until the mailbox has a mail of that subject for the person that came
// after the moment, and gives its text and its attachments.
func (m Mesh) mailed(ctx context.Context, subject, person string, since time.Time) (text string, attached []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	return m.awaitMail(ctx, subject, person, func(_ string, created time.Time) bool { return !created.Before(since) })
}

// awaitMail waits until the mailbox has a mail that is meant: of that subject, or one that
// holds it, for the person.
func (m Mesh) awaitMail(ctx context.Context, subject, person string, meant func(subject string, created time.Time) bool) (text string, attached []string, err error) {
	box := m.address(topology.PortMailbox) + "/api/v1/"
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		var found struct {
			Messages []struct {
				ID, Subject string
				Created     time.Time
			}
		}
		if err := m.json(ctx, box+"search?query="+url.QueryEscape(fmt.Sprintf("subject:%q to:%s", subject, person)), &found); err != nil {
			return "", nil, err
		}
		for _, one := range found.Messages {
			if !meant(one.Subject, one.Created) {
				continue
			}
			var mail struct {
				Text        string
				Attachments []struct{ FileName string }
			}
			if err := m.json(ctx, box+"message/"+one.ID, &mail); err != nil {
				return "", nil, err
			}
			for _, a := range mail.Attachments {
				attached = append(attached, a.FileName)
			}
			return mail.Text, attached, nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return "", nil, fmt.Errorf("no mail %q for %s: %w", subject, person, ctx.Err())
		}
	}
}

func (m Mesh) json(ctx context.Context, address string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	return fetch(req, into)
}

func fetch(req *http.Request, into any) error {
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", req.URL.Path, resp.Status)
	}
	return json.NewDecoder(io.LimitReader(resp.Body, largestPage)).Decode(into)
}
